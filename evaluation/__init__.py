"""Metrics of generated dances."""
