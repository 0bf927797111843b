import numpy as np
import pytest

from infinitedance.audio.dance_cues import dance_cues, energy_of_song

SECTIONS = [(0.0, 24.0, "A"), (24.0, 32.0, "B")]


def test_a_dance_ends_on_the_last_downbeat_with_sound_after_it(make_song_map):
    assert dance_cues(make_song_map(seconds=31.0), 31.0).end_seconds == 30.0
    assert dance_cues(make_song_map(seconds=30.2), 30.2).end_seconds == 28.0  # 0.2 s are too short for a pose
    silent_end = make_song_map(seconds=31.0, silences=[(25.0, 31.0)])
    cues = dance_cues(silent_end, 31.0)
    assert cues.end_seconds == 24.0 and cues.silences_seconds == ()  # the pose is held anyway
    assert dance_cues(silent_end, 31.0, ends=False).silences_seconds == ((25.0, 31.0),)


def test_a_song_of_less_than_two_bars_has_no_end(make_song_map):
    assert dance_cues(make_song_map(seconds=3.9), 3.9).end_seconds is None
    assert dance_cues(make_song_map(seconds=9.0, silences=[(0.0, 5.0)]), 9.0).end_seconds is None


def test_a_fade_out_is_faded_with_and_a_chord_that_rings_is_ended_on(make_song_map):
    faded = dance_cues(make_song_map(seconds=31.0, fades=[("out", 20.0, 30.0)], silences=[(30.0, 31.0)]), 31.0)
    assert (faded.end_seconds, faded.fade_out_seconds, faded.silences_seconds) == (None, (20.0, 30.0), ())
    ringing = dance_cues(make_song_map(seconds=31.0, fades=[("out", 28.1, 31.0)]), 31.0)
    assert (ringing.end_seconds, ringing.fade_out_seconds) == (28.0, None)
    kept = dance_cues(make_song_map(seconds=31.0, fades=[("out", 20.0, 30.0)]), 31.0, ends=False)
    assert kept.fade_out_seconds is None and kept.end_seconds is None


def test_phrases_begin_with_sections_and_every_eighth_bar(make_song_map):
    cues = dance_cues(make_song_map(seconds=32.0, sections=SECTIONS), 32.0)
    assert cues.phrase_starts_seconds == (0.0, 16.0, 24.0)
    assert cues.bar_seconds == 2.0


def test_energy_follows_the_loudness_and_rests_in_silence(make_song_map):
    levels = np.where(np.arange(64) / 2 < 16, 0.0, -10.0)
    song = make_song_map(seconds=32.0, levels=levels, silences=[(4.0, 8.0)])
    energy = energy_of_song(song, 960, 30.0)
    assert energy.shape == (960,) and energy.dtype == np.float32
    assert energy[150:225] == pytest.approx(-1) and energy[300:450] == pytest.approx(0, abs=1e-6)
    assert energy[600:] == pytest.approx(-0.5)
    assert np.abs(np.diff(energy)).max() < 1.1 / 30  # from rest to full in a second
    assert energy_of_song(make_song_map(seconds=4.0, levels=np.full(8, 30.0)), 120, 30.0) == pytest.approx(0.5)
