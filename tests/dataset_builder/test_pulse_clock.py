"""Clocks of dances without music: beats that a file lists, or the dance's own pulse."""

from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.pulse_clock import PULSE_RANGE_BPM, fit_pulse_clock, read_beats
from infinitedance.evaluation.metrics.pulse import speed_curve
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX


def swinging_dancer(
    swings_per_minute: float, seconds: float = 30.0, *, first_stop_seconds: float = 0.0, noise: float = 0.0
) -> Motion:
    """Make a dancer who swings both arms, and so stops twice a swing: `swings_per_minute` counts the stops."""
    times = np.arange(round(30 * seconds)) / 30
    angle = 0.8 * np.cos(np.pi * swings_per_minute / 60 * (times - first_stop_seconds))
    angle = angle + noise * np.random.default_rng(0).standard_normal(len(times))
    rotations = np.zeros((len(times), 22, 4))
    rotations[..., 0] = 1
    for name in ("left_shoulder", "right_shoulder"):
        rotations[:, JOINT_INDEX[name], 0] = np.cos(angle / 2)
        rotations[:, JOINT_INDEX[name], 2] = np.sin(angle / 2)
    return Motion(30.0, np.tile([0, 0.95, 0], (len(times), 1)), rotations)


@pytest.mark.parametrize("stated", [None, 96.0, 94.0])
@pytest.mark.parametrize("first_stop_seconds", [0.0, 0.21])
def test_a_dancer_who_swings_at_96_a_minute_has_a_clock_of_96_that_beats_where_the_dance_is_slow(
    stated, first_stop_seconds
):
    motion = swinging_dancer(96.0, first_stop_seconds=first_stop_seconds)
    clock = fit_pulse_clock(motion, "salsa", stated)
    times = np.arange(motion.num_frames) / 30
    np.testing.assert_allclose(clock.bpm(times), 96.0, rtol=3e-3)
    speed = speed_curve(motion.joint_positions(), 30.0)
    is_beat = np.abs(clock.phase(times) - np.round(clock.phase(times))) < 0.1
    is_off_beat = np.abs(clock.phase(times) % 1 - 0.5) < 0.1
    assert speed[is_beat].max() < 0.5 * speed[is_off_beat].min()
    beats = clock.beat_times_seconds[(clock.beat_times_seconds > 1) & (clock.beat_times_seconds < 29)]
    nearest_stop = (beats - first_stop_seconds + 0.3125) % 0.625 - 0.3125
    assert np.abs(nearest_stop).max() < 0.05


@pytest.mark.parametrize(("genre", "meter"), [("waltz", 3), ("rumba", 4), ("salsa", 2), ("no such dance", 4)])
def test_the_genre_sets_the_meter_and_the_first_beat_is_a_downbeat(genre, meter):
    clock = fit_pulse_clock(swinging_dancer(100.0), genre)
    assert clock.beats_per_bar == meter
    first = clock.beat_times_seconds[clock.first_downbeat_index]
    assert 0 <= first < 0.6 + 1e-6


def test_a_pulse_is_looked_for_within_an_octave_and_a_little_more_unless_it_is_stated():
    slow = swinging_dancer(40.0, seconds=60.0)
    found = fit_pulse_clock(slow, "waltz")
    assert found is None or PULSE_RANGE_BPM[0] <= found.bpm(np.zeros(1))[0] <= PULSE_RANGE_BPM[1]
    assert fit_pulse_clock(slow, "waltz", 40.0).bpm(np.zeros(1))[0] == pytest.approx(40.0, rel=0.01)


@pytest.mark.parametrize(
    "motion",
    [
        swinging_dancer(96.0, seconds=3.0),  # fewer cycles than can be told from chance
        swinging_dancer(96.0).cut(0, 1),
        replace(swinging_dancer(96.0), joint_rotations=np.tile([1.0, 0, 0, 0], (900, 22, 1))),  # stands still
        swinging_dancer(2.0, noise=0.3),  # moves without a pulse
    ],
    ids=["too short", "one frame", "still", "no pulse"],
)
def test_a_dance_without_a_clear_pulse_has_no_clock(motion):
    assert fit_pulse_clock(motion, "waltz") is None


def test_a_stated_pulse_of_a_dance_that_is_too_short_gives_no_clock():
    assert fit_pulse_clock(swinging_dancer(96.0, seconds=3.0), "waltz", 96.0) is None


@pytest.mark.parametrize("stretch", [1.0, 1.25])
def test_listed_beats_are_the_clock_and_stretched_ones_a_slower_clock(tmp_path, stretch):
    times = stretch * (0.4 + 0.5 * np.arange(12))
    places = [3, 4, *([1, 2, 3, 4] * 3)][:12]
    path = tmp_path / "beats.txt"
    path.write_text("\n".join(f"{time:.4f}\t{place}" for time, place in zip(times, places, strict=True)) + "\n\n")
    clock = read_beats(path, "waltz")
    np.testing.assert_allclose(clock.beat_times_seconds, times, atol=1e-4)
    assert clock.beats_per_bar == 4  # the places go before the genre
    assert clock.phase(np.array([times[2], times[6]])) == pytest.approx([0, 4], abs=1e-3)
    np.testing.assert_allclose(clock.bpm(times), 120 / stretch, rtol=1e-3)


def test_beats_without_places_have_the_meter_of_the_genre(tmp_path):
    (tmp_path / "beats.txt").write_text("0.5\n1.0\n1.5\n")
    clock = read_beats(tmp_path / "beats.txt", "waltz")
    assert (clock.beats_per_bar, clock.first_downbeat_index) == (3, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half past two\n", "must hold a time in seconds"),
        ("0.5 one\n1.0 two\n", "must hold a time in seconds"),
        ("0.5 1.5\n1.0 2.5\n", "must hold a time in seconds"),
        ("", "two or more finite, strictly increasing"),
        ("0.5\n", "two or more finite"),
        ("1.0\n0.5\n", "strictly increasing"),
        ("0.5\nnan\n", "finite"),
        ("0.5 1\n1.0\n1.5 3\n", r"every beat its place .* or none, got 1 3\."),
        ("0.5 1\n1.0 2\n1.5 4\n", "bars of one meter"),
        ("0.5 1\n1.0 2\n1.5 3\n2.0 1\n2.5 2\n3.0 1\n", "bars of one meter"),
        ("0.5 2\n1.0 3\n1.5 4\n", "bars of one meter"),
        ("0.5 0\n1.0 1\n", "bars of one meter"),
    ],
)
def test_a_bad_file_of_beats_is_refused_with_its_name(tmp_path, text, message):
    (tmp_path / "beats.txt").write_text(text)
    with pytest.raises(ValueError, match=f"beats.txt.*{message}"):
        read_beats(tmp_path / "beats.txt", "waltz")


def test_a_file_of_beats_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "beats.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="must hold a time in seconds"):
        read_beats(tmp_path / "beats.txt", "waltz")
