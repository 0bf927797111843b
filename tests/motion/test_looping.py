"""Dances in place and loops of whole bars: what is kept, what is blended, and what nobody sees at the seam."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.features import facing_heading
from infinitedance.motion.finishing.blending import FloorMove
from infinitedance.motion.looping import MAX_BLEND_SECONDS, in_place, loop_of_whole_bars
from infinitedance.motion.skeleton import CONTACT_JOINTS

BAR_FRAMES = 60
"""Three beats of 90 a minute."""
BEATS = np.arange(24) * BAR_FRAMES / 3 / 30


def with_beats(dance, beats=BEATS):
    provenance = {"seed": 7, "beat_times_seconds": beats.tolist(), "downbeat_times_seconds": beats[::3].tolist()}
    return replace(dance, provenance=provenance)


@pytest.fixture(scope="module")
def waltz():
    """Eight bars that turn by 45 degrees each, and are the same again, turned, every second bar."""
    return with_beats(synthesize_dance("waltz", 90, 16.0, seed=0))


@pytest.fixture(scope="module")
def three_bars(waltz):
    """Three bars from the second on: the last one is another than the one before the first."""
    return loop_of_whole_bars(waltz, 3, 2)


def positions_of(loop, passes=3):
    """Return joint positions of a loop that is played again and again, `(frames, 22, 3)`, each frame once."""
    return np.concatenate([loop.joint_positions().astype(np.float64)[:-1]] * passes)


def kinks(positions):
    """Return how much the velocity of the most sudden joint changes at each frame but three at either end, m/s.

    Velocities are the slopes of cubics through the four frames up to a frame, and from it on.
    """
    slope, num_frames = np.array([11, -18, 9, -2]) / 6 * 30, len(positions) - 6
    sides = [sum(w * positions[3 + way * i :][:num_frames] for i, w in enumerate(slope)) for way in (-1, 1)]
    return np.linalg.norm(sides[0] + sides[1], axis=-1).max(axis=1)


def slides(motion_positions, contacts):
    """Return how fast feet move over the floor that are marked as standing there in a frame and in the next, m/s."""
    feet = motion_positions[:, list(CONTACT_JOINTS)][..., [0, 2]]
    return (np.linalg.norm(np.diff(feet, axis=0), axis=-1) * 30)[contacts[1:] & contacts[:-1]]


def test_in_place_the_path_goes_and_heights_and_poses_stay(waltz):
    still = in_place(waltz)
    assert not still.root_positions[:, [0, 2]].any()
    np.testing.assert_array_equal(still.root_positions[:, 1], waltz.root_positions[:, 1])
    np.testing.assert_allclose(still.joint_rotations, waltz.joint_rotations, atol=1e-6)


def test_a_dance_that_comes_back_to_itself_is_cut_there_and_keeps_its_poses(waltz):
    loop, seam = loop_of_whole_bars(waltz, 2)
    assert seam.num_bars == 2 and loop.num_frames == 2 * BAR_FRAMES + 1
    assert seam.cut_position_jump_metres < 1e-3 and seam.turn_degrees == pytest.approx(90, abs=0.1)
    frames = slice(start := round(seam.start_seconds * 30), start + 2 * BAR_FRAMES)
    upper_body = slice(9, None)  # legs make other steps, because the turn is taken back
    np.testing.assert_allclose(
        loop.joint_rotations[:-1, upper_body], waltz.joint_rotations[frames, upper_body], atol=1e-3
    )


def test_the_search_finds_the_bars_that_are_alike_and_prefers_those_that_turn_less(waltz):
    rumba = synthesize_dance("rumba", 90, 16.0, seed=0)  # as the waltz, with bars of four beats and half the turn
    rumba = replace(rumba, provenance={"downbeat_times_seconds": (np.arange(6) * 8 / 3).tolist()})
    seam = loop_of_whole_bars(rumba)[1]
    assert (seam.num_bars, round(seam.turn_degrees)) == (2, 45) and seam.cut_position_jump_metres < 1e-3
    assert loop_of_whole_bars(waltz)[1].turn_degrees < 50  # of 45 to 180


@pytest.mark.parametrize(("from_bar", "leads_at_end"), [(1, False), (2, True)])
def test_at_the_seam_nothing_jumps_though_the_cut_would(from_bar, leads_at_end, waltz):
    loop, seam = loop_of_whole_bars(waltz, 3, from_bar)
    assert seam.cut_position_jump_metres > 0.05 and seam.cut_velocity_jump > 0.1
    assert seam.position_jump_metres < 0.001 and seam.velocity_jump < 0.01
    assert (seam.blend_seconds, seam.leads_at_end) == (MAX_BLEND_SECONDS, leads_at_end)
    played = kinks(positions_of(loop))
    around_seam = played[3 * BAR_FRAMES - 3 - 2 :][:5]  # of the first wrap, in the middle
    danced = kinks(waltz.joint_positions().astype(np.float64))
    assert around_seam.max() < 1.2 * danced.max() and played.max() < 1.5 * danced.max()


def test_the_last_key_is_the_first_and_between_them_are_whole_bars(three_bars):
    loop, _ = three_bars
    assert loop.is_loop and loop.num_frames - 1 == 3 * BAR_FRAMES
    for values in (loop.joint_rotations, loop.root_positions, loop.foot_contacts):
        np.testing.assert_array_equal(values[-1], values[0])


def test_way_and_turn_of_a_pass_are_taken_back(waltz, three_bars):
    loop, seam = three_bars
    assert seam.turn_degrees == pytest.approx(135, abs=5) and seam.travel_metres > 0.3
    heading = facing_heading(positions_of(loop), 30)
    np.testing.assert_allclose(heading[3 * BAR_FRAMES :][:50], heading[6 * BAR_FRAMES :][:50], atol=0.02)
    start = round(seam.start_seconds * 30)
    np.testing.assert_allclose(loop.root_positions[0], waltz.root_positions[start], atol=0.02)


def test_feet_that_stand_stay_where_they_are_through_the_whole_loop_and_its_seam(waltz, three_bars):
    loop, _ = three_bars
    contacts = np.concatenate([loop.foot_contacts[:-1]] * 3)
    speeds = slides(positions_of(loop), contacts)
    assert len(speeds) > 0.4 * contacts.size  # most of the time both stand
    assert np.quantile(speeds, 0.95) < 0.1 and speeds.mean() < 0.03
    heights = positions_of(loop)[:, list(CONTACT_JOINTS), 1]
    assert heights.min() > waltz.joint_positions()[:, list(CONTACT_JOINTS), 1].min() - 0.01


def test_a_dance_that_wanders_off_is_returned_to_its_place(waltz):
    drift = replace(
        waltz, root_positions=waltz.root_positions + np.linspace(0, 4, waltz.num_frames)[:, None] * [1, 0, 0]
    )
    loop, seam = loop_of_whole_bars(drift, 4, 1)
    assert seam.travel_metres > 1.5
    np.testing.assert_array_equal(loop.root_positions[-1], loop.root_positions[0])
    assert kinks(loop.root_positions[:, None].astype(np.float64)).max() < 0.1  # it goes back little by little


def test_feet_that_never_step_go_back_in_the_blend(waltz):
    """Both feet are dragged over the floor, so slowly that they count as standing, and the arms keep moving."""
    rotations = np.repeat(waltz.joint_rotations[:1], waltz.num_frames, axis=0)
    rotations[:, 16:] = waltz.joint_rotations[:, 16:]
    way = np.linspace(0, 1.0, waltz.num_frames)[:, None] * [1, 0, 0]
    standing = replace(waltz, joint_rotations=rotations, root_positions=waltz.root_positions[0] + way)
    for from_bar in (1, 3):
        loop, seam = loop_of_whole_bars(standing, 1, from_bar)
        assert seam.travel_metres > 0.1 and seam.position_jump_metres < 0.005
        assert kinks(positions_of(loop)).max() < 1


def test_where_the_dance_stands_and_looks_makes_no_difference(waltz):
    moved = FloorMove(2.0, np.array([3.0, 0.0, -1.0]))(waltz)
    loops = [loop_of_whole_bars(dance, 3, 2)[0] for dance in (waltz, moved)]
    np.testing.assert_allclose(
        FloorMove(2.0, np.array([3.0, 0.0, -1.0]))(loops[0]).joint_positions(), loops[1].joint_positions(), atol=2e-3
    )


@pytest.mark.parametrize(("from_bar", "leads_at_end"), [(1, False), (2, True)])
def test_a_loop_leads_into_what_comes_before_its_start_or_goes_on_from_what_follows_its_end(
    from_bar, leads_at_end, waltz
):
    loop, seam = loop_of_whole_bars(waltz, 1, from_bar)
    assert (seam.first_bar, seam.num_bars, seam.leads_at_end) == (from_bar, 1, leads_at_end)
    assert seam.start_seconds == (from_bar - 1) * BAR_FRAMES / 30
    assert seam.position_jump_metres < 0.02 and seam.velocity_jump < 0.05
    blended = range(BAR_FRAMES)[-24:] if leads_at_end else range(24)
    kept = [frame for frame in range(BAR_FRAMES) if frame not in blended]
    source = waltz.joint_rotations[(from_bar - 1) * BAR_FRAMES :][:BAR_FRAMES]
    upper_body = slice(12, None)
    np.testing.assert_allclose(loop.joint_rotations[kept, upper_body], source[kept, upper_body], atol=1e-3)


def test_a_dance_whose_contacts_are_not_known_gives_a_loop_without(waltz):
    loop, _ = loop_of_whole_bars(replace(waltz, foot_contacts=None), 3, 2)
    assert loop.foot_contacts is None and loop.is_loop


def test_a_blend_is_no_longer_than_half_a_bar(waltz):
    quick = with_beats(waltz, BEATS[:72] / 2)  # bars of a second
    assert loop_of_whole_bars(quick, 4, 3)[1].blend_seconds == 0.5


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.55, 0.8])
def test_a_loop_has_the_beats_of_its_bars_also_where_bars_are_no_whole_frames(shift, waltz):
    beats = np.arange(22) * 0.6613 + shift / 30
    for from_bar in (1, 2, 3):
        loop, _ = loop_of_whole_bars(with_beats(waltz, beats), 3, from_bar)
        assert len(loop.provenance["downbeat_times_seconds"]) == 3
        gaps = np.diff([*loop.provenance["beat_times_seconds"], (loop.num_frames - 1) / 30])
        assert len(gaps) == 9
        np.testing.assert_allclose(gaps, 0.6613, atol=1.01 / 30)


def test_beats_count_from_the_first_frame_of_the_loop_and_the_repeated_one_has_none(waltz):
    loop, _ = loop_of_whole_bars(with_beats(waltz, BEATS[:21] + 0.5), 3, 2)
    assert loop.provenance["seed"] == 7
    np.testing.assert_allclose(loop.provenance["downbeat_times_seconds"], np.arange(3) * 2.0, atol=1e-6)
    np.testing.assert_allclose(loop.provenance["beat_times_seconds"], np.arange(9) * 2 / 3, atol=1e-6)


@pytest.mark.parametrize(
    ("downbeats", "asked", "message"),
    [
        (None, (), "needs `downbeat_times_seconds` in the dance's provenance, got a dance without: give the song"),
        ([1.0], (), "needs one whole bar, got a dance of 16.00 s with 1 downbeats"),
        ([1.0, 90.0], (), "with 1 downbeats"),
        ([0.0, 2.0, 4.0], (3,), "The dance has 2 whole bars, got 3 for the loop: ask for 1 to 2"),
        ([0.0, 2.0, 4.0], (0,), "got 0 for the loop"),
        ([0.0, 2.0, 4.0], (2, 2), "From bar 2 on the dance has 1 whole bars, got 2"),
        ([0.0, 2.0, 4.0], (1, 3), "must start with one of the bars 1 to 2 of the dance, got 3"),
        ([0.0, 2.0, 4.0], (1, 0), "got 0"),
        ([0.0, 15.9], (), "nothing is left of this dance: ask for fewer bars"),
    ],
)
def test_a_loop_that_a_dance_does_not_have_is_refused(downbeats, asked, message, waltz):
    provenance = {} if downbeats is None else {"downbeat_times_seconds": downbeats}
    with pytest.raises(ValueError, match=message):
        loop_of_whole_bars(replace(waltz, provenance=provenance), *asked)
