"""Measure how many frames a second `render_video` writes at 720p: `python benchmarks/render.py [MOTION [AUDIO]]`."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from infinitedance.motion.drawing.rendering import render_video
from infinitedance.motion.files import read_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import NUM_JOINTS


def swinging_motion(num_frames: int) -> Motion:
    """Return a body that swings all its joints and walks in a circle."""
    seconds = np.arange(num_frames) / 30
    angles = 0.3 * np.sin(seconds[:, None] * 4 + np.arange(NUM_JOINTS))
    rotations = np.zeros((num_frames, NUM_JOINTS, 4))
    rotations[..., 0], rotations[..., 1] = np.cos(angles / 2), np.sin(angles / 2)
    root = np.stack([np.sin(seconds), np.full(num_frames, 0.98), np.cos(seconds)], axis=-1)
    return Motion(30.0, root, rotations, foot_contacts=np.ones((num_frames, 4), dtype=bool))


def main() -> None:
    """Render and print wall time, processor time and frames a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motion", nargs="?", help="a motion file; a synthetic motion if not given")
    parser.add_argument("audio", nargs="?", help="sound to mux in")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    num_frames = round(30 * arguments.seconds)
    motion = swinging_motion(num_frames)
    if arguments.motion:
        motion = read_motion(arguments.motion).resample(30)
        motion = motion.cut(0, min(num_frames, motion.num_frames))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dance.mp4"
        wall, processor = time.perf_counter(), time.process_time()
        render_video(motion, path, arguments.audio)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        megabytes = path.stat().st_size / 1e6
    print(f"{motion.num_frames} frames at 1280x720: {motion.num_frames / wall:.1f} frames/s", end=", ")
    print(f"{1000 * processor / motion.num_frames:.1f} ms of processor time a frame, {megabytes:.1f} MB")


if __name__ == "__main__":
    main()
