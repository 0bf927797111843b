"""Hours of a data set by genre and split, rounded so that the printed numbers add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..evaluation.report.tables import Cell, Table
from ..motion.motion import FRAME_RATE
from .manifest import BuiltClip
from .splits import SPLITS

FRAMES_PER_HOUR = round(3600 * FRAME_RATE)
LARGE_SET_HOURS = 10


def hours_by_genre(clips: Iterable[BuiltClip]) -> Table:
    """Return hours by genre and split; rows and columns add up to the digit that is printed.

    Mirrored copies are not counted: they are no other hours of dance.
    """
    originals = [clip for clip in clips if not clip.is_mirrored]
    frames: dict[tuple[str, ...], list[list[int]]] = {}
    for clip in sorted(originals, key=lambda clip: (clip.coarse_genre, clip.genre)):
        lengths = frames.setdefault((clip.coarse_genre, clip.genre), [[] for _ in SPLITS])
        lengths[SPLITS.index(clip.split)].append(clip.num_frames)
    return hour_table("Hours by genre", ["genre", "finer genre"], SPLITS, frames)


def hour_table(
    title: str,
    key_columns: Sequence[str],
    parts: Sequence[str],
    frames: Mapping[tuple[str, ...], Sequence[Sequence[int]]],
) -> Table:
    """Return a table of clips and hours that add up in rows and columns.

    Args:
        title: Its heading.
        key_columns: Names of the columns that name a row.
        parts: Names of the parts that the hours are divided into; with one part there is no sum beside it.
        frames: Lengths of the clips of each part, in frames, by the names of the row.
    """
    cells = np.array([[sum(part) for part in row] for row in frames.values()], dtype=np.int64)
    cells = cells.reshape(len(frames), len(parts))
    decimals = 2 if cells.sum() >= LARGE_SET_HOURS * FRAMES_PER_HOUR else 4
    hours = round_to_sum(cells, FRAMES_PER_HOUR, 10**decimals)
    counts = [sum(map(len, row)) for row in frames.values()]
    if len(parts) > 1:
        hours = np.column_stack([hours, hours.sum(axis=1)])

    def row(names: Sequence[str], count: int, values: np.ndarray) -> list[Cell]:
        return [*names, count, *(f"{value / 10**decimals:.{decimals}f}" for value in values)]

    rows = [row(names, count, values) for names, count, values in zip(frames, counts, hours, strict=True)]
    rows.append(row(["all"] + [""] * (len(key_columns) - 1), sum(counts), hours.sum(axis=0)))
    columns = [*key_columns, "clips", *(parts if len(parts) == 1 else [*(f"{part} h" for part in parts), "all h"])]
    return Table(title, columns, rows)


def round_to_sum(counts: np.ndarray, counts_per_unit: int, steps_per_unit: int) -> np.ndarray:
    """Round counts to steps of a unit by largest remainders, so that they add up to their rounded sum.

    Args:
        counts: Non-negative integers, any shape.
        counts_per_unit: Counts in one unit.
        steps_per_unit: Steps in one unit.

    Returns:
        Steps, integers of the same shape: each within one of the exact value.
    """
    scaled = counts.ravel() * steps_per_unit
    steps, remainders = scaled // counts_per_unit, scaled % counts_per_unit
    total = (2 * int(scaled.sum()) + counts_per_unit) // (2 * counts_per_unit)  # rounded to the nearest
    largest = np.argsort(-remainders, kind="stable")[: total - int(steps.sum())]
    steps[largest] += 1
    return steps.reshape(counts.shape)
