"""The report on a set of dances: one record, which JSON holds, and its tables, which Markdown and HTML show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..metrics.distribution import FrechetResult
from ..metrics.pulse import bootstrap_interval
from .tables import Cell, Table, table_markdown, without_nan

SCHEMA_VERSION = 1
FAMILIES = {
    "music": "Music",
    "movement": "Movement",
    "feet": "Feet on the floor",
    "memory": "Memory",
    "joins": "Joins of windows",
    "reconstruction": "Reconstruction",
}
GROUPED_METRICS = ("pulse_lock", "tempo_agrees", "alignment_music_excess", "joint_speed", "slide")
"""What is shown for each genre and tempo."""
TEMPO_GROUPS = ((0.0, 90.0, "under 90 bpm"), (90.0, 120.0, "90 to 120 bpm"), (120.0, np.inf, "over 120 bpm"))
MIN_CERTAIN_SONGS = 10
MAX_NEAREST = 20
"""Dances that are listed with the training dance that is most like them."""
JUDGMENTS = {
    ("higher", "above"): "above: better",
    ("higher", "below"): "below: worse",
    ("lower", "above"): "above: worse",
    ("lower", "below"): "below: better",
    ("real", "above"): "above real",
    ("real", "below"): "below real",
}


def summarize(values: Sequence[float], units: Sequence[str]) -> dict[str, float | int]:
    """Average a metric over independent units, with a bootstrap interval.

    Args:
        values: One a dance; those that are NaN do not count.
        units: What each dance belongs to (its song): dances of one unit are averaged first.

    Returns:
        `mean`, `low`, `high` (95 %), and `num`, the units that count; NaN where there are none.
    """
    by_unit: dict[str, list[float]] = {}
    for value, unit in zip(values, units, strict=True):
        if np.isfinite(value):
            by_unit.setdefault(unit, []).append(value)
    if not by_unit:
        return {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "num": 0}
    means = [float(np.mean(each)) for each in by_unit.values()]
    low, high = bootstrap_interval(means)
    return {"mean": float(np.mean(means)), "low": low, "high": high, "num": len(means)}


def compare(generated: dict[str, Any], reference: dict[str, Any]) -> str:
    """Say in words how two summaries differ: `"above"`, `"below"`, or that their intervals overlap."""
    if not (generated["num"] and reference["num"]):
        return ""
    if generated["low"] > reference["high"]:
        return "above"
    if generated["high"] < reference["low"]:
        return "below"
    return "no clear difference"


def judge(row: dict[str, Any]) -> str:
    """Say what the comparison of a metric means: whether above or below real is better, worse, or only unlike it.

    Args:
        row: From `metric_summaries`.
    """
    return JUDGMENTS.get((row["better"], row["comparison"]), row["comparison"])


def tempo_group(bpm: float) -> str:
    """Name the group of tempos that a song belongs to."""
    return next(name for low, high, name in TEMPO_GROUPS if low <= bpm < high)


def group_summaries(
    dances: Sequence[dict[str, Any]], key: str, metrics: Sequence[str] = GROUPED_METRICS
) -> dict[str, dict[str, dict[str, Any]]]:
    """Summarize dances by genre or tempo.

    Args:
        dances: Each with `set` (`"generated"` or `"reference"`), `unit`, `values`, and a text under `key`.
        key: `"genre"` or `"tempo"`; dances with an empty text are left out.
        metrics: Which of the values.

    Returns:
        For each group, metric and set the summary; groups without a generated dance are left out.
    """
    order = [name for _, _, name in TEMPO_GROUPS]
    found = {dance[key] for dance in dances if dance[key] and dance["set"] == "generated"}
    groups = sorted(found, key=lambda group: (order.index(group) if group in order else 0, group))
    return {
        group: {
            metric: {
                name: summarize(*_columns(dances, metric, lambda dance: dance["set"] == name and dance[key] == group))  # noqa: B023
                for name in ("generated", "reference")
            }
            for metric in metrics
        }
        for group in groups
    }


def _columns(dances: Sequence[dict[str, Any]], metric: str, keep: Any) -> tuple[list[float], list[str]]:
    chosen = [dance for dance in dances if keep(dance)]
    return [dance["values"].get(metric, float("nan")) for dance in chosen], [dance["unit"] for dance in chosen]


def metric_summaries(dances: Sequence[dict[str, Any]], metrics: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Summarize every metric over the generated and over the reference dances.

    Args:
        dances: As in `group_summaries`.
        metrics: Each with `key`, `label`, `family`, `unit`, `better` and `note`; those that no dance has are left out.

    Returns:
        The metrics with `generated`, `reference` and `comparison`.
    """
    rows = []
    for metric in metrics:
        both = {
            name: summarize(*_columns(dances, metric["key"], lambda dance: dance["set"] == name))  # noqa: B023
            for name in ("generated", "reference")
        }
        if both["generated"]["num"] or both["reference"]["num"]:
            rows.append({**metric, **both, "comparison": compare(both["generated"], both["reference"])})
    return rows


def frechet_record(name: str, mode: str, against: str, result: FrechetResult) -> dict[str, Any]:
    """Return a Fréchet distance as JSON can hold it.

    Args:
        name: `"FID_k"` or `"FID_m"`.
        mode: Of the features.
        against: What the reference is: `"reference"` or `"training"`.
        result: What was measured.
    """
    verdict = "within the floor"
    if result.is_distinguishable_from_real:
        verdict = "farther than real"
    elif result.matched_value < result.floor.interval[0]:
        verdict = "closer than real, as copies are"
    return {
        "name": name,
        "mode": mode,
        "against": against,
        **without_nan(_lists(asdict(result))),
        "verdict": verdict,
    }


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple | list) else value


def histogram(values: dict[str, np.ndarray], low: float, high: float, num_bins: int) -> dict[str, Any]:
    """Count shares of values in even bins; the end bins take what lies beyond them.

    Args:
        values: For each group `(values,)`.
        low: Start of the first bin.
        high: End of the last bin.
        num_bins: Number of bins.

    Returns:
        `bin_edges`, and for each group its shares.
    """
    edges = np.linspace(low, high, num_bins + 1)
    inside = np.nextafter(high, low)
    shares = {
        name: (np.histogram(np.clip(each, low, inside), edges)[0] / max(1, len(each))).tolist()
        for name, each in values.items()
    }
    return {"bin_edges": edges.tolist(), "shares": shares}


def report_tables(record: dict[str, Any]) -> dict[str, list[Table]]:
    """Return the tables of a record by section, in order.

    Args:
        record: What report.json holds.
    """
    sections = {
        title: [_family_table(rows)]
        for family, title in FAMILIES.items()
        if (rows := [row for row in record["metrics"] if row["family"] == family])
    }
    for key, title in (("by_genre", "By genre"), ("by_tempo", "By tempo")):
        if len(record[key]) > 1:
            sections["Music"].append(_group_table(title, record[key], record["metrics"]))
    if "Memory" in sections and (nearest := _nearest_table(record["dances"])):
        sections["Memory"].append(nearest)
    distribution = {"Distribution": [_frechet_table(record["frechet"]), _diversity_table(record["diversity"])]}
    return {"Music": sections.pop("Music"), **distribution, **sections}


def render_markdown(record: dict[str, Any]) -> str:
    """Show a record as Markdown."""
    parts = ["# Dances measured\n", record["summary"] + "\n"]
    parts += [f"- {warning}" for warning in record["warnings"]]
    parts += [""] if record["warnings"] else []
    for title, tables in report_tables(record).items():
        parts += [f"## {title}\n", *(table_markdown(asdict(table)) for table in tables)]
    if record["left_out"]:
        parts.append("## Left out\n")
        parts += [f"- `{item['file']}`: {item['reason']}" for item in record["left_out"]]
        parts.append("")
    parts += ["## How this was made\n", *(f"- {line}" for line in provenance_lines(record)), ""]
    return "\n".join(parts)


def provenance_lines(record: dict[str, Any]) -> list[str]:
    """Return seed, settings, versions and the hashes of the inputs, a line each."""
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    window = record["settings"]["window_seconds"]
    unit = f"windows of {window:g} s" if window else "whole clips"
    body = "all motion on one body" if record["settings"]["on_one_body"] else "joints as in the files"
    lines = [
        f"seed {record['seed']}; features of {unit}; {body}, at {record['settings']['frame_rate']:g} Hz",
        versions,
    ]
    return lines + [
        f"{name}: {inputs['num_files']} files, SHA-256 {inputs['sha256'][:16]}"
        for name, inputs in record["inputs"].items()
    ]


def interval_cell(summary: dict[str, Any]) -> Cell:
    """Return a summary as the cell of a table."""
    return [summary["mean"], summary["low"], summary["high"]] if summary["num"] else None


def _family_table(rows: Sequence[dict[str, Any]]) -> Table:
    cells: list[list[Cell]] = []
    for row in rows:
        name = f"{row['label']}, {row['unit']}" if row["unit"] else row["label"]
        wanted = {"real": "as real"}.get(row["better"], row["better"])
        cells.append([name, interval_cell(row["generated"]), interval_cell(row["reference"]), judge(row), wanted])
    songs = max(max(row["generated"]["num"], row["reference"]["num"]) for row in rows)
    note = " ".join(f"*{row['label']}*: {row['note']}." for row in rows)
    note += f" Ranges: 95 % bootstrap intervals over {songs} songs or dances."
    return Table("", ["metric", "generated", "reference", "generated is", "better"], cells, note)


def _nearest_table(dances: Sequence[dict[str, Any]]) -> Table | None:
    """List the generated dances that are nearest to a training dance, the nearest first."""
    found = [dance for dance in dances if dance["set"] == "generated" and dance["nearest"]]
    found.sort(key=lambda dance: dance["nearest"]["millimetres"])
    cells: list[list[Cell]] = []
    for dance in found[:MAX_NEAREST]:
        piece, values = dance["nearest"], dance["values"]
        places = [f"{piece['seconds']:.0f} s", f"{piece['clip']} at {piece['clip_seconds']:.1f} s"]
        cells.append([dance["name"], *places, piece["millimetres"], values["copied"], values["longest_copied"]])
    columns = ["dance", "at", "is most like", "distance, mm", "copied seconds", "longest copied stretch, s"]
    note = "The 2 s of each dance that are most like any 2 s of a training dance."
    if len(found) > MAX_NEAREST:
        note += f" {MAX_NEAREST} of {len(found)} dances; the JSON has all."
    return Table("Nearest training dances", columns, cells, note) if cells else None


def _group_table(title: str, groups: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> Table:
    labels = {row["key"]: f"{row['label']}, {row['unit']}" if row["unit"] else row["label"] for row in metrics}
    cells: list[list[Cell]] = []
    for group, values in groups.items():
        for key, both in values.items():
            if key in labels and both["generated"]["num"]:
                numbers = [interval_cell(both[name]) for name in ("generated", "reference")]
                cells.append([group, labels[key], both["generated"]["num"], *numbers])
    return Table(title, ["group", "metric", "songs", "generated", "reference"], cells)


def _frechet_table(rows: Sequence[dict[str, Any]]) -> Table:
    cells: list[list[Cell]] = []
    for row in rows:
        floor = row["floor"]
        sizes = f"{floor['sample_size']} against {floor['reference_size']}"
        cells.append(
            [
                f"{row['name']}, {row['mode']}, against {row['against']}",
                [row["value"], *row["interval"]],
                f"{row['num_generated']} against {row['num_reference']}",
                row["matched_value"],
                [floor["value"], *floor["interval"]],
                sizes,
                row["verdict"],
            ]
        )
    note = (
        "Floor: what real dances score against real dances of other songs, from splits of the reference; compare it "
        "with the value at the same sizes, not with the first column. A value within the floor says that this many "
        "dances cannot tell generated from real ones, not that they are equal. Never compare values of different "
        "sizes. "
        "*compat*: features as published, with their mistakes; *corrected*: without."
    )
    columns = ["distance", "value", "sizes", "at the floor's sizes", "floor", "sizes of the floor", "verdict"]
    return Table("Fréchet distances", columns, cells, note)


def _diversity_table(rows: Sequence[dict[str, Any]]) -> Table:
    cells: list[list[Cell]] = [[f"{row['name']}, {row['mode']}", row["generated"], row["reference"]] for row in rows]
    note = "Mean distance between two dances, in deviations of the reference. More is not better: noise is diverse."
    return Table("Diversity", ["diversity", "generated", "reference"], cells, note)
