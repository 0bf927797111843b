import numpy as np
import pytest
import torch

from infinitedance import ReleaseToDancePipeline
from infinitedance.modeling.choreollama_release.decoding_release import compat_windows

RATE, SIZE = 24_000, 6


@pytest.fixture(scope="module")
def song(clicks):
    return clicks[: round(3.31 * RATE)]


@pytest.fixture(scope="module")
def music():
    return np.random.default_rng(0).normal(size=(82, SIZE)).astype(np.float32)  # 3.28 s


@pytest.fixture(scope="module")
def pipeline(imported_release):
    return ReleaseToDancePipeline.from_pretrained(imported_release)


@pytest.fixture
def guided(imported_release, published_release, monkeypatch):
    """A pipeline with references; what librosa makes of the song is not compiled for it."""
    heard = []

    def features(waveform):
        heard.append(len(waveform))
        return np.random.default_rng(0).normal(size=(1 + len(waveform) // 512, 55)).astype(np.float32)

    monkeypatch.setattr("infinitedance.release_pipeline.release_music_features", features)
    pipeline = ReleaseToDancePipeline.from_pretrained(imported_release, published_release / "InfiniteDanceData")
    pipeline.heard = heard
    return pipeline


def test_a_whole_song_is_danced_to_its_last_frame_by_one_seed_alike(pipeline, song, music):
    dance, again, other = (
        pipeline(song, genre="Popular", music_features=music, seed=seed, song_name="a.wav") for seed in (0, 0, 1)
    )
    assert dance.motion.num_frames == round(30 * 3.31) == 99 and dance.motion_codes.shape == (3, 25)
    assert torch.equal(dance.motion_codes, again.motion_codes)
    np.testing.assert_array_equal(dance.motion.joint_rotations, again.motion.joint_rotations)
    assert not torch.equal(dance.motion_codes, other.motion_codes)


def test_the_dance_says_its_terms_and_how_it_was_made(pipeline, song, music):
    dance = pipeline(song, genre="Latin", music_features=music, song_name="a.wav", settings="B", ending="none")
    about = dance.motion.provenance
    assert about["license"] == "infinitedance-non-commercial; MuQ weights: CC BY-NC 4.0, no commercial use"
    assert (about["genre"], about["song"], about["rotations"], about["model"]) == (
        "Latin",
        "a.wav",
        "fitted",
        "released",
    )
    asked = {"ending": "none", "stage_radius": None, "decoder": "whole", "release_settings": "B", "condition": "zeros"}
    assert about["asked"] == asked and "references" not in about
    assert about["song_map"]["duration_seconds"] == pytest.approx(3.31, abs=0.01) and about["beat_times_seconds"]


def test_references_change_the_dance_and_stand_in_it(pipeline, guided, song, music):
    plain, dance = (each(song, genre="Popular", music_features=music) for each in (pipeline, guided))
    assert guided.heard == [round(3.31 * 15_360)]
    assert not torch.equal(plain.motion_codes, dance.motion_codes)
    (window,) = dance.motion.provenance["references"]
    assert window["start_frame"] == 0 and {hit["genre"] for hit in window["hits"]} == {"Popular"}
    assert dance.motion.provenance["asked"]["condition"] == "references"


def test_compat_is_as_long_as_the_original_and_begins_with_a_copy(guided, song, music, published_release):
    dance = guided(song, genre="Folk", music_features=music, decoder="compat")
    assert dance.motion.num_frames == 384  # of a song that is shorter than a window
    tokens = np.load(
        published_release / "InfiniteDanceData/dance/Infinite_MotionTokens_512x1024_3layer_cleandata/Folk3.npy"
    )
    np.testing.assert_array_equal(dance.motion_codes[:, :20].T, tokens[:60].reshape(20, 3) - [4096, 4608, 5120])
    assert [start for start, _ in compat_windows(guided.model, 1000)] == [0, 213, 426, 640]


def test_features_that_are_not_of_the_song_are_refused(pipeline, song, music):
    with pytest.raises(ValueError, match="are of 4.4 s, 25 frames a second, and the song has 3.3 s"):
        pipeline(song, genre="Popular", music_features=np.zeros((111, SIZE)))
    with pytest.raises(ValueError, match=r"shape \(frames, 6\), got \(82, 5\)"):
        pipeline(song, genre="Popular", music_features=music[:, 1:])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"genre": "waltz"}, "`genre` must be one of Ballet, Popular, .*, got 'waltz'"),
        ({"decoder": "fast"}, "`decoder` must be one of whole, compat, got 'fast'"),
        ({"settings": "C"}, "`settings` must be one of A, B, got 'C'"),
        ({"ending": "bow"}, "`ending` must be one of"),
        ({"stage_radius": -1.0}, "`stage_radius` must be a positive number"),
    ],
)
def test_what_is_not_known_is_refused_before_the_song_is_heard(pipeline, asked, told):
    with pytest.raises(ValueError, match=told):
        pipeline("no such file", **{"genre": "Popular", **asked})


def test_references_without_a_retriever_are_refused(pipeline, guided):
    with pytest.raises(ValueError, match="need the released retriever"):
        ReleaseToDancePipeline(pipeline.model, pipeline.extractor, None, guided.library)
