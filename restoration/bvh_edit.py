"""Write a BVH file again with some channels changed: every other character of the file stays as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import roma
import torch

from ..motion.files.bvh import BvhRig
from ..motion.files.bvh_parsing import BVHError
from ..utils.atomic import atomic_path
from .carry_back import RigChange

_FRAME_TIME = re.compile(rb"Frame\s+Time\s*:[^\r\n]*[\r\n]+", re.IGNORECASE)
_NUMBER_FORMAT = "%.6f"
_UNCHANGED_METRES = 1e-7


def moving_joint(rig: BvhRig, pelvis: int, path: str | os.PathLike) -> int:
    """Return the joint whose position channels carry the body: the pelvis, or the nearest one above it.

    Args:
        rig: The file.
        pelvis: Its joint that plays the part of our pelvis.
        path: Named in messages.

    Raises:
        BVHError: If no such joint can move along all three axes.
    """
    joint = pelvis
    while joint >= 0:
        if {"xp", "yp", "zp"} <= set(rig.joints[joint].channels):
            return joint
        joint = rig.joints[joint].parent
    raise BVHError(f"{path}: the body must be moved by position channels on x, y and z, which no joint has.")


def write_changed_bvh(rig: BvhRig, change: RigChange, source_path: str | os.PathLike, path: str | os.PathLike) -> None:
    """Write the file that `rig` was read from with the channels of a change.

    The hierarchy, the frame time, white space, and the digits of every channel that does not change are copied byte
    by byte. Angles keep the rotation order of their joint and stay as near to those of the file as a turn allows.

    Args:
        rig: From `read_bvh_rig`.
        change: From `carry_back`.
        source_path: The file that was read.
        path: The file to write, in full or not at all.

    Raises:
        BVHError: If a joint of the legs has no three rotation channels to change.
        OSError: As `atomic_path`.
    """
    columns = changed_columns(rig, change, source_path)
    content = Path(source_path).read_bytes()
    match = _FRAME_TIME.search(content)
    assert match is not None  # it was parsed
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content[: match.end()])
        position, num_channels = 0, rig.values.shape[1]
        for line in content[match.end() :].splitlines(keepends=True):
            parts = re.split(rb"(\s+)", line)  # white space and numbers in turn
            for index, part in enumerate(parts):
                if part and not part.isspace():
                    frame, column = divmod(position, num_channels)
                    if column in columns and frame >= change.first_frame:
                        parts[index] = (_NUMBER_FORMAT % columns[column][frame]).encode()
                    position += 1
            file.write(b"".join(parts))


def changed_columns(rig: BvhRig, change: RigChange, path: str | os.PathLike) -> dict[int, np.ndarray]:
    """Return new values `(frames,)`, degrees and file units, of each column of the file that changes."""
    first = np.cumsum([0, *(len(joint.channels) for joint in rig.joints)])
    columns: dict[int, np.ndarray] = {}
    moved = change.moved_joint
    shift = _file_axes(change.translation, rig, moved) / rig.metres_per_unit
    for position, channel in enumerate(rig.joints[moved].channels):
        values = shift[:, "xyz".index(channel[0])]
        if channel[1] == "p" and np.abs(values).max() * rig.metres_per_unit > _UNCHANGED_METRES:
            columns[first[moved] + position] = rig.values[:, first[moved] + position] + values
    for joint, rotations in change.rotations.items():
        turning = [position for position, channel in enumerate(rig.joints[joint].channels) if channel[1] == "r"]
        axes = [rig.joints[joint].channels[position][0].upper() for position in turning]
        if sorted(axes) != ["X", "Y", "Z"]:
            raise BVHError(
                f"{path}: {rig.joints[joint].name} must have rotation channels on x, y and z to be repaired, got "
                f"{' '.join(axes) or 'none'}."
            )
        own = [int(first[joint]) + position for position in turning]
        angles = _nearest_angles(_file_turn(rotations, rig, joint), "".join(axes), rig.values[:, own])
        columns |= dict(zip(own, angles.T, strict=True))
    return columns


def _file_axes(vectors: np.ndarray, rig: BvhRig, joint: int) -> np.ndarray:
    """Turn vectors of a joint's parent to the file's axes; only above joint 0 the world was turned."""
    return np.stack([vectors[:, 0], -vectors[:, 2], vectors[:, 1]], axis=1) if _is_turned(rig, joint) else vectors


def _file_turn(rotations: np.ndarray, rig: BvhRig, joint: int) -> torch.Tensor:
    """Return local rotations in the file's axes, xyzw."""
    xyzw = roma.quat_wxyz_to_xyzw(torch.from_numpy(rotations))
    if not _is_turned(rig, joint):
        return xyzw
    half = np.sqrt(0.5)
    quarter_turn = torch.tensor([half, 0.0, 0.0, half], dtype=xyzw.dtype)  # +90 degrees about X
    return roma.quat_product(quarter_turn.expand_as(xyzw), xyzw)


def _is_turned(rig: BvhRig, joint: int) -> bool:
    return rig.up_axis == "z" and joint == 0


def _nearest_angles(xyzw: torch.Tensor, order: str, old_angles: np.ndarray) -> np.ndarray:
    """Return Euler angles in degrees, `(frames, 3)`: of all that give the rotations those nearest to `old_angles`."""
    angles = roma.unitquat_to_euler(order, xyzw, degrees=True).numpy()
    candidates = np.stack([angles, angles * np.array([1, -1, 1]) + 180])  # the same rotations
    candidates += 360 * np.round((old_angles - candidates) / 360)
    nearer = np.abs(candidates - old_angles).sum(-1).argmin(0)
    return np.take_along_axis(candidates, nearer[None, :, None], axis=0)[0]
