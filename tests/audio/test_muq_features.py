"""MuQ's package is not a part of the tests: a network of its interface, 25 frames a second, stands for it."""

import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from infinitedance import ChoreoLlamaProcessor, MuqFeatureExtractor, MusicFeatureExtractor
from infinitedance.audio.muq_features import MUQ_LICENSE, at_frame_rate, read_music_features

RATE, SIZE = 24_000, 5


class Network:
    """The time of each frame in seconds, in each channel."""

    def __init__(self):
        self.conformer = lambda hidden: SimpleNamespace(last_hidden_state=hidden)
        self.conformer.config = SimpleNamespace()
        self.conv = lambda spectra: spectra

    def preprocessing(self, waveforms, features):
        times = torch.arange(waveforms.shape[1] // 960) / 25
        return {features[0]: times[None, :, None].expand(-1, -1, SIZE)}

    def normalize(self, spectra):
        return spectra

    def eval(self):
        return SimpleNamespace(model=self)


@pytest.fixture
def muq(monkeypatch, tmp_path):
    module = types.ModuleType("muq")
    module.__spec__ = types.SimpleNamespace()
    module.MuQ = SimpleNamespace(from_pretrained=lambda folder, local_files_only: Network())
    monkeypatch.setitem(sys.modules, "muq", module)
    return str(tmp_path)


def test_the_states_of_a_song_come_at_25_a_second_and_their_terms_are_named(muq, caplog):
    extractor = MuqFeatureExtractor(feature_size=SIZE, weights=muq)
    features = extractor(np.ones(2 * RATE, np.float32), RATE, return_tensors="np")["input_features"]
    assert features.shape == (1, 50, SIZE)
    np.testing.assert_allclose(features[0, :, 0], np.arange(50) / 25, atol=1e-6)
    assert MUQ_LICENSE in caplog.text


def test_a_model_of_ours_is_fed_at_its_own_rate_with_the_beat_clock(muq, clicks, tmp_path):
    extractor = MuqFeatureExtractor(feature_size=SIZE + 11, frame_rate=30, clock_size=11, weights=muq)
    ChoreoLlamaProcessor(extractor, genres=["waltz"]).save_pretrained(tmp_path)
    processor = ChoreoLlamaProcessor.from_pretrained(tmp_path)
    assert isinstance(processor.feature_extractor, MuqFeatureExtractor)
    songs = [clicks[: 3 * RATE], clicks[: 2 * RATE]]
    hints = {"meter": 4, "first_downbeat_seconds": 0.0}
    inputs = processor(songs, RATE, genre=["waltz", None], bpm=[120.0, 60.0], **hints)
    assert inputs["input_features"].shape == (2, 90, SIZE + 11)
    assert inputs["frame_mask"].sum(1).tolist() == [90, 60]
    np.testing.assert_allclose(inputs["input_features"][0, :88, 0], np.arange(88) / 30, atol=1e-5)
    own = MusicFeatureExtractor()(songs, RATE, genre=["waltz", None], bpm=[120.0, 60.0], return_tensors="pt", **hints)
    torch.testing.assert_close(inputs["input_features"][..., SIZE:], own["input_features"][..., -11:])


def test_any_registered_extractor_is_found_by_its_name_in_the_processor(tmp_path):
    from transformers import LlamaConfig

    class OwnConfig(LlamaConfig):
        model_type = "of-a-test"

    class OwnExtractor(MuqFeatureExtractor):
        pass

    AutoFeatureExtractor.register(OwnConfig, OwnExtractor)
    ChoreoLlamaProcessor(OwnExtractor(feature_size=7, weights="here"), genres=["waltz"]).save_pretrained(tmp_path)
    extractor = ChoreoLlamaProcessor.from_pretrained(tmp_path).feature_extractor
    assert (type(extractor), extractor.feature_size, extractor.weights) == (OwnExtractor, 7, "here")


def test_weights_that_are_not_here_are_asked_for_not_downloaded(muq, monkeypatch, clicks):
    for weights, told in (
        ("OpenMuQ/no-such", "`hf download OpenMuQ/no-such`"),
        ("no/such/folder", "Give their folder"),
    ):
        with pytest.raises(FileNotFoundError, match=told) as refused:
            MuqFeatureExtractor(weights=weights)(clicks, RATE)
        assert "CC BY-NC 4.0" in str(refused.value)
    monkeypatch.setitem(sys.modules, "muq", None)
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != "muq")
    with pytest.raises(ImportError, match=r"needs the package `muq`: .*infinitedance\[muq\]"):
        MuqFeatureExtractor()(clicks, RATE)


def test_weights_of_another_size_are_refused(muq, clicks):
    with pytest.raises(ValueError, match=f"has {SIZE} channels, and `feature_size` of the extractor says 1024"):
        MuqFeatureExtractor(weights=muq)(clicks, RATE)


@pytest.mark.parametrize(
    "fields", [{"sampling_rate": 16_000}, {"clock_size": 5}, {"feature_size": 11, "clock_size": 11}]
)
def test_sizes_that_no_extractor_has_are_refused(fields):
    with pytest.raises(ValueError, match="must be|is always"):
        MuqFeatureExtractor(**fields)


def test_features_are_read_from_npy_and_npz(tmp_path):
    features = np.random.default_rng(0).normal(size=(8, SIZE)).astype(np.float32)
    np.save(tmp_path / "a.npy", features[None])
    np.savez(tmp_path / "a.npz", features=features.astype(np.float16))
    np.testing.assert_array_equal(read_music_features(tmp_path / "a.npy", SIZE), features)
    assert read_music_features(tmp_path / "a.npz", SIZE).dtype == np.float32


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((8, 4), np.float32), r"must have shape \(frames, 5\), 25 frames a second, got \(8, 4\)"),
        (np.zeros((8, 5), np.int64), "must hold real numbers"),
        (np.full((8, 5), np.inf), "holds NaN or infinity"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_files_without_features_are_refused_by_their_name(content, told, tmp_path):
    np.save(tmp_path / "odd.npy", content, allow_pickle=True)
    with pytest.raises(ValueError, match=told) as refused:
        read_music_features(tmp_path / "odd.npy", SIZE)
    assert "odd.npy" in str(refused.value)
    with pytest.raises(FileNotFoundError, match="no file .*missing"):
        read_music_features(tmp_path / "missing.npy", SIZE)


def test_another_rate_lies_on_straight_lines_and_ends_with_the_last_frame():
    features = np.arange(5, dtype=np.float32)[:, None]
    np.testing.assert_allclose(at_frame_rate(features, 25, 50, 12)[:, 0], [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4, 4, 4])
