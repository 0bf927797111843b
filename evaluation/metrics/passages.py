"""Passages of one dance against each other: near copies, and whether repeats of the music are danced alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checks import check_positions
from .memory import COPY_MILLIMETRES, nearest_windows
from .sides import mirror_positions

WINDOW_SECONDS = 4.0
HOP_SECONDS = 1.0
SAMPLES_PER_BEAT = 8


@dataclass(frozen=True)
class Passage:
    """A stretch of a dance.

    Args:
        start_beat: Beat phase of its start.
        num_beats: Its length.
    """

    start_beat: float
    num_beats: float


@dataclass(frozen=True)
class ChorusLikeness:
    """How alike a repeat is danced.

    Args:
        same_mm: Distance of the second passage from the first, whose music it repeats; mirrored if that is nearer.
        other_mm: Distance of the second passage from one to other music, likewise.
        is_mirrored: Whether the second passage is nearer to the mirror image of the first.
    """

    same_mm: float
    other_mm: float
    is_mirrored: bool

    @property
    def is_nearer(self) -> bool:
        """Whether the repeat is more like the passage that it repeats than like another one."""
        return self.same_mm < self.other_mm


def chorus_likeness(
    poses: np.ndarray, beat_phase: np.ndarray, first: Passage, again: Passage, other: Passage
) -> ChorusLikeness:
    """Measure whether a passage is danced like the one whose music it repeats.

    Passages are compared beat by beat from their starts, over the length of the shortest.

    Args:
        poses: `(frames, 22, 3)`, metres, from `memory.hip_aligned_poses`.
        beat_phase: `(frames,)`, rising, as of `BeatClock.phase`.
        first: The first chorus.
        again: The second chorus.
        other: What is neither, such as a verse.

    Raises:
        ValueError: If a passage does not lie in the dance.
    """
    check_positions(poses, "poses", num_joints=22)
    num_beats = min(first.num_beats, again.num_beats, other.num_beats)
    a, b, c = (_at_beats(poses, beat_phase, passage.start_beat, num_beats) for passage in (first, again, other))
    plain, mirrored = _distance_mm(b, a), _distance_mm(b, mirror_positions(a))
    other_mm = min(_distance_mm(b, c), _distance_mm(b, mirror_positions(c)))
    return ChorusLikeness(min(plain, mirrored), other_mm, mirrored < plain)


def near_copy_share(poses: np.ndarray, frame_rate: float) -> float:
    """Return the share of 4 s windows of a dance that have a near copy, within 20 mm, elsewhere in the same dance.

    A copy may not overlap its window. Real dances repeat themselves, too: compare with theirs.

    Args:
        poses: `(frames, joints, 3)`, metres, from `memory.hip_aligned_poses`.
        frame_rate: Hz.

    Raises:
        ValueError: If the dance is shorter than two windows.
    """
    check_positions(poses, "poses")
    window, hop = round(WINDOW_SECONDS * frame_rate), round(HOP_SECONDS * frame_rate)
    if len(poses) < 2 * window:
        raise ValueError(f"`poses` must last at least two windows of {window} frames, got {len(poses)} frames.")
    is_copy = []
    for start in range(0, len(poses) - window + 1, hop):
        elsewhere = {"before": poses[:start], "after": poses[start + window :]}
        if max(map(len, elsewhere.values())) < window:
            continue
        found = nearest_windows(poses[start : start + window], elsewhere, frame_rate, window_seconds=WINDOW_SECONDS)
        is_copy.append(found.distances_mm[0] < COPY_MILLIMETRES)
    return float(np.mean(is_copy))


def _at_beats(poses: np.ndarray, beat_phase: np.ndarray, start_beat: float, num_beats: float) -> np.ndarray:
    """Return poses at each eighth of a beat, `(samples, 22, 3)`."""
    wanted = start_beat + np.arange(round(num_beats * SAMPLES_PER_BEAT)) / SAMPLES_PER_BEAT
    if len(wanted) == 0 or wanted[0] < beat_phase[0] or wanted[-1] > beat_phase[-1]:
        raise ValueError(
            f"A passage must lie in the dance, beats {beat_phase[0]:.1f} to {beat_phase[-1]:.1f}, got {num_beats:g} "
            f"beats from {start_beat:g}."
        )
    frames = np.interp(wanted, beat_phase, np.arange(len(poses)))
    before = np.minimum(frames.astype(int), len(poses) - 2)
    weight = (frames - before)[:, None, None]
    return poses[before] * (1 - weight) + poses[before + 1] * weight


def _distance_mm(first: np.ndarray, second: np.ndarray) -> float:
    return float(1000 * np.linalg.norm(first - second, axis=-1).mean())
