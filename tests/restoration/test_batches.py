"""Batches of `restore_files`: one bad file stops nothing, and the same command finishes a run that was killed."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import load_motion, read_bvh, save_motion, write_bvh
from infinitedance.restoration import restore as restore_module
from infinitedance.restoration.carry_back import place_motion
from infinitedance.restoration.rest_pose import count_bind_frames
from infinitedance.restoration.restore import RestoreOptions, restore_files

from .conftest import hold_feet, make_sliding


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def files(tmp_path):
    save_motion(make_sliding(40), tmp_path / "one.npz")
    write_bvh(make_sliding(50), tmp_path / "two.bvh")
    np.save(tmp_path / "three.npy", make_sliding(60).joint_positions())
    return [tmp_path / name for name in ("one.npz", "two.bvh", "three.npy")]


def one_channel_knees(path):
    """Leave the knees of a BVH one channel, as rigs with hinges have it."""
    text = path.read_text()
    head, motion = text.split("MOTION")
    lines, dropped, column = head.splitlines(), [], 0
    for index, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["CHANNELS"]:
            if "knee" in lines[index - 3] + lines[index - 2]:
                dropped += [column + 1, column + 2]
                lines[index] = " ".join(["CHANNELS", "1", words[2]])
            column += int(words[1])
    frames = motion.splitlines()
    rows = [" ".join(cell for n, cell in enumerate(row.split()) if n not in dropped) for row in frames[3:]]
    path.write_text("\n".join([*lines, "MOTION", *frames[1:3], *rows]) + "\n")


def test_a_file_that_cannot_be_written_is_left_out_and_leaves_nothing(files, tmp_path):
    one_channel_knees(files[1])
    record = restore_files(files, tmp_path / "out", hold_feet)
    assert [clip["name"] for clip in record["clips"]] == ["one", "three"]
    (left_out,) = record["left_out"]
    assert left_out["file"] == str(files[1])
    assert "two.bvh: left_knee must have rotation channels on x, y and z to be repaired" in left_out["reason"]
    assert {path.name.split(".")[0].split("_")[0] for path in (tmp_path / "out").iterdir()} == {"one", "three"}


@pytest.mark.parametrize("error", [RuntimeError("no such thing"), KeyError("x"), MemoryError(), OSError("disk full")])
def test_whatever_goes_wrong_with_one_file_the_others_are_restored(error, files, tmp_path):
    def restorer(motion, **options):
        if motion.num_frames == 50:
            raise error
        return hold_feet(motion, **options)

    record = restore_files(files, tmp_path / "out", restorer)
    assert [clip["name"] for clip in record["clips"]] == ["one", "three"]
    assert "two.bvh" in record["left_out"][0]["reason"]


class Killed(BaseException):
    pass


def test_a_batch_that_was_killed_anywhere_is_finished_to_the_same_bytes(files, tmp_path, monkeypatch):
    files = files[:2]
    restore_files(files, tmp_path / "whole", hold_feet)
    wanted = contents(tmp_path / "whole")
    rename = os.replace
    for survived in range(len(wanted)):
        folder = tmp_path / f"killed{survived}"
        done = []

        def rename_until_killed(source, target, *, done=done, survived=survived):
            if len(done) == survived:
                raise Killed
            rename(source, target)
            done.append(target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", rename_until_killed)
            with pytest.raises(Killed):
                restore_files(files, folder, hold_feet)
        before = contents(folder)
        assert len(before) == survived and before.items() <= wanted.items()
        record = restore_files(files, folder, hold_feet)
        assert contents(folder) == wanted
        assert [clip["name"] for clip in record["clips"]] == ["one", "two"]


def test_a_finished_batch_is_kept_and_not_restored_again(files, tmp_path):
    first = restore_files(files, tmp_path / "out", hold_feet)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}

    def never(motion, **options):
        raise AssertionError("nothing is left to restore")

    again = restore_files(files, tmp_path / "out", never)
    assert again["kept"] == ["one", "two", "three"] and not first["kept"]
    assert again["clips"] == first["clips"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def change_input(files):
    save_motion(make_sliding(41), files[0])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (change_input, {}, "one.npz exists already, made from another input: remove it, or give another `--output`"),
        (None, {"strength": 0.5}, "one.npz exists already, made from another strength"),
        (None, {"side_by_side": True}, "one.npz exists already, made from another side by side"),
    ],
)
def test_results_of_another_input_or_option_are_not_touched(change, options, message, files, tmp_path):
    restore_files(files, tmp_path / "out", hold_feet)
    before = contents(tmp_path / "out")
    if change:
        change(files)
    with pytest.raises(FileExistsError, match=message):
        restore_files(files, tmp_path / "out", hold_feet, RestoreOptions(**options))
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("report", [None, "", "[]", "{}", '{"made_from": 3}', "\ud800"])
def test_files_that_are_not_ours_are_not_touched(report, files, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "two.bvh").write_text("somebody's")
    if report is not None:
        (out / "two_report.json").write_bytes(report.encode("utf-8", "surrogatepass"))
    before = contents(out)
    with pytest.raises(FileExistsError, match="two.bvh exists already"):
        restore_files(files, out, hold_feet)
    assert contents(out) == before


def test_an_input_is_never_its_own_output(files, tmp_path):
    before = contents(tmp_path)
    with pytest.raises(FileExistsError, match="one.npz exists already"):
        restore_files(files, tmp_path, hold_feet)
    assert contents(tmp_path) == before


def test_a_report_says_from_which_bytes_it_is(files, tmp_path):
    restore_files(files[:1], tmp_path / "out", hold_feet)
    made_from = json.loads((tmp_path / "out" / "one_report.json").read_text())["made_from"]
    assert len(made_from["input_sha256"]) == 64 and made_from["foot_lock"] == "auto"


@pytest.mark.parametrize("options", [{"strength": 2.0}, {"foot_lock": "glue"}, {"sampler": "none"}, {"seed": -1}])
def test_wrong_options_are_refused_before_a_file_is_read(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        RestoreOptions(**options)


def test_a_clip_too_long_for_memory_is_left_out(files, tmp_path, monkeypatch):
    monkeypatch.setattr(restore_module, "MAX_SECONDS", 1.5)
    record = restore_files(files, tmp_path / "out", hold_feet)
    assert [clip["name"] for clip in record["clips"]] == ["one"]
    assert all("no longer than" in item["reason"] for item in record["left_out"])


def with_t_pose(motion, num_frames=1):
    """Put frames of the rest pose, at another place, before a dance."""
    rest = np.zeros((num_frames, 22, 4), np.float32)
    rest[..., 0] = 1
    root = np.tile(np.array([[0.3, 1.2, -0.2]], np.float32), (num_frames, 1))
    return replace(
        motion,
        root_positions=np.concatenate([root, motion.root_positions]),
        joint_rotations=np.concatenate([rest, motion.joint_rotations]),
        foot_contacts=None,
    )


@pytest.mark.parametrize("ending", ["bvh", "npz"])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_t_pose_in_the_first_frames_stays_and_changes_nothing_after_it(ending, num_frames, tmp_path):
    dance = make_sliding(60)
    for name, motion in (("plain", dance), ("posed", with_t_pose(dance, num_frames))):
        path = tmp_path / f"{name}.{ending}"
        (write_bvh if ending == "bvh" else save_motion)(motion, path)
        record = restore_files([path], tmp_path / "out", hold_feet)
    assert any("T-pose" in note for note in record["clips"][0]["notes"])
    rows = (tmp_path / "out" / "posed_contacts.csv").read_text().splitlines()
    assert rows[1:3] == ["0,0,0,0,0", "1,1,1,1,1" if num_frames == 1 else "1,0,0,0,0"]
    if ending == "bvh":
        before, plain, posed = (
            path.read_text().split("MOTION")[1].splitlines()[3:]
            for path in (tmp_path / "posed.bvh", tmp_path / "out" / "plain.bvh", tmp_path / "out" / "posed.bvh")
        )
        assert posed[:num_frames] == before[:num_frames]
        after = [np.array(line.split(), float) for line in posed[num_frames:]]
        np.testing.assert_allclose(after, [np.array(line.split(), float) for line in plain], atol=2e-2)
        return
    before = load_motion(tmp_path / "posed.npz")
    posed, plain = (load_motion(tmp_path / "out" / f"{name}.npz") for name in ("posed", "plain"))
    np.testing.assert_array_equal(posed.joint_rotations[:num_frames], before.joint_rotations[:num_frames])
    np.testing.assert_array_equal(posed.root_positions[:num_frames], before.root_positions[:num_frames])
    np.testing.assert_allclose(posed.joint_positions()[num_frames:], plain.joint_positions(), atol=1e-4)


def test_only_a_rest_pose_that_leaps_into_the_dance_is_left_out_of_it():
    dance = make_sliding(60)
    rig = place_motion(with_t_pose(dance))
    assert rig.bind_frames == 1
    assert place_motion(dance).bind_frames == 0
    still = np.repeat(with_t_pose(dance).joint_rotations[:1], 30, axis=0)
    standing = replace(dance.cut(0, 30), joint_rotations=still)
    assert place_motion(standing).bind_frames == 0
    # A dancer who moves out of a T-pose as people do.
    seconds = np.arange(60) / 30
    vectors = torch.zeros(60, 22, 3, dtype=torch.float64)
    vectors[:, 16, 2] = torch.from_numpy(-np.minimum(1.4, 3 * seconds))
    rotations = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(vectors)).numpy()
    lowered = replace(dance, joint_rotations=rotations)
    assert count_bind_frames(lowered.joint_positions(), rotations) == 0


def test_the_pose_after_a_t_pose_is_read_from_a_bvh_as_well(tmp_path):
    write_bvh(with_t_pose(make_sliding(30)), tmp_path / "clip.bvh")
    source = read_bvh(tmp_path / "clip.bvh")
    positions, _, _ = source.to_body()
    assert count_bind_frames(positions, source.local_rotations) == 1
