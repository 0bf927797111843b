"""`restore_files`: kinds of files, options, reports, and a table of what it refuses."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import roma
import torch

from infinitedance.evaluation.metrics.foot_contact import foot_slide_mm
from infinitedance.motion.files import load_motion, read_bvh, read_motion, save_motion, write_bvh
from infinitedance.motion.kinematics import forward_kinematics, local_rotations, matrix_to_quaternion, reach_with_leg
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from infinitedance.restoration.pipeline_frdm import RestoredMotion
from infinitedance.restoration.restore import RestoreOptions, restore_files

from .conftest import hold_feet, make_sliding

LEGS = [0, *(joint for joint, name in enumerate(JOINT_NAMES) if name.endswith(("hip", "knee", "ankle", "foot")))]
UPPER_BODY = [joint for joint in range(22) if joint not in LEGS]


def restore(path, folder, restorer=hold_feet, **options):
    record = restore_files([path], folder, restorer, RestoreOptions(**options))
    assert not record["left_out"], record["left_out"]
    return record["clips"][0]


def slide(motion: Motion) -> float:
    feet = motion.joint_positions()[:, list(CONTACT_JOINTS)]
    return foot_slide_mm(feet, np.ones(feet.shape[:2], bool))


@pytest.mark.parametrize(("frame_rate", "scale"), [(30.0, 1.0), (60.0, 1.0), (30.0, 1.2)])
def test_our_own_file_keeps_its_upper_body_and_gets_the_restored_legs(frame_rate, scale, tmp_path):
    motion = make_sliding(round(2 * frame_rate), frame_rate, scale)
    save_motion(motion, tmp_path / "dance.npz")
    record = restore(tmp_path / "dance.npz", tmp_path / "out")
    assert record["files"] == ["dance.npz", "dance_contacts.csv", "dance_report.json", "dance_report.html"]
    written = load_motion(tmp_path / "out" / "dance.npz")
    assert written.skeleton == motion.skeleton and written.frame_rate == frame_rate
    np.testing.assert_array_equal(written.joint_rotations[:, UPPER_BODY], motion.joint_rotations[:, UPPER_BODY])
    assert slide(written) < 0.02 < slide(motion)
    assert written.foot_contacts.all()
    if frame_rate == 30 and scale == 1:
        expected = hold_feet(motion).motion.joint_positions()
        np.testing.assert_allclose(written.joint_positions(), expected, atol=1e-3)


def smpl_arrays(motion, *, z_up):
    rotations = motion.joint_rotations_matrix()
    path = motion.root_positions.astype(np.float64) + np.array([0.0, 0.25, 0.0])  # of a pelvis off its translation
    if z_up:
        turn = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
        rotations[:, 0] = turn @ rotations[:, 0]
        path = path @ turn.numpy().T
    vectors = roma.rotmat_to_rotvec(rotations).numpy().reshape(len(path), 66)
    hands = np.full((len(path), 90), 0.1)
    return {"poses": np.concatenate([vectors, hands], axis=1), "trans": path, "betas": np.arange(16.0)}


@pytest.mark.parametrize("z_up", [True, False])
def test_an_smpl_file_keeps_all_arrays_and_all_columns_but_the_legs(z_up, sliding, tmp_path):
    arrays = smpl_arrays(sliding, z_up=z_up) | {"mocap_framerate": np.array(30.0), "gender": np.array("neutral")}
    np.savez(tmp_path / "clip.npz", **arrays)
    record = restore(tmp_path / "clip.npz", tmp_path / "out")
    assert any("Z up" in note for note in record["notes"]) == z_up
    written = dict(np.load(tmp_path / "out" / "clip.npz"))
    assert written.keys() == arrays.keys()
    for name in ("betas", "gender", "mocap_framerate"):
        np.testing.assert_array_equal(written[name], arrays[name])
    changed = np.flatnonzero((written["poses"] != arrays["poses"]).any(axis=0))
    assert {column // 3 for column in changed} == set(LEGS) - {0, JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]}
    raised = np.zeros_like(arrays["trans"])
    raised[:, 2 if z_up else 1] = 0.01
    np.testing.assert_allclose(written["trans"] - arrays["trans"], raised, atol=1e-4)
    restored, before = read_motion(tmp_path / "out" / "clip.npz"), read_motion(tmp_path / "clip.npz")
    assert slide(restored) < 0.02 < slide(before)


def test_orient_and_body_arrays_are_written_too(sliding, tmp_path):
    poses = smpl_arrays(sliding, z_up=False)
    arrays = {
        "global_orient": poses["poses"][:, :3].astype(np.float32),
        "body_pose": poses["poses"][:, 3:66].reshape(-1, 21, 3).astype(np.float32),
        "transl": poses["trans"].astype(np.float32),
    }
    np.savez(tmp_path / "clip.npz", **arrays)
    restore(tmp_path / "clip.npz", tmp_path / "out")
    written = dict(np.load(tmp_path / "out" / "clip.npz"))
    assert {name: (array.shape, array.dtype) for name, array in written.items()} == {
        name: (array.shape, array.dtype) for name, array in arrays.items()
    }
    assert slide(read_motion(tmp_path / "out" / "clip.npz")) < 0.05


def test_positions_of_another_system_become_our_files(sliding, tmp_path):
    np.save(tmp_path / "joints.npy", sliding.joint_positions())
    record = restore(tmp_path / "joints.npy", tmp_path / "out")
    assert any("positions only" in note for note in record["notes"])
    assert len(read_bvh(tmp_path / "out" / "joints.bvh").root_positions) == sliding.num_frames
    assert slide(load_motion(tmp_path / "out" / "joints.npz")) < 0.05


def roll_on_toes(motion, **_):
    """Keep the toes where they are in the first frame while the heels rise and sink by 20 degrees."""
    offsets = torch.from_numpy(motion.skeleton.offsets)
    root = torch.from_numpy(motion.root_positions).double()
    positions, rotations = forward_kinematics(motion.joint_rotations_matrix(), root, offsets, PARENTS)
    rotations = rotations.clone()
    angle = 0.35 * torch.sin(torch.arange(motion.num_frames) / 5).square().double()
    pitch = roma.rotvec_to_rotmat(torch.stack([angle, 0 * angle, 0 * angle], dim=-1))
    for side in ("left", "right"):
        ankle, foot = JOINT_INDEX[f"{side}_ankle"], JOINT_INDEX[f"{side}_foot"]
        rotations[:, ankle] = pitch @ rotations[0, ankle]
        rotations[:, foot] = rotations[:, ankle]
        reach_with_leg(side, root, rotations, offsets, positions[0, foot] - rotations[:, ankle] @ offsets[foot])
    local = matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy()
    contacts = np.zeros((motion.num_frames, 4), bool)
    contacts[:, 2:] = True
    return RestoredMotion(replace(motion, joint_rotations=local, foot_contacts=contacts), None)


def test_a_longer_foot_rolls_on_its_own_toes_as_firmly_as_asked(sliding, tmp_path):
    offsets = sliding.skeleton.offsets.copy()
    offsets[[JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 2] *= 1.5
    save_motion(replace(sliding, skeleton=replace(sliding.skeleton, offsets=offsets)), tmp_path / "dance.npz")
    slides = {}
    for name, options in {
        "held": {},
        "half": {"strength": 0.5},
        "not": {"strength": 0.0},
        "never": {"foot_lock": "never"},
        "grounding": {"foot_lock": "grounding"},
    }.items():
        restore(tmp_path / "dance.npz", tmp_path / name, roll_on_toes, **options)
        toes = load_motion(tmp_path / name / "dance.npz").joint_positions()[:, list(CONTACT_JOINTS[2:])]
        slides[name] = foot_slide_mm(toes, np.ones(toes.shape[:2], bool))
    assert slides["held"] < 0.02 and slides["not"] > 0.3
    assert slides["half"] == pytest.approx(slides["not"] / 2, rel=0.1)
    assert slides["never"] == slides["grounding"] == slides["not"]


def test_options_reach_the_restorer_and_contacts_come_back_as_they_were_given(sliding, tmp_path):
    motion = make_sliding(120, 60.0)
    save_motion(motion, tmp_path / "dance.npz")
    first = restore(tmp_path / "dance.npz", tmp_path / "first")
    table = tmp_path / "first" / "dance_contacts.csv"
    rows = table.read_text().splitlines()
    rows[1:61] = [f"{frame},0,0,0,1" for frame in range(60)]
    table.write_text("\n".join(rows) + "\n")
    seen = {}

    def noting(motion, **options):
        seen.update(options)
        return hold_feet(motion, **options)

    second = restore(
        tmp_path / "dance.npz",
        tmp_path / "second",
        noting,
        contacts=table,
        sampler="paper",
        foot_lock="always",
        strength=0.5,
        seed=3,
    )
    assert (seen["sampler"], seen["foot_lock"], seen["strength"], seen["seed"]) == ("paper", "always", 0.5, 3)
    assert seen["foot_contacts"].shape == (60, 4)
    np.testing.assert_array_equal(seen["foot_contacts"][:30], [[False, False, False, True]] * 30)
    assert seen["foot_contacts"][30:].all()
    assert (tmp_path / "second" / "dance_contacts.csv").read_text().splitlines() == rows
    assert first["feet"]["contact_share"] == 1 and second["feet"]["contact_share"] == pytest.approx(0.625, abs=0.01)


def test_the_report_holds_the_measures_and_the_page_needs_nothing_else(sliding, tmp_path):
    save_motion(sliding, tmp_path / "a<b>.npz")
    record = restore(tmp_path / "a<b>.npz", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "a<b>_report.json").read_text()) == record
    feet = record["feet"]
    assert feet["after"]["slide_mm"] < 0.02 < feet["before"]["slide_mm"]
    assert feet["root_move_mm"] == pytest.approx(10, abs=0.01)
    page = (tmp_path / "out" / "a<b>_report.html").read_text()
    assert "a&lt;b&gt;" in page and "<b>" not in page
    assert "http" not in page and "<script" not in page and page.count("<svg") == 1
    assert "left toe" in page


def test_a_video_shows_both_dances_beside_each_other(tmp_path):
    save_motion(make_sliding(8), tmp_path / "dance.npz")
    record = restore(tmp_path / "dance.npz", tmp_path / "out", side_by_side=True)
    with av.open(str(tmp_path / "out" / record["files"][-1])) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (1280, 540, 8)


def test_physics_comes_before_the_restorer_and_touches_no_upper_body(tmp_path):
    pytest.importorskip("mujoco")
    motion = make_sliding(30)
    save_motion(motion, tmp_path / "dance.npz")
    seen = []

    def noting(observed, **_):
        seen.append(observed)
        return RestoredMotion(observed, None)

    record = restore(tmp_path / "dance.npz", tmp_path / "out", noting, physics=True, foot_lock="never")
    assert record["physics"]["rejected"] is False and record["physics"]["mpjpe_to_input_mm"] < 60
    assert np.abs(seen[0].root_positions - motion.root_positions).max() > 1e-3
    written = load_motion(tmp_path / "out" / "dance.npz")
    np.testing.assert_array_equal(written.joint_rotations[:, UPPER_BODY], motion.joint_rotations[:, UPPER_BODY])
    np.testing.assert_allclose(written.root_positions, seen[0].root_positions, atol=1e-3)


def without_feet(text):
    """Drop ankles and toes: the shank ends where the foot began."""
    lines, depth, skip = [], 0, 0
    for line in text.split("MOTION")[0].splitlines():
        depth += line.count("{") - line.count("}")
        if "JOINT" in line and "ankle" in line:
            skip = depth + 1
        if not skip:
            lines.append(line)
        if skip and "}" in line and depth < skip:
            skip = 0
    channels = sum(int(line.split()[1]) for line in lines if "CHANNELS" in line)
    frames = "\n".join(" ".join(["0"] * channels) for _ in range(60))
    return "\n".join(lines) + f"\nMOTION\nFrames: 60\nFrame Time: 0.0333333\n{frames}\n"


def bad_file(name, folder):
    """Write a file with one thing wrong."""
    motion = make_sliding(60)
    path = folder / "clip.bvh"
    write_bvh(motion, path)
    text = path.read_text()
    number = text.splitlines()[-1].split()[4]
    texts = {
        "feet": without_feet(text),
        "nan": text.replace(number, "nan"),
        "rate": text.replace("Frame Time: 0.03333333", "Frame Time: 0.0001"),
        "speed": text.replace("Frame Time: 0.03333333", "Frame Time: 0.001"),
        "kind": "this is a letter",
    }
    if name in texts:
        path.write_text(texts[name])
    elif name == "frame":
        write_bvh(motion.cut(0, 1), path)
    elif name == "missing":
        path.unlink()
    elif name == "ending":
        path = path.rename(folder / "clip.fbx")
    elif name == "pickle":
        path = folder / "clip.pkl"
        path.write_bytes(b"\x80\x04N.")
    elif name == "centimetres":
        path = folder / "clip.npz"
        arrays = smpl_arrays(make_sliding(60), z_up=False)
        np.savez(path, **arrays | {"trans": 1000 * arrays["trans"], "mocap_framerate": 30.0})
    elif name == "folder":
        path = folder / "empty"
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "feet",
            "clip.bvh: Could not find these of our joints: left_ankle, right_ankle. The file.s joints are: pelvis, ",
        ),
        ("frame", "at least 4 frames at 30 Hz .* got 1 at 30 Hz"),
        ("nan", "NaN|finite"),
        ("rate", "clip.bvh, line .*Frame Time must be 0.001 to 1 s, got"),
        ("speed", "at least 4 frames at 30 Hz .* got 60 at 1000 Hz"),
        ("kind", "must begin with the line HIERARCHY"),
        ("missing", "There is no file"),
        ("ending", "must end in .bvh, .json"),
        ("pickle", "can run code when it is opened"),
        ("centimetres", "translations must be in metres.*centimetres"),
        ("folder", "as SMPLer-X writes them"),
    ],
)
def test_a_bad_file_is_left_out_with_its_reason_and_the_others_are_restored(name, message, tmp_path):
    save_motion(make_sliding(), tmp_path / "good.npz")
    bad = bad_file(name, tmp_path)
    record = restore_files([bad, tmp_path / "good.npz"], tmp_path / "out", hold_feet)
    assert [clip["name"] for clip in record["clips"]] == ["good"]
    (left_out,) = record["left_out"]
    assert left_out["file"] == str(bad)
    with pytest.raises(ValueError, match=message):
        raise ValueError(left_out["reason"])


def test_two_inputs_of_one_name_are_refused(sliding, tmp_path):
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "dance.npz", tmp_path / "other" / "dance.npz"]
    for path in paths:
        save_motion(sliding, path)
    with pytest.raises(ValueError, match="Two inputs would be written as dance.npz"):
        restore_files(paths, tmp_path / "out", hold_feet)


def test_contacts_belong_to_one_clip(sliding, tmp_path):
    for name in ("one", "two"):
        save_motion(sliding, tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match="`contacts` must go with a single clip, got 2 clips"):
        restore_files(
            [tmp_path / "one.npz", tmp_path / "two.npz"],
            tmp_path / "out",
            hold_feet,
            RestoreOptions(contacts=tmp_path / "c.csv"),
        )
