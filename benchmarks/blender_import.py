"""Report what Blender makes of exported dances, imported with the options that its importers start with.

    python -m benchmarks.blender_import --bpy PYTHON --output docs/blender_import.md --picture docs/blender_import.webp

PYTHON is one that has the package bpy, in an environment of its own: `python3.11 -m venv bpy && bpy/bin/pip install
bpy==5.0.1`, then `bpy/bin/python`. It imports the files, and writes those of FBX.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FRAME_RATE, SECONDS, KEYS = 30, 4.0, [0, 1, 37, 60, 119]
SCENE_RATES = (24, 30)
BEAT_SECONDS, BEATS_PER_BAR = 2 / 3, 3
SUFFIXES = (".glb", ".fbx", ".usdc", ".bvh")
INTRODUCTION = """# What Blender makes of exported dances

A procedural waltz of 4 s at 30 Hz, written by `infinitedance convert`, in a scene of Blender without a word about
options, but for the scale of a BVH (0.01: the file's unit is not in it). [exporting.md](exporting.md#blender) says
what to press. Distances are of the bones' heads, and angles between the bone that Blender shows, from its head to its
tail, and the direction of the limb.
"""
# A command `blender` that is a Python with bpy.
_BLENDER = """#!{python}
import runpy, sys
place = sys.argv.index("--python")
sys.argv = sys.argv[place + 1 :]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def read_in_blender(job: dict[str, Any]) -> None:
    """Import each file of a job into scenes of several rates and write what is found. Runs inside Blender.

    Places are in metres with Y up.
    """
    import bpy

    found: dict[str, Any] = {"version": bpy.app.version_string}
    for file in job["files"]:
        path = Path(job["folder"]) / file
        for rate in job["scene_rates"]:
            scene, armature = _import_alone(path, rate)
            action = armature.animation_data.action
            first, last = action.frame_range
            record: dict[str, Any] = {
                "action": action.name,
                "seconds": (last - first) * scene.render.fps_base / scene.render.fps,
                "keys": [],
                "lowest": [],
            }
            for key in job["keys"]:
                frame = first + key * (last - first) / (job["num_frames"] - 1)
                scene.frame_set(int(frame), subframe=frame - int(frame))
                record["keys"].append({bone.name: _place(armature, bone.head) for bone in armature.pose.bones})
                record["lowest"].append(_lowest(scene))
            armature.data.pose_position = "REST"
            scene.frame_set(int(first))
            record["rest"] = {
                bone.name: [_place(armature, bone.head_local), _place(armature, bone.tail_local)]
                for bone in armature.data.bones
            }
            record["rest_lowest"] = _lowest(scene)
            script = path.with_suffix(path.suffix + ".py")
            exec(compile(script.read_text(), str(script), "exec"), {"__file__": str(script)})
            real = scene.render.fps / scene.render.fps_base
            record["markers"] = [[each.name, (each.frame - first) / real] for each in scene.timeline_markers]
            record["action_after"] = action.name
            record["seconds_after"] = (last - first) / real
            record["whole_range"] = scene.frame_start <= first and scene.frame_end >= last
            found[f"{file} {rate}"] = record
    if job["picture"]:
        _draw(Path(job["folder"]) / job["picture"], Path(job["folder"]) / "picture.png")
    Path(job["result"]).write_text(json.dumps(found))


def _import_alone(path: Path, rate: int) -> tuple[Any, Any]:
    """Import a file into an empty scene of a rate; return the scene and the armature."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.fps = rate
    if path.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(path), global_scale=0.01)
    elif path.suffix == ".fbx":
        bpy.ops.import_scene.fbx(filepath=str(path))
    elif path.suffix == ".glb":
        bpy.ops.import_scene.gltf(filepath=str(path))
    else:
        bpy.ops.wm.usd_import(filepath=str(path))
    return scene, next(each for each in scene.objects if each.type == "ARMATURE")


def _place(armature: Any, vector: Any) -> list[float]:
    x, y, z = armature.matrix_world @ vector
    return [x, z, -y]


def _lowest(scene: Any) -> float | None:
    """Return the height of the lowest vertex of a body, metres."""
    import bpy

    graph = bpy.context.evaluated_depsgraph_get()
    heights = []
    for thing in scene.objects:
        if thing.type == "MESH" and thing.find_armature():
            shown = thing.evaluated_get(graph)
            heights += [(shown.matrix_world @ vertex.co).z for vertex in shown.to_mesh().vertices]
    return min(heights, default=None)


def _draw(path: Path, picture: Path) -> None:
    """Draw the bones of a file in its rest pose, from head to tail, and its body in the middle of the dance."""
    import bpy
    from mathutils import Matrix, Vector

    scene, armature = _import_alone(path, FRAME_RATE)
    scene.frame_set(KEYS[2])
    color = bpy.data.materials.new("bones")
    color.diffuse_color = (0.9, 0.45, 0.1, 1)
    color.use_nodes = True
    color.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color.diffuse_color
    for bone in armature.data.bones:
        head, tail = (armature.matrix_world @ each for each in (bone.head_local, bone.tail_local))
        along = tail - head
        corners = [(0, 0, 0), (0.08, 0, 0.15), (0, 0.08, 0.15), (-0.08, 0, 0.15), (0, -0.08, 0.15), (0, 0, 1)]
        sides = [face for k in range(4) for face in ((0, (k + 1) % 4 + 1, k + 1), (5, k + 1, (k + 1) % 4 + 1))]
        mesh = bpy.data.meshes.new(bone.name)
        mesh.from_pydata([Vector(corner) * along.length for corner in corners], [], sides)
        mesh.materials.append(color)
        shape = bpy.data.objects.new(bone.name, mesh)
        turn = Vector((0, 0, 1)).rotation_difference(along).to_matrix().to_4x4()
        shape.matrix_world = Matrix.Translation(head + Vector((-1.1, 0, 0))) @ turn
        scene.collection.objects.link(shape)
    middle = armature.matrix_world @ armature.pose.bones[0].head
    armature.location += Vector((0.75 - middle.x, -middle.y, 0))
    bpy.ops.mesh.primitive_plane_add(size=200)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (-0.1, -5.2, 1.35), (math.radians(85), 0, 0)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 3.0, 0.2, (math.radians(40), 0, math.radians(30))
    for thing in (camera, sun):
        scene.collection.objects.link(thing)
    scene.world = bpy.data.worlds.new("world")
    scene.world.color = (0.8, 0.85, 0.9)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 48
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 960, 540
    scene.render.filepath = str(picture)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    """Export dances, let Blender read them, write the report."""
    from .writer import Section, write_report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpy", type=Path, required=True, help="a Python that has the package bpy")
    parser.add_argument("--output", type=Path, default=Path("docs/blender_import.md"))
    parser.add_argument("--picture", type=Path, help="picture to draw, .webp or .png")
    arguments = parser.parse_args()
    command = f"python -m benchmarks.blender_import --bpy PYTHON --output {arguments.output}"
    section = Section("Blender", command, None, lambda: _measure(arguments.bpy, arguments.picture))
    write_report(arguments.output, INTRODUCTION, {"blender": section})


def _measure(python: Path, picture: Path | None) -> list[Any]:
    import numpy as np

    from infinitedance.dataset_builder.procedural.dance import synthesize_dance
    from infinitedance.motion.files import BONE_NAMES, export_motion
    from infinitedance.motion.files.blender_markers import write_blender_markers

    dance = synthesize_dance("waltz", 90, SECONDS, seed=7)
    beats = [k * BEAT_SECONDS for k in range(math.ceil(SECONDS / BEAT_SECONDS))]
    dance.provenance.clear()
    dance.provenance.update(song="song.mp3", genre="waltz", seed=7)
    dance.provenance.update(beat_times_seconds=beats, downbeat_times_seconds=beats[::BEATS_PER_BAR])
    with tempfile.TemporaryDirectory() as folder:
        command = Path(folder) / "blender"
        command.write_text(_BLENDER.format(python=python.absolute()))
        command.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        kinds = [("smpl", "human"), *((names, "none") for names in BONE_NAMES)]
        files = []
        for suffix in SUFFIXES:
            for names, body in kinds:
                if suffix == ".bvh" and body != "none":
                    continue
                path = Path(folder) / f"{names}_{body}{suffix}"
                export_motion(dance, path, names=names, body=None if suffix == ".bvh" else body)
                write_blender_markers(dance, path).rename(path.with_suffix(f"{suffix}.py"))
                files.append(path.name)
        job = {
            "folder": folder,
            "files": files,
            "scene_rates": SCENE_RATES,
            "keys": KEYS,
            "num_frames": dance.num_frames,
            "picture": "smpl_human.glb" if picture else None,
            "result": f"{folder}/result.json",
        }
        (Path(folder) / "job.json").write_text(json.dumps(job))
        subprocess.run([python, __file__, "--job", f"{folder}/job.json"], check=True, capture_output=True)
        found = json.loads((Path(folder) / "result.json").read_text())
        if picture is not None:
            import cv2

            cv2.imwrite(str(picture), cv2.imread(f"{folder}/picture.png"), [cv2.IMWRITE_WEBP_QUALITY, 80])
    return _tables(found, files, dance, np.array(beats))


def _tables(found: dict[str, Any], files: list[str], dance: Any, beats: Any) -> list[Any]:
    import numpy as np

    from infinitedance.evaluation.report.tables import Table
    from infinitedance.motion.files import BONE_NAMES
    from infinitedance.motion.files.rig import export_rig

    rig = export_rig(dance, "smpl")
    limbs = rig.bind_matrices[:, :3, 1]
    joints = dance.joint_positions()[KEYS]
    bones, scenes = [], []
    for file in files:
        preset, body = Path(file).stem.split("_")
        record, at_30 = (found[f"{file} {rate}"] for rate in SCENE_RATES)
        names = [name.replace(":", "_") if file.endswith(".usdc") else name for name in BONE_NAMES[preset]]
        rest = np.array([record["rest"][name] for name in names])
        shown = rest[:, 1] - rest[:, 0]
        cosines = (shown * limbs).sum(axis=-1) / np.linalg.norm(shown, axis=-1)
        moving = np.array([[places[name] for name in names] for places in record["keys"]])
        feet = [
            names.index(BONE_NAMES[preset][joint].replace(":", "_")) if file.endswith(".usdc") else joint
            for joint in (10, 11)
        ]
        toe = dance.skeleton.toe_rest_height
        lowest = record["rest_lowest"], min(filter(None.__ne__, record["lowest"]), default=None)
        if body == "none":
            lowest = rest[feet, 0, 1].min() - toe, moving[:, feet, 1].min() - toe
        bones.append(
            [
                Path(file).suffix,
                preset,
                body,
                1000 * float(np.linalg.norm(rest[:, 0] - rig.rest_positions, axis=-1).max()),
                f"{int((cosines > math.cos(math.radians(1))).sum())} of {len(names)}",
                1000 * float(np.linalg.norm(moving - joints, axis=-1).max()),
                *(1000 * float(height) for height in lowest),
            ]
        )
        times = np.array([time for _, time in record["markers"]])
        scenes.append(
            [
                Path(file).suffix,
                preset,
                body,
                record["action"],
                record["seconds"],
                at_30["seconds"],
                record["seconds_after"],
                record["action_after"],
                len(times),
                1000 * float(np.abs(times - beats).max()),
            ]
        )
    kind = ["file", "names", "body"]
    return [
        Table(
            "Bones",
            [
                *kind,
                "rest: mm off the T-pose",
                "along their limbs",
                "motion: mm off",
                "lowest at rest, mm",
                "in motion, mm",
            ],
            bones,
            f"Blender {found['version']}. Along their limbs are bones within 1 degree; of a BVH Blender lets the pelvis "
            "end in the middle of its three children. The lowest point is that of the body, without one that of the "
            "toes, from where toes rest on the floor.",
        ),
        Table(
            "Scene",
            [
                *kind,
                "action",
                "s in a scene at 24 fps",
                "at 30 fps",
                "s with markers",
                "action then",
                "markers",
                "ms off the beat",
            ],
            scenes,
            f"The dance has {dance.num_frames} keys, {(dance.num_frames - 1) / FRAME_RATE:.3f} s from the first to the last. With "
            "markers: after the script of `convert --markers` in the scene at 24 fps. Markers are at whole frames, up to "
            "21 ms off at 24 fps.",
        ),
    ]


if __name__ == "__main__":
    if "--job" in sys.argv:
        read_in_blender(json.loads(Path(sys.argv[sys.argv.index("--job") + 1]).read_text()))
    else:
        main()
