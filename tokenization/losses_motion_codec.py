"""Reconstruction losses of the motion codec."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F

from ..motion.features import CONTACTS, POSITIONS, ROOT, ROTATIONS, VELOCITIES, features_to_rotations, integrate_root
from ..motion.kinematics import forward_kinematics, yaw_to_matrix
from ..motion.skeleton import CONTACT_JOINTS, PARENTS, neutral_skeleton

# Weight of each group's mean in the feature loss. By a plain mean over channels the root's 4 would drown in 269. The
# codes have few bits: what the posed joints tell already is weighted down here.
_GROUP_WEIGHTS = ((ROOT, 4.0), (POSITIONS, 0.3), (ROTATIONS, 0.3), (VELOCITIES, 0.3), (CONTACTS, 0.15))


@lru_cache(maxsize=1)
def _neutral_offsets() -> torch.Tensor:
    return torch.from_numpy(neutral_skeleton().offsets).float()


def hip_aligned_joint_positions(motion_features: torch.Tensor) -> torch.Tensor:
    """Pose the neutral body by the features' rotations, the pelvis at the origin, looking along the heading.

    Args:
        motion_features: `(..., frames, 269)`, not normalized.

    Returns:
        `(..., frames, 22, 3)`, metres.
    """
    rotations = features_to_rotations(motion_features)
    origin = torch.zeros_like(motion_features[..., :3])
    offsets = _neutral_offsets().to(motion_features)
    return forward_kinematics(rotations, origin, offsets, PARENTS)[0]


def _hip_aligned_position_channels(motion_features: torch.Tensor) -> torch.Tensor:
    """Read the positions of all joints but the pelvis, `(..., frames, 21, 3)`: no kinematics for the true motion."""
    positions = motion_features[..., POSITIONS].unflatten(-1, (-1, 3))
    height = F.pad(motion_features[..., ROOT][..., 3:], (1, 1))
    return positions - height.unsqueeze(-2)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average `values`, `(batch, frames, ...)`, over the frames where `mask`, `(batch, frames)`, is true."""
    weights = mask.to(values).view(*mask.shape, *[1] * (values.ndim - 2)).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)


def reconstruction_losses(
    reconstruction: torch.Tensor,
    motion_features: torch.Tensor,
    feature_std: torch.Tensor,
    frame_mask: torch.Tensor,
    frame_rate: float,
) -> dict[str, torch.Tensor]:
    """Compare decoded features with the true ones, as features and as the moving body that they pose.

    Args:
        reconstruction: `(batch, frames, 269)`, not normalized.
        motion_features: `(batch, frames, 269)`, not normalized.
        feature_std: `(269,)`; differences are divided by it in the feature loss.
        frame_mask: `(batch, frames)` bool, true for real frames.
        frame_rate: Hz.

    Returns:
        `feature` (no unit), `position` (m), `velocity` (m/s), `acceleration` (m/s^2), `root_path` (m + rad) and `foot`
        (m/s), each a scalar. Distances are Euclidean, averaged over frames and joints.
    """
    # Padding may hold anything; a rotation made of zeros has no gradient.
    real = frame_mask.unsqueeze(-1)
    reconstruction = torch.where(real, reconstruction, motion_features[:, :1])
    motion_features = torch.where(real, motion_features, motion_features[:, :1])
    pair_mask = frame_mask[:, 1:] & frame_mask[:, :-1]
    triple_mask = pair_mask[:, 1:] & pair_mask[:, :-1]
    error = F.smooth_l1_loss(reconstruction / feature_std, motion_features / feature_std, reduction="none")
    joints = hip_aligned_joint_positions(reconstruction)
    position_error = joints[:, :, 1:] - _hip_aligned_position_channels(motion_features)
    velocity_error = position_error.diff(dim=1) * frame_rate
    acceleration_error = velocity_error.diff(dim=1) * frame_rate

    heading, root_positions = integrate_root(reconstruction, frame_rate)
    true_heading, true_root_positions = integrate_root(motion_features, frame_rate)
    root_error = _length(root_positions - true_root_positions) + (heading - true_heading).abs()

    feet = joints[:, :, list(CONTACT_JOINTS)]
    feet = torch.einsum("btij,btkj->btki", yaw_to_matrix(heading), feet) + root_positions.unsqueeze(2)
    foot_speed = _length(feet.diff(dim=1)) * frame_rate
    contacts = motion_features[..., CONTACTS] > 0.5
    standing = contacts[:, 1:] & contacts[:, :-1] & pair_mask.unsqueeze(-1)
    features = [weight * _masked_mean(error[..., group], frame_mask) for group, weight in _GROUP_WEIGHTS]
    return {
        "feature": torch.stack(features).sum(),
        "position": _masked_mean(_length(position_error), frame_mask),
        "velocity": _masked_mean(_length(velocity_error), pair_mask),
        "acceleration": _masked_mean(_length(acceleration_error), triple_mask),
        "root_path": _masked_mean(root_error, frame_mask),
        "foot": (foot_speed * standing).sum() / standing.sum().clamp_min(1),
    }


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Euclidean norm over the last axis with a finite gradient at zero."""
    return (vectors.square().sum(-1) + 1e-12).sqrt()
