"""Training entry points, run with accelerate."""
