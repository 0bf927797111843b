"""Feet and floor: fusion, grounding, planting."""
