import shutil

import numpy as np
import pytest
import torch

from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.motion.features import features_to_motion, motion_to_features
from infinitedance.motion.motion import Motion
from infinitedance.retrieval.copying import copy_report
from infinitedance.retrieval.references import ReferenceRetriever
from infinitedance.retrieval.windows import LibraryClip
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel

pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")
NUM_FRAMES = 150


def dance_features(seed: int, num_frames: int = NUM_FRAMES) -> np.ndarray:
    """A dancer who swings the arms in an own rhythm."""
    generator = np.random.default_rng(seed)
    rotations = np.zeros((num_frames, 22, 4), np.float32)
    rotations[..., 0] = 1
    for joint in (16, 17, 18, 19):
        angle = np.sin(np.arange(num_frames) / 30 * generator.uniform(3, 9) + generator.uniform(0, 6))
        rotations[:, joint, 0], rotations[:, joint, 3] = np.cos(angle / 2), np.sin(angle / 2)
    return motion_to_features(Motion(30.0, np.tile([0, 0.93, 0.0], (num_frames, 1)), rotations)).numpy()


@pytest.fixture(scope="module")
def clips() -> list[LibraryClip]:
    genres = ("waltz", "waltz", "rumba", "rumba")
    return [
        LibraryClip(f"clip_{number}", f"song_{number}", genre, "studio", "CC0-1.0", dance_features(number))
        for number, genre in enumerate(genres)
    ]


@pytest.fixture(scope="module")
def retriever(clips, make_encoder) -> ReferenceRetriever:
    return ReferenceRetriever.build(make_encoder(), clips)


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return np.random.default_rng(9).standard_normal((200, 109)).astype(np.float32)


def test_references_lie_on_the_time_of_the_song_and_are_named(retriever, music, clips):
    features, windows = retriever(music, num_references=2, genre="waltz")
    assert features.shape == (2, 200, 269)
    assert {hit.genre for window in windows for hit in window.hits} == {"waltz"}
    assert {hit.license for window in windows for hit in window.hits} == {"CC0-1.0"}
    hit = windows[0].hits[0]
    own = next(clip.motion_features for clip in clips if clip.clip_id == hit.clip_id)
    np.testing.assert_allclose(features[0, :48], own[hit.start_frame :][:48], atol=2e-3)  # kept in half precision


def test_a_saved_folder_finds_the_same_references(retriever, music, tmp_path):
    retriever.save_pretrained(tmp_path / "library")
    again = ReferenceRetriever.from_pretrained(tmp_path / "library")
    for genre, pinned in ((None, ()), ("rumba", ("clip_3",))):
        features, windows = retriever(music, num_references=2, genre=genre, pinned=pinned)
        found, found_windows = again(music, num_references=2, genre=genre, pinned=pinned)
        np.testing.assert_array_equal(found, features)
        assert [[hit.clip_id for hit in window.hits] for window in found_windows] == [
            [hit.clip_id for hit in window.hits] for window in windows
        ]
    with pytest.raises(FileExistsError, match="new or empty"):
        retriever.save_pretrained(tmp_path / "library")


def test_a_pinned_dance_leads_throughout(retriever, music):
    _, windows = retriever(music, num_references=2, pinned=["clip_2"])
    assert {(window.hits[0].clip_id, window.hits[0].pinned) for window in windows} == {("clip_2", True)}


@pytest.fixture(scope="module")
def codec(clips) -> MotionCodecModel:
    """A codec whose codebooks were drawn from the dances, so that other poses have other codes."""
    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(num_quantizers=2, hidden_size=16, codebook_dim=8, residual_dilations=[1])
    )
    features = torch.from_numpy(np.stack([clip.motion_features for clip in clips]))
    codec.set_feature_statistics(features.mean(dim=(0, 1)), features.std(dim=(0, 1)) + 0.02)
    with torch.no_grad():
        for _ in range(2):  # dead codes are drawn anew
            codec.train()(features)
    return codec.eval()


def test_a_copy_is_reported_and_another_dance_is_not(retriever, music, codec):
    _, windows = retriever(music, num_references=1, pinned=["clip_2"])

    def report(features: np.ndarray):
        features = torch.from_numpy(features)
        codes = codec.encode(features[None])[0]
        return copy_report(retriever.library, features_to_motion(features), codes, windows, codec)

    copied = report(retriever.dances["clip_2"])
    assert copied.nearest_clip_id == "clip_2" and copied.copied_share == 1 and copied.nearest_millimetres < 2
    assert copied.longest_run_tokens == 38  # all of it, 150 frames
    # A piece that begins within a token of the reference: at its ends the codes hear other frames.
    assert 20 < report(retriever.dances["clip_2"][17:]).longest_run_tokens <= 34
    other = report(dance_features(77))
    assert other.copied_share == 0 and other.nearest_millimetres > 20 and other.longest_run_tokens < 4
    assert report(dance_features(1, num_frames=30)) is None


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("encoder", "has no encoder/config.json"),
        ("dances.safetensors", "has no dances.safetensors"),
        ("index", "no retrieval index"),
    ],
)
def test_a_folder_without_a_part_is_no_library(retriever, tmp_path, missing, message):
    retriever.save_pretrained(tmp_path / "library")
    part = tmp_path / "library" / missing
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(FileNotFoundError, match=message):
        ReferenceRetriever.from_pretrained(tmp_path / "library")


def test_parts_of_two_libraries_do_not_go_together(retriever, clips, tmp_path):
    retriever.save_pretrained(tmp_path / "library")
    torch.manual_seed(1)
    other = ReferenceRetriever.build(MusicDanceEncoder(retriever.index.encoder.config).eval(), clips[1:])
    other.save_pretrained(tmp_path / "other")
    shutil.rmtree(tmp_path / "library" / "encoder")
    shutil.copytree(tmp_path / "other" / "encoder", tmp_path / "library" / "encoder")
    with pytest.raises(ValueError, match="another encoder"):
        ReferenceRetriever.from_pretrained(tmp_path / "library")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_references": 1, "genre": "tango"}, "'rumba', 'waltz'"),
        ({"num_references": 1, "pinned": ["nobody"]}, "name clips of the library, got 'nobody'"),
        ({"num_references": 0}, "at least 1"),
    ],
)
def test_wrong_requests_are_told(retriever, music, arguments, message):
    with pytest.raises(ValueError, match=message):
        retriever(music, **arguments)
