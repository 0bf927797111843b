"""Measure where Blender finds the joints of exported dances: `python benchmarks/blender_import.py [--bpy FOLDER]`.

Blender is the command `blender`, or the package bpy from a folder of its own (`pip install --target FOLDER bpy`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FRAME_RATE, FRAMES = 30, [0, 1, 20, 37, 59]


def read_in_blender(folder: Path) -> None:
    """Import each file of a folder and write where its bones begin, in metres with Y up, to `places.json`."""
    import bpy

    importers = {
        ".bvh": lambda path: bpy.ops.import_anim.bvh(filepath=path, global_scale=0.01, axis_forward="-Z", axis_up="Y"),
        ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
        ".fbx": lambda path: bpy.ops.import_scene.fbx(filepath=path, anim_offset=0.0),
        ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    }
    places = {"version": bpy.app.version_string}
    for path in sorted(folder.glob("dance.*")):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        scene = bpy.context.scene
        scene.render.fps = FRAME_RATE
        try:
            importers[path.suffix](str(path))
            armature = next(thing for thing in bpy.data.objects if thing.type == "ARMATURE")
        except (AttributeError, RuntimeError, StopIteration):  # of old versions and small builds
            places[path.name] = None
            continue
        frames = []
        for frame in FRAMES:
            scene.frame_set(frame + (path.suffix == ".bvh"))  # whose first frame becomes Blender's frame 1, not 0
            heads = {bone.name: armature.matrix_world @ bone.head for bone in armature.pose.bones}
            frames.append({name: [head.x, head.z, -head.y] for name, head in heads.items()})
        places[path.name] = frames
    (folder / "places.json").write_text(json.dumps(places))


def main() -> None:
    """Export a dance, let Blender read it, print the largest distance of a joint from where it is."""
    import numpy as np

    from infinitedance.dataset_builder.procedural.dance import synthesize_dance
    from infinitedance.motion.files import BONE_NAMES, export_motion

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bpy", type=Path, help="folder that bpy was installed to")
    arguments = parser.parse_args()
    dance = synthesize_dance("waltz", 90, 2.0, seed=0)
    environment = os.environ | ({"PYTHONPATH": str(arguments.bpy)} if arguments.bpy else {})
    command = [sys.executable] if arguments.bpy else ["blender", "--background", "--factory-startup", "--python"]
    for names in BONE_NAMES:
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".bvh", ".glb", ".usdc", ".fbx"):
                try:
                    export_motion(dance, Path(folder) / f"dance{suffix}", names=names)
                except ImportError as error:
                    print(error)
            subprocess.run([*command, __file__, "--", folder], env=environment, capture_output=True, check=True)
            places = json.loads((Path(folder) / "places.json").read_text())
        print(f"Blender {places.pop('version')}, names {names}:")
        for file, frames in places.items():
            if frames is None:
                print(f"  {file}: this Blender reads no bones from it")
                continue
            joints = [name if file != "dance.usdc" else name.replace(":", "_") for name in BONE_NAMES[names]]
            found = np.array([[frame[name] for name in joints] for frame in frames])
            distance = np.linalg.norm(found - dance.joint_positions()[FRAMES], axis=-1).max()
            print(f"  {file}: joints within {1000 * distance:.3f} mm")


if __name__ == "__main__":
    if "--" in sys.argv:
        read_in_blender(Path(sys.argv[-1]))
    else:
        main()
