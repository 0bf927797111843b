"""How a body moves: speed, acceleration, jitter, and bones that keep their length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .checks import check_point_path, check_positions, check_positive_rate

JITTER_UNIT = 10.0
"""GVHMR prints jitter in units of 10 m/s^3."""


def step_lengths(joint_positions: np.ndarray) -> np.ndarray:
    """Return how far each joint moves from frame to frame, `(frames - 1, joints)`, metres.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres.
    """
    check_positions(joint_positions, min_frames=2)
    return np.linalg.norm(np.diff(joint_positions, axis=0), axis=-1)


def mean_joint_speed(joint_positions: np.ndarray, frame_rate: float) -> float:
    """Return the mean speed of all joints over all frames, in m/s.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres.
        frame_rate: Hz.
    """
    return float(step_lengths(joint_positions).mean() * frame_rate)


def mean_local_speed(joint_positions: np.ndarray, frame_rate: float, hip_joints: tuple[int, int]) -> float:
    """Return the mean speed of all joints relative to the middle of the hips, in m/s: dance without travel.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres.
        frame_rate: Hz.
        hip_joints: Indices of both hips.
    """
    hips = joint_positions[:, list(hip_joints)].mean(axis=1, keepdims=True)
    return mean_joint_speed(joint_positions - hips, frame_rate)


def root_speed(root_positions: np.ndarray, frame_rate: float) -> float:
    """Return the mean speed of the root over the floor, in m/s: travel without bouncing.

    Args:
        root_positions: `(frames >= 2, 3)`, metres, Y up.
        frame_rate: Hz.
    """
    check_point_path(root_positions, min_frames=2)
    check_positive_rate(frame_rate)
    return float(np.linalg.norm(np.diff(root_positions[:, [0, 2]], axis=0), axis=-1).mean() * frame_rate)


def mean_acceleration(joint_positions: np.ndarray, frame_rate: float) -> float:
    """Return the mean length of the acceleration of all joints, in m/s^2, from second differences.

    Args:
        joint_positions: `(frames >= 3, joints, 3)`, metres, in the world.
        frame_rate: Hz.
    """
    return _mean_difference(joint_positions, frame_rate, order=2)


def jitter(joint_positions: np.ndarray, frame_rate: float) -> float:
    """Return the mean length of the jerk of all joints, in the unit of GVHMR and WHAM: 10 m/s^3.

    The paper's Table 2 prints this number (MoCap 12.69). It is `mean ||p[t+3] - 3 p[t+2] + 3 p[t+1] - p[t]|| *
    frame_rate^3 / 10`. Noise of a fixed size grows with the cube of the frame rate: compare equal frame rates (theirs
    is 30 Hz).

    Args:
        joint_positions: `(frames >= 4, joints, 3)`, metres, in the world.
        frame_rate: Hz.
    """
    return _mean_difference(joint_positions, frame_rate, order=3) / JITTER_UNIT


def bone_length_variation(joint_positions: np.ndarray, parents: Sequence[int]) -> np.ndarray:
    """Return the standard deviation over the mean of the length of each bone: 0 for a body that does not stretch.

    Args:
        joint_positions: `(frames, joints, 3)`, metres.
        parents: Parent of each joint; negative for a root, which ends no bone.

    Returns:
        `(bones,)` in the order of the joints that end them; 0 for a bone without length. Its maximum is the worst
        bone.

    Raises:
        ValueError: If there is not one parent for each joint, or none has a parent.
    """
    check_positions(joint_positions)
    parent_of = np.asarray(parents)
    num_joints = joint_positions.shape[1]
    if parent_of.shape != (num_joints,) or parent_of.max() >= num_joints or parent_of.max() < 0:
        raise ValueError(f"`parents` must name the parent of each of the {num_joints} joints, got {parent_of}.")
    children = np.flatnonzero(parent_of >= 0)
    lengths = np.linalg.norm(joint_positions[:, children] - joint_positions[:, parent_of[children]], axis=-1)
    mean = lengths.mean(axis=0)
    return np.divide(lengths.std(axis=0), mean, out=np.zeros_like(mean), where=mean > 0)


def _mean_difference(joint_positions: np.ndarray, frame_rate: float, order: int) -> float:
    check_positions(joint_positions, min_frames=order + 1)
    check_positive_rate(frame_rate)
    differences = np.diff(joint_positions, n=order, axis=0)
    return float(np.linalg.norm(differences, axis=-1).mean() * frame_rate**order)
