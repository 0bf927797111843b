"""The sound of a video, cut to its clips."""

import numpy as np
import pytest

from infinitedance.audio.beats import BeatClock, BeatEstimate
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.capture.sound import VideoSound, read_sound

SECONDS = 4.0


def sound(picture_seconds: float = 0.0, beats_per_bar: int = 3) -> VideoSound:
    """Return a ramp from 0 to 4, whose value is its time, with a beat every half second from 0.25 s on."""
    waveform = np.arange(round(SECONDS * SAMPLING_RATE), dtype=np.float32) / SAMPLING_RATE
    clock = BeatClock(np.arange(0.25, 3.9, 0.5), beats_per_bar, 1)
    return VideoSound(waveform, picture_seconds, BeatEstimate(clock, 0.9, ()))


def test_the_first_sample_is_that_of_the_first_frame():
    cut = sound().cut(30, 60)
    assert len(cut) == 2 * SAMPLING_RATE
    assert cut[0] == pytest.approx(1.0)


def test_a_sound_that_begins_before_the_pictures_is_cut_later():
    assert sound(picture_seconds=0.5).cut(30, 30)[0] == pytest.approx(1.5)


def test_a_sound_that_begins_after_the_pictures_has_silence_before_it():
    cut = sound(picture_seconds=-1.0).cut(0, 60)
    assert not cut[: SAMPLING_RATE - 1].any()
    assert cut[-1] == pytest.approx(1.0, abs=1e-3)


def test_a_sound_that_ends_early_has_silence_after_it():
    cut = sound().cut(90, 60)
    assert len(cut) == 2 * SAMPLING_RATE
    assert not cut[SAMPLING_RATE:].any()


@pytest.mark.parametrize("first_frame", [120, 300])
def test_a_clip_after_the_end_of_the_sound_has_none(first_frame):
    assert sound().cut(first_frame, 30) is None


def test_beats_reach_a_bar_beyond_the_clip_and_keep_their_places():
    lines = [line.split() for line in sound().beat_lines(30, 60)]
    times, places = np.array([float(time) for time, _ in lines]), [int(place) for _, place in lines]
    np.testing.assert_allclose(np.diff(times), 0.5, atol=1e-3)
    assert times[0] <= -1.5
    assert times[-1] >= 2 + 1.5
    assert places[int(np.argmin(abs(times - (-0.25))))] == 1  # the downbeat at 0.75 s of the video
    assert all(after == before % 3 + 1 for before, after in zip(places, places[1:], strict=False))


def test_the_tempo_is_that_of_the_clip():
    assert sound().bpm(0, 60) == pytest.approx(120)


def test_the_sound_of_a_video_is_read_with_its_beats(tmp_path, write_sound, click_song):
    video = write_sound(tmp_path / "solo.mkv", "matroska", "flac", click_song(24_000, 5.0), 24_000, video=5.0)
    found = read_sound(video, 0.0)
    assert len(found.waveform) == 5 * SAMPLING_RATE
    assert found.bpm(0, 150) == pytest.approx(120, rel=0.02)
