"""Cameras drawn by chance, as people stand them before a dancer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from infinitedance.capture.camera import Camera
from infinitedance.motion.features import facing_heading
from infinitedance.motion.motion import Motion

_LANDSCAPE, _PORTRAIT, _SQUARE = (16 / 9, 1.0), (1.0, 16 / 9), (1.0, 1.0)
_NEAREST_METRES = 0.8
_PAN_SMOOTHING_SECONDS = 1.0
_TRIES = 60
_STANDING_SHARE = 1.12
"""Height of a standing body over that of its joints."""


@dataclass(frozen=True)
class CameraKind:
    """What is drawn by chance about a camera, as lowest and highest values.

    Args:
        name: In words.
        shapes: Width and height of the picture in units of its short side, one of which is taken.
        yaws: Between where the dancer faces on average and the camera, radians; to either side.
        heights: Metres.
        shares: Of the picture's height that the standing body fills; less where the dance needs room.
        focal_lengths: In diagonals of the picture.
        pan_share: How often it turns after the dancer, slowly.
    """

    name: str
    shapes: tuple[tuple[float, float], ...] = (_LANDSCAPE, _PORTRAIT, _SQUARE)
    yaws: tuple[float, float] = (0.0, math.pi)
    heights: tuple[float, float] = (0.4, 2.2)
    shares: tuple[float, float] = (0.35, 0.85)
    focal_lengths: tuple[float, float] = (0.7, 1.6)
    pan_share: float = 0.0


ANY_CAMERA = CameraKind("any", pan_share=0.2)
"""What the lifter is trained on."""


def random_camera(
    motion: Motion, rng: np.random.Generator, kind: CameraKind = ANY_CAMERA, short_side: int = 480
) -> Camera:
    """Draw a camera that sees a dance.

    Args:
        motion: The floor at y = 0.
        rng: Source of chance.
        kind: What it may be like.
        short_side: Of the picture, pixels; even.

    Raises:
        ValueError: If no camera of those that were tried sees nearly all of the dance.
    """
    joints = motion.joint_positions()
    shape = kind.shapes[rng.integers(len(kind.shapes))]
    size = (2 * round(shape[0] * short_side / 2), 2 * round(shape[1] * short_side / 2))
    focal_length = rng.uniform(*kind.focal_lengths) * math.hypot(*size)
    stature = float(np.ptp(joints[..., 1], axis=1).max()) * _STANDING_SHARE
    share = rng.uniform(*kind.shares)
    yaw = _mean_heading(joints, motion.frame_rate) + rng.choice([-1, 1]) * rng.uniform(*kind.yaws)
    distance = focal_length * stature / (share * size[1])
    height, roll = rng.uniform(*kind.heights), math.radians(np.clip(rng.normal(0, 1.5), -3, 3))
    pans = bool(rng.uniform() < kind.pan_share)
    center = (joints.min(axis=(0, 1)) + joints.max(axis=(0, 1))) / 2
    aim_shift = rng.normal(0, 0.04, 2) * np.array(size) / focal_length * distance
    for _ in range(_TRIES):
        position = np.array([center[0] + distance * math.sin(yaw), height, center[2] + distance * math.cos(yaw)])
        targets = _targets(motion, joints, center, pans=pans)
        camera = Camera(size, focal_length, _look_at(position, targets, roll, aim_shift), position)
        if _sees(camera, joints):
            return camera
        distance, aim_shift = distance * 1.06, aim_shift * 0.9
    raise ValueError(f"No camera at up to {distance:.1f} m sees the dance. Cut it into shorter pieces.")


def _mean_heading(joints: np.ndarray, frame_rate: float) -> float:
    """Return where the dancer faces on average, radians about +Y, 0 along +Z."""
    heading = facing_heading(joints, frame_rate)
    return math.atan2(float(np.sin(heading).mean()), float(np.cos(heading).mean()))


def _targets(motion: Motion, joints: np.ndarray, center: np.ndarray, *, pans: bool) -> np.ndarray:
    """Return what the camera is turned to, `(frames or 1, 3)`, metres."""
    if not pans:
        return center[None]
    middle = (joints.min(axis=1) + joints.max(axis=1)) / 2
    middle[:, 1] = center[1]
    return gaussian_filter1d(middle, _PAN_SMOOTHING_SECONDS * motion.frame_rate, axis=0, mode="nearest")


def _look_at(position: np.ndarray, targets: np.ndarray, roll: float, aim_shift: np.ndarray) -> np.ndarray:
    """Return turns from world to camera, `(frames or 1, 3, 3)`."""
    ahead = (targets - position) / np.linalg.norm(targets - position, axis=1, keepdims=True)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    # Aim beside the target, as nobody centers a dancer.
    ahead = targets + right * aim_shift[0] + np.array([0, aim_shift[1], 0]) - position
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    down = np.cross(ahead, right)
    rolled = math.cos(roll) * right + math.sin(roll) * down, math.cos(roll) * down - math.sin(roll) * right
    return np.stack([*rolled, ahead], axis=1)


def _sees(camera: Camera, joints: np.ndarray) -> bool:
    depths = camera.to_camera(joints)[..., 2]
    if depths.min() < _NEAREST_METRES:
        return False
    pixels, size = camera.project(joints), np.array(camera.image_size)
    inside = np.all((pixels > 0.02 * size) & (pixels < 0.98 * size), axis=(1, 2))
    return bool(np.mean(inside) > 0.97)
