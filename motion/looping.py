"""Dances as other tools want them: in place, or as a loop of whole bars."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .motion import Motion

BEAT_KEYS = ("beat_times_seconds", "downbeat_times_seconds")
"""Where the provenance of a dance holds its beats and the first beats of its bars, in seconds from frame 0."""


@dataclass(frozen=True)
class Seam:
    """What jumps where a loop starts again.

    Args:
        start_seconds: Where the loop starts in the dance.
        num_bars: Its length.
        position_jump_metres: Mean distance of the joints in its first frame from where the dance goes on after it.
        velocity_jump: Mean difference of the joints' velocities there, m/s.
    """

    start_seconds: float
    num_bars: int
    position_jump_metres: float
    velocity_jump: float


def in_place(motion: Motion) -> Motion:
    """Return the dance with its root above the origin: height and turns stay, the path over the floor goes."""
    return replace(motion, root_positions=motion.root_positions * np.array([0, 1, 0], dtype=np.float32))


def loop_of_whole_bars(motion: Motion) -> tuple[Motion, Seam]:
    """Cut the loop with the smallest seam, of whole bars and of at least half of the dance's bars.

    Nothing is blended: the seam is measured, and the frames stay those of the dance.

    Args:
        motion: A dance whose provenance holds `downbeat_times_seconds`.

    Returns:
        The loop, whose last frame is followed by its first, and its seam.

    Raises:
        ValueError: If the provenance holds no bars, or fewer than one whole bar.
    """
    downbeats = motion.provenance.get("downbeat_times_seconds")
    if not downbeats:
        raise ValueError(
            "A loop of whole bars needs `downbeat_times_seconds` in the dance's provenance, got a dance without: give "
            "the song (`--song`), or make the dance with this version."
        )
    frames = np.round(np.asarray(downbeats) * motion.frame_rate).astype(int)
    frames = frames[(frames >= 0) & (frames < motion.num_frames)]
    if len(frames) < 2:
        raise ValueError(
            f"A loop needs one whole bar, got a dance of {motion.duration_seconds:.2f} s with {len(frames)} downbeats."
        )
    positions = motion.joint_positions().astype(np.float64)
    velocities = np.gradient(positions, axis=0) * motion.frame_rate
    seams = {}
    for first in range(len(frames)):
        for last in range(first + max(1, len(frames) // 2), len(frames)):
            start, end = frames[first], frames[last]
            jumps = [np.linalg.norm(array[end] - array[start], axis=-1).mean() for array in (positions, velocities)]
            seams[first, last] = Seam(float(start / motion.frame_rate), last - first, float(jumps[0]), float(jumps[1]))
    # One metre a second weighs as much as a tenth of a metre: what it moves a joint by in three frames.
    (first, last), seam = min(
        seams.items(), key=lambda item: item[1].position_jump_metres + item[1].velocity_jump / 10
    )
    loop = motion.cut(int(frames[first]), int(frames[last]))
    return replace(loop, provenance=_shifted_beats(loop, seam.start_seconds)), seam


def _shifted_beats(loop: Motion, start_seconds: float) -> dict[str, Any]:
    """Count the beats from the loop's first frame and keep those inside it."""
    provenance = dict(loop.provenance)
    half_a_frame = 0.5 / loop.frame_rate
    for key in BEAT_KEYS:
        times = np.asarray(provenance.get(key, ())) - start_seconds
        times = times[(times >= -half_a_frame) & (times < loop.duration_seconds - half_a_frame)]
        provenance[key] = np.maximum(times, 0).tolist()
    return provenance
