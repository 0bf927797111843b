from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.feet.grounding import MAX_DEPTH_METRES, MAX_SLOPE_DEGREES, level_floor
from infinitedance.motion.kinematics import matrix_to_quaternion, quaternion_to_matrix
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS


@pytest.fixture(scope="module")
def dance() -> Motion:
    return put_on_floor(synthesize_dance("rumba", 96, 4.0, seed=0))


@pytest.fixture(scope="module")
def travelling(dance) -> Motion:
    """The same dance at the four corners of a square of 1.2 metres, one after the other."""
    corners = [np.array([x, 0, z], dtype=np.float32) for x in (-0.6, 0.6) for z in (-0.6, 0.6)]
    return replace(
        dance,
        root_positions=np.concatenate([dance.root_positions + corner for corner in corners]),
        joint_rotations=np.concatenate([dance.joint_rotations] * 4),
        foot_contacts=np.concatenate([dance.foot_contacts] * 4),
    )


def tilt(motion: Motion, degrees: float, axis: tuple[float, float, float], shift: float = 0.0) -> Motion:
    """Turn a dance and the floor under it about the origin, and lift both."""
    turn = roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(degrees)).double() * torch.tensor(axis).double())
    rotations = motion.joint_rotations.copy()
    root = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
    rotations[:, 0] = matrix_to_quaternion(turn @ root).numpy()
    path = motion.root_positions.astype(np.float64) @ turn.numpy().T + np.array([0.0, shift, 0.0])
    return replace(motion, root_positions=path, joint_rotations=rotations, foot_contacts=None)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
@pytest.mark.parametrize(("degrees", "shift"), [(0.0, -3.0), (4.0, 0.3), (10.0, -1.0)])
def test_a_tilted_and_shifted_floor_is_level_again(travelling, axis, degrees, shift):
    levelled = level_floor(tilt(travelling, degrees, axis, shift))
    gap = levelled.joint_positions()[..., 1] - travelling.joint_positions()[..., 1]
    assert np.abs(gap).max() < 0.02
    # Nothing but root path and root rotation changes, and the body keeps its shape.
    np.testing.assert_array_equal(levelled.joint_rotations[:, 1:], travelling.joint_rotations[:, 1:])
    agree = (levelled.foot_contacts == travelling.foot_contacts).mean()
    assert agree > 0.9


def test_a_level_floor_stays(travelling):
    levelled = level_floor(travelling)
    assert np.abs(levelled.joint_positions() - travelling.joint_positions()).max() < 0.015


def test_feet_that_touch_few_places_tell_no_slope(dance):
    tilted = tilt(dance, 8.0, (1.0, 0.0, 0.0), 0.5)
    levelled = level_floor(tilted)
    np.testing.assert_allclose(levelled.joint_rotations, tilted.joint_rotations, atol=1e-6)
    moved = levelled.root_positions - tilted.root_positions
    assert np.ptp(moved, axis=0).max() < 1e-5 and np.abs(moved[:, [0, 2]]).max() < 1e-6


def test_a_floor_steeper_than_any_is_no_floor(travelling):
    steep = tilt(travelling, MAX_SLOPE_DEGREES + 15, (1.0, 0.0, 0.0))
    levelled = level_floor(steep)
    np.testing.assert_allclose(levelled.joint_rotations, steep.joint_rotations, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_the_shortest_dances_are_put_on_the_floor(dance, num_frames):
    lifted = replace(dance, root_positions=dance.root_positions + np.array([0, 2, 0], dtype=np.float32))
    levelled = level_floor(lifted.cut(0, num_frames))
    feet = levelled.joint_positions()[:, list(CONTACT_JOINTS), 1] - dance.skeleton.contact_rest_heights
    assert levelled.num_frames == num_frames and abs(feet.min()) < 0.02


def test_feet_that_seldom_stand_do_not_lift_the_floor_over_the_others():
    """A capture that drifts upwards, and stands still only where it is highest."""
    seconds = np.arange(120) / 30
    root = np.stack([0 * seconds, 0.9 + 0.1 * np.minimum(seconds, 3), 0.9 * np.minimum(seconds, 3)], axis=1)
    rotations = np.zeros((120, 22, 4))
    rotations[..., 0] = 1
    dance = level_floor(Motion(30.0, root, rotations), fits_slope=False)
    depth = -dance.skeleton.fit_floor_height(dance.joint_positions())
    assert depth == pytest.approx(MAX_DEPTH_METRES, abs=1e-3)
