from collections.abc import Callable

import numpy as np
import pytest
import torch

from infinitedance.capture.camera import Camera, level_camera_rotation
from infinitedance.capture.landmark_body import place_landmarks
from infinitedance.capture.landmarks import LandmarkTrack
from infinitedance.motion.motion import Motion

IMAGE_SIZE = (640, 480)


@pytest.fixture(scope="session")
def front_camera() -> Camera:
    """A camera four metres in front of the origin, 1.4 m high, tilted down by 0.1."""
    return Camera(IMAGE_SIZE, 700.0, level_camera_rotation(0.1, 0.02)[None], np.array([0.0, 1.4, 4.0]))


@pytest.fixture(scope="session")
def see() -> Callable[..., LandmarkTrack]:
    """Make the track of a dance that a camera sees without errors: `see(motion, camera)`."""

    def make(motion: Motion, camera: Camera) -> LandmarkTrack:
        positions, rotations = (torch.from_numpy(array) for array in motion.joint_frames())
        landmarks = place_landmarks(positions, rotations).numpy()
        seen = camera.to_camera(landmarks)
        return LandmarkTrack(
            person=0,
            shot=0,
            first_frame=0,
            image_size=camera.image_size,
            image_points=camera.project(landmarks),
            confidences=np.ones(landmarks.shape[:2]),
            world_points=seen - seen[:, [23, 24]].mean(axis=1, keepdims=True),
        )

    return make
