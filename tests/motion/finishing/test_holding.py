from dataclasses import replace

import numpy as np
import pytest

from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.finishing.blending import feet_of
from infinitedance.motion.finishing.holding import hold_in_spans
from infinitedance.motion.finishing.resting import center_of_mass, foot_centers, joint_speeds
from infinitedance.motion.skeleton import CONTACT_JOINTS

SPANS = [(4.0, 8.0), (11.3, 13.0), (16.02, 19.6)]
FEET = list(CONTACT_JOINTS)


@pytest.fixture(scope="module")
def rested(waltz):
    return hold_in_spans(waltz, SPANS)


def check_rests(motion, rested, spans):
    """Check that a dance rests in its spans: slow within a second, and feet that do not move."""
    speeds = joint_speeds(rested.joint_positions(), 30.0)
    positions = rested.joint_positions()
    mean = joint_speeds(motion.joint_positions(), 30.0).mean()
    for start, end in spans:
        first = 0 if start == 0 else round(30 * start) + 30
        last = motion.num_frames if end >= motion.duration_seconds else max(first, round(30 * end) - 16)
        assert speeds[first:last].max(initial=0) < mean / 5
        moved = np.abs(positions[first:last, FEET] - positions[first : first + 1, FEET])
        assert moved.max(initial=0) < 1e-5
        center = center_of_mass(positions[first : first + 1].astype(float))[0, [0, 2]]
        feet = foot_centers(positions[first : first + 1].astype(float))[0]
        assert np.linalg.norm(center - feet, axis=-1).min() < np.linalg.norm(feet[0] - feet[1]) / 2 + 0.02


def check_is_moved_as_a_whole(before, after):
    """Check that two dances are the same up to a turn about +Y and a shift over the floor."""
    np.testing.assert_array_equal(after.joint_rotations[:, 1:], before.joint_rotations[:, 1:])
    np.testing.assert_allclose(after.root_positions[:, 1], before.root_positions[:, 1], atol=1e-6)
    paths = [m.root_positions[:, 0] + 1j * m.root_positions[:, 2].astype(complex) for m in (before, after)]
    paths = [path - path[0] for path in paths]
    turn = np.vdot(paths[0], paths[1])
    np.testing.assert_allclose(paths[1], paths[0] * turn / abs(turn), atol=1e-4)


def test_the_dancer_rests_in_every_span_in_balance_on_feet_that_do_not_move(waltz, rested):
    check_rests(waltz, rested, SPANS)


@pytest.mark.parametrize("frames", [(0, 112), (240, 330), (390, 472), (588, 720)])
def test_outside_the_spans_the_dance_is_the_same_moved_over_the_floor_and_in_time(waltz, rested, frames):
    assert rested.num_frames == waltz.num_frames
    check_is_moved_as_a_whole(waltz.cut(*frames), rested.cut(*frames))


def test_the_first_part_stays_where_it_is(waltz, rested):
    np.testing.assert_array_equal(rested.root_positions[:112], waltz.root_positions[:112])


@pytest.mark.parametrize("end", [8.0, 8.2, 8.4, 8.6])
def test_a_foot_stands_while_the_dancer_gets_going(make_walker, end):
    rested = hold_in_spans(make_walker(12.0), [(4.0, end)])
    toes = feet_of(rested).toes[round(30 * end) - 15 : round(30 * end) + 1, :, [0, 2]]
    ways = np.linalg.norm(toes - toes[0], axis=-1).max(axis=0)
    assert ways.min() < 2e-3


def test_feet_do_not_slide_more_and_nothing_jumps(waltz, rested):
    positions = [motion.joint_positions() for motion in (waltz, rested)]
    slides = [foot_slide_mm(p[:, FEET], m.foot_contacts) for p, m in zip(positions, (waltz, rested), strict=True)]
    assert slides[1] < 1.05 * slides[0] + 0.3
    jumps = [np.linalg.norm(np.diff(p, axis=0), axis=-1).max() for p in positions]
    assert jumps[1] < 1.3 * jumps[0]


@pytest.mark.parametrize(
    "spans",
    [
        [(0.0, 3.0)],
        [(20.0, 24.0)],
        [(20.0, 99.0)],
        [(-5.0, 99.0)],
        [(0.0, 0.5), (22.9, 24.0)],
        [(0.0, 24.0)],
        [(0.0, 2.0), (3.1, 6.0), (7.05, 8.5), (22.0, 24.0)],
    ],
)
def test_any_layout_is_rested_in(waltz, spans):
    rested = hold_in_spans(waltz, spans)
    assert rested.num_frames == waltz.num_frames
    check_rests(waltz, rested, spans)


def test_spans_that_overlap_or_nearly_touch_are_one_in_any_order(waltz):
    expected = hold_in_spans(waltz, [(4.0, 9.0), (12.0, 15.0)])
    same = hold_in_spans(waltz, [(12.0, 15.0), (7.0, 9.0), (4.0, 6.2), (4.5, 5.0)])
    np.testing.assert_array_equal(same.joint_rotations, expected.joint_rotations)
    np.testing.assert_array_equal(same.root_positions, expected.root_positions)


@pytest.mark.parametrize(
    "spans", [[], [(4.0, 5.2)], [(0.0, 0.4)], [(23.6, 25.0)], [(5.0, 5.0)], [(30.0, 40.0)], [(-3.0, 0.0)]]
)
def test_without_a_span_that_is_long_enough_the_dance_is_the_same(waltz, spans):
    assert hold_in_spans(waltz, spans) is waltz


@pytest.mark.parametrize("num_frames", [1, 2, 3, 10, 25, 45])
@pytest.mark.parametrize("spans", [[(0, 99)], [(0, 0.1)], [(0.1, 0.3)], [(0.4, 99)], [(0, 0.7), (0.6, 1.2)]])
def test_the_shortest_dances_keep_their_frames(waltz, num_frames, spans):
    assert hold_in_spans(waltz.cut(100, 100 + num_frames), spans).num_frames == num_frames


def test_a_dance_without_contacts_gets_none(waltz):
    assert hold_in_spans(replace(waltz, foot_contacts=None), SPANS).foot_contacts is None


@pytest.mark.parametrize("spans", [[(3.0, 2.0)], [(np.nan, 2.0)], [(0.0, np.inf)], [1.0, 2.0], [(1.0, 2.0, 3.0)]])
def test_spans_that_are_none_are_refused(waltz, spans):
    with pytest.raises(ValueError, match="`spans_seconds` must be pairs of a start and a later end in seconds, got"):
        hold_in_spans(waltz, spans)


@pytest.mark.shared_data
def test_a_real_dance_rests(real_waltz):
    spans = [(3.0, 6.0), (14.0, 17.5), (30.0, 34.0), (48.0, 99.0)]
    check_rests(real_waltz, hold_in_spans(real_waltz, spans), spans)
