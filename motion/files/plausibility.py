"""Checks and axes that the readers of foreign motion files share."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..skeleton import JOINT_INDEX, PARENTS

UP_AXES = ("y", "z")
_LEG_METRES = (0.45, 1.35)
_UNITS = (("centimetres", 100.0), ("millimetres", 1000.0), ("inches", 39.37))
_MAX_BONE_VARIATION = 0.3
_MAX_SPEED = 12.0
"""Metres a second; a sprinter's is 12. The fastest tenth of a dance's frames stays far below."""


def finite_array(value: Any, name: str, path: str | os.PathLike) -> np.ndarray:
    """Return numbers as float64, or raise `ValueError` that names the file, the array and what is wrong with it."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: `{name}` must be an array of numbers, got {type(value).__name__}: {error}"
        ) from error
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{path}: `{name}` must hold at least one frame, got shape {array.shape}.")
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{path}: `{name}` holds NaN or infinity in {bad.sum()} of {len(array)} frames, first in {bad.argmax()}."
        )
    return array


def check_frame_rate(frame_rate: float, path: str | os.PathLike) -> float:
    """Return a frame rate in Hz, or raise `ValueError`."""
    if not (np.isfinite(frame_rate) and 1 <= frame_rate <= 1000):
        raise ValueError(f"{path}: the frame rate must lie in 1 to 1000 Hz, got {frame_rate}. Pass `frame_rate`.")
    return float(frame_rate)


def check_body(joint_positions: np.ndarray, path: str | os.PathLike) -> None:
    """Raise `ValueError` unless `(frames, 22, 3)` are joints of an adult in metres.

    Legs say the unit in any pose and on any axes; bones that change their length say that the numbers are no joints
    (angles, velocities, normalized features).
    """
    bones = np.linalg.norm(joint_positions[:, 1:] - joint_positions[:, list(PARENTS[1:])], axis=-1)
    lengths = np.median(bones, axis=0)
    variation = float(np.median(bones.std(axis=0) / np.maximum(lengths, 1e-9)))
    if variation > _MAX_BONE_VARIATION:
        raise ValueError(
            f"{path} does not hold the joints of a body: the lengths of its bones vary by {variation:.0%}. Angles and "
            "normalized features must be converted first."
        )
    joints = [JOINT_INDEX[f"{side}_{name}"] - 1 for side in ("left", "right") for name in ("knee", "ankle")]
    leg = float(lengths[joints].sum() / 2)
    low, high = _LEG_METRES
    if not low <= leg <= high:
        units = [unit for unit, factor in _UNITS if low <= leg / factor <= high]
        guess = f"this looks like {' or '.join(units)}" if units else "this is no adult in any unit"
        raise ValueError(
            f"{path}: joint positions must be in metres, got legs (thigh + shank) of {leg:.3g}: {guess}. Rescale the "
            "file."
        )


def check_path(root_positions: np.ndarray, frame_rate: float, path: str | os.PathLike) -> None:
    """Raise `ValueError` if the root, `(frames, 3)`, moves faster than people do: another unit, or another rate."""
    if len(root_positions) < 2:
        return
    speed = float(np.quantile(np.linalg.norm(np.diff(root_positions, axis=0), axis=-1) * frame_rate, 0.9))
    if speed > _MAX_SPEED:
        raise ValueError(
            f"{path}: translations must be in metres, got a root that moves at {speed:.0f} a second at {frame_rate:g} "
            "Hz: centimetres, a scale that was not divided out, or a wrong frame rate?"
        )


def guess_up_axis(joint_positions: np.ndarray, path: str | os.PathLike) -> str:
    """Find the axis, `"y"` or `"z"`, along which the trunk of `(frames, 22, 3)` stands on its feet.

    Raises:
        ValueError: If the body stands on its head or lies along x in most frames: camera coordinates, or a dance on
            the floor, for which the axis must be given.
    """
    feet = joint_positions[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    up = np.median(joint_positions[:, JOINT_INDEX["neck"]] - feet, axis=0)
    axis = int(np.abs(up).argmax())
    if axis == 0 or up[axis] <= 0:
        raise ValueError(
            f"{path}: the body must stand upright along +y or +z, got a trunk that points along "
            f"{'-' if up[axis] <= 0 else '+'}{'xyz'[axis]} in most frames. Pass `up_axis` if it lies on the floor; "
            "camera coordinates (y down) must be turned to the world first."
        )
    return "xyz"[axis]


def check_up_axis(up_axis: str | None) -> None:
    """Raise `ValueError` unless `up_axis` is `"y"`, `"z"` or `None`."""
    if up_axis not in (None, *UP_AXES):
        raise ValueError(f"`up_axis` must be 'y', 'z' or None, got {up_axis!r}.")


def z_up_to_y_up(vectors: np.ndarray) -> np.ndarray:
    """Turn `(..., 3)` by -90 degrees about x: z becomes y, y becomes -z."""
    return vectors[..., [0, 2, 1]] * np.array([1.0, 1.0, -1.0])


def y_up_to_z_up(vectors: np.ndarray) -> np.ndarray:
    """Turn `(..., 3)` by 90 degrees about x: y becomes z, z becomes -y; undoes `z_up_to_y_up`."""
    return vectors[..., [0, 2, 1]] * np.array([1.0, -1.0, 1.0])
