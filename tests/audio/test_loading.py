import numpy as np
import pytest
import soundfile

from infinitedance.audio.loading import audio_duration_seconds, load_audio

SECONDS = 2.0


def two_tones(sampling_rate: int) -> np.ndarray:
    times = np.arange(round(SECONDS * sampling_rate)) / sampling_rate
    return 0.3 * np.stack([np.sin(2 * np.pi * 440 * times), np.sin(2 * np.pi * 660 * times)], axis=1)


def peaks_hz(waveform: np.ndarray) -> set[int]:
    spectrum = np.abs(np.fft.rfft(waveform[: 24000 * 2]))
    return {round(int(k) * 24000 / (24000 * 2)) for k in np.argsort(spectrum)[-2:]}


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("sampling_rate", [16000, 44100, 48000])
def test_every_format_and_rate_becomes_the_same_mono_song(tmp_path, extension, sampling_rate):
    path = tmp_path / f"song.{extension}"
    soundfile.write(path, two_tones(sampling_rate), sampling_rate)
    waveform = load_audio(path)
    assert waveform.dtype == np.float32
    assert waveform.shape == (48000,)
    assert peaks_hz(waveform) == {440, 660}
    assert audio_duration_seconds(path) == SECONDS


def test_an_m4a_file_is_read_through_pyav(tmp_path, write_m4a):
    path = write_m4a(tmp_path / "song.m4a", two_tones(44100).T, 44100)
    waveform = load_audio(path)
    assert peaks_hz(waveform) == {440, 660}
    assert len(waveform) / 24000 == pytest.approx(SECONDS, abs=0.03)  # AAC ends on a whole frame of 1024 samples
    assert audio_duration_seconds(path) == pytest.approx(len(waveform) / 24000, abs=1e-4)


@pytest.mark.parametrize("extension", ["wav", "mp3", "ogg", "m4a"])
def test_decoding_does_not_shift_the_sound(tmp_path, write_m4a, extension):
    song = np.random.default_rng(0).normal(size=(88200, 2)) * 1e-4
    song[44100:44200] = 0.9
    path = tmp_path / f"song.{extension}"
    write_m4a(path, song.T, 44100) if extension == "m4a" else soundfile.write(path, song, 44100)
    begin = np.flatnonzero(np.abs(load_audio(path)) > 0.4)[0]
    assert begin / 24000 == pytest.approx(1.0, abs=0.002)


def test_resampling_in_blocks_equals_resampling_at_once(tmp_path):
    import soxr

    song = np.random.default_rng(0).uniform(-0.5, 0.5, size=44100 * 15).astype(np.float32)  # three blocks
    soundfile.write(tmp_path / "song.wav", song, 44100, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "song.wav"), soxr.resample(song, 44100, 24000), atol=1e-5)


@pytest.mark.parametrize("num_samples", [30011, 44100, 44111, 60001])
def test_the_length_is_the_rounded_length(tmp_path, num_samples):
    soundfile.write(tmp_path / "song.wav", np.full(num_samples, 0.1), 44100)
    assert len(load_audio(tmp_path / "song.wav")) == round(num_samples * 24000 / 44100)


def test_another_sampling_rate_can_be_asked_for(tmp_path):
    soundfile.write(tmp_path / "song.wav", two_tones(44100), 44100)
    assert len(load_audio(tmp_path / "song.wav", sampling_rate=16000)) == 32000


def write_text_as_mp3(folder):
    (folder / "song.mp3").write_text("These are the words of a song, not its sound.\n" * 100)


def write_half_a_flac(folder):
    soundfile.write(folder / "whole.flac", np.random.default_rng(0).uniform(-0.5, 0.5, 96000), 24000)
    content = (folder / "whole.flac").read_bytes()
    (folder / "song.flac").write_bytes(content[: len(content) // 2])


def write_half_an_mp3(folder):
    soundfile.write(folder / "whole.mp3", np.random.default_rng(0).uniform(-0.5, 0.5, 96000), 24000)
    content = (folder / "whole.mp3").read_bytes()
    (folder / "song.mp3").write_bytes(content[: len(content) // 2])


def write_samples(folder, samples):
    soundfile.write(folder / "song.wav", samples, 24000, subtype="FLOAT")


BAD_FILES = {
    "missing": ("song.wav", lambda folder: None, FileNotFoundError, "does not exist"),
    "directory": ("song.wav", lambda folder: (folder / "song.wav").mkdir(), ValueError, "is not a file"),
    "empty": ("song.wav", lambda folder: (folder / "song.wav").touch(), ValueError, "is empty"),
    "text": ("song.mp3", write_text_as_mp3, ValueError, "cannot be read as audio"),
    "noise bytes": (
        "song.ogg",
        lambda folder: (folder / "song.ogg").write_bytes(np.random.default_rng(0).bytes(20000)),
        ValueError,
        "cannot be read as audio",
    ),
    "half a flac": ("song.flac", write_half_a_flac, ValueError, "is broken"),
    "half an mp3": ("song.mp3", write_half_an_mp3, ValueError, "is broken"),
    "NaN": ("song.wav", lambda folder: write_samples(folder, np.full(24000, np.nan)), ValueError, "NaN or infinite"),
    "infinite": (
        "song.wav",
        lambda folder: write_samples(folder, np.full(24000, np.inf)),
        ValueError,
        "NaN or infinite",
    ),
    "silent": ("song.wav", lambda folder: write_samples(folder, np.zeros(24000)), ValueError, "is silent"),
    "too short": ("song.wav", lambda folder: write_samples(folder, np.full(11000, 0.1)), ValueError, "is too short"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_named_with_the_reason(tmp_path, case):
    name, write, error, reason = BAD_FILES[case]
    write(tmp_path)
    with pytest.raises(error, match=reason) as caught:
        load_audio(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_song_of_more_than_an_hour_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("infinitedance.audio.loading.MAX_SECONDS", 1.0)
    write_samples(tmp_path, np.full(24000, 0.1))
    assert len(load_audio(tmp_path / "song.wav")) == 24000
    write_samples(tmp_path, np.full(24001, 0.1))
    with pytest.raises(ValueError, match="longer than"):
        load_audio(tmp_path / "song.wav")


def test_without_pyav_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    def missing(package, extra, feature):
        raise ImportError(f"install infinitedance[{extra}]")

    monkeypatch.setattr("infinitedance.audio.loading.require_extra", missing)
    (tmp_path / "song.m4a").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=r"song\.m4a.*infinitedance\[video\]"):
        load_audio(tmp_path / "song.m4a")
