"""SMPL motions of other systems: AMASS, AIST++, EDGE, POPDG, InfiniteDance; and the pickles that they come in."""

import os
import pickle
from dataclasses import replace

import joblib
import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import read_joint_positions, read_motion, read_pickle
from infinitedance.motion.files.smpl import fit_skeleton
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import JOINT_INDEX, Skeleton, neutral_skeleton

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Turns Y-up coordinates to Z-up ones."""


@pytest.fixture
def dance(make_moving) -> Motion:
    moving = make_moving(num_frames=60, strength=0.3)
    # Bent knees: a leg that is stretched to its end has no second solution to move to.
    bent = moving.joint_rotations.copy()
    bent[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]] = [np.cos(0.3), np.sin(0.3), 0, 0]
    return put_on_floor(replace(moving, joint_rotations=bent))


def rotation_vectors(motion: Motion, *, z_up: bool = False) -> np.ndarray:
    rotations = motion.joint_rotations_matrix()
    if z_up:
        rotations[:, 0] = torch.from_numpy(Z_UP) @ rotations[:, 0]
    return roma.rotmat_to_rotvec(rotations).numpy()


def translations(motion: Motion, *, z_up: bool = False) -> np.ndarray:
    # A body model puts its pelvis a constant way off the translation.
    path = motion.root_positions.astype(np.float64) + np.array([0.0, 0.25, 0.0])
    return path @ Z_UP.T if z_up else path


def padded(poses: np.ndarray, width: int) -> np.ndarray:
    """Append hands and face that do not rest."""
    flat = poses.reshape(len(poses), -1)
    return np.concatenate([flat, np.full((len(flat), width - flat.shape[1]), 0.1)], axis=1)


def write_pickle(path, content):
    with open(path, "wb") as file:
        pickle.dump(content, file)
    return path


def amass(motion, folder, width=156, rate_key="mocap_framerate", z_up=True):
    path = folder / "amass.npz"
    np.savez(
        path,
        poses=padded(rotation_vectors(motion, z_up=z_up), width),
        trans=translations(motion, z_up=z_up),
        betas=np.zeros(16),
        gender="neutral",
        **{rate_key: motion.frame_rate},
    )
    return path


def amass_stageii(motion, folder):
    path = folder / "clip_stageii.npz"
    vectors = rotation_vectors(motion, z_up=True)
    np.savez(
        path,
        root_orient=vectors[:, 0],
        pose_body=vectors[:, 1:].reshape(len(vectors), 63),
        trans=translations(motion, z_up=True),
        mocap_frame_rate=motion.frame_rate,
    )
    return path


def edge(motion, folder):
    content = {
        "smpl_poses": padded(rotation_vectors(motion, z_up=True), 72),
        "smpl_trans": translations(motion, z_up=True),
    }
    return write_pickle(folder / "edge.pkl", content)


def edge_with_joints(motion, folder):
    joints = motion.joint_positions() @ Z_UP.T
    hands = joints[:, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]]
    content = {
        "smpl_poses": padded(rotation_vectors(motion, z_up=True), 72),
        "smpl_trans": translations(motion, z_up=True),
        "full_pose": np.concatenate([joints, hands], axis=1),
    }
    return write_pickle(folder / "edge.pkl", content)


def aist(motion, folder):
    content = {
        "smpl_poses": padded(rotation_vectors(motion), 72),
        "smpl_trans": translations(motion) * 93.7,
        "smpl_scaling": np.array([93.7]),
        "smpl_loss": 0.1,
    }
    return write_pickle(folder / "aist.pkl", content)


def infinitedance(motion, folder):
    vectors = rotation_vectors(motion)
    content = {
        "body_pose": vectors[:, 1:].reshape(len(vectors), 63).astype(np.float32),
        "global_orient": vectors[:, 0].astype(np.float32),
        "transl": translations(motion).astype(np.float32),
    }
    joblib.dump(content, folder / "clip.pkl")
    return folder / "clip.pkl"


@pytest.mark.parametrize(
    ("write", "frame_rate", "up_axis"),
    [
        (amass, 30, "z"),
        (lambda motion, folder: amass(motion, folder, 165, "mocap_frame_rate"), 30, "z"),
        (lambda motion, folder: amass(motion, folder, 66, z_up=False), 30, "y"),
        (amass_stageii, 30, "z"),
        (edge, 30, "z"),
        (edge_with_joints, 30, "z"),
        (aist, 60, "y"),
        (infinitedance, 30, "y"),
    ],
)
def test_a_dance_in_a_foreign_layout_is_read_with_its_rotations(write, frame_rate, up_axis, dance, tmp_path):
    read = read_motion(write(dance, tmp_path), trust_pickle=True)
    assert read.frame_rate == frame_rate
    assert read.provenance["up_axis"] == up_axis
    assert read.provenance["rotations"] == "source"
    np.testing.assert_allclose(read.joint_positions(), dance.joint_positions(), atol=1e-3)
    turn = (read.joint_rotations * dance.joint_rotations).sum(-1)
    assert np.abs(turn).min() > np.cos(np.radians(0.5) / 2)


def test_joints_beside_the_poses_give_the_dancers_own_proportions(dance, tmp_path):
    tall = put_on_floor(replace(dance, skeleton=dance.skeleton.scaled(1.15)))
    read = read_motion(edge_with_joints(tall, tmp_path), trust_pickle=True)
    assert read.provenance["body"] == "measured"
    assert read.skeleton == neutral_skeleton()
    # On the body of 1.70 m the path shrinks in proportion, so that steps stay steps.
    np.testing.assert_allclose(
        np.diff(read.root_positions[:, [0, 2]], axis=0) * 1.15,
        np.diff(tall.root_positions[:, [0, 2]], axis=0),
        atol=1e-4,
    )


def test_a_given_rate_and_axis_take_the_place_of_the_files(dance, tmp_path):
    lying = replace(dance, joint_rotations=rest_on_the_belly(dance))
    path = amass(lying, tmp_path, z_up=False)
    read = read_motion(path, frame_rate=25.0, up_axis="y")
    assert read.frame_rate == 25.0
    assert read.joint_positions()[:, JOINT_INDEX["head"], 1].max() < 0.5
    upright = read_motion(path, up_axis="-x")
    assert upright.joint_positions()[:, JOINT_INDEX["head"], 1].min() > 1


def test_a_dancer_who_lies_on_the_floor_is_left_lying(dance, tmp_path, recwarn):
    lying = replace(dance, joint_rotations=rest_on_the_belly(dance))
    read = read_motion(amass(lying, tmp_path, z_up=False))
    assert read.joint_positions()[:, JOINT_INDEX["head"], 1].max() < 0.5
    assert not recwarn.list


def rest_on_the_belly(motion: Motion) -> np.ndarray:
    rotations = np.zeros_like(motion.joint_rotations)
    rotations[..., 0] = 1
    rotations[:, 0] = [0.5, 0.5, -0.5, 0.5]  # the head along -x, the face down
    return rotations


def test_joints_for_measuring_are_those_of_the_dance(dance, tmp_path):
    path = amass(dance, tmp_path)
    joints, frame_rate = read_joint_positions(path)
    assert frame_rate == 30
    np.testing.assert_allclose(joints, read_motion(path).joint_positions())


def broken(dance, folder, name):
    """Write an AMASS file with one thing wrong."""
    arrays = {
        "poses": rotation_vectors(dance).reshape(len(dance.root_positions), 66),
        "trans": translations(dance),
        "mocap_framerate": 30.0,
    }
    frames = dance.num_frames
    changes = {
        "width": {"poses": np.zeros((frames, 70))},
        "shape": {"poses": np.zeros((frames, 2, 5, 3))},
        "nan": {"poses": np.full((frames, 66), np.nan)},
        "degrees": {"poses": np.degrees(arrays["poses"])},
        "text": {"poses": np.array(["a", "b"])},
        "short path": {"trans": arrays["trans"][:-1]},
        "centimetres": {"trans": arrays["trans"] * 100},
        "rate": {"mocap_framerate": 0.0},
        "upside down": {"poses": upside_down(arrays["poses"])},
    }
    arrays |= changes.get(name, {})
    if name in ("trans", "mocap_framerate"):
        del arrays[name]
    np.savez(folder / "clip.npz", **arrays)
    return folder / "clip.npz"


def upside_down(poses: np.ndarray) -> np.ndarray:
    poses = poses.copy()
    poses[:, :3] = [np.pi, 0, 0]
    return poses


def test_a_body_in_camera_coordinates_is_turned_with_a_warning(dance, tmp_path):
    path = broken(dance, tmp_path, "upside down")
    with pytest.warns(UserWarning, match="stands along -y"):
        assert read_motion(path).joint_positions()[:, JOINT_INDEX["head"], 1].min() > 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "width",
            r"must have 66 \(22 body joints\), 72 \(SMPL\), 156 \(SMPL-H\), 165 \(SMPL-X\) numbers a frame, got 70",
        ),
        ("shape", r"must have shape \(frames, 3 x joints\)"),
        ("nan", "`poses` holds NaN or infinity in 60 of 60 frames, first in 0"),
        ("degrees", "axis-angle in radians, got an angle of .*degrees"),
        ("text", "`poses` must be an array of numbers"),
        ("short path", r"`trans` must have shape \(60, 3\)"),
        ("centimetres", "translations must be in metres"),
        ("rate", "the frame rate must lie in 1 to 1000 Hz, got 0. Pass `--input-frame-rate`"),
        ("trans", "must hold the root's path as one of trans, smpl_trans, transl"),
        ("mocap_framerate", "does not say its frame rate.*Pass `--input-frame-rate`"),
    ],
)
def test_a_wrong_smpl_file_is_refused_with_the_reason(name, message, dance, tmp_path):
    with pytest.raises(ValueError, match=f"clip.npz.*{message}"):
        read_motion(broken(dance, tmp_path, name))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"smpl_poses": None}, "must hold an array of numbers, or joints under one of pred_position"),
        ({"smpl_scaling": np.array([0.0])}, "`smpl_scaling` must be one positive number"),
        ({"full_pose": np.zeros((60, 20, 3))}, r"`full_pose` must have shape \(60, at least 22, 3\)"),
        ({"full_pose": "other dance"}, "`full_pose` must be the joints that the poses give"),
        ({"full_pose": "centimetres"}, "this looks like centimetres"),
    ],
)
def test_a_wrong_pickle_of_a_dance_is_refused_with_the_reason(change, message, dance, make_moving, tmp_path):
    content = read_pickle(edge(dance, tmp_path), True)
    others = {"other dance": make_moving(60, seed=1).joint_positions(), "centimetres": 100 * dance.joint_positions()}
    for key, value in change.items():
        if value is None:
            del content[key]
        else:
            content[key] = others[value] if isinstance(value, str) else value
    with pytest.raises(ValueError, match=message):
        read_motion(write_pickle(tmp_path / "clip.pkl", content), trust_pickle=True)


def test_a_pickle_is_refused_unless_it_is_trusted(dance, tmp_path):
    with pytest.raises(ValueError, match="can run code when it is opened.*--trust-pickle"):
        read_motion(edge(dance, tmp_path))


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm_was_done",)


@pytest.mark.parametrize("content", [Harmful(), {"smpl_poses": Harmful()}, np.array([Harmful()], dtype=object)])
def test_even_a_trusted_pickle_runs_no_code(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (write_pickle(tmp_path / "plain.pkl", content), tmp_path / "joblib.pkl"):
        if not path.exists():
            joblib.dump(content, path)
        with pytest.raises(ValueError, match="it asks for `(nt|posix).mkdir`|array of Python objects"):
            read_pickle(path, True)
    assert not (tmp_path / "harm_was_done").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_numbers_arrays_and_tensors_come_back_as_they_were(protocol, tmp_path):
    content = {
        "array": np.arange(12.0).reshape(3, 4),
        "columns first": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "scalar": np.float32(2.5),
        "plain": [1, 2.5, "text", (None, True)],
        "tensor": torch.arange(4.0),
    }
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_pickle(tmp_path / "plain.pkl", True)
    assert read["plain"] == content["plain"] and read["scalar"] == 2.5
    np.testing.assert_array_equal(read["tensor"], content["tensor"])
    for name in ("array", "columns first"):
        np.testing.assert_array_equal(read[name], content[name])


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_what_joblib_wrote_comes_back_as_it_was(compress, tmp_path):
    content = {"rows": np.arange(12.0).reshape(3, 4), "columns": np.asfortranarray(np.eye(3) + np.arange(3)), "n": 3}
    joblib.dump(content, tmp_path / "clip.pkl", compress=compress)
    read = read_pickle(tmp_path / "clip.pkl", True)
    np.testing.assert_array_equal(read["rows"], content["rows"])
    np.testing.assert_array_equal(read["columns"], content["columns"])
    assert read["n"] == 3


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"\x78broken zlib", b"\x80\x04}"])
def test_a_broken_pickle_is_named(content, tmp_path):
    (tmp_path / "clip.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="clip.pkl"):
        read_pickle(tmp_path / "clip.pkl", True)


def test_the_bones_that_are_measured_are_those_that_danced(dance):
    offsets = dance.skeleton.offsets + np.random.default_rng(0).normal(0, 0.01, (22, 3))
    offsets[0] = 0
    dancer = replace(dance, skeleton=Skeleton(offsets))
    root, body = fit_skeleton(dancer.joint_positions().astype(float), dancer.joint_rotations_matrix(), "clip")
    np.testing.assert_allclose(body.offsets, offsets, atol=1e-5)
    np.testing.assert_allclose(root, dancer.root_positions, atol=1e-6)
