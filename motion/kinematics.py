"""Kinematics: conversions of rotations (on top of roma), forward kinematics of any tree of joints, legs that reach.

Quaternions are wxyz; roma stores xyzw.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import roma
import torch
from torch.nn.functional import normalize

from .skeleton import JOINT_INDEX

SIDES = ("left", "right")
SOFT_ZONE_SHARE = 0.005
"""Last share of a leg's length in which it is straightened ever more slowly: at 0.5 % the knee is at 11 degrees."""
_REACH_MARGIN_METRES = 1e-4
_SPAN_MARGIN_METRES = 1e-6


def quaternion_to_matrix(quaternion: torch.Tensor) -> torch.Tensor:
    """Convert unit quaternions, `(..., 4)` wxyz, to rotation matrices, `(..., 3, 3)`."""
    return roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(quaternion))


def matrix_to_quaternion(matrix: torch.Tensor) -> torch.Tensor:
    """Convert rotation matrices, `(..., 3, 3)`, to unit quaternions, `(..., 4)` wxyz with w >= 0."""
    quaternion = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(matrix))
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def matrix_to_rotation_6d(matrix: torch.Tensor) -> torch.Tensor:
    """Keep the first two columns of rotation matrices: `(..., 3, 3)` to `(..., 6)` (Zhou et al., CVPR 2019)."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def rotation_6d_to_matrix(rotation_6d: torch.Tensor) -> torch.Tensor:
    """Orthonormalize two columns by Gram-Schmidt: `(..., 6)` to `(..., 3, 3)`; inverse of `matrix_to_rotation_6d`."""
    return roma.special_gramschmidt(rotation_6d.unflatten(-1, (2, 3)).transpose(-1, -2))


def yaw_to_matrix(yaw: torch.Tensor) -> torch.Tensor:
    """Rotate about +Y by `yaw`, `(...)` in radians: +Z turns toward +X. Returns `(..., 3, 3)`."""
    cosine, sine = torch.cos(yaw), torch.sin(yaw)
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)
    rows = [cosine, zero, sine, zero, one, zero, -sine, zero, cosine]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def shortest_rotation(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the smallest rotations that turn directions `source` into `target`.

    Args:
        source: `(..., 3)`, any length but zero.
        target: `(..., 3)`, any length but zero.

    Returns:
        `(..., 3, 3)`. Opposite directions give a half turn about an arbitrary perpendicular axis.
    """
    source = normalize(source, dim=-1)
    target = normalize(target, dim=-1)
    source, target = torch.broadcast_tensors(source, target)
    # The half-way quaternion [1 + s.t, s x t]; near a half turn it vanishes and any perpendicular axis serves.
    real = 1.0 + (source * target).sum(-1, keepdim=True)
    axis = torch.linalg.cross(source, target)
    least = torch.nn.functional.one_hot(source.abs().argmin(-1), 3).to(source)
    perpendicular = torch.linalg.cross(source, least)
    opposite = real < 1e-8
    quaternion = torch.cat([torch.where(opposite, 0.0, real), torch.where(opposite, perpendicular, axis)], dim=-1)
    return quaternion_to_matrix(normalize(quaternion, dim=-1))


@lru_cache(maxsize=32)
def _joints_by_depth(parents: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Group joints with equal distance to the root: one batched product a level instead of one a joint."""
    depth: list[int] = []
    for joint, parent in enumerate(parents):
        if parent >= joint:
            raise ValueError(f"A parent must come before its child, got parent {parent} of joint {joint}.")
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels = []
    for level in range(1, max(depth) + 1):
        joints = tuple(joint for joint, value in enumerate(depth) if value == level)
        levels.append((joints, tuple(parents[joint] for joint in joints)))
    return tuple(levels)


def forward_kinematics(
    joint_rotations_matrix: torch.Tensor, root_positions: torch.Tensor, offsets: torch.Tensor, parents: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pose a skeleton: `position_j = position_parent + global_parent @ offset_j`.

    Args:
        joint_rotations_matrix: `(..., joints, 3, 3)`, local to the parent (SMPL's convention).
        root_positions: `(..., 3)`, metres.
        offsets: `(joints, 3)`, metres, in the parent's rest frame.
        parents: Index of each joint's parent, -1 for the root, parents before children.

    Returns:
        Joint positions `(..., joints, 3)` in metres and global rotations `(..., joints, 3, 3)`.
    """
    levels = _joints_by_depth(tuple(int(parent) for parent in parents))
    num_joints = len(parents)
    rotations: list[torch.Tensor | None] = [None] * num_joints
    positions: list[torch.Tensor | None] = [None] * num_joints
    rotations[0], positions[0] = joint_rotations_matrix[..., 0, :, :], root_positions
    for joints, joint_parents in levels:
        parent_rotations = torch.stack([rotations[parent] for parent in joint_parents], dim=-3)  # type: ignore[misc]
        parent_positions = torch.stack([positions[parent] for parent in joint_parents], dim=-2)  # type: ignore[misc]
        level_rotations = parent_rotations @ joint_rotations_matrix[..., list(joints), :, :]
        level_offsets = offsets[list(joints)].to(root_positions)
        level_positions = parent_positions + (parent_rotations * level_offsets[:, None, :]).sum(-1)
        for joint, rotation, position in zip(
            joints, level_rotations.unbind(-3), level_positions.unbind(-2), strict=True
        ):
            rotations[joint], positions[joint] = rotation, position
    return torch.stack(positions, dim=-2), torch.stack(rotations, dim=-3)  # type: ignore[arg-type]


def local_rotations(global_rotations: torch.Tensor, parents: Sequence[int]) -> torch.Tensor:
    """Express global rotations `(..., joints, 3, 3)` relative to each joint's parent."""
    children = [joint for joint, parent in enumerate(parents) if parent >= 0]
    local = global_rotations.clone()
    parent_rotations = global_rotations[..., [parents[joint] for joint in children], :, :]
    local[..., children, :, :] = parent_rotations.transpose(-1, -2) @ global_rotations[..., children, :, :]
    return local


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
        return distance.clamp(max=leg_length - _REACH_MARGIN_METRES)
    excess = (distance - (leg_length - soft_zone)).clamp(min=0)
    return distance - excess + (soft_zone - _REACH_MARGIN_METRES) * -torch.expm1(-excess / soft_zone)


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
    upper, lower = offsets[knee].norm(), offsets[ankle].norm()
    reach = target - hip_position
    distance = soften_reach(reach.norm(dim=-1, keepdim=True), float(upper + lower), soft_zone)
    bend = thigh + 1e-4 * rotations[:, hip][..., 2]  # a straight leg bends forward
    new_thigh, new_leg = solve_two_bones(normalize(reach, dim=-1), distance, upper, lower, bend)
    rotations[:, hip] = shortest_rotation(thigh, new_thigh) @ rotations[:, hip]
    rotations[:, knee] = shortest_rotation(shank, new_leg - new_thigh) @ rotations[:, knee]


def solve_two_bones(
    direction: torch.Tensor, distance: torch.Tensor, upper: torch.Tensor, lower: torch.Tensor, bend: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Place the middle and the end of two bones, as thigh and shank, by the law of cosines.

    Args:
        direction: From the start to the wanted end, `(frames, 3)`, unit length.
        distance: Of start and wanted end, `(frames, 1)`, metres; one that the bones cannot span is cut to what they
            can.
        upper: Length of the first bone, metres: one, or `(frames, 1)`.
        lower: Length of the second bone, likewise.
        bend: From the start to the side on which the middle is, `(frames, 3)`, any length; not along `direction`.

    Returns:
        Middle and end as seen from the start, `(frames, 3)` each, metres.
    """
    distance = torch.clamp(distance, (upper - lower).abs() + _SPAN_MARGIN_METRES, upper + lower - _SPAN_MARGIN_METRES)
    cosine = (distance.square() + upper**2 - lower**2) / (2 * upper * distance)
    side = normalize(bend - (bend * direction).sum(-1, keepdim=True) * direction, dim=-1)
    middle = upper * (cosine * direction + (1 - cosine.square()).clamp_min(0).sqrt() * side)
    return middle, direction * distance


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
