"""Write an SMPL `.npz` again with some joints changed: every other array, and every other column, stays as it is."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import roma
import torch

from ..motion.files.plausibility import y_up_to_z_up
from ..motion.files.smpl import TRANSLATION_KEYS
from ..utils.atomic import atomic_path
from .carry_back import RigChange

# Where the 22 joints lie: the array's name, the first joint it holds.
_ROTATION_KEYS = {
    "poses": 0,
    "smpl_poses": 0,
    "root_orient": 0,
    "global_orient": 0,
    "pose_body": 1,
    "body_pose": 1,
}


def write_changed_smpl(
    arrays: Mapping[str, np.ndarray], change: RigChange, up_axis: str, path: str | os.PathLike
) -> None:
    """Write the arrays of an SMPL file with the rotations and the translation of a change.

    Args:
        arrays: Of the file that was read; not changed.
        change: Of the rig of our 22 joints, Y up.
        up_axis: `"y"` or `"z"`, of the file.
        path: The `.npz` to write, in full or not at all.

    Raises:
        OSError: As `atomic_path`.
    """
    changed = {name: np.array(array) for name, array in arrays.items()}
    for key, first in _ROTATION_KEYS.items():
        if key not in changed:
            continue
        flat = changed[key].reshape(len(changed[key]), -1)
        for joint, rotations in change.rotations.items():
            column = 3 * (joint - first)
            if 0 <= column < flat.shape[1]:
                vectors = _rotation_vectors(rotations, joint, up_axis)
                flat[change.first_frame :, column : column + 3] = vectors[change.first_frame :]
        changed[key] = flat.reshape(changed[key].shape)
    scaling = float(np.ravel(changed.get("smpl_scaling", 1.0))[0])
    translation = y_up_to_z_up(change.translation) if up_axis == "z" else change.translation
    for key in TRANSLATION_KEYS:
        if key in changed:
            changed[key] = (changed[key] + scaling * translation).astype(changed[key].dtype)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **changed)  # type: ignore[arg-type]


def _rotation_vectors(rotations: np.ndarray, joint: int, up_axis: str) -> np.ndarray:
    matrices = roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(torch.from_numpy(rotations)))
    if joint == 0 and up_axis == "z":
        matrices = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=matrices.dtype) @ matrices
    return roma.rotmat_to_rotvec(matrices).numpy()
