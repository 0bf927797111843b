from dataclasses import replace

import numpy as np
import pytest

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import write_manifest
from infinitedance.modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.references_choreollama import REFERENCE_CHOICES, ReferenceFinder
from infinitedance.training.takes import DanceTake

pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")


@pytest.fixture(scope="module")
def data(tmp_path_factory, build_procedural):
    """Thirteen clips of four genres, the song of the last held out; no dance is a near copy of another."""
    data = BuiltDataset(build_procedural(tmp_path_factory.mktemp("references"), 13, 3.0, test=[-1]))
    generator = np.random.default_rng(0)
    for clip in data.clips:
        features = np.array(data.motion_features(clip)) + generator.normal(scale=3, size=269).astype(np.float32)
        np.save(data.folder / clip.motion_file, features)
    write_manifest([replace(clip, sha256=clip.contents_sha256(data.folder)) for clip in data.clips], data.folder)
    return BuiltDataset(data.folder)


@pytest.fixture(scope="module")
def encoder(make_encoder):
    return make_encoder(window_frames=32)


@pytest.fixture(scope="module")
def takes(data):
    clips = data.split("train", mirrored=False) + data.split("test", mirrored=False)
    codes = [np.zeros((3, 23), np.int64)]
    return [DanceTake(clip.song_id, clip.genre, data.music_features(clip), codes) for clip in clips]


@pytest.mark.parametrize("choice", REFERENCE_CHOICES)
def test_no_take_is_given_a_dance_to_its_own_song(data, encoder, takes, choice):
    found = ReferenceFinder(data, encoder, 2, choice)(takes)
    for take, windows in zip(takes, found.windows, strict=True):
        hits = [hit for window in windows for hit in window.hits]
        assert len(hits) == 2 * len(windows) and take.song_id not in {hit.song_id for hit in hits}
        if choice != "random":
            assert {hit.genre for hit in hits} == {take.genre}


def test_pinned_dances_are_the_same_throughout_and_random_ones_are_not(data, encoder, takes):
    for choice, is_constant in (("pinned", True), ("random", False)):
        found = ReferenceFinder(data, encoder, 2, choice)(takes)
        constant = [
            len({tuple(hit.clip_id for hit in window.hits) for window in windows}) == 1 for windows in found.windows
        ]
        assert all(constant) == is_constant
        again = ReferenceFinder(data, encoder, 2, choice)(takes)
        assert again.windows == found.windows


def test_a_window_holds_the_references_of_its_own_moment(data, encoder, takes):
    config = ChoreoLlamaConfig(max_window_tokens=8, genres=sorted({take.genre for take in takes}))
    found = ReferenceFinder(data, encoder, 2, "retrieved")(takes)
    batch = ChoreoWindows(takes, config, found).cut([(0, 0, 6)])
    start = (6 - config.context_tokens) * config.frames_per_token
    present = batch["frame_mask"][0].numpy()
    whole = found.cut(0, 0, len(takes[0].music))
    frames = np.flatnonzero(present) + start
    np.testing.assert_array_equal(batch["reference_features"][0][:, present].numpy(), whole[:, frames])
    assert not batch["reference_features"][0][:, ~present].any()


def test_too_few_dances_are_told(data, encoder, takes):
    with pytest.raises(ValueError, match="lower `num_references` or add dances"):
        ReferenceFinder(data, encoder, 9, "retrieved")(takes)
    with pytest.raises(ValueError, match="one of retrieved, random, pinned, got 'nearest'"):
        ReferenceFinder(data, encoder, 2, "nearest")
