"""Geometric ("manual") features of a dance, behind FID_m and Div_m: how often each of 32 relations of limbs holds.

The relations are those of Müller, Röder and Clausen (2005) as later dance papers print them. Each is a component of a
position, of a velocity or an angle, compared with a threshold in body lengths; a feature is the share of frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .kinetic_features import PUBLISHED_NUM_FRAMES, FeatureMode, check_clip, half_window_frames, to_root_relative

NUM_JOINTS = 22
PUBLISHED_FRAME_SECONDS = 1 / 120
PUBLISHED_HUMERUS = math.dist((0.199113488, 0.236807942, -0.0180702247), (0.454445392, 0.221158922, -0.0410167128))
PUBLISHED_SHOULDERS = math.dist((0.199113488, 0.236807942, -0.0180702247), (-0.191692337, 0.236928746, -0.0123055102))
PUBLISHED_HIPS = math.dist((0.0564076714, -0.323069185, 0.0109197125), (-0.0624834076, -0.331302464, 0.0150412619))

ROOT, L_HIP, R_HIP, BELLY, L_KNEE, R_KNEE = 0, 1, 2, 3, 4, 5
L_ANKLE, R_ANKLE, CHEST, L_TOES, R_TOES, NECK = 7, 8, 9, 10, 11, 12
L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = 16, 17, 18, 19, 20, 21
UP = np.array([[0.0], [1.0], [0.0]])


def geometric_features(joint_positions: np.ndarray, frame_rate: float, *, mode: FeatureMode = "compat") -> np.ndarray:
    """Return in which share of the frames each of 32 relations between joints holds.

    `"compat"` equals the published formulae with their mistakes: a frame lasts 1/120 s, every body has the arm,
    shoulders and hips of one subject, joints are relative to the root while the root keeps its path. The first 1024
    frames count. `"compat_world"` is the same on the joints as they are (Bailando).

    `"corrected"` is computed in the world, on all frames, and puts right:

    - time: the true frame rate, velocities as in the corrected kinetic features (1/30 s to both sides);
    - size: the lengths are the body's own (medians over the clip), so that a child dances as a giant does;
    - 5 and 6 (hands move up along the spine): the published ones ignore the hand, measure how fast the spine grows,
      which is never, and are equal to each other;
    - 10 (hands approach each other): the published one ignores its last joint too, and asks whether they part;
    - 11 and 12 (hand moves away from the root): the published ones follow the other hand;
    - 1 and 15: the normals of their planes point to the other side than those of 2 and 16, which are meant to be their
      mirror images; 28 shares the mistake. Now 1 and 2: hand moves forwards; 15 and 16: foot behind the plane of the
      other leg; 28: root behind the plane of ankles and neck.

    The mirror image of a dance then swaps the features of left and right, which the published ones do not.

    Args:
        joint_positions: `(frames >= 3, 22, 3)`, metres, in the world, Y up, the joints of `motion.skeleton`.
        frame_rate: Hz; without effect in the published formulae.
        mode: See above.

    Returns:
        `(32,)` float64, from 0 to 1, in the published order.

    Raises:
        ValueError: If the shape is wrong, a position is not finite, the clip is too short or `mode` is unknown.
    """
    check_clip(joint_positions, frame_rate, mode, NUM_JOINTS)
    positions = joint_positions.astype(np.float64)
    if mode == "corrected":
        relations = _corrected_relations(_own_body(positions, frame_rate))
    else:
        positions = positions[:PUBLISHED_NUM_FRAMES]
        body = _published_body(to_root_relative(positions) if mode == "compat" else positions)
        relations = _published_relations(body)
    return np.array([holds.mean() for holds in relations])


@dataclass(frozen=True)
class _Body:
    """A moving body and the relations that can be asked of its joints; each gives one bool a frame, `(frames,)`.

    Thresholds are multiplied by lengths of vectors instead of dividing by them: a relation to a plane or line through
    joints that coincide does not hold, and nothing is divided by 0.

    Args:
        positions: `(22, 3, frames)`, metres.
        velocities: `(22, 3, frames)`, m/s.
        humerus: Metres.
        shoulders: Width, metres.
        hips: Width, metres.
    """

    positions: np.ndarray
    velocities: np.ndarray
    humerus: float
    shoulders: float
    hips: float

    def vector(self, start: int, end: int) -> np.ndarray:
        return self.positions[end] - self.positions[start]

    def crosses_plane(self, a: int, b: int, c: int, joint: int, speed: float) -> np.ndarray:
        """Say whether a joint leaves `a` faster than `speed` along the normal `(c - a) x (b - a)`."""
        normal = _cross(self.vector(a, c), self.vector(a, b))
        return _exceeds(self.velocities[joint] - self.velocities[a], normal, speed)

    def moves_along(self, a: int, b: int, still: int, joint: int, speed: float) -> np.ndarray:
        """Say whether a joint leaves the joint `still` faster than `speed` in the direction from `a` to `b`."""
        return _exceeds(self.velocities[joint] - self.velocities[still], self.vector(a, b), speed)

    def is_beside_plane(self, a: int, b: int, c: int, joint: int, distance: float) -> np.ndarray:
        """Say whether a joint is farther than `distance` from the plane through three, on the side of its normal."""
        return _exceeds(self.vector(a, joint), _cross(self.vector(a, c), self.vector(a, b)), distance)

    def is_beyond(self, a: int, b: int, start: int, joint: int, distance: float) -> np.ndarray:
        """Say whether a joint is farther than `distance` from `start` in the direction from `a` to `b`."""
        return _exceeds(self.vector(start, joint), self.vector(a, b), distance)

    def height_above_lowest(self, joint: int) -> np.ndarray:
        return self.positions[joint, 1] - self.positions[:, 1].min(axis=0)

    def is_angle_within(self, bone: np.ndarray, other: np.ndarray, low: float, high: float) -> np.ndarray:
        """Say whether the angle between two vectors lies between two numbers of degrees."""
        lengths = np.sqrt(_dot(bone, bone) * _dot(other, other))
        product = _dot(bone, other)
        return (product < lengths * math.cos(math.radians(low))) & (product > lengths * math.cos(math.radians(high)))

    def is_bent(self, start: int, middle: int, end: int) -> np.ndarray:
        return self.is_angle_within(self.vector(middle, start), self.vector(middle, end), 0, 110)

    def is_abducted(self, start: int, end: int, low: float) -> np.ndarray:
        return self.is_angle_within(self.vector(NECK, ROOT), self.vector(start, end), low, 180)

    def is_fast(self, joint: int, speed: float) -> np.ndarray:
        return np.sqrt(_dot(self.velocities[joint], self.velocities[joint])) > speed


def _published_relations(body: _Body) -> list[np.ndarray]:
    """Return the 32 relations as they are printed, with their mistakes."""
    arm = body.humerus
    spine_grows = body.moves_along(BELLY, CHEST, BELLY, CHEST, 1.8 * arm)
    return [
        body.crosses_plane(NECK, R_HIP, L_HIP, R_WRIST, 1.8 * arm),
        body.crosses_plane(NECK, L_HIP, R_HIP, L_WRIST, 1.8 * arm),
        body.is_beyond(CHEST, NECK, NECK, R_WRIST, 0.2 * arm),
        body.is_beyond(CHEST, NECK, NECK, L_WRIST, 0.2 * arm),
        spine_grows,
        spine_grows,
        body.is_bent(R_SHOULDER, R_ELBOW, R_WRIST),
        body.is_bent(L_SHOULDER, L_ELBOW, L_WRIST),
        body.is_beyond(L_SHOULDER, R_SHOULDER, L_WRIST, R_WRIST, 2.5 * body.shoulders),
        body.moves_along(L_WRIST, R_WRIST, L_WRIST, R_WRIST, 1.4 * arm),
        body.moves_along(R_WRIST, ROOT, R_WRIST, L_WRIST, 1.4 * arm),
        body.moves_along(L_WRIST, ROOT, L_WRIST, R_WRIST, 1.4 * arm),
        body.is_fast(R_WRIST, 2.5 * arm),
        body.is_fast(L_WRIST, 2.5 * arm),
        body.is_beside_plane(ROOT, L_HIP, L_TOES, R_ANKLE, 0.38 * arm),
        body.is_beside_plane(ROOT, R_HIP, R_TOES, L_ANKLE, 0.38 * arm),
        body.height_above_lowest(R_ANKLE) > 1.2 * arm,
        body.height_above_lowest(L_ANKLE) > 1.2 * arm,
        body.is_beyond(L_HIP, R_HIP, L_ANKLE, R_ANKLE, 2.1 * body.hips),
        body.is_bent(R_HIP, R_KNEE, R_ANKLE),
        body.is_bent(L_HIP, L_KNEE, L_ANKLE),
        body.is_fast(R_ANKLE, 2.5 * arm),
        body.is_fast(L_ANKLE, 2.5 * arm),
        body.is_abducted(R_SHOULDER, R_ELBOW, 25),
        body.is_abducted(L_SHOULDER, L_ELBOW, 25),
        body.is_abducted(R_HIP, R_KNEE, 50),
        body.is_abducted(L_HIP, L_KNEE, 50),
        body.is_beside_plane(R_ANKLE, NECK, L_ANKLE, ROOT, 0.5 * arm),
        body.is_angle_within(body.vector(NECK, ROOT), UP, 70, 110),
        body.height_above_lowest(R_WRIST) < 1.2 * arm,
        body.height_above_lowest(L_WRIST) < 1.2 * arm,
        body.is_fast(ROOT, 2.3 * arm),
    ]


def _corrected_relations(body: _Body) -> list[np.ndarray]:
    """Return the 32 relations as they are meant; what differs from the printed ones is listed here."""
    arm = body.humerus
    corrections = {
        1: body.crosses_plane(NECK, L_HIP, R_HIP, R_WRIST, 1.8 * arm),
        5: body.moves_along(BELLY, CHEST, CHEST, R_WRIST, 1.8 * arm),
        6: body.moves_along(BELLY, CHEST, CHEST, L_WRIST, 1.8 * arm),
        10: body.moves_along(R_WRIST, L_WRIST, L_WRIST, R_WRIST, 1.4 * arm),
        11: body.moves_along(ROOT, R_WRIST, ROOT, R_WRIST, 1.4 * arm),
        12: body.moves_along(ROOT, L_WRIST, ROOT, L_WRIST, 1.4 * arm),
        15: body.is_beside_plane(ROOT, L_TOES, L_HIP, R_ANKLE, 0.38 * arm),
        28: body.is_beside_plane(R_ANKLE, L_ANKLE, NECK, ROOT, 0.5 * arm),
    }
    return [corrections.get(number, holds) for number, holds in enumerate(_published_relations(body), start=1)]


def _published_body(positions: np.ndarray) -> _Body:
    channels_first = np.ascontiguousarray(positions.transpose(1, 2, 0))  # (22, 3, frames)
    return _Body(
        channels_first[..., 1:],
        np.diff(channels_first) / PUBLISHED_FRAME_SECONDS,
        PUBLISHED_HUMERUS,
        PUBLISHED_SHOULDERS,
        PUBLISHED_HIPS,
    )


def _own_body(positions: np.ndarray, frame_rate: float) -> _Body:
    half = half_window_frames(frame_rate)
    channels_first = np.ascontiguousarray(positions.transpose(1, 2, 0))
    velocities = (channels_first[..., 2 * half :] - channels_first[..., : -2 * half]) * (frame_rate / (2 * half))

    def length(start: int, end: int) -> float:
        return float(np.median(np.linalg.norm(positions[:, end] - positions[:, start], axis=-1)))

    humerus = (length(L_SHOULDER, L_ELBOW) + length(R_SHOULDER, R_ELBOW)) / 2
    return _Body(
        channels_first[..., half:-half], velocities, humerus, length(L_SHOULDER, R_SHOULDER), length(L_HIP, R_HIP)
    )


def _dot(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    return vectors[0] * others[0] + vectors[1] * others[1] + vectors[2] * others[2]


def _cross(vectors: np.ndarray, others: np.ndarray) -> np.ndarray:
    (x, y, z), (other_x, other_y, other_z) = vectors, others
    return np.stack([y * other_z - z * other_y, z * other_x - x * other_z, x * other_y - y * other_x])


def _exceeds(vectors: np.ndarray, direction: np.ndarray, threshold: float) -> np.ndarray:
    """Say whether the component of each vector along a direction of any length is above a threshold, `(frames,)`."""
    return _dot(vectors, direction) > threshold * np.sqrt(_dot(direction, direction))
