"""Kill every command at random moments, run it again, and compare with a run that nothing interrupted.

```bash
python -m benchmarks.kill --output docs/kills.json      # four kills of each of ten commands, some minutes
python -m benchmarks.kill --command build --kills 10    # one command
```

Each is killed (SIGKILL) at moments drawn from its whole run, again and again until the kills are spent, then run to
its end. Exits with 1 and names the files if a byte differs or anything else is left in a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soundfile

from infinitedance.assets import DEMO_SONG
from infinitedance.cli import main as infinitedance
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.motion.files import save_motion, write_bvh
from infinitedance.utils.atomic import atomic_path

SONG_SECONDS = 4.0


def make_inputs(folder: Path) -> None:
    """Write what the commands take: songs, dances in two formats, a clip folder, and a data set built from it."""
    waveform, rate = soundfile.read(DEMO_SONG, dtype="float32")
    for name in ("songs", "dances", "real"):
        (folder / name).mkdir()
    for index in range(4):
        start = index * rate
        soundfile.write(folder / "songs" / f"song_{index}.wav", waveform[start:][: round(SONG_SECONDS * rate)], rate)
        for part in ("dances", "real"):
            dance = synthesize_dance("rumba", 100, SONG_SECONDS, seed=index + (part == "real"))
            save_motion(dance, folder / part / f"song_{index}.npz")
        write_bvh(dance, folder / f"dance_{index}.bvh")
    make_procedural_dataset(folder / "clips", 6, 3.0)
    infinitedance(["build", "--source", f"clip_folder={folder / 'clips'}", "--output", str(folder / "built")])


def commands(folder: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Return the command lines by name, each for a folder to write to."""
    dance, bvh = str(folder / "dances" / "song_0.npz"), [str(folder / f"dance_{index}.bvh") for index in range(2)]
    song, clips = str(folder / "songs" / "song_0.wav"), f"clip_folder={folder / 'clips'}"
    sets = [f"--{name}={folder / part}" for name, part in _SETS.items()]
    return {
        "dance": lambda out: ["dance", str(folder / "songs"), "--skip-existing", "--output", str(out)],
        "song": lambda out: ["song", song, "--plot", str(out / "song.png")],
        "sheet": lambda out: ["sheet", dance, "--output", str(out / "sheet.png")],
        "convert": lambda out: ["convert", dance, str(out / "dance.glb")],
        "view": lambda out: ["view", dance, "--html", str(out / "dance.html")],
        "restore": lambda out: ["restore", *bvh, "--output", str(out)],
        "evaluate": lambda out: ["evaluate", *sets, "--output", str(out)],
        "build": lambda out: ["build", "--source", clips, "--workers", "2", "--output", str(out)],
        "index": lambda out: ["index", str(folder / "built"), "--output", str(out / "library")],
        "procedural": lambda out: ["procedural", str(out / "clips"), "--clips", "3", "--seconds", "3"],
    }


_SETS = {"generated": "dances", "reference": "real", "music": "songs"}


def run(line: list[str], log: Path, after_seconds: float | None = None) -> tuple[int | None, float]:
    """Run a command in a process of its own.

    Args:
        line: The command line.
        log: Where its errors go.
        after_seconds: Kill it then; never if not given.

    Returns:
        Its exit status, `None` if it was killed, and how long it ran, in seconds.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "infinitedance", *line]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
    try:
        status = process.wait(after_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the workers of a build
        process.wait()
        return None, time.monotonic() - began
    return status, time.monotonic() - began


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder by their paths in it, hidden ones as well."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def kill_command(make_line: Callable[[Path], list[str]], kills: int, draw: random.Random) -> tuple[int, list[str]]:
    """Kill one command and run it again until it ends.

    Args:
        make_line: Its command line, for a folder to write to.
        kills: How often.
        draw: Chooses the moments.

    Returns:
        How often it was killed before its end, and what differs from a run without kills.
    """
    num_killed = 0
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "errors.log"
        whole, killed = Path(name) / "whole" / "out", Path(name) / "killed" / "out"
        for out in (whole, killed):
            out.mkdir(parents=True)
        status, seconds = run(make_line(whole), log)
        if status != 0:
            return 0, [f"it ends with status {status}: {log.read_text()[-500:]}"]
        before = contents(whole.parent)
        while num_killed < kills:
            status, _ = run(make_line(killed), log, draw.uniform(0, seconds))
            if status is None:
                num_killed += 1
            elif status == 0 or contents(killed.parent) == before:  # it was done before its moment came
                shutil.rmtree(killed)
                killed.mkdir()
            else:
                return num_killed, [f"it ends with status {status} after {num_killed} kills: {log.read_text()[-500:]}"]
        status, _ = run(make_line(killed), log)
        after = contents(killed.parent)
        # A command that writes a new folder refuses one that is done.
        if status != 0 and after != before:
            return num_killed, [f"it cannot be run again: status {status}: {log.read_text()[-500:]}"]
    return num_killed, sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def main(command_line: list[str] | None = None) -> int:
    """Kill the commands, and print and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=4, help="of each command (default: 4)")
    parser.add_argument("--command", help="one command only")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args(command_line)
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        make_inputs(Path(name))
        for command, make_line in commands(Path(name)).items():
            if arguments.command in (None, command):
                draw = random.Random(f"{arguments.seed} {command}")
                num_killed, differing = kill_command(make_line, arguments.kills, draw)
                rows[command] = {"kills": num_killed, "differing": differing}
                print(f"{command}: {num_killed} kills, {', '.join(differing) or 'the same bytes'}", flush=True)
    if arguments.output is not None:
        with atomic_path(arguments.output) as temporary:
            temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(row["differing"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
