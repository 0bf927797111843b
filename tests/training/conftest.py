"""Built data sets of synthetic dances, and a model of the smallest size."""

from pathlib import Path

import numpy as np
import pytest

from infinitedance.motion.features import motion_to_features
from infinitedance.motion.motion import Motion


def features_of_a_walk(num_frames: int, phase: float) -> np.ndarray:
    seconds = np.arange(num_frames) / 30
    rotations = np.zeros((num_frames, 22, 4), dtype=np.float32)
    angle = 0.5 * np.sin(2 * np.pi * seconds + phase)
    rotations[..., 0] = 1
    for joint, axis in ((0, 2), (3, 3), (16, 2), (19, 1)):
        rotations[:, joint, 0], rotations[:, joint, axis] = np.cos(angle / 2), np.sin(angle / 2)
    circle = np.stack([np.sin(seconds), 0.93 + 0.02 * angle, np.cos(seconds)], axis=-1)
    left_stands = np.floor(2 * seconds) % 2 == 0
    contacts = np.stack([left_stands, ~left_stands] * 2, axis=-1)
    return motion_to_features(Motion(30.0, circle, rotations, foot_contacts=contacts)).numpy()


@pytest.fixture(scope="session")
def walking_features():
    """Features `(frames, 269)` of a dancer who walks and waves: `walking_features(num_frames, phase)`."""
    return features_of_a_walk


@pytest.fixture(scope="session")
def built_folder(tmp_path_factory, write_built) -> Path:
    """Four training clips with a mirrored copy each, and two test clips of two sources; one clip is very short."""
    dances, fields = {}, {}
    lengths = [("train", 40), ("train", 90), ("train", 5), ("train", 64), ("test", 70), ("test", 70)]
    for number, (split, num_frames) in enumerate(lengths):
        for suffix in ("", "_mirror"):
            clip_id = f"clip_{number}{suffix}"
            dances[clip_id] = features_of_a_walk(num_frames, number + len(suffix))
            fields[clip_id] = {"source": "stage" if number % 2 else "street", "split": split}
    return write_built(tmp_path_factory.mktemp("built"), dances, fields)
