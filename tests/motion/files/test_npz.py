"""Our motion file and the clips of a data folder."""

import csv
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import roma

from infinitedance.motion.files import (
    DataClip,
    export_motion,
    limits,
    load_motion,
    read_data_npz,
    read_motion,
    save_motion,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
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


def test_an_array_that_is_not_needed_spoils_nothing(moving, tmp_path):
    motion = put_on_floor(moving)
    rotations = roma.rotmat_to_rotvec(motion.joint_rotations_matrix()).numpy().reshape(motion.num_frames, 66)
    arrays = {"poses": rotations, "trans": motion.root_positions, "mocap_framerate": 30}
    for name, other in {"gender": np.array("male", dtype=object), "meta": np.array([{"a": 1}, None])}.items():
        np.savez(tmp_path / "clip.npz", **arrays, **{name: other})
        assert read_motion(tmp_path / "clip.npz").num_frames == motion.num_frames
    np.savez(tmp_path / "clip.npz", **{**arrays, "trans": np.array([{}])})
    with pytest.raises(ValueError, match="clip.npz.*`trans` is a Python object"):
        read_motion(tmp_path / "clip.npz")


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def npy(header, content=b""):
    text = (header + " " * 60 + "\n").encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def test_a_member_that_is_not_needed_is_not_unpacked(moving, tmp_path):
    save_motion(moving, tmp_path / "dance.npz")
    with zipfile.ZipFile(tmp_path / "dance.npz", "a", zipfile.ZIP_DEFLATED) as file, file.open("big.npy", "w") as big:
        big.write(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (20000000,), }"))
        for _ in range(160):
            big.write(bytes(1_000_000))
    tracemalloc.start()
    load_motion(tmp_path / "dance.npz")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"),
            "announces an array of 8000000",
        ),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }", bytes(24)), "announces an array"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,)", bytes(24)), "clip.npz"),
        (npy("{'descr': 'O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n."), "is a Python object"),
        (b"\x93NUMPY", "clip.npz"),
        (b"", "clip.npz"),
    ],
)
def test_a_member_that_says_more_than_it_holds_is_refused(member, message, tmp_path):
    trans = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3), }", bytes(24))
    path = archive(tmp_path / "clip.npz", {"poses.npy": member, "trans.npy": trans, "fps.npy": trans})
    with pytest.raises(ValueError, match=message) as error:
        read_motion(path)
    assert "clip.npz" in str(error.value) and "\n" not in str(error.value)


def test_a_member_larger_than_all_that_is_read_is_refused_unread(moving, tmp_path, monkeypatch):
    save_motion(moving, tmp_path / "dance.npz")
    monkeypatch.setattr(limits, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ValueError, match="dance.npz.* must hold at most"):
        load_motion(tmp_path / "dance.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provenance": np.array("[1, 2]")}, "`provenance` must be an object of JSON, got list"),
        ({"provenance": np.array("null")}, "`provenance` must be an object of JSON, got NoneType"),
        ({"provenance": np.array("{")}, "dance.npz"),
        ({"provenance": np.array("[" * 100_000)}, "at most 64 levels deep"),
        ({"provenance": np.array('{"a":' * 100 + "1" + "}" * 100)}, "at most 64 levels deep"),
        ({"provenance": np.array('{"beat_times_seconds": "now"}')}, "must be a list of times"),
        ({"provenance": np.array('{"downbeat_times_seconds": [NaN]}')}, "must be a list of times"),
        ({"provenance": np.zeros((3, 3))}, "dance.npz"),
        ({"frame_rate": np.array(1e-300)}, "must lie in 1 to 1000 Hz, got 1e-300"),
        ({"frame_rate": np.array(1e300)}, "must lie in 1 to 1000 Hz"),
        ({"frame_rate": np.array([30.0, 30.0])}, "the frame rate must be one number"),
        ({"frame_rate": np.array("fast")}, "the frame rate must be one number"),
        ({"offsets": np.zeros((22, 3))}, "bones of more than 0 and at most 3 m"),
        ({"offsets": np.full((22, 3), 1e30)}, "larger than 1e"),
        ({"offsets": np.full((22, 3), 5.0)}, "bones of more than 0 and at most 3 m"),
        ({"root_positions": np.full((120, 3), 1e30)}, "larger than 1e"),
        ({"version": np.array([1, 2])}, "dance.npz"),
        ({"joint_names": np.array(3)}, "dance.npz"),
        ({"toe_rest_height": np.array(np.nan)}, "NaN or infinity"),
    ],
)
def test_values_that_no_dance_has_are_refused_by_name(change, message, moving, tmp_path):
    path = tmp_path / "dance.npz"
    save_motion(moving, path)
    np.savez(path, **(arrays_of(path) | change))
    for read in (load_motion, read_motion):
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert "dance.npz" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "provenance", [{"license": 3, "references": 7}, {"references": [1, {"hits": [2, {}]}], "song": 5}]
)
def test_provenance_of_other_kinds_can_be_exported(provenance, moving, tmp_path):
    save_motion(replace(moving, provenance=provenance), tmp_path / "dance.npz")
    read = read_motion(tmp_path / "dance.npz")
    for suffix in (".glb", ".bvh", ".csv"):
        export_motion(read, tmp_path / f"dance{suffix}")


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_to_an_archive_ends_in_one_line_that_names_the_file(seed, moving, tmp_path):
    rng = np.random.default_rng(seed)
    path = tmp_path / "dance.npz"
    save_motion(moving, path)
    np.savez(tmp_path / "plain.npz", **arrays_of(path))  # not compressed: more of the damage is in headers
    for original in (path.read_bytes(), (tmp_path / "plain.npz").read_bytes()):
        for _ in range(25):
            damaged = bytearray(original)
            for _ in range(int(rng.integers(1, 8))):
                damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
            path.write_bytes(bytes(damaged[: int(rng.integers(len(damaged)))] if rng.random() < 0.2 else damaged))
            try:
                read_motion(path)
            except (ValueError, FileNotFoundError) as error:
                assert "dance.npz" in str(error) and "\n" not in str(error)
