import numpy as np
import pytest

from infinitedance.motion.fingers import FINGERS, NUM_FINGER_JOINTS, flat_fingers, pose_fingers
from infinitedance.motion.hand_angles import (
    ANGLE_LIMITS,
    RELAXED_ANGLES,
    angles_of_bones,
    rotations_of_angles,
    smooth_angles,
    with_relaxed_fingers,
)
from infinitedance.motion.skeleton import neutral_skeleton


@pytest.fixture
def angles():
    """Random angles well within what hands can do, `(50, 2, 5, 4)`."""
    shares = np.random.default_rng(3).uniform(0.1, 0.85, (50, 2, 5, 4))
    return ANGLE_LIMITS[..., 0] + shares * np.ptp(ANGLE_LIMITS, axis=-1)


def places_of(finger_rotations):
    """Where the joints and tips of hands are whose wrists are at the origin, `(frames, 40, 3)`."""
    frames = len(finger_rotations)
    wrists, turns = np.zeros((frames, 2, 3)), np.tile(np.eye(3), (frames, 2, 1, 1))
    return pose_fingers(finger_rotations, wrists, turns, neutral_skeleton())[0]


def bones_of(finger_rotations):
    """Directions of the bones, `(frames, 2, 5, 3, 3)`."""
    places = places_of(finger_rotations)
    joints = places[:, :NUM_FINGER_JOINTS].reshape(-1, 2, 5, 3, 3)
    tips = places[:, NUM_FINGER_JOINTS:].reshape(-1, 2, 5, 1, 3)
    return np.diff(np.concatenate([joints, tips], axis=3), axis=3)


def test_no_angle_is_the_flat_hand():
    np.testing.assert_allclose(rotations_of_angles(np.zeros((1, 2, 5, 4))), flat_fingers(1), atol=1e-7)


def test_angles_are_found_again_in_the_bones(angles):
    np.testing.assert_allclose(angles_of_bones(bones_of(rotations_of_angles(angles))), angles, atol=1e-6)


def test_equal_angles_of_both_hands_are_mirror_images(angles):
    angles[:, 1] = angles[:, 0]
    places = places_of(rotations_of_angles(angles))
    left, right = np.r_[0:15, 30:35], np.r_[15:30, 35:40]
    np.testing.assert_allclose(places[:, right], places[:, left] * [-1, 1, 1], atol=1e-7)


@pytest.mark.parametrize("finger", FINGERS)
def test_bends_bring_the_tip_toward_the_palm_and_spread_brings_it_toward_the_thumb(finger):
    angles = np.zeros((3, 2, 5, 4))
    index = FINGERS.index(finger)
    angles[1, :, index, 1 if finger != "thumb" else 0] = angles[1, :, index, 2:] = 0.4
    angles[2, :, index, 0] = 0.3
    tips = places_of(rotations_of_angles(angles))[:, NUM_FINGER_JOINTS + index]
    assert tips[1, 1] < tips[0, 1] - 0.01
    if finger != "thumb":
        assert tips[2, 2] > tips[0, 2] + 0.01


def test_bones_beyond_what_hands_can_do_end_at_the_limits():
    angles = np.zeros((1, 2, 5, 4))
    angles[..., 2] = -1.0
    found = angles_of_bones(bones_of(rotations_of_angles(angles)))
    np.testing.assert_allclose(found[..., 2], np.broadcast_to(ANGLE_LIMITS[:, 2, 0], (1, 2, 5)))


def test_a_hand_that_is_lost_eases_to_a_relaxed_pose_without_a_jump():
    angles = np.full((90, 2, 5, 4), 0.8)
    weights = np.ones((90, 2))
    weights[30:60, 0] = 0
    angles[30:60, 0] = 7.0  # what is found where nothing is seen
    smooth = smooth_angles(angles, weights, 30.0)
    np.testing.assert_allclose(smooth[45, 0], RELAXED_ANGLES, atol=0.06)
    np.testing.assert_allclose(smooth[:, 1], 0.8, atol=0.03)
    assert np.abs(np.diff(smooth[:, 0], axis=0)).max() < 0.15


def test_a_short_gap_is_bridged():
    angles, weights = np.full((60, 2, 5, 4), 0.8), np.ones((60, 2))
    weights[30:33] = 0
    np.testing.assert_allclose(smooth_angles(angles, weights, 30.0)[31], 0.8, atol=0.05)


def test_a_dance_without_fingers_gets_resting_hands_and_one_with_fingers_keeps_its_own(moving, with_fingers):
    relaxed = with_relaxed_fingers(moving)
    assert np.array_equal(relaxed.joint_rotations, moving.joint_rotations)
    assert relaxed.finger_rotations.shape == (moving.num_frames, 30, 4)
    assert (relaxed.finger_rotations == relaxed.finger_rotations[0]).all()
    angles = angles_of_bones(bones_of(relaxed.finger_rotations[:1]))
    np.testing.assert_allclose(np.degrees(angles[0, 0, FINGERS.index("middle"), 1:]), [20, 30, 15], atol=1e-3)
    assert with_relaxed_fingers(with_fingers) is with_fingers
