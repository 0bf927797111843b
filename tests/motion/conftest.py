"""A moving body with known rotations, for tests of the motion package."""

import pytest
import roma
import torch

from infinitedance.motion.motion import Motion
from infinitedance.motion.rotations import matrix_to_quaternion


def make_motion(num_frames: int = 120, seed: int = 0, strength: float = 0.5, frame_rate: float = 30.0) -> Motion:
    """Return smooth random rotations and a root that walks along a curve while it turns."""
    generator = torch.Generator().manual_seed(seed)
    knots = torch.randn(num_frames // 15 + 2, 22 * 3, generator=generator) * strength
    rotation_vectors = torch.nn.functional.interpolate(
        knots.T[None], size=num_frames, mode="linear", align_corners=True
    )
    rotations = roma.rotvec_to_rotmat(rotation_vectors[0].T.unflatten(1, (22, 3)).double())
    seconds = torch.arange(num_frames).double() / frame_rate
    turn = roma.rotvec_to_rotmat(torch.stack([0 * seconds, 1.5 * seconds, 0 * seconds], dim=-1))
    rotations[:, 0] = turn @ rotations[:, 0]
    root = torch.stack([seconds.sin(), 0.97 + 0.05 * (2 * seconds).cos(), 0.5 * seconds], dim=-1).numpy()
    return Motion(frame_rate, root, matrix_to_quaternion(rotations).numpy())


@pytest.fixture
def moving() -> Motion:
    return make_motion()


@pytest.fixture
def make_moving():
    return make_motion
