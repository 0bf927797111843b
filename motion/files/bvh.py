"""Read BVH of any tool and write our dances as BVH."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch

from ...utils.atomic import atomic_path
from ..fingers import BONES_OF_FINGER, FINGER_JOINT_NAMES, PARENT_JOINTS, finger_offsets, fingertip_offsets
from ..kinematics import matrix_to_quaternion
from ..motion import Motion
from ..retargeting.joint_mapping import JointMappingError
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS, neutral_skeleton
from .anatomy import (
    find_up_axis,
    has_steadier_floor,
    is_mirrored,
    mirrored_rig,
    turn_to_y_up,
    warn_of_mirror,
    warn_of_turn,
)
from .bvh_parsing import BVHError, BvhJoint, decode, parse_hierarchy, parse_motion
from .limits import MAX_BVH_BYTES, check_file, check_frames, naming
from .read_options import UNIT_OPTION, ReadOptions
from .rig import standing_height

logger = logging.getLogger(__name__)

_SIDES = ("left", "right")
_AXES = {"x": 0, "y": 1, "z": 2}
# Length of an adult's thigh and shank in file units, from which on a unit is likely, and what one unit is then in
# metres. CMU's files, as converted to BVH by B. Hahne (cgspeed), count in inches times 0.45.
_UNITS = (
    ("metres", 1.0, 0.4, 1.4),
    ("feet", 0.3048, 1.4, 4.5),
    ("decimetres", 0.1, 4.5, 10.5),
    ("inches / 0.45 of the CMU library", 0.0254 / 0.45, 10.5, 20.0),
    ("inches", 0.0254, 20.0, 46.0),
    ("centimetres", 0.01, 46.0, 140.0),
    ("millimetres", 0.001, 460.0, 1400.0),
)
_UNUSUAL_UNITS = ("feet", "decimetres")
_LEG_SHARE = 0.49
"""Of the height of an adult."""

# Chosen by how seldom the curves of real dances break: the second angle comes within 5 degrees of +-90 in 0.006 % of
# joints and frames (0.12 % for ZXY, 0.79 % for ZYX), and steps of more than 30 degrees are the fewest of all orders.
WRITTEN_ROTATION_ORDER = "YZX"
_WRITTEN_UNIT_METRES = 0.01
_END_SITE_OFFSETS: dict[str, tuple[float, float, float]] = {
    "head": (0.0, 0.16, 0.0),
    "left_wrist": (0.17, 0.0, 0.0),
    "right_wrist": (-0.17, 0.0, 0.0),
    "left_foot": (0.0, 0.0, 0.06),
    "right_foot": (0.0, 0.0, 0.06),
}


@dataclass(frozen=True)
class BvhRig:
    """A BVH file as it was read: its animation, and how its channels lie in the file.

    Args:
        source: The animation in metres with Y up.
        joints: The hierarchy in file units, in the order of `source.joint_names`.
        values: `(frames, channels)`, degrees and file units, in the file's axes.
        unit_name: What one unit of the file was taken for.
        metres_per_unit: Likewise, as a number.
        up_axis: In the file's axes, one of `UP_AXES`.
        encoding: Of the file's text.
        is_mirrored: Whether the file was a mirror image, and `source` is turned over.
    """

    source: SourceAnimation
    joints: list[BvhJoint]
    values: np.ndarray
    unit_name: str
    metres_per_unit: float
    up_axis: str
    encoding: str = "utf-8"
    is_mirrored: bool = False


def read_bvh(
    path: str | os.PathLike, *, unit_scale: float | None = None, up_axis: str | None = None
) -> SourceAnimation:
    """Read a BVH file of any tool: any channel order, any rotation order, translations on any joint.

    BVH says neither its unit nor its up axis. The unit is guessed from the length of the legs (metres, centimetres,
    inches, millimetres, the CMU library's), the up axis from where the trunk is relative to the feet. A file that
    stands along another axis than its rest pose, or is a mirror image, is turned with a warning.

    Args:
        path: The file.
        unit_scale: Metres for one unit of the file, where the guess is wrong.
        up_axis: One of `UP_AXES`, where the guess is wrong.

    Returns:
        The animation in metres with Y up.

    Raises:
        FileNotFoundError: If there is no such file.
        BVHError: If the file is broken; names the line.
        ValueError: If `unit_scale` is not positive or `up_axis` is none of `UP_AXES`.
    """
    return read_bvh_rig(path, ReadOptions(up_axis=up_axis), unit_scale=unit_scale).source


def read_bvh_rig(
    path: str | os.PathLike, options: ReadOptions | None = None, *, unit_scale: float | None = None
) -> BvhRig:
    """Read a BVH file together with the layout of its channels; see `read_bvh`."""
    options = options or ReadOptions()
    unit_scale = options.metres_per_unit if unit_scale is None else unit_scale
    if unit_scale is not None and not (np.isfinite(unit_scale) and unit_scale > 0):
        raise ValueError(f"`unit_scale` must be a positive number of metres, got {unit_scale}.")
    path = check_file(path, MAX_BVH_BYTES)
    with naming(path):
        text, encoding = decode(path.read_bytes(), path)
        lines = text.removeprefix("\ufeff").splitlines()
        joints, motion_line = parse_hierarchy(lines, path)
        num_channels = sum(len(joint.channels) for joint in joints)
        rate, values = parse_motion(lines, motion_line, num_channels, path, options.frame_rate)
        check_frames(len(values), path, len(joints))
        source, some = (_to_source(joints, rate, rows) for rows in (values, values[:: max(1, len(values) // 100)]))
        mapping = _joints_of_body(some, options)
        posed = some.pose()[0]
        axis = options.up_axis or _find_up_axis(some, posed, mapping, path)
        unit_name, metres = ("unit as given", unit_scale) if unit_scale else _guess_unit(posed, mapping, path)
        mirrored = bool(mapping) and _is_mirror_image(_scaled(some, metres), mapping, options)
        source = _scaled(_turned(source, axis), metres)
        if mirrored:
            warn_of_mirror(path)
            source = mirrored_rig(source)
        return BvhRig(source, joints, values, unit_name, metres, axis, encoding, mirrored)


def _joints_of_body(source: SourceAnimation, options: ReadOptions) -> dict[str, int]:
    """Return the rig's joint for each of ours, nothing if its names mean nothing."""
    try:
        mapping = source.joint_mapping(options.overrides)
    except JointMappingError:  # told by who needs the body
        return {}
    return {ours: source.joint_names.index(theirs) for ours, theirs in mapping.items()}


def _is_mirror_image(source: SourceAnimation, joints: dict[str, int], options: ReadOptions) -> bool:
    """Tell whether left and right of a rig in metres contradict its feet and knees."""
    positions = source.to_body(options.overrides)[0]
    has_toes = all(f"{side}_foot" in joints or joints[f"{side}_ankle"] in source.end_sites for side in _SIDES)
    return is_mirrored(positions, has_toes=has_toes)


def _to_source(joints: list[BvhJoint], frame_rate: float, values: np.ndarray) -> SourceAnimation:
    """Turn channels into rotations and translations, in file units and axes."""
    offsets = np.array([joint.offset for joint in joints])
    rotations = np.zeros((len(values), len(joints), 4))
    rotations[..., 0] = 1
    translations: dict[int, np.ndarray] = {}
    column = 0
    for index, joint in enumerate(joints):
        channels = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        turning = [position for position, channel in enumerate(joint.channels) if channel[1] == "r"]
        if turning:
            order = "".join(joint.channels[position][0].upper() for position in turning)
            angles = [torch.from_numpy(channels[:, position].copy()) for position in turning]
            quaternion = roma.euler_to_unitquat(order, angles, degrees=True)
            rotations[:, index] = roma.quat_xyzw_to_wxyz(quaternion).numpy()
        moving = {_AXES[channel[0]]: column for column, channel in enumerate(joint.channels) if channel[1] == "p"}
        if moving or index == 0:
            translations[index] = np.tile(offsets[index], (len(values), 1))
            translations[index][:, list(moving)] = channels[:, list(moving.values())]
    root_positions = translations.pop(0)
    for index, translation in list(translations.items()):
        # Position channels take the place of OFFSET; some tools write the displacement from it instead.
        if np.linalg.norm(translation.mean(axis=0)) < 0.5 * np.linalg.norm(offsets[index]):
            translation += offsets[index]
        if np.ptp(translation, axis=0).max() <= 1e-4 * np.abs(offsets).max():
            offsets[index] = translation[0]
            del translations[index]
    if translations:
        logger.info("Joints that slide in their parent: %s.", ", ".join(joints[index].name for index in translations))
    return SourceAnimation(
        frame_rate,
        tuple(joint.name for joint in joints),
        tuple(joint.parent for joint in joints),
        offsets,
        root_positions,
        rotations,
        translations,
        {index: np.array(joint.tips) for index, joint in enumerate(joints) if joint.tips},
    )


def _find_up_axis(source: SourceAnimation, posed: np.ndarray, mapping: dict[str, int], path: Path) -> str:
    """Decide by where the trunk is relative to the ankles, in the rest pose and on average over the clip."""
    rest = source.rest_positions()
    if not mapping:  # meaningless names: only the rest pose can tell
        return "y" if np.ptp(rest, axis=0)[1] >= np.ptp(rest, axis=0)[2] else "z"
    trunk, left, right = (mapping[name] for name in ("spine3", "left_ankle", "right_ankle"))

    def trunk_from_ankles(positions: np.ndarray) -> np.ndarray:
        difference = positions[..., trunk, :] - positions[..., [left, right], :].mean(axis=-2)
        return difference.reshape(-1, 3).mean(axis=0)

    rest_trunk, moving_trunk = trunk_from_ankles(rest), trunk_from_ankles(posed)
    # Bones along x are a habit of some tools' rest poses, and say nothing of the world.
    axis = 1 if abs(rest_trunk[1]) >= abs(rest_trunk[2]) else 2
    says_axis = abs(rest_trunk[axis]) >= abs(rest_trunk[0])
    default = "y" if not says_axis else ("-" if rest_trunk[axis] < 0 else "") + "xyz"[axis]
    found = find_up_axis(moving_trunk, posed, default)
    # The motion overrules the rest pose only where the body is stretched along the other axis nearly always.
    upright, across = moving_trunk @ turn_to_y_up(default)[1], np.abs(moving_trunk).max()
    crouches = across <= 0.7 * abs(rest_trunk[axis]) and not has_steadier_floor(posed, found, default)
    if says_axis and (across <= 2 * max(upright, 0) or crouches):
        found = default
    if found not in ("y", "z") or (says_axis and found != default):
        warn_of_turn(found, default if default != found else "y", path)
    return found


def _turned(source: SourceAnimation, up_axis: str) -> SourceAnimation:
    """Turn the world so that an axis becomes Y; the rig itself stays as it is."""
    if up_axis == "y":
        return source
    turn = torch.from_numpy(turn_to_y_up(up_axis))
    root = roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(torch.from_numpy(source.local_rotations[:, 0])))
    rotations = source.local_rotations.copy()
    rotations[:, 0] = matrix_to_quaternion(turn @ root).numpy()
    return replace(source, root_positions=source.root_positions @ turn.numpy().T, local_rotations=rotations)


def _guess_unit(posed: np.ndarray, mapping: dict[str, int], path: Path) -> tuple[str, float]:
    """Guess name and metres of one unit from the legs in positions `(frames, joints, 3)`: they say it in any pose."""
    if mapping:
        leg = float(np.mean([_leg_length(posed, mapping, side) for side in _SIDES]))
    else:
        leg = _LEG_SHARE * float(np.quantile(np.ptp(posed, axis=1).max(axis=-1), 0.75))
    if leg == 0:
        raise BVHError(f"{path} holds a body without extent: all joints of its legs lie in one point.")
    name, metres = next(((name, metres) for name, metres, low, high in _UNITS if low <= leg < high), ("", 0.0))
    if name and name not in _UNUSUAL_UNITS:
        logger.info("%s: legs of %.1f units, taken for %s.", path, leg, name)
        return name, metres
    if not name:
        adult = neutral_skeleton().leg_length
        name, metres = f"units of an adult with legs of {adult:.2f} m", adult / leg
    warnings.warn(
        f"{path}: legs (thigh + shank) of {leg:.4g} units are no adult's in a usual unit, and are taken for {name}. "
        f"Pass {UNIT_OPTION} if that is wrong.",
        stacklevel=2,
    )
    return name, metres


def _leg_length(posed: np.ndarray, mapping: dict[str, int], side: str) -> float:
    hip, knee, ankle = (posed[:, mapping[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
    bones = np.linalg.norm(knee - hip, axis=-1) + np.linalg.norm(ankle - knee, axis=-1)
    return float(np.median(bones))


def _scaled(source: SourceAnimation, metres: float) -> SourceAnimation:
    return replace(
        source,
        offsets=source.offsets * metres,
        root_positions=source.root_positions * metres,
        joint_translations={joint: value * metres for joint, value in source.joint_translations.items()},
        end_sites={joint: value * metres for joint, value in source.end_sites.items()},
    )


def write_bvh(
    motion: Motion,
    path: str | os.PathLike,
    *,
    names: Sequence[str] = JOINT_NAMES,
    finger_names: Sequence[str] = FINGER_JOINT_NAMES,
) -> None:
    """Write a dance as BVH: centimetres, Y up, rest pose a T-pose that looks along +Z, rotations in degrees.

    The root's OFFSET puts the feet of the rest pose on the floor; its position channels take the place of OFFSET.
    All joints turn in the order `WRITTEN_ROTATION_ORDER` (the matrix product from left to right). Angles are
    continuous in time: no jumps of 360 degrees, and of the two triples that give one rotation the nearer to the last.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        names: Of our joints in the file, for example `BONE_NAMES["mixamo"]`.
        finger_names: Of the fingers' joints, which a dance with fingers has below the wrists.

    Raises:
        OSError: As `atomic_path`.
    """
    offsets, parents, rotations = motion.skeleton.offsets.copy(), PARENTS, motion.joint_rotations
    offsets[0] = [0, standing_height(motion.skeleton), 0]
    tips = {JOINT_INDEX[name]: np.array(offset) for name, offset in _END_SITE_OFFSETS.items()}
    if motion.finger_rotations is not None:
        names, parents = [*names, *finger_names], (*PARENTS, *PARENT_JOINTS)
        offsets = np.concatenate([offsets, finger_offsets(motion.skeleton)])
        rotations = np.concatenate([rotations, motion.finger_rotations], axis=1)
        ends = range(NUM_JOINTS + BONES_OF_FINGER - 1, len(parents), BONES_OF_FINGER)
        tips |= dict(zip(ends, fingertip_offsets(motion.skeleton), strict=True))
    order, lines = _hierarchy(names, parents, offsets, tips)
    angles = _continuous_euler_angles(rotations[:, order]).reshape(motion.num_frames, -1)
    rows = np.concatenate([motion.root_positions / _WRITTEN_UNIT_METRES, angles], axis=1)
    lines += ["MOTION", f"Frames: {motion.num_frames}", f"Frame Time: {1 / motion.frame_rate:.8f}"]
    row_format = " ".join(["%.6f"] * rows.shape[1])
    lines += [row_format % tuple(row) for row in rows.tolist()]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hierarchy(
    names: Sequence[str], parents: Sequence[int], offsets: np.ndarray, tips: dict[int, np.ndarray]
) -> tuple[list[int], list[str]]:
    """Return the joints in the order of the file, depth first, and the lines of its hierarchy.

    Args:
        names: Of the joints.
        parents: Of the joints, -1 for the first.
        offsets: `(joints, 3)`, metres.
        tips: Offsets of the end sites of joints without children, `(3,)` each, metres.
    """
    order: list[int] = []
    lines = ["HIERARCHY"]

    def write_joint(joint: int, indent: str) -> None:
        order.append(joint)
        offset = offsets[joint] / _WRITTEN_UNIT_METRES
        position = "" if joint else "Xposition Yposition Zposition "
        rotation = " ".join(f"{axis}rotation" for axis in WRITTEN_ROTATION_ORDER)
        lines.extend(
            [
                f"{indent}{'JOINT' if joint else 'ROOT'} {names[joint]}",
                f"{indent}{{",
                f"{indent}\tOFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}",
                f"{indent}\tCHANNELS {3 if joint else 6} {position}{rotation}",
            ]
        )
        children = [child for child, parent in enumerate(parents) if parent == joint]
        for child in children:
            write_joint(child, indent + "\t")
        if not children:
            tip = tips[joint] / _WRITTEN_UNIT_METRES
            lines.extend(
                [
                    f"{indent}\tEnd Site",
                    f"{indent}\t{{",
                    f"{indent}\t\tOFFSET {tip[0]:.6f} {tip[1]:.6f} {tip[2]:.6f}",
                    f"{indent}\t}}",
                ]
            )
        lines.append(f"{indent}}}")

    write_joint(JOINT_INDEX["pelvis"], "")
    return order, lines


def _continuous_euler_angles(quaternions: np.ndarray) -> np.ndarray:
    """Return angles in degrees, `(frames, joints, 3)`, in `WRITTEN_ROTATION_ORDER`, each nearest to the one before."""
    xyzw = roma.quat_wxyz_to_xyzw(torch.from_numpy(quaternions).double())
    angles = roma.unitquat_to_euler(WRITTEN_ROTATION_ORDER, xyzw, degrees=True).numpy()
    other = angles * np.array([1, -1, 1]) + 180  # the same rotations
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        candidates = np.stack([angles[frame], other[frame]])
        candidates += 360 * np.round((before - candidates) / 360)
        nearer = np.abs(candidates - before).sum(-1).argmin(0)
        angles[frame] = np.take_along_axis(candidates, nearer[None, :, None], axis=0)[0]
    return angles
