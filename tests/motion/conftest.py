from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.fingers import NUM_FINGER_JOINTS
from infinitedance.motion.motion import Motion


@pytest.fixture
def with_fingers(moving) -> Motion:
    """The fixture `moving`, whose fingers move smoothly and differently on both hands."""
    curves = np.random.default_rng(5).normal(size=(2, NUM_FINGER_JOINTS, 3)) * 0.3
    times = np.linspace(0, 3, moving.num_frames)[:, None, None]
    vectors = torch.from_numpy(curves[0] * np.sin(times) + curves[1] * np.cos(2 * times))
    quaternions = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(vectors)).numpy()
    return replace(moving, finger_rotations=quaternions)
