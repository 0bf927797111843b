"""Our 22 joints from the key points of SAM 3D Body, the first 70 of its Momentum Human Rig."""

from __future__ import annotations

import os

import numpy as np

from ..retargeting.source_animation import place_missing_trunk
from ..skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, neutral_skeleton

_NUM_KEYPOINTS = 70
_SIDED = {"shoulder": 5, "elbow": 7, "hip": 9, "knee": 11, "ankle": 13}
"""Of the left side; the right one is next."""
_WRISTS = {"left": 62, "right": 41}
_TOES = {"left": (15, 16), "right": (18, 19)}
_EARS, _NECK = (3, 4), 69


def joints_of_keypoints(keypoints: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Return our joints; those of the trunk are placed by the proportions of our neutral body.

    Args:
        keypoints: `(frames, 70, 3)`, metres.
        path: Named in messages.

    Returns:
        `(frames, 22, 3)`, metres, in the same axes.

    Raises:
        ValueError: If there are other key points.
    """
    if keypoints.ndim != 3 or keypoints.shape[1:] != (_NUM_KEYPOINTS, 3):
        raise ValueError(
            f"{path}: `pred_keypoints_3d` must have shape (frames, {_NUM_KEYPOINTS}, 3), got {keypoints.shape}."
        )
    body: dict[str, np.ndarray] = {}
    for index, side in enumerate(("left", "right")):
        body |= {f"{side}_{part}": keypoints[:, left + index] for part, left in _SIDED.items()}
        body[f"{side}_wrist"] = keypoints[:, _WRISTS[side]]
        tips = keypoints[:, list(_TOES[side])].mean(axis=1)
        # Our joint is the ball of the foot, two thirds of the way to the tips.
        body[f"{side}_foot"] = (body[f"{side}_ankle"] + 2 * tips) / 3
    body["neck"] = keypoints[:, _NECK]
    body["head"] = keypoints[:, list(_EARS)].mean(axis=1)
    rest = _rest_positions()
    hips = (body["left_hip"] + body["right_hip"]) / 2
    low, high = rest["left_hip"][1], rest["neck"][1]
    for name in ("pelvis", "spine3"):
        share = (rest[name][1] - low) / (high - low)
        body[name] = hips + share * (body["neck"] - hips)
    place_missing_trunk(body)
    return np.stack([body[name] for name in JOINT_NAMES], axis=1)


def _rest_positions() -> dict[str, np.ndarray]:
    rest = np.zeros((len(JOINT_NAMES), 3))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        rest[joint] = rest[parent] + neutral_skeleton().offsets[joint]
    return {name: rest[JOINT_INDEX[name]] for name in JOINT_NAMES}
