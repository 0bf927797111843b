"""A BVH comes back with planted feet and nothing else changed, as an independent reader sees it."""

import re
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.files import read_bvh, write_bvh
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_NAMES
from infinitedance.restoration.carry_back import STANDING_METRES
from infinitedance.restoration.pipeline_frdm import RestoredMotion
from infinitedance.restoration.restore import RestoreOptions, restore_files

from .conftest import hold_feet, make_sliding

LEG_JOINTS = {f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "foot")}


def restore(path, folder, restorer=hold_feet, **options):
    record = restore_files([path], folder, restorer, RestoreOptions(**options))
    assert not record["left_out"]
    return folder / path.name, record["clips"][0]


def feet_of(path):
    positions, _, _ = read_bvh(path).to_body()
    return positions[:, list(CONTACT_JOINTS)]


def slide(path):
    feet = feet_of(path)
    return foot_slide_mm(feet, np.ones(feet.shape[:2], bool))


def tokens(path):
    """The lines of the header, and the frames as `(frames, channels)` texts."""
    text = path.read_text()
    end = re.search(r"Frame Time:.*\n", text).end()
    return text[:end], np.array([line.split() for line in text[end:].splitlines()])


@pytest.fixture(params=[(30.0, 1.0), (120.0, 1.15), (24.0, 0.8)], ids=["30 Hz", "120 Hz tall", "24 Hz small"])
def bvh(request, tmp_path):
    frame_rate, scale = request.param
    write_bvh(make_sliding(round(2 * frame_rate), frame_rate, scale), tmp_path / "clip.bvh")
    return tmp_path / "clip.bvh"


def test_feet_stand_on_the_files_own_bones(bvh, tmp_path):
    assert slide(bvh) > 0.5
    written, record = restore(bvh, tmp_path / "out")
    assert slide(written) < 0.02
    assert record["feet"]["after"]["slide_mm"] < 0.02 < record["feet"]["before"]["slide_mm"]


def test_only_legs_and_root_position_change_and_all_else_keeps_its_digits(bvh, tmp_path):
    written, _ = restore(bvh, tmp_path / "out")
    (header, before), (header_after, after) = tokens(bvh), tokens(written)
    assert header_after == header
    columns = re.findall(r"(?:ROOT|JOINT) (\S+)|CHANNELS (\d)", header)
    names, joint = [], ""
    for name, count in columns:
        joint = name or joint
        names += [joint] * int(count or 0)
    changed = {names[column] for column in np.flatnonzero((before != after).any(axis=0))}
    assert "left_hip" in changed and changed <= LEG_JOINTS | {"pelvis"}
    pelvis = [column for column, name in enumerate(names) if name == "pelvis"]
    assert (before[:, pelvis[3:]] == after[:, pelvis[3:]]).all()  # its rotation


def test_another_reader_finds_equal_bones_and_an_equal_upper_body(bvh, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    written, _ = restore(bvh, tmp_path / "out")
    old, new = (bvhio.readAsHierarchy(str(path)) for path in (bvh, written))
    frames = len(read_bvh(bvh).root_positions)
    stood = []
    for frame in (0, frames // 3, frames - 1):
        for root in (old, new):
            root.loadPose(frame)
        for (first, _, _), (second, _, _) in zip(old.layout(), new.layout(), strict=True):
            assert first.Name == second.Name
            length = [
                np.linalg.norm(np.array(joint.PositionWorld - joint.Parent.PositionWorld))
                for joint in (first, second)
                if joint.Parent
            ]
            assert len(length) < 2 or length[1] == pytest.approx(length[0], abs=1e-3)
            if first.Name not in LEG_JOINTS and first.Name in JOINT_NAMES:
                moved = np.array(second.PositionWorld - first.PositionWorld)
                assert moved[[0, 2]] == pytest.approx([0, 0], abs=1e-3)
                np.testing.assert_allclose(np.array(first.RotationWorld), np.array(second.RotationWorld), atol=1e-6)
        stood.append(np.array(new.filter("left_ankle", isEqual=True)[0].PositionWorld))
    np.testing.assert_allclose(stood, stood[:1] * 3, atol=0.02)  # centimetres


def turned_to_z_up(motion):
    turn = torch.tensor([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], dtype=torch.float64)
    rotations = motion.joint_rotations.astype(np.float64)
    root = roma.quat_wxyz_to_xyzw(torch.from_numpy(rotations[:, 0]))
    rotations[:, 0] = roma.quat_xyzw_to_wxyz(roma.quat_product(turn.expand_as(root), root)).numpy()
    x, y, z = motion.root_positions.T
    return replace(motion, root_positions=np.stack([x, -z, y], axis=1), joint_rotations=rotations)


@pytest.mark.filterwarnings("ignore:.*is taken for up")
def test_a_z_up_file_is_told_and_stays_z_up(sliding, tmp_path):
    write_bvh(turned_to_z_up(sliding), tmp_path / "clip.bvh")
    written, record = restore(tmp_path / "clip.bvh", tmp_path / "out")
    assert "The file has Z up, and is written so." in record["notes"]
    (_, before), (_, after) = tokens(tmp_path / "clip.bvh"), tokens(written)
    raised = after[:, :3].astype(float) - before[:, :3].astype(float)
    np.testing.assert_allclose(raised, np.tile([0, 0, 1], (len(raised), 1)), atol=1e-3)  # z by 1 cm, as the restorer
    assert slide(written) < 0.02


def test_a_floor_far_below_is_moved_and_told(sliding, tmp_path):
    low = replace(sliding, root_positions=sliding.root_positions - np.array([0, 3, 0], dtype=np.float32))
    write_bvh(low, tmp_path / "clip.bvh")
    written, record = restore(tmp_path / "clip.bvh", tmp_path / "out")
    assert any("at a height of -3.01 m; the dance was moved by +3.01 m" in note for note in record["notes"])
    assert feet_of(written)[..., 1].min() == pytest.approx(0.02 + STANDING_METRES, abs=0.01)
    assert record["feet"]["mpjpe_to_input_mm"] < 50  # the move itself is no error


@pytest.mark.parametrize(("lifted", "toe_height"), [(-0.035, 0.0), (-0.018, 0.002), (0.025, 0.045), (0.045, 0.05)])
def test_a_floor_stays_within_the_doubt_about_rest_heights_and_is_brought_no_farther(
    lifted, toe_height, sliding, tmp_path
):
    moved = replace(sliding, root_positions=sliding.root_positions + np.array([0, lifted, 0], dtype=np.float32))
    write_bvh(moved, tmp_path / "clip.bvh")
    written, record = restore(tmp_path / "clip.bvh", tmp_path / "out")
    # The restorer of this test adds 1 cm to the root, and leaves the feet where they are.
    assert feet_of(written)[..., 1].min() == pytest.approx(toe_height, abs=0.002)
    stays = abs(toe_height - (0.02 + lifted)) < 1e-6
    assert any("the dance was moved by" in note for note in record["notes"]) != stays


def in_metres(text):
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[0] == "OFFSET":
            line = " ".join(["OFFSET", *(f"{float(word) / 100:.8f}" for word in words[1:])])
        elif words[0].lstrip("-")[0].isdigit():
            line = " ".join([*(f"{float(word) / 100:.8f}" for word in words[:3]), *words[3:]])
        lines.append(line)
    return "\n".join(lines) + "\n"


def test_the_unit_of_the_file_is_told_and_kept(sliding, tmp_path):
    write_bvh(sliding, tmp_path / "clip.bvh")
    (tmp_path / "metres.bvh").write_text(in_metres((tmp_path / "clip.bvh").read_text()))
    centimetres, record = restore(tmp_path / "clip.bvh", tmp_path / "out")
    assert "Unit of the file: centimetres." in record["notes"]
    metres, record = restore(tmp_path / "metres.bvh", tmp_path / "out")
    assert "Unit of the file: metres." in record["notes"]
    np.testing.assert_allclose(feet_of(metres), feet_of(centimetres), atol=1e-4)


def test_a_thousand_frames_a_second_are_all_repaired(tmp_path):
    write_bvh(make_sliding(400, 1000.0), tmp_path / "clip.bvh")
    written, record = restore(tmp_path / "clip.bvh", tmp_path / "out")
    assert any(note.startswith("1000 Hz") for note in record["notes"])
    assert len(feet_of(written)) == 400
    assert slide(written) < 0.001 < slide(tmp_path / "clip.bvh")


def test_a_restorer_that_changes_nothing_changes_no_character(bvh, tmp_path):
    written, _ = restore(bvh, tmp_path / "out", lambda motion, **_: RestoredMotion(motion, None), foot_lock="never")
    assert written.read_bytes() == bvh.read_bytes()


def test_odd_white_space_and_line_ends_survive(sliding, tmp_path):
    write_bvh(sliding, tmp_path / "clip.bvh")
    text = (tmp_path / "clip.bvh").read_text()
    end = re.search(r"Frame Time:.*", text).end()
    odd = text[:end] + text[end:].replace(" ", " \t").replace("\n", "\r\n")
    (tmp_path / "odd.bvh").write_bytes(b"\xef\xbb\xbf" + odd.encode() + b"\r\n\r\n")
    plain, _ = restore(tmp_path / "clip.bvh", tmp_path / "out")
    written, _ = restore(tmp_path / "odd.bvh", tmp_path / "out")
    content = written.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfHIERARCHY") and content.endswith(b"\r\n\r\n\r\n")
    assert content.count(b" \t") == odd.count(" \t")
    np.testing.assert_allclose(feet_of(written), feet_of(plain), atol=1e-6)
