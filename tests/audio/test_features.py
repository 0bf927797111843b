import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from infinitedance.assets import MODELS
from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureExtractor, MusicFeatureLayout, spectral_features
from infinitedance.audio.spectra import cqt_magnitudes, mel_filters, onset_envelopes, power_spectra, weighted_sums

RATE = 24000
LAYOUT = MusicFeatureLayout


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
    frame = round(30 * sample / RATE)
    features = spectral_features(song, 0, 60)
    assert features[:, LAYOUT.log_mel].sum(axis=1).argmax() == frame
    assert features[:, LAYOUT.onset_strength].argmax() == frame


@pytest.mark.parametrize("pitch_hz", [131.0, 523.0, 3520.0])
def test_a_short_note_lands_on_the_nearest_frame_of_the_constant_q_transform(pitch_hz):
    for center in (0.5, 0.507, 1.33):
        times = np.arange(2 * RATE) / RATE - center
        song = np.sin(2 * np.pi * pitch_hz * times) * np.exp(-((times / 0.02) ** 2))
        strength = np.concatenate(list(cqt_magnitudes(song.astype(np.float32), 800, 0, 60))).sum(axis=1)
        assert strength.argmax() == round(30 * center)


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


def test_any_stretch_of_frames_equals_those_of_the_whole_song(monkeypatch, make_drums):
    song = make_drums(120, 10) + tone(131, 220, 277, seconds=10, level=0.05)
    song[: 3 * RATE] *= 0.01
    whole = spectral_features(song, 0, 300)
    monkeypatch.setattr("infinitedance.audio.spectra.BLOCK_FRAMES", 37)
    np.testing.assert_allclose(spectral_features(song, 0, 300), whole, atol=1e-6)
    np.testing.assert_allclose(spectral_features(song, 113, 204), whole[113:204], atol=1e-6)


def test_a_frame_hears_only_the_sound_around_it():
    song = noise(4 * RATE)
    changed = song.copy()
    changed[: RATE * 2 - 1100] = 0
    there, here = (spectral_features(waveform, 60, 120, loudness_lufs=-20.0) for waveform in (song, changed))
    for channels in (LAYOUT.log_mel, LAYOUT.mfcc, LAYOUT.onset_strength):
        np.testing.assert_allclose(here[:, channels], there[:, channels], atol=1e-5)
    np.testing.assert_allclose(here[2:, LAYOUT.chroma], there[2:, LAYOUT.chroma], atol=2e-3)  # 2 frames: 67 ms
    np.testing.assert_allclose(here[47:, LAYOUT.loudness], there[47:, LAYOUT.loudness], atol=1e-4)  # 1.5 s


def test_the_chroma_of_a_chord_is_its_notes():
    chroma = spectral_features(tone(261.63, 329.63, 392.0), 0, 30)[15, LAYOUT.chroma]
    assert set(np.argsort(chroma)[-3:]) == {0, 4, 7}  # C, E, G


def test_chroma_and_mfcc_are_those_of_librosa(make_drums):
    import librosa

    song = make_drums(120, 4) + tone(131, 220, 277, seconds=4, level=0.05)
    features = spectral_features(song, 0, 120)
    options = {"bins_per_octave": 12, "n_octaves": 5, "fmin": librosa.note_to_hz("C3"), "tuning": 0.0}
    chroma = librosa.feature.chroma_cqt(y=song, sr=RATE, hop_length=800, **options).T[:120]
    np.testing.assert_allclose(features[:, LAYOUT.chroma], chroma, atol=0.03)  # the floor lowers soft frames
    mfcc = librosa.feature.mfcc(S=features[:, LAYOUT.log_mel].T, n_mfcc=20).T
    np.testing.assert_allclose(features[:, LAYOUT.mfcc] * np.maximum(4 / np.arange(1, 21), 0.4), mfcc, atol=1e-5)


@pytest.mark.parametrize("decibels", [-20, 12])
def test_the_level_of_a_recording_changes_no_feature(extractor, make_drums, decibels):
    song = make_drums(96, 13) + tone(220, 277, 330, seconds=13, level=0.05)
    song[: 4 * RATE] *= 0.1
    clock = BeatClock.steady(96, 13)
    as_it_is, changed = (
        extractor(song * np.float32(factor), RATE, beat_clock=clock)["input_features"][0]
        for factor in (1.0, 10 ** (decibels / 20))
    )
    np.testing.assert_allclose(changed, as_it_is, atol=1e-3)


def test_loudness_is_relative_to_the_song_in_fours_of_decibels():
    song = tone(440, seconds=12)
    song[: 6 * RATE] *= 0.5
    features = spectral_features(song, 0, 360, loudness_lufs=-20.0)
    soft, loud = features[15:120, LAYOUT.loudness], features[-120:-15, LAYOUT.loudness]
    np.testing.assert_allclose(loud.mean() - soft.mean(), 20 * np.log10(2) / 4, atol=0.02)
    assert max(np.ptp(soft), np.ptp(loud)) < 0.02  # also at the edges, where half of the 2 s are missing
    steady = spectral_features(tone(440, seconds=12), 0, 360)
    np.testing.assert_allclose(steady[:, LAYOUT.loudness], 0, atol=0.02)
    quieter_song = spectral_features(song, 0, 360, loudness_lufs=-24.0)
    np.testing.assert_allclose(quieter_song[:, LAYOUT.loudness], features[:, LAYOUT.loudness] + 1, atol=1e-5)


def test_log_mel_is_in_twenties_of_decibels_above_a_floor():
    loud, soft = (spectral_features(tone(440, level=level), 0, 30, loudness_lufs=-14.0)[15] for level in (0.5, 0.05))
    loudest = loud[LAYOUT.log_mel].argmax()
    assert loud[loudest] - soft[loudest] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("peak", [0.0, 1e-5])
def test_silence_is_the_floor_of_all_channels(peak):
    silence = spectral_features(peak * noise(RATE), 0, 30)
    np.testing.assert_allclose(silence[:, LAYOUT.log_mel], -2, rtol=1e-6)
    np.testing.assert_allclose(silence[:, LAYOUT.loudness], -5, rtol=1e-6)
    np.testing.assert_allclose(silence[:, LAYOUT.chroma], 0, atol=1e-6)
    assert (silence[:, LAYOUT.onset_strength] == -1).all() and np.isfinite(silence).all()


def test_a_pause_of_a_soft_song_is_as_silent_as_one_of_a_loud_song():
    song = tone(440, seconds=6)
    song[3 * RATE :] = 0
    loud, soft = (spectral_features(level * song, 0, 180) for level in (1.0, 0.01))
    np.testing.assert_allclose(soft, loud, atol=1e-3)
    np.testing.assert_allclose(soft[150:, LAYOUT.log_mel], -2, rtol=1e-6)


def test_the_shortest_waveform_has_features_and_no_warning(extractor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        features = extractor(noise(RATE // 10), RATE, bpm=120)["input_features"][0]
    assert features.shape == (3, 109) and np.isfinite(features).all()


def test_weighted_sums_are_the_matrix_product_for_any_number_of_rows():
    power = next(power_spectra(noise(4 * RATE), 2048, 800, 0, 100))
    filters = mel_filters(2048, 64, 30.0, 11000.0)
    sums = weighted_sums(power, filters)
    np.testing.assert_allclose(sums, power.astype(float) @ filters, rtol=1e-5)
    np.testing.assert_array_equal(sums[17:18], weighted_sums(power[17:18], filters))


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
    np.testing.assert_array_equal(features[:, LAYOUT.beat_clock], clock.to_features(90))


def test_overrides_reach_the_beat_clock(extractor, make_drums):
    song = make_drums(90, 12)
    features = extractor([song, song], RATE, bpm=[90, 180], first_downbeat_seconds=2.0)["input_features"]
    tempo = [2 ** float(rows[100, -1]) * 120 for rows in features]
    assert tempo == pytest.approx([90, 180], rel=2e-3)
    frame_of_downbeat = features[0][60, LAYOUT.beat_clock]
    np.testing.assert_allclose(frame_of_downbeat[:10], [0, 1] * 5, atol=1e-3)


def test_padding_does_not_change_a_song(extractor):
    long, short = noise(4 * RATE), noise(2 * RATE)
    batch = extractor([long, short], RATE, bpm=120, return_tensors="pt")
    assert batch["input_features"].shape == (2, 120, 109)
    assert batch["attention_mask"].sum(dim=1).tolist() == [120, 60]
    alone = extractor(short, RATE, bpm=120, return_tensors="pt")["input_features"][0]
    torch.testing.assert_close(batch["input_features"][1, :60], alone)
    assert (batch["input_features"][1, 60:] == 0).all()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_extractor_of_a_model_that_ships_computes_the_features_of_this_release(name):
    assert MusicFeatureExtractor.from_pretrained(MODELS[name]).version == MusicFeatureExtractor().version == 2


@pytest.mark.parametrize(("stated", "got"), [(None, "no version"), (1, "1"), (3, "3")])
def test_a_saved_extractor_of_another_version_or_of_none_is_refused(tmp_path, stated, got):
    MusicFeatureExtractor().save_pretrained(tmp_path)
    assert MusicFeatureExtractor.from_pretrained(tmp_path).version == 2
    path = tmp_path / "preprocessor_config.json"
    values = json.loads(path.read_text())
    assert values.pop("version") == 2
    path.write_text(json.dumps(values if stated is None else values | {"version": stated}))
    with pytest.raises(ValueError, match=f"extractor must be of version 2 .*, got {got}. Take a model of"):
        MusicFeatureExtractor.from_pretrained(tmp_path)


def test_a_part_of_a_song_has_the_level_of_its_song(extractor, make_drums):
    song = make_drums(96, 10)
    song[: 5 * RATE] *= 0.1
    clock = BeatClock.steady(96, 10)
    whole = extractor(song, RATE, beat_clock=clock)["input_features"][0]
    loudness = -33.0
    parts = extractor(
        [song[: 4 * RATE], song], RATE, beat_clock=clock, loudness_lufs=[loudness, None], return_tensors="np"
    )["input_features"]
    np.testing.assert_array_equal(parts[1], whole)
    expected = spectral_features(song, 0, 90, loudness_lufs=loudness)
    np.testing.assert_allclose(parts[0, :80, :97], expected[:80, :97], atol=1e-4)


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
heavy = {"librosa", "numba", "av"} & set(sys.modules)
features = extractor(np.load(folder + "/song.npy"), 24000, bpm=100)["input_features"][0]
np.save(folder + "/features.npy", features)
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


@pytest.mark.parametrize("loudness", [float("nan"), float("inf"), 1e9])
def test_a_loudness_that_cannot_be_is_refused(extractor, loudness):
    with pytest.raises(ValueError, match="loudness_lufs"):
        extractor(noise(24000), RATE, bpm=120, loudness_lufs=loudness)
