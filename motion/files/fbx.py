"""Write dances as FBX through Blender's Python module, the only free writer of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..body_mesh import BodyMesh
from ..extras import require_extra
from ..motion import Motion
from .atomic import atomic_path
from .bone_names import bone_names
from .gltf import write_glb


def write_fbx(motion: Motion, path: str | os.PathLike, *, body: BodyMesh | None = None, names: str = "smpl") -> None:
    """Write a dance as binary FBX with baked keys: Blender reads our GLB and writes it again.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        body: A mesh in the rest pose of the dance's skeleton; `None` for the bare skeleton.
        names: Preset of `BONE_NAMES`.

    Raises:
        ImportError: Without the extra `fbx`.
        ValueError: If there is no such preset.
        OSError: As `atomic_path`.
    """
    bone_names(names)
    require_extra("bpy", "fbx", "Writing FBX")
    import bpy

    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "dance.glb"
        write_glb(motion, source, body=body, names=names)
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        # A rate is fps / fps_base; keys are placed by it when the GLB is read, so it comes first.
        scene.render.fps = round(motion.frame_rate)
        scene.render.fps_base = round(motion.frame_rate) / motion.frame_rate
        bpy.ops.import_scene.gltf(filepath=str(source), bone_heuristic="TEMPERANCE")
        scene.frame_start, scene.frame_end = 0, motion.num_frames - 1
        bpy.ops.export_scene.fbx(
            filepath=str(temporary),
            object_types={"ARMATURE", "MESH"},
            add_leaf_bones=False,
            use_custom_props=True,
            bake_anim=True,
            bake_anim_use_all_actions=False,
            bake_anim_use_nla_strips=False,
            bake_anim_simplify_factor=0.0,
        )
