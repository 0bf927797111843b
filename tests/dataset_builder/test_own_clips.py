import csv
import logging
import shutil
from pathlib import Path

import pytest

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.own_clips import build_own_clips, left_out_clips
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.motion.files import read_motion, write_bvh


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("procedural") / "clips"
    make_procedural_dataset(folder, 3, 3.0)
    return folder


@pytest.fixture
def loose(clip_folder, tmp_path) -> Path:
    """Three BVH files, one in a folder of its own; two have their song beside them."""
    folder = tmp_path / "mine"
    (folder / "more").mkdir(parents=True)
    with (clip_folder / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, name in zip(rows, ("one", "more/two", "three"), strict=True):
        write_bvh(read_motion(clip_folder / row["file"]), folder / f"{name}.bvh")
        if name != "three":
            audio = clip_folder / row["audio"]
            shutil.copy(audio, folder / f"{name}{audio.suffix}")
    (folder / ".hidden.bvh").write_text("no motion")
    (folder / "notes.txt").write_text("no motion")
    return folder


def test_motion_files_are_joined_by_name_with_their_songs(loose, tmp_path):
    data = BuiltDataset(build_own_clips(loose, tmp_path / "work", name="my style", license="CC0"))
    natural = {clip.clip_id: clip for clip in data.clips if not clip.is_mirrored}
    assert set(natural) == {f"clip_folder/{name}" for name in ("one.bvh", "more/two.bvh", "three.bvh")}
    assert {clip_id for clip_id, clip in natural.items() if clip.music_file} == {
        "clip_folder/one.bvh",
        "clip_folder/more/two.bvh",
    }
    assert {clip.genre for clip in data.clips} == {"my style"} and {clip.license for clip in data.clips} == {"CC0"}
    assert {clip.split for clip in data.clips} == {"train"} and len(data.clips) == 6
    assert not list(loose.glob("*.csv"))  # nothing is written beside the clips


def test_the_same_call_goes_on(loose, tmp_path):
    first = build_own_clips(loose, tmp_path / "work", name="mine")
    times = {path: path.stat().st_mtime_ns for path in first.rglob("*.npy")}
    assert times and build_own_clips(loose, tmp_path / "work", name="mine") == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*.npy")} == times


def test_a_clip_folder_keeps_its_genres_and_its_splits(clip_folder, tmp_path):
    folder = shutil.copytree(clip_folder, tmp_path / "clips")
    with (folder / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, split in zip(rows, ("train", "validation", "test"), strict=True):
        row["split"] = split
    with (folder / "metadata.csv").open("w") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    data = BuiltDataset(build_own_clips(folder, tmp_path / "work", name="mine"))
    assert {clip.split for clip in data.clips} == {"train", "validation", "test"}
    assert {clip.genre for clip in data.clips} == {row["genre"] for row in rows}


def test_a_built_data_set_is_taken_as_it_is(loose, tmp_path):
    built = build_own_clips(loose, tmp_path / "work", name="mine")
    assert build_own_clips(built, tmp_path / "other", name="mine") == built
    assert not (tmp_path / "other").exists()


def test_each_song_is_one_whatever_it_is_called(loose, tmp_path):
    """Two songs of one name in two folders are two; one song under two names, or beside two files, is one."""
    shutil.move(loose / "more/two.bvh", loose / "more/one.bvh")
    shutil.move(next(loose.glob("more/two.*")), loose / "more/one.wav")
    shutil.copy(loose / "one.bvh", loose / "again.bvh")
    shutil.copy(next(loose.glob("one.[!b]*")), loose / "again.wav")
    shutil.copy(loose / "three.bvh", loose / "other.bvh")
    data = BuiltDataset(build_own_clips(loose, tmp_path / "work", name="mine"))
    songs = {clip.clip_id.split("/", 1)[1]: clip.song_id for clip in data.clips if not clip.is_mirrored}
    assert songs["again.bvh"] == songs["one.bvh"] and len(set(songs.values())) == 4
    assert songs["more/one.bvh"] != songs["one.bvh"] and songs["three.bvh"] != songs["other.bvh"]


def test_of_songs_with_one_name_the_earliest_kind_is_read_and_others_are_told(loose, tmp_path, caplog):
    (loose / "one.mp3").write_bytes(b"no sound")
    (loose / "un1.mp3").write_bytes(b"no sound")
    with caplog.at_level(logging.WARNING):
        built = build_own_clips(loose, tmp_path / "work", name="mine")
    assert left_out_clips(built) == {} and len(BuiltDataset(built).clips) == 6
    assert "no motion file has the name of un1.mp3: give a song the name of its dance" in caplog.text


def test_the_folder_of_the_work_may_lie_among_the_clips(loose):
    first = build_own_clips(loose, loose / "style" / "work", name="mine")
    ids = {clip.clip_id for clip in BuiltDataset(first).clips}
    again = build_own_clips(loose, loose / "style" / "work", name="mine")
    assert {clip.clip_id for clip in BuiltDataset(again).clips} == ids and left_out_clips(again) == {}


def test_what_is_left_out_is_told_with_its_reason(loose, tmp_path):
    (loose / "broken.bvh").write_text("HIERARCHY")
    reasons = left_out_clips(build_own_clips(loose, tmp_path / "work", name="mine"))
    assert list(reasons) == ["broken.bvh"] and "no line MOTION" in reasons["broken.bvh"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist: give a folder"),
        (lambda path: path.write_text(""), "is a file: give a folder"),
        (lambda path: path.mkdir(), "holds no dances"),
    ],
)
def test_a_folder_without_dances_is_told(make, message, tmp_path):
    make(tmp_path / "clips")
    with pytest.raises(FileNotFoundError, match=message) as error:
        build_own_clips(tmp_path / "clips", tmp_path / "work", name="mine")
    assert str(tmp_path / "clips") in str(error.value) and not (tmp_path / "work").exists()
