"""Everything that measures the package and writes docs/: run from a checkout as `python -m benchmarks.NAME`."""
