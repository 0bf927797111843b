"""Bounds of what is read from motion files, and errors that name the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..retargeting.joint_mapping import JointMappingError

MAX_FILE_BYTES = 1 << 29
"""Of a file, and of what a compressed one holds."""
MAX_BVH_BYTES, MAX_JSON_BYTES = 1 << 28, 3 << 24
"""Of texts, which take several times as much memory while they are parsed."""
MAX_FRAMES = 250_000
"""Of a motion: 2.3 hours at 30 Hz, 35 minutes at 120 Hz."""
MAX_VALUES = 50_000_000
"""Numbers of one array."""
MAX_POSED_JOINTS = 12_000_000
"""Frames times joints of a rig: posing one takes some 200 bytes."""
MAX_RIG_JOINTS = 1000
"""Of a rig; those with fingers, face, twist bones and clothes have some 300."""

MAX_JSON_DEPTH = 64

_MAX_MESSAGE = 400


def check_file(path: str | os.PathLike, max_bytes: int | None = None) -> Path:
    """Return the path of a file that exists and is not too large to be read.

    Args:
        path: The file.
        max_bytes: `MAX_FILE_BYTES` by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is larger.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    check_size(path.stat().st_size, path, max_bytes)
    return path


def check_size(num_bytes: int, path: str | os.PathLike, max_bytes: int | None = None) -> None:
    """Raise `ValueError` if a file, or what it unpacks to, is larger than `max_bytes`, `MAX_FILE_BYTES` by default."""
    most = MAX_FILE_BYTES if max_bytes is None else max_bytes
    if num_bytes > most:
        raise ValueError(f"{path} must hold at most {most >> 20} MiB, got more: cut the motion into parts.")


def check_frames(num_frames: int, path: str | os.PathLike, num_joints: int = 1) -> None:
    """Raise `ValueError` if a motion has more frames than `MAX_FRAMES`, or a rig of so many joints has too many."""
    most = min(MAX_FRAMES, MAX_POSED_JOINTS // num_joints)
    if num_frames > most:
        raise ValueError(f"{path} must have at most {most} frames, got {num_frames}: cut the motion into parts.")


def parse_json(text: str) -> Any:
    """Return what a text of JSON holds, or raise `ValueError` if it is none or is nested too deep."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"JSON must be at most {MAX_JSON_DEPTH} levels deep.") from error
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        containers = [item for item in level if isinstance(item, (list, dict))]
        if not containers:
            return value
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
    raise ValueError(f"JSON must be at most {MAX_JSON_DEPTH} levels deep.")


def printable(text: str) -> str:
    """Return a text of a file in one line, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever goes wrong in a reader into a `ValueError` of one line that names the file.

    A missing file stays a `FileNotFoundError`, and a `JointMappingError` keeps its joints.

    Args:
        path: The file that is read inside.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except JointMappingError as error:
        if str(path) in error.problem:
            raise
        raise JointMappingError(error.missing, error.joint_names, f"{path}: {error.problem}") from error
    except (ImportError, NameError):  # defects of this package
        raise
    except Exception as error:  # libraries raise all kinds on bytes that are not what they should be
        text = " ".join(str(error).split())
        if str(path) in text and isinstance(error, (ValueError, OSError)):
            raise
        if isinstance(error, ValueError):
            raise ValueError(f"{path}: {text[:_MAX_MESSAGE]}") from error
        if not text or isinstance(error, LookupError):  # its text is a key alone
            text = f"{type(error).__name__} {text}".strip()
        raise ValueError(f"{path} cannot be read: {text[:_MAX_MESSAGE]}") from error
