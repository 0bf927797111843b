"""Files of landmarks and cameras."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.capture.landmark_files import load_landmarks, save_landmarks
from infinitedance.dataset_builder.procedural.dance import synthesize_dance


@pytest.fixture(scope="module")
def seen(see_dance):
    return see_dance(synthesize_dance("waltz", 90, 1.0, seed=1), person=1, shot=2, first_frame=30)


def test_landmarks_and_camera_come_back_as_they_were(seen, tmp_path):
    lifted, track = seen
    track = replace(track, camera_shifts=np.random.default_rng(0).normal(size=(track.num_frames, 2)))
    save_landmarks(track, lifted.camera, tmp_path / "dance.npz")
    found, camera = load_landmarks(tmp_path / "dance.npz")
    for name in ("person", "shot", "first_frame", "frame_rate", "image_size"):
        assert getattr(found, name) == getattr(track, name)
    for name in ("image_points", "confidences", "world_points", "camera_shifts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(track, name))
    assert (camera.image_size, camera.focal_length) == (lifted.camera.image_size, lifted.camera.focal_length)
    np.testing.assert_array_equal(camera.rotations, lifted.camera.rotations)
    np.testing.assert_array_equal(camera.position, lifted.camera.position)


def test_equal_landmarks_give_equal_bytes(seen, tmp_path):
    lifted, track = seen
    for name in ("a.npz", "b.npz"):
        save_landmarks(track, lifted.camera, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_another_archive_is_refused_by_its_name(tmp_path):
    np.savez(tmp_path / "other.npz", version=np.array(1))
    with pytest.raises(ValueError, match=r"other\.npz is no file of landmarks: landmark_names"):
        load_landmarks(tmp_path / "other.npz")


def test_a_file_must_have_the_ending(seen, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        save_landmarks(seen[1], seen[0].camera, tmp_path / "dance.npy")
