"""Feet and floor: contacts, grounding, planting, leg IK."""
