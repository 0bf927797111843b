import json

import numpy as np
import pytest

from infinitedance.dataset_builder.built import BuiltDataset


@pytest.fixture
def folder(tmp_path, write_built):
    clip_ids = ["a", "a_mirror", "b", "b_mirror"]
    features = {clip_id: np.full((6, 269), len(clip_id), dtype=np.float32) for clip_id in clip_ids}
    return write_built(tmp_path, features, {clip_id: {"split": "test"} for clip_id in clip_ids[2:]})


def test_splits_hold_their_clips_with_or_without_mirrored_copies(folder):
    data = BuiltDataset(folder)
    assert [clip.clip_id for clip in data.split("train")] == ["a", "a_mirror"]
    assert [clip.clip_id for clip in data.split("test", mirrored=False)] == ["b"]
    features = data.motion_features(data.split("test")[1])
    assert features.shape == (6, 269) and (features == len("b_mirror")).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"color": "red"}, "must have the fields"),
        ({"split": "training"}, "split out of train, validation, test.*got 'training'"),
        ({"num_frames": 0}, "at least one frame.*got 'train' and 0"),
        ({"clip_id": "b"}, "`clip_id` must be unique, got twice: b"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_line(folder, changes, message):
    first, *rest = (folder / "manifest.jsonl").read_text().splitlines()
    lines = [json.dumps(json.loads(first) | changes), *rest]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        BuiltDataset(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [("dev", "must be one of train"), ("validation", "no clip of split 'validation': .* from 2 songs on")],
)
def test_a_split_that_is_not_there_is_refused(folder, name, message):
    with pytest.raises(ValueError, match=message):
        BuiltDataset(folder).split(name)


@pytest.mark.parametrize("version", [1, 3])
def test_a_data_set_with_music_features_of_another_version_is_refused(tmp_path, write_built, version):
    features = {clip_id: np.zeros((6, 269), np.float32) for clip_id in "abc"}
    fields = {clip_id: {"music_file": "music.npy", "music_features_version": 2} for clip_id in "ab"}
    assert len(BuiltDataset(write_built(tmp_path, features, fields)).clips) == 3
    fields["b"]["music_features_version"] = version
    with pytest.raises(ValueError, match=f"{tmp_path} must be of version 2 .* got {version}.*build the data set"):
        BuiltDataset(write_built(tmp_path, features, fields))


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="infinitedance build"):
        BuiltDataset(tmp_path)


def test_a_file_that_is_not_what_the_manifest_says_is_refused(folder):
    data = BuiltDataset(folder)
    clip = data.split("train")[0]
    np.save(folder / "a.npy", np.zeros((7, 269), dtype=np.float32))
    with pytest.raises(ValueError, match=r"float32 of shape \(6, 269\), got float32 of shape \(7, 269\)"):
        data.motion_features(clip)
    (folder / "a.npy").unlink()
    with pytest.raises(FileNotFoundError, match="build the data set again"):
        data.motion_features(clip)
