"""The evaluation card of one dance: its measures beside those of real dances, and the references that it used."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from ..audio.beats import BeatClock
from ..evaluation.measures import MeasuredDance, Song, measure_music
from ..evaluation.metrics import foot_contact
from ..motion.motion import FRAME_RATE, Motion
from ..motion.skeleton import CONTACT_JOINTS
from ..pipeline import Dance

# The values of real dances are measured on held-out songs; `python -m benchmarks.figures` writes them here.
_ROWS = (
    (
        "beat_score_beyond_chance",
        "Beat score beyond chance",
        "{:+.3f}",
        "+0.00",  # figure: alignment_real
        "How much closer than by chance the beats of song and dance are: 0 is chance. One dance scatters by 0.05.",
    ),
    (
        "pulse_lock",
        "Pulse lock",
        "{:.1f}",
        "7.4",  # figure: lock_real
        "How clearly the dance follows the beat: about 1 with any other song. It grows with the length.",
    ),
    (
        "slide_mm_per_frame",
        "Foot sliding, mm per frame",
        "{:.1f}",
        "3.0",  # figure: slide_real
        "How far feet slide while they touch the floor: 0 is none.",
    ),
)

_CLEAR_LOCK, _CLEAR_SCORE = 2.0, 0.1
"""Twice the pulse lock to any other song, or twice as much beat score as one dance scatters by."""
_SOME_LOCK, _SOME_SCORE = 1.3, 0.05
_STEADY_MM, _LOOSE_MM = 4.5, 9.0
"""One and a half times and three times what feet of real dances slide in a frame."""


def measures_of(motion: Motion) -> dict[str, float | None]:
    """Measure a dance, as values that JSON can hold; `None` for what a dance of this length cannot tell.

    Args:
        motion: At 30 Hz; the beats of the song are those that its provenance names.
    """
    positions = motion.joint_positions().astype(np.float64)
    song = _song(motion)
    card: dict[str, Any] = {"tempo_bpm": None, "beat_score_beyond_chance": None, "pulse_lock": None}
    if song is not None:
        music = measure_music(MeasuredDance("dance", positions, song), [song])
        card |= {
            "tempo_bpm": song.bpm,
            "beat_score_beyond_chance": music["alignment_music_excess"],
            "pulse_lock": music["pulse_lock"],
        }
    feet = positions[:, list(CONTACT_JOINTS)]
    contacts = foot_contact.detect_contacts(feet, FRAME_RATE, foot_contact.fit_rest_heights(feet))
    card["slide_mm_per_frame"] = foot_contact.foot_slide_mm(feet, contacts)
    return {name: None if value is None or math.isnan(value) else round(value, 4) for name, value in card.items()}


def evaluation_card(dance: Dance) -> dict[str, Any]:
    """Measure a dance, and say what it took from which references, as values that JSON can hold."""
    card: dict[str, Any] = dict(measures_of(dance.motion))
    card["copy_report"] = None if dance.copy_report is None else dance.copy_report.to_dict()
    hits = {hit.clip_id: hit for window in dance.references for hit in window.hits}
    card["references"] = [
        {"clip_id": hit.clip_id, "genre": hit.genre, "source": hit.source, "license": hit.license}
        for hit in hits.values()
    ]
    return card


def verdict(card: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return what is good about a dance and what is not, each in some words."""
    good, weak = [], []
    lock, score = card["pulse_lock"], card["beat_score_beyond_chance"]
    if lock is not None or score is not None:
        if (lock or 0) >= _CLEAR_LOCK or (score or 0) >= _CLEAR_SCORE:
            good.append("it keeps time with the song")
        elif (lock or 0) >= _SOME_LOCK or (score or 0) >= _SOME_SCORE:
            weak.append("it keeps time only loosely")
        else:
            weak.append("it hardly keeps time with the song: correct the beat, or make another one")
    slide = card["slide_mm_per_frame"]
    if slide is not None:
        steps = ((_STEADY_MM, good, "its feet stay where they stand"), (_LOOSE_MM, weak, "its feet slide a little"))
        words, text = next(((words, text) for most, words, text in steps if slide <= most), (weak, "its feet slide"))
        words.append(text)
    report = card.get("copy_report")
    if report is not None and report["copied_share"] > 0:
        weak.append(f"{100 * report['copied_share']:.0f} % of it is copied from a reference dance")
    return good, weak


def card_html(card: dict[str, Any], title: str) -> str:
    """Return a card: in a sentence what is good and what is not, and the measures and references when it is opened."""
    rows = "".join(
        f'<tr><th scope="row">{name}<small>{explanation}</small></th>'
        f"<td>{'cannot be measured' if card[key] is None else form.format(card[key])}</td><td>{real}</td></tr>"
        for key, name, form, real, explanation in _ROWS
    )
    good, weak = verdict(card)
    told = "".join(
        f'<p class="{kind}"><b>{name}:</b> {escape("; ".join(words))}.</p>'
        for kind, name, words in (("good", "Good", good), ("weak", "Not so good", weak))
        if words
    )
    tempo = "" if card["tempo_bpm"] is None else f" Estimated tempo: {card['tempo_bpm']:.0f} beats per minute."
    return (
        f'<section class="evaluation"><h2>{escape(title)}</h2>'
        f"{told or '<p>It is too short to say how good it is.</p>'}"
        '<details><summary>The figures</summary><table><thead><tr><th scope="col">Measure</th>'
        f'<th scope="col">This dance</th><th scope="col">Real dances</th></tr></thead><tbody>{rows}{_copy_row(card)}'
        f"</tbody></table><p>{_references_text(card)}{tempo}</p></details></section>"
    )


def _copy_row(card: dict[str, Any]) -> str:
    report = card["copy_report"]
    if report is None:
        return ""
    explanation = (
        "Share of two-second pieces nearer than 20 mm to a reference. The nearest is "
        f"{report['nearest_millimetres']:.0f} mm away; the longest run of shared codes has "
        f"{report['longest_run_tokens']} tokens."
    )
    return (
        f'<tr><th scope="row">Copied from the references<small>{explanation}</small></th>'
        f"<td>{100 * report['copied_share']:.0f} %</td><td>0 %</td></tr>"
    )


def _references_text(card: dict[str, Any]) -> str:
    if not card["references"]:
        return "No reference dance was used."
    names = "; ".join(
        f"<b>{escape(reference['clip_id'])}</b> ({escape(reference['genre'])}, {escape(str(reference['license']))})"
        for reference in card["references"]
    )
    return f"References: {names}."


def _song(motion: Motion) -> Song | None:
    """Return the song from the beats that the pipeline wrote down; `None` with fewer than two."""
    beats, downbeats = (motion.provenance.get(f"{kind}_times_seconds", []) for kind in ("beat", "downbeat"))
    if len(beats) < 2:
        return None
    first = beats.index(downbeats[0]) if downbeats else 0
    beats_per_bar = beats.index(downbeats[1]) - first if len(downbeats) > 1 else 4
    return Song("song", BeatClock(np.array(beats), beats_per_bar, first), motion.duration_seconds)
