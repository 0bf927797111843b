"""The 269-channel motion features: the only place that knows which channel is what.

Layout (docs/data_format.md): root 4 (yaw velocity rad/s, x and z velocity in the heading frame m/s, height m),
positions 63 (21 joints relative to the root's floor point, in the heading frame, m), rotations 132 (6D of 22 joints,
the root's relative to the heading), velocities 66 (of 22 joints, world velocity turned into the heading frame, m/s),
contacts 4.
It is the paper's 259 channels plus the root's tilt, which those lose, plus the contacts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from .kinematics import (
    forward_kinematics,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
    yaw_to_matrix,
)
from .motion import FRAME_RATE, Motion
from .skeleton import JOINT_INDEX, NUM_JOINTS, Skeleton, neutral_skeleton

ROOT = slice(0, 4)
ROOT_VELOCITY = slice(1, 3)
"""Of the root over the floor: x and z in the heading frame, m/s."""
ROOT_HEIGHT = 3
POSITIONS = slice(4, 67)
ROTATIONS = slice(67, 199)
VELOCITIES = slice(199, 265)
CONTACTS = slice(265, 269)
NUM_FEATURES = 269

HEADING_SMOOTHING_SECONDS = 2 / 30
"""Standard deviation of the Gaussian that steadies the heading: it must not shake with the hips."""


def check_features(features: torch.Tensor) -> None:
    """Raise `ValueError` unless the last axis of `features` holds the 269 channels."""
    if features.shape[-1] != NUM_FEATURES:
        raise ValueError(
            f"Motion features must have {NUM_FEATURES} channels (see docs/data_format.md), got shape "
            f"{tuple(features.shape)}. A `Motion` is converted by `motion_to_features`."
        )


def joint_channels(joints: Sequence[int]) -> dict[str, list[int]]:
    """Return the channels of `positions`, `rotations` and `velocities` of some joints, joint by joint.

    The root has no channels among the positions: its height is one of the root's own.
    """
    blocks = {"positions": (POSITIONS, 3, 1), "rotations": (ROTATIONS, 6, 0), "velocities": (VELOCITIES, 3, 0)}
    return {
        name: [
            block.start + size * (joint - first) + channel
            for joint in joints
            if joint >= first
            for channel in range(size)
        ]
        for name, (block, size, first) in blocks.items()
    }


def facing_heading(joint_positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Find where the dancer faces: the horizontal direction at right angles to hips and shoulders.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up.
        frame_rate: Hz.

    Returns:
        `(frames,)`, radians about +Y, 0 along +Z, unwrapped.
    """
    index = JOINT_INDEX
    across = (
        joint_positions[:, index["left_hip"]]
        - joint_positions[:, index["right_hip"]]
        + joint_positions[:, index["left_shoulder"]]
        - joint_positions[:, index["right_shoulder"]]
    ).astype(np.float64)
    forward = np.stack([-across[:, 2], across[:, 0]], axis=-1)  # across x up, as (x, z)
    forward = gaussian_filter1d(forward, HEADING_SMOOTHING_SECONDS * frame_rate, axis=0, mode="nearest")
    return np.unwrap(np.arctan2(forward[:, 0], forward[:, 1]))


def motion_to_features(motion: Motion) -> torch.Tensor:
    """Convert a dance to features.

    Velocities are forward differences; the last frame repeats those of the frame before. Position on the floor and
    heading of the first frame are not kept: `features_to_motion` takes them as arguments.

    Args:
        motion: Any frame rate; contacts are detected where the motion has none.

    Returns:
        `(frames, 269)`, float32.
    """
    offsets = torch.from_numpy(motion.skeleton.offsets)
    rotations = motion.joint_rotations_matrix()
    root_positions = torch.from_numpy(motion.root_positions).double()
    positions, _ = forward_kinematics(rotations, root_positions, offsets, motion.skeleton.parents)
    heading = torch.from_numpy(facing_heading(positions.numpy(), motion.frame_rate))
    to_heading = yaw_to_matrix(-heading)

    joint_velocities = _forward_difference(positions) * motion.frame_rate
    joint_velocities = torch.einsum("tij,tkj->tki", to_heading, joint_velocities)
    root = torch.stack(
        [
            _forward_difference(heading) * motion.frame_rate,
            joint_velocities[:, 0, 0],
            joint_velocities[:, 0, 2],
            root_positions[:, 1],
        ],
        dim=-1,
    )
    floor_point = root_positions * torch.tensor([1.0, 0.0, 1.0])
    local_positions = torch.einsum("tij,tkj->tki", to_heading, positions[:, 1:] - floor_point[:, None])
    local_rotations = rotations.clone()
    local_rotations[:, 0] = to_heading @ rotations[:, 0]
    contacts = motion.foot_contacts
    if contacts is None:
        contacts = motion.skeleton.detect_foot_contacts(positions.numpy(), motion.frame_rate)
    blocks = [
        root,
        local_positions.flatten(1),
        matrix_to_rotation_6d(local_rotations).flatten(1),
        joint_velocities.flatten(1),
        torch.from_numpy(contacts).double(),
    ]
    return torch.cat(blocks, dim=-1).float()


def _forward_difference(values: torch.Tensor) -> torch.Tensor:
    if len(values) == 1:
        return torch.zeros_like(values)
    difference = values.diff(dim=0)
    return torch.cat([difference, difference[-1:]])


def integrate_root(
    features: torch.Tensor,
    frame_rate: float = FRAME_RATE,
    initial_heading: float = 0.0,
    initial_position: tuple[float, float] = (0.0, 0.0),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integrate the root's velocities to its path.

    Args:
        features: `(..., frames, 269)`; only the root's channels are read.
        frame_rate: Hz.
        initial_heading: Heading of the first frame, radians.
        initial_position: x and z of the first frame, metres.

    Returns:
        Heading `(..., frames)` in radians and root positions `(..., frames, 3)` in metres.
    """
    yaw_velocity, velocity_x, velocity_z, height = features[..., ROOT].unbind(-1)
    heading = _exclusive_cumsum(yaw_velocity) / frame_rate + initial_heading
    cosine, sine = torch.cos(heading), torch.sin(heading)
    world_x = cosine * velocity_x + sine * velocity_z
    world_z = cosine * velocity_z - sine * velocity_x
    root_x = _exclusive_cumsum(world_x) / frame_rate + initial_position[0]
    root_z = _exclusive_cumsum(world_z) / frame_rate + initial_position[1]
    return heading, torch.stack([root_x, height, root_z], dim=-1)


def _exclusive_cumsum(values: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(values[..., :-1].cumsum(-1), (1, 0))


def features_to_rotations(features: torch.Tensor) -> torch.Tensor:
    """Read the 22 local rotations, `(..., frames, 22, 3, 3)`; the root's is relative to the heading."""
    return rotation_6d_to_matrix(features[..., ROTATIONS].unflatten(-1, (NUM_JOINTS, 6)))


def reconstruct(features: torch.Tensor, joints: Sequence[int], frame_rate: float) -> torch.Tensor:
    """Place joints in the world by the root's path and the relative positions: the paper's `Rec(r, j_p)`.

    Args:
        features: `(..., frames, 269)`.
        joints: Not the root.
        frame_rate: Hz.

    Returns:
        `(..., frames, joints, 3)`, metres; the first frame is at the origin and faces +Z.
    """
    heading, root_positions = integrate_root(features, frame_rate)
    local = features[..., POSITIONS].unflatten(-1, (NUM_JOINTS - 1, 3))[..., [joint - 1 for joint in joints], :]
    floor_point = root_positions * root_positions.new_tensor([1.0, 0.0, 1.0])
    return local @ yaw_to_matrix(heading).transpose(-1, -2) + floor_point.unsqueeze(-2)


def features_to_motion(
    features: torch.Tensor,
    frame_rate: float = FRAME_RATE,
    skeleton: Skeleton | None = None,
    initial_heading: float = 0.0,
    initial_position: tuple[float, float] = (0.0, 0.0),
) -> Motion:
    """Convert features to a dance: inverse of `motion_to_features` up to 1e-4 m and 1e-4 rad.

    Root path, rotations and contacts are read; positions and velocities are redundant here.

    Args:
        features: `(frames, 269)`.
        frame_rate: Hz.
        skeleton: The body; our neutral one by default.
        initial_heading: Heading of the first frame, radians.
        initial_position: x and z of the first frame's root, metres.

    Returns:
        The dance.

    Raises:
        ValueError: If the shape is wrong or a value is not finite.
    """
    check_features(features)
    if features.ndim != 2:
        raise ValueError(f"`features` must have shape (frames, {NUM_FEATURES}), got {tuple(features.shape)}.")
    features = features.detach().double().cpu()
    heading, root_positions = integrate_root(features, frame_rate, initial_heading, initial_position)
    rotations = features_to_rotations(features)
    rotations = torch.cat([(yaw_to_matrix(heading) @ rotations[:, 0]).unsqueeze(1), rotations[:, 1:]], dim=1)
    return Motion(
        frame_rate=frame_rate,
        root_positions=root_positions.numpy(),
        joint_rotations=matrix_to_quaternion(rotations).numpy(),
        skeleton=skeleton or neutral_skeleton(),
        foot_contacts=(features[:, CONTACTS] > 0.5).numpy(),
    )
