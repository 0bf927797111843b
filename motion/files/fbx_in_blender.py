"""Turn a GLB into FBX: a script that Blender runs, with the name of a JSON file after `--`; see `write_fbx`."""

import json
import sys
from pathlib import Path
from typing import Any


def convert(job: dict[str, Any]) -> None:
    """Read `source`, a GLB, and write `target`, an FBX with `notes` as a property of its armature."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.unit_settings.scale_length = 0.01  # the GLB is read in centimetres, and the FBX needs no scales on its nodes
    # A rate is fps / fps_base; keys are placed by it when the GLB is read, so it comes first.
    scene.render.fps = round(job["frame_rate"])
    scene.render.fps_base = round(job["frame_rate"]) / job["frame_rate"]
    bpy.ops.import_scene.gltf(filepath=job["source"], bone_heuristic="TEMPERANCE")
    scene.frame_start, scene.frame_end = 0, job["num_frames"] - 1
    armature = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    armature["infinitedance"] = job["notes"]
    bpy.ops.export_scene.fbx(
        filepath=job["target"],
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        use_custom_props=True,
        bake_anim=True,
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=False,
        bake_anim_simplify_factor=0.0,
    )


if __name__ == "__main__":
    convert(json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8")))
