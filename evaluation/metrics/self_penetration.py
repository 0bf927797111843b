"""Whether a body passes through itself: its parts as capsules, and how deep those overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .checks import check_positions

TOLERANCE_METRES = 0.01
PARTS: tuple[tuple[str, str, float], ...] = (
    ("pelvis", "spine3", 0.171),
    ("neck", "head", 0.102),
    ("left_hip", "left_knee", 0.081),
    ("right_hip", "right_knee", 0.081),
    ("left_knee", "left_ankle", 0.055),
    ("right_knee", "right_ankle", 0.055),
    ("left_shoulder", "left_elbow", 0.049),
    ("right_shoulder", "right_elbow", 0.049),
    ("left_elbow", "left_wrist", 0.041),
    ("right_elbow", "right_wrist", 0.041),
)
"""First joint, last joint, and radius over the length of the leg (hip to knee to ankle) of each part of the body.

The radii are those of bodies of the parts' volume. Shares of the body's mass and densities are from Winter,
"Biomechanics and Motor Control of Human Movement", table 4.1 (trunk .497, head and neck .081, thigh .100, shank .0465,
upper arm .028, forearm .016 of the mass; 1.03, 1.11, 1.05, 1.09, 1.07, 1.13 kg/l), lengths from Drillis and Contini
(thigh .245, shank .246, upper arm .186, forearm .146 of the height), for a body of 1.70 m and 22 kg/m^2. Limbs are
cylinders; trunk (0.29 m between its joints) and head (0.09 m) are capsules. The length of the leg is what skeletons
agree on best.
"""
CORE_FACTOR = 0.8
"""Share of these radii that counts: flesh gives way, and a limb is thinner than its mean radius near its ends."""
_TRUNK, _HEAD, _LEFT_THIGH, _RIGHT_THIGH, _LEFT_SHANK, _RIGHT_SHANK, _LEFT_ARM, _RIGHT_ARM, _LEFT_FORE, _RIGHT_FORE = (
    range(len(PARTS))
)
NEIGHBORS: frozenset[tuple[int, int]] = frozenset(
    {
        (_LEFT_THIGH, _RIGHT_THIGH),
        (_HEAD, _LEFT_ARM),
        (_HEAD, _RIGHT_ARM),
        *((_TRUNK, part) for part in (_HEAD, _LEFT_THIGH, _RIGHT_THIGH, _LEFT_ARM, _RIGHT_ARM)),
        (_LEFT_THIGH, _LEFT_SHANK),
        (_RIGHT_THIGH, _RIGHT_SHANK),
        (_LEFT_ARM, _LEFT_FORE),
        (_RIGHT_ARM, _RIGHT_FORE),
    }
)
"""Parts that meet at or beside a joint (thighs at the groin, a raised arm at the ear): they touch in sound motion."""


@dataclass(frozen=True)
class BodyCapsules:
    """Parts of a body as capsules: a segment between two joints, thickened by a radius.

    Args:
        starts: `(capsules,)` int, joint at which each begins.
        ends: `(capsules,)` int, joint at which each ends.
        radii: `(capsules,)`, metres.
        pairs: `(pairs, 2)` int, capsules that must not overlap; neighbors, which always do, are left out.

    Raises:
        ValueError: If shapes disagree, a radius is not positive, or a pair names no capsule.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    pairs: np.ndarray

    def __post_init__(self) -> None:
        if not (np.ndim(self.radii) == 1 and np.shape(self.starts) == np.shape(self.ends) == np.shape(self.radii)):
            raise ValueError(
                "`starts`, `ends` and `radii` must all have shape (capsules,), got "
                f"{np.shape(self.starts)}, {np.shape(self.ends)} and {np.shape(self.radii)}."
            )
        if not (np.isfinite(self.radii).all() and (self.radii > 0).all()):
            raise ValueError(f"`radii` must be positive, in metres, got {self.radii}.")
        pairs = np.asarray(self.pairs)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.isin(pairs, np.arange(len(self.radii))).all():
            raise ValueError(f"`pairs` must have shape (pairs, 2) and hold capsules below {len(self.radii)}.")


def body_capsules(
    joint_positions: np.ndarray, joint_index: Mapping[str, int], *, radius_factor: float = CORE_FACTOR
) -> BodyCapsules:
    """Give trunk, head and the eight long limbs of a body their radii, from the length of its legs.

    Hands and feet have no capsule: their joints do not say where they end.

    Args:
        joint_positions: `(frames, joints, 3)`, metres; the median length over all frames counts.
        joint_index: Column of each joint by its SMPL name (`left_hip`, ...), such as `motion.skeleton.JOINT_INDEX`.
        radius_factor: Share of the radii in `PARTS`; 1 for the whole volume of the body.

    Returns:
        Ten capsules, and all pairs of them but the neighbors.

    Raises:
        ValueError: If `joint_index` lacks a joint, or the legs have no length.
    """
    check_positions(joint_positions)
    missing = sorted({name for first, last, _ in PARTS for name in (first, last)} - set(joint_index))
    if missing:
        raise ValueError(f"`joint_index` must hold the joints of all parts of the body, it lacks {missing}.")
    starts = np.array([joint_index[first] for first, _, _ in PARTS])
    ends = np.array([joint_index[last] for _, last, _ in PARTS])
    lengths = np.median(np.linalg.norm(joint_positions[:, starts] - joint_positions[:, ends], axis=-1), axis=0)
    leg_length = lengths[[_LEFT_THIGH, _LEFT_SHANK, _RIGHT_THIGH, _RIGHT_SHANK]].sum() / 2
    pairs = [pair for pair in combinations(range(len(PARTS)), 2) if pair not in NEIGHBORS]
    radii = radius_factor * leg_length * np.array([radius for _, _, radius in PARTS])
    return BodyCapsules(starts, ends, radii, np.array(pairs))


def self_penetration(
    joint_positions: np.ndarray, capsules: BodyCapsules, tolerance_metres: float = TOLERANCE_METRES
) -> float:
    """Return the share of frames in which parts of a body that are not neighbors overlap.

    The paper's penetration rate (Table 2) has no definition in print; this one is ours. Real dances are not at 0: at
    the default radii, the captured dances of Dance with Melody overlap in 0.9 % of their frames and Motorica's in
    0.02 %; at the whole volume of the body, where hands laid on hips count, in 2.2 % and 0.2 %. Compare on one
    skeleton.

    Args:
        joint_positions: `(frames, joints, 3)`, metres.
        capsules: From `body_capsules`, or of any other body.
        tolerance_metres: Depth up to which skin gives way: does not count as a frame of overlap.
    """
    check_positions(joint_positions)
    depth = _overlap_depths(joint_positions, capsules).max(axis=1, initial=0)
    return float((depth > tolerance_metres).mean())


def segment_distances(
    first_starts: np.ndarray, first_ends: np.ndarray, second_starts: np.ndarray, second_ends: np.ndarray
) -> np.ndarray:
    """Return the shortest distance between segments, pair by pair.

    Either the closest points of both lines lie inside the segments, or an end of one segment is closest to the other:
    the least of all five distances. A segment may be a point.

    Args:
        first_starts: `(..., 3)`.
        first_ends: `(..., 3)`.
        second_starts: `(..., 3)`.
        second_ends: `(..., 3)`.

    Returns:
        `(...)`.
    """
    ends = np.minimum.reduce(
        [
            _point_distances(first_starts, second_starts, second_ends),
            _point_distances(first_ends, second_starts, second_ends),
            _point_distances(second_starts, first_starts, first_ends),
            _point_distances(second_ends, first_starts, first_ends),
        ]
    )
    # Closest points p + s u and q + t v of both lines, with w = p - q; parallel lines have none of their own.
    u, v, w = first_ends - first_starts, second_ends - second_starts, first_starts - second_starts
    uu, uv, vv, uw, vw = _dot(u, u), _dot(u, v), _dot(v, v), _dot(u, w), _dot(v, w)
    determinant = uu * vv - uv**2
    crossing = determinant > 0
    safe = np.where(crossing, determinant, 1.0)
    s, t = (uv * vw - vv * uw) / safe, (uu * vw - uv * uw) / safe
    inside = crossing & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    lines = np.linalg.norm(w + s[..., None] * u - t[..., None] * v, axis=-1)
    return np.where(inside, np.minimum(lines, ends), ends)


def _overlap_depths(joint_positions: np.ndarray, capsules: BodyCapsules) -> np.ndarray:
    """Return how deep each pair of capsules overlaps in each frame, `(frames, pairs)`, metres."""
    starts, ends = joint_positions[:, capsules.starts], joint_positions[:, capsules.ends]
    first, second = np.asarray(capsules.pairs).T
    distances = segment_distances(starts[:, first], ends[:, first], starts[:, second], ends[:, second])
    return np.maximum(0, capsules.radii[first] + capsules.radii[second] - distances)


def _point_distances(points: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    along = ends - starts
    squared = _dot(along, along)
    share = np.divide(_dot(points - starts, along), squared, out=np.zeros_like(squared), where=squared > 0)
    return np.linalg.norm(points - starts - np.clip(share, 0, 1)[..., None] * along, axis=-1)


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=-1)
