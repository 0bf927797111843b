"""`python -m benchmarks.metrics`."""

from .report import main

main()
