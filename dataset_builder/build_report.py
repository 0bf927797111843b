"""The report card of a build: what was built, flagged, rejected and could not be read, and why."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.report.tables import Table, table_markdown
from ..utils.atomic import atomic_path
from .hours import hours_by_genre, shared_between_splits, unique_minutes_by_genre
from .manifest import BuiltClip
from .quality_gates import GENRE_GUESSED, QualityGates

REPORT_FILES = ("report.json", "report.md")
MAX_LISTED_CLIPS = 50


def write_build_report(
    entries: Sequence[tuple[str, dict[str, Any]]],
    clips: Sequence[BuiltClip],
    built_dir: Path,
    linked_report: str | None = None,
) -> None:
    """Write `report.json`, with every clip that was left out, and `report.md`, to be read.

    Args:
        entries: The source's name and the entry of each listed clip.
        clips: The clips that were built.
        built_dir: Folder of the data set.
        linked_report: The report on captured videos, relative to it; `None` if there is none.
    """
    tables = [
        count_table(entries),
        hours_by_genre(clips),
        unique_minutes_by_genre(clips),
        shared_between_splits(clips),
        flag_table(entries),
        measure_table(entries),
    ]
    problems = [
        {"source": source, **{key: entry[key] for key in ("clip_id", "status", "reasons")}}
        for source, entry in entries
        if entry["reasons"]
    ]
    values = {"tables": [asdict(table) for table in tables], "left_out": problems}
    with atomic_path(built_dir / REPORT_FILES[0]) as partial:
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    links = [] if linked_report is None else [f"[How the videos were captured]({linked_report}).\n"]
    parts = [
        "# Report of the build\n",
        *links,
        *(table_markdown(asdict(table)) for table in tables),
        *_left_out(problems),
    ]
    with atomic_path(built_dir / REPORT_FILES[1]) as partial:
        partial.write_text("\n".join(parts), encoding="utf-8")


def count_table(entries: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Count the clips of each source by what became of them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for source, entry in entries:
        flagged = ["flagged"] if entry["status"] == "built" and entry["flags"] else []
        for name in (source, "all"):
            counts[name].update(["listed", entry["status"], *flagged])
    columns = ["listed", "built", "flagged", "rejected", "failed"]
    names = [*sorted(counts.keys() - {"all"}), "all"]
    return Table(
        "Clips",
        ["source", *columns],
        [[name, *(counts[name][column] for column in columns)] for name in names],
        "Rejected by the quality gates; failed: could not be read. Flagged clips are among those built.",
    )


def flag_table(entries: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Count the clips of each source that each gate flagged or rejected; one clip may count at several gates."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for source, entry in entries:
        counts[source].update(entry["flags"])
        if entry["status"] == "rejected":
            counts[source].update(reason.split(" ", 1)[0] for reason in entry["reasons"])
    sources = sorted(counts)
    names = [*_gate_names(), GENRE_GUESSED]
    rows: list[list[Any]] = [[name, *(counts[source][name] for source in sources)] for name in names]
    return Table("Clips beyond a gate", ["gate", *sources], [row for row in rows if any(row[1:])])


def measure_table(entries: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    """Show what each gate measured in each source: how many clips, median, 5th and 95th percentile."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    sources = set()
    for source, entry in entries:
        sources.add(source)
        for gate, value in entry["measures"].items():
            if value is not None:
                values[source, gate].append(value)
    rows: list[list[Any]] = []
    for source in sorted(sources):
        for gate in _gate_names():
            measured = values[source, gate]
            if measured:
                low, median, high = (round(float(value), 4) for value in np.quantile(measured, [0.05, 0.5, 0.95]))
                rows.append([source, gate, len(measured), low, median, high])
    return Table("Measures", ["source", "measure", "clips", "5 %", "median", "95 %"], rows)


def _gate_names() -> list[str]:
    return [gate.name for gate in fields(QualityGates)]


def _left_out(problems: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"- `{problem['clip_id']}` {problem['status']}: {'; '.join(problem['reasons'])}"
        for problem in problems[:MAX_LISTED_CLIPS]
    ]
    more = len(problems) - len(lines)
    if more:
        lines.append(f"- and {more} more, see {REPORT_FILES[0]}")
    return ["### Left out\n", *(lines or ["Nothing."]), ""]
