"""Where a dance takes place: how far it wanders, how much it turns, and whether it faces its audience."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .checks import check_point_path

STAGE_METRES = 2.0
FACING_DEGREES = 45.0
TURN_SECONDS = 40.0


def outside_share(root_positions: np.ndarray, radius_metres: float = STAGE_METRES) -> float:
    """Return the share of frames in which the root is farther from its mean place on the floor than a radius.

    Args:
        root_positions: `(frames, 3)`, metres, Y up.
        radius_metres: Of the stage; `motion_quality.stage_radius` is the least one that the dance stays in.
    """
    check_point_path(root_positions)
    floor_points = root_positions[:, [0, 2]]
    distances = np.linalg.norm(floor_points - floor_points.mean(axis=0), axis=-1)
    return float((distances > radius_metres).mean())


def facing_share(heading: np.ndarray, frames: Iterable[int]) -> float:
    """Return in which share of some frames, such as phrase starts, the dancer faces the audience, which is at +Z.

    Args:
        heading: `(frames,)`, radians about +Y, 0 along +Z, from `motion.features.facing_heading`.
        frames: Frames of the dance, at least one. By chance 0.25.

    Returns:
        Share of frames in which the heading is within 45 degrees of the audience.
    """
    chosen = np.asarray(list(frames), int)
    if len(chosen) == 0:
        raise ValueError("`frames` must hold at least one frame.")
    angles = np.degrees(np.abs((heading[chosen] + np.pi) % (2 * np.pi) - np.pi))
    return float((angles <= FACING_DEGREES).mean())


def net_turns(heading: np.ndarray, frame_rate: float) -> float:
    """Return by how many whole turns the heading changes in 40 s, all turns to the left and right set off.

    Args:
        heading: `(frames,)`, radians, unwrapped, from `motion.features.facing_heading`.
        frame_rate: Hz.

    Returns:
        Mean over all stretches of 40 s that begin a second apart; of a shorter dance its one stretch.
    """
    length = min(round(TURN_SECONDS * frame_rate), len(heading)) - 1
    starts = np.arange(0, len(heading) - length, max(1, round(frame_rate)))
    return float(np.abs(heading[starts + length] - heading[starts]).mean() / (2 * np.pi))
