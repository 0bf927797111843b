"""A pinhole camera that stands in the room and may turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Camera:
    """Camera without distortion whose axis meets the middle of the picture.

    Args:
        image_size: Width and height, pixels.
        focal_length: Pixels.
        rotations: World to camera, `(frames, 3, 3)`, or `(1, 3, 3)` for one that does not turn. The world is y up;
            the camera's axes are x right, y down, z ahead.
        position: `(3,)`, metres, in the world, whose floor is y = 0.
    """

    image_size: tuple[int, int]
    focal_length: float
    rotations: np.ndarray
    position: np.ndarray

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Turn world points `(frames, points, 3)` into camera coordinates, metres."""
        return np.einsum("fij,fpj->fpi", self.rotations, points - self.position)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points `(frames, points, 3)` to pixels `(frames, points, 2)`."""
        seen = self.to_camera(points)
        depths = np.maximum(seen[..., 2:], 1e-6)
        return self.focal_length * seen[..., :2] / depths + np.array(self.image_size) / 2


def default_focal_length(image_size: tuple[int, int]) -> float:
    """Guess an unknown focal length, pixels: the diagonal of the picture, as GVHMR does."""
    return math.hypot(*image_size)


def camera_rotations(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """Return turns from the world to cameras, `(..., 3, 3)`: from y up to x right, y down, z ahead.

    Args:
        yaw: To the right of -z, `(...)`, radians, like the others.
        pitch: Down.
        roll: Clockwise as the camera sees.
    """
    yaw, pitch, roll = torch.broadcast_tensors(yaw, pitch, roll)
    zero = torch.zeros_like(yaw)
    right = torch.stack([yaw.cos(), zero, yaw.sin()], dim=-1)
    ahead = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), -yaw.cos() * pitch.cos()], dim=-1)
    down = torch.linalg.cross(ahead, right)
    turned_right = roll.cos()[..., None] * right + roll.sin()[..., None] * down
    return torch.stack([turned_right, torch.linalg.cross(ahead, turned_right), ahead], dim=-2)
