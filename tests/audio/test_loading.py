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
    soundfile.write(tmp_path / "song.wav", 0.1 * np.sin(np.arange(num_samples)), 44100)
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


def write_raw_samples(folder):
    (folder / "song.raw").write_bytes((3e4 * np.sin(np.arange(48000) / 9)).astype("<i2").tobytes())


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
    "raw samples": ("song.raw", write_raw_samples, ValueError, "cannot be read as audio"),
    "half an mp3": ("song.mp3", write_half_an_mp3, ValueError, "is broken"),
    "NaN": ("song.wav", lambda folder: write_samples(folder, np.full(24000, np.nan)), ValueError, "NaN or infinite"),
    "infinite": (
        "song.wav",
        lambda folder: write_samples(folder, np.full(24000, np.inf)),
        ValueError,
        "NaN or infinite",
    ),
    "silent": ("song.wav", lambda folder: write_samples(folder, np.zeros(24000)), ValueError, "is silent"),
    "too short": (
        "song.wav",
        lambda folder: write_samples(folder, np.sin(np.arange(11000))),
        ValueError,
        "is too short",
    ),
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
    write_samples(tmp_path, np.sin(np.arange(24000)))
    assert len(load_audio(tmp_path / "song.wav")) == 24000
    write_samples(tmp_path, np.sin(np.arange(24001)))
    with pytest.raises(ValueError, match="longer than"):
        load_audio(tmp_path / "song.wav")


def beat(seconds: float = 4.0) -> np.ndarray:
    """Return a tone of 20 ms twice a second, full scale, 24,000 Hz."""
    times = np.arange(round(24000 * seconds)) / 24000
    return (times % 0.5 < 0.02) * np.sin(2 * np.pi * 220 * times)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize(("left", "right"), [(0.5, -0.5), (0.5, -0.48), (-0.47, 0.5)])
def test_opposite_channels_are_heard_by_the_louder_one(tmp_path, subtype, left, right):
    channels = np.stack([left * beat(), right * beat()], axis=1)
    soundfile.write(tmp_path / "song.wav", channels, 24000, subtype=subtype)
    louder = channels[:, int(abs(right) > abs(left))]
    np.testing.assert_allclose(load_audio(tmp_path / "song.wav"), louder, atol=1e-4)


@pytest.mark.parametrize("extension", ["mp3", "m4a"])
def test_opposite_channels_are_heard_in_lossy_files_too(tmp_path, write_m4a, extension):
    channels = 0.5 * np.stack([beat(), -beat()])
    path = tmp_path / f"song.{extension}"
    write_m4a(path, channels, 24000) if extension == "m4a" else soundfile.write(path, channels.T, 24000)
    assert np.abs(load_audio(path)).max() == pytest.approx(0.5, abs=0.05)


def test_a_wide_mix_is_still_averaged(tmp_path):
    channels = np.stack([beat() + 0.3 * np.roll(beat(), 6000), beat() - 0.3 * np.roll(beat(), 6000)], axis=1) / 2
    soundfile.write(tmp_path / "song.wav", channels, 24000, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "song.wav"), channels.mean(axis=1), atol=1e-6)


STEP = {"PCM_U8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "FLOAT": 2.0**-25}


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("signs", [(1,), (1, 1), (1, -1)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_silence_a_constant_and_rounding_noise_are_refused(tmp_path, subtype, signs, offset):
    noise = np.random.default_rng(0).uniform(-1, 1, (48000, 1)) * STEP[subtype]
    for samples in (offset + 0 * noise, offset + noise):
        soundfile.write(tmp_path / "song.wav", samples * signs, 24000, subtype=subtype)
        with pytest.raises(ValueError, match=r"song\.wav is silent: " + ("it holds a constant" if offset else "its")):
            load_audio(tmp_path / "song.wav")


def test_a_constant_is_no_sound_in_a_lossy_file_either(tmp_path):
    soundfile.write(tmp_path / "song.mp3", np.full((48000, 2), 0.3), 24000)
    with pytest.raises(ValueError, match="is silent: it holds a constant"):
        load_audio(tmp_path / "song.mp3")


@pytest.mark.parametrize(("subtype", "peak"), [("PCM_16", 1e-4), ("PCM_24", 2e-5), ("FLOAT", 2e-5), ("PCM_U8", 0.02)])
def test_quiet_music_is_no_silence(tmp_path, subtype, peak):
    soundfile.write(tmp_path / "song.wav", peak * beat(), 24000, subtype=subtype)
    assert np.abs(load_audio(tmp_path / "song.wav")).max() == pytest.approx(peak, abs=STEP[subtype])


@pytest.mark.parametrize(
    ("scale", "subtype", "told"),
    [
        (1e30, "FLOAT", r"samples of 1\.0e\+30"),
        (32768, "FLOAT", r"samples of 3\.3e\+04"),
        (1e300, "DOUBLE", "samples that are NaN or"),
    ],
)
def test_absurdly_loud_samples_are_refused(tmp_path, scale, subtype, told):
    soundfile.write(tmp_path / "song.wav", scale * beat(), 24000, subtype=subtype)
    with pytest.raises(ValueError, match=rf"song\.wav has {told}"):
        load_audio(tmp_path / "song.wav")


def test_samples_above_full_scale_are_kept(tmp_path):
    soundfile.write(tmp_path / "song.wav", 3 * beat(), 24000, subtype="FLOAT")
    assert np.abs(load_audio(tmp_path / "song.wav")).max() > 2.9


def test_the_true_length_is_told_where_the_header_is_wrong(tmp_path):
    soundfile.write(tmp_path / "part.ogg", np.stack([beat(), beat()], axis=1), 24000)
    (tmp_path / "song.ogg").write_bytes(2 * (tmp_path / "part.ogg").read_bytes())
    assert audio_duration_seconds(tmp_path / "song.ogg") == 8.0
    assert len(load_audio(tmp_path / "song.ogg")) == 8 * 24000
