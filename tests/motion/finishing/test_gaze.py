import numpy as np
import pytest

from infinitedance.motion.finishing.gaze import gaze_elevation, steady_gaze
from infinitedance.motion.finishing.holding import hold_in_spans
from infinitedance.motion.skeleton import JOINT_INDEX

HEAD = JOINT_INDEX["head"]
UNTOUCHED = [joint for joint in range(22) if joint not in (JOINT_INDEX[name] for name in ("spine3", "neck", "head"))]


def gaze_yaw(motion):
    gaze = motion.joint_frames()[1][:, HEAD, :, 2]
    return np.arctan2(gaze[:, 0], gaze[:, 2])


@pytest.mark.parametrize("degrees", [-30.0, 0.0, 12.5, 50.0])
def test_the_median_look_is_as_asked_and_keeps_its_direction_over_the_floor(waltz, degrees):
    steady = steady_gaze(waltz, degrees)
    assert np.median(gaze_elevation(steady)) == pytest.approx(degrees, abs=1e-3)
    assert np.abs(np.angle(np.exp(1j * (gaze_yaw(steady) - gaze_yaw(waltz))))).max() < 1e-6


def test_nods_stay_as_they_are(make_moving):
    moving = make_moving(num_frames=400, strength=0.1)
    before, after = gaze_elevation(moving), gaze_elevation(steady_gaze(moving, 20.0))
    assert before.std() > 3
    np.testing.assert_allclose(after - after.mean(), before - before.mean(), atol=1e-2)


def test_only_the_upper_spine_the_neck_and_the_head_turn(waltz):
    steady = steady_gaze(waltz, 30.0)
    before, after = waltz.joint_frames()[1], steady.joint_frames()[1]
    np.testing.assert_allclose(after[:, UNTOUCHED], before[:, UNTOUCHED], atol=1e-5)
    np.testing.assert_array_equal(steady.root_positions, waltz.root_positions)


def test_looks_to_the_zenith_stay_there_and_nobody_looks_over_the_back(make_moving):
    wild = make_moving(num_frames=600, strength=0.8)
    elevations = gaze_elevation(wild)
    assert elevations.max() > 75
    for degrees in (-60.0, 60.0):
        turned = steady_gaze(wild, degrees)
        assert np.median(gaze_elevation(turned)) == pytest.approx(degrees, abs=0.5)
        assert np.cos(gaze_yaw(turned) - gaze_yaw(wild)).min() > 0.999


def test_a_second_time_changes_nothing(waltz):
    steady = steady_gaze(waltz, 10.0)
    again = steady_gaze(steady, 10.0)
    np.testing.assert_allclose(again.joint_rotations, steady.joint_rotations, atol=1e-5)


def test_one_frame_and_a_dance_that_rests_are_turned_too(waltz):
    assert gaze_elevation(steady_gaze(waltz.cut(3, 4), 25.0))[0] == pytest.approx(25, abs=1e-3)
    rested = steady_gaze(hold_in_spans(waltz, [(0, 99)]), 25.0)
    assert np.median(gaze_elevation(rested)) == pytest.approx(25, abs=1e-3)


@pytest.mark.parametrize("degrees", [81.0, -90.0, np.nan])
def test_a_look_that_is_too_steep_is_refused(waltz, degrees):
    with pytest.raises(ValueError, match="`median_elevation_degrees` must lie between -80 and 80 degrees, got"):
        steady_gaze(waltz, degrees)
