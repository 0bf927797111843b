"""Dress the human mesh: shirt, trousers, shoes and hair stand off the skin, with hems, and the face has its colors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import csc_matrix, diags_array
from scipy.sparse.linalg import factorized
from scipy.spatial import ConvexHull, cKDTree

from ..skeleton import NUM_JOINTS, Skeleton, neutral_skeleton
from .body_mesh import BodyMesh, Material, bare_body, fit_to_joints, rest_positions, strongest_influences

# Lengths are metres and heights count from the pelvis, of the neutral body in its rest pose.
_SLEEVE_LENGTH, _SHIRT_HEM, _SHIRT_TOP = 0.17, -0.02, 0.495
_NECK_CENTER, _NECK_OPENING = np.array([0.0, 0.565, -0.01]), 0.118
_TROUSERS_TOP, _TROUSERS_HEM, _CROTCH = 0.06, -0.885, np.array([0.0, -0.13, -0.01])
_SHOE_TOP, _SOLE_TOP = -0.86, -0.945
_HAIRLINE = ([-0.09, -0.03, -0.015, 0.015, 0.04, 0.055, 0.09], [0.545, 0.57, 0.655, 0.65, 0.645, 0.685, 0.697])
"""How deep and how high: it falls behind the ears."""
_NUM_EYE_VERTICES = 144
_EYE_CENTER, _IRIS_RADIUS = (0.0308, 0.629), 0.0065
_SHOULDER = 0.18
_FACE_FRONT = 0.085
_CLOTH_SMOOTHING = 0.04
_SHOE_RINGS, _SHOE_SIDES, _SHOE_ROUNDING = 20, 28, 1.0
_UNDER_HEM, _UNDER_HEM_DEPTH = 0.02, 0.006
"""So far the skin goes on below cloth, and by so much it gives way there; a hem turns in by so much below the skin:"""
_HEM_DEPTH = 0.003

MATERIALS = (
    Material("skin", (0.80, 0.59, 0.48)),
    Material("shirt", (0.16, 0.50, 0.60)),
    Material("trousers", (0.20, 0.22, 0.29)),
    Material("shoes", (0.88, 0.88, 0.86)),
    Material("soles", (0.35, 0.36, 0.38)),
    Material("hair", (0.16, 0.11, 0.08)),
    Material("lips", (0.70, 0.43, 0.38)),
    Material("eyes", (0.93, 0.93, 0.92)),
    Material("irises", (0.16, 0.11, 0.08)),
)
"""Colors are sRGB."""
_INDEX = {material.name: index for index, material in enumerate(MATERIALS)}


@dataclass(frozen=True)
class _Piece:
    """A part of the mesh: triangles and what is known of each vertex, which a cut interpolates.

    Args:
        triangles: `(triangles, 3)`.
        skin: `(vertices, 3)`, where the body is.
        smooth: `(vertices, 3)`, where cloth would lie on it.
        normals: `(vertices, 3)`, of the smooth body.
        weights: `(vertices, 22)`, of the joints.
        eye: `(vertices,)`, 1 for the balls of the eyes, else 0.
    """

    triangles: np.ndarray
    skin: np.ndarray
    smooth: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    eye: np.ndarray

    def cut(self, inside: np.ndarray) -> _Piece:
        """Return the part where `inside`, `(vertices,)`, is positive, cut through the triangles where it is 0."""
        rows = np.concatenate([self.skin, self.smooth, self.normals, self.weights, self.eye[:, None]], axis=1)
        rows, triangles = _cut(rows, self.triangles, inside)
        skin, smooth, normals, weights, eye = np.split(rows, np.cumsum([3, 3, 3, NUM_JOINTS]), axis=1)
        return _Piece(triangles, skin, smooth, normals, weights, eye[:, 0])


def human_body(skeleton: Skeleton) -> BodyMesh:
    """Return the human mesh in clothes, in the rest pose of a skeleton; each vertex has one of `MATERIALS`."""
    mesh = _dressed()
    if skeleton == neutral_skeleton():
        return mesh
    return fit_to_joints(mesh, rest_positions(neutral_skeleton()), rest_positions(skeleton))


@lru_cache(maxsize=1)
def _dressed() -> BodyMesh:
    """Return the neutral body in clothes.

    Cloth is a smoothed copy of the body, cut where the piece ends and moved outward; what it hides of the body is left
    out.
    """
    bare = bare_body()
    cloth = _smoothed(bare, _CLOTH_SMOOTHING)
    weights = np.zeros((len(bare.vertices), NUM_JOINTS))
    np.add.at(weights, (np.arange(len(weights))[:, None], bare.joints), bare.weights)
    eye = (np.arange(len(weights)) >= len(weights) - _NUM_EYE_VERTICES).astype(float)
    body = _Piece(bare.triangles, bare.vertices, cloth, replace(bare, vertices=cloth).normals(), weights, eye)

    covered = np.max([_shirt(body), _trousers(body), _shoes(body), _hair(body)], axis=0)
    skin = body.cut(_UNDER_HEM - covered)
    pieces = _face(skin)
    shirt, trousers, hair = (body.cut(field(body)) for field in (_shirt, _trousers, _hair))
    height, arm = shirt.skin[:, 1], np.abs(shirt.skin[:, 0]) - _SHOULDER
    loose = 0.006 * _ramp(_neck(shirt), 0.03) + 0.012 * _ramp(0.2 - height, 0.2) + 0.008 * _ramp(arm, _SLEEVE_LENGTH)
    pieces.append((_INDEX["shirt"], *_cloth(shirt, 0.008 + loose, _ramp(0.1 - height, 0.1))))
    depth = -trousers.skin[:, 1]
    loose = 0.003 + 0.007 * _ramp(np.linalg.norm(trousers.skin - _CROTCH, axis=1), 0.12) + 0.013 * _ramp(depth, 0.9)
    pieces.append((_INDEX["trousers"], *_cloth(trousers, loose, _ramp(depth - 0.7, 0.1))))
    pieces.append((_INDEX["hair"], *_cloth(hair, 0.004 + 0.016 * _ramp(_hair(hair), 0.035))))
    for side in (1, -1):
        shoe = _shoe(body, side)
        for name, up, thickness in (("shoes", 1, 0.004), ("soles", -1, 0.007)):
            part = shoe.cut(up * (shoe.skin[:, 1] - _SOLE_TOP))
            part, vertices = _cloth(part, np.full(len(part.skin), thickness))
            vertices[:, 1] = np.maximum(vertices[:, 1], bare.vertices[:, 1].min())
            pieces.append((_INDEX[name], part, vertices))
    return _join(pieces, bare.note)


def _shirt(body: _Piece) -> np.ndarray:
    """Return how far inside the shirt the skin lies, `(vertices,)`; negative outside. The others likewise."""
    sleeve = _SLEEVE_LENGTH - (np.abs(body.skin[:, 0]) - _SHOULDER)
    height = body.skin[:, 1]
    return np.min([sleeve, _neck(body), _SHIRT_TOP - height, height - _SHIRT_HEM], axis=0)


def _neck(body: _Piece) -> np.ndarray:
    return np.linalg.norm(body.skin - _NECK_CENTER, axis=1) - _NECK_OPENING


def _trousers(body: _Piece) -> np.ndarray:
    return np.minimum(_TROUSERS_TOP - body.skin[:, 1], body.skin[:, 1] - _TROUSERS_HEM)


def _shoes(body: _Piece) -> np.ndarray:
    return _SHOE_TOP - body.skin[:, 1]


def _hair(body: _Piece) -> np.ndarray:
    return np.where(body.eye > 0, -1, body.skin[:, 1] - np.interp(body.skin[:, 2], *_HAIRLINE))


def _shoe(body: _Piece, side: int) -> _Piece:
    """Return the closed shape around a foot: its convex hull, rounded, of even triangles."""
    own = (body.skin[:, 1] < _SHOE_TOP) & (body.skin[:, 0] * side > 0)
    points, weights = body.skin[own], body.weights[own]
    planes = ConvexHull(points).equations  # normal and distance, inside is negative
    low, high = points.min(axis=0), points.max(axis=0)
    # Directions like those of a globe whose axis is the foot's length, from centers that move along it.
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _SHOE_RINGS)[:, None]
    longitude = 2 * np.pi * np.arange(_SHOE_SIDES) / _SHOE_SIDES
    shape = (_SHOE_RINGS, _SHOE_SIDES)
    across = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude)]
    directions = np.stack([*across, np.broadcast_to(np.sin(latitude), shape)], axis=-1)
    middle, reach = (low + high) / 2, (high - low)[2] * 0.3
    centers = np.tile(middle, (*shape, 1))
    centers[..., 1] = low[1] + 0.025
    centers[..., 2] += reach * np.sin(latitude)
    toward = directions @ planes[:, :3].T
    depth = -(centers @ planes[:, :3].T + planes[:, 3])
    radii = np.where(toward > 1e-9, depth / np.maximum(toward, 1e-9), np.inf).min(axis=-1)
    radii = gaussian_filter(radii, _SHOE_ROUNDING, mode=("nearest", "wrap"))
    vertices = (centers + radii[..., None] * directions).reshape(-1, 3)
    ring, column = np.meshgrid(np.arange(_SHOE_RINGS - 1), np.arange(_SHOE_SIDES), indexing="ij")
    corner, right = ring * _SHOE_SIDES + column, ring * _SHOE_SIDES + (column + 1) % _SHOE_SIDES
    above, above_right = corner + _SHOE_SIDES, right + _SHOE_SIDES
    triangles = np.concatenate([np.stack([corner, right, above], -1), np.stack([right, above_right, above], -1)])
    triangles = triangles.reshape(-1, 3)
    _, near = cKDTree(points).query(vertices, 8)
    normals = BodyMesh(vertices, triangles, vertices, vertices).normals()
    return _Piece(triangles, vertices, vertices, normals, weights[near].mean(axis=1), np.zeros(len(vertices)))


def _face(skin: _Piece) -> list[tuple[int, _Piece, np.ndarray]]:
    """Part the skin by the colors of the face."""
    pieces = []
    rest = skin
    for name in ("irises", "eyes", "hair", "lips"):
        pieces.append((_INDEX[name], *_bare(rest.cut(_features(rest)[name]))))
        rest = rest.cut(-_features(rest)[name])
    return [*pieces, (_INDEX["skin"], *_bare(rest))]


def _features(skin: _Piece) -> dict[str, np.ndarray]:
    """Return how far inside each colored part of the face the skin lies."""
    x, y, z = skin.skin.T
    ahead = z - _FACE_FRONT
    pupil = _IRIS_RADIUS - np.hypot(np.abs(x) - _EYE_CENTER[0], y - _EYE_CENTER[1])
    lips = np.min([y - 0.547, 0.573 - y, 0.026 - 0.5 * np.abs(y - 0.56) - np.abs(x), ahead], axis=0)
    side = np.abs(x) - 0.031
    brows = np.min([0.004 - np.abs(y - 0.648 + 4 * side**2), 0.017 - np.abs(side), ahead], axis=0)
    out = np.full(len(x), -1.0)
    return {
        "irises": np.where(skin.eye > 0.5, np.minimum(pupil, ahead), out),
        "eyes": np.where(skin.eye > 0.5, 1.0, out),
        "hair": np.where(skin.eye > 0.5, out, brows),
        "lips": np.where(skin.eye > 0.5, out, lips),
    }


def _bare(piece: _Piece) -> tuple[_Piece, np.ndarray]:
    covered = np.max([_shirt(piece), _trousers(piece), _shoes(piece), _hair(piece)], axis=0)
    inward = _UNDER_HEM_DEPTH * np.clip(covered / _UNDER_HEM, 0, 1)
    return piece, piece.skin - piece.normals * inward[:, None]


def _ramp(values: np.ndarray, length: float) -> np.ndarray:
    return np.clip(values / length, 0, 1)


def _cloth(piece: _Piece, thickness: np.ndarray, hanging: np.ndarray | float = 0.0) -> tuple[_Piece, np.ndarray]:
    """Return a piece with its hem, and where its vertices are: at a distance from the smooth body.

    Args:
        piece: Without its hem.
        thickness: `(vertices,)`, metres.
        hanging: `(vertices,)`, 1 where cloth keeps the height of the skin, so that its hem is level.
    """
    outside = piece.smooth + piece.normals * thickness[:, None]
    outside[:, 1] += hanging * (piece.skin - outside)[:, 1]
    edges = np.concatenate([piece.triangles[:, [0, 1]], piece.triangles[:, [1, 2]], piece.triangles[:, [2, 0]]])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    border = edges[first[count == 1]]
    rim, where = np.unique(border, return_inverse=True)
    # The hem has its own vertices, for its normals are others.
    (start, end), inner = where.reshape(border.shape).T + len(outside), len(rim)
    hem = np.concatenate([np.stack([end, start, start + inner], 1), np.stack([end, start + inner, end + inner], 1)])
    hidden = piece.skin[rim] - piece.normals[rim] * _HEM_DEPTH
    both = np.concatenate([np.arange(len(outside)), rim, rim])
    whole = _Piece(
        np.concatenate([piece.triangles, hem]),
        *(array[both] for array in (piece.skin, piece.smooth, piece.normals, piece.weights, piece.eye)),
    )
    return whole, np.concatenate([outside, outside[rim], hidden])


def _join(pieces: list[tuple[int, _Piece, np.ndarray]], note: str) -> BodyMesh:
    pieces = sorted(pieces, key=lambda each: each[0])  # the vertices of a material stand together
    starts = np.cumsum([0, *(len(vertices) for _, _, vertices in pieces)])
    joints, weights = strongest_influences(np.concatenate([piece.weights for _, piece, _ in pieces]))
    return BodyMesh(
        np.concatenate([vertices for _, _, vertices in pieces]),
        np.concatenate([piece.triangles + start for (_, piece, _), start in zip(pieces, starts, strict=False)]),
        joints,
        weights,
        note,
        np.concatenate([np.full(len(vertices), index) for index, _, vertices in pieces]),
        MATERIALS,
    )


def _cut(rows: np.ndarray, triangles: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut triangles where a value of their corners is 0, and keep what is positive.

    Args:
        rows: `(vertices, values)`, what is interpolated.
        triangles: `(triangles, 3)`.
        inside: `(vertices,)`.

    Returns:
        Rows and triangles of what is kept, without vertices that nothing uses.
    """
    kept = inside > 0
    counts = kept[triangles].sum(axis=1)
    # Turn each cut triangle so that its first corner is the one that is alone on its side.
    halved = triangles[(counts == 1) | (counts == 2)]
    alone = np.where(kept[halved].sum(axis=1) == 1, kept[halved].argmax(axis=1), (~kept[halved]).argmax(axis=1))
    halved = np.take_along_axis(halved, (alone[:, None] + np.arange(3)) % 3, axis=1)
    edges = np.concatenate([halved[:, [0, 1]], halved[:, [0, 2]]])
    unique, where = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True)
    left, right = unique.T
    share = (inside[left] / (inside[left] - inside[right]))[:, None]
    new_rows = np.concatenate([rows, rows[left] * (1 - share) + rows[right] * share])
    second, third = (where.reshape(2, -1) + len(rows)).astype(triangles.dtype)
    tip = kept[halved[:, 0]]
    tips = np.stack([halved[:, 0], second, third], axis=1)[tip]
    stumps = [np.stack([second, halved[:, 1], halved[:, 2]], 1), np.stack([second, halved[:, 2], third], 1)]
    triangles = np.concatenate([triangles[counts == 3], tips, *(stump[~tip] for stump in stumps)])
    used, triangles = np.unique(triangles, return_inverse=True)
    return new_rows[used], triangles.reshape(-1, 3)


def _smoothed(mesh: BodyMesh, length: float) -> np.ndarray:
    """Return the vertices without detail that is smaller than `length`, metres, however dense the mesh is there.

    A step of the heat equation by the cotangents of the triangles' angles; what it shrinks is given back by a second
    step on the difference.
    """
    corners = mesh.vertices[mesh.triangles]
    links, masses = [], np.zeros(len(mesh.vertices))
    for corner in range(3):
        first, second = (mesh.triangles[:, (corner + step) % 3] for step in (1, 2))
        to_first, to_second = (corners[:, (corner + step) % 3] - corners[:, corner] for step in (1, 2))
        doubled_areas = np.linalg.norm(np.cross(to_first, to_second), axis=1)
        links.append((first, second, (to_first * to_second).sum(axis=1) / np.maximum(doubled_areas, 1e-12) / 2))
        masses += np.bincount(mesh.triangles[:, corner], doubled_areas / 6, len(masses))
    first, second, pulls = (np.concatenate(each) for each in zip(*links, strict=True))
    size = (len(masses), len(masses))
    flow = csc_matrix((np.tile(pulls, 2), (np.r_[first, second], np.r_[second, first])), size)
    flow = diags_array(np.asarray(flow.sum(axis=1)).ravel()) - flow
    solve = factorized(csc_matrix(diags_array(masses) + length**2 * flow))
    smooth = np.stack([solve(masses * axis) for axis in mesh.vertices.T], axis=1)
    return smooth + np.stack([solve(masses * axis) for axis in (mesh.vertices - smooth).T], axis=1)
