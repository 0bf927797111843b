"""Turn a GLB into FBX: a script that Blender runs, with the name of a JSON file after `--`; see `write_fbx`."""

import json
import sys
from pathlib import Path
from typing import Any


def convert(job: dict[str, Any]) -> None:
    """Read `source`, a GLB, and write `target`, an FBX with `notes` as a property of its armature.

    The GLB's keys are at `whole_rate`, a whole number; the FBX plays them at `frame_rate`.
    """
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.unit_settings.scale_length = 0.01  # the GLB is read in centimetres, and the FBX needs no scales on its nodes
    # Keys are placed by whole frames a second when the GLB is read; the true rate is fps / fps_base.
    scene.render.fps = job["whole_rate"]
    bpy.ops.import_scene.gltf(filepath=job["source"], bone_heuristic="BLENDER")
    for thing in list(bpy.data.objects):  # the sphere that the importer shows bones as
        if thing.type == "MESH" and thing.find_armature() is None:
            bpy.data.objects.remove(thing)
    scene.render.fps_base = job["whole_rate"] / job["frame_rate"]
    armature = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    armature["infinitedance"] = job["notes"]
    _leave_rest_pose(armature, job["name"], job["num_frames"] - 1)
    bpy.ops.export_scene.fbx(
        filepath=job["target"],
        object_types={"ARMATURE", "MESH"},
        add_leaf_bones=False,
        use_custom_props=True,
        bake_anim=True,
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=True,
        bake_anim_simplify_factor=0.0,
    )


def _leave_rest_pose(armature: Any, name: str, last_frame: int) -> None:
    """Let the animation begin at frame 1 as a strip with a name, and stand in the rest pose before it.

    FBX keeps of each bone where it is in the scene's current frame; without a body that is the file's only rest pose.
    """
    import bpy

    data = armature.animation_data
    action = data.action
    data.action = None
    for track in list(data.nla_tracks):
        data.nla_tracks.remove(track)
    action.name = name  # Blender keeps as much of it as fits
    strip = data.nla_tracks.new().strips.new(action.name, 1, action)
    strip.action_frame_start, strip.action_frame_end = 0, last_frame  # which are read as 58.99999
    strip.frame_end = 1 + last_frame
    strip.extrapolation = "NOTHING"
    bpy.context.scene.frame_set(0)


if __name__ == "__main__":
    convert(json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text(encoding="utf-8")))
