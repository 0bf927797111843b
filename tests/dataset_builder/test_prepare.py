import numpy as np
import pytest

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.prepare import prepare_clip_folder
from infinitedance.dataset_builder.prepared import PreparedClips
from infinitedance.dataset_builder.procedural import make_procedural_dataset


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return make_procedural_dataset(tmp_path_factory.mktemp("procedural") / "clips", 3, 3.0)


@pytest.fixture(scope="module")
def songs(clip_folder):
    return [record.song_id for record in read_clip_folder(clip_folder)]


@pytest.fixture(scope="module")
def prepared(clip_folder, songs, tmp_path_factory) -> PreparedClips:
    folder = tmp_path_factory.mktemp("prepared")
    prepare_clip_folder(clip_folder, folder, validation_song_ids=songs[1:2], test_song_ids=songs[2:])
    return PreparedClips(folder)


def test_each_song_is_in_its_split_with_its_mirrored_copy(prepared, songs):
    for split, song in zip(("train", "validation", "test"), songs, strict=True):
        clips = prepared.split(split)
        assert [clip.song_id for clip in clips] == [song, song]
        assert [clip.is_mirrored for clip in clips] == [False, True]
        assert clips[0].music_file == clips[1].music_file


def test_music_and_motion_begin_together_and_keep_the_known_tempo(prepared, clip_folder):
    record = read_clip_folder(clip_folder)[0]
    clip = prepared.split("train")[0]
    music = prepared.music_features(clip)
    assert len(music) == clip.num_frames == len(prepared.features(clip))
    clock = BeatClock.steady(record.bpm, 3.0, meter=3 if record.genre == "waltz" else 4).to_features(len(music))
    np.testing.assert_allclose(music[:, MusicFeatureLayout.beat_clock], clock, atol=1e-5)


def test_preparing_again_writes_the_same_features(prepared, clip_folder, songs, tmp_path):
    prepare_clip_folder(clip_folder, tmp_path, validation_song_ids=songs[1:2], test_song_ids=songs[2:])
    for clip in prepared.clips:
        assert (tmp_path / clip.file).read_bytes() == (prepared.folder / clip.file).read_bytes()


def test_wrong_splits_are_told(clip_folder, songs, tmp_path):
    with pytest.raises(ValueError, match="unknown nobody"):
        prepare_clip_folder(clip_folder, tmp_path, validation_song_ids=["nobody"])
    with pytest.raises(ValueError, match="cannot be in two splits"):
        prepare_clip_folder(clip_folder, tmp_path, validation_song_ids=songs[:1], test_song_ids=songs[:1])
