"""The report on repaired clips as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..evaluation.report.charts import timeline_chart
from ..evaluation.report.page import STYLE
from ..evaluation.report.tables import format_cell
from .foot_comparison import MEASURES

_LEGEND = (
    '<p class="legend"><span class="generated"><i></i>before, detected</span>'
    '<span class="reference"><i></i>after, as held</span></p>'
)


def render_restoration_page(record: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        record: Content of the `_report.json` of a clip.
    """
    title = escape(f"Feet of {record['name']}")
    seconds = record["feet"]["duration_seconds"]
    text = f"{seconds:.1f} s. Only root, hips, knees, ankles and toes were changed."
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{title}</h1><p>{text}</p></header>{_clip(record)}{_settings(record)}</main></body></html>\n"
    )


def _clip(clip: Mapping[str, Any]) -> str:
    feet = clip["feet"]
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th>{_number(feet["before"][key])}'
        f"{_number(feet['after'][key], _style(feet, key))}</tr>"
        for key, (label, _) in MEASURES.items()
    )
    head = '<thead><tr><th scope="col">measure</th><th scope="col">before</th><th scope="col">after</th></tr></thead>'
    mean, most, root = (format_cell(feet[f"{key}_mm"]) for key in ("mpjpe_to_input", "largest_move", "root_move"))
    moved = (
        f"Joints moved {mean} mm on average (MPJPE to the input) and {most} mm at most, the root {root} mm. "
        f"Feet touch in {100 * feet['contact_share']:.0f} % of all joints and frames."
    )
    timeline = timeline_chart(
        f"Contacts of {clip['name']}", list(feet["contacts"].items()), max(feet["duration_seconds"], 1e-3)
    )
    return (
        f"<section>{_list(clip['notes'])}"
        f'<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div><p class="note">{escape(moved)}</p>'
        f'{_LEGEND}<div class="charts"><figure>{timeline}<figcaption>When feet touch the floor.</figcaption></figure>'
        f"</div>{_physics(clip.get('physics'))}<p>Files: {', '.join(map(_code, clip['files']))}</p></section>"
    )


def _style(feet: Mapping[str, Any], key: str) -> str:
    before, after = feet["before"][key], feet["after"][key]
    if before is None or after is None or abs(after - before) <= 0.01 * abs(before):
        return ""
    return "good" if after < before else "bad"


def _number(value: float | None, style: str = "") -> str:
    return f'<td><span class="{style}">{format_cell(value)}</span></td>'


def _physics(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return ""
    verdict = "rejected and not used" if report["rejected"] else "used"
    force = ", ".join(f"{value:.2f}" for value in report["mean_residual_force"])
    return (
        f'<p class="note">Physics imitation {verdict}: {report["mpjpe_to_input_mm"]:.0f} mm from the input on '
        f"average, {1000 * report['max_error_metres']:.0f} mm at most; the root was pulled by {force} body weights "
        f"(x, y, z).</p>"
    )


def _list(notes: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>" if notes else ""


def _code(name: str) -> str:
    return f"<code>{escape(name)}</code>"


def _settings(record: Mapping[str, Any]) -> str:
    settings = ", ".join(
        name.replace("_", " ") + ("" if value is True else f" {value}")
        for name, value in record["settings"].items()
        if value is not None and value is not False
    )
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    items = f"<li>{escape(settings)}</li><li>{escape(versions)}</li>"
    return f"<section><h2>Settings and versions</h2><ul>{items}</ul></section>"
