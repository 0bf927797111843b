"""Read BVH of any tool and write our dances as BVH."""

from __future__ import annotations

import logging
import os
import re
import warnings
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import numpy as np
import roma
import torch

from ..joint_mapping import JointMappingError, guess_joint_mapping
from ..motion import Motion
from ..skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from ..source_animation import SourceAnimation
from .atomic import atomic_path

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
_END_SITE = -1

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


class BVHError(ValueError):
    """A BVH file breaks its own format; the message names the file and the line."""


@dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = field(default_factory=list)
    tips: list[list[float]] = field(default_factory=list)


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
    if unit_scale is not None and not (np.isfinite(unit_scale) and unit_scale > 0):
        raise ValueError(f"`unit_scale` must be a positive number of metres, got {unit_scale}.")
    if up_axis not in (None, "y", "z"):
        raise ValueError(f"`up_axis` must be 'y', 'z' or None, got {up_axis!r}.")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    joints, motion_line = _parse_hierarchy(lines, path)
    frame_rate, values = _parse_motion(lines, motion_line, sum(len(joint.channels) for joint in joints), path)
    source = _to_source(joints, frame_rate, values)

    some_frames = values[:: max(1, len(values) // 100)]
    posed = _to_source(joints, frame_rate, some_frames).pose()[0]
    if (up_axis or _guess_up_axis(source, posed, path)) == "z":
        source = _turn_z_up(source)
    return _scaled(source, unit_scale or _guess_unit(posed, path))


def _fail(path: Path, line: int, problem: str) -> NoReturn:
    raise BVHError(f"{path}, line {line + 1}: {problem}")


def _parse_hierarchy(lines: list[str], path: Path) -> tuple[list[_Joint], int]:
    """Read the skeleton; return its joints, parents first, and the index of the line `MOTION`."""
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first].split()[0].upper() != "HIERARCHY":
        got = "nothing" if first is None else repr(lines[first][:40])
        raise BVHError(f"{path} is not a BVH file: it must begin with the line HIERARCHY, got {got}.")
    joints: list[_Joint] = []
    stack: list[int] = []  # joints whose braces are open
    opening = _END_SITE
    for number, line in enumerate(lines[first + 1 :], start=first + 1):
        # Braces are statements of their own, wherever they stand.
        for statement in filter(None, (part.strip() for part in re.split(r"([{}])", line))):
            words = statement.split()
            keyword = words[0].upper()
            if keyword == "MOTION":
                if stack:
                    _fail(path, number, f"{len(stack)} braces of the hierarchy are not closed before MOTION.")
                if not joints:
                    _fail(path, number, "the hierarchy has no ROOT.")
                return joints, number
            if keyword in ("ROOT", "JOINT"):
                if (keyword == "ROOT") != (not joints):
                    _fail(path, number, "a file must hold one skeleton: exactly one ROOT, before all JOINTs.")
                if keyword == "JOINT" and (not stack or stack[-1] == _END_SITE):
                    _fail(path, number, "a JOINT must stand inside the braces of its parent.")
                opening = len(joints)
                name = statement[len(keyword) :].strip() or f"joint{opening}"
                joints.append(_Joint(name, stack[-1] if stack else -1))
            elif keyword == "END":
                if not stack or stack[-1] == _END_SITE:
                    _fail(path, number, "an End Site must stand inside the braces of a joint.")
                opening = _END_SITE
            elif keyword == "{":
                stack.append(opening)
            elif keyword == "}":
                if not stack:
                    _fail(path, number, "a brace is closed that was never opened.")
                stack.pop()
            elif keyword == "OFFSET":
                offset = _floats(words[1:], path, number)
                if len(offset) != 3 or not stack:
                    _fail(path, number, f"OFFSET must give 3 numbers inside a joint, got {statement!r}.")
                if stack[-1] == _END_SITE:
                    joints[stack[-2]].tips.append(offset)
                else:
                    joints[stack[-1]].offset = offset
            elif keyword == "CHANNELS":
                if not stack or stack[-1] == _END_SITE:
                    _fail(path, number, "CHANNELS must stand inside a joint.")
                joints[stack[-1]].channels = _channels(words, path, number)
            else:
                expected = "ROOT, JOINT, End Site, OFFSET, CHANNELS or MOTION"
                _fail(path, number, f"expected {expected}, got {statement[:60]!r}.")
    raise BVHError(f"{path} ends in its hierarchy: there is no line MOTION.")


def _floats(words: list[str], path: Path, number: int) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        _fail(path, number, f"expected numbers, got {' '.join(words)[:60]!r}.")
    if not np.isfinite(values).all():
        _fail(path, number, f"expected finite numbers, got {' '.join(words)[:60]!r}.")
    return values


def _channels(words: list[str], path: Path, number: int) -> list[str]:
    """Read `CHANNELS 3 Zrotation Xrotation Yrotation` as `["zr", "xr", "yr"]`."""
    names = [word.lower() for word in words[2:]]
    if len(words) < 2 or words[1] != str(len(names)):
        _fail(path, number, f"CHANNELS must give the number of names that follow, got {' '.join(words)!r}.")
    for name in names:
        if not re.fullmatch("[xyz](position|rotation)", name):
            _fail(path, number, f"a channel must be one of X, Y, Z with `position` or `rotation`, got {name!r}.")
    return [name[:2] for name in names]


def _parse_motion(lines: list[str], motion_line: int, num_channels: int, path: Path) -> tuple[float, np.ndarray]:
    """Read the frames: frame rate in Hz and `(frames, channels)`."""
    declared: dict[str, str] = {}
    number = motion_line + 1
    for keyword in ("Frames", "Frame Time"):
        while number < len(lines) and not lines[number].strip():
            number += 1
        line = lines[number] if number < len(lines) else ""
        match = re.fullmatch(rf"\s*{keyword}\s*:\s*(\S+)\s*", line, re.IGNORECASE)
        if match is None:
            _fail(path, number, f"expected `{keyword}: NUMBER` after MOTION.")
        declared[keyword] = match[1]
        number += 1
    num_frames = int(_floats([declared["Frames"]], path, number - 2)[0])
    frame_rate = _frame_rate(declared["Frame Time"], path, number - 1)

    # Blocks of lines: a quick parse, little memory, and the line of an error at hand.
    blocks = []
    for start in range(number, len(lines), 1000):
        block = lines[start : start + 1000]
        try:
            blocks.append(np.array(" ".join(block).split(), dtype=np.float64))
        except ValueError:
            for offset, line in enumerate(block):
                _floats(line.split(), path, start + offset)
    values = np.concatenate(blocks) if blocks else np.empty(0)
    if len(values) == 0 or num_channels == 0 or len(values) % num_channels:
        for offset, line in enumerate(lines[number:]):
            if line.strip() and len(line.split()) != num_channels:
                _fail(path, number + offset, f"a frame must have {num_channels} numbers, got {len(line.split())}.")
        raise BVHError(f"{path} holds no frames of its {num_channels} channels.")
    values = values.reshape(-1, num_channels)
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise BVHError(f"{path} holds NaN or infinity in {len(bad)} of {len(values)} frames, first in frame {bad[0]}.")
    if len(values) != num_frames:
        warnings.warn(
            f"{path} announces {num_frames} frames and holds {len(values)}, which are used. Is the file complete?",
            stacklevel=3,
        )
    return frame_rate, values


def _frame_rate(frame_time: str, path: Path, number: int) -> float:
    """Return the rate in Hz; a rounded time of a whole rate ("0.0333") gives that rate."""
    seconds = _floats([frame_time], path, number)[0]
    if seconds <= 0:
        _fail(path, number, f"Frame Time must be a positive number of seconds, got {frame_time}.")
    last_digit = 10.0 ** int(Decimal(frame_time).as_tuple().exponent)
    whole = max(1, round(1 / seconds))
    return float(whole) if abs(1 / whole - seconds) < min(last_digit, 0.01 * seconds) else 1 / seconds


def _to_source(joints: list[_Joint], frame_rate: float, values: np.ndarray) -> SourceAnimation:
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
            stacklevel=3,
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


def _guess_unit(posed: np.ndarray, path: Path) -> float:
    """Guess the metres of one unit from joint positions `(frames, joints, 3)` of somebody who stands or lies."""
    height = float(np.quantile(np.ptp(posed, axis=1).max(axis=-1), 0.75))
    for name, metres, low, high in _UNITS:
        if low <= height < high:
            logger.info("%s: a body %.1f units long, taken for %s.", path, height, name)
            return metres
    if height == 0:
        raise BVHError(f"{path} holds a body without extent: all joints lie in one point.")
    warnings.warn(
        f"{path} holds a body {height:.4g} units long, which is no adult in a unit known here; it is scaled to "
        f"{_ADULT_HEIGHT_METRES} m. Pass `unit_scale`, the metres of one unit, if that is wrong.",
        stacklevel=3,
    )
    return _ADULT_HEIGHT_METRES / height


def _scaled(source: SourceAnimation, metres: float) -> SourceAnimation:
    return replace(
        source,
        offsets=source.offsets * metres,
        root_positions=source.root_positions * metres,
        joint_translations={joint: value * metres for joint, value in source.joint_translations.items()},
        end_sites={joint: value * metres for joint, value in source.end_sites.items()},
    )


def write_bvh(motion: Motion, path: str | os.PathLike) -> None:
    """Write a dance as BVH: centimetres, Y up, rest pose a T-pose that looks along +Z, rotations in degrees.

    All joints turn in the order `WRITTEN_ROTATION_ORDER` (the matrix product from left to right). Angles are
    continuous in time: no jumps of 360 degrees, and of the two triples that give one rotation the nearer to the last.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.

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
                f"{indent}{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}",
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
