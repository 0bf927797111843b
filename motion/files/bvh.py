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
from ..motion import Motion
from ..retargeting.joint_mapping import JointMappingError, guess_joint_mapping
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from .bvh_parsing import BVHError, BvhJoint, parse_hierarchy, parse_motion

logger = logging.getLogger(__name__)

_AXES = {"x": 0, "y": 1, "z": 2}
# Extent of a posed adult in file units, and what one unit is then in metres. CMU's files, as converted to BVH by
# B. Hahne (cgspeed), count in inches times 0.45.
_UNITS = (
    ("metres", 1.0, 1.1, 2.7),
    ("inches / 0.45 of the CMU library", 0.0254 / 0.45, 20.0, 45.0),
    ("inches", 0.0254, 45.0, 105.0),
    ("centimetres", 0.01, 105.0, 270.0),
    ("millimetres", 0.001, 1100.0, 2700.0),
)
_ADULT_HEIGHT_METRES = 1.70

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
        up_axis: `"y"` or `"z"` in the file's axes.
    """

    source: SourceAnimation
    joints: list[BvhJoint]
    values: np.ndarray
    unit_name: str
    metres_per_unit: float
    up_axis: str


def read_bvh(
    path: str | os.PathLike, *, unit_scale: float | None = None, up_axis: str | None = None
) -> SourceAnimation:
    """Read a BVH file of any tool: any channel order, any rotation order, translations on any joint.

    BVH says neither its unit nor its up axis. The unit is guessed from the extent of the posed body (metres,
    centimetres, inches, millimetres, the CMU library's), the up axis from where the trunk is relative to the feet.

    Args:
        path: The file.
        unit_scale: Metres for one unit of the file, where the guess is wrong.
        up_axis: `"y"` or `"z"`, where the guess is wrong.

    Returns:
        The animation in metres with Y up.

    Raises:
        FileNotFoundError: If there is no such file.
        BVHError: If the file is broken; names the line.
        ValueError: If `unit_scale` is not positive or `up_axis` is neither `"y"` nor `"z"`.
    """
    return read_bvh_rig(path, unit_scale=unit_scale, up_axis=up_axis).source


def read_bvh_rig(path: str | os.PathLike, *, unit_scale: float | None = None, up_axis: str | None = None) -> BvhRig:
    """Read a BVH file together with the layout of its channels; see `read_bvh`."""
    if unit_scale is not None and not (np.isfinite(unit_scale) and unit_scale > 0):
        raise ValueError(f"`unit_scale` must be a positive number of metres, got {unit_scale}.")
    if up_axis not in (None, "y", "z"):
        raise ValueError(f"`up_axis` must be 'y', 'z' or None, got {up_axis!r}.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    joints, motion_line = parse_hierarchy(lines, path)
    frame_rate, values = parse_motion(lines, motion_line, sum(len(joint.channels) for joint in joints), path)
    source = _to_source(joints, frame_rate, values)

    some_frames = values[:: max(1, len(values) // 100)]
    posed = _to_source(joints, frame_rate, some_frames).pose()[0]
    found_axis = up_axis or _guess_up_axis(source, posed, path)
    if found_axis == "z":
        source = _turn_z_up(source)
    unit_name, metres = ("unit as given", unit_scale) if unit_scale else _guess_unit(posed, path)
    return BvhRig(_scaled(source, metres), joints, values, unit_name, metres, found_axis)


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


def _guess_up_axis(source: SourceAnimation, posed: np.ndarray, path: Path) -> str:
    """Decide by where the trunk is relative to the ankles, in the rest pose and on average over the clip."""
    rest = np.zeros((len(source.parents), 3))
    for joint, parent in enumerate(source.parents[1:], start=1):
        rest[joint] = rest[parent] + source.offsets[joint]
    try:
        mapping = guess_joint_mapping(source.joint_names, source.parents)
    except JointMappingError:  # meaningless names: only the rest pose can tell
        return "y" if np.ptp(rest, axis=0)[1] >= np.ptp(rest, axis=0)[2] else "z"
    trunk, left, right = (source.joint_names.index(mapping[name]) for name in ("spine3", "left_ankle", "right_ankle"))

    def trunk_from_ankles(positions: np.ndarray) -> np.ndarray:
        difference = positions[..., trunk, :] - positions[..., [left, right], :].mean(axis=-2)
        return difference.reshape(-1, 3).mean(axis=0)

    _, rest_y, rest_z = np.abs(trunk_from_ankles(rest))
    _, y, z = np.abs(trunk_from_ankles(posed))
    guess = "y" if rest_y >= rest_z else "z"
    # Somebody who rolls on the floor is not yet a world on its side: the motion overrules the rest pose only where
    # the body is stretched along the other axis nearly always.
    upright, across = (y, z) if guess == "y" else (z, y)
    if across > 2 * upright and across > 0.7 * max(rest_y, rest_z):
        other = {"y": "z", "z": "y"}[guess]
        warnings.warn(
            f"{path}: the rest pose stands along {guess}, the motion along {other}, which is taken for up. If the "
            f"dancer lies down for most of the clip, pass `up_axis={guess!r}`.",
            stacklevel=4,
        )
        return other
    return guess


def _turn_z_up(source: SourceAnimation) -> SourceAnimation:
    """Turn the world so that Z becomes Y; the rig itself stays as it is."""
    half = np.sqrt(0.5)
    quarter_turn = torch.tensor([-half, 0.0, 0.0, half], dtype=torch.float64)  # xyzw, -90 degrees about X
    root = roma.quat_wxyz_to_xyzw(torch.from_numpy(source.local_rotations[:, 0]))
    rotations = source.local_rotations.copy()
    rotations[:, 0] = roma.quat_xyzw_to_wxyz(roma.quat_product(quarter_turn.expand_as(root), root)).numpy()
    return replace(
        source,
        root_positions=source.root_positions[:, [0, 2, 1]] * np.array([1.0, 1.0, -1.0]),
        local_rotations=rotations,
    )


def _guess_unit(posed: np.ndarray, path: Path) -> tuple[str, float]:
    """Guess name and metres of one unit from joint positions `(frames, joints, 3)` of somebody who stands or lies."""
    height = float(np.quantile(np.ptp(posed, axis=1).max(axis=-1), 0.75))
    for name, metres, low, high in _UNITS:
        if low <= height < high:
            logger.info("%s: a body %.1f units long, taken for %s.", path, height, name)
            return name, metres
    if height == 0:
        raise BVHError(f"{path} holds a body without extent: all joints lie in one point.")
    warnings.warn(
        f"{path} holds a body {height:.4g} units long, which is no adult in a unit known here; it is scaled to "
        f"{_ADULT_HEIGHT_METRES} m. Pass `unit_scale`, the metres of one unit, if that is wrong.",
        stacklevel=4,
    )
    return f"units of an adult of {_ADULT_HEIGHT_METRES} m", _ADULT_HEIGHT_METRES / height


def _scaled(source: SourceAnimation, metres: float) -> SourceAnimation:
    return replace(
        source,
        offsets=source.offsets * metres,
        root_positions=source.root_positions * metres,
        joint_translations={joint: value * metres for joint, value in source.joint_translations.items()},
        end_sites={joint: value * metres for joint, value in source.end_sites.items()},
    )


def write_bvh(motion: Motion, path: str | os.PathLike, *, names: Sequence[str] = JOINT_NAMES) -> None:
    """Write a dance as BVH: centimetres, Y up, rest pose a T-pose that looks along +Z, rotations in degrees.

    All joints turn in the order `WRITTEN_ROTATION_ORDER` (the matrix product from left to right). Angles are
    continuous in time: no jumps of 360 degrees, and of the two triples that give one rotation the nearer to the last.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        names: Of our joints in the file, for example `BONE_NAMES["mixamo"]`.

    Raises:
        OSError: As `atomic_path`.
    """
    order: list[int] = []  # of the file: depth first, which is not ours
    lines = ["HIERARCHY"]

    def write_joint(joint: int, indent: str) -> None:
        order.append(joint)
        offset = motion.skeleton.offsets[joint] / _WRITTEN_UNIT_METRES
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
        for child, parent in enumerate(PARENTS):
            if parent == joint:
                write_joint(child, indent + "\t")
        if JOINT_NAMES[joint] in _END_SITE_OFFSETS:
            tip = np.array(_END_SITE_OFFSETS[JOINT_NAMES[joint]]) / _WRITTEN_UNIT_METRES
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
    angles = _continuous_euler_angles(motion.joint_rotations[:, order]).reshape(motion.num_frames, -1)
    rows = np.concatenate([motion.root_positions / _WRITTEN_UNIT_METRES, angles], axis=1)
    lines += ["MOTION", f"Frames: {motion.num_frames}", f"Frame Time: {1 / motion.frame_rate:.8f}"]
    row_format = " ".join(["%.6f"] * rows.shape[1])
    lines += [row_format % tuple(row) for row in rows.tolist()]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
