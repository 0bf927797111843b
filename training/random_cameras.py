"""Cameras as people put them: on a tripod or in a hand, level or looking down, still or turning with the dancer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..capture.camera import camera_rotations


@dataclass(frozen=True)
class RandomCamera:
    """Ranges from which cameras are drawn.

    Args:
        focal_lengths: In diagonals of the picture; drawn on a logarithmic scale.
        fills: Share of the picture's height that a standing dancer of 1.70 m takes.
        heights: Of the camera, metres.
        max_roll: Radians.
        moving_share: Of the cameras that turn with the dancer.
        aim_spread: How far from the picture's middle the dancer is, in shares of its width and height.
    """

    focal_lengths: tuple[float, float] = (0.6, 1.7)
    fills: tuple[float, float] = (0.3, 0.9)
    heights: tuple[float, float] = (0.3, 2.3)
    max_roll: float = 0.06
    moving_share: float = 0.2
    aim_spread: float = 0.2


_BODY_METRES = 1.7
_AIM_METRES = 0.9
_NEAREST_METRES = 1.6
_FOLLOWED_SECONDS = 1.0


def place_cameras(
    root_positions: torch.Tensor, image_sizes: torch.Tensor, ranges: RandomCamera, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Place a camera in front of each dance, looking along -z but for its tilt and turn.

    Args:
        root_positions: `(batch, frames, 3)`, metres.
        image_sizes: `(batch, 2)`, pixels.
        ranges: What to draw from.
        generator: Of the draws.

    Returns:
        Focal lengths `(batch,)` in pixels, turns from the world to the cameras `(batch, frames, 3, 3)`, and positions
        `(batch, 3)` in metres.
    """
    batch, frames = root_positions.shape[:2]

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator)

    focal = image_sizes.norm(dim=-1) * draw(*(math.log(value) for value in ranges.focal_lengths)).exp()
    distance = (focal * _BODY_METRES / (draw(*ranges.fills) * image_sizes[:, 1])).clamp(min=_NEAREST_METRES)
    middle = root_positions.mean(dim=1)
    height = draw(*ranges.heights)
    position = torch.stack([middle[:, 0], height, root_positions[..., 2].amax(dim=1).maximum(middle[:, 2])], dim=-1)
    position[:, 2] = torch.maximum(middle[:, 2] + distance, position[:, 2] + _NEAREST_METRES)
    reach = distance[:, None] / focal[:, None] * image_sizes * ranges.aim_spread
    shift = reach * (2 * torch.rand(batch, 2, generator=generator) - 1)
    width = round(_FOLLOWED_SECONDS * 30) | 1
    padded = torch.nn.functional.pad(root_positions.transpose(1, 2), (width // 2, width // 2), mode="replicate")
    followed = torch.nn.functional.avg_pool1d(padded, width, stride=1).transpose(1, 2)
    is_moving = (torch.rand(batch, 1, generator=generator) < ranges.moving_share).float()
    aim_x = middle[:, None, 0] + is_moving * (followed[..., 0] - middle[:, None, 0]) + shift[:, None, 0]
    depth = position[:, None, 2] - middle[:, None, 2]
    yaw = torch.atan2(aim_x - position[:, None, 0], depth)  # to the right
    pitch = torch.atan2(height - _AIM_METRES + shift[:, 1], position[:, 2] - middle[:, 2])[:, None].expand(-1, frames)
    roll = draw(-ranges.max_roll, ranges.max_roll)[:, None].expand(-1, frames)
    return focal, camera_rotations(yaw, pitch, roll), position
