"""Time and memory of foot restoration, each length in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import NUM_JOINTS
from infinitedance.restoration.pipeline_frdm import FrdmPipeline

CLIP_SECONDS = (10, 60, 180, 600)


def walking_dance(seconds: float) -> Motion:
    """Return a dancer who sways, turns and waves while the hips walk a circle."""
    times = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    angle = 0.5 * np.sin(2 * np.pi * times)
    rotations = np.zeros((len(times), NUM_JOINTS, 4))
    rotations[..., 0] = 1
    for joint, axis in ((0, 2), (1, 1), (2, 1), (4, 1), (5, 1), (16, 3)):
        rotations[:, joint, 0], rotations[:, joint, axis] = np.cos(angle / 2), np.sin(angle / 2)
    path = np.stack([np.sin(times), 0.9 + 0.02 * angle, np.cos(times)], axis=-1)
    return put_on_floor(Motion(FRAME_RATE, path, rotations))


def speed_tables(model_dir: Path) -> list[Table]:
    """Restore dances of several lengths; show time and the largest memory."""
    rows: list[list[Cell]] = []
    for seconds in CLIP_SECONDS:
        command = [sys.executable, "-m", "benchmarks.restoration.speed", str(model_dir.resolve()), str(seconds)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        measured = json.loads(result.stdout)
        elapsed, memory = measured["seconds"], measured["megabytes"]
        rows.append([seconds, elapsed, 1000 * elapsed / (seconds * FRAME_RATE), seconds / elapsed, *memory])
    columns = ["dance, s", "elapsed, s", "ms a frame", "x real time", "memory before, MB", "most memory, MB"]
    note = "The default sampler, loaded and warmed up. Goal: 20 times real time on two cores, no growth a frame."
    return [Table("", columns, rows, note)]


def main(command_line: Sequence[str] | None = None) -> None:
    """Measure one length; print seconds and megabytes before and at most, as JSON."""
    model_dir, seconds = sys.argv[1:] if command_line is None else command_line
    pipeline = FrdmPipeline.from_pretrained(model_dir)
    dance = walking_dance(float(seconds))
    pipeline(walking_dance(4.0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    pipeline(dance)
    elapsed = time.perf_counter() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": elapsed, "megabytes": [before, most]}))


if __name__ == "__main__":
    main()
