"""A tiny codec and dances to feed it."""

import numpy as np
import pytest
import torch

from infinitedance.motion.features import motion_to_features
from infinitedance.motion.motion import Motion
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel


def swaying_motion(num_frames: int, phase: float = 0.0) -> Motion:
    """A dancer who sways, bends the left elbow and walks a circle, at 30 Hz."""
    seconds = np.arange(num_frames) / 30
    rotations = np.zeros((num_frames, 22, 4), dtype=np.float32)
    rotations[..., 0] = 1
    for joint, amplitude, axis in ((0, 0.2, 3), (9, 0.3, 1), (18, 0.8, 2)):
        angle = amplitude * np.sin(2 * np.pi * seconds + joint + phase)
        rotations[:, joint, 0], rotations[:, joint, axis] = np.cos(angle / 2), np.sin(angle / 2)
    circle = np.stack([np.sin(seconds), np.full(num_frames, 0.93), np.cos(seconds)], axis=-1)
    return Motion(30.0, circle, rotations)


@pytest.fixture(scope="session")
def motion() -> Motion:
    return swaying_motion(90)


@pytest.fixture(scope="session")
def motion_features() -> torch.Tensor:
    """Two clips, `(2, 32, 269)`."""
    return torch.stack([motion_to_features(swaying_motion(32, phase)) for phase in (0.0, 1.0)])


@pytest.fixture
def tiny_config() -> MotionCodecConfig:
    return MotionCodecConfig(hidden_size=24, codebook_dim=8, codebook_size=16, residual_dilations=[1, 3])


@pytest.fixture
def tiny_codec(tiny_config, motion_features) -> MotionCodecModel:
    """A codec with statistics and codebooks from one training step, in evaluation mode."""
    torch.manual_seed(0)
    codec = MotionCodecModel(tiny_config)
    codec.set_feature_statistics(motion_features.mean((0, 1)), torch.full((269,), 0.5))
    codec.train()(motion_features)
    return codec.eval()


@pytest.fixture(scope="session")
def motion_features_90(motion) -> torch.Tensor:
    """One clip, `(90, 269)`."""
    return motion_to_features(motion)
