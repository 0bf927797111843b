"""Synthesized songs with dances to them, for tests and a first run."""
