import numpy as np
import pytest
import torch

from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX, MIRROR_ORDER, detect_contacts, is_low_and_slow, neutral_skeleton


def standing(num_frames: int = 10) -> Motion:
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    hips_height = -neutral_skeleton().offsets[[1, 4, 7, 10], 1].sum() + 0.02
    return Motion(30.0, np.tile([0.0, hips_height, 0.0], (num_frames, 1)), rotations)


def test_the_neutral_body_stands_on_the_floor_and_is_symmetric():
    positions = standing().joint_positions()[0]
    assert positions[10, 1] == pytest.approx(0.02, abs=1e-6)
    assert 1.5 < positions[JOINT_INDEX["head"], 1] < 1.7
    np.testing.assert_allclose(positions[list(MIRROR_ORDER)] * [-1, 1, 1], positions, atol=1e-6)


def test_a_planted_foot_is_in_contact_and_a_sliding_or_lifted_one_is_not():
    motion = standing(30)
    positions = motion.joint_positions()
    assert motion.skeleton.detect_foot_contacts(positions, 30.0).all()
    sliding = positions + np.arange(30)[:, None, None] / 30 * np.array([0.7, 0, 0.7])
    assert not motion.skeleton.detect_foot_contacts(sliding, 30.0).any()
    assert not motion.skeleton.detect_foot_contacts(positions + [0, 0.06, 0], 30.0).any()


def test_the_floor_is_found_under_a_dancer_who_floats():
    motion = standing(40)
    assert motion.skeleton.fit_floor_height(motion.joint_positions() + [0, 0.3, 0]) == pytest.approx(0.3, abs=1e-5)


def test_one_rule_of_contact_serves_arrays_and_tensors_with_strict_thresholds():
    heights, speeds = np.array([0.069, 0.071, 0.069, 0.069]), np.array([0.34, 0.34, 0.36, 0.34])
    rest = np.array([0.02, 0.02, 0.02, 0.0])
    expected = [True, False, False, False]
    assert is_low_and_slow(heights, speeds, rest).tolist() == expected
    assert is_low_and_slow(*map(torch.from_numpy, (heights, speeds, rest))).tolist() == expected
    assert is_low_and_slow(heights, speeds, rest, speed_threshold=np.inf).tolist() == [True, False, True, False]


def test_a_single_frame_has_no_speed():
    feet = np.array([[[0.0, 0.01, 0.0], [0.0, 0.2, 0.0]]])
    assert detect_contacts(feet, 30.0, np.zeros(2)).tolist() == [[True, False]]
