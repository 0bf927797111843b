import numpy as np
import pytest

from infinitedance.audio.tempo_map import counted_octave, extend_beats, fit_beats, steady_grid, tempo_range


@pytest.mark.parametrize("spread", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("num_beats", [12, 60, 500])
def test_a_steady_song_has_one_tempo_however_beats_scatter(spread, num_beats):
    times = 0.3 + 0.513 * np.arange(num_beats)
    heard = times + np.random.default_rng(num_beats).normal(0, spread, num_beats)
    even = fit_beats(heard, np.ones(num_beats))
    assert np.ptp(np.diff(even)) < 1e-9
    assert np.abs(even - times).max() < 3 * spread / np.sqrt(num_beats) * 2 + 1e-9


def test_a_tempo_that_changes_has_two():
    times = np.concatenate([np.arange(0, 30, 0.6), 30 + np.arange(0, 30, 0.5)])
    even = fit_beats(times + np.random.default_rng(0).normal(0, 0.004, len(times)), np.ones(len(times)))
    assert np.abs(even - times).max() < 0.015
    assert len(set(np.round(np.diff(even), 4))) <= 3


def test_a_drift_is_followed():
    times = np.cumsum(np.linspace(0.5, 0.58, 120))
    assert np.abs(fit_beats(times, np.ones(120)) - times).max() < 0.02


def test_a_beat_that_was_not_heard_does_not_count():
    times = 0.5 * np.arange(40)
    heard = times.copy()
    heard[20] += 0.08
    weights = np.ones(40)
    weights[20] = 0.0
    np.testing.assert_allclose(fit_beats(heard, weights), times, atol=2e-3)


def test_beats_stay_in_order_where_tempos_meet():
    times = np.sort(np.random.default_rng(3).uniform(0, 30, 80))
    assert (np.diff(fit_beats(times, np.ones(80))) > 0).all()


@pytest.mark.parametrize("bpm", [60.0, 91.37, 128.0, 174.5])
def test_a_given_tempo_is_kept_to_the_digit_and_placed_on_the_beats(bpm):
    rate, first = 50, 0.21
    activity = np.zeros(3000)
    beats = first + 60 / bpm * np.arange(int(58 * bpm / 60))
    np.add.at(activity, np.round(beats * rate).astype(int), 1.0)
    times = steady_grid(activity, rate, bpm)
    assert 60 / np.diff(times) == pytest.approx(bpm, rel=1e-12)
    assert np.abs(beats[:, None] - times).min(axis=1)[:-1].max() < 0.01


def test_extended_beats_cover_the_song():
    beats = extend_beats(np.array([4.0, 4.5, 5.0]), 9.2)
    np.testing.assert_allclose(beats, np.arange(0, 9.6, 0.5))


@pytest.mark.parametrize(
    ("bpm", "meter", "genre", "octave"),
    [
        (60, 4, None, 1),
        (128, 4, None, 1),
        (135, 4, None, 1),
        (140, 4, None, 0.5),
        (174, 4, None, 0.5),
        (174, 4, "drum-and-bass", 1),
        (87, 4, "drum-and-bass", 2),
        (190, 4, "salsa", 0.5),
        (50, 4, None, 2),
        (174, 3, None, 1),
        (200, 3, "waltz", 1),
        (45, 3, None, 1),
        (150, 5, None, 1),
        (120, 4, "rumba", 1),
    ],
)
def test_the_octave_that_is_counted(bpm, meter, genre, octave):
    assert counted_octave(bpm, meter, genre) == octave


def test_a_genre_without_a_range_has_the_range_of_any_music():
    assert tempo_range("polka") == tempo_range(None)
