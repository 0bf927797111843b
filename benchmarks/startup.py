"""Measure how fast the command starts, as a ratio to Python itself: `python -m benchmarks.startup`.

Each command is run many times, in turn with `python -c pass`; the fastest run of each counts, in one process each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

LIMIT = 6.0
"""Times `python -c pass`, for what only parses a command line."""


def commands() -> dict[str, tuple[list[str], bool]]:
    """Return the command lines, and whether the limit holds for them."""
    command = [str(Path(sys.executable).with_name("infinitedance"))]
    return {
        "import infinitedance": ([sys.executable, "-c", "import infinitedance"], True),
        "infinitedance --help": ([*command, "--help"], True),
        "infinitedance --version": ([*command, "--version"], True),
        "infinitedance dance --help": ([*command, "dance", "--help"], True),
        "infinitedance dnce (a typing error)": ([*command, "dnce"], True),
        "python -m infinitedance": ([sys.executable, "-m", "infinitedance"], True),
        "import infinitedance.motion.files": ([sys.executable, "-c", "import infinitedance.motion.files"], False),
        "infinitedance.MusicToDancePipeline": (
            [sys.executable, "-c", "import infinitedance; infinitedance.MusicToDancePipeline"],
            False,
        ),
    }


def run_seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Print the table; the exit status says whether all limits hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="runs of each command (default: 20)")
    arguments = parser.parse_args()
    base_command = [sys.executable, "-c", "pass"]
    run_seconds(base_command)  # the files are read once before anything counts
    all_hold = True
    for name, (command, is_limited) in commands().items():
        runs = arguments.runs if is_limited else 3
        times = [(run_seconds(base_command), run_seconds(command)) for _ in range(runs)]
        base, seconds = (min(column) for column in zip(*times, strict=True))
        ratio = seconds / base
        all_hold &= ratio <= LIMIT or not is_limited
        limit = f", at most {LIMIT:g}" if is_limited else ""
        print(f"{name}: {1000 * seconds:.0f} ms, {ratio:.1f} times `python -c pass` ({1000 * base:.0f} ms){limit}")
    return 0 if all_hold else 1


if __name__ == "__main__":
    sys.exit(main())
