"""Kinetic features of a dance, behind FID_k and Div_k: how fast each joint travels and rises, how hard it turns."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from .checks import check_positions, check_positive_rate

FeatureMode = Literal["compat", "compat_world", "corrected"]
"""Which formulae: the published ones on root-relative or on world joints, or those without their mistakes."""

PUBLISHED_NUM_FRAMES = 1024
PUBLISHED_FRAME_SECONDS = 1 / 60
PUBLISHED_WINDOW_FRAMES = 2
HALF_WINDOW_SECONDS = 1 / 30


def kinetic_features(joint_positions: np.ndarray, frame_rate: float, *, mode: FeatureMode = "compat") -> np.ndarray:
    """Return three numbers for each joint: mean squared horizontal and vertical speed, mean acceleration.

    `"compat"` equals the published formulae (LODGE, InfiniteDance) with their mistakes: a frame lasts 1/60 s
    at any frame rate, and a misplaced bracket subtracts a position from a velocity, so that the third number
    of a joint that never moves is about 3540 times its distance from the origin. The first 1024 frames count;
    velocities are means over 5 frames. Joints are relative to the root, the root to its first place.
    `"compat_world"` is the same on the joints as they are (Bailando).

    `"corrected"` has metres and seconds, uses all frames, and is the same wherever the dance takes place. Differences
    are central, over 1/30 s to both sides (in whole frames), at any frame rate. Joints are relative to the root, the
    root's own three numbers are those of its path.

    Args:
        joint_positions: `(frames >= 3, joints, 3)`, metres, in the world, Y up, joint 0 the root.
        frame_rate: Hz; without effect in the published formulae.
        mode: See above.

    Returns:
        `(3 * joints,)` float64, joint by joint: m^2/s^2, m^2/s^2, m/s^2.

    Raises:
        ValueError: If the shape is wrong, a position is not finite, the clip is too short or `mode` is unknown.
    """
    check_clip(joint_positions, frame_rate, mode)
    if mode == "corrected":
        half = half_window_frames(frame_rate)
        velocity, acceleration = _central_differences(to_root_relative(joint_positions), half)
        velocity, acceleration = velocity * frame_rate, acceleration * frame_rate**2
    else:
        positions = joint_positions[:PUBLISHED_NUM_FRAMES]
        positions = to_root_relative(positions) if mode == "compat" else positions.astype(np.float64)
        velocity, acceleration = _published_differences(positions)
    squared_speed = np.einsum("tjc,tjc->jc", velocity, velocity) / len(velocity)  # (joints, 3)
    horizontal, vertical = squared_speed[:, 0] + squared_speed[:, 2], squared_speed[:, 1]
    effort = np.sqrt(np.einsum("tjc,tjc->tj", acceleration, acceleration)).mean(axis=0)
    return np.stack([horizontal, vertical, effort], axis=-1).reshape(-1)


def to_root_relative(joint_positions: np.ndarray) -> np.ndarray:
    """Return all joints relative to the root of their own frame, and the root relative to its first place.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, joint 0 the root.

    Returns:
        A new float64 array of the same shape.
    """
    relative = np.subtract(joint_positions, joint_positions[:, :1], dtype=np.float64)
    relative[:, 0] = joint_positions[:, 0].astype(np.float64) - joint_positions[0, 0]
    return relative


def half_window_frames(frame_rate: float) -> int:
    """Return how many frames the corrected differences look to each side: 1/30 s, at least 1 frame."""
    return max(1, round(frame_rate * HALF_WINDOW_SECONDS))


def check_clip(joint_positions: np.ndarray, frame_rate: float, mode: str, num_joints: int | None = None) -> None:
    """Refuse what no feature can be computed of.

    Args:
        joint_positions: What must be a finite `(frames, joints, 3)` array, long enough for the differences.
        frame_rate: What must be a positive number, Hz.
        mode: What must be a `FeatureMode`.
        num_joints: Joints, where the features need some number of them.
    """
    if mode not in get_args(FeatureMode):
        raise ValueError(f"`mode` must be one of {get_args(FeatureMode)}, got {mode!r}.")
    check_positive_rate(frame_rate)
    min_frames = 2 * half_window_frames(frame_rate) + 1 if mode == "corrected" else 3
    check_positions(joint_positions, min_frames=min_frames, num_joints=num_joints)


def _central_differences(positions: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return velocity and acceleration in metres a frame (squared), each `(frames - 2 half, joints, 3)`."""
    before, now, after = positions[: -2 * half], positions[half:-half], positions[2 * half :]
    return (after - before) / (2 * half), (after - 2 * now + before) / half**2


def _published_differences(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what the published formulae call velocity and acceleration, each `(frames - 1, joints, 3)`."""
    dt = PUBLISHED_FRAME_SECONDS
    steps = np.diff(positions, axis=0)
    # (p[k+1] - p[k]) / dt - (p[k] - p[k-1] / dt): the bracket is theirs
    changes = steps[1:] / dt
    changes -= positions[1:-1]
    changes += positions[:-2] / dt
    return _windowed_means(steps, len(steps)) / dt, _windowed_means(changes, len(steps)) / dt


def _windowed_means(values: np.ndarray, num_windows: int) -> np.ndarray:
    """Average over 2 frames to each side of frames 0, 1, ...; what lies beyond an end is left out."""
    width, num_values = 2 * PUBLISHED_WINDOW_FRAMES + 1, len(values)
    # sums[i] holds the frames before i - 2, so that a window ends where another one starts 5 frames on.
    sums = np.zeros((num_windows + width, *values.shape[1:]))
    start = PUBLISHED_WINDOW_FRAMES + 1
    np.cumsum(values, axis=0, out=sums[start : start + num_values])
    sums[start + num_values :] = sums[start + num_values - 1]
    centers = np.arange(num_windows)
    first = np.maximum(centers - PUBLISHED_WINDOW_FRAMES, 0)
    end = np.minimum(centers + PUBLISHED_WINDOW_FRAMES + 1, num_values)
    return (sums[width:] - sums[:-width]) / (end - first)[:, None, None]
