"""Foot contacts as a table that people can edit: a row for each frame, a column for each joint of the feet."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from ..utils.atomic import atomic_path

COLUMNS = ("left_ankle", "right_ankle", "left_foot", "right_foot")


def write_contacts(foot_contacts: np.ndarray, path: str | os.PathLike) -> None:
    """Write `(frames, 4)` bool as CSV: the frame, then 0 or 1 for each of `COLUMNS`."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", *COLUMNS])
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
        ValueError: If a column is missing, a value is neither 0 nor 1, or there are not as many rows as frames.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        raise ValueError(f"{path} must be a table with the columns {', '.join(COLUMNS)}, it lacks {missing or 'all'}.")
    if len(rows) != num_frames:
        raise ValueError(f"{path} must have a row for each of the {num_frames} frames of the clip, got {len(rows)}.")
    for number, row in enumerate(rows):
        for name in COLUMNS:
            if row[name] not in ("0", "1"):
                raise ValueError(f"{path}, frame {number}: `{name}` must be 0 or 1, got {row[name]!r}.")
    return np.array([[row[name] == "1" for name in COLUMNS] for row in rows])
