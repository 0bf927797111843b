"""Where on a posed body the estimator's landmarks lie."""

from __future__ import annotations

import numpy as np
import torch

from ..motion.skeleton import JOINT_INDEX, Skeleton, neutral_skeleton
from .landmarks import LANDMARK_NAMES

# Joint that carries a landmark, and the place in its frame, metres on a body of 1.70 m, for the left side (the right
# one is its mirror image).
_LEFT_PLACES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "eye_inner": ("head", (0.012, 0.047, 0.082)),
    "eye": ("head", (0.021, 0.047, 0.078)),
    "eye_outer": ("head", (0.03, 0.048, 0.075)),
    "ear": ("head", (0.044, 0.037, 0.041)),
    "mouth": ("head", (0.016, -0.011, 0.084)),
    "shoulder": ("left_shoulder", (-0.016, -0.007, 0.011)),
    "elbow": ("left_elbow", (-0.004, -0.002, 0.044)),
    "wrist": ("left_wrist", (-0.002, -0.006, 0.015)),
    "pinky": ("left_wrist", (0.068, -0.015, 0.006)),
    "index": ("left_wrist", (0.074, -0.018, 0.028)),
    "thumb": ("left_wrist", (0.05, -0.018, 0.033)),
    "hip": ("left_hip", (-0.012, 0.002, 0.023)),
    "knee": ("left_knee", (-0.003, 0.012, -0.017)),
    "ankle": ("left_ankle", (0.002, 0.04, 0.016)),
    "heel": ("left_ankle", (-0.004, -0.021, -0.02)),
    "foot_index": ("left_foot", (-0.002, 0.016, 0.028)),
}
_NOSE = ("head", (0.0, 0.019, 0.097))


def _places() -> tuple[tuple[int, ...], np.ndarray]:
    joints, offsets = [], []
    for name in LANDMARK_NAMES:
        part = name.removeprefix("left_").removeprefix("right_").removesuffix("_left").removesuffix("_right")
        joint, offset = _NOSE if name == "nose" else _LEFT_PLACES[part]
        is_right = "right" in name
        joints.append(JOINT_INDEX[joint.replace("left_", "right_") if is_right else joint])
        offsets.append((-offset[0], *offset[1:]) if is_right else offset)
    return tuple(joints), np.array(offsets)


LANDMARK_JOINTS, LANDMARK_OFFSETS = _places()
"""Of each landmark the joint that carries it, and its place `(33, 3)` in the joint's frame, metres, at 1.70 m."""
NEUTRAL_HEIGHT_METRES = 1.70


def place_landmarks(
    positions: torch.Tensor, rotations: torch.Tensor, scale: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """Return where the landmarks of posed bodies lie.

    Args:
        positions: Of the joints, `(..., 22, 3)`, metres.
        rotations: Of the joints in the world, `(..., 22, 3, 3)`.
        scale: Size of the body, 1 for 1.70 m.

    Returns:
        `(..., 33, 3)`, metres.
    """
    offsets = torch.from_numpy(LANDMARK_OFFSETS).to(positions) * scale
    joints = list(LANDMARK_JOINTS)
    return positions[..., joints, :] + (rotations[..., joints, :, :] * offsets[:, None, :]).sum(dim=-1)


def body_scale(skeleton: Skeleton) -> float:
    """Return how large a body is, 1 for 1.70 m: by the height of the head's joint in the rest pose."""
    return _head_height(skeleton) / _head_height(neutral_skeleton())


def _head_height(skeleton: Skeleton) -> float:
    def height(*names: str) -> float:
        return float(sum(skeleton.offsets[JOINT_INDEX[name], 1] for name in names))

    down = height("left_hip", "left_knee", "left_ankle", "left_foot") - skeleton.toe_rest_height
    return height("spine1", "spine2", "spine3", "neck", "head") - down
