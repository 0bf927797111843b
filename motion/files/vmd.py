"""Write dances as VMD, the motion files of MikuMikuDance (MMD)."""

from __future__ import annotations

import math
import os

import numpy as np
import torch

from ...utils.atomic import atomic_path
from ..drawing.body_mesh import rest_positions
from ..fingers import BONES_OF_FINGER, FINGERS, JOINTS_OF_HAND, NUM_FINGER_JOINTS
from ..kinematics import SIDES, matrix_to_quaternion, quaternion_to_matrix
from ..motion import Motion
from ..skeleton import JOINT_INDEX
from .rig import continuous_quaternions, standing_height

FRAME_RATE = 30.0
UNITS_PER_METRE = 12.5
"""A unit of MMD is 8 cm."""
ARM_DEGREES = 35.0
"""By which the arms of MMD's models hang below those of a T-pose in their rest pose."""
_MODEL_NAME = "infinitedance"
_SIGNATURE = b"Vocaloid Motion Data 0002"
_CENTER = "センター"
_SIDE_NAMES = {"left": "左", "right": "右"}
# Of a bone our joint that turns as it does, and the bone that it hangs on. Upper and lower body begin at one point.
_TRUNK = {
    "下半身": ("pelvis", None),
    "上半身": ("spine1", None),
    "上半身2": ("spine3", "上半身"),
    "首": ("neck", "上半身2"),
    "頭": ("head", "首"),
}
_LIMBS = {
    "肩": ("collar", "上半身2"),
    "腕": ("shoulder", "肩"),
    "ひじ": ("elbow", "腕"),
    "手首": ("wrist", "ひじ"),
    "足": ("hip", "下半身"),
    "ひざ": ("knee", "足"),
    "足首": ("ankle", "ひざ"),
}
_HANGING = ("shoulder", "elbow", "wrist")
_FINGER_NAMES = {"index": "人指", "middle": "中指", "pinky": "小指", "ring": "薬指", "thumb": "親指"}
_INVERSE_KINEMATICS = ("足ＩＫ", "つま先ＩＫ")
_BONE_KEY = np.dtype(
    [("name", "S15"), ("frame", "<u4"), ("position", "<f4", 3), ("rotation", "<f4", 4), ("curves", "u1", 64)]
)
_LINEAR = np.array([20] * 8 + [107] * 8, dtype=np.uint8)
"""Handles of a straight curve: x and y of the first and of the second for X, Y, Z and the rotation."""
_TO_MMD = np.array([1.0, 1.0, -1.0])
"""MMD's axes are left-handed, and its models look along -Z."""


def write_vmd(motion: Motion, path: str | os.PathLike) -> None:
    """Write a dance as VMD for any model with MMD's usual bones: 30 Hz, units of 8 cm, a key a frame, linear between.

    `センター` carries the path from where a standing model is. The models rest with hanging arms, which is taken into
    account. Inverse kinematics of the legs are switched off, so that hips, knees and ankles turn as they are danced.
    Fingers are written where the dance has them; toes have no bone. The format has no place for a provenance.

    Args:
        motion: The dance, resampled to 30 Hz if it has another rate.
        path: The file, written in full or not at all.

    Raises:
        OSError: As `atomic_path`.
    """
    motion = motion.resample(FRAME_RATE)
    keys = [_keys(_CENTER, np.tile([0, 0, 0, 1], (motion.num_frames, 1)), _center_positions(motion))]
    keys += [_keys(name, rotations) for name, rotations in _local_rotations(motion).items()]
    bones = np.concatenate(keys)
    switched = [side + name for side in _SIDE_NAMES.values() for name in _INVERSE_KINEMATICS]
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            _SIGNATURE.ljust(30, b"\0")
            + _text(_MODEL_NAME, 20)
            + np.uint32(len(bones)).tobytes()
            + bones.tobytes()
            + bytes(4 * 4)  # no keys of faces, cameras, lights and shadows
            + np.array([1, 0], dtype="<u4").tobytes()  # one key at frame 0: the model is shown, and its IK is off
            + b"\1"
            + np.uint32(len(switched)).tobytes()
            + b"".join(_text(name, 20) + b"\0" for name in switched)
        )


def _text(text: str, size: int) -> bytes:
    return text.encode("cp932").ljust(size, b"\0")


def _keys(name: str, rotations: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """Return a key for each frame of a bone, from rotations `(frames, 4)` xyzw and positions `(frames, 3)`."""
    keys = np.zeros(len(rotations), dtype=_BONE_KEY)
    keys["name"], keys["frame"], keys["rotation"] = _text(name, 15), np.arange(len(rotations)), rotations
    if positions is not None:
        keys["position"] = positions
    # Each row of 16 is the first one, moved on by a byte.
    keys["curves"] = np.concatenate([np.append(_LINEAR[row:], np.zeros(row, np.uint8)) for row in range(4)])
    return keys


def _center_positions(motion: Motion) -> np.ndarray:
    """Return how far the point between upper and lower body is from where it stands at rest, `(frames, 3)`, units."""
    waist = JOINT_INDEX["spine1"]
    standing = rest_positions(motion.skeleton)[waist] + [0, standing_height(motion.skeleton), 0]
    return (motion.joint_frames()[0][:, waist] - standing) * _TO_MMD * UNITS_PER_METRE


def _local_rotations(motion: Motion) -> dict[str, np.ndarray]:
    """Return the rotations of the bones from their rest pose, in the bones that they hang on, `(frames, 4)` xyzw."""
    turns = motion.joint_frames()[1]
    world: dict[str | None, np.ndarray] = {None: np.eye(3)}
    parents: dict[str, str | None] = {}
    for name, (joint, parent) in _TRUNK.items():
        world[name], parents[name] = turns[:, JOINT_INDEX[joint]], parent
    for side, side_name in _SIDE_NAMES.items():
        raised = _raised_arm(side)
        for name, (joint, parent) in _LIMBS.items():
            own = turns[:, JOINT_INDEX[f"{side}_{joint}"]]
            world[side_name + name] = own @ raised if joint in _HANGING else own
            parents[side_name + name] = parent if parent in _TRUNK else f"{side_name}{parent}"
    local = {name: np.swapaxes(world[parent], -1, -2) @ world[name] for name, parent in parents.items()}
    local |= _finger_rotations(motion)
    return {name: _mmd_quaternions(matrices) for name, matrices in local.items()}


def _finger_rotations(motion: Motion) -> dict[str, np.ndarray]:
    """Return the rotations of the fingers from their rest pose on a hanging arm, `(frames, 3, 3)`."""
    if motion.finger_rotations is None:
        return {}
    local = {}
    turns = quaternion_to_matrix(torch.from_numpy(motion.finger_rotations).double()).numpy()
    for index in range(NUM_FINGER_JOINTS):
        side, place = SIDES[index // JOINTS_OF_HAND], index % JOINTS_OF_HAND
        finger, bone = FINGERS[place // BONES_OF_FINGER], place % BONES_OF_FINGER
        digit = "０１２３"[bone if finger == "thumb" else bone + 1]  # a thumb begins at its saddle joint, 0
        raised = _raised_arm(side)
        local[f"{_SIDE_NAMES[side]}{_FINGER_NAMES[finger]}{digit}"] = raised.T @ turns[:, index] @ raised
    return local


def _raised_arm(side: str) -> np.ndarray:
    """Return the rotation `(3, 3)` that raises the arm of a resting model to a T-pose."""
    angle = math.radians(ARM_DEGREES) * (1 if side == "left" else -1)
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def _mmd_quaternions(matrices: np.ndarray) -> np.ndarray:
    """Return rotations `(frames, 3, 3)` as quaternions xyzw in MMD's axes, of neighboring frames the nearer sign."""
    wxyz = continuous_quaternions(matrix_to_quaternion(torch.from_numpy(np.ascontiguousarray(matrices))).numpy())
    return wxyz[:, [1, 2, 3, 0]] * [-1, -1, 1, 1]
