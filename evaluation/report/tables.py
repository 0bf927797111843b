"""Tables of measured numbers: kept as JSON, shown as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics.pulse import bootstrap_interval

Cell = str | int | float | list[float] | None
"""A list is a mean with the two ends of its interval."""


@dataclass(frozen=True)
class Table:
    """Numbers under one heading.

    Args:
        title: The heading; empty: none.
        columns: Names of the columns, with units.
        rows: As many cells each.
        note: What the numbers mean and what is wanted of them.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"Every row of {self.title!r} must have {len(self.columns)} cells.")


def mean_with_interval(values_per_song: Sequence[float] | np.ndarray) -> list[float]:
    """Return the mean over songs and the ends of its bootstrap interval; NaN if any song has no value."""
    if not np.isfinite(values_per_song).all():
        return [math.nan] * 3
    return [float(np.mean(values_per_song)), *bootstrap_interval(values_per_song)]


def table_markdown(table: dict[str, Any]) -> str:
    """Show a table, as `dataclasses.asdict` or JSON holds it, under a heading of the third level if it has one."""
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    parts = [f"### {table['title']}\n"] if table["title"] else []
    parts.append("\n".join("| " + " | ".join(map(format_cell, line)) + " |" for line in lines) + "\n")
    if table["note"]:
        parts.append(table["note"] + "\n")
    return "\n".join(parts)


def format_cell(cell: Cell) -> str:
    """Show a number with three digits, an interval in parentheses, a missing number as a dash."""
    if isinstance(cell, list):
        if cell[0] is None:
            return "-"
        return f"{format_cell(cell[0])} ({format_cell(cell[1])} to {format_cell(cell[2])})"
    if cell is None:
        return "-"
    if isinstance(cell, float):
        decimals = 0 if abs(cell) >= 100 else 1 if abs(cell) >= 10 else 2 if abs(cell) >= 1 else 3
        return f"{cell:.{decimals}f}"
    return str(cell)


def without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not know, by `None`, and round to six digits."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
