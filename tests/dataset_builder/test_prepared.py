import json

import numpy as np
import pytest

from infinitedance.dataset_builder.prepared import PreparedClips


def entry(clip_id: str, **changes) -> dict:
    fields = {"source": "stage", "genre": "waltz", "split": "train", "file": f"{clip_id}.npy", "num_frames": 6}
    fields |= {"song_id": clip_id, "music_file": None}
    return {"clip_id": clip_id} | fields | changes


@pytest.fixture
def folder(tmp_path):
    entries = [entry("a"), entry("a_mirror"), entry("b", split="test"), entry("b_mirror", split="test")]
    for item in entries:
        np.save(tmp_path / item["file"], np.full((6, 269), len(item["clip_id"]), dtype=np.float32))
    (tmp_path / "index.json").write_text(json.dumps(entries))
    return tmp_path


def test_splits_hold_their_clips_with_or_without_mirrored_copies(folder):
    data = PreparedClips(folder)
    assert [clip.clip_id for clip in data.split("train")] == ["a", "a_mirror"]
    assert [clip.clip_id for clip in data.split("test", mirrored=False)] == ["b"]
    features = data.features(data.split("test")[1])
    assert features.shape == (6, 269) and (features == len("b_mirror")).all()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{"clip_id": "a"}],
            "must have the fields clip_id, source, genre, split, file, num_frames, song_id, music_file",
        ),
        ([entry("a", colour="red")], "must have the fields"),
        ([entry("a", split="training")], "split out of train, validation, test.*got split 'training'"),
        ([entry("a", num_frames=0)], "0 frames"),
        ([entry("a"), entry("a")], "unique, got twice: a"),
    ],
)
def test_a_wrong_index_is_refused(folder, entries, message):
    (folder / "index.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=message):
        PreparedClips(folder)


@pytest.mark.parametrize(("name", "message"), [("dev", "must be one of train"), ("validation", "no clip of split")])
def test_a_split_that_is_not_there_is_refused(folder, name, message):
    with pytest.raises(ValueError, match=message):
        PreparedClips(folder).split(name)


def test_a_folder_without_an_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset_builder.prepare"):
        PreparedClips(tmp_path)


def test_a_file_that_is_not_what_the_index_says_is_refused(folder):
    data = PreparedClips(folder)
    clip = data.split("train")[0]
    np.save(folder / "a.npy", np.zeros((7, 269), dtype=np.float32))
    with pytest.raises(ValueError, match=r"float32 of shape \(6, 269\), got float32 of shape \(7, 269\)"):
        data.features(clip)
    (folder / "a.npy").unlink()
    with pytest.raises(FileNotFoundError, match="prepare it again"):
        data.features(clip)
