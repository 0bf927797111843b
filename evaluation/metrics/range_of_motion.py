"""How far a body is used: arms, elbows, wrists, toes, and where the eyes look."""

from __future__ import annotations

import numpy as np
import torch

from ...motion.kinematics import forward_kinematics
from ...motion.motion import Motion
from ...motion.skeleton import JOINT_INDEX

QUANTILES = (0.05, 0.95)
SIDES = ("left", "right")


def elevation(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return how far the directions from starts to ends, both `(..., 3)`, point above the horizontal, in radians."""
    along = ends - starts
    return np.arctan2(along[..., 1], np.linalg.norm(along[..., [0, 2]], axis=-1))


def arm_elevations(joint_positions: np.ndarray) -> np.ndarray:
    """Return how far both upper arms point above the horizontal, `(frames, 2)`, left and right, degrees.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up.
    """
    shoulders, elbows = (
        joint_positions[:, [JOINT_INDEX[f"{side}_{name}"] for side in SIDES]] for name in ("shoulder", "elbow")
    )
    return np.degrees(elevation(shoulders, elbows))


def elbow_bends(joint_positions: np.ndarray) -> np.ndarray:
    """Return how far both elbows are bent, `(frames, 2)`, left and right, degrees: 0 for a straight arm.

    Args:
        joint_positions: `(frames, 22, 3)`, metres.
    """
    shoulders, elbows, wrists = (
        joint_positions[:, [JOINT_INDEX[f"{side}_{name}"] for side in SIDES]]
        for name in ("shoulder", "elbow", "wrist")
    )
    upper, fore = elbows - shoulders, wrists - elbows
    sine = np.linalg.norm(np.cross(upper, fore), axis=-1)
    return np.degrees(np.arctan2(sine, (upper * fore).sum(axis=-1)))


def gaze_elevation(motion: Motion) -> np.ndarray:
    """Return how far the face points above the horizontal in each frame, `(frames,)`, degrees.

    The face looks along the z axis of the head, as it does along +Z in the rest pose.
    """
    _, rotations = forward_kinematics(
        motion.joint_rotations_matrix(),
        torch.from_numpy(motion.root_positions).double(),
        torch.from_numpy(motion.skeleton.offsets),
        motion.skeleton.parents,
    )
    face = rotations[:, JOINT_INDEX["head"], :, 2].numpy()
    return np.degrees(elevation(np.zeros_like(face), face))


def joint_range(motion: Motion, joint: str) -> float:
    """Return how far a joint is turned from its mean rotation in all but 5 % of the frames, in degrees.

    Args:
        motion: Any motion.
        joint: A name of `motion.skeleton.JOINT_NAMES`.
    """
    rotations = motion.joint_rotations[:, JOINT_INDEX[joint]].astype(np.float64)
    # The mean of quaternions, of which q and -q are one rotation: the first eigenvector of their scatter.
    mean = np.linalg.eigh(rotations.T @ rotations)[1][:, -1]
    angles = 2 * np.degrees(np.arccos(np.clip(np.abs(rotations @ mean), 0, 1)))
    return float(np.quantile(angles, QUANTILES[1]))


def body_ranges(motion: Motion) -> dict[str, float]:
    """Measure how far a dance uses the body, all in degrees.

    Returns:
        `left_arm_low`, `left_arm_high`, `right_...`: 5th and 95th percentile of the elevation of each upper arm;
        `elbow_low`, `elbow_high`: of the bends of both elbows; `gaze_low`, `gaze_median`, `gaze_high`; `wrists` and
        `toes`: `joint_range`, the mean of left and right.
    """
    positions = motion.joint_positions().astype(np.float64)
    arms = np.quantile(arm_elevations(positions), QUANTILES, axis=0)
    elbows = np.quantile(elbow_bends(positions), QUANTILES)
    gaze = np.quantile(gaze_elevation(motion), [QUANTILES[0], 0.5, QUANTILES[1]])
    ranges = {
        f"{side}_arm_{end}": arms[row, column]
        for column, side in enumerate(SIDES)
        for row, end in enumerate(("low", "high"))
    }
    ranges |= {"elbow_low": elbows[0], "elbow_high": elbows[1]}
    ranges |= {"gaze_low": gaze[0], "gaze_median": gaze[1], "gaze_high": gaze[2]}
    for name, joint in (("wrists", "wrist"), ("toes", "foot")):
        ranges[name] = np.mean([joint_range(motion, f"{side}_{joint}") for side in SIDES])
    return {name: float(value) for name, value in ranges.items()}
