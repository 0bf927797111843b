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
    """Jump where a loop starts again, without the path over the floor.

    Args:
        start_seconds: Where the loop starts in the dance.
        num_bars: Its length.
        position_jump_metres: Mean distance of the joints in its first frame from where the dance goes on after it.
        velocity_jump: Mean difference of the joints' velocities there, m/s.
        travel_metres: How far the dancer gets over the floor in the loop.
    """

    start_seconds: float
    num_bars: int
    position_jump_metres: float
    velocity_jump: float
    travel_metres: float


def in_place(motion: Motion) -> Motion:
    """Return the dance with its root above the origin: height and turns stay, the path over the floor goes."""
    return replace(motion, root_positions=motion.root_positions * np.array([0, 1, 0], dtype=np.float32))


def loop_of_whole_bars(motion: Motion) -> tuple[Motion, Seam]:
    """Cut the loop with the smallest seam, of whole bars and of at least half of the dance's bars.

    Nothing is blended: the frames stay those of the dance, and the seam is measured. The last frame repeats the pose
    of the first, where the path has led to by then: players count a clip from its first key to its last, which are
    whole bars so; and an engine that carries the path on from loop to loop sees no jump in it.

    Args:
        motion: A dance whose provenance holds `downbeat_times_seconds`.

    Returns:
        The loop, and its seam.

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
    poses = in_place(motion).joint_positions().astype(np.float64)
    velocities = np.gradient(poses, axis=0) * motion.frame_rate
    position_jumps, velocity_jumps = (_jumps(array[frames], max(1, len(frames) // 2)) for array in (poses, velocities))
    # One metre a second weighs as much as a tenth of a metre: what it moves a joint by in three frames.
    first, last = np.unravel_index(np.argmin(position_jumps + velocity_jumps / 10), position_jumps.shape)
    start, end = frames[first], frames[last]
    travel = np.linalg.norm((motion.root_positions[end] - motion.root_positions[start])[[0, 2]])
    seam = Seam(
        float(start / motion.frame_rate),
        int(last - first),
        float(position_jumps[first, last]),
        float(velocity_jumps[first, last]),
        float(travel),
    )
    root_positions = motion.root_positions[start : end + 1].copy()
    root_positions[-1, 1] = root_positions[0, 1]
    order = [*range(start, end), start]
    loop = replace(
        motion,
        root_positions=root_positions,
        joint_rotations=motion.joint_rotations[order],
        foot_contacts=None if motion.foot_contacts is None else motion.foot_contacts[order],
        finger_rotations=None if motion.finger_rotations is None else motion.finger_rotations[order],
    )
    return replace(loop, provenance=_shifted_beats(loop, seam.start_seconds)), seam


def _jumps(values: np.ndarray, min_bars: int) -> np.ndarray:
    """Return how far the joints of downbeats are apart, `(first, last)`; infinite for loops of too few bars.

    Args:
        values: `(downbeats, 22, 3)`, positions or velocities.
        min_bars: Of a loop.
    """
    jumps = np.full((len(values), len(values)), np.inf)
    for first in range(len(values) - min_bars):
        last = first + min_bars
        jumps[first, last:] = np.linalg.norm(values[last:] - values[first], axis=-1).mean(axis=-1)
    return jumps


def _shifted_beats(loop: Motion, start_seconds: float) -> dict[str, Any]:
    """Count the beats from the loop's first frame and keep those before the last, which is the first again."""
    provenance = dict(loop.provenance)
    half_a_frame, end = 0.5 / loop.frame_rate, (loop.num_frames - 1) / loop.frame_rate
    for key in BEAT_KEYS:
        times = np.asarray(provenance.get(key) or ()) - start_seconds
        times = times[(times >= -half_a_frame) & (times < end - half_a_frame)]
        provenance[key] = np.maximum(times, 0).tolist()
    return provenance
