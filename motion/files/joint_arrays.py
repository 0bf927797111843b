"""Read plain arrays of other systems: joint positions, and the feature vectors that joints are recovered from.

| numbers a frame | what it is | Hz |
|---|---|---|
| 22 x 3, flat or not | joints of InfiniteDance (SMPL body order) | 30 |
| 24 x 3, flat or not | joints of Bailando and Danceba (SMPL) | 60 under `pred_position` or `dance_array` |
| 52 x 3, 55 x 3, flat or not | joints of SMPL-H and SMPL-X, of which the first 22 are read | to be given |
| 263 | HumanML3D features | 20 |
| 264 | InfiniteDance features | 30 |
| 139, 319 | LODGE features: 4 contacts, 3 root position, 6D rotations of 22 or 52 joints | 30 |
| 315 | FineDance motion: 3 root position, 6D rotations of 52 joints | 30 |

A frame rate that is not listed must be given. Of features, only what the published recovery reads is read: root
velocities, height and joint positions of the 263 and 264 channels (their rotations are not SMPL's and have lost the
twist). Features must not be normalized. 6D rotations are the first two *rows* of a matrix, as PyTorch3D writes them;
that the three last layouts are so is known from their projects' code, not from a written specification.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from ..kinematics import rotation_6d_to_matrix, yaw_to_matrix
from ..skeleton import NUM_JOINTS
from .pickles import load_restricted, require_trust
from .plausibility import check_body, check_frame_rate, check_up_axis, finite_array, guess_up_axis, z_up_to_y_up

_JOINT_COUNTS = (22, 24, 52, 55)
_JOINT_FRAME_RATES = {22: 30.0}
_BAILANDO_KEYS = ("pred_position", "dance_array")
_BAILANDO_FRAME_RATE = 60.0
_HUMANML3D_WIDTH, _INFINITEDANCE_WIDTH = 263, 264
# Width of a frame: columns before the root position, and joints with a 6D rotation after it.
_ROTATION_LAYOUTS = {139: (4, 22), 319: (4, 52), 315: (0, 52)}
_ROTATION_FRAME_RATE = 30.0
_KNOWN_SHAPES = (
    "(frames, 22 | 24 | 52 | 55, 3) or flat (frames, 66 | 72 | 156 | 165) joints; (frames, 263) HumanML3D; "
    "(frames, 264) InfiniteDance; (frames, 139 | 319) LODGE; (frames, 315) FineDance"
)


def read_number_file(path: str | os.PathLike, trust_pickle: bool = False) -> Any:
    """Read a `.npy` or `.json` file: an array, or a dictionary where the file holds one.

    Args:
        path: The file.
        trust_pickle: Needed for `.npy` files that hold a dictionary, which is a pickle.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken or a pickle that is not trusted.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.suffix.lower() == ".json":
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not readable JSON: {error}") from error
    try:
        with path.open("rb") as file:
            major, _ = np.lib.format.read_magic(file)
            read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            has_objects = read_header(file)[2].hasobject
            if has_objects and trust_pickle:
                value = load_restricted(file)
                return value.item() if value.ndim == 0 else value
        if not has_objects:
            return np.load(path, allow_pickle=False)
    except (pickle.UnpicklingError, EOFError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error
    require_trust(path, trust_pickle)


def array_of(value: Any, path: str | os.PathLike) -> tuple[np.ndarray, float | None]:
    """Return the motion's array and, where the file's keys give its format away, its frame rate in Hz."""
    if not isinstance(value, dict):
        return finite_array(value, "the array", path), None
    key = next((key for key in _BAILANDO_KEYS if key in value), None)
    if key is None:
        raise ValueError(
            f"{path} must hold an array of numbers, or joints under one of {', '.join(_BAILANDO_KEYS)}, got the keys "
            f"{', '.join(map(str, value))}."
        )
    return finite_array(value[key], key, path), _BAILANDO_FRAME_RATE


def smpl_arrays_from_features(array: np.ndarray) -> dict[str, Any] | None:
    """Turn LODGE's and FineDance's features into the arrays of an SMPL file; `None` for any other layout."""
    if array.ndim != 2 or array.shape[1] not in _ROTATION_LAYOUTS:
        return None
    start, joints = _ROTATION_LAYOUTS[array.shape[1]]
    rows = torch.from_numpy(array[:, start + 3 :]).unflatten(1, (joints, 6))[:, :NUM_JOINTS]
    # The transpose of the matrix whose columns are the six numbers has them as rows.
    rotations = rotation_6d_to_matrix(rows).transpose(-1, -2)
    return {
        "poses": roma.rotmat_to_rotvec(rotations).numpy(),
        "trans": array[:, start : start + 3],
        "fps": _ROTATION_FRAME_RATE,
    }


def joints_from_array(
    array: np.ndarray,
    path: str | os.PathLike,
    *,
    frame_rate: float | None = None,
    up_axis: str | None = None,
) -> tuple[np.ndarray, float]:
    """Return the 22 joints that an array of positions or of 263-d or 264-d features holds.

    Args:
        array: `(frames, joints, 3)` or `(frames, channels)`; the module lists what is known.
        path: Named in messages.
        frame_rate: Hz, where the layout does not fix it or the file differs.
        up_axis: `"y"` or `"z"`; found from the way the body stands if `None`.

    Returns:
        Positions `(frames, 22, 3)`, metres, Y up, the height as in the file; and the frame rate in Hz.

    Raises:
        ValueError: If the shape is not known, the unit is not metres, or the frame rate must be given.
    """
    check_up_axis(up_axis)
    width = array.shape[1] if array.ndim == 2 else 0
    if width in (_HUMANML3D_WIDTH, _INFINITEDANCE_WIDTH):
        joints = joints_from_root_and_ric(array)
        known_rate: float | None = 20.0 if width == _HUMANML3D_WIDTH else 30.0
    elif array.ndim == 3 and array.shape[2] == 3 and array.shape[1] in _JOINT_COUNTS:
        joints, known_rate = array[:, :NUM_JOINTS], _JOINT_FRAME_RATES.get(array.shape[1])
    elif width % 3 == 0 and width // 3 in _JOINT_COUNTS:
        joints = array.reshape(len(array), -1, 3)[:, :NUM_JOINTS]
        known_rate = _JOINT_FRAME_RATES.get(width // 3)
    else:
        raise ValueError(f"{path} has a layout that is not known: got shape {array.shape}, known are {_KNOWN_SHAPES}.")
    rate = known_rate if frame_rate is None else frame_rate
    if rate is None:
        raise ValueError(
            f"{path}: joints of shape {array.shape} do not say their frame rate; pass `frame_rate` (60 for Bailando "
            "and Danceba on AIST++, 30 for most others)."
        )
    check_body(joints, path)
    if (up_axis or guess_up_axis(joints, path)) == "z":
        joints = z_up_to_y_up(joints)
    return joints, check_frame_rate(rate, path)


def joints_from_root_and_ric(features: np.ndarray) -> np.ndarray:
    """Recover joints from HumanML3D's 263 or InfiniteDance's 264 channels, which must not be normalized.

    Both integrate the half-angle of the heading and the floor velocity in the heading frame of the next row, and place
    21 joints relative to the root's floor point. The 264 begin with height and the integrated heading, which is not
    read; the 263 have the height after the velocities.

    Args:
        features: `(frames, 263)` or `(frames, 264)`.

    Returns:
        `(frames, 22, 3)`, metres, Y up; the first frame stands at x = z = 0 and looks along +Z.
    """
    values = torch.from_numpy(np.asarray(features, dtype=np.float64))
    if values.shape[1] == _INFINITEDANCE_WIDTH:
        height, half_yaw_velocity, velocity, first = values[:, 0], values[:, 2], values[:, 3:5], 5
    else:
        height, half_yaw_velocity, velocity, first = values[:, 3], values[:, 0], values[:, 1:3], 4
    half_heading = torch.nn.functional.pad(half_yaw_velocity[:-1].cumsum(0), (1, 0))
    # The quaternion (cos a, 0, sin a, 0) turns into the heading frame: its inverse turns back by -2a.
    to_world = yaw_to_matrix(-2 * half_heading)
    steps = torch.zeros(len(values), 3, dtype=values.dtype)
    steps[1:, [0, 2]] = velocity[:-1]
    root = torch.einsum("tij,tj->ti", to_world, steps).cumsum(0)
    local = values[:, first : first + 3 * (NUM_JOINTS - 1)].unflatten(1, (NUM_JOINTS - 1, 3))
    joints = torch.einsum("tij,tkj->tki", to_world, local) + root[:, None]
    root[:, 1] = height
    return torch.cat([root[:, None], joints], dim=1).numpy()
