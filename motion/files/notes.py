"""What an exported file says of itself: units, axes, frame rate, beats, bars, and where the dance comes from."""

from __future__ import annotations

import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..looping import BEAT_KEYS
from ..motion import Motion

_MAX_SECONDS = 1e6
_MAX_SONG_CHARACTERS = 40
"""Of the name of an animation, which some tools cut off."""


def check_provenance(provenance: Any, path: str | os.PathLike) -> dict[str, Any]:
    """Return the provenance that a file holds, if other parts of the package can rely on its kind.

    Raises:
        ValueError: If it is no object of JSON, or its beats are no lists of times.
    """
    if not isinstance(provenance, dict):
        raise ValueError(f"{path}: `provenance` must be an object of JSON, got {type(provenance).__name__}.")
    for key in BEAT_KEYS:
        times = provenance.get(key) or []
        if not isinstance(times, list) or not all(_is_time(time) for time in times):
            raise ValueError(f"{path}: `{key}` of the provenance must be a list of times in seconds.")
    return provenance


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_SECONDS


def generator_name() -> str:
    """Return the name and version of this package."""
    try:
        return f"infinitedance {version('infinitedance')}"
    except PackageNotFoundError:
        return "infinitedance"


def action_name(motion: Motion, path: str | os.PathLike) -> str:
    """Return what a file calls its animation: `song_waltz_seed7` as far as the provenance knows, else its own stem."""
    song, genre = (str(motion.provenance.get(key) or "") for key in ("song", "genre"))
    parts = [part for part in (re.sub(r"\.\w{2,4}$", "", song)[:_MAX_SONG_CHARACTERS], genre) if part]
    if not parts:
        return Path(path).stem
    seed = motion.provenance.get("seed")
    return "_".join(parts if seed is None else [*parts, f"seed{seed}"])


def export_notes(motion: Motion, *, up_axis: str = "Y", unit: str = "metre") -> dict[str, Any]:
    """Return the notes of a dance, of values that JSON can hold; `beat_times_seconds` count from the first frame."""
    beats = {key: list(motion.provenance.get(key) or ()) for key in BEAT_KEYS}
    return {
        "generator": generator_name(),
        "frame_rate": motion.frame_rate,
        "num_frames": motion.num_frames,
        "unit": unit,
        "up_axis": up_axis,
        **beats,
        "provenance": {key: value for key, value in motion.provenance.items() if key not in BEAT_KEYS},
    }


def copyright_line(motion: Motion, body_note: str = "") -> str:
    """Return licenses that the provenance names, of the dance and of its references, and the body's, in one line."""
    licenses = [str(motion.provenance["license"])] if motion.provenance.get("license") else []
    windows = motion.provenance.get("references")
    for window in windows if isinstance(windows, list) else ():
        hits = window.get("hits", ()) if isinstance(window, dict) else ()
        for hit in hits if isinstance(hits, (list, tuple)) else ():
            if isinstance(hit, dict) and hit.get("license"):
                licenses.append(f"reference {hit.get('clip_id')}: {hit['license']}")
    return "; ".join(dict.fromkeys([*licenses, *([body_note] if body_note else [])]))
