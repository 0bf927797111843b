"""Rotations in the conventions of this package, on top of roma (which stores quaternions as xyzw)."""

from __future__ import annotations

import roma
import torch


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
    source = torch.nn.functional.normalize(source, dim=-1)
    target = torch.nn.functional.normalize(target, dim=-1)
    source, target = torch.broadcast_tensors(source, target)
    # The half-way quaternion [1 + s.t, s x t]; near a half turn it vanishes and any perpendicular axis serves.
    real = 1.0 + (source * target).sum(-1, keepdim=True)
    axis = torch.linalg.cross(source, target)
    least = torch.nn.functional.one_hot(source.abs().argmin(-1), 3).to(source)
    perpendicular = torch.linalg.cross(source, least)
    opposite = real < 1e-8
    quaternion = torch.cat([torch.where(opposite, 0.0, real), torch.where(opposite, perpendicular, axis)], dim=-1)
    return quaternion_to_matrix(torch.nn.functional.normalize(quaternion, dim=-1))
