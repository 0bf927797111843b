"""Sound out of files: what a file is, what it promises, and its samples to the true end."""
