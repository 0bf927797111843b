"""Losses of foot restoration: those of the paper's Algorithm 1, and five of ours.

The paper's: reconstruction, root, foot contact, velocity against position, rotation against position. Ours: velocity
of all channels, height of feet in contact, bone lengths, contact labels. Lengths enter in decimetres and velocities in
m/s, so that all terms are of a size.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ...motion.features import (
    CONTACTS,
    POSITIONS,
    ROOT,
    ROOT_HEIGHT,
    ROTATIONS,
    VELOCITIES,
    integrate_root,
    reconstruct,
)
from ...motion.kinematics import rotation_6d_to_matrix, yaw_to_matrix
from ...motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, NUM_JOINTS, neutral_skeleton
from .configuration_frdm import FrdmConfig

_PER_DECIMETRE = 10.0
_LEGS = [[JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")]
LEG_JOINT_INDICES = [joint for leg in _LEGS for joint in leg[1:]]
"""Knee, ankle and toe of the left, then of the right leg."""


def posed_legs(features: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Pose knees, ankles and toes by the rotations, relative to the root's floor point in the heading frame.

    Args:
        features: `(..., frames, 269)`.
        offsets: `(22, 3)`, metres.

    Returns:
        `(..., frames, 6, 3)`: knee, ankle, toe of the left, then of the right leg.
    """
    rotations = features[..., ROTATIONS].unflatten(-1, (NUM_JOINTS, 6))
    matrices = rotation_6d_to_matrix(rotations[..., [0, *_LEGS[0][:3], *_LEGS[1][:3]], :])
    height = features[..., ROOT_HEIGHT, None] * features.new_tensor([0.0, 1.0, 0.0])
    posed = []
    for side, (hip, *lower) in enumerate(_LEGS):
        orientation = matrices[..., 0, :, :]
        position = height + orientation @ offsets[hip]
        for step, joint in enumerate(lower):
            orientation = orientation @ matrices[..., 1 + 3 * side + step, :, :]
            position = position + orientation @ offsets[joint]
            posed.append(position)
    return torch.stack(posed, dim=-2)


def frdm_losses(
    config: FrdmConfig,
    feature_mean: torch.Tensor,
    feature_std: torch.Tensor,
    clean_sample: torch.Tensor,
    contact_logits: torch.Tensor,
    labels: torch.Tensor,
    frame_mask: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Return all losses, unweighted.

    Args:
        config: Of the model.
        feature_mean: By which features are normalized, `(269,)`.
        feature_std: Likewise.
        clean_sample: The estimate, `(batch, frames, num_restored_channels)`, normalized.
        contact_logits: `(batch, frames, 4)`.
        labels: Clean features, `(batch, frames, 269)`.
        frame_mask: `(batch, frames)`, True = real frame.
    """
    frame_rate, channels = config.frame_rate, config.restored_channels
    # What lies beyond a short clip may be anything; a rotation of zeros has no gradient.
    labels = torch.where(frame_mask[..., None], labels, labels[:, :1])
    target = (labels[..., channels] - feature_mean[channels]) / feature_std[channels]
    features = labels.clone()
    features[..., channels] = clean_sample * feature_std[channels] + feature_mean[channels]
    contacts = labels[..., CONTACTS]
    steps = frame_mask[:, 1:] & frame_mask[:, :-1]
    touching = contacts[:, 1:] * contacts[:, :-1]
    # The last frame of a window repeats the velocity of the one before: it is no step of its own.
    feet = reconstruct(features, list(CONTACT_JOINTS), frame_rate)
    foot_velocity = feet.diff(dim=1) * frame_rate
    true_feet_heights = _joint_positions(labels, CONTACT_JOINTS)[..., 1]
    skeleton = neutral_skeleton()
    offsets = torch.from_numpy(skeleton.offsets).to(features)
    positions = _joint_positions(features, LEG_JOINT_INDICES)
    posed_gap = (posed_legs(features, offsets) - positions).norm(dim=-1)
    velocities = features[..., VELOCITIES].unflatten(-1, (NUM_JOINTS, 3))[..., LEG_JOINT_INDICES, :]
    to_world = yaw_to_matrix(integrate_root(features, frame_rate)[0]).transpose(-1, -2)
    world = reconstruct(features, LEG_JOINT_INDICES, frame_rate)
    stated_velocity = (velocities @ to_world)[:, :-1]
    bones = _bone_lengths(features)
    return {
        "reconstruction": _mean((clean_sample - target).square(), frame_mask),
        "root": _mean((clean_sample - target)[..., : ROOT.stop].square(), frame_mask),
        "velocity": _mean((clean_sample - target).diff(dim=1).square(), steps),
        "foot_contact": _mean(foot_velocity.square().sum(-1) * touching, steps),
        "velocity_position": _mean((world.diff(dim=1) * frame_rate - stated_velocity).square().sum(-1), steps),
        "rotation_position": _mean(F.relu(posed_gap - config.rotation_position_epsilon) * _PER_DECIMETRE, frame_mask),
        "foot_height": _mean(((feet[..., 1] - true_feet_heights) * _PER_DECIMETRE).square() * contacts, frame_mask),
        "bone_length": _mean(((bones - _bone_lengths(labels)) * _PER_DECIMETRE).square(), frame_mask),
        "contact": _mean(F.binary_cross_entropy_with_logits(contact_logits, contacts, reduction="none"), frame_mask),
    }


def _mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average `(batch, frames, channels)` over channels and the frames where `mask` is True."""
    return (values.mean(-1) * mask).sum() / mask.sum().clamp(min=1)


def _joint_positions(features: torch.Tensor, joints) -> torch.Tensor:
    return features[..., POSITIONS].unflatten(-1, (NUM_JOINTS - 1, 3))[..., [joint - 1 for joint in joints], :]


def _bone_lengths(features: torch.Tensor) -> torch.Tensor:
    chains = [(_joint_positions(features, leg[1:]), _joint_positions(features, leg[:-1])) for leg in _LEGS]
    return torch.cat([(ends - starts).norm(dim=-1) for ends, starts in chains], dim=-1)
