"""Write dances as animated GLB (glTF 2.0) with a skinned body or the bare skeleton, and as VRM animation (VRMA)."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np

from ...utils.atomic import atomic_path
from ..drawing.body_mesh import WEIGHT_UNIT, BodyMesh
from ..motion import Motion
from .notes import action_name, copyright_line, export_notes, generator_name
from .rig import Rig, export_rig

_COMPONENT_TYPES = {"f4": 5126, "u2": 5123, "u4": 5125, "u1": 5121}
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963


class _Glb:
    """A glTF document in the making, and its one binary buffer."""

    def __init__(self, motion: Motion, body_note: str = "") -> None:
        license = copyright_line(motion, body_note)
        self.binary = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": generator_name(), **({"copyright": license} if license else {})},
            "scene": 0,
            "scenes": [{"nodes": [0], "extras": export_notes(motion)}],
            "nodes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def add(self, array: np.ndarray, kind: str, *, target: int | None = None, **members: Any) -> int:
        """Append an array `(count, ...)` and return the index of its accessor."""
        self.binary += b"\0" * (-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": array.nbytes}
        self.json["bufferViews"].append(view if target is None else {**view, "target": target})
        self.binary += array.tobytes()
        accessor = {
            "bufferView": len(self.json["bufferViews"]) - 1,
            "componentType": _COMPONENT_TYPES[array.dtype.str[1:]],
            "count": len(array),
            "type": kind,
            **members,
        }
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1

    def save(self, path: str | os.PathLike) -> None:
        """Write the document and the buffer, each padded to four bytes, under one header."""
        self.json["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.json, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + b"\0" * (-len(self.binary) % 4)
        with atomic_path(path) as temporary:
            temporary.write_bytes(
                struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
                + struct.pack("<I4s", len(text), b"JSON")
                + text
                + struct.pack("<I4s", len(binary), b"BIN\0")
                + binary
            )


def write_glb(motion: Motion, path: str | os.PathLike, *, body: BodyMesh | None = None, names: str = "smpl") -> None:
    """Write a dance as animated GLB: metres, Y up, looking along +Z; one key a frame, linear between.

    The first nodes are the bones of `export_rig`; unmoved they stand in a T-pose, each with its +Y along its limb.
    They are a skin even without a mesh, by which tools know them for bones. `action_name` names the animation.
    Provenance, units, frame rate and the times of beats and bars are `extras` of the scene, the license stands in
    `asset.copyright`.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        body: A mesh in the rest pose of the dance's skeleton; `None` for the bare skeleton.
        names: Preset of `BONE_NAMES`.

    Raises:
        ValueError: If there is no such preset.
        OSError: As `atomic_path`.
    """
    rig = export_rig(motion, names)
    glb = _Glb(motion, "" if body is None else body.note)
    _add_bones(glb, rig, motion.frame_rate, action_name(motion, path))
    _add_skin(glb, rig)
    if body is not None:
        _add_body(glb, rig, body)
    glb.save(path)


def write_vrma(motion: Motion, path: str | os.PathLike) -> None:
    """Write a dance as VRM animation 1.0 (`VRMC_vrm_animation`): a GLB whose nodes are named as humanoid bones.

    The rest pose is the T-pose that the specification asks for, with the hips at their standing height, from which
    players scale the path to a model's size. No bone is turned in it, as in a model that VRM calls normalized: players
    put the animation on a model's own bones.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.

    Raises:
        OSError: As `atomic_path`.
    """
    rig = export_rig(motion, "vrm", along_limbs=False)
    glb = _Glb(motion)
    _add_bones(glb, rig, motion.frame_rate, action_name(motion, path))
    glb.json["extensionsUsed"] = ["VRMC_vrm_animation"]
    glb.json["extensions"] = {
        "VRMC_vrm_animation": {
            "specVersion": "1.0",
            "humanoid": {"humanBones": {name: {"node": bone} for bone, name in enumerate(rig.names)}},
        }
    }
    glb.save(path)


def _add_bones(glb: _Glb, rig: Rig, frame_rate: float, name: str) -> None:
    """Add a node for each bone, and the animation: one clock, rotations of all bones and the paths."""
    positions, turns = rig.local_rest
    for bone, bone_name in enumerate(rig.names):
        node: dict[str, Any] = {"name": bone_name, "translation": positions[bone].tolist()}
        if turns[bone, 0] < 1:
            node["rotation"] = turns[bone, [1, 2, 3, 0]].tolist()  # glTF's are xyzw
        children = rig.children(bone)
        glb.json["nodes"].append({**node, "children": children} if children else node)
    times = (np.arange(len(rig.rotations)) / frame_rate).astype("<f4")
    clock = glb.add(times, "SCALAR", min=[float(times[0])], max=[float(times[-1])])
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []

    def animate(bone: int, path: str, keys: np.ndarray, kind: str) -> None:
        channels.append({"sampler": len(samplers), "target": {"node": bone, "path": path}})
        samplers.append({"input": clock, "output": glb.add(np.ascontiguousarray(keys, dtype="<f4"), kind)})

    for bone, keys in rig.paths.items():
        animate(bone, "translation", keys, "VEC3")
    for bone in range(rig.first_joint, len(rig.names)):
        animate(bone, "rotation", rig.rotations[:, bone, [1, 2, 3, 0]], "VEC4")
    glb.json["animations"] = [{"name": name, "samplers": samplers, "channels": channels}]


def _add_skin(glb: _Glb, rig: Rig) -> None:
    inverse = np.linalg.inv(rig.bind_matrices)
    matrices = glb.add(inverse.transpose(0, 2, 1).astype("<f4"), "MAT4")  # column by column
    glb.json["skins"] = [{"joints": list(range(len(rig.names))), "skeleton": 0, "inverseBindMatrices": matrices}]


def _add_body(glb: _Glb, rig: Rig, body: BodyMesh) -> None:
    """Add the mesh and its materials; the node of the mesh is a sibling of the skeleton, as glTF advises."""
    vertices = (body.vertices + rig.rest_positions[rig.first_joint]).astype("<f4")
    # A joint without weight must be 0.
    joints = np.where(body.weights > 0, body.joints + rig.first_joint, 0).astype("u1")
    weights = np.round(body.weights * WEIGHT_UNIT).astype("u1")
    normals = body.normals().astype("<f4")
    glb.json["materials"], primitives = [], []
    for index, material in enumerate(body.materials):
        used, triangles = np.unique(body.triangles[body.faces_of(index)], return_inverse=True)
        bounds = {"min": vertices[used].min(axis=0).tolist(), "max": vertices[used].max(axis=0).tolist()}
        attributes = {
            "POSITION": glb.add(vertices[used], "VEC3", target=_VERTEX_BUFFER, **bounds),
            "NORMAL": glb.add(normals[used], "VEC3", target=_VERTEX_BUFFER),
            "JOINTS_0": glb.add(joints[used], "VEC4", target=_VERTEX_BUFFER),
            "WEIGHTS_0": glb.add(weights[used], "VEC4", target=_VERTEX_BUFFER, normalized=True),
        }
        indices = glb.add(triangles.reshape(-1).astype("<u2"), "SCALAR", target=_INDEX_BUFFER)
        color = [*(round(value, 4) for value in material.linear_color), 1.0]
        surface = {"baseColorFactor": color, "metallicFactor": 0.0, "roughnessFactor": 0.75}
        glb.json["materials"].append({"name": material.name, "pbrMetallicRoughness": surface})
        primitives.append({"attributes": attributes, "indices": indices, "material": index})
    glb.json["meshes"] = [{"name": "body", "primitives": primitives}]
    glb.json["scenes"][0]["nodes"].append(len(glb.json["nodes"]))
    glb.json["nodes"].append({"name": "body", "mesh": 0, "skin": 0})
