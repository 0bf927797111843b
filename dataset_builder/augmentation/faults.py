"""Faults that motion capture from video, generators and physics leave in legs and root, made on purpose.

A clean dance and its corrupted copy are a training pair for foot restoration. Each fault has one size, in a unit that
can be measured in a real fault; trunk, arms and the root's rotation stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d

from ...motion.kinematics import SIDES, forward_kinematics, local_rotations, matrix_to_quaternion, reach_with_leg
from ...motion.motion import Motion
from ...motion.skeleton import JOINT_INDEX, PARENTS

SLOW_SECONDS, MIDDLE_SECONDS, FAST_SECONDS = 1.0, 0.25, 0.05
"""Standard deviations of the Gaussians in time that smooth the noise of slow, middle and fast faults."""
STUCK_SECONDS = (0.1, 0.3)
"""Shortest and longest time for which a foot sticks."""
CATCH_UP_SECONDS = 0.1


@dataclass(frozen=True)
class Corruption:
    """How large each fault is: standard deviations, unless said otherwise; 0 leaves a fault out.

    The defaults, scaled by 0.2 to 1.5 from clip to clip, cover what capture from one video shows: at scale 1 joints
    are off by some 5 cm, feet in contact slide 1 cm a frame, hover and sink by 1 cm.

    Args:
        root_drift: Slow wandering of the root over the floor, and of the feet with it, metres.
        depth_wobble: Swaying of the root along one direction, the depth of a single camera, over 1/4 s, metres.
        height_offset: One error of the floor's height for the whole clip, metres: the dancer floats or sinks.
        height_drift: Slow rising and sinking, metres.
        slide: Movement of each foot over the floor that the root does not share, over 1/4 s, metres.
        foot_height: Rising and sinking of each foot over 1/4 s, metres: it floats and penetrates.
        foot_jitter: High-frequency shaking of each ankle, above some 5 Hz, as contact solvers make it, metres.
        leg_rotation: Slow error of the rotations of hip and knee, degrees.
        foot_rotation: Error of the rotation of the ankle over 1/4 s, degrees.
        fast_rotation: Shaking of the rotations of hip, knee and ankle over 1/20 s, degrees.
        stuck_probability: Share of take-offs at which the foot sticks to its place for 0.1 to 0.3 s.

    Raises:
        ValueError: If a size is negative or `stuck_probability` above 1.
    """

    root_drift: float = 0.03
    depth_wobble: float = 0.03
    height_offset: float = 0.015
    height_drift: float = 0.015
    slide: float = 0.02
    foot_height: float = 0.01
    foot_jitter: float = 0.003
    leg_rotation: float = 2.5
    foot_rotation: float = 4.0
    fast_rotation: float = 0.7
    stuck_probability: float = 0.15

    def __post_init__(self) -> None:
        """Check the ranges."""
        for item in fields(self):
            if not getattr(self, item.name) >= 0:
                raise ValueError(f"`{item.name}` must be at least 0, got {getattr(self, item.name)}.")
        if self.stuck_probability > 1:
            raise ValueError(f"`stuck_probability` must be at most 1, got {self.stuck_probability}.")

    def scaled(self, factor: float) -> Corruption:
        """Return all faults `factor` times as large."""
        values = {item.name: factor * getattr(self, item.name) for item in fields(self)}
        return Corruption(**{**values, "stuck_probability": min(1.0, values["stuck_probability"])})


def corrupt(motion: Motion, corruption: Corruption, generator: np.random.Generator) -> Motion:
    """Put the faults of `corruption` into legs and root path of a dance.

    Args:
        motion: A clean dance with contacts, or whose contacts can be detected.
        corruption: Sizes of the faults.
        generator: The same state gives the same faults.

    Returns:
        The dance on the same skeleton with other root positions and other rotations of hips, knees and ankles; without
        contacts.
    """
    frame_rate, num_frames = motion.frame_rate, motion.num_frames
    contacts = motion.foot_contacts
    if contacts is None:
        contacts = motion.skeleton.detect_foot_contacts(motion.joint_positions(), frame_rate)

    def noise(seconds: float, *shape: int) -> np.ndarray:
        return smooth_noise(generator, (num_frames, *shape), seconds * frame_rate)

    local = motion.joint_rotations_matrix().clone()
    root_positions = motion.root_positions + _root_error(corruption, noise, generator)
    for side in SIDES:
        for part, slow_size, seconds in (
            ("hip", corruption.leg_rotation, SLOW_SECONDS),
            ("knee", corruption.leg_rotation, SLOW_SECONDS),
            ("ankle", corruption.foot_rotation, MIDDLE_SECONDS),
        ):
            degrees = slow_size * noise(seconds, 3) + corruption.fast_rotation * noise(FAST_SECONDS, 3)
            joint = JOINT_INDEX[f"{side}_{part}"]
            local[:, joint] = local[:, joint] @ roma.rotvec_to_rotmat(torch.from_numpy(np.radians(degrees)))
    offsets, root = torch.from_numpy(motion.skeleton.offsets), torch.from_numpy(root_positions)
    positions, rotations = forward_kinematics(local, root, offsets, PARENTS)
    rotations = rotations.clone()
    for index, side in enumerate(SIDES):
        ankle = positions[:, JOINT_INDEX[f"{side}_ankle"]].numpy().copy()
        ankle[:, [0, 2]] += corruption.slide * noise(MIDDLE_SECONDS, 2)
        ankle[:, 1] += corruption.foot_height * noise(MIDDLE_SECONDS)
        white = generator.standard_normal((num_frames, 3))
        ankle += corruption.foot_jitter * (white - gaussian_filter1d(white, FAST_SECONDS * frame_rate, axis=0))
        standing = contacts[:, index] | contacts[:, index + 2]
        _stick(ankle, standing, corruption.stuck_probability, frame_rate, generator)
        reach_with_leg(side, root, rotations, offsets, torch.from_numpy(ankle))
    return replace(
        motion,
        root_positions=root_positions,
        joint_rotations=matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy(),
        foot_contacts=None,
    )


def _root_error(corruption: Corruption, noise, generator: np.random.Generator) -> np.ndarray:
    """Return the error of the root's path, `(frames, 3)`, metres."""
    drift = noise(SLOW_SECONDS, 3) * [corruption.root_drift, corruption.height_drift, corruption.root_drift]
    drift[:, 1] += corruption.height_offset * generator.standard_normal()
    camera = generator.uniform(0, 2 * np.pi)
    wobble = corruption.depth_wobble * noise(MIDDLE_SECONDS)
    return drift + wobble[:, None] * [np.sin(camera), 0.0, np.cos(camera)]


def smooth_noise(generator: np.random.Generator, shape: tuple[int, ...], sigma_frames: float) -> np.ndarray:
    """Return Gaussian noise of unit variance that is smoothed over time."""
    margin = int(np.ceil(4 * sigma_frames))
    white = generator.standard_normal((shape[0] + 2 * margin, *shape[1:]))
    smooth = gaussian_filter1d(white, sigma_frames, axis=0, mode="wrap")[margin : margin + shape[0]]
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * sigma_frames)


def _stick(
    ankle: np.ndarray, standing: np.ndarray, probability: float, frame_rate: float, generator: np.random.Generator
) -> None:
    """Hold a foot, `(frames, 3)`, at its last place on the floor for a while after some of its take-offs, in place."""
    take_offs = np.flatnonzero(standing[:-1] & ~standing[1:])
    catch_up = max(1, round(CATCH_UP_SECONDS * frame_rate))
    for frame in take_offs[generator.random(len(take_offs)) < probability]:
        held = max(1, round(generator.uniform(*STUCK_SECONDS) * frame_rate))
        share = np.concatenate([np.ones(held), np.linspace(1, 0, catch_up + 1)[1:]])[: len(ankle) - frame - 1]
        late = slice(frame + 1, frame + 1 + len(share))
        ankle[late] += share[:, None] * (ankle[frame] - ankle[late])
