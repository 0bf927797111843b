"""Kill `infinitedance build` at random moments, resume it, and compare with a build that nothing interrupted.

```bash
python benchmarks/kill_build.py                  # ten kills of a build with two workers
```

Exits with 1 and names the files if a byte differs.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infinitedance.cli import main as infinitedance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset

MAX_WAIT_SECONDS = 600


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def num_done(output: Path) -> int:
    """Return how many clips of a build are done."""
    return sum(not path.name.startswith(".") for path in (output / "entries").rglob("*.json"))


def run_and_kill(command: list[str], output: Path, num_new_clips: int, delay_seconds: float) -> bool:
    """Kill a build when it has done some more clips, a little later.

    Returns:
        Whether it was killed; if not, it had ended by itself.
    """
    target = num_done(output) + num_new_clips
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while process.poll() is None and num_done(output) < target and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay_seconds)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def main(argv: list[str] | None = None) -> int:
    """Build once without and once with interruptions, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="number of kills (default: 10)")
    parser.add_argument("--clips", type=int, default=60, help="clips of the procedural data set (default: 60)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a clip (default: 6)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    arguments = parser.parse_args(argv)
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clips = make_procedural_dataset(folder / "clips", arguments.clips, arguments.seconds)
        build = ["build", "--source", f"clip_folder={clips}", "--workers", str(arguments.workers), "--output"]
        command = [sys.executable, "-m", "infinitedance", *build]
        if infinitedance([*build, str(folder / "unbroken")]):
            return 1
        output, num_killed = folder / "killed", 0
        for _ in range(arguments.kills):
            left = arguments.clips - num_done(output)
            num_new = draw.randint(0, min(left, arguments.clips // arguments.kills))
            killed = run_and_kill([*command, str(output)], output, num_new, draw.uniform(0, 0.5))
            num_killed += killed
            print(f"{'killed' if killed else 'ended'} with {num_done(output)} of {arguments.clips} clips", flush=True)
        subprocess.run([*command, str(output)], check=True, capture_output=True)
        unbroken, resumed = contents(folder / "unbroken"), contents(output)
    differing = sorted(name for name in {*unbroken, *resumed} if unbroken.get(name) != resumed.get(name))
    print(f"{num_killed} kills, {len(unbroken)} files: {', '.join(differing) or 'the same bytes'}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
