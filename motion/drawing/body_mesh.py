"""Skinned bodies: a CC0 human mesh bound to our 22 joints, which `clothes` dresses, and capsules around the bones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from ...assets import BODY_MESH
from ..kinematics import forward_kinematics, shortest_rotation
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS, Skeleton, neutral_skeleton

"""Written by `training/release/make_body_mesh.py`; its source and license stand in BODY_MESH.md beside it."""
BODY_MESH_NOTE = "Body: base mesh of the MakeHuman project, CC0 1.0"
INFLUENCES = 4
"""Joints that move one vertex at most."""
VERTEX_UNIT_METRES = 1e-4
"""Unit of the vertices in the file."""
WEIGHT_UNIT = 255
"""The weights of a vertex in the file sum to this."""

# The child toward which the bone of a joint with several children points. Joints without children take over the turn
# of their parent.
_BONE_ENDS = {"pelvis": "spine1", "spine3": "neck"}
_CAPSULE_RADII = {
    "pelvis": 0.11,
    "spine1": 0.105,
    "spine2": 0.11,
    "spine3": 0.115,
    "neck": 0.05,
    "head": 0.09,
    "collar": 0.06,
    "shoulder": 0.048,
    "elbow": 0.038,
    "wrist": 0.035,
    "hip": 0.072,
    "knee": 0.052,
    "ankle": 0.02,  # as high as toes rest: the feet stand on the floor
    "foot": 0.02,
}
_CAPSULE_TIPS = {"head": (0.0, 0.07, 0.01), "wrist": (0.12, -0.005, 0.0), "foot": (0.0, 0.0, 0.04)}
_CAPSULE_SIDES, _CAPSULE_RINGS = 12, 4


@dataclass(frozen=True)
class Material:
    """What a part of a body looks like.

    Args:
        name: Of the part.
        color: Red, green and blue from 0 to 1, sRGB.
    """

    name: str
    color: tuple[float, float, float]

    @property
    def linear_color(self) -> tuple[float, float, float]:
        """The color in linear light, as 3D formats want it."""
        red, green, blue = (
            value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in self.color
        )
        return red, green, blue


_CAPSULE_MATERIAL = Material("body", (0.682, 0.750, 0.809))


@dataclass(frozen=True)
class BodyMesh:
    """A triangle mesh in the rest pose of a skeleton, moved by linear blend skinning.

    Args:
        vertices: `(vertices, 3)`, metres, in the rest pose with the pelvis at the origin.
        triangles: `(triangles, 3)` indices, counter-clockwise from outside.
        joints: `(vertices, 4)`, the joints that move a vertex.
        weights: `(vertices, 4)`, by how much; each row sums to 1.
        note: Where the mesh comes from and its license.
        parts: `(vertices,)`, which of `materials` a vertex has; all corners of a triangle have the same.
        materials: What the parts look like.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    note: str = ""
    parts: np.ndarray | None = None
    materials: tuple[Material, ...] = (_CAPSULE_MATERIAL,)

    def faces_of(self, material: int) -> np.ndarray:
        """Return the indices of the triangles that have one of `materials`."""
        if self.parts is None:
            return np.arange(len(self.triangles))
        return np.flatnonzero(self.parts[self.triangles[:, 0]] == material)

    def normals(self) -> np.ndarray:
        """Return unit normals of the vertices, `(vertices, 3)`: the mean of their triangles', by area."""
        corners = self.vertices[self.triangles]
        areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(self.vertices)
        for corner in range(3):
            np.add.at(normals, self.triangles[:, corner], areas)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def rest_positions(skeleton: Skeleton) -> np.ndarray:
    """Return the joints of the rest pose, `(22, 3)`, metres, the pelvis at the origin."""
    still = torch.eye(3, dtype=torch.float64).expand(NUM_JOINTS, 3, 3)
    origin = torch.zeros(3, dtype=torch.float64)
    return forward_kinematics(still, origin, torch.from_numpy(skeleton.offsets), PARENTS)[0].numpy()


def skin(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, turns: np.ndarray, shifts: np.ndarray
) -> np.ndarray:
    """Move vertices by the weighted affine maps of their joints: `sum_k w_k (turn_k v + shift_k)`.

    Args:
        vertices: `(vertices, 3)`, metres.
        joints: `(vertices, influences)`.
        weights: `(vertices, influences)`, rows sum to 1.
        turns: `(22, 3, 3)`, linear part of each joint's map.
        shifts: `(22, 3)`, metres.
    """
    moved = np.einsum("vkab,vb->vka", turns[joints], vertices) + shifts[joints]
    return (moved * weights[..., None]).sum(axis=1)


def fit_to_joints(mesh: BodyMesh, source_joints: np.ndarray, target_joints: np.ndarray) -> BodyMesh:
    """Deform a mesh from one rest pose to another: bones are turned and stretched along themselves, not thickened.

    Args:
        mesh: In the pose of `source_joints`.
        source_joints: `(22, 3)`, metres.
        target_joints: `(22, 3)`, metres.
    """
    turns = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    ends = {JOINT_INDEX[joint]: JOINT_INDEX[end] for joint, end in _BONE_ENDS.items()}
    rotations = turns.copy()
    for joint in range(NUM_JOINTS):
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        if not children:
            rotations[joint] = turns[joint] = rotations[PARENTS[joint]]
            continue
        end = ends.get(joint, children[0])
        source, target = source_joints[end] - source_joints[joint], target_joints[end] - target_joints[joint]
        direction = source / np.linalg.norm(source)
        stretch = np.linalg.norm(target) / np.linalg.norm(source) - 1
        rotations[joint] = shortest_rotation(torch.from_numpy(source), torch.from_numpy(target)).numpy()
        turns[joint] = rotations[joint] @ (np.eye(3) + stretch * np.outer(direction, direction))
    shifts = target_joints - np.einsum("jab,jb->ja", turns, source_joints)
    vertices = skin(mesh.vertices, mesh.joints, mesh.weights, turns, shifts)
    return replace(mesh, vertices=vertices)


def strongest_influences(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the strongest joints of each vertex, with weights that are whole numbers of `1 / WEIGHT_UNIT`.

    Args:
        weights: `(vertices, 22)`.

    Returns:
        Joints and weights, `(vertices, 4)`; a joint without weight is 0, as glTF asks.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    weights = np.take_along_axis(weights, joints, axis=1)
    whole = np.round(weights / weights.sum(axis=1, keepdims=True) * WEIGHT_UNIT).astype(int)
    whole[:, 0] += WEIGHT_UNIT - whole.sum(axis=1)
    joints[whole == 0] = 0
    return joints, whole / WEIGHT_UNIT


@lru_cache(maxsize=1)
def bare_body() -> BodyMesh:
    """Return the human mesh without clothes, in the rest pose of the neutral skeleton."""
    with np.load(BODY_MESH) as arrays:
        quads = arrays["quads"].astype(np.int64)
        return BodyMesh(
            arrays["vertices"] * VERTEX_UNIT_METRES,
            np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]),
            arrays["joints"].astype(np.int64),
            arrays["weights"] / WEIGHT_UNIT,
            BODY_MESH_NOTE,
        )


def capsule_body(skeleton: Skeleton) -> BodyMesh:
    """Return one capsule for each bone, moved by the joint at its start: every turn of a joint can be seen."""
    rest = rest_positions(skeleton)
    scale = skeleton.leg_length / neutral_skeleton().leg_length
    vertices: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    joints: list[np.ndarray] = []
    for joint, name in enumerate(JOINT_NAMES):
        part = name.split("_")[-1]
        ends = [rest[child] for child, parent in enumerate(PARENTS) if parent == joint]
        if not ends:
            side = -1.0 if name.startswith("right_") else 1.0
            ends = [rest[joint] + scale * np.array(_CAPSULE_TIPS[part]) * np.array([side, 1.0, 1.0])]
        for end in ends:
            points, faces = _capsule(rest[joint], end, _CAPSULE_RADII[part] * scale)
            triangles.append(faces + sum(len(array) for array in vertices))
            vertices.append(points)
            joints.append(np.full(len(points), joint))
    joint_column = np.concatenate(joints)
    all_joints = np.stack([joint_column] + [np.zeros_like(joint_column)] * (INFLUENCES - 1), axis=1)
    weights = np.tile(np.eye(INFLUENCES)[0], (len(joint_column), 1))
    return BodyMesh(np.concatenate(vertices), np.concatenate(triangles), all_joints, weights)


def _capsule(start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices and triangles of a capsule around the line from `start` to `end`."""
    turn = shortest_rotation(torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64), torch.from_numpy(end - start)).numpy()
    latitudes = np.linspace(-np.pi / 2, np.pi / 2, 2 * _CAPSULE_RINGS)
    longitudes = 2 * np.pi * np.arange(_CAPSULE_SIDES) / _CAPSULE_SIDES
    rings = np.stack(
        [
            np.cos(latitudes)[:, None] * np.cos(longitudes),
            np.sin(latitudes)[:, None] * np.ones(_CAPSULE_SIDES),
            np.cos(latitudes)[:, None] * np.sin(longitudes),
        ],
        axis=-1,
    )
    centers = np.where((latitudes < 0)[:, None], start, end)
    vertices = (centers[:, None] + radius * rings @ turn.T).reshape(-1, 3)
    ring, side = np.meshgrid(np.arange(len(latitudes) - 1), np.arange(_CAPSULE_SIDES), indexing="ij")
    corner, right = ring * _CAPSULE_SIDES + side, ring * _CAPSULE_SIDES + (side + 1) % _CAPSULE_SIDES
    above, above_right = corner + _CAPSULE_SIDES, right + _CAPSULE_SIDES
    triangles = np.concatenate([np.stack([corner, above, right], -1), np.stack([right, above, above_right], -1)])
    return vertices, triangles.reshape(-1, 3)
