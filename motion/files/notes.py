"""What an exported file says of itself: units, axes, frame rate, beats, bars, and where the dance comes from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..looping import BEAT_KEYS
from ..motion import Motion


def generator_name() -> str:
    """Return the name and version of this package."""
    try:
        return f"infinitedance {version('infinitedance')}"
    except PackageNotFoundError:
        return "infinitedance"


def export_notes(motion: Motion, *, up_axis: str = "Y", unit: str = "metre") -> dict[str, Any]:
    """Return the notes of a dance, of values that JSON can hold; `beat_times_seconds` count from the first frame."""
    beats = {key: list(motion.provenance.get(key, ())) for key in BEAT_KEYS}
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
    for window in motion.provenance.get("references") or ():
        hits = window.get("hits", ()) if isinstance(window, dict) else ()
        licenses += [f"reference {hit['clip_id']}: {hit['license']}" for hit in hits if hit.get("license")]
    return "; ".join(dict.fromkeys([*licenses, *([body_note] if body_note else [])]))
