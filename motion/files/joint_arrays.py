"""Read plain arrays of other systems: joint positions, and the feature vectors that joints are recovered from.

| numbers a frame | what it is | Hz |
|---|---|---|
| 22 x 3, flat or not | joints in the order of SMPL's body (InfiniteDance 30 Hz, HumanML3D and MDM 20 Hz) | 30, with \
a warning |
| 24 x 3, flat or not | joints of Bailando and Danceba (SMPL) | 60 under `pred_position` or `dance_array` |
| 52 x 3, 55 x 3, flat or not | joints of SMPL-H and SMPL-X, of which the first 22 are read | to be given |
| 263 | HumanML3D features | 20 |
| 264 | InfiniteDance features | 30 |
| 139, 319 | LODGE features: 4 contacts, 3 root position, 6D rotations of 22 or 52 (with fingers) joints | 30 |
| 315 | FineDance motion: 3 root position, 6D rotations of 52 joints | 30 |

`results.npy` of MDM (a dictionary of samples, 22 joints at 20 Hz) is read one sample at a time. A frame rate that is
not listed must be given. Of features, only what the published recovery reads is read: root
velocities, height and joint positions of the 263 and 264 channels (their rotations are not SMPL's and have lost the
twist). Features must not be normalized. 6D rotations are the first two *rows* of a matrix, as PyTorch3D writes them;
that the three last layouts are so is known from their projects' code, not from a written specification.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from ..kinematics import rotation_6d_to_matrix, yaw_to_matrix
from ..retargeting.source_animation import joints_on_neighbors, place_missing_trunk
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, neutral_skeleton
from .anatomy import find_up_axis_of_body, turn_to_y_up, with_left_on_the_left
from .limits import MAX_JSON_BYTES, check_file, naming, parse_json
from .npz import read_npy
from .pickles import load_restricted, require_trust
from .plausibility import check_body, check_frame_rate, finite_array, key_list
from .read_options import FRAME_RATE_OPTION, PERSON_OPTION, ReadOptions

_JOINT_COUNTS = (22, 24, 52, 55)
_ASSUMED_FRAME_RATE = 30.0
_MDM_KEYS = {"motion", "lengths"}
_MDM_FRAME_RATE = 20.0
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
    is_json = Path(path).suffix.lower() == ".json"
    path = check_file(path, MAX_JSON_BYTES if is_json else None)
    try:
        if is_json:
            return parse_json(path.read_text(encoding="utf-8-sig"))
        with path.open("rb") as file:
            array = read_npy(file, path.stat().st_size)
            if array is not None:
                return array
            if trust_pickle:
                with naming(path):
                    return load_restricted(file)
    except Exception as error:  # NumPy raises all kinds on broken headers
        if str(path) in str(error):
            raise
        kind = "is not readable JSON" if is_json else "is not a readable .npy file"
        raise ValueError(f"{path} {kind}: {' '.join(str(error).split())[:200]}") from error
    require_trust(path, trust_pickle)


def array_of(value: Any, path: str | os.PathLike, person: str | None = None) -> tuple[np.ndarray, float | None]:
    """Return the motion's array and, where the file's keys give its format away, its frame rate in Hz."""
    if not isinstance(value, dict):
        return finite_array(value, "the array", path), None
    if set(value) >= _MDM_KEYS:
        return _sample_of_mdm(value, path, person), _MDM_FRAME_RATE
    key = next((key for key in _BAILANDO_KEYS if key in value), None)
    if key is None:
        raise ValueError(
            f"{path} must hold an array of numbers, or joints under one of {', '.join(_BAILANDO_KEYS)}, got the keys "
            f"{key_list(value)}."
        )
    return finite_array(value[key], key, path), _BAILANDO_FRAME_RATE


def _sample_of_mdm(value: dict[str, Any], path: str | os.PathLike, person: str | None) -> np.ndarray:
    """Return the joints `(frames, joints, 3)` of one sample of `results.npy`."""
    motion = finite_array(value["motion"], "motion", path)
    lengths = finite_array(value["lengths"], "lengths", path).ravel().astype(int)
    if motion.ndim != 4 or motion.shape[2] != 3 or len(lengths) != len(motion):
        raise ValueError(
            f"{path}: `motion` must have shape (samples, joints, 3, frames) and `lengths` one number a sample, got "
            f"{motion.shape} and {lengths.shape}."
        )
    if person is not None and (not person.isdecimal() or int(person) >= len(motion)):
        raise ValueError(
            f"{path} holds the samples 0 to {len(motion) - 1}, got {person!r}: pass one as {PERSON_OPTION}."
        )
    if person is None and len(motion) > 1:
        warnings.warn(
            f"{path} holds {len(motion)} samples, of which 0 is read. Pass {PERSON_OPTION} for another.", stacklevel=2
        )
    index = int(person or 0)
    if not 1 <= lengths[index] <= motion.shape[3]:
        raise ValueError(f"{path}: sample {index} must have 1 to {motion.shape[3]} frames, got {lengths[index]}.")
    return motion[index, :, :, : lengths[index]].transpose(2, 0, 1)


def smpl_arrays_from_features(array: np.ndarray) -> dict[str, Any] | None:
    """Turn LODGE's and FineDance's features into the arrays of an SMPL file; `None` for any other layout."""
    if array.ndim != 2 or array.shape[1] not in _ROTATION_LAYOUTS:
        return None
    start, joints = _ROTATION_LAYOUTS[array.shape[1]]
    rows = torch.from_numpy(array[:, start + 3 :]).unflatten(1, (joints, 6))
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
    options: ReadOptions | None = None,
    *,
    known_rate: float | None = None,
) -> tuple[np.ndarray, float]:
    """Return the 22 joints that an array of positions or of 263-d or 264-d features holds.

    Args:
        array: `(frames, joints, 3)` or `(frames, channels)`; the module lists what is known.
        path: Named in messages.
        options: Frame rate, unit and up axis, where the layout does not fix them or the file differs.
        known_rate: Hz, of the format that the file's keys show.

    Returns:
        Positions `(frames, 22, 3)`, metres, Y up, the height as in the file; and the frame rate in Hz.

    Raises:
        ValueError: If the shape is not known, the unit is not metres, or the frame rate must be given.
    """
    options = options or ReadOptions()
    width = array.shape[1] if array.ndim == 2 else 0
    count = array.shape[1] if array.ndim == 3 and array.shape[2] == 3 else width // 3 if width % 3 == 0 else 0
    if width in (_HUMANML3D_WIDTH, _INFINITEDANCE_WIDTH):
        joints = joints_from_root_and_ric(array)
        known_rate = known_rate or (20.0 if width == _HUMANML3D_WIDTH else 30.0)
    elif count in _JOINT_COUNTS:
        joints = array.reshape(len(array), count, 3)[:, :NUM_JOINTS]
    else:
        raise ValueError(f"{path} has a layout that is not known: got shape {array.shape}, known are {_KNOWN_SHAPES}.")
    rate = options.frame_rate or known_rate or _assumed_rate(array, count, path)
    joints = joints * (options.metres_per_unit or 1.0)
    check_body(joints, path)
    up_axis = options.up_axis or find_up_axis_of_body(joints, path)
    joints = with_left_on_the_left(joints @ turn_to_y_up(up_axis).T, path)
    return _completed(joints), check_frame_rate(rate, path)


def _assumed_rate(array: np.ndarray, count: int, path: str | os.PathLike) -> float:
    """Return the rate that most files of 22 joints have, with a warning; files of other bodies differ too much."""
    if count != NUM_JOINTS:
        raise ValueError(
            f"{path}: joints of shape {array.shape} do not say their frame rate; pass {FRAME_RATE_OPTION}: 60 for "
            "Bailando and Danceba on AIST++, 30 for most others."
        )
    warnings.warn(
        f"{path} does not say its frame rate, which is taken for {_ASSUMED_FRAME_RATE:g} Hz; HumanML3D and MDM have "
        f"20. Pass {FRAME_RATE_OPTION}.",
        stacklevel=2,
    )
    return _ASSUMED_FRAME_RATE


def _completed(joints: np.ndarray) -> np.ndarray:
    """Place joints that lie on their neighbors between those that do not; others stay to the bit."""
    body = {name: joints[:, index] for index, name in enumerate(JOINT_NAMES)}
    dropped = joints_on_neighbors(body)
    if not dropped:
        return joints
    for name in dropped:
        del body[name]
    across = body["left_hip"] - body["right_hip"]
    forward = np.cross(across, body["spine3"] - body["pelvis"])
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    foot = neutral_skeleton().offsets[JOINT_INDEX["left_foot"]]
    for side in ("left", "right"):
        body.setdefault(f"{side}_foot", body[f"{side}_ankle"] + foot[2] * forward + np.array([0, foot[1], 0]))
    place_missing_trunk(body)
    return np.stack([body[name] for name in JOINT_NAMES], axis=1)


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
