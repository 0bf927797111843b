"""`python -m benchmarks.capture`."""

from .report import main

main()
