"""Write dances as animated GLB (glTF 2.0) with a skinned body or the bare skeleton, and as VRM animation (VRMA)."""

from __future__ import annotations

import json
import os
import struct
from typing import Any

import numpy as np

from ..body_mesh import BodyMesh, rest_positions
from ..motion import Motion
from ..skeleton import NUM_JOINTS, PARENTS
from .atomic import atomic_path
from .bone_names import bone_names
from .notes import copyright_line, export_notes, generator_name

_COMPONENT_TYPES = {"f4": 5126, "u2": 5123, "u4": 5125, "u1": 5121}
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_BODY_COLOUR = [0.42, 0.52, 0.62, 1.0]


class _Glb:
    """A glTF document in the making, and its one binary buffer."""

    def __init__(self, motion: Motion) -> None:
        self.binary = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": generator_name()},
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

    Node 0 to 21 are our joints; unmoved they stand in a T-pose without rotations. Provenance, units, frame rate and
    the times of beats and bars are `extras` of the scene, the licence stands in `asset.copyright`.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        body: A mesh in the rest pose of the dance's skeleton; `None` for the bare skeleton.
        names: Preset of `BONE_NAMES`.

    Raises:
        ValueError: If there is no such preset.
        OSError: As `atomic_path`.
    """
    glb = _skeleton_with_animation(motion, bone_names(names))
    line = copyright_line(motion, "" if body is None else body.note)
    if line:
        glb.json["asset"]["copyright"] = line
    if body is not None:
        _add_body(glb, motion, body)
    glb.save(path)


def write_vrma(motion: Motion, path: str | os.PathLike) -> None:
    """Write a dance as VRM animation 1.0 (`VRMC_vrm_animation`): a GLB whose nodes are named as humanoid bones.

    The rest pose is the T-pose that the specification asks for, with the hips at their standing height, from which
    players scale the path to a model's size.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.

    Raises:
        OSError: As `atomic_path`.
    """
    names = bone_names("vrm")
    glb = _skeleton_with_animation(motion, names)
    line = copyright_line(motion)
    if line:
        glb.json["asset"]["copyright"] = line
    glb.json["extensionsUsed"] = ["VRMC_vrm_animation"]
    glb.json["extensions"] = {
        "VRMC_vrm_animation": {
            "specVersion": "1.0",
            "humanoid": {"humanBones": {name: {"node": joint} for joint, name in enumerate(names)}},
        }
    }
    glb.save(path)


def standing_pelvis(motion: Motion) -> np.ndarray:
    """Return where the pelvis is in the rest pose with the toes on the floor, `(3,)`, metres."""
    height = motion.skeleton.toe_rest_height - rest_positions(motion.skeleton)[:, 1].min()
    return np.array([0.0, height, 0.0])


def continuous_quaternions(joint_rotations: np.ndarray) -> np.ndarray:
    """Choose of each quaternion and its negative, which are one rotation, the nearer to the frame before."""
    dots = (joint_rotations[1:] * joint_rotations[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([joint_rotations[:1], joint_rotations[1:] * signs[..., None]])


def _skeleton_with_animation(motion: Motion, names: tuple[str, ...]) -> _Glb:
    glb = _Glb(motion)
    rest = motion.skeleton.offsets.copy()
    rest[0] = standing_pelvis(motion)
    for joint in range(NUM_JOINTS):
        node: dict[str, Any] = {"name": names[joint], "translation": rest[joint].tolist()}
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        glb.json["nodes"].append({**node, "children": children} if children else node)
    times = (np.arange(motion.num_frames) / motion.frame_rate).astype("<f4")
    clock = glb.add(times, "SCALAR", min=[float(times[0])], max=[float(times[-1])])
    rotations = continuous_quaternions(motion.joint_rotations)[..., [1, 2, 3, 0]]  # glTF's are xyzw
    samplers = [{"input": clock, "output": glb.add(motion.root_positions.astype("<f4"), "VEC3")}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    for joint in range(NUM_JOINTS):
        output = glb.add(np.ascontiguousarray(rotations[:, joint], dtype="<f4"), "VEC4")
        samplers.append({"input": clock, "output": output})
        channels.append({"sampler": joint + 1, "target": {"node": joint, "path": "rotation"}})
    glb.json["animations"] = [{"name": "dance", "samplers": samplers, "channels": channels}]
    return glb


def _add_body(glb: _Glb, motion: Motion, body: BodyMesh) -> None:
    """Add the mesh, its skin and its material; the node of the mesh stands beside the skeleton, as glTF advises."""
    pelvis = standing_pelvis(motion)
    bind = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))
    bind[:, :3, 3] = -(rest_positions(motion.skeleton) + pelvis)
    matrices = glb.add(bind.transpose(0, 2, 1).astype("<f4"), "MAT4")  # column by column
    vertices = (body.vertices + pelvis).astype("<f4")
    bounds = {"min": vertices.min(axis=0).tolist(), "max": vertices.max(axis=0).tolist()}
    attributes = {
        "POSITION": glb.add(vertices, "VEC3", target=_VERTEX_BUFFER, **bounds),
        "NORMAL": glb.add(body.normals().astype("<f4"), "VEC3", target=_VERTEX_BUFFER),
        "JOINTS_0": glb.add(body.joints.astype("u1"), "VEC4", target=_VERTEX_BUFFER),
        "WEIGHTS_0": glb.add(
            np.round(body.weights * 255).astype("u1"), "VEC4", target=_VERTEX_BUFFER, normalized=True
        ),
    }
    indices = glb.add(body.triangles.reshape(-1).astype("<u2"), "SCALAR", target=_INDEX_BUFFER)
    surface = {"baseColorFactor": _BODY_COLOUR, "metallicFactor": 0.0, "roughnessFactor": 0.75}
    glb.json["materials"] = [{"name": "body", "pbrMetallicRoughness": surface}]
    glb.json["meshes"] = [
        {"name": "body", "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}
    ]
    glb.json["skins"] = [{"joints": list(range(NUM_JOINTS)), "skeleton": 0, "inverseBindMatrices": matrices}]
    glb.json["nodes"].append({"name": "body", "mesh": 0, "skin": 0})
    glb.json["scenes"][0]["nodes"].append(NUM_JOINTS)
