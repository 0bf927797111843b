"""Our motion file and the clips of a data folder."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.files import DataClip, load_motion, read_data_npz, read_motion, save_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_NAMES, PARENTS


def arrays_of(path):
    with np.load(path) as archive:
        return dict(archive)


def test_a_saved_motion_is_loaded_unchanged(moving, tmp_path):
    motion = replace(
        moving,
        skeleton=moving.skeleton.scaled(1.1),
        foot_contacts=np.arange(4 * moving.num_frames).reshape(-1, 4) % 3 == 0,
        provenance={"model": "tiny", "seed": 7, "sources": ["ä"]},
    )
    save_motion(motion, tmp_path / "dance.npz")
    loaded = load_motion(tmp_path / "dance.npz")
    np.testing.assert_array_equal(loaded.root_positions, motion.root_positions)
    np.testing.assert_allclose(loaded.joint_rotations, motion.joint_rotations, atol=1e-7)
    np.testing.assert_array_equal(loaded.foot_contacts, motion.foot_contacts)
    assert loaded.skeleton == motion.skeleton
    assert loaded.frame_rate == motion.frame_rate
    assert loaded.provenance == motion.provenance


def test_unknown_contacts_stay_unknown(moving, tmp_path):
    save_motion(moving, tmp_path / "dance.npz")
    assert load_motion(tmp_path / "dance.npz").foot_contacts is None


def test_equal_motions_give_equal_bytes(moving, make_moving, tmp_path):
    save_motion(moving, tmp_path / "first.npz")
    save_motion(make_moving(), tmp_path / "second.npz")
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()


def test_read_motion_knows_our_files_from_data_clips(moving, tmp_path):
    save_motion(moving, tmp_path / "ours.npz")
    positions = moving.cut(0, 10).joint_positions()
    np.savez(tmp_path / "clip.npz", joints22=positions, joint22_names=np.array(JOINT_NAMES), fps=30.0)
    assert "rotations" not in read_motion(tmp_path / "ours.npz").provenance
    assert read_motion(tmp_path / "clip.npz").provenance["rotations"] == "fitted"


def broken(name, moving, tmp_path):
    """Write a wrong file of each kind and return its path."""
    path = tmp_path / "broken.npz"
    save_motion(moving, path)
    arrays = arrays_of(path)
    if name == "missing":
        path.unlink()
    elif name == "text":
        path.write_text("this is no archive")
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif name == "pickle":
        np.savez(path, version=np.array([{"a": 1}], dtype=object))
    elif name == "key":
        del arrays["offsets"]
        np.savez(path, **arrays)
    else:
        changes = {
            "version": {"version": np.array(99)},
            "joints": {"joint_names": np.array(JOINT_NAMES[::-1])},
            "nan": {"root_positions": np.full_like(moving.root_positions, np.nan)},
            "shape": {"joint_rotations": moving.joint_rotations[:, :20]},
        }[name]
        np.savez(path, **(arrays | changes))
    return path


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing", FileNotFoundError, "There is no file .*broken.npz"),
        ("text", ValueError, "broken.npz is not a readable .npz"),
        ("empty", ValueError, "broken.npz is not a readable .npz"),
        ("truncated", ValueError, "broken.npz is not a readable .npz"),
        ("pickle", ValueError, "it lacks frame_rate"),
        ("key", ValueError, "it lacks offsets"),
        ("version", ValueError, "version 99, expected 1"),
        ("joints", ValueError, "broken.npz holds the joints"),
        ("nan", ValueError, "broken.npz: `root_positions` holds NaN"),
        ("shape", ValueError, r"broken.npz: `joint_rotations` must have shape"),
    ],
)
def test_a_wrong_motion_file_is_refused(name, error, message, moving, tmp_path):
    path = broken(name, moving, tmp_path)
    with pytest.raises(error, match=message):
        load_motion(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints22": np.zeros((5, 21, 3))}, r"must have shape \(frames, 22, 3\)"),
        ({"joints22": np.zeros((0, 22, 3))}, r"must have shape \(frames, 22, 3\)"),
        ({"joints22": np.full((5, 22, 3), np.nan)}, "holds NaN or infinity"),
        ({"joint22_names": np.array(JOINT_NAMES[::-1])}, "expected"),
        ({"local_quat_wxyz": np.zeros((5, 22, 4))}, "lacks joint_names, parents, offsets, root_pos"),
    ],
)
def test_a_wrong_data_clip_is_refused(change, message, tmp_path):
    path = tmp_path / "clip.npz"
    arrays = {"joints22": np.zeros((5, 22, 3)), "joint22_names": np.array(JOINT_NAMES), "fps": 30.0}
    np.savez(path, **(arrays | change))
    with pytest.raises(ValueError, match=message):
        read_data_npz(path)


def test_a_data_clip_with_rotations_gives_a_rig_that_poses_to_its_positions(moving, tmp_path):
    positions = moving.joint_positions()
    np.savez(
        tmp_path / "clip.npz",
        joints22=positions,
        joint22_names=np.array(JOINT_NAMES),
        fps=30.0,
        joint_names=np.array(JOINT_NAMES),
        parents=np.array(PARENTS),
        offsets=moving.skeleton.offsets,
        root_pos=moving.root_positions,
        local_quat_wxyz=moving.joint_rotations,
        audio29=np.zeros((moving.num_frames, 29)),
    )
    clip = read_data_npz(tmp_path / "clip.npz")
    assert isinstance(clip, DataClip)
    assert clip.music_features.shape == (moving.num_frames, 29)
    np.testing.assert_allclose(clip.source.pose()[0], positions, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("dance.txt", {}, "must end in .npz"),
        ("dance.npz", {"provenance": {"model": object()}}, "must hold only what JSON can"),
    ],
)
def test_what_cannot_be_saved_is_refused(name, change, message, moving, tmp_path):
    with pytest.raises(ValueError, match=message):
        save_motion(replace(moving, **change), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_read_motion_names_the_endings_it_knows(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .bvh, .json, .npy, .npz"):
        read_motion(tmp_path / "dance.fbx")


@pytest.mark.shared_data
def test_the_rigs_of_real_clips_pose_to_their_stored_joints(shared_data_dir):
    with open(shared_data_dir / "metadata.csv") as file:
        with_rotations = [row["file"] for row in csv.DictReader(file) if row["rotations"] == "1"]
    errors = {}
    for name in with_rotations[::8]:
        with np.load(shared_data_dir / name) as arrays:
            if "joints" not in arrays:
                continue
            stored = arrays["joints"]
        errors[name] = np.abs(read_data_npz(shared_data_dir / name).source.pose()[0] - stored).max()
    assert len(errors) > 15
    assert max(errors.values()) < 1e-3, errors


@pytest.mark.shared_data
def test_a_real_clip_with_rotations_becomes_a_dance_on_our_body(shared_data_dir):
    motion = read_motion(shared_data_dir / "motion" / "rokoko" / "jesse_dance.npz")
    assert isinstance(motion, Motion)
    assert motion.provenance["rotations"] == "source"
    assert 1.2 < np.median(motion.joint_positions()[:, JOINT_NAMES.index("head"), 1]) < 1.8
