"""What the released codec was trained with: how far decoded features are from the true ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

RECONSTRUCTION_LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "l2": F.mse_loss,
    "l1": F.l1_loss,
    "l1_smooth": F.smooth_l1_loss,
}
JOINTS = slice(5, 68)
"""Channels of the joints' positions."""
ROTATIONS = (slice(1, 2), slice(2, 3), slice(68, 194))
"""Channels that the rotation decoder writes: two of the heading, and the rotations of the joints."""
JOINT_WEIGHT, COMMITMENT_WEIGHT = 0.02, 0.05


def feature_loss(reconstruction: torch.Tensor, features: torch.Tensor, kind: str) -> torch.Tensor:
    """Compare all channels, and the joints' positions with their first and second differences.

    The release's term of the feet is left out: it takes the feet's contacts from wrong channels.

    Args:
        reconstruction: `(batch, frames, 264)`, normalized.
        features: The same of the true motion.
        kind: `"l2"`, `"l1"` or `"l1_smooth"`.
    """
    measure = RECONSTRUCTION_LOSSES[kind]
    joints, true_joints = reconstruction[..., JOINTS], features[..., JOINTS]
    terms = [measure(joints.diff(n, dim=1), true_joints.diff(n, dim=1)) for n in range(3)]
    return measure(reconstruction, features) + JOINT_WEIGHT * torch.stack(terms).sum()


def velocity_loss(velocity: torch.Tensor, true_velocity: torch.Tensor, kind: str) -> torch.Tensor:
    """Compare the root's velocities `(batch, frames, 2)`, normalized, and their differences; `kind` as above."""
    measure = RECONSTRUCTION_LOSSES[kind]
    return measure(velocity, true_velocity) + measure(velocity.diff(dim=1), true_velocity.diff(dim=1))


def rotation_loss(rotations: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Compare what the rotation decoder writes, and its differences, by mean squares whatever the kind is.

    Args:
        rotations: `(batch, frames, 128)`, normalized: the two channels of the heading, then those of the joints.
        features: `(batch, frames, 264)`, normalized.
    """
    true = [features[..., channels] for channels in ROTATIONS]
    pairs = zip(rotations.split([part.shape[-1] for part in true], dim=-1), true, strict=True)
    terms = [F.mse_loss(part.diff(n, dim=1), wanted.diff(n, dim=1)) for part, wanted in pairs for n in range(2)]
    return torch.stack(terms).sum()
