"""Which way is up in a motion file, and whether it is a mirror image: told by the body, in every format.

Feet are below hips and hips below the head; toes are before ankles and knees bend forward, where left is left.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..kinematics import matrix_to_quaternion
from ..motion import Motion
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import JOINT_INDEX, Skeleton

_MIRROR = np.array([-1.0, 1.0, 1.0])
_QUATERNION_MIRROR = np.array([1.0, 1.0, -1.0, -1.0])
_BACKWARD = -0.25
"""Cosine between feet and the body's front below which they point backward."""
_LEAST_BEND = 0.05
"""Distance of a knee from the line of hip and ankle, by the length of the leg, that shows to which side it bends."""
_STEADIER = 0.5
_TURNS: dict[str, list[list[int]]] = {
    "y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "-y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "-z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "-x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
}


def turn_to_y_up(up_axis: str) -> np.ndarray:
    """Return the rotation `(3, 3)` that brings an axis of the file, one of `UP_AXES`, to +y."""
    return np.array(_TURNS[up_axis], dtype=np.float64)


def find_up_axis(trunk: np.ndarray, joint_positions: np.ndarray, default: str = "y") -> str:
    """Find the axis along which a body stands.

    Somebody who lies or stands on the hands is not yet a world on its side: where the lowest joint stays at one
    height along `default`, and does not along the axis of the body, `default` is up.

    Args:
        trunk: From the feet to the chest on average over time, `(3,)`.
        joint_positions: `(frames, joints, 3)`, of any joints.
        default: What is up for a body that does not stand along an axis.

    Returns:
        One of `UP_AXES`.
    """
    axis = int(np.abs(trunk).argmax())
    found = ("-" if trunk[axis] < 0 else "") + "xyz"[axis]
    return default if found != default and has_steadier_floor(joint_positions, default, found) else found


def has_steadier_floor(joint_positions: np.ndarray, up_axis: str, other: str) -> bool:
    """Tell whether the lowest joint of `(frames, joints, 3)` keeps its height along an axis, but not along another."""
    return _floor_spread(joint_positions, up_axis) < _STEADIER * _floor_spread(joint_positions, other)


def _floor_spread(joint_positions: np.ndarray, up_axis: str) -> float:
    """Return by how much the height of the lowest joint changes over time."""
    lowest = (joint_positions @ turn_to_y_up(up_axis)[1]).min(axis=1)
    return float(np.subtract(*np.quantile(lowest, [0.9, 0.1])))


def warn_of_turn(up_axis: str, default: str, path: str | os.PathLike) -> None:
    """Say that a file is taken for one with another axis up than its format or its rest pose has."""
    warnings.warn(
        f"{path}: the body stands along {'' if up_axis[0] == '-' else '+'}{up_axis} in most frames, which is taken "
        f"for up. If the dancer lies down or stands on the hands, pass `--up-axis={default}` (`up_axis={default!r}` "
        "in Python).",
        stacklevel=2,
    )


def is_mirrored(joint_positions: np.ndarray, *, has_toes: bool = True) -> bool:
    """Tell whether left and right contradict where feet point and knees bend.

    Args:
        joint_positions: `(frames, 22, 3)`.
        has_toes: Whether the joints of the toes are the file's own.
    """

    def joint(name: str) -> np.ndarray:
        return joint_positions[:, JOINT_INDEX[name]]

    left = joint("left_hip") - joint("right_hip")
    forward = np.cross(left, joint("spine3") - (joint("left_hip") + joint("right_hip")) / 2)
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    toes, knees = [], []
    for side in ("left", "right"):
        hip, knee, ankle, toe = (joint(f"{side}_{part}") for part in ("hip", "knee", "ankle", "foot"))
        toes.append(_cosine(toe - ankle, forward))
        leg = ankle - hip
        length = np.maximum(np.linalg.norm(leg, axis=-1), 1e-9)
        bend = knee - hip - leg * (((knee - hip) * leg).sum(-1) / length**2)[:, None]
        knees.append(_cosine(bend, forward)[np.linalg.norm(bend, axis=-1) > _LEAST_BEND * length])
    bends = np.concatenate(knees)
    knees_point = float(bends.mean()) if len(bends) else 0.0
    if has_toes:
        return float(np.mean(toes)) < _BACKWARD and knees_point < -_BACKWARD
    return knees_point < 2 * _BACKWARD


def _cosine(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    length = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-9)
    return (vectors * directions).sum(-1) / length


def warn_of_mirror(path: str | os.PathLike) -> None:
    """Say that a file is taken for a mirror image."""
    warnings.warn(
        f"{path}: left and right contradict the way in which feet point and knees bend. The file is taken for a "
        "mirror image, and x is negated. If the names of its sides are exchanged instead, exchange them with "
        "`--joint-map`.",
        stacklevel=2,
    )


def with_left_on_the_left(joint_positions: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Return positions `(frames, 22, 3)`; a mirror image is turned over, with a warning."""
    if not is_mirrored(joint_positions):
        return joint_positions
    warn_of_mirror(path)
    return joint_positions * _MIRROR


def find_up_axis_of_body(
    joint_positions: np.ndarray, path: str | os.PathLike, usual: Sequence[str] = ("y", "z")
) -> str:
    """Find the axis along which `(frames, 22, 3)` stand, one of `UP_AXES`; warn if it is none of the usual ones."""
    feet = joint_positions[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    trunk = np.median(joint_positions[:, JOINT_INDEX["neck"]] - feet, axis=0)
    up_axis = find_up_axis(trunk, joint_positions)
    if up_axis not in usual:
        warn_of_turn(up_axis, "y", path)
    return up_axis


def turned_motion(motion: Motion, up_axis: str) -> Motion:
    """Return a dance whose file has another axis up than y."""
    turn = turn_to_y_up(up_axis)
    rotations = motion.joint_rotations.astype(np.float64)
    root = turn @ motion.joint_rotations_matrix().numpy()[:, 0]
    rotations[:, 0] = matrix_to_quaternion(torch.from_numpy(root)).numpy()
    return replace(motion, root_positions=motion.root_positions @ turn.T, joint_rotations=rotations)


def mirrored_rig(source: SourceAnimation) -> SourceAnimation:
    """Return the mirror image of a rig whose joints keep their names."""
    return replace(
        source,
        offsets=source.offsets * _MIRROR,
        root_positions=source.root_positions * _MIRROR,
        local_rotations=source.local_rotations * _QUATERNION_MIRROR,
        joint_translations={joint: values * _MIRROR for joint, values in source.joint_translations.items()},
        end_sites={joint: values * _MIRROR for joint, values in source.end_sites.items()},
    )


def mirrored_motion(motion: Motion) -> Motion:
    """Return the mirror image of a dance whose joints keep their names."""
    fingers = motion.finger_rotations
    return replace(
        motion,
        root_positions=motion.root_positions * _MIRROR,
        joint_rotations=motion.joint_rotations * _QUATERNION_MIRROR,
        skeleton=Skeleton(motion.skeleton.offsets * _MIRROR, motion.skeleton.toe_rest_height),
        finger_rotations=None if fingers is None else fingers * _QUATERNION_MIRROR,
    )
