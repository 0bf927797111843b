"""Fingers of the body that dances: 30 joints that a `Motion` may carry besides its 22, in SMPL-X's order.

A hand at rest is flat: the palm of a T-pose looks down, and no joint is rotated.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

from .kinematics import SIDES, forward_kinematics, quaternion_to_matrix
from .skeleton import JOINT_INDEX, Skeleton, neutral_skeleton

FINGERS = ("index", "middle", "pinky", "ring", "thumb")
BONES_OF_FINGER = 3
JOINTS_OF_HAND = len(FINGERS) * BONES_OF_FINGER
FINGER_JOINT_NAMES: tuple[str, ...] = tuple(
    f"{side}_{finger}{bone}" for side in SIDES for finger in FINGERS for bone in range(1, BONES_OF_FINGER + 1)
)
NUM_FINGER_JOINTS = len(FINGER_JOINT_NAMES)
FINGER_MIRROR_ORDER: tuple[int, ...] = (*range(JOINTS_OF_HAND, NUM_FINGER_JOINTS), *range(JOINTS_OF_HAND))
"""Index of the joint on the other side of the body."""
WRISTS: tuple[int, ...] = tuple(JOINT_INDEX[f"{side}_wrist"] for side in SIDES)
PARENT_JOINTS: tuple[int, ...] = tuple(
    len(JOINT_INDEX) + joint - 1 if joint % BONES_OF_FINGER else WRISTS[joint // JOINTS_OF_HAND]
    for joint in range(NUM_FINGER_JOINTS)
)
"""Of each finger joint its parent: one of our 22 joints (a wrist), or 22 and the index of a finger joint."""

# Shares of the hand's length: Buchholz, Armstrong and Goldstein (1992), "Anthropometric data for describing the
# kinematics of the human hand", Ergonomics 35(3), from the wrist to the knuckle and then from joint to joint to the
# tip; of the thumb from its saddle joint. The hand's length is .108 of the body height (Drillis and Contini, 1966).
_HAND_LENGTH_METRES = 0.108 * 1.70
_SEGMENT_SHARES: dict[str, tuple[float, ...]] = {
    "index": (0.463, 0.245, 0.143, 0.097),
    "middle": (0.446, 0.266, 0.170, 0.108),
    "pinky": (0.414, 0.204, 0.117, 0.093),
    "ring": (0.421, 0.244, 0.165, 0.107),
    "thumb": (0.251, 0.196, 0.158),
}
_KNUCKLE_SIDEWAYS_METRES = {"index": 0.024, "middle": 0.003, "ring": -0.016, "pinky": -0.032}
"""Toward the thumb: the four share the breadth of a hand, .44 of its length, less half a finger on both sides."""
_SADDLE_METRES = (0.021, -0.010, 0.020)
_THUMB_DIRECTION = (0.70, -0.25, 0.67)


def _left_hand() -> tuple[np.ndarray, np.ndarray]:
    """Return offsets of the joints `(15, 3)` and of the tips of the fingers `(5, 3)`, metres at 1.70 m."""
    offsets, tips = [], []
    for finger in FINGERS:
        *bones, last = (_HAND_LENGTH_METRES * share for share in _SEGMENT_SHARES[finger])
        if finger == "thumb":
            direction = np.array(_THUMB_DIRECTION) / np.linalg.norm(_THUMB_DIRECTION)
            first = np.array(_SADDLE_METRES)
        else:
            direction, sideways, to_knuckle = np.array([1.0, 0, 0]), _KNUCKLE_SIDEWAYS_METRES[finger], bones.pop(0)
            first = np.array([math.sqrt(to_knuckle**2 - sideways**2), 0, sideways])
        offsets += [first, *(bone * direction for bone in bones)]
        tips.append(last * direction)
    return np.array(offsets), np.array(tips)


LEFT_HAND_OFFSETS, LEFT_HAND_TIPS = _left_hand()
"""Of the neutral body's left hand at rest, metres: of each joint from its parent `(15, 3)`, and of each fingertip from
the last joint of its finger `(5, 3)`."""
_MIRROR = np.array([-1.0, 1.0, 1.0])


def finger_offsets(skeleton: Skeleton) -> np.ndarray:
    """Return where the finger joints of a body are relative to their parents at rest, `(30, 3)`, metres.

    Hands are as large as the forearms.
    """
    return _both_hands(LEFT_HAND_OFFSETS, skeleton)


def fingertip_offsets(skeleton: Skeleton) -> np.ndarray:
    """Return where the fingertips are relative to the last joints of their fingers at rest, `(10, 3)`, metres."""
    return _both_hands(LEFT_HAND_TIPS, skeleton)


def _both_hands(left: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    scale = skeleton.bone_lengths[list(WRISTS)].mean() / neutral_skeleton().bone_lengths[WRISTS[0]]
    return np.concatenate([left, left * _MIRROR]) * scale


def pose_fingers(
    finger_rotations: np.ndarray, wrist_positions: np.ndarray, wrist_rotations: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray]:
    """Pose the fingers by forward kinematics.

    Args:
        finger_rotations: `(frames, 30, 4)`, unit quaternions wxyz, local to the parent.
        wrist_positions: Of the left and the right wrist, `(frames, 2, 3)`, metres.
        wrist_rotations: Of the same in the world, `(frames, 2, 3, 3)`.
        skeleton: The body.

    Returns:
        World positions `(frames, 40, 3)` in metres of the 30 finger joints and then the 10 fingertips, and rotations
        `(frames, 30, 3, 3)` of the joints.
    """
    local = quaternion_to_matrix(torch.from_numpy(np.asarray(finger_rotations, dtype=np.float64))).numpy()
    offsets, tips = finger_offsets(skeleton), fingertip_offsets(skeleton)
    positions, rotations = [], []
    for side in range(len(SIDES)):
        hand = slice(side * JOINTS_OF_HAND, (side + 1) * JOINTS_OF_HAND)
        matrices = np.concatenate([wrist_rotations[:, side, None], local[:, hand]], axis=1)
        places, turns = forward_kinematics(
            torch.from_numpy(matrices),
            torch.from_numpy(np.asarray(wrist_positions[:, side], dtype=np.float64)),
            torch.from_numpy(np.concatenate([np.zeros((1, 3)), offsets[hand]])),
            _hand_parents(),
        )
        positions.append(places[:, 1:].numpy())
        rotations.append(turns[:, 1:].numpy())
    joints, turns_of_joints = np.concatenate(positions, axis=1), np.concatenate(rotations, axis=1)
    last = list(range(BONES_OF_FINGER - 1, NUM_FINGER_JOINTS, BONES_OF_FINGER))
    ends = joints[:, last] + np.einsum("fjab,jb->fja", turns_of_joints[:, last], tips)
    return np.concatenate([joints, ends], axis=1), turns_of_joints


@lru_cache(maxsize=1)
def _hand_parents() -> tuple[int, ...]:
    """Return parents of a hand whose wrist is joint 0."""
    return (-1, *(joint if joint % BONES_OF_FINGER else 0 for joint in range(JOINTS_OF_HAND)))


def flat_fingers(num_frames: int) -> np.ndarray:
    """Return rotations of fingers at rest, `(num_frames, 30, 4)` float32, wxyz."""
    rotations = np.zeros((num_frames, NUM_FINGER_JOINTS, 4), dtype=np.float32)
    rotations[..., 0] = 1
    return rotations
