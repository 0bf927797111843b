import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureExtractor, MusicFeatureLayout, spectral_features
from infinitedance.audio.spectra import mel_filters, onset_envelopes

RATE = 24000


@pytest.fixture(scope="module")
def extractor() -> MusicFeatureExtractor:
    return MusicFeatureExtractor()


def tone(*pitches_hz: float, seconds: float = 1.0, level: float = 0.2) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (level * sum(np.sin(2 * np.pi * pitch * times) for pitch in pitches_hz)).astype(np.float32)


def noise(num_samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.1, size=num_samples).astype(np.float32)


@pytest.mark.parametrize("num_samples", [12000, 24000, 24399, 24401, 30011, 175200])
def test_a_song_gives_the_rounded_number_of_frames(extractor, num_samples):
    features = extractor(noise(num_samples), RATE, bpm=120, return_tensors="np")
    assert features["input_features"].shape == (1, round(30 * num_samples / RATE), 109)
    assert features["input_features"].dtype == np.float32


@pytest.mark.parametrize("seconds", [0.5, 0.507, 0.7493, 1.0137, 1.33, 1.5])
def test_an_impulse_lands_on_the_nearest_frame(seconds):
    song = np.zeros(2 * RATE, dtype=np.float32)
    sample = round(seconds * RATE)
    song[sample] = 0.9
    features = spectral_features(song, 0, 60)
    frame = round(30 * sample / RATE)
    assert features[:, MusicFeatureLayout.log_mel].sum(axis=1).argmax() == frame
    assert features[:, MusicFeatureLayout.onset_strength].argmax() == frame
    assert features[:, MusicFeatureLayout.loudness].argmax() == frame


def test_an_impulse_is_an_onset_at_its_own_time():
    song = np.zeros(RATE, dtype=np.float32)
    song[12000] = 0.9
    every, low = onset_envelopes(song, 0, 120)
    assert every.argmax() == low.argmax() == 60


def test_features_are_the_same_bytes_for_any_number_of_threads(extractor, make_drums):
    song = make_drums(96, 13)
    features = []
    for num_threads in (1, 2):
        with threadpool_limits(num_threads):
            features.append(extractor(song, RATE)["input_features"][0])
    np.testing.assert_array_equal(*features)


def test_any_stretch_of_frames_equals_those_of_the_whole_song(monkeypatch):
    song = noise(10 * RATE)
    whole = spectral_features(song, 0, 300)
    monkeypatch.setattr("infinitedance.audio.spectra.BLOCK_FRAMES", 37)
    np.testing.assert_allclose(spectral_features(song, 0, 300), whole, atol=1e-5)
    np.testing.assert_allclose(spectral_features(song, 113, 204), whole[113:204], atol=1e-5)


def test_a_frame_hears_only_the_sound_around_it():
    song = noise(4 * RATE)
    changed = song.copy()
    changed[: RATE * 2 - 1100] = 0
    np.testing.assert_allclose(spectral_features(changed, 60, 120), spectral_features(song, 60, 120), atol=1e-5)


def test_the_chroma_of_a_chord_is_its_notes():
    chroma = spectral_features(tone(261.63, 329.63, 392.0), 0, 30)[15, MusicFeatureLayout.chroma]
    assert set(np.argsort(chroma)[-3:]) == {0, 4, 7}  # C, E, G


def test_loudness_is_in_tens_of_decibels():
    loud, soft = (
        spectral_features(tone(440, level=level), 0, 30)[15, MusicFeatureLayout.loudness] for level in (0.5, 0.05)
    )
    assert loud - soft == pytest.approx(2.0, abs=1e-3)


def test_log_mel_is_in_twenties_of_decibels_above_a_floor():
    loud, soft = (spectral_features(tone(440, level=level), 0, 30)[15] for level in (0.5, 0.05))
    loudest = loud[MusicFeatureLayout.log_mel].argmax()
    assert loud[loudest] - soft[loudest] == pytest.approx(1.0, abs=1e-3)
    silence = spectral_features(np.zeros(RATE, dtype=np.float32), 0, 30)
    np.testing.assert_allclose(silence[:, MusicFeatureLayout.log_mel], -2, rtol=1e-6)
    assert np.isfinite(silence).all()


def test_mel_bands_are_triangles_that_share_every_frequency():
    filters = mel_filters(2048, 64, 30.0, 11000.0)
    bins_hz = np.arange(1025) * RATE / 2048
    centers_hz = bins_hz[filters.argmax(axis=0)]
    inside = (bins_hz > centers_hz[0]) & (bins_hz < centers_hz[-1])
    np.testing.assert_allclose(filters[inside].sum(axis=1), 1, atol=1e-5)
    assert (filters[(bins_hz < 30) | (bins_hz > 11000)] == 0).all()
    low, high = centers_hz[:15], centers_hz[30:]  # evenly spaced under 1 kHz, by a constant ratio above
    assert np.ptp(np.diff(low)) <= bins_hz[1] + 1e-6
    assert np.ptp(np.diff(np.log(high))) < 0.015


def test_music_has_about_unit_range(make_drums):
    song = make_drums(120, 8) + tone(220, 277, 330, seconds=8, level=0.05)
    features = spectral_features(song, 0, 240)
    assert np.abs(features).max() < 6
    assert 0.2 < features.std() < 2


def test_the_beat_clock_of_known_beats_is_passed_through(extractor):
    clock = BeatClock.steady(bpm=87, duration_seconds=3, meter=3)
    features = extractor(noise(3 * RATE), RATE, beat_clock=clock)["input_features"][0]
    np.testing.assert_array_equal(features[:, MusicFeatureLayout.beat_clock], clock.to_features(90))


def test_overrides_reach_the_beat_clock(extractor, make_drums):
    song = make_drums(90, 12)
    features = extractor([song, song], RATE, bpm=[90, 180], first_downbeat_seconds=2.0)["input_features"]
    tempo = [2 ** float(rows[100, -1]) * 120 for rows in features]
    assert tempo == pytest.approx([90, 180], rel=2e-3)
    frame_of_downbeat = features[0][60, MusicFeatureLayout.beat_clock]
    np.testing.assert_allclose(frame_of_downbeat[:10], [0, 1] * 5, atol=1e-3)


def test_padding_does_not_change_a_song(extractor):
    long, short = noise(4 * RATE), noise(2 * RATE)
    batch = extractor([long, short], RATE, bpm=120, return_tensors="pt")
    assert batch["input_features"].shape == (2, 120, 109)
    assert batch["attention_mask"].sum(dim=1).tolist() == [120, 60]
    alone = extractor(short, RATE, bpm=120, return_tensors="pt")["input_features"][0]
    torch.testing.assert_close(batch["input_features"][1, :60], alone)
    assert (batch["input_features"][1, 60:] == 0).all()


def test_a_saved_extractor_gives_the_same_in_a_fresh_process_without_heavy_packages(extractor, tmp_path):
    extractor.save_pretrained(tmp_path)
    song = noise(RATE)
    np.save(tmp_path / "song.npy", song)
    program = """
import sys
import numpy as np
import infinitedance.audio.loading
from infinitedance.audio.features import MusicFeatureExtractor
folder = sys.argv[1]
extractor = MusicFeatureExtractor.from_pretrained(folder)
features = extractor(np.load(folder + "/song.npy"), 24000, bpm=100)["input_features"][0]
np.save(folder + "/features.npy", features)
heavy = {"librosa", "numba", "av"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    expected = extractor(song, RATE, bpm=100)["input_features"][0]
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy"), expected)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["feature_size"] == 109


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sampling_rate": 44100}, "24000 Hz, got 44100.*resample"),
        ({"raw_audio": []}, "at least one song"),
        ({"raw_audio": np.zeros((1, 2, RATE))}, "mono"),
        ({"raw_audio": np.full(RATE, np.nan)}, "finite"),
        ({"bpm": [100, 120]}, "`bpm` must be one value or one for each of the 1 songs"),
        ({"bpm": 1000}, "`bpm` must lie in"),
    ],
)
def test_a_wrong_argument_is_refused(extractor, arguments, message):
    with pytest.raises(ValueError, match=message):
        extractor(**({"raw_audio": noise(RATE), "sampling_rate": RATE} | arguments))


@pytest.mark.parametrize("name", ["feature_size", "sampling_rate", "frame_rate"])
def test_a_config_of_other_features_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` of the music features is always"):
        MusicFeatureExtractor(**{name: 7})
