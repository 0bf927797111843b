import numpy as np
import pytest

from infinitedance.motion.finishing.ending import end_pose, fade_to_rest
from infinitedance.motion.finishing.resting import center_of_mass, foot_centers, joint_speeds, pose_qualities
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

FEET = list(CONTACT_JOINTS)
END_SECONDS, END = 20.0, 600


def speeds_of(motion):
    return joint_speeds(motion.joint_positions(), 30.0)


def check_stands_from(motion, frame):
    positions = motion.joint_positions().astype(float)[frame:]
    assert np.abs(positions[:, FEET] - positions[:1, FEET]).max() < 1e-5
    np.testing.assert_allclose(positions[0, FEET[2:], 1], motion.skeleton.toe_rest_height, atol=1e-3)
    assert speeds_of(motion)[frame + 1 :].max(initial=0) < 0.02
    feet, center = foot_centers(positions[:1])[0], center_of_mass(positions[:1])[0, [0, 2]]
    assert np.linalg.norm(center - feet, axis=-1).min() < np.linalg.norm(feet[0] - feet[1]) / 2 + 0.02


def test_the_dancer_arrives_on_the_downbeat_and_stands_to_the_end(waltz):
    ended = end_pose(waltz, END_SECONDS)
    assert ended.num_frames == waltz.num_frames
    check_stands_from(ended, END)
    assert speeds_of(ended)[END - 20 : END - 5].max() > 0.3  # not before


def test_up_to_the_last_steps_nothing_changes(waltz):
    ended = end_pose(waltz, END_SECONDS)
    np.testing.assert_array_equal(ended.joint_rotations[: END - 24], waltz.joint_rotations[: END - 24])
    np.testing.assert_array_equal(ended.root_positions[: END - 24], waltz.root_positions[: END - 24])
    steps = [np.linalg.norm(np.diff(m.joint_positions(), axis=0), axis=-1).max() for m in (waltz, ended)]
    assert steps[1] < 1.5 * steps[0]


def test_the_pose_is_one_with_the_arms_away_from_the_body_even_if_it_comes_after_the_end():
    """The dancer lowers the arms, but for one moment half a second after the end, and one three bars before it."""
    frames = np.arange(300)
    rise = np.exp(-(((frames - 215) / 12) ** 2)) + np.exp(-(((frames - 50) / 12) ** 2))
    rotations = np.zeros((300, 22, 4))
    rotations[..., 0] = 1
    for side, sign in (("left", -1), ("right", 1)):
        half = sign * np.radians(80) * (1 - rise) / 2
        rotations[:, JOINT_INDEX[f"{side}_shoulder"]] = np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], -1)
    dance = put_on_floor(Motion(30.0, np.tile([0.0, 0.9, 0.0], (300, 1)), rotations))
    reach = pose_qualities(end_pose(dance, 200 / 30, bar_seconds=1.5)).reach
    assert reach[-1] > 0.95 * pose_qualities(dance).reach.max() > 1.2 * reach[120]


def test_a_fade_slows_down_bit_by_bit(waltz):
    faded = fade_to_rest(waltz, 12.0, 18.0)
    assert faded.num_frames == waltz.num_frames
    np.testing.assert_array_equal(faded.joint_rotations[:360], waltz.joint_rotations[:360])
    check_stands_from(faded, 540)
    thirds = speeds_of(faded)[360:540].reshape(3, 60).mean(axis=1)
    assert thirds[0] > 1.2 * thirds[1] > 1.2 * 1.2 * thirds[2]


@pytest.mark.parametrize("end_seconds", [5.0, 5.25, 5.5])
def test_who_walks_comes_to_stand_on_both_feet(make_walker, end_seconds):
    check_stands_from(fade_to_rest(make_walker(8.0), 4.0, end_seconds), round(30 * end_seconds))


def test_the_style_fade_fades_over_the_last_bar(waltz):
    styled, faded = end_pose(waltz, 18.0, "fade", bar_seconds=3.0), fade_to_rest(waltz, 15.0, 18.0)
    np.testing.assert_array_equal(styled.joint_rotations, faded.joint_rotations)


def test_the_style_none_changes_nothing(waltz):
    assert end_pose(waltz, END_SECONDS, "none") is waltz


@pytest.mark.parametrize("num_frames", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_shortest_dances_keep_their_frames(waltz, num_frames, share):
    dance = waltz.cut(50, 50 + num_frames)
    for style in ("pose", "fade"):
        assert end_pose(dance, share * dance.duration_seconds, style).num_frames == num_frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"end_seconds": 20.0, "style": "bow"}, "`style` must be one of pose, fade, none, got 'bow'"),
        ({"end_seconds": -1.0}, "`end_seconds` must lie within the motion, from 0 to 24.00 s, got -1.0"),
        ({"end_seconds": 25.0}, "from 0 to 24.00 s, got 25.0"),
        ({"end_seconds": np.nan}, "must lie within the motion"),
        ({"end_seconds": 20.0, "bar_seconds": 0.0}, "`bar_seconds` must be a positive number of seconds, got 0.0"),
    ],
)
def test_wrong_arguments_are_refused(waltz, arguments, message):
    with pytest.raises(ValueError, match=message):
        end_pose(waltz, **arguments)


def test_a_fade_that_ends_before_it_starts_is_refused(waltz):
    with pytest.raises(ValueError, match="A fade must end after its start, got 5.0 to 3.0 s"):
        fade_to_rest(waltz, 5.0, 3.0)


@pytest.mark.shared_data
@pytest.mark.parametrize("end_seconds", [12.0, 27.3, 45.0])
def test_a_real_dance_ends_in_balance(real_waltz, end_seconds):
    check_stands_from(end_pose(real_waltz, end_seconds), round(30 * end_seconds))
