"""Forward kinematics of any tree of joints, batched and differentiable."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch


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
