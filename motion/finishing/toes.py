"""Bend feet at the ball where the heel is up and the toes stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..motion import Motion
from .blending import TOES, smoothstep

MAX_BEND_DEGREES = 60.0
_STANDS_METRES, _FLIES_METRES = 0.015, 0.06
"""Height of the ball above where it rests up to which toes lie flat, and from which on they are straight."""


def bend_toes(motion: Motion) -> Motion:
    """Bend the toes so that they lie flat on the floor under a raised heel.

    The bend is the angle by which the bone from ankle to ball is steeper than on a flat foot, from 0 to 60 degrees.
    It goes as the ball leaves the floor. No joint moves: the bend shows on bodies whose toes follow the joints
    `left_foot` and `right_foot`.

    Args:
        motion: A dance on the floor y = 0, whose toes do not turn; a bend that they have is replaced.

    Returns:
        The dance with other rotations of these two joints.
    """
    positions, _ = motion.joint_frames()
    rotations = motion.joint_rotations.copy()
    for toe in TOES:
        bone = positions[:, toe] - positions[:, motion.skeleton.parents[toe]]
        steepness = np.arctan2(-bone[:, 1], np.hypot(bone[:, 0], bone[:, 2]))
        x, y, z = motion.skeleton.offsets[toe]
        angle = np.clip(steepness - np.arctan2(-y, np.hypot(x, z)), 0, np.radians(MAX_BEND_DEGREES))
        height = positions[:, toe, 1] - motion.skeleton.toe_rest_height
        half = angle * smoothstep((_FLIES_METRES - height) / (_FLIES_METRES - _STANDS_METRES)) / 2
        zeros = np.zeros_like(half)
        # About the foot's own +X, backward: the toes point up from the sole.
        rotations[:, toe] = np.stack([np.cos(half), -np.sin(half), zeros, zeros], axis=-1)
    return replace(motion, joint_rotations=rotations)
