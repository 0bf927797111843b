"""Hours of a data set by genre and split, unique minutes beside minutes, and what splits share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np

from ..evaluation.report.tables import Cell, Table
from ..motion.motion import FRAME_RATE
from .manifest import BuiltClip
from .splits import SPLITS

FRAMES_PER_HOUR = round(3600 * FRAME_RATE)
SECONDS_PER_MINUTE = 60
MAX_LISTED_NAMES = 12
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


def unique_seconds(clips: Iterable[BuiltClip]) -> float:
    """Return how many seconds of different movement clips hold, without their mirrored copies.

    A choreographic unit counts once, by the median of its lengths; a clip whose units are not known counts as it is.
    """
    lengths: dict[str, list[float]] = defaultdict(list)
    frames = 0
    for clip in clips:
        if clip.is_mirrored:
            continue
        if not clip.units:
            frames += clip.num_frames
        for label, unit_seconds in clip.units:
            lengths[label].append(unit_seconds)
    return frames / FRAME_RATE + sum(median(values) for values in lengths.values())


def unique_minutes_by_genre(clips: Iterable[BuiltClip]) -> Table:
    """Return minutes, and unique minutes beside them, by genre and split; see `unique_seconds`."""
    originals = [clip for clip in clips if not clip.is_mirrored]
    genres: dict[tuple[str, str], list[BuiltClip]] = defaultdict(list)
    for clip in sorted(originals, key=lambda clip: (clip.coarse_genre, clip.genre)):
        genres[clip.coarse_genre, clip.genre].append(clip)
    genres["all", ""] = originals
    rows: list[list[Cell]] = []
    for names, members in genres.items():
        row: list[Cell] = [*names, len({label for clip in members for label, _ in clip.units})]
        for part in (*SPLITS, None):
            own = [clip for clip in members if part is None or clip.split == part]
            minutes = sum(clip.num_frames for clip in own) / FRAME_RATE / SECONDS_PER_MINUTE
            row += [f"{minutes:.2f}", f"{unique_seconds(own) / SECONDS_PER_MINUTE:.2f}"]
        rows.append(row)
    columns = [f"{part} {what}" for part in (*SPLITS, "all") for what in ("min", "unique min")]
    return Table(
        "Unique minutes",
        ["genre", "finer genre", "units", *columns],
        rows,
        "Unique: a choreographic unit counts once, by the median of its lengths; a clip whose units are not known "
        "counts as it is. Mirrored copies are not counted.",
    )


def shared_between_splits(clips: Iterable[BuiltClip]) -> Table:
    """Return which songs, units and performers stand in several splits: songs and units never do."""
    splits_of: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in ("song", "unit", "performer")}
    for clip in clips:
        names = {"song": {clip.song_id}, "unit": {label for label, _ in clip.units}, "performer": {clip.performer_id}}
        for what, labels in names.items():
            for label in labels - {""}:
                splits_of[what][label].add(clip.split)
    rows: list[list[Cell]] = []
    for what, splits in splits_of.items():
        shared = sorted(label for label, found in splits.items() if len(found) > 1)
        listed = [f"{label} ({', '.join(name for name in SPLITS if name in splits[label])})" for label in shared]
        more = [f"and {len(listed) - MAX_LISTED_NAMES} more"] if len(listed) > MAX_LISTED_NAMES else []
        rows.append([f"{what}s", len(splits), len(shared), "; ".join([*listed[:MAX_LISTED_NAMES], *more])])
    return Table("Shared between splits", ["what", "known", "in several splits", "which"], rows)


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
