"""Let a dancer look to where real dancers look: the head is turned up or down, never to the side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch

from ..kinematics import local_rotations, matrix_to_quaternion
from ..motion import Motion
from ..skeleton import JOINT_INDEX, PARENTS
from .blending import smoothstep

_SHARES = {"spine3": 0.15, "neck": 0.55, "head": 1.0}
"""How much of the head's turn each joint has made."""
_STEEPEST_DEGREES = 85.0
_TAPER_DEGREES = 25.0


def gaze_elevation(motion: Motion) -> np.ndarray:
    """Return how far up the face points, `(frames,)`, degrees above the horizon."""
    _, rotations = motion.joint_frames()
    return np.degrees(_elevation(rotations[:, JOINT_INDEX["head"], :, 2]))


def steady_gaze(motion: Motion, median_elevation_degrees: float) -> Motion:
    """Turn the head up or down so that the dancer looks at a given height at the median.

    All frames are turned by the same angle, so that nods stay as they are; less within 25 degrees of straight up and
    down, where a look has hardly a direction. Neck, upper spine and head share the turn. Arms keep their directions.

    Args:
        motion: Any motion.
        median_elevation_degrees: Degrees above the horizon, that of real dances of the genre.

    Returns:
        The motion with the look's median there, and its direction over the floor as before.

    Raises:
        ValueError: If the elevation is steeper than 80 degrees.
    """
    if not abs(median_elevation_degrees) <= 80:
        raise ValueError(
            f"`median_elevation_degrees` must lie between -80 and 80 degrees, got {median_elevation_degrees}."
        )
    _, rotations = motion.joint_frames()
    gaze = rotations[:, JOINT_INDEX["head"], :, 2]
    elevation = _elevation(gaze)
    median = np.median(elevation)
    wanted = np.radians(median_elevation_degrees) - median
    if abs(wanted) < 1e-6:
        return motion
    steepest = np.radians(_STEEPEST_DEGREES)
    shifted = elevation + wanted * _firmness(elevation) / max(_firmness(median), 1e-3)
    raised = np.clip(shifted, np.minimum(elevation, -steepest), np.maximum(elevation, steepest)) - elevation
    # Up x gaze: a turn about it lowers the look and leaves its direction over the floor.
    axis = np.stack([gaze[:, 2], np.zeros(len(gaze)), -gaze[:, 0]], axis=-1)
    axis /= np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    turned = torch.from_numpy(rotations).clone()
    for name, share in _SHARES.items():
        turn = roma.rotvec_to_rotmat(torch.from_numpy(-share * raised[:, None] * axis))
        turned[:, JOINT_INDEX[name]] = turn @ turned[:, JOINT_INDEX[name]]
    return replace(motion, joint_rotations=matrix_to_quaternion(local_rotations(turned, PARENTS)).numpy())


def _elevation(directions: np.ndarray) -> np.ndarray:
    return np.arctan2(directions[:, 1], np.hypot(directions[:, 0], directions[:, 2]))


def _firmness(elevation: np.ndarray) -> np.ndarray:
    """Return 1 for looks that have a direction over the floor, down to 0 for straight up and down."""
    return smoothstep((90 - np.abs(np.degrees(elevation))) / _TAPER_DEGREES)
