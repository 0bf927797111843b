"""The beat as dancers hear it: songs with known beats, measures, and the trackers that are measured."""
