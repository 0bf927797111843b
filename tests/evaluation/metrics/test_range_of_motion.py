import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from infinitedance.evaluation.metrics.range_of_motion import (
    arm_elevations,
    body_ranges,
    elbow_bends,
    gaze_elevation,
    joint_range,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

FRAME_RATE = 30.0


def posed(joint: str, axis: str, degrees: np.ndarray) -> Motion:
    """Our body in its T-pose with one joint turned."""
    rotations = np.zeros((len(degrees), 22, 4))
    rotations[..., 0] = 1
    quaternions = Rotation.from_euler(axis, degrees[:, None], degrees=True).as_quat()
    rotations[:, JOINT_INDEX[joint]] = quaternions[:, [3, 0, 1, 2]]
    return Motion(FRAME_RATE, np.tile([0, 0.95, 0], (len(degrees), 1)), rotations)


ANGLES = np.linspace(-80, 40, 121)


def test_an_arm_that_swings_up_has_its_angle_and_the_other_none():
    elevations = arm_elevations(posed("left_shoulder", "z", ANGLES).joint_positions())
    np.testing.assert_allclose(elevations[:, 0], ANGLES, atol=1e-3)
    np.testing.assert_allclose(elevations[:, 1], 0, atol=1e-3)
    ranges = body_ranges(posed("left_shoulder", "z", ANGLES))
    assert ranges["left_arm_low"] == pytest.approx(-74, abs=0.1)
    assert ranges["left_arm_high"] == pytest.approx(34, abs=0.1)
    assert ranges["right_arm_low"] == pytest.approx(0, abs=0.1)


def test_a_bent_elbow_has_its_angle():
    bends = elbow_bends(posed("right_elbow", "y", np.linspace(0, 150, 50)).joint_positions())
    np.testing.assert_allclose(bends[:, 1], np.linspace(0, 150, 50), atol=0.05)
    np.testing.assert_allclose(bends[:, 0], 0, atol=0.05)


@pytest.mark.parametrize("joint", ["head", "neck", "spine1", "pelvis"])
def test_whoever_tilts_back_looks_up(joint):
    np.testing.assert_allclose(gaze_elevation(posed(joint, "x", -ANGLES)), ANGLES, atol=1e-3)


def test_a_turn_of_the_head_is_no_look_up():
    np.testing.assert_allclose(gaze_elevation(posed("head", "y", ANGLES)), 0, atol=1e-3)


def test_a_joint_that_swings_has_half_its_swing_as_range_and_a_stiff_one_none():
    motion = posed("left_wrist", "z", np.linspace(-30, 30, 601))
    assert joint_range(motion, "left_wrist") == pytest.approx(28.5, abs=0.1)
    assert joint_range(motion, "right_wrist") == pytest.approx(0, abs=1e-3)
    ranges = body_ranges(motion)
    assert ranges["wrists"] == pytest.approx(14.25, abs=0.1) and ranges["toes"] == pytest.approx(0, abs=1e-3)


def test_the_sign_of_quaternions_is_no_range():
    motion = posed("left_wrist", "z", np.full(60, 20.0))
    flipped = motion.joint_rotations * np.where(np.arange(60) % 2, -1, 1)[:, None, None]
    assert joint_range(Motion(FRAME_RATE, motion.root_positions, flipped), "left_wrist") == pytest.approx(0, abs=0.1)
