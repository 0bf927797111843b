"""Analytic inverse kinematics of the legs: ankles and toes reach their targets, bones keep their lengths."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from ..rotations import shortest_rotation
from ..skeleton import JOINT_INDEX

SIDES = ("left", "right")
SOFT_ZONE_SHARE = 0.005
"""Last share of a leg's length in which it is straightened ever more slowly: at 0.5 % the knee is at 11 degrees."""
_MARGIN_METRES = 1e-4


def soften_reach(distance: torch.Tensor, leg_length: float, soft_zone: float) -> torch.Tensor:
    """Map the wanted distance of hip and ankle to one that a leg reaches without snapping straight.

    Args:
        distance: Wanted, any shape, metres.
        leg_length: Thigh plus shank, metres.
        soft_zone: Metres before full extension from which on `zone * (1 - exp(-excess / zone))` replaces the excess;
            0 cuts at full extension.

    Returns:
        Like `distance`; equal to it up to the zone, always less than `leg_length`.
    """
    if soft_zone == 0:
        return distance.clamp(max=leg_length - _MARGIN_METRES)
    excess = (distance - (leg_length - soft_zone)).clamp(min=0)
    return distance - excess + (soft_zone - _MARGIN_METRES) * -torch.expm1(-excess / soft_zone)


def reach_with_leg(
    side: str,
    root_positions: torch.Tensor,
    rotations: torch.Tensor,
    offsets: torch.Tensor,
    target: torch.Tensor,
    soft_zone: float = 0.0,
) -> None:
    """Turn hip and knee in `rotations` so that the ankle reaches `target`; the foot keeps its direction in the world.

    Two bones in closed form. The knee stays in the plane in which it was bent; a leg that was straight bends forward.

    Args:
        side: `"left"` or `"right"`.
        root_positions: `(frames, 3)`, metres.
        rotations: Global, `(frames, 22, 3, 3)`; changed in place.
        offsets: `(22, 3)`, metres.
        target: Of the ankle, `(frames, 3)`, metres.
        soft_zone: See `soften_reach`.
    """
    hip, knee, ankle = (JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
    hip_position = root_positions + rotations[:, 0] @ offsets[hip]
    thigh, shank = rotations[:, hip] @ offsets[knee], rotations[:, knee] @ offsets[ankle]
    upper, lower = float(offsets[knee].norm()), float(offsets[ankle].norm())
    reach = target - hip_position
    distance = soften_reach(reach.norm(dim=-1, keepdim=True), upper + lower, soft_zone)
    distance = distance.clamp(min=abs(upper - lower) + _MARGIN_METRES)
    direction = normalize(reach, dim=-1)
    cosine = (distance.square() + upper**2 - lower**2) / (2 * upper * distance)
    # The knee stays on the side on which it is: its offset from the straight line, or forward for a straight leg.
    side_way = thigh + 1e-4 * rotations[:, hip][..., 2]
    side_way = side_way - (side_way * direction).sum(-1, keepdim=True) * direction
    side_way = normalize(side_way, dim=-1)
    new_thigh = upper * (cosine * direction + (1 - cosine.square()).clamp_min(0).sqrt() * side_way)
    new_shank = direction * distance - new_thigh
    rotations[:, hip] = shortest_rotation(thigh, new_thigh) @ rotations[:, hip]
    rotations[:, knee] = shortest_rotation(shank, new_shank) @ rotations[:, knee]


def point_foot(side: str, rotations: torch.Tensor, offsets: torch.Tensor, direction: torch.Tensor) -> None:
    """Turn ankle and toe in `rotations` by the least angle that makes the foot point along `direction`.

    Args:
        side: `"left"` or `"right"`.
        rotations: Global, `(frames, 22, 3, 3)`; changed in place.
        offsets: `(22, 3)`, metres.
        direction: From ankle to toe, `(frames, 3)`, any length but zero.
    """
    ankle, foot = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]
    turn = shortest_rotation(rotations[:, ankle] @ offsets[foot], direction)
    rotations[:, ankle] = turn @ rotations[:, ankle]
    rotations[:, foot] = turn @ rotations[:, foot]


def root_drop(
    hip_positions: torch.Tensor, ankle_targets: torch.Tensor, leg_length: float, max_drop: float
) -> torch.Tensor:
    """Return by how much the root must sink so that a leg reaches its target without going straight.

    Args:
        hip_positions: `(frames, 3)`, metres.
        ankle_targets: `(frames, 3)`, metres.
        leg_length: Length that the leg may use, metres.
        max_drop: Metres; a target that needs more stays out of reach.

    Returns:
        `(frames,)`, metres, at least 0.
    """
    way = hip_positions - ankle_targets
    horizontal_squared = way[:, 0].square() + way[:, 2].square()
    height = (leg_length**2 - horizontal_squared).clamp_min(0).sqrt()
    return (way[:, 1] - height).clamp(0, max_drop)
