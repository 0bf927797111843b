"""Parse the text of a BVH file: its hierarchy and its frames, with the line of every mistake."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import numpy as np

_END_SITE = -1


class BVHError(ValueError):
    """A BVH file breaks its own format; the message names the file and the line."""


@dataclass
class BvhJoint:
    """A joint of the hierarchy, in file units.

    Args:
        name: As in the file.
        parent: Index of the parent, -1 for the root.
        offset: From the parent.
        channels: Such as `"xp"` (X position) or `"zr"` (Z rotation), in the order of their columns.
        tips: Offsets of end sites.
    """

    name: str
    parent: int
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = field(default_factory=list)
    tips: list[list[float]] = field(default_factory=list)


def _fail(path: Path, line: int, problem: str) -> NoReturn:
    raise BVHError(f"{path}, line {line + 1}: {problem}")


def parse_hierarchy(lines: list[str], path: Path) -> tuple[list[BvhJoint], int]:
    """Read the skeleton; return its joints, parents first, and the index of the line `MOTION`."""
    first = next((index for index, line in enumerate(lines) if line.strip()), None)
    if first is None or lines[first].split()[0].upper() != "HIERARCHY":
        got = "nothing" if first is None else repr(lines[first][:40])
        raise BVHError(f"{path} is not a BVH file: it must begin with the line HIERARCHY, got {got}.")
    joints: list[BvhJoint] = []
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
                joints.append(BvhJoint(name, stack[-1] if stack else -1))
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


def parse_motion(lines: list[str], motion_line: int, num_channels: int, path: Path) -> tuple[float, np.ndarray]:
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
            stacklevel=4,
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
