"""Generated dances beside real ones and two simple baselines: writes docs/dances.md."""
