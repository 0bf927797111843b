"""Foot contacts as a table that people can edit: a row for each frame, a column for each joint of the feet."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from ..utils.atomic import atomic_path

COLUMNS = ("left_ankle", "right_ankle", "left_foot", "right_foot")
_HEADER = ("frame", *COLUMNS)
_MAX_BYTES = 64 << 20


def write_contacts(foot_contacts: np.ndarray, path: str | os.PathLike) -> None:
    """Write `(frames, 4)` bool as CSV: the frame, then 0 or 1 for each of `COLUMNS`."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        writer.writerows([frame, *map(int, row)] for frame, row in enumerate(foot_contacts))


def read_contacts(path: str | os.PathLike, num_frames: int) -> np.ndarray:
    """Read what `write_contacts` wrote.

    Args:
        path: The CSV.
        num_frames: Of the clip that it belongs to.

    Returns:
        `(num_frames, 4)` bool.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no such table, its frames are not 0 to `num_frames - 1` in order, or a value is
            neither 0 nor 1; the line is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} must be no larger than {_MAX_BYTES >> 20} MiB: it is no table of contacts.")
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be a table of comma-separated values in UTF-8: {error}.") from error
    header = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in _HEADER if name not in header]
    if missing:
        hint = " The columns must be separated by commas." if ";" in ",".join(header) else ""
        raise ValueError(
            f"{path} must be a table with the columns {', '.join(COLUMNS)} after `frame`, it lacks "
            f"{'all' if len(missing) == len(_HEADER) else ', '.join(missing)}.{hint}"
        )
    if len(set(header)) != len(header):
        raise ValueError(f"{path} must name each column once, got {', '.join(header)}.")
    contacts = np.empty((num_frames, len(COLUMNS)), bool)
    for frame, cells in enumerate(rows[1:]):
        place = f"{path}, line {frame + 2}, frame {frame}"
        if frame >= num_frames:
            raise ValueError(f"{place}: there must be no more rows than the {num_frames} frames of the clip.")
        if len(cells) != len(header):
            raise ValueError(f"{place}: there must be {len(header)} values, got {len(cells)}.")
        row = dict(zip(header, map(str.strip, cells), strict=True))
        if row["frame"] != str(frame):
            raise ValueError(f"{place}: `frame` must count 0, 1, 2, ... without gaps, got {row['frame']!r}.")
        for column, name in enumerate(COLUMNS):
            if row[name] not in ("0", "1"):
                raise ValueError(f"{place}: `{name}` must be 0 or 1, got {row[name]!r}.")
            contacts[frame, column] = row[name] == "1"
    if len(rows) - 1 != num_frames:
        raise ValueError(
            f"{path} must have a row for each of the {num_frames} frames of the clip, got {len(rows) - 1}."
        )
    return contacts
