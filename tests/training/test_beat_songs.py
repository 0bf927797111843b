import numpy as np
import pytest

from infinitedance.audio.spectra import onset_envelopes
from infinitedance.training import rhythms
from infinitedance.training.beat_songs import DRUMS, LEVELS, synthesize_song
from infinitedance.training.rhythms import CHANCES, FAMILIES, draw_pattern, draw_rhythm

SEEDS = range(40)


@pytest.fixture(scope="module")
def songs() -> list:
    return [synthesize_song(seed, 12.0) for seed in SEEDS]


def test_the_same_seed_gives_the_same_song(songs):
    again = synthesize_song(3, 12.0)
    np.testing.assert_array_equal(again.waveform, songs[3].waveform)
    np.testing.assert_array_equal(again.beat_times, songs[3].beat_times)
    assert not np.array_equal(songs[3].waveform, songs[4].waveform)


def test_songs_are_finite_and_not_clipped(songs):
    for song in songs:
        assert song.waveform.shape == (12 * 24_000,) and song.waveform.dtype == np.float32
        assert np.isfinite(song.waveform).all() and np.abs(song.waveform).max() <= 1


def test_bars_have_as_many_beats_as_the_meter(songs):
    for song in songs:
        steady = np.diff(song.beat_times) < 1.5 * np.median(np.diff(song.beat_times))
        if steady.all():  # no beats are left out in silence
            assert set(np.diff(np.flatnonzero(song.is_downbeat))) <= {song.meter}


def test_beats_lie_in_the_range_that_is_counted(songs):
    for song in songs:
        if song.meter % 2 == 0 and len(song.beat_times) > 4:
            assert 60 / np.median(np.diff(song.beat_times)) < 135 * 1.25  # a song may grow faster


def test_more_begins_on_the_beat_than_elsewhere(songs):
    gains = []
    for song in songs:
        onsets, _ = onset_envelopes(song.waveform, 0, 12 * 120)
        reach = np.maximum(onsets, np.maximum(np.roll(onsets, 1), np.roll(onsets, -1)))
        if len(song.beat_times) < 4:
            continue
        positions = np.interp(
            np.arange(0, len(song.beat_times) - 1, 0.5), np.arange(len(song.beat_times)), song.beat_times
        )
        values = reach[np.minimum(np.round(positions * 120).astype(int), len(reach) - 1)]
        gains.append(values[::2].mean() - values[1::2].mean())
    assert np.mean(np.array(gains) > 0) > 0.7


def test_every_family_is_drawn_and_every_voice_has_a_level():
    drawn = [draw_rhythm(np.random.default_rng(seed)) for seed in range(300)]
    assert {rhythm.meter for rhythm in drawn} == {2, 3, 4, 5, 7}
    assert {voice for rhythm in drawn for voice in rhythm.voices} <= set(LEVELS)
    assert set(DRUMS) - {"crash"} <= set(LEVELS)
    for family in FAMILIES:
        rhythm = family(np.random.default_rng(0))
        assert rhythm.voices and rhythm.bpm[0] < rhythm.bpm[1]


def test_patterns_fill_whole_beats():
    for seed in range(200):
        rhythm = draw_rhythm(np.random.default_rng(seed))
        for pattern in rhythm.voices.values():
            assert len(pattern) % rhythm.steps_per_beat == 0


def test_a_pattern_has_its_certain_hits_and_rests():
    pattern = draw_pattern(np.random.default_rng(0), "X.o- X.")
    assert pattern[0] == pattern[4] == 1 and pattern[1] == pattern[5] == 0
    hits = np.mean([draw_pattern(np.random.default_rng(seed), "o") > 0 for seed in range(400)])
    assert hits == pytest.approx(CHANCES["o"], abs=0.08)
    assert rhythms.SOFT_CHANCE < 1
