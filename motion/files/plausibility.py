"""Checks and axes that the readers of foreign motion files share."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..skeleton import JOINT_INDEX, PARENTS
from .limits import MAX_VALUES, check_frames, printable
from .pickle_objects import tensor_values
from .read_options import FRAME_RATE_OPTION, MAX_FRAME_RATE, MIN_FRAME_RATE, UNIT_OPTION

_LEG_METRES = (0.45, 1.35)
_UNITS = (
    ("centimetres: cm", 100.0),
    ("millimetres: mm", 1000.0),
    ("inches: in", 39.37),
    ("feet: ft", 3.281),
    ("decimetres: dm", 10.0),
)
_LARGEST = 1e9
"""No motion has larger numbers."""
_MAX_LIST_DEPTH = 6
_LISTED_KEYS = 20
_MAX_BONE_VARIATION = 0.3
_MAX_SPEED = 12.0
"""Metres a second; a sprinter's is 12. The fastest tenth of a dance's frames stays far below."""


def finite_array(value: Any, name: str, path: str | os.PathLike) -> np.ndarray:
    """Return numbers as float64, or raise `ValueError` that names the file, the array and what is wrong with it."""
    try:
        # Of lists with a long text among the numbers NumPy would make an array of texts as long.
        array = np.asarray(_checked(value), np.float64 if isinstance(value, list | tuple) else None)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{path}: `{name}` must be an array of numbers, got {type(value).__name__}: {str(error):.200}"
        ) from error
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: `{name}` must be an array of numbers, got {array.dtype}.")
    array = array.astype(np.float64)
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{path}: `{name}` must hold at least one frame, got shape {array.shape}.")
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{path}: `{name}` holds NaN or infinity in {bad.sum()} of {len(array)} frames, first in {bad.argmax()}."
        )
    if np.abs(array).max(initial=0) > _LARGEST:
        raise ValueError(f"{path}: `{name}` holds a number larger than {_LARGEST:g}, which no motion has.")
    return array


def _checked(value: Any) -> Any:
    """Return what may become an array: nested lists can name the same list again and again, and be endless so."""
    if isinstance(value, torch.Tensor):
        return tensor_values(value)
    if isinstance(value, np.ndarray):
        if value.size > MAX_VALUES:
            raise ValueError(f"at most {MAX_VALUES} numbers are read, got {value.size}.")
        return value
    level, depth = [value], 0
    while any(isinstance(item, (list, tuple)) for item in level):
        depth += 1
        lists = [item for item in level if isinstance(item, (list, tuple))]
        count = sum(map(len, lists)) + sum(np.size(item) for item in level if isinstance(item, np.ndarray))
        if count > MAX_VALUES or depth > _MAX_LIST_DEPTH:
            raise ValueError(f"at most {MAX_VALUES} numbers in lists of {_MAX_LIST_DEPTH} levels are read.")
        level = [item for items in lists for item in items]
    return value


def key_list(arrays: Iterable[Any]) -> str:
    """Return the first keys of a file for a message."""
    keys = [printable(str(key)[:40]) for key in itertools.islice(arrays, _LISTED_KEYS + 1)]
    return ", ".join([*keys[:_LISTED_KEYS], *(["..."] if len(keys) > _LISTED_KEYS else [])])


def check_frame_rate(frame_rate: Any, path: str | os.PathLike) -> float:
    """Return a frame rate in Hz, or raise `ValueError`."""
    try:
        rate = float(np.asarray(frame_rate).reshape(()))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: the frame rate must be one number. Pass {FRAME_RATE_OPTION}.") from error
    if not (np.isfinite(rate) and MIN_FRAME_RATE <= rate <= MAX_FRAME_RATE):
        raise ValueError(
            f"{path}: the frame rate must lie in {MIN_FRAME_RATE:g} to {MAX_FRAME_RATE:g} Hz, got {rate:g}. Pass "
            f"{FRAME_RATE_OPTION}."
        )
    return rate


def check_body(joint_positions: np.ndarray, path: str | os.PathLike) -> None:
    """Raise `ValueError` unless `(frames, 22, 3)` are joints of an adult in metres, and not too many frames.

    Legs say the unit in any pose and on any axes; bones that change their length say that the numbers are no joints
    (angles, velocities, normalized features).
    """
    check_frames(len(joint_positions), path)
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
        names = " or ".join(unit.split(":")[0] for unit in units)
        guess = f"this looks like {names}" if units else "this is no adult in any unit"
        option = f"`--unit {units[0].split(': ')[1]}`" if units else UNIT_OPTION
        raise ValueError(
            f"{path}: joint positions must be in metres, got legs (thigh + shank) of {leg:.3g}: {guess}. Pass "
            f"{option}."
        )


def check_path(root_positions: np.ndarray, frame_rate: float, path: str | os.PathLike) -> None:
    """Raise `ValueError` if the root, `(frames, 3)`, moves faster than people do: another unit, or another rate."""
    if len(root_positions) < 2:
        return
    speed = float(np.quantile(np.linalg.norm(np.diff(root_positions, axis=0), axis=-1) * frame_rate, 0.9))
    if speed > _MAX_SPEED:
        raise ValueError(
            f"{path}: translations must be in metres, got a root that moves at {speed:.0f} a second at {frame_rate:g} "
            f"Hz: centimetres, a scale that was not divided out, or a wrong frame rate? Pass {UNIT_OPTION} or "
            f"{FRAME_RATE_OPTION}."
        )


def y_up_to_z_up(vectors: np.ndarray) -> np.ndarray:
    """Turn `(..., 3)` by 90 degrees about x: y becomes z, z becomes -y."""
    return vectors[..., [0, 2, 1]] * np.array([1.0, -1.0, 1.0])
