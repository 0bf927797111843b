import numpy as np
import pytest

from infinitedance.motion.finishing.blending import TOES, Feet, with_feet
from infinitedance.motion.finishing.toes import bend_toes
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import neutral_skeleton


def pitched(degrees: float, toe_height: float) -> Motion:
    """Stand with both feet pointing down by an angle from flat, their balls at a height, metres."""
    rotations = np.zeros((1, 22, 4))
    rotations[..., 0] = 1
    angle = np.radians(degrees)
    pitch = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    toes = np.array([[[0.09, toe_height, 0.1], [-0.09, toe_height, 0.1]]])
    motion = Motion(30.0, np.array([[0.0, 0.85, 0.0]]), rotations)
    return with_feet(motion, Feet(toes, np.tile(pitch, (1, 2, 1, 1))))


def toe_slope(motion: Motion) -> np.ndarray:
    """Return by how much the toes point down, `(frames, 2)`, degrees."""
    forward = motion.joint_frames()[1][:, TOES, :, 2]
    return np.degrees(np.arcsin(-forward[..., 1]))


@pytest.mark.parametrize("degrees", [0.0, 10.0, 35.0, 59.0])
def test_toes_lie_flat_under_a_raised_heel(degrees):
    on_the_ball = pitched(degrees, neutral_skeleton().toe_rest_height)
    np.testing.assert_allclose(toe_slope(on_the_ball), degrees, atol=1e-3)
    np.testing.assert_allclose(toe_slope(bend_toes(on_the_ball)), 0, atol=1e-3)


def test_toes_bend_by_sixty_degrees_at_most_and_never_downward():
    height = neutral_skeleton().toe_rest_height
    np.testing.assert_allclose(toe_slope(bend_toes(pitched(70.0, height))), 10, atol=1e-3)
    np.testing.assert_allclose(toe_slope(bend_toes(pitched(-20.0, height))), -20, atol=1e-3)


def test_in_the_air_toes_are_straight_and_in_between_they_bend_less():
    height = neutral_skeleton().toe_rest_height
    np.testing.assert_allclose(toe_slope(bend_toes(pitched(40.0, height + 0.1))), 40, atol=1e-3)
    between = [toe_slope(bend_toes(pitched(40.0, height + up)))[0, 0] for up in (0.02, 0.03, 0.04, 0.05)]
    assert (np.diff(between) > 0).all() and 0 < between[0] < between[-1] < 40


def test_no_joint_moves_and_a_second_time_changes_nothing(waltz):
    bent = bend_toes(waltz)
    np.testing.assert_allclose(bent.joint_positions(), waltz.joint_positions(), atol=1e-6)
    np.testing.assert_array_equal(bend_toes(bent).joint_rotations, bent.joint_rotations)
    others = [joint for joint in range(22) if joint not in TOES]
    np.testing.assert_array_equal(bent.joint_rotations[:, others], waltz.joint_rotations[:, others])
