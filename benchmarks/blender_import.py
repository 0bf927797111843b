"""Report what Blender makes of exported dances, with the options that its importers start with.

    python -m benchmarks.blender_import --bpy python-with-bpy --output docs/blender_import.md

`--bpy` is a Python that has the package bpy, in an environment of its own (`pip install bpy`); the files are exported
by this one. `--picture` writes a picture of the imported GLB, as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAME_RATE, NUM_FRAMES, FRAMES = 30, 120, [0, 1, 37, 60, 119]
SCENE_RATES = (24, 30)
PROVENANCE = {"song": "song.mp3", "genre": "waltz", "seed": 7}
BEATS_PER_MINUTE, BEATS_PER_BAR = 90.0, 3
INTRODUCTION = """# What Blender makes of exported dances

A procedural waltz of 4 s at 30 Hz, exported by `infinitedance convert` and imported into an empty scene by Blender
with the options that its importers start with; a BVH with scale 0.01, as the file's unit is not in it. Pictures and
words are in [exporting.md](exporting.md#blender).
"""


def read_in_blender(job: dict[str, Any]) -> None:
    """Import each file of a job and write what is found, in metres with Y up, as JSON. Runs inside Blender."""
    import bpy

    importers: dict[str, Callable[[str], Any]] = {
        ".bvh": lambda path: bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01),
        ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
        ".fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path),
        ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    }

    def place(armature: Any, vector: Any) -> list[float]:
        x, y, z = armature.matrix_world @ vector
        return [x, z, -y]

    def lowest(scene: Any) -> float | None:
        graph = bpy.context.evaluated_depsgraph_get()
        meshes = [each for each in scene.objects if each.type == "MESH" and each.find_armature()]
        heights = []
        for each in meshes:
            shown = each.evaluated_get(graph)
            heights += [(shown.matrix_world @ vertex.co).z for vertex in shown.to_mesh().vertices]
        return min(heights, default=None)

    found: dict[str, Any] = {"version": bpy.app.version_string}
    for file in job["files"]:
        path = Path(job["folder"]) / file
        for rate in job["scene_rates"]:
            bpy.ops.wm.read_factory_settings(use_empty=True)
            scene = bpy.context.scene
            scene.render.fps = rate
            importers[path.suffix](str(path))
            armature = next(each for each in scene.objects if each.type == "ARMATURE")
            action = armature.animation_data.action
            first, last = action.frame_range
            frames, heights = [], []
            for key in job["keys"]:
                frame = first + key * (last - first) / (job["num_frames"] - 1)
                scene.frame_set(int(frame), subframe=frame - int(frame))
                bones = armature.pose.bones
                frames.append({bone.name: place(armature, bone.head) for bone in bones})
                heights.append(lowest(scene))
            armature.data.pose_position = "REST"
            scene.frame_set(int(first))
            rest = {
                bone.name: [place(armature, bone.head_local), place(armature, bone.tail_local)]
                for bone in armature.data.bones
            }
            record = {
                "action": action.name,
                "seconds": (last - first) * scene.render.fps_base / scene.render.fps,
                "scene_rate": scene.render.fps / scene.render.fps_base,
                "rest": rest,
                "rest_lowest": lowest(scene),
                "frames": frames,
                "lowest": heights,
            }
            script = path.with_suffix(".markers.py")
            if script.is_file():
                exec(
                    compile(script.read_text(), str(script), "exec"), {"__file__": str(script), "__name__": "__main__"}
                )
                real_rate = scene.render.fps / scene.render.fps_base
                record["markers"] = [
                    [marker.name, (marker.frame - scene.frame_start) / real_rate] for marker in scene.timeline_markers
                ]
                record["range_seconds"] = (scene.frame_end - scene.frame_start) / real_rate
            found[f"{file} {rate}"] = record
    Path(job["result"]).write_text(json.dumps(found))


if __name__ == "__main__":
    if "--job" in sys.argv:
        read_in_blender(json.loads(Path(sys.argv[sys.argv.index("--job") + 1]).read_text()))
