"""`python -m benchmarks.restoration`."""

from .report import main

main()
