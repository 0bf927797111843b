"""Section of the report on the time that the command takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile

from infinitedance.dataset_builder.procedural.music import SAMPLING_RATE, synthesize_music
from infinitedance.evaluation.report.tables import Cell, Table

from .bench import Bench

RUNS = ((60, ()), (60, ("--no-video",)), (300, ("--no-video",)))
"""Seconds of the song, and options."""
BPM = 100.0
COMMAND_TITLE = "Time"


def command_section(bench: Bench) -> list[Table]:
    """Run `infinitedance dance` on songs of several lengths, each in a process of its own."""
    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seconds, options in RUNS:
            song = folder / f"{seconds}.wav"
            soundfile.write(song, synthesize_music("rumba", BPM, seconds, seed=0), SAMPLING_RATE, subtype="PCM_16")
            elapsed = run_dance(bench.model_dir, song, bench.genres[0], folder / "dances", *options)
            rows.append([seconds, "no" if options else "yes", elapsed, seconds / elapsed])
    note = (
        "All in: start of Python, loading, hearing, dancing, files, rendering. In seconds, on the threads there are."
    )
    return [Table(COMMAND_TITLE, ["song", "video", "elapsed", "times real time"], rows, note)]


def run_dance(model_dir: Path, song: Path, genre: str, output_dir: Path, *options: str) -> float:
    """Return the seconds that `infinitedance dance` takes.

    Raises:
        RuntimeError: If it fails, with its message.
    """
    command = [sys.executable, "-m", "infinitedance", "dance", str(song), "--genre", genre, *options]
    command += ["--output", str(output_dir), "--model", str(model_dir.resolve())]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return time.perf_counter() - start
