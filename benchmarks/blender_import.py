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
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FRAME_RATE, SECONDS, KEYS = 30, 4.0, [0, 1, 37, 60, 119]
SCENE_RATES = (24, 30)
PICTURE_KEY = 37
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
        _draw(Path(job["folder"]) / job["picture"], Path(job["folder"]) / "picture.webp")
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
    scene.frame_set(PICTURE_KEY)
    color = bpy.data.materials.new("bones")
    color.diffuse_color = (0.9, 0.45, 0.1, 1)
    color.use_nodes = True
    color.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = color.diffuse_color
    for bone in armature.data.bones:
        head, tail = (armature.matrix_world @ each for each in (bone.head_local, bone.tail_local))
        along = tail - head
        corners = [
            (0, 0, 0),
            (0.1, 0, 0.1),
            (0, 0.1, 0.1),
            (-0.1, 0, 0.1),
            (0, -0.1, 0.1),
            (0, 0, 1),
        ]  # Blender's shape
        sides = [face for k in range(4) for face in ((0, (k + 1) % 4 + 1, k + 1), (5, k + 1, (k + 1) % 4 + 1))]
        mesh = bpy.data.meshes.new(bone.name)
        mesh.from_pydata([Vector(corner) * along.length for corner in corners], [], sides)
        mesh.materials.append(color)
        shape = bpy.data.objects.new(bone.name, mesh)
        turn = Vector((0, 0, 1)).rotation_difference(along).to_matrix().to_4x4()
        shape.matrix_world = Matrix.Translation(head + Vector((-0.95, 0, 0))) @ turn
        scene.collection.objects.link(shape)
    middle = armature.matrix_world @ armature.pose.bones[0].head
    armature.location += Vector((0.95 - middle.x, -middle.y, 0))
    bpy.ops.mesh.primitive_plane_add(size=200)
    floor = bpy.data.materials.new("floor")
    floor.use_nodes = True
    floor.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.35, 0.37, 0.4, 1)
    bpy.context.object.data.materials.append(floor)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0.05, -5.6, 1.25), (math.radians(86), 0, 0)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.data.angle, sun.rotation_euler = 1.8, 0.2, (math.radians(40), 0, math.radians(30))
    for thing in (camera, sun):
        scene.collection.objects.link(thing)
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.45, 0.5, 0.55, 1)
    scene.camera = camera
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 48
    scene.view_settings.view_transform = "Standard"
    scene.render.resolution_x, scene.render.resolution_y = 960, 540
    scene.render.image_settings.file_format, scene.render.image_settings.quality = "WEBP", 80
    scene.render.filepath = str(picture)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    """Export dances, let Blender read them, write the report."""
    from .writer import Section, write_report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bpy", type=Path, required=True, help="a Python that has the package bpy")
    parser.add_argument("--output", type=Path, default=Path("docs/blender_import.md"))
    parser.add_argument("--picture", type=Path, help="picture to draw, .webp")
    arguments = parser.parse_args()
    command = f"python -m benchmarks.blender_import --bpy PYTHON --output {arguments.output}"
    section = Section("Blender", command, None, lambda: _measure(arguments.bpy, arguments.picture))
    write_report(arguments.output, INTRODUCTION, {"blender": section})


def _measure(python: Path, picture: Path | None) -> list[Any]:
    from infinitedance.dataset_builder.procedural.dance import synthesize_dance
    from infinitedance.motion.files import BONE_NAMES, export_motion
    from infinitedance.motion.files.blender_markers import write_blender_markers

    dance = synthesize_dance("waltz", 90, SECONDS, seed=6)
    beats = [k * BEAT_SECONDS for k in range(math.ceil(SECONDS / BEAT_SECONDS))]
    dance.provenance.clear()
    dance.provenance.update(song="song.mp3", genre="waltz", seed=6)
    dance.provenance.update(beat_times_seconds=beats, downbeat_times_seconds=beats[::BEATS_PER_BAR])
    with tempfile.TemporaryDirectory() as folder:
        command = Path(folder) / "blender"
        command.write_text(_BLENDER.format(python=python.absolute()))
        command.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        kinds = [("smpl", "human"), ("smpl", "capsules"), *((names, "none") for names in BONE_NAMES)]
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
            "picture": "smpl_capsules.glb" if picture else None,
            "result": f"{folder}/result.json",
        }
        (Path(folder) / "job.json").write_text(json.dumps(job))
        subprocess.run([python, __file__, "--job", f"{folder}/job.json"], check=True, capture_output=True)
        found = json.loads((Path(folder) / "result.json").read_text())
        if picture is not None:
            shutil.copyfile(f"{folder}/picture.webp", picture)
    return _tables(found, files, dance, beats)


def _tables(found: dict[str, Any], files: list[str], dance: Any, beats: list[float]) -> list[Any]:
    import numpy as np

    from infinitedance.evaluation.report.tables import Table
    from infinitedance.motion.files import BONE_NAMES
    from infinitedance.motion.files.rig import export_rig
    from infinitedance.motion.skeleton import JOINT_INDEX

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
        toes, rest_height = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], dance.skeleton.toe_rest_height
        if body == "none":
            lowest = [float(places[..., toes, 1].min()) - rest_height for places in (rest[:, 0], moving)]
        else:
            lowest = [record["rest_lowest"], min(record["lowest"])]
        bones.append(
            [
                Path(file).suffix,
                preset,
                body,
                1000 * float(np.linalg.norm(rest[:, 0] - rig.rest_positions, axis=-1).max()),
                f"{int((cosines > math.cos(math.radians(1))).sum())} of {len(names)}",
                1000 * float(np.linalg.norm(moving - joints, axis=-1).max()),
                *(1000 * height for height in lowest),
            ]
        )
        far = max(abs(time - beat) for (_, time), beat in zip(record["markers"], beats, strict=True))
        if far > 0.5 / SCENE_RATES[0] or not record["whole_range"]:
            raise RuntimeError(f"{file}: markers are up to {far:.3f} s off their beats, or the range is too short.")
        lengths = [record["seconds"], at_30["seconds"], record["seconds_after"]]
        actions = [name.replace("|", "\\|") for name in (record["action"], record["action_after"])]
        scenes.append([Path(file).suffix, preset, body, actions[0], *lengths, actions[1], len(record["markers"])])
    kind = ["file", "names", "body"]
    seconds = (dance.num_frames - 1) / FRAME_RATE
    return [
        Table(
            "Bones",
            [*kind, "mm off at rest", "along their limbs", "mm off in motion", "lowest at rest, mm", "in motion, mm"],
            bones,
            f"Blender {found['version']}. Off is the head of a bone from the T-pose on the floor, and from the dance. "
            "Along their limbs are bones within 1 degree; of a BVH Blender lets the pelvis end in the middle of its "
            "three children, which is below it. The lowest point is that of the body; without one that of the toes' "
            "joints, from how high they rest.",
        ),
        Table(
            "Scene",
            [*kind, "action", *(f"s at {rate} fps" for rate in SCENE_RATES), "s by script", "action", "markers"],
            scenes,
            f"From the first of the {dance.num_frames} keys to the last the dance takes {seconds:.3f} s. Beside that "
            "stand the seconds in a scene that had the rate before the import, and what the script of "
            "`convert --markers` makes of the scene at 24 fps. All its markers lie within half a frame of their "
            "beats, and all keys in its range.",
        ),
    ]


if __name__ == "__main__":
    if "--job" in sys.argv:
        read_in_blender(json.loads(Path(sys.argv[sys.argv.index("--job") + 1]).read_text()))
    else:
        main()
