"""A head that stays level, carried by neck and head alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch

from .kinematics import matrix_to_quaternion, shortest_rotation
from .motion import Motion
from .skeleton import JOINT_INDEX

FULL_DEGREES, NONE_DEGREES = 60.0, 120.0
"""Angle between chest and level head up to which it is levelled in full, and from which on not at all."""


def level_head(motion: Motion) -> Motion:
    """Return the dance with an upright head that looks where it looked to, turned half by the neck and half by itself.

    The head's own pitch and roll are taken out; its turn to the sides stays. Where a level head would be further from
    the chest than a neck goes (in a deep bend, on the floor, upside down) it gets its own direction back, smoothly.

    Args:
        motion: The dance.
    """
    chest, head = (motion.joint_frames()[1][:, JOINT_INDEX[name]] for name in ("spine3", "head"))
    inverse = torch.from_numpy(chest).mT
    upright = shortest_rotation(torch.from_numpy(head[..., 1]), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    own, level = inverse @ torch.from_numpy(head), inverse @ upright @ torch.from_numpy(head)
    degrees = np.degrees(roma.rotmat_to_rotvec(level).norm(dim=-1).numpy())
    share = np.clip((NONE_DEGREES - degrees) / (NONE_DEGREES - FULL_DEGREES), 0, 1)
    share = torch.from_numpy(share**2 * (3 - 2 * share))[:, None]
    between = own @ roma.rotvec_to_rotmat(share * roma.rotmat_to_rotvec(own.mT @ level))
    half = matrix_to_quaternion(roma.rotvec_to_rotmat(roma.rotmat_to_rotvec(between) / 2)).numpy()
    rotations = motion.joint_rotations.copy()
    rotations[:, [JOINT_INDEX["neck"], JOINT_INDEX["head"]]] = half[:, None]
    return replace(motion, joint_rotations=rotations)
