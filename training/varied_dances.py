"""Poses that nobody danced: parts of the body of different dances, and joints that are turned a little."""

from __future__ import annotations

import math

import roma
import torch

from ..motion.skeleton import JOINT_INDEX, NUM_JOINTS

PART_SHARE = 0.3
"""Of the dances: a part of the body, each by itself, is of another dance."""
TURNED_SHARE = 0.5
"""Of the dances: their joints are turned."""
TURN_RADIANS = {
    "spine": 0.06, "neck": 0.12, "head": 0.12, "collar": 0.08, "shoulder": 0.3, "elbow": 0.2, "wrist": 0.15
}  # fmt: skip
"""Standard deviation of the turns of a joint about each axis; the legs keep theirs, since feet stand on the floor."""
TURN_HERTZ = (0.0, 0.8)
_ARM = ("collar", "shoulder", "elbow", "wrist")
_PARTS = (
    [JOINT_INDEX[f"left_{name}"] for name in _ARM],
    [JOINT_INDEX[f"right_{name}"] for name in _ARM],
    [JOINT_INDEX[name] for name in ("spine1", "spine2", "spine3", "neck", "head")],
)
_NUM_WAVES = 3


def vary_dances(
    rotations: torch.Tensor, others: torch.Tensor, frame_rate: float, generator: torch.Generator
) -> torch.Tensor:
    """Return dances with the arms or the trunk of others, whose joints sway by smooth turns.

    Args:
        rotations: Of the joints relative to their parents, `(batch, frames, 22, 3, 3)`.
        others: Of as many other dances.
        frame_rate: Hz.
        generator: Of the draws.
    """
    batch, frames = rotations.shape[:2]
    varied = rotations.clone()
    for joints in _PARTS:
        is_other = torch.rand(batch, 1, 1, 1, 1, generator=generator) < PART_SHARE
        varied[:, :, joints] = torch.where(is_other, others[:, :, joints], rotations[:, :, joints])
    sizes = torch.zeros(NUM_JOINTS)
    for name, index in JOINT_INDEX.items():
        sizes[index] = next((size for part, size in TURN_RADIANS.items() if part in name), 0.0)
    is_turned = torch.rand(batch, 1, 1, 1, generator=generator) < TURNED_SHARE
    waves = (_NUM_WAVES, batch, 1, NUM_JOINTS, 3)
    low, high = TURN_HERTZ
    hertz = low + (high - low) * torch.rand(waves, generator=generator)
    phases = 2 * math.pi * torch.rand(waves, generator=generator)
    heights = torch.randn(waves, generator=generator) * sizes[:, None] * math.sqrt(2 / _NUM_WAVES)
    seconds = torch.arange(frames)[:, None, None] / frame_rate
    angles = (heights * torch.sin(2 * math.pi * hertz * seconds + phases)).sum(dim=0) * is_turned
    return varied @ roma.rotvec_to_rotmat(angles.to(varied))
