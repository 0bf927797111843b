"""How hands can bend: spread and bends of their fingers, in place of 30 free rotations.

Angles are radians, `(..., 2, 5, 4)`: left and right hand, the fingers in the order of `FINGERS`, and of each finger
its spread toward the thumb and the bends of its three joints toward the palm. The thumb has two turns of its saddle
joint in the place of the first two: across the palm, and about that direction. All are 0 in the flat hand.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch
from scipy.ndimage import convolve1d

from .fingers import FINGERS, JOINTS_OF_HAND, LEFT_HAND_OFFSETS
from .kinematics import SIDES, matrix_to_quaternion
from .motion import Motion

ANGLES_OF_FINGER = 4
THUMB = FINGERS.index("thumb")
SMOOTHING_SECONDS = 0.07
"""In which the weight falls, by a factor of e, with which neighboring frames count."""
REST_WEIGHT = 0.01
"""Of the relaxed pose against a frame in which the hand is surely seen: about 0.3 s after it, both are equal."""
_FINGER_LIMITS = np.radians([(-25, 25), (-30, 95), (-5, 115), (-10, 90)])
_THUMB_LIMITS = np.radians([(-60, 60), (-60, 60), (-20, 75), (-25, 90)])
ANGLE_LIMITS = np.stack([_THUMB_LIMITS if finger == "thumb" else _FINGER_LIMITS for finger in FINGERS])
"""Lowest and highest value of each angle, `(5, 4, 2)`: ranges of healthy hands, a little widened."""
_RELAXED_DEGREES = {
    "index": (0, 15, 25, 12),
    "middle": (0, 20, 30, 15),
    "ring": (0, 24, 32, 16),
    "pinky": (0, 26, 30, 15),
    "thumb": (12, 0, 12, 15),
}
RELAXED_ANGLES = np.radians([_RELAXED_DEGREES[finger] for finger in FINGERS])
"""Of a hand that does nothing, `(5, 4)`."""
_LEAST_FORWARD = 0.1
"""Of a first bone's direction, from which on its spread can be told."""
_MIRROR = np.array([-1.0, 1.0, 1.0])
_FLIP = np.array([1.0, 1.0, -1.0, -1.0])


def _thumb_axes() -> np.ndarray:
    """Return directions `(3, 3)` of the left thumb at rest: along it, across the palm, the axis of its bends."""
    along = LEFT_HAND_OFFSETS[THUMB * 3 + 1] / np.linalg.norm(LEFT_HAND_OFFSETS[THUMB * 3 + 1])
    across = np.array([0.4, -0.5, -0.75])
    across -= (across @ along) * along
    across /= np.linalg.norm(across)
    return np.stack([along, across, np.cross(along, across)])


_THUMB_AXES = _thumb_axes()


def with_relaxed_fingers(motion: Motion) -> Motion:
    """Return a dance without fingers with those of hands that do nothing; a dance with fingers as it is."""
    if motion.finger_rotations is not None:
        return motion
    angles = np.broadcast_to(RELAXED_ANGLES, (1, len(SIDES), *RELAXED_ANGLES.shape))
    return replace(motion, finger_rotations=np.repeat(rotations_of_angles(angles), motion.num_frames, axis=0))


def rotations_of_angles(angles: np.ndarray) -> np.ndarray:
    """Turn angles of hands into rotations of the finger joints.

    Args:
        angles: `(frames, 2, 5, 4)`, radians.

    Returns:
        `(frames, 30, 4)` float32, wxyz, local to the parent.
    """
    matrices = _left_matrices(angles).reshape(len(angles), len(SIDES), JOINTS_OF_HAND, 3, 3)
    quaternions = matrix_to_quaternion(torch.from_numpy(matrices)).numpy()
    quaternions[:, 1] *= _FLIP
    return quaternions.reshape(len(angles), -1, 4).astype(np.float32)


def angles_of_bones(bones: np.ndarray) -> np.ndarray:
    """Find the angles at which the bones of hands point where they do; within `ANGLE_LIMITS`.

    Args:
        bones: `(frames, 2, 5, 3, 3)`: of both hands and each finger the directions of its three bones in the frame of
            the hand, whose axes are those of the wrist's joint; any length but zero.

    Returns:
        `(frames, 2, 5, 4)`, radians.
    """
    bones = bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-12)
    bones = np.concatenate([bones[:, :1], bones[:, 1:] * _MIRROR], axis=1)
    angles = np.zeros((*bones.shape[:3], ANGLES_OF_FINGER))
    first = bones[..., 0, :]
    angles[..., 0] = np.arctan2(first[..., 2], np.maximum(first[..., 0], _LEAST_FORWARD))
    angles[..., 0] = np.clip(angles[..., 0], *ANGLE_LIMITS[0, 0])
    ahead = first[..., 0] * np.cos(angles[..., 0]) + first[..., 2] * np.sin(angles[..., 0])
    angles[..., 1] = np.arctan2(-first[..., 1], ahead)
    along, across, axis = _THUMB_AXES
    turn = np.cross(along, first[:, :, THUMB])
    sine = np.linalg.norm(turn, axis=-1, keepdims=True)
    turn *= np.arctan2(sine, (first[:, :, THUMB] @ along)[..., None]) / np.maximum(sine, 1e-12)
    angles[:, :, THUMB, 0], angles[:, :, THUMB, 1] = turn @ axis, turn @ across
    for bone in (1, 2):
        angles = np.clip(angles, ANGLE_LIMITS[..., 0], ANGLE_LIMITS[..., 1])
        turns = _left_matrices(angles)
        frame = turns[..., 0, :, :] if bone == 1 else turns[..., 0, :, :] @ turns[..., 1, :, :]
        local = np.einsum("...ba,...b->...a", frame, bones[..., bone, :])
        angles[..., bone + 1] = np.arctan2(-local[..., 1], local[..., 0])
        thumb = local[:, :, THUMB]
        angles[:, :, THUMB, bone + 1] = np.arctan2(thumb @ across, thumb @ along)
    return np.clip(angles, ANGLE_LIMITS[..., 0], ANGLE_LIMITS[..., 1])


def smooth_angles(angles: np.ndarray, weights: np.ndarray, frame_rate: float) -> np.ndarray:
    """Smooth angles over time; a hand that was not seen for long eases to a relaxed pose.

    Args:
        angles: `(frames, 2, 5, 4)`, radians.
        weights: How surely a hand was seen, `(frames, 2)`, 0 to 1.
        frame_rate: Hz.

    Returns:
        `(frames, 2, 5, 4)`, radians.
    """
    weights = np.asarray(weights, dtype=np.float64)[..., None, None]
    reach = SMOOTHING_SECONDS * frame_rate
    kernel = np.exp(-np.abs(np.arange(-round(10 * reach), round(10 * reach) + 1)) / reach)
    kernel /= kernel.sum()
    total, mean = (convolve1d(values, kernel, axis=0, mode="constant") for values in (weights, weights * angles))
    return (mean + REST_WEIGHT * RELAXED_ANGLES) / (total + REST_WEIGHT)


def _left_matrices(angles: np.ndarray) -> np.ndarray:
    """Return the rotations that angles `(..., 5, 4)` mean for a left hand, `(..., 5, 3, 3, 3)`."""
    zeros = np.zeros_like(angles[..., 0])

    def bend(value: np.ndarray) -> np.ndarray:
        return np.stack([zeros, zeros, -value], axis=-1)

    spread = _matrices(np.stack([zeros, -angles[..., 0], zeros], axis=-1))
    first = spread @ _matrices(bend(angles[..., 1]))
    second, third = _matrices(bend(angles[..., 2])), _matrices(bend(angles[..., 3]))
    turns = np.stack([first, second, third], axis=-3)
    _, across, axis = _THUMB_AXES
    thumb = angles[..., THUMB, :, None]
    vectors = [thumb[..., 0, :] * axis + thumb[..., 1, :] * across, thumb[..., 2, :] * axis, thumb[..., 3, :] * axis]
    turns[..., THUMB, :, :, :] = _matrices(np.stack(vectors, axis=-2))
    return turns


def _matrices(vectors: np.ndarray) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float64))).numpy()
