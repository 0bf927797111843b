"""CMU: subjects, rest poses and the table of genres."""

import shutil

import numpy as np
import pytest

from infinitedance.dataset_builder.sources import open_source
from infinitedance.dataset_builder.splits import song_groups


def test_the_named_subjects_alone_are_listed_however_their_zeros_are_written(opened):
    for subjects in ("5+60", ["05", "060"]):
        listed = [record.clip_id for record in opened("cmu", subjects=subjects).records()]
        assert listed == ["05_01", "05_02", "05/dance", "60_03", "60/61_01"]
    with pytest.raises(FileNotFoundError, match="expected a folder of subject 99"):
        list(opened("cmu", subjects="05+99").records())


def test_two_who_dance_with_each_other_are_never_in_two_splits(opened):
    records = [record for record in opened("cmu").records() if record.clip_id in ("60_03", "61_03")]
    assert song_groups(records) == [("60_03",)]


def test_a_table_names_further_genres(opened, tmp_path):
    (tmp_path / "genres.csv").write_text("clip,genre\n5,ballet\n77_1,charleston\n")
    genres = {record.clip_id: record.genre for record in opened("cmu", genres=tmp_path / "genres.csv").records()}
    assert (genres["05_02"], genres["77_01"], genres["61_03"]) == ("ballet", "charleston", "salsa")
    (tmp_path / "genres.csv").write_text("trial,genre\n5,ballet\n")
    with pytest.raises(ValueError, match="the columns clip and genre"):
        opened("cmu", genres=tmp_path / "genres.csv")


def test_frames_of_a_rest_pose_are_left_out_and_the_rate_of_the_file_stays(folders, dance, tmp_path):
    shutil.copytree(folders["cmu"] / "61", tmp_path / "61")
    whole, cut = (
        open_source("cmu", tmp_path, rest_frames=frames).read(next(open_source("cmu", tmp_path).records()))
        for frames in (0, "5")  # a command line gives text
    )
    assert whole.frame_rate == cut.frame_rate == pytest.approx(dance.frame_rate)
    np.testing.assert_array_equal(cut.joint_rotations, whole.joint_rotations[5:])
    source = open_source("cmu", tmp_path, rest_frames=dance.num_frames)
    with pytest.raises(ValueError, match="61_03: nothing remains of its 48 frames"):
        source.load(next(source.records()))
    for wrong in ("few", -1):
        with pytest.raises(ValueError, match="`rest_frames` must be a number of frames"):
            open_source("cmu", tmp_path, rest_frames=wrong)
