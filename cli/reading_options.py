"""Options of every command that reads motion files: the same files are read by all, with the same words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..motion.files import ReadOptions

# As in `motion.files`, which is not imported to parse a command line; a test compares them.
UP_AXES = ("y", "z", "x", "-y", "-z", "-x")
UNITS = ("m", "cm", "mm", "in", "ft", "dm")
_MAX_JOINT_MAP_BYTES = 1 << 20


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how motion files are to be read."""
    group = parser.add_argument_group("reading motion files", "what a file does not say, or says wrong")
    group.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    group.add_argument("--input-frame-rate", type=float, metavar="HZ", help="frames per second")
    group.add_argument(
        "--up-axis", type=_up_axis, metavar="AXIS", help="axis that points up: y, z, x, or downward, `--up-axis=-y`"
    )
    group.add_argument("--unit", choices=UNITS, help="unit of lengths (default: guessed from the legs)")
    group.add_argument(
        "--joint-map",
        type=Path,
        metavar="FILE.json",
        help="joints that were not found: a JSON object from our names to the file's",
    )
    group.add_argument("--person", help="person of a video, or sample of a batch, to read (default: the longest)")


def read_options(arguments: argparse.Namespace) -> ReadOptions:
    """Return the options that `add_reading_options` added.

    Raises:
        FileNotFoundError: If there is no such joint map.
        ValueError: If an option is none of what it may be.
    """
    from ..motion.files import ReadOptions

    return ReadOptions(
        trust_pickle=arguments.trust_pickle,
        frame_rate=arguments.input_frame_rate,
        up_axis=arguments.up_axis,
        unit=arguments.unit,
        overrides=None if arguments.joint_map is None else read_joint_map(arguments.joint_map),
        person=arguments.person,
    )


def read_joint_map(path: Path) -> Mapping[str, str]:
    """Read a JSON object from our joint names to those of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no joint map {path}.")
    try:
        if path.stat().st_size > _MAX_JOINT_MAP_BYTES:
            raise ValueError("it is too large")
        joint_map = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} must be a JSON object in UTF-8, such as {{"pelvis": "Hips"}}: {error}.') from error
    if not isinstance(joint_map, dict) or not all(isinstance(name, str) for name in joint_map.values()):
        raise ValueError(f'{path} must be a JSON object from our joints to the file\'s, such as {{"pelvis": "Hips"}}.')
    from ..motion.skeleton import JOINT_NAMES

    unknown = [name for name in joint_map if name not in JOINT_NAMES]
    if unknown:
        raise ValueError(f"{path}: {unknown[0][:60]!r} is none of our joints: {', '.join(JOINT_NAMES)}.")
    return joint_map


def _up_axis(text: str) -> str:
    if text not in UP_AXES:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(UP_AXES)}, got {text!r}")
    return text
