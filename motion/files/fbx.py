"""Write dances as FBX through Blender, the only free writer of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from ...utils.atomic import atomic_path
from ...utils.extras import require_extra
from ..drawing.body_mesh import BodyMesh
from ..motion import Motion
from .bone_names import bone_names
from .gltf import write_glb
from .notes import action_name, export_notes

_SCRIPT = Path(__file__).with_name("fbx_in_blender.py")


def write_fbx(motion: Motion, path: str | os.PathLike, *, body: BodyMesh | None = None, names: str = "smpl") -> None:
    """Write a dance as binary FBX: centimetres without scales on any node, Y up, baked keys, one a frame.

    Blender reads our GLB and writes it again, in a process of its own: this Python if it has the package `bpy`, else
    the command `blender`. The armature's property `infinitedance` holds provenance, units, beats and bars as JSON.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        body: A mesh in the rest pose of the dance's skeleton; `None` for the bare skeleton.
        names: Preset of `BONE_NAMES`.

    Raises:
        ImportError: Without Blender and without the extra `fbx`.
        ValueError: If there is no such preset.
        OSError: As `atomic_path`, or if Blender fails.
    """
    bone_names(names)
    command = _blender_command()
    whole_rate = max(round(motion.frame_rate), 1)
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        source, target, settings = (Path(folder) / name for name in ("dance.glb", "dance.fbx", "job.json"))
        job = {
            "source": str(source),
            "target": str(target),
            "name": action_name(motion, path),
            "frame_rate": motion.frame_rate,
            "whole_rate": whole_rate,
            "num_frames": motion.num_frames,
            "notes": json.dumps(export_notes(motion, unit="centimetre")),
        }
        write_glb(replace(motion, frame_rate=float(whole_rate)), source, body=body, names=names)
        settings.write_text(json.dumps(job), encoding="utf-8")
        result = subprocess.run([*command, "--", str(settings)], capture_output=True, text=True)
        if result.returncode or not target.is_file():
            words = (result.stderr.strip() or result.stdout.strip()).splitlines()
            raise OSError(f"Blender ({command[0]}) could not write {path}: {' '.join(words[-3:])}")
        shutil.copyfile(target, temporary)


def _blender_command() -> list[str]:
    """Return what runs `_SCRIPT` inside Blender: this Python if it has `bpy`, else the command `blender`."""
    blender = shutil.which("blender")
    if blender is None or find_spec("bpy") is not None:
        require_extra("bpy", "fbx", "Writing FBX where the command `blender` is not found")
        return [sys.executable, str(_SCRIPT)]
    return [blender, "--background", "--factory-startup", "--python-exit-code", "1", "--python", str(_SCRIPT)]
