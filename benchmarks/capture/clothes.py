"""Dress the human mesh: thickness, shirt, trousers or skirt, shoes, hair and a face, all drawn by chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from infinitedance.motion.drawing.body_mesh import BodyMesh, bare_body, fit_to_joints, rest_positions
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, Skeleton, neutral_skeleton

_SMOOTHING_STEPS = 12
_SKIRT_SIDES, _SKIRT_RINGS = 40, 10
_WAIST_HEIGHT = 0.09
"""Metres above the pelvis, as all heights here: of the neutral body in its rest pose."""
_LIP_HEIGHTS, _EYE_CENTER, _IRIS_RADIUS = (0.547, 0.573), (0.031, 0.629), 0.0065
_FACE_FRONT_METRES = 0.085
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar")
_ARMS = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
_LEGS = ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
_FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")


@dataclass(frozen=True)
class Clothes:
    """What a dancer wears; colors are `(red, green, blue)` from 0 to 1, lengths metres.

    Args:
        skin: Color.
        hair: Color.
        hair_thickness: 0 for a bald head.
        hair_length: How far below the crown hair reaches behind.
        shirt: Color.
        shirt_pattern: `plain`, `stripes`, `rings`, `print` or `noise`.
        pattern: Color of the pattern.
        shirt_thickness: Distance from the skin.
        sleeve_length: Along the arm from the shoulder.
        trousers: Color.
        trousers_thickness: Distance from the skin.
        trousers_hem: Height of the hem, relative to the pelvis.
        skirt_hem: Height of the hem of a skirt, relative to the pelvis; `None` without.
        shoes: Color.
        bulk: Added all over the body along the normals.
        seed: Of the noise in the cloth.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    hair_thickness: float
    hair_length: float
    shirt: tuple[float, float, float]
    shirt_pattern: str
    pattern: tuple[float, float, float]
    shirt_thickness: float
    sleeve_length: float
    trousers: tuple[float, float, float]
    trousers_thickness: float
    trousers_hem: float
    skirt_hem: float | None
    shoes: tuple[float, float, float]
    bulk: float
    seed: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Clothes:
        """Draw clothes by chance."""
        shirt, pattern, trousers, shoes = (_random_color(rng) for _ in range(4))
        depth = rng.uniform() ** 1.4
        skin = np.array([0.97, 0.80, 0.70]) * (1 - depth) + np.array([0.32, 0.20, 0.14]) * depth
        hair = np.array([[0.06, 0.05, 0.04], [0.25, 0.15, 0.09], [0.62, 0.46, 0.25], [0.5, 0.5, 0.5]])[
            rng.choice(4, p=[0.5, 0.3, 0.15, 0.05])
        ]
        return cls(
            skin=_color(skin + rng.normal(0, 0.02, 3)),
            hair=_color(hair),
            hair_thickness=0.0 if rng.uniform() < 0.05 else rng.uniform(0.006, 0.025),
            hair_length=rng.uniform(0.11, 0.19) if rng.uniform() < 0.6 else rng.uniform(0.2, 0.45),
            shirt=shirt,
            shirt_pattern=str(
                rng.choice(["plain", "stripes", "rings", "print", "noise"], p=[0.5, 0.1, 0.15, 0.15, 0.1])
            ),
            pattern=pattern,
            shirt_thickness=rng.uniform(0.003, 0.03),
            sleeve_length=float(rng.choice([0.02, 0.14, 0.22, 0.52], p=[0.15, 0.4, 0.15, 0.3])),
            trousers=trousers if rng.uniform() < 0.7 else shirt,
            trousers_thickness=rng.uniform(0.002, 0.03),
            trousers_hem=float(rng.choice([-0.3, -0.45, -0.75, -0.92], p=[0.08, 0.12, 0.1, 0.7])),
            skirt_hem=rng.uniform(-0.65, -0.25) if rng.uniform() < 0.12 else None,
            shoes=shoes if rng.uniform() < 0.85 else _color(skin),
            bulk=max(rng.normal(0.004, 0.008), -0.003),
            seed=int(rng.integers(2**31)),
        )


def _random_color(rng: np.random.Generator) -> tuple[float, float, float]:
    if rng.uniform() < 0.45:  # black, gray, white: what many wear
        return _color(np.full(3, rng.choice([0.06, 0.12, 0.35, 0.6, 0.93])) + rng.normal(0, 0.02, 3))
    return _color(rng.uniform(0.05, 0.95, 3))


def _color(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = np.clip(values, 0.02, 1.0)
    return float(red), float(green), float(blue)


@lru_cache(maxsize=1)
def _neighbor_means() -> csr_matrix:
    """Return the matrix that replaces each vertex of the human mesh by the mean of itself and its neighbors."""
    mesh = bare_body()
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    size = len(mesh.vertices)
    links = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (size, size)).tocsr()
    links = ((links + links.T) > 0).astype(np.float64).tolil()
    links.setdiag(1)
    links = links.tocsr()
    return csr_matrix(links.multiply(1 / links.sum(axis=1)))


def _smooth(values: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        values = _neighbor_means() @ values
    return values


def _share(mesh: BodyMesh, names: tuple[str, ...]) -> np.ndarray:
    """Return by how much some joints move each vertex, `(vertices,)`."""
    return (mesh.weights * np.isin(mesh.joints, [JOINT_INDEX[name] for name in names])).sum(axis=1)


@lru_cache(maxsize=1)
def _shares() -> dict[str, np.ndarray]:
    mesh = bare_body()
    groups = {"trunk": _TRUNK, "arms": _ARMS, "legs": _LEGS, "feet": _FEET, "head": ("head",), "neck": ("neck",)}
    return {name: _share(mesh, joints) for name, joints in groups.items()}


def _regions(clothes: Clothes) -> dict[str, np.ndarray]:
    """Return which vertices of the human mesh each piece covers, `(vertices,)` bool."""
    mesh, shares = bare_body(), _shares()
    x, y, z = mesh.vertices.T
    shoulder = rest_positions(neutral_skeleton())[JOINT_INDEX["left_shoulder"], 0]
    arm = np.abs(x) - shoulder
    shirt = (shares["trunk"] + shares["arms"] > 0.5) & (arm < clothes.sleeve_length) & (y > _WAIST_HEIGHT - 0.06)
    trousers = (shares["legs"] + shares["trunk"] > 0.5) & (y <= _WAIST_HEIGHT) & (y > clothes.trousers_hem)
    shoes = (shares["feet"] > 0.5) & (y < -0.89)
    behind = (z < 0.055 - 0.5 * np.maximum(0.66 - y, 0)) | (y > 0.705)
    hair = (shares["head"] + shares["neck"] > 0.5) & behind & (y > 0.75 - clothes.hair_length)
    return {
        "trousers": trousers,
        "shirt": shirt & ~(trousers & (y < _WAIST_HEIGHT - 0.03)),
        "shoes": shoes,
        "hair": hair & (clothes.hair_thickness > 0),
    }


def dressed_body(clothes: Clothes, skeleton: Skeleton) -> tuple[BodyMesh, np.ndarray]:
    """Return a dressed body in the rest pose of a skeleton and the colors of its vertices, `(vertices, 3)`, 0 to 1."""
    mesh, regions = bare_body(), _regions(clothes)
    smooth = _smooth(mesh.vertices, _SMOOTHING_STEPS)
    cloth = regions["shirt"] | regions["trousers"] | regions["shoes"] | regions["hair"]
    covered = _smooth(cloth.astype(float), 2)[:, None]
    vertices = mesh.vertices * (1 - covered) + smooth * covered
    thickness = {
        "trousers": clothes.trousers_thickness,
        "shirt": clothes.shirt_thickness,
        "shoes": 0.009,
        "hair": clothes.hair_thickness,
    }
    shift = clothes.bulk * (1 - _shares()["head"])
    for name, region in regions.items():
        shift = shift + _smooth(region.astype(float), 1) * thickness[name]
    rng = np.random.default_rng(clothes.seed)
    folds = _smooth(rng.normal(size=len(vertices)), 6)
    shift = shift + cloth * folds / folds.std() * 0.0015
    smoothed = replace(mesh, vertices=vertices)
    body = replace(mesh, vertices=vertices + smoothed.normals() * shift[:, None])
    colors = _paint(clothes, regions, rng)
    if clothes.skirt_hem is not None:
        skirt = _skirt(clothes.skirt_hem, clothes.bulk)
        colors = np.concatenate([colors, np.tile(clothes.trousers, (len(skirt.vertices), 1))])
        body = _join(body, skirt)
    return fit_to_joints(body, rest_positions(neutral_skeleton()), rest_positions(skeleton)), colors


def _paint(clothes: Clothes, regions: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    mesh = bare_body()
    x, y, z = mesh.vertices.T
    colors = np.tile(clothes.skin, (len(x), 1))
    face = z > _FACE_FRONT_METRES
    lips = face & (y > _LIP_HEIGHTS[0]) & (y < _LIP_HEIGHTS[1]) & (np.abs(x) < 0.026 - 0.5 * np.abs(y - 0.56))
    colors[lips] *= [0.8, 0.5, 0.5]
    brows = face & (np.abs(y - 0.647) < 0.0045) & (np.abs(np.abs(x) - 0.031) < 0.017)
    colors[brows] = np.array(clothes.hair) * 0.8
    eyes = np.arange(len(x)) >= len(x) - 144  # the two balls are last
    from_pupil = np.hypot(np.abs(x) - _EYE_CENTER[0], y - _EYE_CENTER[1])
    colors[eyes] = 0.95
    colors[eyes & (from_pupil < _IRIS_RADIUS) & face] = [0.12, 0.08, 0.06]
    colors *= 1 + 0.04 * rng.normal(size=(len(x), 1))
    for name, color in (("trousers", clothes.trousers), ("shirt", clothes.shirt), ("shoes", clothes.shoes)):
        colors[regions[name]] = color
    decorated = regions["shirt"] & _pattern(clothes, rng)
    colors[decorated] = clothes.pattern
    colors[regions["hair"]] = np.array(clothes.hair) * (1 + 0.25 * rng.normal(size=(regions["hair"].sum(), 1)))
    return np.clip(colors, 0, 1)


def _pattern(clothes: Clothes, rng: np.random.Generator) -> np.ndarray:
    x, y, z = bare_body().vertices.T
    period, phase = rng.uniform(0.05, 0.14), rng.uniform()
    if clothes.shirt_pattern == "stripes":
        return (x / period + phase) % 1 < 0.5
    if clothes.shirt_pattern == "rings":
        return (y / period + phase) % 1 < 0.5
    if clothes.shirt_pattern == "print":
        return (np.hypot(x, (y - 0.3) * rng.uniform(0.7, 1.6)) < rng.uniform(0.05, 0.11)) & (z > 0)
    if clothes.shirt_pattern == "noise":
        return _smooth(rng.normal(size=len(x)), 8) > 0
    return np.zeros(len(x), dtype=bool)


def _skirt(hem: float, bulk: float) -> BodyMesh:
    """Return an open cone from the waist to a hem, seen from both sides; it hangs from the pelvis and the thighs."""
    along = np.linspace(0, 1, _SKIRT_RINGS)[:, None]
    angle = 2 * np.pi * np.arange(_SKIRT_SIDES) / _SKIRT_SIDES
    height = _WAIST_HEIGHT + (hem - _WAIST_HEIGHT) * along
    flare = 1 + 0.03 * np.sin(8 * angle) * along
    width = 0.15 + bulk + 0.045 * np.minimum(along * 2.5, 1) + 0.1 * along
    depth = 0.105 + bulk + 0.045 * np.minimum(along * 2.5, 1) + 0.1 * along
    x, z = width * np.sin(angle) * flare, depth * np.cos(angle) * flare
    vertices = np.stack([x, np.broadcast_to(height, x.shape), z + 0.01], axis=-1).reshape(-1, 3)
    ring, side = np.meshgrid(np.arange(_SKIRT_RINGS - 1), np.arange(_SKIRT_SIDES), indexing="ij")
    a, b = ring * _SKIRT_SIDES + side, ring * _SKIRT_SIDES + (side + 1) % _SKIRT_SIDES
    c, d = a + _SKIRT_SIDES, b + _SKIRT_SIDES
    outside = np.concatenate([np.stack([a, c, b], -1), np.stack([b, c, d], -1)]).reshape(-1, 3)
    # Towards the hem, the thighs carry it; in the middle, both do.
    thighs = (0.75 * np.minimum(along * 1.5, 1) * np.ones_like(x)).ravel()
    left = np.clip(0.5 + x.ravel() / 0.2, 0, 1)
    weights = np.stack([1 - thighs, thighs * left, thighs * (1 - left), 0 * thighs], axis=1)
    joints = np.tile([JOINT_INDEX[name] for name in ("pelvis", "left_hip", "right_hip", "pelvis")], (len(vertices), 1))
    inside = outside[:, ::-1] + len(vertices)
    twice = [np.concatenate([array, array]) for array in (vertices, joints, weights)]
    return BodyMesh(twice[0], np.concatenate([outside, inside]), twice[1], twice[2])


def _join(first: BodyMesh, second: BodyMesh) -> BodyMesh:
    return BodyMesh(
        np.concatenate([first.vertices, second.vertices]),
        np.concatenate([first.triangles, second.triangles + len(first.vertices)]),
        np.concatenate([first.joints, second.joints]),
        np.concatenate([first.weights, second.weights]),
        first.note,
    )


def random_skeleton(rng: np.random.Generator) -> Skeleton:
    """Return a body of 1.50 to 1.95 m whose limbs, trunk, shoulders and hips differ from the neutral proportions."""
    neutral = neutral_skeleton()
    factors = {name: float(np.clip(rng.normal(1, 0.05), 0.88, 1.12)) for name in ("trunk", "arms", "legs", "breadth")}
    forearm, shank = rng.normal(1, 0.02, 2)
    offsets = neutral.offsets.copy()
    for joint, name in enumerate(JOINT_NAMES):
        part = name.split("_")[-1]
        if part in ("elbow", "wrist"):
            offsets[joint] *= factors["arms"] * (forearm if part == "wrist" else 1)
        elif part in ("knee", "ankle"):
            offsets[joint] *= factors["legs"] * (shank if part == "ankle" else 1)
        elif part in ("collar", "shoulder", "hip"):
            offsets[joint] *= np.array([factors["breadth"], factors["trunk"], 1])
        elif part != "foot":
            offsets[joint] *= factors["trunk"]
    stature = _stature(offsets) / _stature(neutral.offsets)
    return replace(neutral, offsets=offsets).scaled(rng.uniform(1.50, 1.95) / 1.70 / stature)


def _stature(offsets: np.ndarray) -> float:
    """Return the height of the head joint above the feet, metres."""
    up = sum(offsets[JOINT_INDEX[name], 1] for name in ("spine1", "spine2", "spine3", "neck", "head"))
    down = sum(offsets[JOINT_INDEX[name], 1] for name in ("left_hip", "left_knee", "left_ankle", "left_foot"))
    return float(up - down)


def stature_metres(skeleton: Skeleton) -> float:
    """Return how tall somebody with these bones stands: the neutral body is 1.70 m."""
    return 1.70 * _stature(skeleton.offsets) / _stature(neutral_skeleton().offsets)
