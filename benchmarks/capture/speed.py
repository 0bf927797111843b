"""How fast `infinitedance capture` is, and how much memory it takes, by the length of the video."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.motion import FRAME_RATE

from .scenes import render_pictures
from .videos import CAMERAS, Recording, write_video

if TYPE_CHECKING:
    from .report import CaptureReport

LENGTHS_SECONDS = (60, 180)
_KILOBYTES_PER_MEGABYTE = 1024
_POLL_SECONDS = 0.2


def speed_tables(report: CaptureReport) -> list[Table]:
    """Capture a short and a long video in processes of their own."""
    rows: list[list[Cell]] = []
    recording = next(each for each in report.recordings if each.case.camera == CAMERAS[0])
    for seconds in LENGTHS_SECONDS:
        video = report.work_dir / f"long{seconds}.mp4"
        if not video.is_file():
            frames = round(seconds * FRAME_RATE)
            write_video(video, islice(back_and_forth(recording), frames), recording.camera.image_size)
        options = getattr(report.capturer, "command_options", [])
        wall, megabytes = run_capture(video, report.work_dir / f"long{seconds}", options)
        frames = round(seconds * FRAME_RATE)
        rows.append([f"{seconds} s", frames, wall, frames / wall, megabytes])
    width, height = recording.camera.image_size
    note = (
        f"H.264, {width} x {height} at 30 Hz, one person; the command with its start, on {os.cpu_count()} cores. "
        "The pictures are those of one video, forward and backward."
    )
    return [Table("", ["video", "frames", "seconds", "frames/s", "peak memory, MB"], rows, note)]


def back_and_forth(recording: Recording) -> Iterator[np.ndarray]:
    """Yield the pictures of a recording forward and backward, without end: a long video without a cut."""
    look = replace(recording.look, shutter=0.0)
    pictures = list(render_pictures(recording.truth, recording.camera, look))
    return cycle(pictures + pictures[-2:0:-1])


def run_capture(video: Path, output: Path, options: Sequence[str]) -> tuple[float, float]:
    """Run the command; return seconds and the most memory that it had, megabytes.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "infinitedance", "capture", str(video), "--output", str(output)]
    started, kilobytes = time.perf_counter(), 0
    process = subprocess.Popen([*command, *options])
    while process.poll() is None:
        kilobytes = max(kilobytes, _peak_kilobytes(process.pid))
        time.sleep(_POLL_SECONDS)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, kilobytes / _KILOBYTES_PER_MEGABYTE


def _peak_kilobytes(pid: int) -> int:
    """Return what Linux says of a program alone: `ru_maxrss` of a child is at least the memory of its parent."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has just ended
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
