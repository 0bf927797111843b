import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infinitedance import ReleaseRetriever, ReleaseRetrieverConfig
from infinitedance.retrieval.release_library import (
    RELEASE_DATA_LICENSE,
    ReleaseLibrary,
    SongReferences,
    condition,
    song_window,
)

STYLES = ("Ballet", "Popular", "Latin", "Modern", "Folk", "Classic")


@pytest.fixture
def library(published_release):
    return ReleaseLibrary.from_folder(published_release / "InfiniteDanceData")


@pytest.fixture
def references(library, imported_release):
    retriever = ReleaseRetriever.from_pretrained(imported_release / "retriever").eval()
    music = np.random.default_rng(0).normal(size=(1000, 55)).astype(np.float32)
    return SongReferences(library, retriever, music, "Popular", lambda features: 2 * features)


@pytest.mark.shared_data
def test_windows_and_ranks_are_those_of_the_release(parity_dir):
    folder = parity_dir / "release" / "retrieval"
    golden, told = np.load(folder / "lookup.npz"), json.loads((folder / "lookup.json").read_text())
    retriever = ReleaseRetriever(ReleaseRetrieverConfig(hidden=32, layers=2, feed_forward=64)).eval()
    retriever.load_state_dict(load_file(folder / "weights.safetensors"))
    names = [str(name) for name in golden["names"]]
    library = ReleaseLibrary(names, golden["embeddings"], told["style_map"], Path())
    for style in STYLES:
        found = SongReferences(library, retriever, golden["song"], style, lambda features: features)
        assert found.num_windows == told["n_windows"]
        for index in range(found.num_windows):
            window = song_window(golden["song"], 192 * index, 384)
            np.testing.assert_array_equal(window[0], golden["windows_first_row"][index])
            np.testing.assert_array_equal(window[-1], golden["windows_last_row"][index])
            wanted = told["result"][f"idx_{index}"][style]
            got = found.rank(192 * index)
            assert [name for name, _ in got] == [hit["name"] for hit in wanted]
            np.testing.assert_allclose([score for _, score in got], [hit["similarity"] for hit in wanted], atol=1e-4)


@pytest.mark.shared_data
def test_conditions_and_prefixes_are_those_of_the_release(parity_dir, tmp_path):
    folder = parity_dir / "release" / "tokens"
    golden, told = (
        np.load(folder / "retrieval_condition.npz"),
        json.loads((folder / "retrieval_condition.json").read_text()),
    )
    for kind in ("clip", "tokens"):
        (tmp_path / kind).mkdir()
        for clip in "abcd":
            np.save(tmp_path / kind / f"{clip}.npy", golden[f"{kind}_{clip}"])
    library = ReleaseLibrary([], np.zeros((0, 8)), {}, tmp_path / "clip", tmp_path / "tokens")
    found = library.usable(told["ranked"])
    assert list(found) == ["a@100_484", "b@300_684", "c@0_384", "d@0_384", "a@500_884"]
    mean = condition([(features - golden["mean"]) / golden["std"] for features in found.values()])
    np.testing.assert_allclose(mean, golden["weighted_sum"], atol=1e-4)
    for segment in told["segments"]:
        start = segment["start_idx"]
        ids = library.prefix(["missing@0_384", f"{segment['name']}@{start}_{start + 384}"])
        assert ids.tolist() == segment["tokens"]


def test_the_best_window_counts_most():
    windows = [np.full((2, 3), value, np.float32) for value in (1.0, 10.0, 100.0)]
    np.testing.assert_allclose(condition(windows), (3 * 1 + 2 * 10 + 100) / 6)
    with pytest.raises(ValueError, match="at least one window"):
        condition([])


def test_a_style_is_read_from_the_map_or_from_the_name(library):
    found = {name: library.style_of(name) for name in [*library.names, "unknown@0_384"]}
    assert found["clip@0_384"] == "Popular" == found["lost@0_384"] == found["Popular-Jazz1@0_384"]
    assert found["Folk3@0_384"] == "Folk" and found["unknown@0_384"] is None


def test_only_windows_of_the_style_are_ranked_by_their_cosine(library):
    rows = [0, 1, 2, 4, 5]
    query = np.random.default_rng(2).normal(size=8)
    unit = library.embeddings / np.linalg.norm(library.embeddings, axis=1, keepdims=True)
    wanted = sorted(rows, key=lambda row: -unit[row] @ query)
    assert [name for name, _ in library.rank(query, "Popular")] == [library.names[row] for row in wanted]
    assert [name for name, _ in library.rank(10 * query, "Popular", 2)] == [library.names[row] for row in wanted[:2]]
    assert library.rank(query, "Ballet") == []


def test_dances_that_are_missing_or_too_short_are_left_out(library):
    assert list(library.usable(library.names)) == [
        "Popular-Jazz1@0_384",
        "Popular2@16_400",
        "Folk3@0_384",
        "clip@0_384",
    ]
    # The first has too few tokens, the next begins at frame 16, which is nearest to token 0.
    ids = np.load(library.token_folder / "Popular2.npy")
    assert library.prefix(["Popular-Jazz1@0_384", "Popular2@16_400"]).tolist() == ids[:120].tolist()
    assert library.prefix(["Popular2@49_400"]).tolist() == ids[72:192].tolist()
    assert library.prefix(["Popular2@384_400"]) is None and library.prefix(["lost@0_384"]) is None


def test_a_window_has_the_condition_of_exactly_its_time(references, library):
    found = references.condition_at(100)
    ranked = dict(references.rank(100))
    assert ranked != dict(references.rank(0))
    usable = library.usable(list(ranked))
    windows = list(usable.values())
    torch.testing.assert_close(found, 2 * torch.from_numpy(condition(windows)))
    (record,) = references.windows
    assert (record.start_frame, record.start_seconds) == (100, 100 / 30)
    assert [hit.weight for hit in record.hits] == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert [hit.score for hit in record.hits] == [ranked[name] for name in usable]
    assert {hit.license for hit in record.hits} == {RELEASE_DATA_LICENSE}


def test_the_grid_of_the_release_steps_192_frames_and_ends_with_the_song(references):
    assert references.num_windows == 5
    torch.testing.assert_close(references.condition_of(2), references.condition_at(384))
    torch.testing.assert_close(references.condition_of(9), references.condition_at(768))


def test_a_style_without_dances_is_told(references):
    references.style = "Ballet"
    with pytest.raises(
        ValueError, match="None of the 0 dances of the style Ballet that suit the music at 1.0 s is in"
    ):
        references.condition_at(30)


def test_a_window_beyond_the_song_is_the_window_again():
    music = np.arange(10, dtype=np.float32)[:, None]
    assert song_window(music, 7, 7)[:, 0].tolist() == [7, 8, 9, 7, 8, 9, 7]
    with pytest.raises(ValueError, match="within the song of 10 frames, got frame 10"):
        song_window(music, 10, 4)


@pytest.mark.parametrize(
    ("names", "embeddings", "told"),
    [
        (["a@0_384"], np.zeros((2, 8)), "one finite embedding for each of the 1 names"),
        (["a@0_384"], np.full((1, 8), np.nan), "one finite embedding"),
        (["a@384_0"], np.ones((1, 8)), "must be `clip@start_end`, got 'a@384_0'"),
        (["a"], np.ones((1, 8)), "must be `clip@start_end`, got 'a'"),
    ],
)
def test_an_index_that_is_none_is_refused(names, embeddings, told):
    with pytest.raises(ValueError, match=told):
        ReleaseLibrary(names, embeddings, {}, Path())


def test_what_is_missing_or_pickled_in_the_folder_is_named(published_release, tmp_path):
    data = shutil.copytree(published_release / "InfiniteDanceData", tmp_path / "data")
    names = np.array(["a@0_384"], dtype=object)
    np.savez(data / "dance" / "retrievalnet_motion_embeddings.npz", names=names, embeddings=np.ones((1, 8)))
    with pytest.raises(ValueError, match="embeddings.npz cannot be read: .*allow_pickle"):
        ReleaseLibrary.from_folder(data)
    (data / "dance" / "retrievalnet_motion_embeddings.npz").unlink()
    with pytest.raises(FileNotFoundError, match="embeddings.npz: give the folder `InfiniteDanceData`"):
        ReleaseLibrary.from_folder(data)
