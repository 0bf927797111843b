"""Guidance of the paper's Algorithm 2: first the legs follow the input, then feet in contact are slowed down.

It blends and integrates features; no gradient is taken. Steps count from 0 to 1: `noise_share` is the paper's
`w_t = t / T`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..modeling.frdm.losses_frdm import LEG_JOINT_INDICES
from ..motion.features import POSITIONS, ROTATIONS, VELOCITIES, integrate_root, reconstruct
from ..motion.kinematics import yaw_to_matrix
from ..motion.skeleton import (
    CONTACT_JOINTS,
    CONTACT_SPEED_METRES_PER_SECOND,
    NUM_JOINTS,
    is_low_and_slow,
    neutral_skeleton,
)


@dataclass(frozen=True)
class PaperSettings:
    """Settings of Algorithm 2; neither number is in the paper.

    Args:
        num_steps: Network evaluations from T down.
        threshold_share: t_th as a share of T: the geometry guides above, contacts below.
    """

    num_steps: int = 20
    threshold_share: float = 0.2


def blend_geometry(clean: torch.Tensor, observed: torch.Tensor, noise_share: float) -> torch.Tensor:
    """Mix positions and rotations of the estimate with the observed ones; root and velocities stay.

    Args:
        clean: The model's x0 merged into the body, `(..., frames, 269)`.
        observed: Features of the input, likewise.
        noise_share: t / T: the nearer to 0, the more of the input.
    """
    mixed = clean.clone()
    for block in (POSITIONS, ROTATIONS):
        mixed[..., block] = (1 - noise_share) * observed[..., block] + noise_share * clean[..., block]
    return mixed


def touching_feet(features: torch.Tensor, frame_rate: float, *, any_speed: bool = False) -> torch.Tensor:
    """Mark which of the four joints of the feet are low and slow, `(..., frames, 4)`, by the features themselves.

    Heights are those of the positions; speeds those of the velocity channels, which the guidance then slows down.

    Args:
        features: `(..., frames, 269)`.
        frame_rate: Hz.
        any_speed: Low joints touch however fast they are.
    """
    feet = reconstruct(features, CONTACT_JOINTS, frame_rate)
    rest_heights = torch.from_numpy(neutral_skeleton().contact_rest_heights).to(feet)
    speeds = features[..., VELOCITIES].unflatten(-1, (NUM_JOINTS, 3))[..., list(CONTACT_JOINTS), :].norm(dim=-1)
    speed_threshold = math.inf if any_speed else CONTACT_SPEED_METRES_PER_SECOND
    return is_low_and_slow(feet[..., 1], speeds, rest_heights, speed_threshold=speed_threshold)


def damp_contact_velocities(clean: torch.Tensor, foot_contacts: torch.Tensor, noise_share: float) -> torch.Tensor:
    """Scale the velocities of feet in contact by t / T.

    Args:
        clean: `(..., frames, 269)`.
        foot_contacts: `(..., frames, 4)`, 0 to 1.
        noise_share: t / T.
    """
    damped = clean.clone()
    velocities = damped[..., VELOCITIES].unflatten(-1, (NUM_JOINTS, 3))
    factor = noise_share * foot_contacts + (1 - foot_contacts)
    velocities[..., list(CONTACT_JOINTS), :] *= factor.unsqueeze(-1)
    return damped


def integrate_velocities(
    features: torch.Tensor, velocities: torch.Tensor, frame_rate: float, foot_contacts: torch.Tensor | None = None
) -> torch.Tensor:
    """Replace positions by the integral of velocities.

    The paper prints a plain sum. Velocities are turned to the world first, and the root's path is taken off again:
    they are world velocities in the heading frame, positions count from the root.

    Args:
        features: `(..., frames, 269)`; root and first positions are read.
        velocities: Features whose velocities are integrated, likewise.
        frame_rate: Hz.
        foot_contacts: `(..., frames, 4)` bool. Feet are integrated through each run of contact, from where they are at
            its begin, and stay as they are elsewhere. `None`, as printed: knees and feet, from the first frame on.

    Returns:
        `(..., frames, 269)`.
    """
    joints = LEG_JOINT_INDICES if foot_contacts is None else list(CONTACT_JOINTS)
    heading, root = integrate_root(features, frame_rate)
    to_world = yaw_to_matrix(heading)
    placed = reconstruct(features, joints, frame_rate)
    steps = velocities[..., VELOCITIES].unflatten(-1, (NUM_JOINTS, 3))[..., joints, :] / frame_rate
    steps = steps @ to_world.transpose(-1, -2)
    way = torch.nn.functional.pad(steps[..., :-1, :, :].cumsum(-3), (0, 0, 0, 0, 1, 0))
    begins = (
        _run_begins(foot_contacts) if foot_contacts is not None else torch.zeros_like(way[..., 0], dtype=torch.long)
    )
    begins = begins.unsqueeze(-1).expand_as(way)
    integrated = placed.gather(-3, begins) + way - way.gather(-3, begins)
    if foot_contacts is not None:
        integrated = torch.where(foot_contacts.unsqueeze(-1), integrated, placed)
    local = (integrated - (root * root.new_tensor([1.0, 0.0, 1.0])).unsqueeze(-2)) @ to_world
    result = features.clone()
    positions = result[..., POSITIONS].unflatten(-1, (NUM_JOINTS - 1, 3))
    positions[..., [joint - 1 for joint in joints], :] = local
    return result


def _run_begins(flags: torch.Tensor) -> torch.Tensor:
    """Return for each frame, `(..., frames, n)`, the frame in which the run of true that it is in began."""
    frames = torch.arange(flags.shape[-2], device=flags.device).unsqueeze(-1)
    begins = flags & ~torch.nn.functional.pad(flags[..., :-1, :], (0, 0, 1, 0))
    return torch.where(begins, frames, 0).cummax(-2).values
