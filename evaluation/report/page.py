"""The report as one HTML page that needs nothing else: styles, charts and pictures are inside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .charts import band_chart, histogram_chart, interval_chart
from .record import FAMILIES, interval_cell, judge, provenance_lines, report_tables
from .tables import Cell, Table, format_cell

LEGEND = (
    '<p class="legend"><span class="generated"><i></i>generated</span><span class="reference"><i></i>reference (real)'
    "</span></p>"
)
COMPARISON_STYLES = {
    ("higher", "below"): "bad",
    ("higher", "above"): "good",
    ("lower", "above"): "bad",
    ("lower", "below"): "good",
    ("real", "above"): "unlike",
    ("real", "below"): "unlike",
}
WANTED = {"higher": "higher is better", "lower": "lower is better", "real": "best as in real dances"}
CHARTED_METRICS = ("pulse_lock", "alignment_music_excess", "joint_speed", "slide")


@dataclass(frozen=True)
class Picture:
    """A contact sheet.

    Args:
        set: `"generated"` or `"reference"`.
        name: The dance.
        detail: Shown next to the name.
        png: The picture.
    """

    set: str
    name: str
    detail: str
    png: bytes


def render_page(record: dict[str, Any], pictures: Sequence[Picture] = ()) -> str:
    """Return the page.

    Args:
        record: What report.json holds.
        pictures: Contact sheets, in order.
    """
    metrics = {row["key"]: row for row in record["metrics"]}
    sections = [_cards(record, metrics), _warnings(record)]
    for title, tables in report_tables(record).items():
        charts = {
            "Music": lambda: _music_charts(record, metrics),
            "Distribution": lambda: _distribution_charts(record),
        }.get(title, lambda: [])()
        body = [_figures(charts)]
        if title == "Distribution":
            body += [_table(table) for table in tables]
        else:
            body += [_family_table([row for row in record["metrics"] if FAMILIES[row["family"]] == title])]
            body += [_group_figures(tables[1:], record, metrics) if title == "Music" else _titled_tables(tables[1:])]
        sections.append(f"<section><h2>{escape(title)}</h2>{''.join(body)}</section>")
    sections += [_gallery(pictures), _left_out(record), _provenance(record)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Dances measured</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>Dances measured</h1><p>{escape(record['summary'])}</p></header>"
        + "\n".join(filter(None, sections))
        + "</main></body></html>\n"
    )


def _cards(record: dict[str, Any], metrics: dict[str, Any]) -> str:
    cards = []
    lock, wrong = metrics.get("pulse_lock"), metrics.get("pulse_lock_wrong_song")
    if lock:
        text = f"real dances {_mean(lock['reference'])}; to a wrong song {_mean(wrong['generated']) if wrong else '-'}"
        cards.append(("Follows the pulse of the song", _mean(lock["generated"]), f"{text}; 1 by chance"))
    distance = next((row for row in record["frechet"] if row["mode"] == "corrected"), None)
    if distance:
        floor = distance["floor"]
        low, high = (format_cell(end) for end in floor["interval"])
        cards.append(
            (
                f"Distance from real dances ({distance['name']})",
                format_cell(distance["matched_value"]),
                f"real from real {format_cell(floor['value'])} ({low} to {high}) at {floor['sample_size']} clips: "
                f"{distance['verdict']}",
            )
        )
    for key, title, unit in (
        ("slide", "Feet on the floor slide", "mm/frame"),
        ("frozen", "Seconds without movement", ""),
        ("copied", "Seconds near a training dance", ""),
    ):
        if key in metrics:
            row = metrics[key]
            value = _mean(row["generated"], is_share=not unit)
            text = f"real dances {_mean(row['reference'], is_share=not unit)}"
            cards.append((f"{title}, {unit}" if unit else title, value, text))
    items = "".join(
        f"<div><h3>{escape(title)}</h3><strong>{escape(value)}</strong><p>{escape(text)}</p></div>"
        for title, value, text in cards
    )
    return f'<section class="cards" aria-label="At a glance">{items}</section>'


def _mean(summary: dict[str, Any], is_share: bool = False) -> str:
    if not summary["num"]:
        return "-"
    return f"{100 * summary['mean']:.3g} %" if is_share else format_cell(float(summary["mean"]))


def _warnings(record: dict[str, Any]) -> str:
    if not record["warnings"]:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in record["warnings"])
    return f'<section class="warnings"><h2>Before you read on</h2><ul>{items}</ul></section>'


def _music_charts(record: dict[str, Any], metrics: dict[str, Any]) -> list[tuple[str, str]]:
    offsets = record["histograms"]["beat_offsets"]
    even = 1 / (len(offsets["bin_edges"]) - 1)
    shares = {name: values for name, values in offsets["shares"].items() if any(values)}
    chart = histogram_chart("Motion beats", offsets["bin_edges"], shares, "beats after the nearest music beat", even)
    text = "When the dance is slowest, against the beats of the music. Dashed: what chance gives."
    charts = [(chart, text)]
    rows = [
        (label, {name: _interval(metrics[key][name]) for name in ("generated", "reference")})
        for key, label in (
            ("tempo_agrees", "own song"),
            ("tempo_agrees_wrong_song", "a song of another tempo"),
        )
        if key in metrics
    ]
    if rows:
        chart = interval_chart("Tempo", rows, "share of dances")
        charts.append((chart, "Dances whose strongest rhythm is the song's tempo, or 2, 1/2, 1/3 or 1/4 of it."))
    return charts


def _distribution_charts(record: dict[str, Any]) -> list[tuple[str, str]]:
    charts = []
    for key, label, text in (
        ("speed", "m/s", "Mean speed of all joints, frame by frame."),
        ("energy", "J/kg", "Kinetic energy, second by second, all joints being of equal mass."),
    ):
        drawn = record["histograms"][key]
        charts.append((histogram_chart(text, drawn["bin_edges"], drawn["shares"], label), text))
    rows = [
        (
            f"{row['name']}, {row['mode']}, from {row['against']}",
            row["matched_value"] / row["floor"]["value"],
            *(end / row["floor"]["value"] for end in row["floor"]["interval"]),
        )
        for row in record["frechet"]
    ]
    chart = band_chart("Fréchet distances", rows, "times what real dances score from real dances", 1.0)
    charts.append((chart, "Fréchet distances (dots) over their floor (bands) at equal numbers of clips."))
    return charts


def _group_figures(tables: Sequence[Table], record: dict[str, Any], metrics: dict[str, Any]) -> str:
    parts = []
    for table in tables:
        groups = record["by_genre" if table.title == "By genre" else "by_tempo"]
        charts = []
        for key in CHARTED_METRICS:
            rows = [
                (f"{group} ({values[key]['generated']['num']})", {n: _interval(s) for n, s in values[key].items()})
                for group, values in groups.items()
                if key in metrics and values[key]["generated"]["num"]
            ]
            if rows:
                label = metrics[key]["label"]
                unit = metrics[key]["unit"]
                charts.append((interval_chart(f"{label}, {table.title}", rows, unit), label))
        parts.append(f"<h3>{escape(table.title)}</h3>{_figures(charts)}")
        parts.append(f"<details><summary>All numbers {escape(table.title.lower())}</summary>{_table(table)}</details>")
    return "".join(parts)


def _interval(summary: dict[str, Any]) -> list[float | None]:
    return [summary[name] if summary["num"] else None for name in ("mean", "low", "high")]


def _figures(charts: Sequence[tuple[str, str]]) -> str:
    if not charts:
        return ""
    figures = "".join(f"<figure>{chart}<figcaption>{escape(text)}</figcaption></figure>" for chart, text in charts)
    return f'{LEGEND}<div class="charts">{figures}</div>'


def _family_table(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        name = f"{row['label']}, {row['unit']}" if row["unit"] else row["label"]
        style = COMPARISON_STYLES.get((row["better"], row["comparison"]), "")
        note = f"{row['note']} ({WANTED[row['better']]})"
        both = "".join(_cell(interval_cell(row[which]), which) for which in ("generated", "reference"))
        lines.append(
            f'<tr><th scope="row">{escape(name)}<small>{escape(note)}</small></th>{both}'
            f'<td class="text" data-label="generated is"><span class="{style}">{escape(judge(row))}</span></td>'
            "</tr>"
        )
    head = _head(["metric", "generated", "reference", "generated is"], {3})
    return f'<div class="scroll stacked"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _titled_tables(tables: Sequence[Table]) -> str:
    return "".join(f"<h3>{escape(table.title)}</h3>{_table(table)}" for table in tables)


def _table(table: Table) -> str:
    head = _head(table.columns, {index for index, cell in enumerate(table.rows[0]) if isinstance(cell, str)})
    body = "".join(
        f'<tr><th scope="row">{escape(format_cell(row[0]))}</th>{"".join(map(_cell, row[1:], table.columns[1:]))}</tr>'
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note.replace("*", ""))}</p>' if table.note else ""
    width = " stacked" if len(table.columns) > 4 else ""
    return f'<div class="scroll{width}"><table>{head}<tbody>{body}</tbody></table></div>{note}'


def _head(columns: Sequence[str], text_columns: set[int]) -> str:
    cells = "".join(
        f'<th scope="col" class="{"text" if index in text_columns else "number"}">{escape(column)}</th>'
        for index, column in enumerate(columns)
    )
    return f"<thead><tr>{cells}</tr></thead>"


def _cell(cell: Cell, label: str) -> str:
    data = f' data-label="{escape(label)}"'
    if isinstance(cell, str):
        return f'<td class="text"{data}>{escape(cell)}</td>'
    if isinstance(cell, list) and cell[0] is not None:
        mean, low, high = map(format_cell, cell)
        return f"<td{data}>{mean}<small>{low} to {high}</small></td>"
    return f"<td{data}>{format_cell(cell)}</td>"


def _gallery(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    figures = "".join(
        f'<figure><img alt="Stills of {escape(picture.name)}" loading="lazy" '
        f'src="data:image/png;base64,{b64encode(picture.png).decode()}"/><figcaption>'
        f'<span class="{picture.set}"><i></i>{picture.set}</span> {escape(picture.name)}, {escape(picture.detail)}'
        "</figcaption></figure>"
        for picture in pictures
    )
    return f'<section><h2>Gallery</h2><div class="gallery">{figures}</div></section>'


def _left_out(record: dict[str, Any]) -> str:
    if not record["left_out"]:
        return ""
    items = "".join(
        f"<li><code>{escape(item['file'])}</code>: {escape(item['reason'])}</li>" for item in record["left_out"]
    )
    return f"<section><h2>Left out</h2><ul>{items}</ul></section>"


def _provenance(record: dict[str, Any]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in provenance_lines(record))
    files = "".join(
        f"<li><code>{value} {escape(name)}</code></li>"
        for inputs in record["inputs"].values()
        for name, value in inputs["files"].items()
    )
    return (
        f"<section><h2>How this was made</h2><ul>{lines}</ul>"
        f"<details><summary>SHA-256 of every file</summary><ul>{files}</ul></details></section>"
    )


STYLE = """
:root { color-scheme: light dark; --paper: #f7f6f2; --card: #fffefb; --ink: #1d1f24; --soft: #5f636d; --line: #dfddd5;
  --generated: #2f5fd0; --reference: #b98b3c; --good: #1c7a4a; --bad: #b3392c;
  --unlike: #8a6116; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --card: #1d2026; --ink: #eceae4; --soft: #a3a6ae;
  --line: #33373f; --generated: #82a6ff; --reference: #d9b26a; --good: #6fcf9a; --bad: #ff8f80; --unlike: #d9b26a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 2rem; line-height: 1.15; margin: 0 0 8px; letter-spacing: -0.02em; }
h2 { font-size: 1.35rem; margin: 48px 0 12px; letter-spacing: -0.01em; }
h3 { font-size: 1rem; margin: 28px 0 8px; }
header p { color: var(--soft); margin: 0; max-width: 70ch; }
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); margin-top: 28px; }
.cards div { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.cards h3 { margin: 0; font-size: 0.85rem; font-weight: 500; color: var(--soft); }
.cards strong { display: block; font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.cards p { margin: 0; font-size: 0.85rem; color: var(--soft); }
.warnings { border-left: 4px solid var(--reference); background: var(--card); border-radius: 0 12px 12px 0;
  margin-top: 20px; padding: 12px 18px; }
.warnings h2 { margin: 0 0 4px; font-size: 1rem; }
ul { margin: 0; padding-left: 1.2em; }
.warnings li { font-size: 0.92rem; }
.legend { display: flex; gap: 18px; margin: 0 0 8px; font-size: 0.88rem; color: var(--soft); }
.legend i, figcaption i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
.generated i { background: var(--generated); } .reference i { background: var(--reference); }
.charts { display: grid; gap: 16px; align-items: start; }
@media (min-width: 760px) { .charts { grid-template-columns: 1fr 1fr; } }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px; }
.charts figure { max-width: 520px; width: 100%; }
figcaption { font-size: 0.88rem; color: var(--soft); margin-top: 6px; }
.gallery { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
.gallery img { display: block; width: 100%; height: auto; border-radius: 6px; }
.gallery figure { max-width: 720px; }
figcaption span { color: var(--ink); font-weight: 600; margin-right: 4px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg .tick { fill: var(--soft); font-size: 11px; } svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg .label { fill: var(--ink); font-size: 12px; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .grid { stroke: var(--line); } svg .level { stroke: var(--ink); stroke-dasharray: 4 3; }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; opacity: 0.75; }
svg .area { opacity: 0.16; } svg .stroke { fill: none; stroke-width: 1.8; }
svg .area.generated, svg .bar.generated, svg .dot.generated { fill: var(--generated); }
svg .area.reference, svg .bar.reference { fill: var(--reference); }
svg .stroke.generated { stroke: var(--generated); } svg .stroke.reference { stroke: var(--reference); }
svg .dot { stroke: var(--card); stroke-width: 2; }
.scroll { overflow-x: auto; margin-top: 16px; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th, td { padding: 8px 12px; border-top: 1px solid var(--line); text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; }
thead th { border-top: 0; font-size: 0.8rem; font-weight: 500; color: var(--soft); vertical-align: bottom; }
tr > :first-child { text-align: left; font-weight: 500; min-width: 150px; }
.text { text-align: left; }
small { display: block; color: var(--soft); font-weight: 400; font-size: 0.8rem; }
td small { white-space: nowrap; }
@media (min-width: 561px) { .text span { white-space: nowrap; } }
.good { color: var(--good); } .bad { color: var(--bad); } .unlike { color: var(--unlike); }
.note { font-size: 0.88rem; color: var(--soft); max-width: 80ch; margin: 8px 0 0; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--soft); }
code { font-size: 0.85rem; overflow-wrap: anywhere; }
@media (max-width: 560px) { main { padding: 20px 14px 48px; } th, td { padding: 7px 8px; } h2 { margin-top: 36px; }
  figure { padding: 8px; } .stacked thead { display: none; }
  .stacked tr { display: grid; grid-template-columns: 1fr 1fr 1fr; border-top: 1px solid var(--line); }
  .stacked tr:first-child { border-top: 0; } .stacked th { grid-column: 1 / -1; padding-bottom: 0; }
  .stacked th, .stacked td { border: 0; text-align: left; }
  .stacked td::before { content: attr(data-label); display: block; font-size: 0.76rem; color: var(--soft); } }
"""
