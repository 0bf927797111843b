"""What a scene of Blender does not take from a motion file: its frame rate and range, and beats as markers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ...utils.atomic import atomic_path
from ..motion import Motion
from .notes import action_name

_IMPORTERS = {
    ".bvh": "import_anim.bvh(filepath=file, global_scale=0.01)",
    ".fbx": "import_scene.fbx(filepath=file)",
    ".glb": "import_scene.gltf(filepath=file)",
    ".usd": "wm.usd_import(filepath=file)",
    ".usda": "wm.usd_import(filepath=file)",
    ".usdc": "wm.usd_import(filepath=file)",
}
MARKED_FORMATS = tuple(_IMPORTERS)
"""Endings of the files that Blender reads."""
_SAME_BEAT_SECONDS = 0.02
_SCENE_RATE = 24
"""Frame rate of a new scene, Hz."""
_SCRIPT = """\
# In Blender: `blender --python` with this file imports the dance beside it. Where it is imported already, select its
# armature, open this file in the Text Editor and press Run.
# The scene gets the rate and the length of the dance, and a marker at each beat: "bar 1", and "2", "3" ... in it.
import math
import os

import bpy

NAME, ACTION, FRAME_RATE, NUM_FRAMES = {name!r}, {action!r}, {frame_rate!r}, {num_frames}
BEATS = [  # seconds from the first frame, and what the marker is called
{beats}]


def find_action():
    for thing in [bpy.context.object, *bpy.context.scene.objects]:
        if thing and thing.type == "ARMATURE" and thing.animation_data and thing.animation_data.action:
            return thing.animation_data.action


if find_action() is None:
    text = getattr(bpy.context.space_data, "text", None)
    file = os.path.join(os.path.dirname(bpy.path.abspath(text.filepath) if text else os.path.abspath(__file__)), NAME)
    bpy.context.scene.render.fps = max(round(FRAME_RATE), 1)
    bpy.ops.{importer}
scene, action = bpy.context.scene, find_action()
action.name = ACTION  # which a BVH has no place for
first, last = action.frame_range
# Keys are a frame each, but those of a glTF are placed by the rate that the scene had.
rate = (last - first) * FRAME_RATE / (NUM_FRAMES - 1) if NUM_FRAMES > 1 else FRAME_RATE
scene.render.fps = max(round(rate), 1)
scene.render.fps_base = 1.0 if abs(rate - scene.render.fps) < 1e-4 * rate else scene.render.fps / rate
scene.frame_start, scene.frame_end = math.floor(first + 1e-3), math.ceil(last - 1e-3)
for time, name in BEATS:
    scene.timeline_markers.new(name, frame=round(first + time * rate))
"""


def blender_rate_hint(motion: Motion, path: str | os.PathLike) -> str | None:
    """Return what to do in Blender before a file is imported into a scene of another frame rate.

    Args:
        motion: The dance.
        path: The exported file.

    Returns:
        One line; `None` where nothing is to be done.
    """
    rate, suffix = motion.frame_rate, Path(path).suffix.lower()
    if rate == _SCENE_RATE or suffix not in _IMPORTERS or suffix == ".fbx":  # which sets the scene's rate
        return None
    whole = max(round(rate), 1)
    base = "" if whole == rate else f"; bpy.context.scene.render.fps_base = {whole / rate:.6g}"
    return f"Blender, before the import: bpy.context.scene.render.fps = {whole}{base} (or see `--markers`)"


def write_blender_markers(motion: Motion, path: str | os.PathLike) -> Path:
    """Write a script for Blender beside an exported dance: `waltz.markers.py` beside `waltz.glb`.

    It imports the file where the scene has no dance yet, and gives the scene its frame rate, its range and markers.

    Args:
        motion: The dance, whose provenance may hold its beats.
        path: The exported file.

    Returns:
        Where the script is.

    Raises:
        ValueError: If the file ends in none of `MARKED_FORMATS`.
        OSError: As `atomic_path`.
    """
    path = Path(path)
    importer = _IMPORTERS.get(path.suffix.lower())
    if importer is None:
        raise ValueError(f"Markers for Blender go with {', '.join(MARKED_FORMATS)}, got {path}.")
    script = path.with_suffix(".markers.py")
    text = _SCRIPT.format(
        name=path.name,
        action=action_name(motion, path),
        frame_rate=float(motion.frame_rate),
        num_frames=motion.num_frames,
        beats="".join(f"    {beat},\n" for beat in _named_beats(motion)),
        importer=importer,
    )
    with atomic_path(script) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return script


def _named_beats(motion: Motion) -> list[tuple[float, str]]:
    """Return times of beats in seconds and their names: the bar's number on its first, then their count in it."""
    beats, downbeats = (
        np.sort(np.asarray(motion.provenance.get(key) or (), dtype=np.float64))
        for key in ("beat_times_seconds", "downbeat_times_seconds")
    )
    named, bar, count = [], 0, 0
    others = [beat for beat in beats if np.abs(downbeats - beat).min(initial=np.inf) > _SAME_BEAT_SECONDS]
    for time, is_first in sorted([(time, True) for time in downbeats] + [(time, False) for time in others]):
        bar, count = (bar + 1, 1) if is_first else (bar, count + 1)
        if 0 <= time < motion.duration_seconds:
            named.append((round(float(time), 6), f"bar {bar}" if is_first else str(count)))
    return named
