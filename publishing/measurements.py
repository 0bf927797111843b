"""What was measured of an artifact, read from the JSON beside it: cards state these numbers and no others."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..utils.errors import reading
from ..utils.hub_folders import HUB_NAME

REPORT_FILE, LOG_FILE, FINETUNE_FILE = "report.json", "metrics.jsonl", "finetune.json"
_TABLE_IN_CARD = re.compile(r"<!--table [\w./]+: In short-->\n(?P<rows>(?:\|[^\n]*\n)+)")
_RESTORED_IN_CARD = re.compile(r"<!--= (restored_\w+)-->([\d.]+)<!--/-->")
_MEASURED_ROW = "generated"
_LEVEL = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Measurements:
    """Numbers of one artifact.

    Args:
        text: The tables, as Markdown.
        values: Single numbers by the name of what was measured.
    """

    text: str = ""
    values: dict[str, float] = field(default_factory=dict)


def read_measurements(folder: Path, card: str | None) -> Measurements:
    """Return what lies beside an artifact: the report of `infinitedance evaluate`, and the log of its training.

    Args:
        folder: Of the artifact.
        card: Its card, whose measured table gives the values where there is no report.

    Raises:
        ValueError: If a file cannot be read.
    """
    parts: list[str] = []
    values: dict[str, float] = {}
    if (folder / REPORT_FILE).is_file():
        with reading(folder / REPORT_FILE):
            text, values = _read_report(json.loads((folder / REPORT_FILE).read_text(encoding="utf-8")))
        parts.append(text)
    elif card is not None:
        values = _values_of_table(card) or {name: float(value) for name, value in _RESTORED_IN_CARD.findall(card)}
    if (folder / LOG_FILE).is_file():
        with reading(folder / LOG_FILE):
            parts += _read_log((folder / LOG_FILE).read_text(encoding="utf-8"))
    return Measurements("\n".join(parts), values)


def _read_report(record: dict[str, Any]) -> tuple[str, dict[str, float]]:
    rows, values = [], {}
    for metric in record["metrics"]:
        made, real = metric["generated"], metric["reference"]
        if made["num"]:
            values[metric["key"]] = float(made["mean"])
            rows.append([f"{metric['label']}, {metric['unit']}".rstrip(", "), _interval(made), _interval(real)])
    text = "Measured by `infinitedance evaluate`: means over songs with their 95 % intervals, beside real dances.\n\n"
    return text + markdown_table(["measure", "generated", "real"], rows), values


def _interval(summary: dict[str, Any]) -> str:
    if not summary["num"]:
        return "-"
    return f"{summary['mean']:.3g} ({summary['low']:.3g} to {summary['high']:.3g})"


def _read_log(text: str) -> list[str]:
    """Return the last evaluation of a training as a table; nothing if there was none."""
    entries = [json.loads(line) for line in text.splitlines() if line.strip()]
    evaluations = [entry for entry in entries if any(name.startswith("eval/") for name in entry)]
    if not evaluations:
        return []
    last = evaluations[-1]
    rows: dict[str, list[str]] = {}
    for name, value in last.items():
        if name.startswith("eval/"):
            rows.setdefault(_LEVEL.sub("", name.removeprefix("eval/")), []).append(f"{value:.4g}")
    table = markdown_table(
        ["of the log", "value, or one for each level"], [[n, ", ".join(v)] for n, v in rows.items()]
    )
    return [f"On the held-out clips, at step {last['step']} of the training:\n\n{table}"]


def _values_of_table(card: str) -> dict[str, float]:
    """Return the numbers of the generated dances in the measured table of a card that ships."""
    match = _TABLE_IN_CARD.search(card)
    if match is None:
        return {}
    lines = [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in match["rows"].splitlines()]
    row = next((line for line in lines if line[0] == _MEASURED_ROW), None)
    if row is None:
        return {}
    names = [re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") for name in lines[0]]
    return {name: float(cell) for name, cell in zip(names[2:], row[2:], strict=True) if cell != "-"}


@dataclass(frozen=True)
class Finetune:
    """What `infinitedance finetune` wrote down of an adapter.

    Args:
        name: Of the style.
        base_model: What it was made from: the name of a model that ships, a name on the Hub, or of a folder.
        base_license: Terms of that model; `None` if it states none.
        license: Terms that the user stated for the adapter; `None` if none.
        sources: Each with `source`, `license` and `minutes`.
        record: Everything.
    """

    name: str
    base_model: str
    base_license: str | None
    license: str | None
    sources: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def base_on_hub(self) -> str | None:
        """The name of the base model on the Hub; `None` if it is not from there."""
        return self.base_model if HUB_NAME.fullmatch(self.base_model) else None

    def tables(self) -> str:
        """Return what was measured, as Markdown."""
        record = self.record
        losses = [["loss on the genres of the base model", *_before_after(record["base_genre_loss"])]]
        if (own := record["held_out_loss"]) is not None:
            amount = f"{record['held_out_clips']} clips, {record['held_out_minutes']:.3g} minutes"
            style = [[f"loss on held-out clips of the style ({amount})", *_before_after(own)]]
            if (nearest := own["nearest_genre_before"]) is not None:
                style.append(
                    [f"the same, asked for as {nearest['genre']}, the nearest genre", f"{nearest['loss']:.3g}", "-"]
                )
            losses = [*style, *losses]
        fit = record["codec_fit"]
        return (
            markdown_table(["", "base model", "with the adapter"], losses)
            + f"\nThe motion codec, which is not adapted, decodes the clips with a joint error of "
            f"{fit['joint_error_mm']:.3g} mm: {fit['verdict']}.\n"
        )


def _before_after(losses: dict[str, float]) -> list[str]:
    return [f"{losses[name]:.3g}" for name in ("before", "after")]


def read_finetune(path: Path) -> Finetune:
    """Read `finetune.json`.

    Raises:
        ValueError: If a field is missing or of another type.
    """
    with reading(path):
        record = json.loads(path.read_text(encoding="utf-8"))
        finetune = Finetune(
            name=record["name"],
            base_model=record["base_model"],
            base_license=record["base_license"],
            license=record["license"],
            sources=record["sources"],
            record=record,
        )
        for name in ("num_clips", "minutes", "steps", "seconds", "num_parameters"):
            float(record[name])
        for source in finetune.sources:
            float(source["minutes"]), source["source"], source["license"]
        finetune.tables()
        for name, value in (("name", finetune.name), ("base_model", finetune.base_model)):
            if not isinstance(value, str) or not value:
                raise ValueError(f"`{name}` must be a text, got {value!r}")
    return finetune


def markdown_table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
