"""Other clean dances from one: the same steps higher or lower, wider or narrower, on raised heels, in another posture.

Foot restoration learns from a few minutes of clean capture. What it must not learn by heart is how high, how upright
and on what part of their feet these few people dance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from ...motion.kinematics import (
    SIDES,
    SOFT_ZONE_SHARE,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    point_foot,
    reach_with_leg,
    root_drop,
)
from ...motion.motion import Motion
from ...motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from .faults import SLOW_SECONDS, smooth_noise

_UPPER_BODY = [
    index
    for index, name in enumerate(JOINT_NAMES)
    if name.startswith(("spine", "neck", "head")) or name.endswith(("collar", "shoulder", "elbow"))
]
_REACHED_SHARE = 0.95
_MAX_DROP_METRES = 0.3


@dataclass(frozen=True)
class StanceVariation:
    """How much dances are varied; each dance gets one draw of each, so that standing feet keep standing.

    Args:
        drop: Most that the root is lowered, metres; the feet stay.
        lift: Most that it is raised, metres; no higher than the legs reach.
        sway: Slow movement of the root besides, standard deviation in metres.
        stance: Shift of each foot over the floor, standard deviation in metres.
        heel: Standard deviation of the angle by which a heel is raised about the toes, degrees; half of all feet.
        posture: Turn of pelvis, trunk and arms, standard deviation in degrees.
        speed: Logarithm of the factor of time, standard deviation.
    """

    drop: float = 0.12
    lift: float = 0.08
    sway: float = 0.01
    stance: float = 0.03
    heel: float = 15.0
    posture: float = 6.0
    speed: float = 0.15


def vary_stance(motion: Motion, variation: StanceVariation, generator: np.random.Generator) -> Motion:
    """Draw another clean dance with the steps of this one.

    Args:
        motion: A clean dance on the floor.
        variation: How much.
        generator: The same state gives the same dance.

    Returns:
        The dance, at the same frame rate but of another length, with contacts detected anew.
    """
    factor = float(np.exp(variation.speed * generator.standard_normal()))
    motion = replace(motion.resample(motion.frame_rate * factor), frame_rate=motion.frame_rate)
    offsets = torch.from_numpy(motion.skeleton.offsets)
    local = motion.joint_rotations_matrix().clone()
    positions, _ = forward_kinematics(local, torch.from_numpy(motion.root_positions).double(), offsets, PARENTS)
    for joint in (0, *_UPPER_BODY):
        turn = roma.rotvec_to_rotmat(torch.from_numpy(np.radians(variation.posture) * generator.standard_normal(3)))
        local[:, joint] = local[:, joint] @ turn
    path = motion.root_positions.astype(np.float64)
    sway = smooth_noise(generator, path.shape, SLOW_SECONDS * motion.frame_rate)
    height = generator.uniform(-variation.drop, variation.lift)
    root = torch.from_numpy(path + variation.sway * sway + [0.0, height, 0.0])
    targets, vectors = zip(*(_move_foot(positions, side, variation, generator) for side in SIDES), strict=True)
    posed, rotations = forward_kinematics(local, root, offsets, PARENTS)
    usable = motion.skeleton.leg_length * (1 - SOFT_ZONE_SHARE)
    needed = [
        root_drop(posed[:, JOINT_INDEX[f"{side}_hip"]], target, usable, _MAX_DROP_METRES)
        for side, target in zip(SIDES, targets, strict=True)
    ]
    root[:, 1] -= torch.quantile(torch.maximum(*needed), _REACHED_SHARE)
    rotations = rotations.clone()
    for side, target, vector in zip(SIDES, targets, vectors, strict=True):
        reach_with_leg(side, root, rotations, offsets, target)
        point_foot(side, rotations, offsets, vector)
    varied = replace(
        motion,
        root_positions=root.numpy(),
        joint_rotations=matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy(),
        foot_contacts=None,
    )
    contacts = motion.skeleton.detect_foot_contacts(varied.joint_positions(), motion.frame_rate)
    return replace(varied, foot_contacts=contacts)


def _move_foot(
    positions: torch.Tensor, side: str, variation: StanceVariation, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return new places of an ankle, `(frames, 3)`, and the vectors from there to the toes."""
    ankle, toe = (positions[:, JOINT_INDEX[f"{side}_{part}"]] for part in ("ankle", "foot"))
    shift = variation.stance * generator.standard_normal(2)
    raised = abs(generator.standard_normal()) * variation.heel * (generator.random() < 0.5)
    vector = toe - ankle
    across = torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0], dtype=vector.dtype).expand_as(vector), vector)
    across = torch.nn.functional.normalize(across, dim=-1)
    turned = torch.einsum("tij,tj->ti", roma.rotvec_to_rotmat(np.radians(raised) * across), vector)
    return toe - turned + torch.tensor([shift[0], 0.0, shift[1]], dtype=vector.dtype), turned
