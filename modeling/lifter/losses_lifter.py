"""Losses of the lifter."""

from __future__ import annotations

from typing import Any, TypedDict

import torch
from torch.nn import functional as F

from ...motion.kinematics import matrix_to_rotation_6d, rotation_6d_to_matrix
from ...motion.skeleton import PARENTS


class LifterLabels(TypedDict):
    """Truth of a batch of windows, in the space of a level camera, on a body of 1.70 m; see `LifterOutput`.

    Args:
        joint_rotations_matrix: Of the joints in space, `(batch, frames, 22, 3, 3)`.
        skeleton_offsets: `(batch, 22, 3)`, metres.
        joint_offsets: `(batch, frames, 21, 3)`, metres.
        root_offset: `(batch, frames, 2)`.
        root_log_depth: `(batch, frames)`.
        foot_contacts: `(batch, frames, 4)`, 0 or 1.
        camera: `(batch, 3)`.
    """

    joint_rotations_matrix: torch.Tensor
    skeleton_offsets: torch.Tensor
    joint_offsets: torch.Tensor
    root_offset: torch.Tensor
    root_log_depth: torch.Tensor
    foot_contacts: torch.Tensor
    camera: torch.Tensor


def pose_offsets(rotations: torch.Tensor, skeleton_offsets: torch.Tensor) -> torch.Tensor:
    """Pose bodies, each with its own bones.

    Args:
        rotations: Of the joints in space, `(batch, frames, 22, 3, 3)`.
        skeleton_offsets: `(batch, 22, 3)`, metres.

    Returns:
        Positions of the joints but the root relative to it, `(batch, frames, 21, 3)`, metres.
    """
    bones = (rotations[:, :, list(PARENTS[1:])] * skeleton_offsets[:, None, 1:, None, :]).sum(dim=-1)
    placed = [torch.zeros_like(bones[:, :, 0])]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        placed.append(placed[parent] + bones[:, :, joint - 1])
    return torch.stack(placed[1:], dim=2)


def lifter_losses(output: Any, labels: LifterLabels, frame_mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the losses, each `()`: distances in metres, steps in metres a frame.

    Args:
        output: A `LifterOutput` with all predictions.
        labels: The truth.
        frame_mask: `(batch, frames)`, True = real frame.
    """
    real = frame_mask.float()

    def over_frames(values: torch.Tensor) -> torch.Tensor:
        mask = real[:, -values.shape[1] :]
        return (values.flatten(2).mean(dim=-1) * mask).sum() / mask.sum()

    def distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).square().sum(dim=-1).add(1e-8).sqrt()

    posed = pose_offsets(rotation_6d_to_matrix(output.joint_rotations_6d), labels["skeleton_offsets"])
    true_rotations = matrix_to_rotation_6d(labels["joint_rotations_matrix"])
    truth = labels["joint_offsets"]
    root = torch.cat([output.root_offset, output.root_log_depth[..., None]], dim=-1)
    true_root = torch.cat([labels["root_offset"], labels["root_log_depth"][..., None]], dim=-1)
    return {
        "position": over_frames(distance(output.joint_offsets, truth)),
        "posed_position": over_frames(distance(posed, truth)),
        "rotation": over_frames((output.joint_rotations_6d - true_rotations).abs()),
        "velocity": over_frames(distance(posed.diff(dim=1), truth.diff(dim=1)))
        + over_frames(distance(output.joint_offsets.diff(dim=1), truth.diff(dim=1))),
        "root_offset": over_frames((output.root_offset - labels["root_offset"]).abs()),
        "root_depth": over_frames((output.root_log_depth - labels["root_log_depth"]).abs()[..., None]),
        "root_velocity": over_frames(distance(root.diff(dim=1), true_root.diff(dim=1))[..., None]),
        "contact": over_frames(
            F.binary_cross_entropy_with_logits(output.contact_logits, labels["foot_contacts"], reduction="none")
        ),
        "camera": (output.camera - labels["camera"]).abs().mean(),
    }
