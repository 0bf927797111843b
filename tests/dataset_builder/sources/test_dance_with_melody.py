"""Dance with Melody: axes and units of its points, and the re-timing to its songs."""

import csv
import json

import numpy as np
import pytest

from infinitedance.dataset_builder.sources import open_source
from infinitedance.dataset_builder.sources.dance_with_melody import (
    POINTS,
    joints_from_points,
    read_points,
    upright_points,
)
from infinitedance.motion.skeleton import JOINT_INDEX


def turned(points: np.ndarray, how: str) -> np.ndarray:
    """Write points in another unit, on other axes, or in a mirrored system of axes."""
    return {
        "centimetres": points * 100,
        "z up": points[..., [0, 2, 1]] * np.array([1, -1, 1]),
        "y down": points * np.array([1, -1, -1]),
        "left-handed": points * np.array([1, 1, -1]),
        "left-handed z up in millimetres": points[..., [0, 2, 1]] * 1000,
    }[how]


def shape_of(points: np.ndarray) -> np.ndarray:
    """Return the points' triple products beside the distances: what a turn leaves and a mirror does not."""
    bones = points[:, 1:4] - points[:, :1]
    return np.concatenate([np.linalg.norm(points[:, :1] - points, axis=-1), np.linalg.det(bones)[:, None]], axis=1)


@pytest.mark.parametrize("how", ["centimetres", "z up", "y down", "left-handed", "left-handed z up in millimetres"])
def test_points_come_upright_and_unmirrored_whatever_their_axes(how, dance_points):
    points = dance_points
    found = upright_points(turned(points, how), "clip")
    np.testing.assert_allclose(found[..., 1], points[..., 1], atol=1e-9)
    if not how.startswith("left-handed"):
        np.testing.assert_allclose(shape_of(found), shape_of(points), atol=1e-9)
    joints = joints_from_points(found)
    left = joints[:, JOINT_INDEX["left_hip"]] - joints[:, JOINT_INDEX["right_hip"]]
    forward = joints[:, JOINT_INDEX["left_foot"]] - joints[:, JOINT_INDEX["left_ankle"]]
    assert (np.cross(left, [0, 1, 0]) * forward).sum(-1).mean() > 0


def test_relative_and_absolute_points_are_told_apart(dance_points, tmp_path):
    points = dance_points + np.array([3.0, 0.0, -2.0])
    center = points.mean(axis=1)
    for name, skeletons in (("absolute", points), ("relative", points - center[:, None])):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"skeletons": skeletons.tolist(), "center": center.tolist()}))
        np.testing.assert_allclose(read_points(path), points, atol=1e-9)


def test_the_part_of_the_song_says_how_far_a_dance_is_stretched(opened):
    records = {record.clip_id: record for record in opened("dance_with_melody").records()}
    assert (records["dance_w_1"].start_seconds, records["dance_w_1"].retime) == (2.0, 1.0)
    assert records["dance_c_2"].retime == pytest.approx(41 / 40)
    assert records["dance_c_2"].aligned
    # An end that would stretch the dance by three quarters is wrong: nothing is known of the timing then.
    assert (records["dance_r_3"].retime, records["dance_r_3"].aligned) == (1.0, False)


def test_the_dances_are_the_mirror_of_what_was_danced(opened):
    """Only so do the same units of this set and of the optical recordings lie on two sides."""
    assert {record.side for record in opened("dance_with_melody").records()} == {"mirrored"}
    assert {record.side for record in opened("aist++").records()} == {"natural"}


def test_a_table_of_timings_takes_the_place_of_the_config(opened, folders, tmp_path):
    rows = [
        {"clip": "dance_w_1", "t_audio_start": 6.2, "retime": 1.25, "bpm": 87, "aligned": 1, "t_motion_start": 0.4},
        {"clip": "dance_c_2", "t_audio_start": "", "retime": "", "bpm": "", "aligned": "", "t_motion_start": ""},
        {"clip": "dance_r_3", "t_audio_start": 1.0, "retime": 1.0, "bpm": "", "aligned": 0, "t_motion_start": ""},
    ]
    with (tmp_path / "timing.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    source = opened("dance_with_melody", timing=tmp_path / "timing.csv")
    records = {record.clip_id: record for record in source.records()}
    waltz = records["dance_w_1"]
    assert (waltz.start_seconds, waltz.retime, waltz.bpm, waltz.aligned) == (6.2, 1.25, 87, True)
    for unaligned in ("dance_c_2", "dance_r_3"):
        assert not records[unaligned].aligned and records[unaligned].problem == ""
    assert records["dance_t_7"].problem == "the table of `timing` does not list it"
    # 40 frames of 25 Hz without the first 10, a quarter slower.
    # The last key is the last one of the file: what was a frame of 25 Hz after it is gone.
    assert source.load(waltz).duration_seconds == pytest.approx(30 / 25 * 1.25, abs=1 / 30 + 1e-6)
    plain, moved = opened("dance_with_melody").load(records["dance_c_2"]), source.load(waltz)
    root = JOINT_INDEX["pelvis"]
    for frame in (0, 15, 30):
        seconds = 0.4 + frame / 30 / 1.25
        before = plain.joint_positions()[round(seconds * 30), root]
        assert np.abs(moved.joint_positions()[frame, root] - before)[[0, 2]].max() < 0.05


def test_a_table_without_the_columns_is_refused(folders, tmp_path):
    (tmp_path / "timing.csv").write_text("clip,bpm\na,1\n")
    with pytest.raises(ValueError, match="the columns clip, t_audio_start and retime"):
        open_source("dance_with_melody", folders["dance_with_melody"], timing=tmp_path / "timing.csv")


@pytest.mark.shared_data
def test_joints_among_the_points_are_where_the_neutral_clips_have_them(shared_data_dir):
    for name in ("dance_w_12", "dance_c_2", "dance_r_10"):
        clip = np.load(shared_data_dir / "paired" / "dwm" / f"{name}.npz")
        assert tuple(clip["joint_names"].tolist()) == POINTS
        points = clip["joints"].astype(np.float64)
        np.testing.assert_allclose(joints_from_points(points), clip["joints22"], atol=1e-3)
        np.testing.assert_allclose(upright_points(points * 100, name), points, atol=1e-9)
