from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.finishing.blending import TOES, feet_of, take, with_feet
from infinitedance.motion.finishing.resting import (
    center_of_mass,
    foot_centers,
    held,
    joint_speeds,
    pose_qualities,
    slowed_frames,
    stand,
    steadiest_foot,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX

UPPER = [JOINT_INDEX[name] for name in ("spine1", "spine3", "head", "left_wrist", "right_wrist")]


def off_support(positions: np.ndarray) -> np.ndarray:
    """Return how far the center of mass is from the line between the feet, `(frames,)`, metres over the floor."""
    feet = foot_centers(positions)
    center = center_of_mass(positions)[:, [0, 2]]
    way = feet[:, 1] - feet[:, 0]
    share = np.clip(((center - feet[:, 0]) * way).sum(-1) / (way**2).sum(-1), 0, 1)
    return np.linalg.norm(feet[:, 0] + share[:, None] * way - center, axis=-1)


def test_the_center_of_mass_of_a_straight_body_is_on_its_axis_and_follows_an_arm():
    rotations = np.tile(np.array([1.0, 0, 0, 0]), (1, 22, 1))
    straight = Motion(30.0, np.zeros((1, 3)), rotations).joint_positions().astype(float)
    assert center_of_mass(straight)[0, 0] == pytest.approx(0, abs=1e-6)
    raised = straight.copy()
    raised[:, [JOINT_INDEX["left_elbow"], JOINT_INDEX["left_wrist"]], 1] += 1.0
    # Half of the upper arm's mass and the whole of the forearm's.
    gain = (center_of_mass(raised) - center_of_mass(straight))[0, 1]
    assert gain == pytest.approx(0.028 / 2 + 0.022, rel=0.01)


@pytest.mark.parametrize("frame", [0, 13, 47, 200])
def test_a_pose_that_stands_is_in_balance_on_both_feet_and_keeps_its_trunk_and_arms(waltz, frame):
    pose = take(waltz, [frame])
    standing = stand(pose)
    toes, before = feet_of(standing).toes[0], feet_of(pose).toes[0]
    np.testing.assert_allclose(toes[:, 1], standing.skeleton.toe_rest_height, atol=1e-3)
    np.testing.assert_allclose(toes[:, [0, 2]], before[:, [0, 2]], atol=1e-3)
    assert off_support(standing.joint_positions().astype(float))[0] < 0.01
    shape = [m.joint_positions()[0, UPPER] - m.joint_positions()[0, 0] for m in (pose, standing)]
    np.testing.assert_allclose(*shape, atol=1e-5)


def test_a_foot_in_the_air_comes_down(make_walker):
    walker = make_walker(2.0)
    in_the_air = int(np.argmax(feet_of(walker).toes[:, 0, 1]))
    standing = stand(take(walker, [in_the_air]))
    np.testing.assert_allclose(feet_of(standing).toes[0, :, 1], standing.skeleton.toe_rest_height, atol=1e-3)


def test_a_pose_out_of_balance_costs_more(waltz):
    leaning = waltz.root_positions + np.array([0.3, 0, 0.3], dtype=np.float32)
    feet = feet_of(waltz)
    off = with_feet(replace(waltz, root_positions=leaning), feet)
    assert (pose_qualities(off).cost > pose_qualities(waltz).cost).mean() > 0.95


def test_time_slows_down_from_full_speed_to_a_stop():
    for stop in (110 / 3, 55.0, 220 / 3):
        moments = slowed_frames(10.0, 10.0 + stop, 110)
        assert moments[0] == 10.0
        steps = np.diff([*moments, 10.0 + stop])
        assert steps[0] == pytest.approx(1, abs=0.05)
        assert (np.diff(steps) < 1e-9).all() and 0 <= steps[-1] < 0.03
    assert len(slowed_frames(5.0, 5.0, 0)) == 0


def test_the_foot_that_stands_is_found(make_walker):
    walker = make_walker(4.0)
    heights = feet_of(walker).toes[..., 1]
    for side in (0, 1):
        swing = int(np.argmax(heights[:, 1 - side]))
        assert steadiest_foot(walker, swing - 2, swing + 3) == side


def test_who_holds_a_pose_breathes_and_stands_still(waltz):
    pose = stand(take(waltz, [30]))
    for is_last in (False, True):
        motion = held(pose, 300, is_last=is_last)
        positions = motion.joint_positions()
        legs = [0, *[joint for joint in range(22) if "hip" in motion.skeleton.joint_names[joint]], *TOES]
        np.testing.assert_array_equal(positions[:, legs], positions[:1, legs].repeat(300, axis=0))
        speed = joint_speeds(positions, 30.0)
        assert 0 < speed.max() < 0.01
        np.testing.assert_allclose(positions[0], pose.joint_positions()[0], atol=1e-6)
        assert np.allclose(positions[-1], positions[0], atol=1e-6) == (not is_last)
