"""From features to what is believed of the feet, and from placed feet back to features and to a dance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from ..motion.features import POSITIONS, ROOT_HEIGHT, ROOT_VELOCITY, ROTATIONS, VELOCITIES, facing_heading
from ..motion.feet.fusion import FootEstimate, FusedFeet
from ..motion.kinematics import (
    SIDES,
    SOFT_ZONE_SHARE,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    point_foot,
    reach_with_leg,
    root_drop,
    rotation_6d_to_matrix,
    yaw_to_matrix,
)
from ..motion.motion import Motion
from ..motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, NUM_JOINTS, PARENTS

TURNED_JOINTS = tuple(JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("hip", "knee", "ankle"))
"""Joints whose rotations are restored."""
HELD_WITHIN_METRES = 1e-3
MAX_DROP_METRES = 0.01
"""The root sinks by no more to let a leg reach the floor."""
_DROP_RADIUS_FRAMES = 6


class DancerFrame:
    """Where the observed dancer is and looks; turns features of his legs into the world and back.

    Args:
        motion: The observed dance.
    """

    def __init__(self, motion: Motion):
        self.frame_rate = motion.frame_rate
        self.root_positions = motion.root_positions.astype(np.float64)
        heading = torch.from_numpy(facing_heading(motion.joint_positions(), motion.frame_rate))
        self.to_world = yaw_to_matrix(heading).numpy()

    def estimate(self, features: torch.Tensor, foot_contacts: np.ndarray) -> FootEstimate:
        """Read what features `(frames, 269)` say of root and feet."""
        values = features.double().numpy()
        height = values[:, ROOT_HEIGHT]
        places = _joints(values[:, POSITIONS], NUM_JOINTS - 1)[:, [joint - 1 for joint in CONTACT_JOINTS]]
        steps = _joints(values[:, VELOCITIES], NUM_JOINTS)[:-1] / self.frame_rate
        over_floor = values[:-1, ROOT_VELOCITY] / self.frame_rate
        root_steps = np.stack([over_floor[:, 0], steps[:, 0, 1], over_floor[:, 1]], axis=-1)
        offsets = places - np.stack([0 * height, height, 0 * height], axis=-1)[:, None]
        world_offsets = self._turn(offsets)
        return FootEstimate(
            root_positions=self.root_positions,
            root_heights=height,
            root_steps=self._turn(root_steps[:, None])[:, 0],
            ankle_offsets=world_offsets[:, :2],
            foot_steps=self._turn(steps[:, list(CONTACT_JOINTS)]),
            foot_vectors=world_offsets[:, 2:] - world_offsets[:, :2],
            foot_contacts=foot_contacts,
        )

    def write(self, features: torch.Tensor, fused: FusedFeet) -> torch.Tensor:
        """Return features `(frames, 269)` whose root, ankles and toes are where they were placed."""
        values = features.double().numpy().copy()
        root, feet = fused.root_positions, fused.joint_positions
        floor_point = root * [1.0, 0.0, 1.0]
        moving = np.concatenate([root[:, None], feet], axis=1)
        velocities = _forward_difference(moving) * self.frame_rate
        velocities = self._turn(velocities, back=True)
        local = self._turn(feet - floor_point[:, None], back=True)
        values[:, ROOT_VELOCITY], values[:, ROOT_HEIGHT] = velocities[:, 0, [0, 2]], root[:, 1]
        positions = _joints(values[:, POSITIONS], NUM_JOINTS - 1)
        positions[:, [joint - 1 for joint in CONTACT_JOINTS]] = local
        values[:, POSITIONS] = positions.reshape(len(values), -1)
        all_velocities = _joints(values[:, VELOCITIES], NUM_JOINTS)
        all_velocities[:, [0, *CONTACT_JOINTS]] = velocities
        values[:, VELOCITIES] = all_velocities.reshape(len(values), -1)
        return torch.from_numpy(values).to(features)

    def _turn(self, vectors: np.ndarray, *, back: bool = False) -> np.ndarray:
        """Turn `(frames, n, 3)` from the heading frame to the world, or back."""
        matrices = self.to_world[: len(vectors)]
        return vectors @ (matrices if back else matrices.swapaxes(-1, -2))


def _joints(values: np.ndarray, num_joints: int) -> np.ndarray:
    return values.reshape(len(values), num_joints, 3).copy()


def _forward_difference(values: np.ndarray) -> np.ndarray:
    if len(values) == 1:
        return np.zeros_like(values)
    steps = np.diff(values, axis=0)
    return np.concatenate([steps, steps[-1:]])


def pose_legs(
    motion: Motion, features: torch.Tensor, fused: FusedFeet, foot_contacts: np.ndarray, root_rotations: torch.Tensor
) -> Motion:
    """Turn hips, knees and ankles so that the feet are where they were placed; bones keep their lengths.

    The root sinks where a leg would not reach the floor. A contact that is not reached within 1 mm is given up.

    Args:
        motion: The observed dance; trunk, arms and toes keep their rotations.
        features: `(frames, 269)`: the legs' rotations before they reach for their feet.
        fused: Where root, ankles and toes are wanted.
        foot_contacts: `(frames, 4)` bool: where they are held.
        root_rotations: `(frames, 3, 3)`.

    Returns:
        The dance with the contacts that hold.
    """
    offsets = torch.from_numpy(motion.skeleton.offsets)
    local = motion.joint_rotations_matrix().clone()
    local[:, 0] = root_rotations
    restored = rotation_6d_to_matrix(features[:, ROTATIONS].double().unflatten(-1, (NUM_JOINTS, 6)))
    local[:, TURNED_JOINTS] = restored[:, TURNED_JOINTS]
    ankles, vectors = torch.from_numpy(fused.ankles), torch.from_numpy(fused.foot_vectors)
    root = torch.from_numpy(fused.root_positions).clone()
    positions, rotations = forward_kinematics(local, root, offsets, PARENTS)
    root[:, 1] -= _needed_drop(positions, ankles, foot_contacts, motion.skeleton.leg_length)
    rotations = rotations.clone()
    for index, side in enumerate(SIDES):
        zone = SOFT_ZONE_SHARE * motion.skeleton.leg_length
        reach_with_leg(side, root, rotations, offsets, ankles[:, index], zone)
        point_foot(side, rotations, offsets, vectors[:, index])
    quaternions = motion.joint_rotations.copy()
    turned = matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy()
    changed = (
        TURNED_JOINTS if torch.equal(root_rotations, motion.joint_rotations_matrix()[:, 0]) else (0, *TURNED_JOINTS)
    )
    quaternions[:, list(changed)] = turned[:, list(changed)]
    posed = replace(motion, root_positions=root.numpy(), joint_rotations=quaternions, foot_contacts=None)
    missed = np.linalg.norm(posed.joint_positions()[:, list(CONTACT_JOINTS)] - fused.joint_positions, axis=-1)
    return replace(posed, foot_contacts=foot_contacts & (missed < HELD_WITHIN_METRES))


def _needed_drop(
    positions: torch.Tensor, ankles: torch.Tensor, foot_contacts: np.ndarray, leg_length: float
) -> torch.Tensor:
    """Return by how much the root sinks, `(frames,)`, so that standing legs reach: smooth, and nowhere too little."""
    usable = leg_length * (1 - SOFT_ZONE_SHARE)
    drops = []
    for index, side in enumerate(SIDES):
        hip = positions[:, JOINT_INDEX[f"{side}_hip"]]
        standing = foot_contacts[:, index] | foot_contacts[:, index + 2]
        drops.append(root_drop(hip, ankles[:, index], usable, MAX_DROP_METRES).numpy() * standing)
    highest = maximum_filter1d(np.maximum(*drops), 2 * _DROP_RADIUS_FRAMES + 1, mode="nearest")
    return torch.from_numpy(
        gaussian_filter1d(highest, _DROP_RADIUS_FRAMES / 2, mode="nearest", radius=_DROP_RADIUS_FRAMES)
    )
