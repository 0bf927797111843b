"""What every metric asks of its arrays."""

from __future__ import annotations

import numpy as np


def check_positions(
    positions: np.ndarray, name: str = "joint_positions", min_frames: int = 1, num_joints: int | None = None
) -> None:
    """Refuse what is not a clip of finite joint positions.

    Args:
        positions: Should be `(frames, joints, 3)`.
        name: Of the argument, for the message.
        min_frames: Fewest frames.
        num_joints: Joints, where the metric needs some number of them.

    Raises:
        ValueError: If the shape is another one, there are too few frames, or a number is not finite.
    """
    is_clip = positions.ndim == 3 and positions.shape[2] == 3 and len(positions) >= min_frames and positions.shape[1]
    if not is_clip or num_joints not in (None, positions.shape[1]):
        joints = "joints" if num_joints is None else num_joints
        raise ValueError(f"`{name}` must have shape (frames >= {min_frames}, {joints}, 3), got {positions.shape}.")
    _check_finite(positions, name)


def check_point_path(positions: np.ndarray, name: str = "root_positions", min_frames: int = 1) -> None:
    """Refuse what is not the finite path `(frames, 3)` of one point.

    Args:
        positions: Should be `(frames, 3)`.
        name: Of the argument, for the message.
        min_frames: Fewest frames.

    Raises:
        ValueError: As `check_positions`.
    """
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) < min_frames:
        raise ValueError(f"`{name}` must have shape (frames >= {min_frames}, 3), got {positions.shape}.")
    _check_finite(positions, name)


def check_same_shape(predicted: np.ndarray, true: np.ndarray) -> None:
    """Refuse a prediction that is not of the shape of the truth."""
    if predicted.shape != true.shape:
        raise ValueError(f"`predicted` and `true` must have the same shape, got {predicted.shape} and {true.shape}.")


def check_positive_rate(frame_rate: float) -> None:
    """Refuse a frame rate that is not a positive number of Hz."""
    if not (np.isfinite(frame_rate) and frame_rate > 0):
        raise ValueError(f"`frame_rate` must be positive, in Hz, got {frame_rate}.")


def _check_finite(positions: np.ndarray, name: str) -> None:
    bad = ~np.isfinite(positions).reshape(len(positions), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"`{name}` must be finite, got NaN or infinity in {bad.sum()} frames, first in frame {bad.argmax()}: cut "
            "these frames off or fill them."
        )
