"""`FootPlacer`: root and feet of a dance, when the feet are held, and the legs that reach them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.ndimage import binary_closing, binary_opening, gaussian_filter1d, maximum_filter1d

from ..motion.features import (
    POSITIONS,
    ROOT_HEIGHT,
    ROOT_VELOCITY,
    VELOCITIES,
    facing_heading,
    features_to_rotations,
    integrate_root,
    reconstruct,
)
from ..motion.feet.fusion import FootEstimate, FusedFeet, FusionWeights, fuse_feet, mix
from ..motion.kinematics import (
    SIDES,
    SOFT_ZONE_SHARE,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    point_foot,
    reach_with_leg,
    root_drop,
    yaw_to_matrix,
)
from ..motion.motion import Motion
from ..motion.skeleton import CONTACT_HEIGHT_METRES, CONTACT_JOINTS, JOINT_INDEX, NUM_JOINTS, PARENTS, is_low_and_slow

FOOT_LOCKS = ("auto", "always", "never", "grounding")
TURNED_JOINTS = tuple(JOINT_INDEX[f"{side}_{part}"] for side in SIDES for part in ("hip", "knee", "ankle"))
"""Joints whose rotations are restored."""
HELD_WITHIN_METRES = 1e-3
MAX_DROP_METRES = 0.01
"""The root sinks by no more to let a leg reach the floor."""
_DROP_RADIUS_FRAMES = 6
_SHORTEST_CONTACT_FRAMES = 3
_SPEED_SMOOTHING_FRAMES = 2


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the default sampler, chosen on the validation split (docs/frdm.md).

    Args:
        start_timestep: Timestep t, of the model's T, at which the noised observation enters.
        num_steps: Network evaluations from there.
        trust: Share, 0 to 1, of the model's legs in their mean with the observed ones: the model misjudges dancers
            unlike those that it was trained on.
        contact_threshold: Probability from which on a joint of a foot is held.
        contact_height: Metres above its rest height from which on a foot is in the air.
        contact_speed: Metres per second from which on a foot glides; it is not held either.
        weights: Of the guidance, while contacts are probabilities.
        held: Weight of contacts and floor at the end, when feet are held.
    """

    start_timestep: int = 300
    num_steps: int = 4
    trust: float = 0.4
    contact_threshold: float = 0.5
    contact_height: float = 0.05
    contact_speed: float = 0.3
    weights: FusionWeights = field(default_factory=FusionWeights)
    held: float = 1e6


@dataclass(frozen=True)
class FootLock:
    """Choice of when feet are held, and how firmly.

    Args:
        mode: One of `FOOT_LOCKS`, see `FrdmPipeline`.
        strength: From 0, nothing is held, to 1.
        given: Contacts that replace the model's, `(frames, 4)` bool; `None` for the model's.
    """

    mode: str = "auto"
    strength: float = 1.0
    given: np.ndarray | None = None

    def cut(self, start_frame: int, end_frame: int) -> FootLock:
        """Return the choice for frames `start_frame` to `end_frame` (exclusive)."""
        return replace(self, given=None if self.given is None else self.given[start_frame:end_frame])


class FootPlacer:
    """Placement of root and feet of one dance: fused with what was observed, held, and reached by the legs.

    Features are those of `motion_to_features`, `(frames, 269)`; places are in the world, metres.

    Args:
        motion: The observed dance: trunk, arms and toes keep its rotations.
        lock: When feet are held.
        settings: Thresholds and weights.
    """

    def __init__(self, motion: Motion, lock: FootLock | None = None, settings: SamplerSettings | None = None):
        self.motion = motion
        self.lock = lock or FootLock()
        self.settings = settings or SamplerSettings()
        self.root_positions = motion.root_positions.astype(np.float64)
        self.heading = facing_heading(motion.joint_positions(), motion.frame_rate)
        self.to_world = yaw_to_matrix(torch.from_numpy(self.heading)).numpy()
        self.rest_heights = motion.skeleton.contact_rest_heights

    def guide(self, features: torch.Tensor, probabilities: np.ndarray) -> torch.Tensor:
        """Return features whose root and feet agree best with themselves, the observed path and the contacts.

        Args:
            features: The model's estimate.
            probabilities: Of contact by the model, `(frames, 4)`.
        """
        given = self.lock.given
        contacts = self.lock.strength * (probabilities if given is None else given.astype(float))
        if self.lock.mode == "never":
            contacts = np.zeros_like(probabilities)
        fused = fuse_feet(self.estimate(features, contacts), self.settings.weights, self.motion.skeleton)
        return self.write(features, fused)

    def plant(self, features: torch.Tensor, probabilities: np.ndarray) -> Motion:
        """Return the dance with feet that are held where they touch.

        Args:
            features: As in `guide`; root and feet are placed, the legs begin at their rotations.
            probabilities: As in `guide`.
        """
        settings, skeleton = self.settings, self.motion.skeleton
        firm = replace(settings.weights, contact=settings.held, floor=settings.held)
        loose = fuse_feet(self.estimate(features, np.zeros_like(probabilities)), firm, skeleton)
        contacts = self.held_contacts(probabilities, loose.joint_positions)
        fixed = fuse_feet(self.estimate(features, contacts.astype(float)), firm, skeleton)
        return self.pose_legs(features, mix(loose, fixed, self.lock.strength), contacts)

    def place_by_features(self, features: torch.Tensor, foot_contacts: np.ndarray) -> Motion:
        """Return the dance with root, ankles, toes and the turn of the pelvis of features.

        Args:
            features: The path starts at the observed first frame.
            foot_contacts: `(frames, 4)` bool: where feet are held.
        """
        features, frame_rate = features.double(), self.motion.frame_rate
        first_heading = float(self.heading[0])
        start = (float(self.root_positions[0, 0]), float(self.root_positions[0, 2]))
        heading, root = integrate_root(features, frame_rate, first_heading, start)
        turn = yaw_to_matrix(torch.tensor(first_heading, dtype=torch.float64))
        feet = reconstruct(features, CONTACT_JOINTS, frame_rate) @ turn.T
        places = (feet + root[0] * torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)).numpy()
        vectors = places[:, 2:] - places[:, :2]
        lengths = self.motion.skeleton.bone_lengths[list(CONTACT_JOINTS[2:])][:, None]
        vectors *= lengths / np.linalg.norm(vectors, axis=-1, keepdims=True)
        places[:, 2:] = places[:, :2] + vectors
        root_rotations = yaw_to_matrix(heading) @ features_to_rotations(features)[:, 0]
        return self.pose_legs(features, FusedFeet(root.numpy(), places), foot_contacts, root_rotations)

    def estimate(self, features: torch.Tensor, foot_contacts: np.ndarray) -> FootEstimate:
        """Read root and feet from features; `foot_contacts` `(frames, 4)`, 0 to 1."""
        values = features.double().numpy()
        frame_rate, height = self.motion.frame_rate, values[:, ROOT_HEIGHT]
        places = _joints(values[:, POSITIONS], NUM_JOINTS - 1)[:, [joint - 1 for joint in CONTACT_JOINTS]]
        steps = _joints(values[:, VELOCITIES], NUM_JOINTS)[:-1] / frame_rate
        over_floor = values[:-1, ROOT_VELOCITY] / frame_rate
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
        """Return features whose root, ankles and toes are where they were placed."""
        values = features.double().numpy().copy()
        root, feet = fused.root_positions, fused.joint_positions
        floor_point = root * [1.0, 0.0, 1.0]
        moving = np.concatenate([root[:, None], feet], axis=1)
        velocities = self._turn(_forward_difference(moving) * self.motion.frame_rate, back=True)
        local = self._turn(feet - floor_point[:, None], back=True)
        values[:, ROOT_VELOCITY], values[:, ROOT_HEIGHT] = velocities[:, 0, [0, 2]], root[:, 1]
        positions = _joints(values[:, POSITIONS], NUM_JOINTS - 1)
        positions[:, [joint - 1 for joint in CONTACT_JOINTS]] = local
        values[:, POSITIONS] = positions.reshape(len(values), -1)
        all_velocities = _joints(values[:, VELOCITIES], NUM_JOINTS)
        all_velocities[:, [0, *CONTACT_JOINTS]] = velocities
        values[:, VELOCITIES] = all_velocities.reshape(len(values), -1)
        return torch.from_numpy(values).to(features)

    def held_contacts(self, probabilities: np.ndarray, feet: np.ndarray) -> np.ndarray:
        """Return when feet are held at the end, `(frames, 4)` bool.

        Args:
            probabilities: Of contact by the model, `(frames, 4)`.
            feet: Where they are while nothing is held, `(frames, 4, 3)`.
        """
        lock, settings = self.lock, self.settings
        if lock.mode == "never" or lock.strength == 0:
            return np.zeros(probabilities.shape, bool)
        if lock.given is not None:
            return np.asarray(lock.given, bool)
        if lock.mode == "always":
            return feet[..., 1] < self.rest_heights + CONTACT_HEIGHT_METRES
        speeds = _floor_speed(feet, self.motion.frame_rate)
        touching = is_low_and_slow(
            feet[..., 1], speeds, self.rest_heights, settings.contact_height, settings.contact_speed
        )
        touching &= probabilities > settings.contact_threshold
        shape = np.ones((_SHORTEST_CONTACT_FRAMES, 1), bool)
        touching = np.pad(touching, ((_SHORTEST_CONTACT_FRAMES,) * 2, (0, 0)), mode="edge")
        touching = binary_opening(binary_closing(touching, shape), shape)
        return touching[_SHORTEST_CONTACT_FRAMES:-_SHORTEST_CONTACT_FRAMES]

    def pose_legs(
        self,
        features: torch.Tensor,
        fused: FusedFeet,
        foot_contacts: np.ndarray,
        root_rotations: torch.Tensor | None = None,
    ) -> Motion:
        """Turn hips, knees and ankles so that the feet are where they were placed; bones keep their lengths.

        The root sinks where a leg would not reach the floor. A contact that is not reached within 1 mm is given up.

        Args:
            features: The legs begin at their rotations.
            fused: Where root, ankles and toes are wanted.
            foot_contacts: `(frames, 4)` bool: where they are held.
            root_rotations: `(frames, 3, 3)`; the observed ones by default.

        Returns:
            The dance with the contacts that hold.
        """
        motion = self.motion
        offsets, leg_length = torch.from_numpy(motion.skeleton.offsets), motion.skeleton.leg_length
        local = motion.joint_rotations_matrix().clone()
        local[:, TURNED_JOINTS] = features_to_rotations(features.double())[:, TURNED_JOINTS]
        changed = list(TURNED_JOINTS)
        if root_rotations is not None:
            local[:, 0] = root_rotations
            changed.append(0)
        feet = torch.from_numpy(fused.joint_positions)
        ankles, vectors = feet[:, :2], feet[:, 2:] - feet[:, :2]
        root = torch.from_numpy(fused.root_positions).clone()
        positions, rotations = forward_kinematics(local, root, offsets, PARENTS)
        root[:, 1] -= _needed_drop(positions, ankles, foot_contacts, leg_length)
        rotations = rotations.clone()
        for index, side in enumerate(SIDES):
            reach_with_leg(side, root, rotations, offsets, ankles[:, index], SOFT_ZONE_SHARE * leg_length)
            point_foot(side, rotations, offsets, vectors[:, index])
        quaternions = motion.joint_rotations.copy()
        quaternions[:, changed] = matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy()[:, changed]
        posed = replace(motion, root_positions=root.numpy(), joint_rotations=quaternions, foot_contacts=None)
        missed = np.linalg.norm(posed.joint_positions()[:, list(CONTACT_JOINTS)] - fused.joint_positions, axis=-1)
        return replace(posed, foot_contacts=foot_contacts & (missed < HELD_WITHIN_METRES))

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


def _floor_speed(feet: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return how fast feet `(frames, 4, 3)` move over the floor, without their shaking, `(frames, 4)`, m/s."""
    if len(feet) == 1:
        return np.zeros(feet.shape[:2])
    smooth = gaussian_filter1d(feet[..., [0, 2]], _SPEED_SMOOTHING_FRAMES, axis=0, mode="nearest")
    return np.linalg.norm(np.gradient(smooth, axis=0), axis=-1) * frame_rate


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
