"""Cameras drawn by chance, as people stand them before a dancer."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d

from infinitedance.capture.camera import Camera
from infinitedance.motion.motion import Motion

SHORT_SIDE_PIXELS = 480
_IMAGE_SIZES = ((854, 480), (480, 854), (480, 480))
_BODY_SHARES = (0.35, 0.85)
"""Of the height of the picture."""
_HEIGHTS_METRES = (0.4, 2.2)
_FOCAL_LENGTHS = (0.7, 1.6)
"""In diagonals of the picture."""
_NEAREST_METRES = 0.8
_PAN_SMOOTHING_SECONDS = 1.0
_TRIES = 60
_STANDING_SHARE = 1.12
"""Height of a standing body over that of its joints."""


def random_camera(motion: Motion, rng: np.random.Generator, *, pan_share: float = 0.2) -> Camera:
    """Draw a camera that sees a dance.

    Args:
        motion: The floor at y = 0.
        rng: Source of chance.
        pan_share: How often the camera turns after the dancer.

    Raises:
        ValueError: If no camera of those that were tried sees nearly all of the dance.
    """
    joints = motion.joint_positions()
    size = _IMAGE_SIZES[rng.integers(len(_IMAGE_SIZES))]
    focal_length = rng.uniform(*_FOCAL_LENGTHS) * math.hypot(*size)
    stature = float(np.ptp(joints[..., 1], axis=1).max()) * _STANDING_SHARE
    share, yaw = rng.uniform(*_BODY_SHARES), rng.uniform(0, 2 * math.pi)
    distance = focal_length * stature / (share * size[1])
    height, roll = rng.uniform(*_HEIGHTS_METRES), math.radians(rng.normal(0, 1.5))
    roll = float(np.clip(roll, -math.radians(3), math.radians(3)))
    pans = bool(rng.uniform() < pan_share)
    center = (joints.min(axis=(0, 1)) + joints.max(axis=(0, 1))) / 2
    aim_shift = rng.normal(0, 0.04, 2) * [size[0], size[1]] / focal_length * distance
    for _ in range(_TRIES):
        position = np.array([center[0] + distance * math.sin(yaw), height, center[2] + distance * math.cos(yaw)])
        targets = _targets(motion, joints, center, pans=pans)
        camera = Camera(size, focal_length, _look_at(position, targets, roll, aim_shift), position)
        if _sees(camera, joints):
            return camera
        distance, aim_shift = distance * 1.06, aim_shift * 0.9
    raise ValueError(f"No camera at up to {distance:.1f} m sees the dance. Cut it into shorter pieces.")


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
    inside = ((pixels > 0.02 * size) & (pixels < 0.98 * size)).all(axis=-1)
    return bool(inside.all(axis=1).mean() > 0.97)
