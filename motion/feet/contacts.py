"""Foot contacts and floor height of a clip."""

from __future__ import annotations

import numpy as np

from ..skeleton import CONTACT_JOINTS, Skeleton

CONTACT_HEIGHT_METRES = 0.05
CONTACT_SPEED_METRES_PER_SECOND = 0.35


def fit_floor_height(joint_positions: np.ndarray, skeleton: Skeleton, quantile: float = 0.05) -> float:
    """Estimate where the floor is: the height at which the lower of both feet rests in the lowest moments.

    A low quantile over time instead of the minimum keeps single bad frames from lifting the dancer off the floor.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up.
        skeleton: Gives the height of toes and ankles above the floor on a flat foot.
        quantile: Share of frames that may lie below the floor.

    Returns:
        Height of the floor in metres; subtract it from all heights.
    """
    clearance = joint_positions[:, list(CONTACT_JOINTS), 1] - skeleton.contact_rest_heights
    return float(np.quantile(clearance.min(axis=1), quantile))


def detect_foot_contacts(
    joint_positions: np.ndarray,
    frame_rate: float,
    skeleton: Skeleton,
    height_threshold: float = CONTACT_HEIGHT_METRES,
    speed_threshold: float = CONTACT_SPEED_METRES_PER_SECOND,
) -> np.ndarray:
    """Mark joints of the feet that are low and slow.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, the floor at y = 0.
        frame_rate: Hz.
        skeleton: Gives each joint's rest height; thresholds count from there.
        height_threshold: Metres above the rest height.
        speed_threshold: Metres per second.

    Returns:
        `(frames, 4)` bool in the order of `CONTACT_JOINTS`.
    """
    feet = joint_positions[:, list(CONTACT_JOINTS)]
    low = feet[..., 1] < skeleton.contact_rest_heights + height_threshold
    if len(feet) == 1:
        return low
    speed = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * frame_rate
    return low & (speed < speed_threshold)
