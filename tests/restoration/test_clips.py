"""Which files `restore` writes in place, and which move to our body."""

import pickle
import re

import numpy as np
import pytest
import roma

from infinitedance.motion.files import write_bvh
from infinitedance.motion.files.anatomy import mirrored_motion, turned_motion
from infinitedance.motion.skeleton import JOINT_NAMES
from infinitedance.restoration.clips import BvhClip, MotionClip, SmplClip, open_clips


@pytest.fixture(scope="module")
def clip(dance):
    return dance.cut(0, 40)


def written(motion, folder, encoding="utf-8", names=JOINT_NAMES):
    write_bvh(motion, folder / "clip.bvh", names=names)
    (folder / "clip.bvh").write_bytes((folder / "clip.bvh").read_text().encode(encoding))
    return folder / "clip.bvh"


def smpl_arrays(motion):
    poses = roma.rotmat_to_rotvec(motion.joint_rotations_matrix()).numpy().reshape(motion.num_frames, 66)
    return {"poses": poses, "trans": motion.root_positions, "mocap_framerate": 30.0}


def test_a_usual_rig_is_written_in_place(clip, tmp_path):
    (opened,) = open_clips(written(clip, tmp_path))
    assert isinstance(opened, BvhClip) and opened.suffixes == (".bvh",)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("upside down", "The file has -y up: the dance moves to our body."),
        ("mirror", "The file is a mirror image, and x was negated: the dance moves to our body."),
        ("wide", "The file is in UTF-16: the dance moves to our body."),
    ],
)
@pytest.mark.filterwarnings("ignore:.*(stands along|contradict)")
def test_a_world_that_was_turned_moves_to_our_body(kind, note, clip, tmp_path):
    motion = {"upside down": turned_motion(clip, "-y"), "mirror": mirrored_motion(clip)}.get(kind, clip)
    (opened,) = open_clips(written(motion, tmp_path, "utf-16" if kind == "wide" else "utf-8"))
    assert isinstance(opened, MotionClip) and opened.suffixes == (".npz", ".bvh")
    assert note in opened.notes
    expected = clip.joint_positions() - clip.joint_positions()[:1, :1]
    found = opened.motion.joint_positions() - opened.motion.joint_positions()[:1, :1]
    assert np.linalg.norm(found - expected, axis=-1).mean() < 0.01


def test_objects_among_the_arrays_of_an_smpl_file_are_left_out_with_a_note(clip, tmp_path):
    np.savez(tmp_path / "amass.npz", **smpl_arrays(clip), gender=np.array("female", dtype=object), betas=np.zeros(10))
    (opened,) = open_clips(tmp_path / "amass.npz")
    assert isinstance(opened, SmplClip) and set(opened.arrays) == {*smpl_arrays(clip), "betas"}
    assert "Not written: gender, no arrays of numbers." in opened.notes


def test_an_smpl_file_with_y_down_moves_to_our_body(clip, tmp_path):
    np.savez(tmp_path / "camera.npz", **smpl_arrays(turned_motion(clip, "-y")))
    with pytest.warns(UserWarning, match="stands along -y"):
        (opened,) = open_clips(tmp_path / "camera.npz")
    assert isinstance(opened, MotionClip) and opened.suffixes == (".npz", ".bvh")


@pytest.mark.filterwarnings("ignore:.*(on the spot|frame rate of its video)")
def test_all_people_are_restored_unless_one_is_chosen(clip, tmp_path):
    person = {"pose": np.pad(smpl_arrays(clip)["poses"], ((0, 0), (0, 6))), "frame_ids": np.arange(40)}
    (tmp_path / "vibe.pkl").write_bytes(pickle.dumps({1: person, 2: person}))
    assert [each.name for each in open_clips(tmp_path / "vibe.pkl", trust_pickle=True)] == [
        "vibe_person1",
        "vibe_person2",
    ]
    (opened,) = open_clips(tmp_path / "vibe.pkl", trust_pickle=True, person="2")
    assert "Result of VIBE or PARE, person 2, from frame 0." in opened.notes


def test_a_toe_that_cannot_turn_is_no_joint_and_a_knee_must(clip, tmp_path):
    text = written(clip, tmp_path).read_text()
    still = re.sub(r"(JOINT (left|right)_foot\s+\{\s+OFFSET [^\n]*\n\s+)CHANNELS 3 [^\n]*", r"\1CHANNELS 0", text)
    head, rows = still.split("Frame Time: 0.03333333\n")
    names = re.findall(r"(?:ROOT|JOINT) (\S+)", head)
    channels = [range(6)]
    for _ in names[1:]:
        channels.append(range(channels[-1].stop, channels[-1].stop + 3))
    kept = [column for name, own in zip(names, channels, strict=True) if not name.endswith("foot") for column in own]
    rows = "\n".join(" ".join(np.array(row.split())[kept]) for row in rows.splitlines())
    (tmp_path / "clip.bvh").write_text(f"{head}Frame Time: 0.03333333\n{rows}\n")
    (opened,) = open_clips(tmp_path / "clip.bvh")
    assert isinstance(opened, BvhClip) and "left_foot" not in opened.rig.source_joints
    assert "The rig has no toe joints: the tips of its feet stand in." in opened.notes


def test_a_rig_without_names_says_how_to_map_it(clip, tmp_path):
    names = [f"J{index}" for index in range(22)]
    path = written(clip, tmp_path, names=names)
    with pytest.raises(ValueError, match="clip.bvh: Could not find.*`--joint-map`"):
        open_clips(path)
    (opened,) = open_clips(path, overrides=dict(zip(JOINT_NAMES, names, strict=True)))
    assert isinstance(opened, BvhClip)
