"""Tables of measured numbers: kept as JSON, shown as Markdown."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.pulse import bootstrap_interval

Cell = str | int | float | list[float] | None
"""A list is a mean with the two ends of its interval."""

INTRODUCTION = """# Measured results

Written by `python -m infinitedance.training.report`; not edited by hand. Every section names the command that measures
it again, and the `.json` beside this file holds the same numbers. Songs and dances of the test split were never
trained on. A range in parentheses is a 95 % bootstrap interval over songs; with few songs it is a rough one.
"""


@dataclass(frozen=True)
class Table:
    """Numbers under one heading.

    Args:
        title: The heading.
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


def section_record(title: str, command: str, model_dir: Path, tables: Sequence[Table]) -> dict[str, Any]:
    """Return a section as JSON can hold it, with the versions and the weights that it was measured with."""
    packages = ("infinitedance", "torch", "transformers", "numpy")
    weights = hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest()
    return {
        "title": title,
        "command": command,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "weights_sha256": weights,
        "tables": [_without_nan(asdict(table)) for table in tables],
    }


def render_markdown(sections: dict[str, dict[str, Any]]) -> str:
    """Show sections, as returned by `section_record`, in order."""
    parts = [INTRODUCTION]
    for section in sections.values():
        versions = ", ".join(f"{name} {number}" for name, number in section["versions"].items())
        parts += [
            f"## {section['title']}\n",
            f"```bash\n{section['command']}\n```\n",
            f"Measured with {versions}; weights {section['weights_sha256'][:12]}.\n",
        ]
        for table in section["tables"]:
            lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
            parts.append(f"### {table['title']}\n")
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


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON does not know, by `None`, and round to six digits."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.6g}")
    return value
