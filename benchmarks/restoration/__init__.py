"""Foot restoration against its baselines: writes docs/frdm.md."""
