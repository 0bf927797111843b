from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.features import facing_heading
from infinitedance.motion.feet.planting import plant_feet
from infinitedance.motion.finishing.blending import FloorMove, feet_of, wrapped
from infinitedance.motion.finishing.holding import hold_in_spans
from infinitedance.motion.finishing.staging import keep_on_stage
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS

FEET = list(CONTACT_JOINTS)
PHRASES = np.arange(0.0, 180.0, 16.0)


def distances(motion, center=None):
    path = motion.root_positions[:, [0, 2]]
    return np.linalg.norm(path - (path[0] if center is None else center), axis=-1)


def off_front(motion, seconds):
    """Return how far the dancer turns away from +Z at some times, degrees."""
    headings = facing_heading(motion.joint_positions(), motion.frame_rate)
    return np.abs(np.degrees(wrapped(headings[np.round(np.asarray(seconds) * motion.frame_rate).astype(int)])))


def slide(motion, contacts):
    return foot_slide_mm(motion.joint_positions()[:, FEET], contacts)


@pytest.fixture(scope="module")
def kept_walker(walker):
    return keep_on_stage(walker, 2.0, PHRASES)


@pytest.fixture(scope="module")
def turned_walker(walker):
    """The walker on the way to the side of the stage, along +X, away from the front."""
    return FloorMove(np.radians(130), np.zeros(3))(walker)


def test_who_walks_straight_on_for_three_minutes_stays_on_the_stage(walker, kept_walker):
    assert distances(walker).max() > 140
    assert kept_walker.num_frames == walker.num_frames
    assert 1.5 < distances(kept_walker).max() <= 2.0


def test_feet_that_stand_do_not_slide_for_it(walker, kept_walker):
    contacts = walker.foot_contacts
    assert slide(kept_walker, contacts) < 1.05 * slide(walker, contacts) + 0.1
    planted = [plant_feet(motion) for motion in (walker, kept_walker)]
    assert slide(planted[1], contacts) < 1.05 * slide(planted[0], contacts) + 0.1


def test_the_walk_stays_a_walk(walker, kept_walker):
    """Both feet go up and down as before; only the way that they make is another."""
    before, after = feet_of(walker).toes, feet_of(kept_walker).toes
    np.testing.assert_allclose(after[..., 1], before[..., 1], atol=0.01)
    bends = [np.linalg.norm(np.diff(m.joint_positions(), 2, axis=0), axis=-1).max() for m in (walker, kept_walker)]
    assert bends[1] < 1.5 * bends[0]


def test_the_dancer_faces_the_audience_when_phrases_start(turned_walker):
    assert off_front(turned_walker, PHRASES).min() > 120
    assert off_front(keep_on_stage(turned_walker, 2.0, PHRASES), PHRASES).max() < 22


def test_turns_are_spread_over_the_phrase_before():
    dance = put_on_floor(synthesize_dance("waltz", 96, 60.0, seed=2))
    phrases = np.arange(0.0, 60.0, 8.0)
    kept = keep_on_stage(dance, 3.0, phrases)
    assert off_front(dance, phrases).max() > 60 > 25 > off_front(kept, phrases).max()
    added = np.diff(facing_heading(kept.joint_positions(), 30.0) - facing_heading(dance.joint_positions(), 30.0))
    assert np.degrees(np.abs(added)).max() * 30 < 90
    assert slide(kept, dance.foot_contacts) < 1.05 * slide(dance, dance.foot_contacts) + 0.05


def test_a_dance_that_is_on_the_stage_and_faces_the_audience_is_the_same(waltz):
    assert keep_on_stage(waltz, 5.0) is waltz
    facing = FloorMove(-facing_heading(waltz.joint_positions(), 30.0)[0], np.zeros(3))(waltz)
    assert keep_on_stage(facing, 5.0, [0.0]) is facing


def test_a_dance_is_turned_as_a_whole_for_its_first_phrase(waltz):
    kept = keep_on_stage(waltz, 5.0, [0.0])
    assert off_front(kept, [0.0])[0] < 22 < off_front(waltz, [0.0])[0]
    between = [np.linalg.norm(m.joint_positions()[:, 10] - m.joint_positions()[5, 20], axis=-1) for m in (waltz, kept)]
    np.testing.assert_allclose(*between, atol=0.05)


def test_who_rests_is_not_moved(walker):
    rested = hold_in_spans(walker, [(20.0, 40.0)])
    kept = keep_on_stage(rested, 1.0, [0.0, 30.0, 60.0])
    positions = kept.joint_positions()[round(21 * 30) : round(39 * 30)]
    np.testing.assert_allclose(
        positions[:, [0, *FEET]], positions[:1, [0, *FEET]].repeat(len(positions), 0), atol=1e-3
    )


def test_a_glide_without_any_step_stays_on_the_stage(waltz):
    frames = np.arange(waltz.num_frames)
    gliding = waltz.root_positions + frames[:, None] * np.array([0.03, 0, 0.01], dtype=np.float32)
    gliding = replace(waltz, root_positions=gliding, foot_contacts=None)
    kept = keep_on_stage(gliding, 1.0)
    assert distances(gliding).max() > 20 and distances(kept).max() <= 1.0
    assert kept.foot_contacts is None


def test_the_stage_may_lie_elsewhere(walker):
    short = walker.cut(0, 900)
    center = (0.5, 1.0)
    assert distances(keep_on_stage(short, 1.5, center=center), center).max() <= 1.5


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 20])
def test_the_shortest_dances_keep_their_frames(walker, num_frames):
    assert keep_on_stage(walker.cut(30, 30 + num_frames), 0.05, [0.0, 0.1]).num_frames == num_frames


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"radius_metres": 0.0}, "`radius_metres` must be a positive number of metres, got 0.0"),
        ({"radius_metres": np.nan}, "must be a positive number of metres, got nan"),
        ({"phrase_starts_seconds": [0.0, np.nan]}, "`phrase_starts_seconds` must be finite times in seconds"),
        (
            {"center": (9.0, 0.0)},
            r"A dance must start within 2.0 m of `center`, .* got \(9.0, 0.0\) for one that starts",
        ),
        ({"center": (0.0, 0.0, 0.0)}, "A dance must start within 2.0 m of `center`, x and z in metres"),
    ],
)
def test_wrong_arguments_are_refused(waltz, arguments, message):
    with pytest.raises(ValueError, match=message):
        keep_on_stage(waltz, **arguments)


@pytest.mark.shared_data
def test_a_real_dance_stays_on_the_stage_and_its_feet_do_not_slide_more(real_waltz):
    phrases = np.arange(0.0, real_waltz.duration_seconds, 12.0)
    kept = keep_on_stage(real_waltz, 1.5, phrases)
    contacts = real_waltz.foot_contacts
    assert distances(real_waltz).max() > 4 > 1.5 >= distances(kept).max()
    assert off_front(kept, phrases).max() < 30
    assert slide(kept, contacts) < 1.05 * slide(real_waltz, contacts)
    assert slide(plant_feet(kept), contacts) < 1.05 * slide(plant_feet(real_waltz), contacts)
