"""Variations of dances for training: tempo, synthetic faults, stances."""
