"""Data sets of music and motion."""
