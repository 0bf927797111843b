"""Which side a dance is on: as its genre is danced, or its left-right mirror image; and whether it changes sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...motion.skeleton import MIRROR_ORDER
from .memory import nearest_windows

WINDOW_SECONDS = 4.0
HOP_SECONDS = 1.0
DECIDED_OCTAVES = 0.25
"""A window is decided if one side is 19 % farther away than the other. Medians of real dances: 0.1 to 5 octaves."""
MIXED_SHARE = 0.15
"""A dance is mixed if more of its decided windows than this lie on each side. Real dances: at most 0.13."""


@dataclass(frozen=True)
class DanceSides:
    """The side of each window of a dance.

    Args:
        starts: `(windows,)` int, first frame of each window.
        natural_mm: `(windows,)`, distance to the nearest piece of the library.
        mirrored_mm: `(windows,)`, distance to the nearest piece of its mirror image.
    """

    starts: np.ndarray
    natural_mm: np.ndarray
    mirrored_mm: np.ndarray

    @property
    def octaves(self) -> np.ndarray:
        """By how much the mirror image is farther away than the library, `(windows,)`, in octaves."""
        least = 1e-3  # mm: a piece of the library itself is not infinitely nearer
        return np.log2((self.mirrored_mm + least) / (self.natural_mm + least))

    @property
    def nearest_mm(self) -> np.ndarray:
        """Distance to the nearest piece of either side, `(windows,)`."""
        return np.minimum(self.natural_mm, self.mirrored_mm)

    @property
    def sides(self) -> np.ndarray:
        """1 for windows on the side of the library, -1 for mirrored ones, 0 for those that are not decided."""
        return np.where(np.abs(self.octaves) > DECIDED_OCTAVES, np.sign(self.octaves), 0).astype(int)

    @property
    def decided_share(self) -> float:
        """Share of windows that are decided."""
        return float((self.sides != 0).mean())

    @property
    def minor_share(self) -> float:
        """Share of the decided windows that lie on the side with fewer of them, 0 to 0.5; NaN if none is decided."""
        counts = [(self.sides == 1).sum(), (self.sides == -1).sum()]
        return float(min(counts) / sum(counts)) if sum(counts) else float("nan")

    @property
    def is_mixed(self) -> bool:
        """Whether the dance is on both sides."""
        return self.minor_share > MIXED_SHARE


def mirror_positions(joint_positions: np.ndarray) -> np.ndarray:
    """Return joints `(frames, 22, 3)` as seen in a mirror: left and right change places."""
    return joint_positions[:, list(MIRROR_ORDER)] * np.array([-1, 1, 1], joint_positions.dtype)


def dance_sides(poses: np.ndarray, library: Mapping[str, np.ndarray], frame_rate: float) -> DanceSides:
    """Find out on which side each 4 s of a dance are, by the most similar piece of real dances and of their mirrors.

    Pieces begin at every frame. The library must be on one side, and must not hold the dance itself: by what it shares
    with other dances, a real one comes out on their side. A dance of another tempo than the library's is judged best
    after it was played at that tempo.

    Args:
        poses: `(frames, 22, 3)`, metres, from `memory.hip_aligned_poses`.
        library: Poses of real dances of the genre, aligned likewise, all on one side.
        frame_rate: Hz.

    Raises:
        ValueError: If the dance or all dances of the library are shorter than a window.
    """
    settings = {"window_seconds": WINDOW_SECONDS, "hop_seconds": HOP_SECONDS}
    natural = nearest_windows(poses, library, frame_rate, **settings)
    mirrored = nearest_windows(mirror_positions(poses), library, frame_rate, **settings)
    return DanceSides(natural.starts, natural.distances_mm, mirrored.distances_mm)
