"""Parts of files, units, sides, stated splits and beats on their way into a built data set."""

import csv
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import read_manifest
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.sources import open_source
from infinitedance.dataset_builder.sources.clip_folder import ClipFolderSource
from infinitedance.dataset_builder.stages import SourceFolder, source_joint_positions
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.files import save_motion

SECONDS = 12.0
ROW = {"clip": "a", "file": "dance.npz", "genre": "waltz", "split": "train"}


@pytest.fixture(scope="module")
def dance_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("dance") / "dance.npz"
    save_motion(synthesize_dance("waltz", 96.0, SECONDS, seed=0), path)
    return path


@pytest.fixture
def write_folder(tmp_path, dance_file):
    """Write a clip folder of rows on one dance: `write_folder([row, ...])`."""

    def write(rows: list[dict[str, str]]) -> Path:
        folder = tmp_path / "clips"
        folder.mkdir(exist_ok=True)
        (folder / "dance.npz").write_bytes(dance_file.read_bytes())
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return folder

    return write


def build(folder: Path, output: Path, **options) -> BuiltDataset:
    return BuiltDataset(build_dataset([SourceFolder("clip_folder", str(folder))], output, **options))


def clips_by_id(data: BuiltDataset) -> dict:
    return {clip.clip_id.removeprefix("clip_folder/"): clip for clip in data.clips}


def test_a_part_is_those_frames_of_its_file_and_the_file_is_read_once(write_folder, tmp_path, monkeypatch):
    rows = [
        ROW,
        ROW | {"clip": "b", "start_seconds": "2", "end_seconds": "5.5"},
        ROW | {"clip": "c", "start_seconds": "8"},
    ]
    reads = []
    read = ClipFolderSource.read
    monkeypatch.setattr(ClipFolderSource, "read", lambda self, record: reads.append(1) or read(self, record))
    data = build(write_folder(rows), tmp_path / "built", mirror=False)
    assert len(reads) == 1
    clips = clips_by_id(data)
    assert [clips[name].num_frames for name in "abc"] == [360, 105, 120]
    whole, middle, end = (
        features_to_motion(torch.from_numpy(np.array(data.motion_features(clips[name])))) for name in "abc"
    )
    for part, first in ((middle, 60), (end, 240)):
        expected = whole.cut(first, first + part.num_frames)
        # The path of features begins at the origin and looks along z: what is seen from the root is compared.
        same = (part.joint_rotations[:, 1:] * expected.joint_rotations[:, 1:]).sum(-1)
        np.testing.assert_allclose(np.abs(same), 1, atol=1e-4)
        np.testing.assert_allclose(part.root_positions[:, 1], expected.root_positions[:, 1], atol=1e-4)


def test_a_file_that_has_changed_is_read_again(write_folder):
    folder = write_folder([ROW, ROW | {"clip": "b", "end_seconds": "3"}])
    source = open_source("clip_folder", folder)
    first, second = source.records()
    before = source.load(first)
    other = synthesize_dance("waltz", 120.0, SECONDS, seed=1)
    save_motion(other, folder / "dance.npz")
    os.utime(folder / "dance.npz", ns=(1, 1))
    after = source.load(second)
    assert after.num_frames == 90
    assert np.abs(after.joint_rotations - before.cut(0, 90).joint_rotations).max() > 0.01
    assert before.provenance["clip"] == "a" and after.provenance["clip"] == "b"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"end_seconds": "12.5"}, "must lie within its motion of 12.00 s, got 0 to 12.5 s"),
        ({"start_seconds": "12", "end_seconds": "13"}, "must lie within its motion of 12.00 s, got 12 to 13 s"),
        ({"start_seconds": "40"}, "must lie within its motion of 12.00 s, got 40 to 12 s"),
        ({"start_seconds": "2", "end_seconds": "2.001"}, "must lie within its motion"),
        ({"beats": "bad.txt"}, "bad.txt must hold a time in seconds"),
        ({"beats": "gone.txt"}, "there is no file gone.txt"),
        ({"units": "W-1:9-3"}, "`units` must be"),
        ({"side": "left"}, "`side` must be one of natural, mirrored"),
    ],
)
def test_a_bad_row_is_reported_and_spares_the_others(write_folder, tmp_path, part, message):
    folder = write_folder([ROW, ROW | {"clip": "b"} | part])
    (folder / "bad.txt").write_text("one\ntwo\n")
    data = build(folder, tmp_path / "built", mirror=False)
    assert list(clips_by_id(data)) == ["a"]
    (left_out,) = json.loads((tmp_path / "built" / "report.json").read_text())["left_out"]
    assert message in left_out["reasons"][0]


def test_sides_of_a_source_and_of_mirrored_copies(write_folder, tmp_path):
    rows = [ROW | {"units": "W-1"}, ROW | {"clip": "b", "side": "mirrored", "units": "W-1:0-90 W-2:90-360"}]
    clips = clips_by_id(build(write_folder(rows), tmp_path / "built"))
    sides = {name: (clip.side, clip.is_mirrored) for name, clip in clips.items()}
    assert sides == {
        "a": ("natural", False),
        "a_mirror": ("mirrored", True),
        "b": ("mirrored", False),
        "b_mirror": ("natural", True),
    }
    for suffix in ("", "_mirror"):
        assert clips[f"a{suffix}"].units == (("clip_folder/W-1", 12.0),)  # of the whole clip
        assert clips[f"b{suffix}"].units == (("clip_folder/W-1", 3.0), ("clip_folder/W-2", 9.0))


def test_stated_splits_are_those_of_the_manifest_and_of_the_report(write_folder, tmp_path):
    rows = [
        ROW | {"performer": "anna", "units": "W-1:0-180 W-1:180-360"},
        ROW | {"clip": "b", "split": "test", "performer": "anna", "units": "W-2"},
        ROW | {"clip": "c", "split": "validation"},
    ]
    data = build(write_folder(rows), tmp_path / "built", mirror=False)
    assert {name: clip.split for name, clip in clips_by_id(data).items()} == {
        "a": "train",
        "b": "test",
        "c": "validation",
    }
    tables = {
        table["title"]: table for table in json.loads((tmp_path / "built" / "report.json").read_text())["tables"]
    }
    unique = dict(zip(tables["Unique minutes"]["columns"], tables["Unique minutes"]["rows"][-1], strict=True))
    assert (unique["train min"], unique["train unique min"], unique["all unique min"]) == ("0.20", "0.10", "0.50")
    shared = {row[0]: row[2:] for row in tables["Shared between splits"]["rows"]}
    assert shared["performers"] == [1, "clip_folder/anna (train, test)"]
    assert shared["units"] == [0, ""] and shared["songs"] == [0, ""]
    assert "Unique minutes" in (tmp_path / "built" / "report.md").read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (({"units": "W-1"}, {"units": "W-1", "split": "test"}), "No unit may be in two splits, got clip_folder/W-1"),
        (({"song_id": "x"}, {"song_id": "x", "split": "test"}), "No song may be in two splits, got clip_folder/x"),
    ],
)
def test_leaks_are_told_before_the_work(write_folder, tmp_path, values, message):
    rows = [ROW | {"clip": str(number)} | value for number, value in enumerate(values)]
    with pytest.raises(ValueError, match=message):
        build(write_folder(rows), tmp_path / "built")
    assert not (tmp_path / "built").exists()


def test_a_dance_without_music_has_the_clock_of_its_beats(write_folder, tmp_path):
    rows = [
        ROW | {"beats": "beats.txt"},
        ROW | {"clip": "b", "start_seconds": "1", "end_seconds": "7", "beats": "beats.txt"},
        ROW | {"clip": "c", "pulse_bpm": "96"},
    ]
    folder = write_folder(rows)
    times = 0.2 + 0.625 * np.arange(19)
    (folder / "beats.txt").write_text("".join(f"{time}\n" for time in times))
    data = build(folder, tmp_path / "built", mirror=False)
    clips = clips_by_id(data)
    for name, shift, frames in (("a", 0.0, 360), ("b", 1.0, 180)):
        expected = BeatClock(times - shift, beats_per_bar=3).to_features(frames)
        music = data.music_or_clock(clips[name])
        np.testing.assert_allclose(music[:, MusicFeatureLayout.beat_clock], expected, atol=1e-5)
        assert not music[:, : MusicFeatureLayout.beat_clock.start].any()
    tempo = data.music_or_clock(clips["c"])[:, MusicFeatureLayout.beat_clock.stop - 1]
    np.testing.assert_allclose(120 * 2**tempo, 96, rtol=0.005)
    assert {clip.music_features_version for clip in data.clips} == {2}
    assert all(clip.music_file is None and clip.clock_file for clip in data.clips)


def test_a_dance_without_a_pulse_has_neither_clock_nor_version(write_folder, tmp_path):
    still_seconds = ROW | {"end_seconds": "1.5"}
    data = build(write_folder([still_seconds]), tmp_path / "built", mirror=False)
    (clip,) = data.clips
    assert clip.clock_file is None and clip.music_features_version is None
    assert not data.music_or_clock(clip).any()


def test_a_file_of_beats_goes_before_the_tempo_of_the_song(tmp_path):
    folder = make_procedural_dataset(tmp_path / "clips", 1, 6.0)
    with (folder / "metadata.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    times = 0.3 + 0.7 * np.arange(9)
    (folder / "beats.txt").write_text("".join(f"{time} {1 + index % 2}\n" for index, time in enumerate(times)))
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = [row | {"beats": "beats.txt"}, row | {"clip": "later", "start_seconds": "2", "beats": "beats.txt"}]
        writer = csv.DictWriter(file, list(rows[0] | rows[1]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    data = build(folder, tmp_path / "built", mirror=False)
    clips = clips_by_id(data)
    for name, shift in ((row["clip"], 0.0), ("later", 2.0)):
        clip = clips[name]
        expected = BeatClock(times - shift, beats_per_bar=2).to_features(clip.num_frames)
        np.testing.assert_allclose(data.music_features(clip)[:, MusicFeatureLayout.beat_clock], expected, atol=1e-5)
    whole, later = (data.music_features(clips[name]) for name in (row["clip"], "later"))
    onsets = MusicFeatureLayout.onset_strength
    np.testing.assert_allclose(later[5:100, onsets], whole[65:160, onsets], atol=0.05)


def test_stretching_bones_are_measured_in_the_part_alone(tmp_path):
    joints = synthesize_dance("waltz", 96.0, 4.0, seed=0).joint_positions()
    joints[90:, 20] += 0.5  # a wrist that flies off after three seconds
    np.savez(tmp_path / "clip.npz", joints22=joints, fps=30.0)
    (record,) = make_records(tmp_path)
    np.testing.assert_array_equal(source_joint_positions(record), joints)
    part = replace(record, motion_start_seconds=1.0, motion_end_seconds=2.5)
    np.testing.assert_array_equal(source_joint_positions(part), joints[30:75])


def make_records(folder: Path) -> list:
    (folder / "metadata.csv").write_text("clip,file,genre\na,clip.npz,waltz\n")
    return list(open_source("clip_folder", folder).records())


def test_a_clip_folder_holds_motion_files_of_every_kind(dance, tmp_path):
    """What a file does not say stands in the table; pickles are read if they are trusted."""
    folder = tmp_path / "clips"
    folder.mkdir()
    np.save(folder / "joints.npy", dance.joint_positions()[::2])
    vectors = roma.unitquat_to_rotvec(torch.from_numpy(dance.joint_rotations[..., [1, 2, 3, 0]])).numpy()
    edge = {"smpl_poses": vectors.reshape(len(vectors), -1), "smpl_trans": dance.root_positions}
    (folder / "edge.pkl").write_bytes(pickle.dumps(edge | {"full_pose": dance.joint_positions()}))
    (folder / "metadata.csv").write_text("clip,file,genre,frame_rate\na,joints.npy,pop,15\nb,edge.pkl,pop,\n")
    sources = [SourceFolder("clip_folder", str(folder))]
    for trusts, expected in ((True, {"a", "b"}), (False, {"a"})):
        built = build_dataset(sources, tmp_path / str(trusts), mirror=False, trust_pickle=trusts)
        clips = read_manifest(built)
        assert {clip.clip_id.split("/")[1] for clip in clips} == expected
        assert all(abs(clip.num_frames - dance.num_frames) <= 2 for clip in clips)
