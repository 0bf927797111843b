"""The shipped models on held-out songs: writes docs/results.md."""
