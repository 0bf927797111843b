"""Metrics, a file for each family: arrays in, numbers out."""
