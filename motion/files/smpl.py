"""Read SMPL, SMPL-H and SMPL-X motions (AMASS, AIST++, EDGE, POPDG, InfiniteDance) without a body model's file.

The first 22 joints of all three bodies are ours, in our order, and their rotations mean the same: they are kept. The
body is not: its shape (`betas`) is ignored, as its rest joints come with a licensed file. Where a file holds joint
positions too (`full_pose` of EDGE) the dancer's own bones are measured from them, and the dance is moved to our body
with the path in proportion and the feet planted. Elsewhere our body takes over rotations and path unscaled; the floor
is fitted, and feet may slide by as much as the legs differ.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import roma
import torch

from ..fingers import NUM_FINGER_JOINTS
from ..kinematics import forward_kinematics, matrix_to_quaternion
from ..motion import Motion
from ..retargeting.retargeting import put_on_floor, retarget
from ..skeleton import NUM_JOINTS, PARENTS, Skeleton, neutral_skeleton
from .anatomy import find_up_axis_of_body, turned_motion
from .limits import check_frames
from .plausibility import check_body, check_frame_rate, check_path, finite_array, key_list
from .read_options import FRAME_RATE_OPTION, ReadOptions

logger = logging.getLogger(__name__)

POSE_WIDTHS = {66: "22 body joints", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}
"""Numbers a frame of axis-angle poses may have."""
_POSE_KEYS = ("poses", "smpl_poses", "fullpose")
HAND_KEYS = ("left_hand_pose", "right_hand_pose")
HANDS_NOTE = "rotations from a mean hand that is not known, taken for rotations from a flat one"
_HANDS_WIDTH = 3 * NUM_FINGER_JOINTS
_ORIENT_AND_BODY_KEYS = (("root_orient", "pose_body"), ("global_orient", "body_pose"))
TRANSLATION_KEYS = ("trans", "smpl_trans", "transl")
_FRAME_RATE_KEYS = ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate")
_AIST_FRAME_RATE, _EDGE_FRAME_RATE, _INFINITEDANCE_FRAME_RATE = 60.0, 30.0, 30.0
_MAX_ANGLE = 15.0
"""Radians; axis-angle vectors are rarely longer than pi and never than a few turns."""
_MAX_JOINT_ERROR = 0.05
"""Metres by which `full_pose` may differ from a body with fixed bones that is posed by `smpl_poses`."""


def is_smpl(arrays: Mapping[str, Any]) -> bool:
    """Tell whether the arrays of a file are an SMPL motion."""
    return any(key in arrays for key in _POSE_KEYS) or any(
        orient in arrays and body in arrays for orient, body in _ORIENT_AND_BODY_KEYS
    )


def motion_from_smpl(
    arrays: Mapping[str, Any], path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any
) -> Motion:
    """Build a dance on our body from the arrays of an SMPL file.

    Known are `poses` + `trans` + `mocap_framerate` or `mocap_frame_rate` (AMASS), `smpl_poses` + `smpl_trans` (EDGE,
    POPDG: 30 Hz, with `full_pose` if there; AIST++: 60 Hz, `smpl_trans` in units of `smpl_scaling`), and `body_pose` +
    `global_orient` + `transl` (InfiniteDance: 30 Hz). Face and `betas` are ignored. Hands become the dance's fingers
    where a file has axis-angle rotations of their 30 joints that are not all zero: in SMPL-H's and SMPL-X's poses,
    `pose_hand`, or `left_hand_pose` + `right_hand_pose`. The last two are relative to a mean hand in a licensed file
    and are taken as from the flat hand, as `provenance["hands"]` says; components of a PCA need that file, too, and
    are left out with a warning.

    Args:
        arrays: The file's arrays by name.
        path: Named in messages and in the provenance.
        options: Frame rate, up axis and unit, where the file does not say or is wrong.
        **settings: Fields of `ReadOptions` that differ from `options`.

    Returns:
        The dance with the file's rotations, the floor at y = 0; `provenance` says the up axis, under `body` if the
        bones were `"measured"` or are `"neutral"`, and for the latter the `floor_height` that was taken off.

    Raises:
        ValueError: If an array is missing, of the wrong shape, not finite, or in another unit.
    """
    options = replace(options or ReadOptions(), **settings)
    rotation_vectors = _rotation_vectors(arrays, path)
    check_frames(len(rotation_vectors), path)
    metres = options.metres_per_unit or 1.0
    root_positions = metres * _translations(arrays, path, len(rotation_vectors))
    given = options.frame_rate
    rate = check_frame_rate(_frame_rate(arrays, path) if given is None else given, path)
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotation_vectors))
    skeleton = neutral_skeleton()
    if "full_pose" in arrays:
        joints = metres * finite_array(arrays["full_pose"], "full_pose", path)
        root_positions, skeleton = fit_skeleton(joints, rotations, path)

    fingers, hands_note = _fingers(arrays, path, len(rotations))
    quaternions = matrix_to_quaternion(rotations).numpy()
    body = Motion(rate, root_positions, quaternions, skeleton, finger_rotations=fingers)
    found_axis = options.up_axis or find_up_axis_of_body(body.joint_positions(), path)
    logger.info("%s: read with %s up at %g Hz; the body's shape is ours.", path, found_axis, rate)
    motion = turned_motion(body, found_axis)
    check_path(motion.root_positions, rate, path)
    measured = "full_pose" in arrays
    provenance = {
        "source": os.path.basename(path),
        "rotations": "source",
        "up_axis": found_axis,
        "body": "measured" if measured else "neutral",
        **({"hands": hands_note} if hands_note else {}),
    }
    motion = replace(motion, provenance=provenance)
    if measured:
        return retarget(motion)
    placed = put_on_floor(motion)
    floor_height = float(motion.root_positions[0, 1] - placed.root_positions[0, 1])
    return replace(placed, provenance={**provenance, "floor_height": floor_height})


def _rotation_vectors(arrays: Mapping[str, Any], path: str | os.PathLike) -> np.ndarray:
    """Return the 22 body joints' axis-angle rotations, `(frames, 22, 3)`, radians."""
    key = next((key for key in _POSE_KEYS if key in arrays), None)
    if key is not None:
        poses = _flat(arrays[key], key, path)
    else:
        names = next((pair for pair in _ORIENT_AND_BODY_KEYS if all(key in arrays for key in pair)), None)
        if names is None:
            raise ValueError(
                f"{path} is no SMPL motion: it must hold `poses`, `smpl_poses`, or `global_orient` and `body_pose`, "
                f"got {key_list(arrays)}."
            )
        orient, body = (_flat(arrays[key], key, path) for key in names)
        if orient.shape[1] != 3 or body.shape[1] not in (63, 69) or len(orient) != len(body):
            raise ValueError(
                f"{path}: `{names[0]}` and `{names[1]}` must have shapes (frames, 3) and (frames, 63 or 69), got "
                f"{orient.shape} and {body.shape}."
            )
        key, poses = " + ".join(names), np.concatenate([orient, body[:, :63]], axis=1)
    if poses.shape[1] not in POSE_WIDTHS:
        known = ", ".join(f"{width} ({body})" for width, body in POSE_WIDTHS.items())
        raise ValueError(f"{path}: `{key}` must have {known} numbers a frame, got {poses.shape[1]}.")
    vectors = poses[:, : 3 * NUM_JOINTS].reshape(len(poses), NUM_JOINTS, 3)
    _check_radians(vectors, key, path)
    return vectors


def _check_radians(vectors: np.ndarray, key: str, path: str | os.PathLike) -> None:
    largest = np.linalg.norm(vectors, axis=-1).max()
    if largest > _MAX_ANGLE:
        raise ValueError(f"{path}: `{key}` must be axis-angle in radians, got an angle of {largest:.0f}: degrees?")


def _fingers(arrays: Mapping[str, Any], path: str | os.PathLike, frames: int) -> tuple[np.ndarray | None, str]:
    """Return rotations of the fingers `(frames, 30, 4)`, wxyz, or `None`, and what must be known of them."""
    hands, key, note = None, "pose_hand", ""
    if (pose_key := next((name for name in _POSE_KEYS if name in arrays), None)) is not None:
        poses, key = _flat(arrays[pose_key], pose_key, path), pose_key
        hands = poses[:, -_HANDS_WIDTH:] if poses.shape[1] >= 3 * NUM_JOINTS + _HANDS_WIDTH else None
    elif key in arrays:
        hands = _flat(arrays[key], key, path)
    elif all(name in arrays for name in HAND_KEYS):
        key, note = " + ".join(HAND_KEYS), HANDS_NOTE
        hands = np.concatenate([_flat(arrays[name], name, path) for name in HAND_KEYS], axis=1)
    if hands is None or not hands.any():
        return None, ""
    if hands.shape != (frames, _HANDS_WIDTH):
        warnings.warn(
            f"{path}: `{key}` has shape {hands.shape}, not ({frames}, {_HANDS_WIDTH}): components of a PCA need "
            "SMPL-X's licensed file, so fingers are left out. Write the hands with `use_pca=False` to keep them.",
            stacklevel=2,
        )
        return None, ""
    vectors = hands.reshape(frames, NUM_FINGER_JOINTS, 3)
    _check_radians(vectors, key, path)
    return matrix_to_quaternion(roma.rotvec_to_rotmat(torch.from_numpy(vectors))).numpy(), note


def _flat(value: Any, name: str, path: str | os.PathLike) -> np.ndarray:
    array = finite_array(value, name, path)
    if array.ndim == 3 and array.shape[2] == 3:
        array = array.reshape(len(array), -1)
    if array.ndim != 2:
        raise ValueError(
            f"{path}: `{name}` must have shape (frames, 3 x joints) or (frames, joints, 3), got {array.shape}."
        )
    return array


def _translations(arrays: Mapping[str, Any], path: str | os.PathLike, frames: int) -> np.ndarray:
    """Return the root's path, `(frames, 3)`, metres; the scale of AIST++ is divided out."""
    key = next((key for key in TRANSLATION_KEYS if key in arrays), None)
    if key is None:
        raise ValueError(
            f"{path} must hold the root's path as one of {', '.join(TRANSLATION_KEYS)}, got {key_list(arrays)}."
        )
    translations = finite_array(arrays[key], key, path)
    if translations.shape != (frames, 3):
        raise ValueError(
            f"{path}: `{key}` must have shape ({frames}, 3) as there are poses, got {translations.shape}."
        )
    if "smpl_scaling" in arrays:
        scaling = finite_array(np.ravel(arrays["smpl_scaling"]), "smpl_scaling", path)
        if scaling.shape != (1,) or scaling[0] <= 0:
            raise ValueError(f"{path}: `smpl_scaling` must be one positive number, got {scaling}.")
        translations = translations / scaling[0]
    return translations


def _frame_rate(arrays: Mapping[str, Any], path: str | os.PathLike) -> float:
    """Return what the file says, or what its format runs at."""
    for key in _FRAME_RATE_KEYS:
        if key in arrays:
            return float(finite_array(np.ravel(arrays[key]), key, path)[0])
    if "smpl_scaling" in arrays:
        return _AIST_FRAME_RATE
    if "smpl_poses" in arrays:
        return _EDGE_FRAME_RATE
    if "transl" in arrays:
        return _INFINITEDANCE_FRAME_RATE
    raise ValueError(
        f"{path} does not say its frame rate: it must hold one of {', '.join(_FRAME_RATE_KEYS)}. Pass "
        f"{FRAME_RATE_OPTION}."
    )


def fit_skeleton(joints: np.ndarray, rotations: torch.Tensor, path: str | os.PathLike) -> tuple[np.ndarray, Skeleton]:
    """Return the root's path and the dancer's own bones from posed joints `(frames, >= 22, 3)`.

    A joint's offset is its position in the frame of its parent; over time it does not change.
    """
    if joints.ndim != 3 or joints.shape[2] != 3 or joints.shape[1] < NUM_JOINTS or len(joints) != len(rotations):
        raise ValueError(
            f"{path}: `full_pose` must have shape ({len(rotations)}, at least {NUM_JOINTS}, 3), got {joints.shape}."
        )
    joints = joints[:, :NUM_JOINTS]
    check_body(joints, path)
    zeros = torch.zeros(NUM_JOINTS, 3, dtype=torch.float64)
    _, global_rotations = forward_kinematics(
        rotations, torch.zeros(len(joints), 3, dtype=torch.float64), zeros, PARENTS
    )
    parents = list(PARENTS[1:])
    bones = torch.from_numpy(joints[:, 1:] - joints[:, parents])
    local = torch.einsum("tjba,tjb->tja", global_rotations[:, parents], bones)
    offsets = torch.cat([zeros[:1], local.median(dim=0).values])
    posed, _ = forward_kinematics(rotations, torch.from_numpy(joints[:, 0]), offsets, PARENTS)
    error = float((posed - torch.from_numpy(joints)).norm(dim=-1).mean())
    if error > _MAX_JOINT_ERROR:
        raise ValueError(
            f"{path}: `full_pose` must be the joints that the poses give, but they lie {error:.2f} m apart on average "
            "with any bones of fixed length."
        )
    body = Skeleton(offsets.numpy())
    neutral = neutral_skeleton()
    return joints[:, 0], Skeleton(body.offsets, neutral.toe_rest_height * body.leg_length / neutral.leg_length)
