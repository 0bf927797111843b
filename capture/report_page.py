"""The report on captured videos as one HTML page that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ..evaluation.report.page import STYLE
from ..evaluation.report.tables import format_cell
from ..motion.kinematics import SIDES
from .chain import MEASURES
from .genre_guess import NOT_LABELED
from .stills import COLORS

_STYLE = """
.strip { margin-top: 16px; max-width: 864px; }
.strip img { display: block; width: 100%; height: auto; border-radius: 6px; }
.limbs { margin: 0; }
.limbs i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin: 0 6px 0 0; }
.limbs span { color: var(--soft); font-weight: 400; margin-right: 14px; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 4px 0 0; padding: 0; list-style: none;
  color: var(--soft); font-size: 0.92rem; }
.unused { opacity: 0.55; }
"""
_LIMB_STYLE = "".join(f".limbs .{side} i {{ background: rgb{COLORS[side]}; }} " for side in SIDES)
_STAGE_TITLES = {"lifted": "lifted", "floor": "on the floor", "physics": "physics", "feet": "feet restored"}
_LEGEND = (
    '<p class="limbs"><span class="left"><i></i>the dancer\'s left</span>'
    '<span class="right"><i></i>the dancer\'s right</span></p>'
)


def render_capture_page(entries: Sequence[Mapping[str, Any]], stills: Mapping[str, bytes]) -> str:
    """Return the page.

    Args:
        entries: Of all videos, as the folder `captures` holds them.
        stills: JPEG of stills for each clip that has them.
    """
    clips = [clip for entry in entries for clip in entry["clips"]]
    failed = [entry for entry in entries if entry["status"] == "failed"]
    seconds = sum(clip["num_frames"] for clip in clips) / 30
    counts = f"{len(clips)} {_plural(clips, 'clip')} of {len(entries)} {_plural(entries, 'video')}, {seconds:.0f} s."
    body = "".join(_video(entry, stills) for entry in entries if entry["status"] == "captured")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Captured dances</title><style>{STYLE}{_STYLE}{_LIMB_STYLE}</style></head><body><main>"
        f"<header><h1>Captured dances</h1><p>{counts}</p></header>{_left_out(failed)}{body}{_measures(clips)}"
        f"</main></body></html>\n"
    )


def _plural(items: Sequence[Any], word: str) -> str:
    return word if len(items) == 1 else f"{word}s"


def _left_out(failed: Sequence[Mapping[str, Any]]) -> str:
    if not failed:
        return ""
    items = "".join(f"<li>{escape(entry['reason'])}</li>" for entry in failed)
    return f'<section class="warnings"><h2>Videos that could not be captured</h2><ul>{items}</ul></section>'


def _video(entry: Mapping[str, Any], stills: Mapping[str, bytes]) -> str:
    clips = "".join(_clip(clip, stills.get(clip["clip"])) for clip in entry["clips"])
    return f"<section><h2>{escape(entry['video'])}</h2>{_list(entry['notes'])}{clips}{_made_from(entry)}</section>"


def _clip(clip: Mapping[str, Any], still: bytes | None) -> str:
    row = clip["row"]
    facts = [
        f"{clip['num_frames'] / 30:.1f} s from {row['video_start_seconds']:g} s",
        f"genre {row['genre']}" + _guess(row),
        f"{row['bpm']:.0f} beats a minute" if row["bpm"] != "" else "no sound",
        f"seen in {100 * clip['seen_share']:.0f} % of the frames",
        f"license: {row['license'] or 'not stated'}",
        *([f"performer: {row['performer']}"] if row["performer"] else []),
    ]
    listed = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<h3>{escape(clip["clip"])}</h3><ul class="facts">{listed}</ul>{_picture(clip, still)}{_stages(clip)}'
        f"{_list([_gates(clip['gates']), *_stage_notes(clip), *clip['notes']])}"
    )


def _guess(row: Mapping[str, Any]) -> str:
    if row["genre_source"] != "guessed":
        return ""
    if row["genre"] == NOT_LABELED:
        return " (no guess is sure enough)"
    return f" (guessed, {100 * row['genre_confidence']:.0f} % sure)"


def _picture(clip: Mapping[str, Any], still: bytes | None) -> str:
    if still is None:
        return ""
    return (
        f'<figure class="strip"><img alt="Stills of {escape(clip["clip"])} with its skeleton" '
        f'loading="lazy" src="data:image/jpeg;base64,{b64encode(still).decode()}"/>'
        f"<figcaption>{_LEGEND}</figcaption></figure>"
    )


def _stages(clip: Mapping[str, Any]) -> str:
    """Return a table with a column a stage."""
    stages = clip["stages"]
    head = "".join(f'<th scope="col"{_unused(stage)}>{_STAGE_TITLES[stage["name"]]}</th>' for stage in stages)
    rows = "".join(
        f'<tr><th scope="row">{escape(label[0].upper() + label[1:])}</th>'
        + "".join(f"<td{_unused(stage)}>{format_cell(stage['numbers'][name])}</td>" for stage in stages)
        + "</tr>"
        for name, label in MEASURES.items()
    )
    return (
        f'<div class="scroll"><table><thead><tr><th scope="col">after each stage</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _unused(stage: Mapping[str, Any]) -> str:
    return "" if stage["is_used"] else ' class="unused"'


def _stage_notes(clip: Mapping[str, Any]) -> list[str]:
    return [
        f"{_STAGE_TITLES[stage['name']].capitalize()}: {stage['note']}" for stage in clip["stages"] if stage["note"]
    ]


def _gates(gates: Mapping[str, Any]) -> str:
    if gates["reasons"]:
        return f"The quality gates reject this clip: {'; '.join(gates['reasons'])}."
    if gates["flags"]:
        return f"The quality gates pass this clip, and flag {', '.join(gates['flags'])}."
    return "The quality gates pass this clip."


def _list(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="note">{items}</ul>' if items else ""


def _made_from(entry: Mapping[str, Any]) -> str:
    items = "".join(
        f"<li>{escape(name.replace('_', ' '))}: <code>{escape(str(value))}</code></li>"
        for name, value in entry["made_from"].items()
        if value not in (None, "", False)
    )
    return f"<details><summary>What this was made from</summary><ul>{items}</ul></details>"


def _measures(clips: Sequence[Mapping[str, Any]]) -> str:
    if not clips:
        return ""
    return (
        '<p class="note">Feet touch where the last stage says, for all stages alike. Joints and landmarks do not mark '
        "quite the same points of a body: of two stages the one with the smaller distance lies better on the picture, "
        "but no stage reaches 0.</p>"
    )
