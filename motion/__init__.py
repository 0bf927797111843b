"""Leaf numerics of a moving skeleton."""
