"""Optional packages, atomic files, checks of checkpoints: nothing of the domain."""
