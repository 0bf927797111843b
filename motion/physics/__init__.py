"""A simulated body that imitates a dance."""
