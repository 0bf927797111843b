"""The cut of a song that belongs to a loop."""

import numpy as np
import pytest
import soundfile

from infinitedance.audio.song_loop import CROSSFADE_SECONDS, loop_of_song, write_wav

RATE = 44_100
FADE = round(CROSSFADE_SECONDS * RATE)


@pytest.fixture
def song(tmp_path):
    """Four seconds of stereo noise that was smoothed, so that a cut in it would click; and its samples."""
    noise = np.random.default_rng(0).normal(size=(4 * RATE + 200, 2))
    smooth = np.apply_along_axis(np.convolve, 0, noise, np.hanning(200) / 300, "valid")[: 4 * RATE]
    soundfile.write(tmp_path / "song.flac", smooth, RATE, subtype="PCM_24")
    return tmp_path / "song.flac", soundfile.read(tmp_path / "song.flac")[0]


def test_the_cut_is_the_song_to_the_sample_but_for_its_last_moments(song):
    path, samples = song
    loop, rate = loop_of_song(path, 1.2, 1.5)
    start = round(1.2 * RATE)
    assert rate == RATE and loop.shape == (round(1.5 * RATE), 2)
    np.testing.assert_allclose(loop[:-FADE], samples[start:][: len(loop) - FADE], atol=1e-6)


def test_where_it_starts_again_the_sound_goes_on_as_the_song_came_to_its_start(song):
    path, samples = song
    loop, _ = loop_of_song(path, 1.2, 1.5)
    start = round(1.2 * RATE)
    largest_step = np.abs(np.diff(samples, axis=0)).max()
    cut_step = np.abs(samples[start + len(loop) - 1] - samples[start]).max()
    assert np.abs(loop[-1] - loop[0]).max() < largest_step < cut_step
    # Nearly all of the last sample is the one before the start.
    np.testing.assert_allclose(loop[-1], samples[start - 1], atol=2 * np.abs(samples).max() / FADE)


def test_a_loop_from_the_very_start_leads_over_into_its_first_sample(song):
    loop, _ = loop_of_song(song[0], 0.0, 2.0)
    tolerance = 2 * np.abs(loop).max() / FADE
    assert np.abs(loop[0]).max() > 2 * tolerance  # a step from silence would click
    np.testing.assert_allclose(loop[-1], loop[0], atol=tolerance)


def test_a_song_that_ends_before_the_loop_is_named(song):
    with pytest.raises(ValueError, match=r"song.flac is 4.00 s long, and the loop of its dance ends after 4.50 s"):
        loop_of_song(song[0], 3.0, 1.5)


def test_what_is_written_is_read_again(song, tmp_path):
    loop, rate = loop_of_song(song[0], 1.2, 1.5)
    write_wav(loop, rate, tmp_path / "loop.song.wav")
    written, written_rate = soundfile.read(tmp_path / "loop.song.wav")
    assert written_rate == rate and soundfile.info(tmp_path / "loop.song.wav").subtype == "PCM_16"
    np.testing.assert_allclose(written, loop, atol=2**-15)
