"""Parse the text of a BVH file: its hierarchy and its frames, with the line of every mistake."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from .frame_times import likely_rate, rate_written_for_time
from .limits import MAX_FRAMES, MAX_RIG_JOINTS, MAX_VALUES
from .read_options import FRAME_RATE_OPTION, MAX_FRAME_RATE, MIN_FRAME_RATE

_END_SITE = -1
_LARGEST = 1e9
"""No offset and no channel is larger."""
_MAX_NAME = 200
_BLOCK_LETTERS = 1 << 22
_MAX_LINE_LETTERS = 1 << 21
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"H\0", "utf-16-le"),
    (b"\0H", "utf-16-be"),
)
_SIDE_LETTERS = re.compile("[左右]")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


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


def decode(content: bytes, path: Path) -> tuple[str, str]:
    """Return the text of a file, and its encoding.

    What is not UTF-8 and has no byte order mark is taken for Shift-JIS or GB18030 where that gives words for left and
    right, else for Latin-1, with a warning.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise BVHError(f"{path} is no text in {encoding.upper()}: {error.reason}. Save it as UTF-8.") from error
    encoding = next((name for name in ("cp932", "gb18030") if _names_sides(content, name)), "latin-1")
    warnings.warn(
        f"{path} is not in UTF-8; its names are read as {encoding}. If they are wrong, save it as UTF-8.", stacklevel=2
    )
    return content.decode(encoding, errors="replace"), encoding


def _names_sides(content: bytes, encoding: str) -> bool:
    try:
        return bool(_SIDE_LETTERS.search(content.decode(encoding)))
    except UnicodeDecodeError:
        return False


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
                if len(joints) >= MAX_RIG_JOINTS:
                    _fail(path, number, f"a skeleton must have at most {MAX_RIG_JOINTS} joints.")
                name = statement[len(keyword) :].strip()[:_MAX_NAME] or f"joint{opening}"
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
        got = " ".join(words)[:60]
        if _DECIMAL_COMMA.search(got):
            _fail(path, number, f"expected numbers with decimal points, got decimal commas: {got!r}. Replace them.")
        _fail(path, number, f"expected numbers, got {got!r}.")
    if not np.isfinite(values).all() or max(map(abs, values), default=0) > _LARGEST:
        _fail(path, number, f"expected finite numbers of at most {_LARGEST:g}, got {' '.join(words)[:60]!r}.")
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


def parse_motion(
    lines: list[str], motion_line: int, num_channels: int, path: Path, frame_rate: float | None = None
) -> tuple[float, np.ndarray]:
    """Read the frames: frame rate in Hz, which is the given one if there is one, and `(frames, channels)`."""
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
    rate = frame_rate or _frame_rate(declared["Frame Time"], path, number - 1)

    values = np.concatenate([np.empty(0), *_blocks(lines, number, path)])
    if len(values) == 0 or num_channels == 0 or len(values) % num_channels:
        for offset, line in enumerate(lines[number:]):
            if line.strip() and len(line.split()) != num_channels:
                _fail(path, number + offset, f"a frame must have {num_channels} numbers, got {len(line.split())}.")
        raise BVHError(f"{path} holds no frames of its {num_channels} channels.")
    values = values.reshape(-1, num_channels)
    if len(values) > MAX_FRAMES:
        raise BVHError(f"{path} must have at most {MAX_FRAMES} frames, got {len(values)}: cut the motion into parts.")
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise BVHError(f"{path} holds NaN or infinity in {len(bad)} of {len(values)} frames, first in frame {bad[0]}.")
    if np.abs(values).max() > _LARGEST:
        raise BVHError(f"{path} must hold numbers of at most {_LARGEST:g}, got {np.abs(values).max():g}.")
    if len(values) != num_frames:
        warnings.warn(
            f"{path} announces {num_frames} frames and holds {len(values)}, which are used. Is the file complete?",
            stacklevel=4,
        )
    return rate, values


def _blocks(lines: list[str], number: int, path: Path) -> Iterator[np.ndarray]:
    """Parse the frames in blocks of lines: quick, in little memory, and with the line of an error at hand."""
    start, letters, count = number, 0, 0
    for end in range(number, len(lines) + 1):
        if end < len(lines):
            if len(lines[end]) > _MAX_LINE_LETTERS:
                _fail(path, end, "a line must hold one frame, got a longer one.")
            letters += len(lines[end])
            if letters < _BLOCK_LETTERS:
                continue
        try:
            block = np.array(" ".join(lines[start : end + 1]).split(), dtype=np.float64)
        except ValueError:
            for offset, line in enumerate(lines[start : end + 1]):
                _floats(line.split(), path, start + offset)
            raise
        count += len(block)
        if count > MAX_VALUES:
            raise BVHError(f"{path} must hold at most {MAX_VALUES} numbers: cut the motion into parts.")
        yield block
        start, letters = end + 1, 0


def _frame_rate(frame_time: str, path: Path, number: int) -> float:
    """Return the rate in Hz that the frame time was written for; see `likely_rate`."""
    seconds = _floats([frame_time], path, number)[0]
    if seconds <= 0:
        _fail(path, number, f"Frame Time must be a positive number of seconds, got {frame_time}.")
    if seconds > 1 / MIN_FRAME_RATE and (rate := rate_written_for_time(seconds)):
        warnings.warn(
            f"{path}, line {number + 1}: a Frame Time of {frame_time} s is taken for {rate:g} frames a second. If "
            f"that is wrong, pass {FRAME_RATE_OPTION}.",
            stacklevel=4,
        )
        return rate
    if not 1 / MAX_FRAME_RATE <= seconds <= 1 / MIN_FRAME_RATE:
        _fail(
            path,
            number,
            f"Frame Time must be {1 / MAX_FRAME_RATE:g} to {1 / MIN_FRAME_RATE:g} s, got {frame_time}. Pass "
            f"{FRAME_RATE_OPTION}.",
        )
    rate, other = likely_rate(frame_time)
    if other is not None:
        warnings.warn(
            f"{path}, line {number + 1}: a Frame Time of {frame_time} s may be {rate:g} or {other:g} Hz; {rate:g} is "
            f"used. Pass {FRAME_RATE_OPTION} if that is wrong.",
            stacklevel=4,
        )
    return rate
