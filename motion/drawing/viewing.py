"""A dance for the browser: the data that the viewer plays, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...assets import VIEWER_SCRIPT
from ..motion import Motion
from ..skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS, Skeleton, neutral_skeleton
from .body_mesh import VERTEX_UNIT_METRES, WEIGHT_UNIT
from .body_parts import BODY_PARTS
from .clothes import human_body

"""The viewer's bundle, built by `make viewer`; it defines `InfiniteDanceViewer.mount`."""

AUDIO_TYPES = {
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".webm": "audio/webm",
}
"""Media types of the songs that browsers play, by the ending of the file."""

# The page may run and show what it holds, and fetch nothing: the song comes from a blob or from the page's own server.
_CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src blob: 'self'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>body {{ margin: 0 }}</style>
</head>
<body>
<main id="viewer"></main>
<script type="application/json" id="content">{content}</script>
<script>{script}</script>
<script>
{{
  const {{ dances, audio, audioType, audioUrl }} = JSON.parse(document.getElementById("content").textContent);
  const bytes = audio && Uint8Array.from(atob(audio), (letter) => letter.charCodeAt(0));
  const url = bytes ? URL.createObjectURL(new Blob([bytes], {{ type: audioType }})) : audioUrl;
  window.viewer = InfiniteDanceViewer.mount(document.getElementById("viewer"), dances, url, {{ fillsPage: true }});
}}
</script>
</body>
</html>
"""


def viewer_dance(
    motion: Motion,
    name: str,
    *,
    beat_times_seconds: Sequence[float] | np.ndarray = (),
    downbeat_times_seconds: Sequence[float] | np.ndarray = (),
) -> dict[str, Any]:
    """Pack a dance for the viewer, of values that JSON can hold: 0.5 MB for the body and 250 bytes a frame.

    Rotations are rounded to 16 bits, which moves no joint by more than 0.2 mm.

    Args:
        motion: The dance.
        name: Stands above the figure; below it stands what the provenance says of genre, model and seed.
        beat_times_seconds: Beats of the song, marked on the timeline.
        downbeat_times_seconds: Those of the beats that begin a bar.
    """
    contacts = motion.foot_contacts
    return {
        "name": name,
        "detail": ", ".join(_details(motion.provenance)),
        "frame_rate": float(motion.frame_rate),
        "num_frames": motion.num_frames,
        "joint_names": list(JOINT_NAMES),
        "parents": list(PARENTS),
        "offsets": motion.skeleton.offsets.round(6).tolist(),
        "scale": motion.skeleton.leg_length / neutral_skeleton().leg_length,
        "contact_joints": list(CONTACT_JOINTS),
        "body": [
            {"side": side, "balls": [[JOINT_INDEX[joint], *offset, radius] for joint, offset, radius in balls]}
            for side, balls in BODY_PARTS
        ],
        "human": _pack_human(motion.skeleton),
        "root_positions": _base64(motion.root_positions.astype("<f4")),
        "joint_rotations": _base64(np.round(motion.joint_rotations * 32767).astype("<i2")),
        # One byte a frame: bit k is column k of `foot_contacts`.
        "foot_contacts": None if contacts is None else _base64(np.packbits(contacts, axis=1, bitorder="little")),
        "beat_times_seconds": np.round(beat_times_seconds, 4).tolist(),
        "downbeat_times_seconds": np.round(downbeat_times_seconds, 4).tolist(),
    }


def viewer_page(
    dances: Sequence[dict[str, Any]], *, song: Path | None = None, song_url: str | None = None, title: str = "Dance"
) -> str:
    """Return an HTML page that plays dances side by side on one clock, with script and data inside.

    Args:
        dances: One or two, from `viewer_dance`.
        song: Audio file to embed.
        song_url: Where the page finds the song instead, on its own server.
        title: Of the page.

    Raises:
        ValueError: If there are no dances or more than two, or no browser plays files of the song's ending.
    """
    if not 1 <= len(dances) <= 2:
        raise ValueError(f"The viewer shows one dance or two side by side, got {len(dances)}.")
    content: dict[str, Any] = {"dances": list(dances), "audioUrl": song_url}
    if song is not None:
        content |= {"audio": b64encode(song.read_bytes()).decode(), "audioType": audio_type(song)}
    return _PAGE.format(
        policy=_CONTENT_POLICY,
        title=escape(title),
        content=json.dumps(content, allow_nan=False).replace("<", "\\u003c"),  # no name can close the element
        script=VIEWER_SCRIPT.read_text(encoding="utf-8"),
    )


def audio_type(song: Path) -> str:
    """Return the media type of a song, or raise `ValueError` if browsers do not play files of its ending."""
    suffix = song.suffix.lower()
    if suffix not in AUDIO_TYPES:
        raise ValueError(
            f"Browsers play songs that end in {', '.join(AUDIO_TYPES)}, got {song.name}: convert it first."
        )
    return AUDIO_TYPES[suffix]


def _pack_human(skeleton: Skeleton) -> dict[str, Any]:
    mesh = human_body(skeleton)
    return {
        "vertices": _base64(np.round(mesh.vertices / VERTEX_UNIT_METRES).astype("<i2")),
        "vertex_unit_metres": VERTEX_UNIT_METRES,
        "triangles": _base64(mesh.triangles.astype("<u2")),
        "joints": _base64(mesh.joints.astype("u1")),
        "weights": _base64(np.round(mesh.weights * WEIGHT_UNIT).astype("u1")),
        # One byte a vertex: which of the materials it has; their colors are sRGB.
        "parts": _base64(np.asarray(mesh.parts).astype("u1")),
        "materials": [{"name": each.name, "color": list(each.color)} for each in mesh.materials],
        "note": mesh.note,
    }


def _details(provenance: dict[str, Any]) -> list[str]:
    named = {"genre": "{}", "model": "{}", "seed": "seed {}", "source": "{}"}
    return [text.format(provenance[key]) for key, text in named.items() if provenance.get(key) is not None]


def _base64(array: np.ndarray) -> str:
    return b64encode(np.ascontiguousarray(array).tobytes()).decode()
