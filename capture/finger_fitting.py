"""From the landmarks of hands to the rotations of fingers."""

from __future__ import annotations

import numpy as np

from ..motion.fingers import BONES_OF_FINGER, FINGERS, LEFT_HAND_OFFSETS
from ..motion.hand_angles import angles_of_bones, rotations_of_angles, smooth_angles
from .hand_landmarks import FIRST_LANDMARK, HandTrack

PALM = [finger for finger in FINGERS if finger != "thumb"]
_MIRROR = np.array([-1.0, 1.0, 1.0])


def fit_fingers(hands: HandTrack) -> np.ndarray | None:
    """Find the rotations of the fingers that explain the landmarks of both hands.

    The palm gives the frame of each hand, in which the directions of the bones give spread and bends within what
    hands can do; they are smoothed over time. A hand that is lost eases to a relaxed pose.

    Args:
        hands: Of the track that a dance was lifted from.

    Returns:
        `(frames, 30, 4)` float32 wxyz, `finger_rotations` of that dance; `None` if neither hand was seen.
    """
    if not hands.confidences.any():
        return None
    points = hands.world_points.astype(np.float64)
    frames = palm_frames(points)
    first = np.array([FIRST_LANDMARK[finger] for finger in FINGERS])
    joints = first[:, None] + np.arange(BONES_OF_FINGER)
    bones = points[:, :, joints + 1] - points[:, :, joints]
    angles = angles_of_bones(np.einsum("fhba,fhnkb->fhnka", frames, bones))
    return rotations_of_angles(smooth_angles(angles, hands.confidences, hands.frame_rate))


def palm_frames(points: np.ndarray) -> np.ndarray:
    """Return how hands are turned, by the wrist and the four knuckles.

    Args:
        points: Landmarks of left and right hand, `(frames, 2, 21, 3)`, metres, in any right-handed axes.

    Returns:
        `(frames, 2, 3, 3)`: from the axes of our wrist joints to those of the points; of a hand whose landmarks lie in
        one point, any rotation.
    """
    knuckles = [FINGERS.index(finger) * BONES_OF_FINGER for finger in PALM]
    left = np.concatenate([np.zeros((1, 3)), LEFT_HAND_OFFSETS[knuckles]])
    rest = np.stack([left, left * _MIRROR])
    rest = rest - rest.mean(axis=1, keepdims=True)
    seen = points[:, :, [0, *(FIRST_LANDMARK[finger] for finger in PALM)]]
    seen = seen - seen.mean(axis=2, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("fhna,hnb->fhab", seen, rest))
    signs = np.ones((*u.shape[:2], 3))
    signs[..., 2] = np.linalg.det(u @ vt)
    return (u * signs[..., None, :]) @ vt
