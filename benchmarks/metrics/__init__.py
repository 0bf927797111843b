"""Which metrics of the field tell a real dance from a bad one: writes docs/metrics.md."""
