"""Fingers in every kind of file: written, found by other readers, read back; dances without them have none."""

import json
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import BONE_NAMES, export_motion, load_motion, read_bvh, read_motion
from infinitedance.motion.files.bone_names import FINGER_BONE_NAMES
from infinitedance.motion.files.estimates import read_estimates
from infinitedance.motion.files.joint_arrays import smpl_arrays_from_features
from infinitedance.motion.files.smpl import motion_from_smpl
from infinitedance.motion.fingers import NUM_FINGER_JOINTS
from infinitedance.motion.kinematics import quaternion_to_matrix
from infinitedance.motion.skeleton import NUM_JOINTS

VRM_FINGERS = {
    f"{side}{finger}{bone}"
    for side in ("left", "right")
    for finger in ("Thumb", "Index", "Middle", "Ring", "Little")
    for bone in (("Metacarpal", "Proximal", "Distal") if finger == "Thumb" else ("Proximal", "Intermediate", "Distal"))
}


def hands_of(motion):
    """Axis-angle numbers of the fingers, `(frames, 90)`."""
    matrices = quaternion_to_matrix(torch.from_numpy(motion.finger_rotations).double())
    return roma.rotmat_to_rotvec(matrices).flatten(1).numpy()


def poses_of(motion):
    return roma.rotmat_to_rotvec(motion.joint_rotations_matrix()).flatten(1).numpy()


def assert_same_fingers(motion, other, degrees=0.05):
    cosines = np.abs((motion.finger_rotations.astype(float) * other.finger_rotations).sum(-1))
    assert np.degrees(2 * np.arccos(np.minimum(cosines, 1))).max() < degrees


def test_names_of_the_bones_are_those_of_the_tools():
    assert set(FINGER_BONE_NAMES["vrm"]) == VRM_FINGERS
    assert FINGER_BONE_NAMES["mixamo"][6] == "mixamorig:LeftHandPinky1"
    assert FINGER_BONE_NAMES["unreal"][-1] == "thumb_03_r"
    assert all(len({*BONE_NAMES[preset], *names}) == 52 for preset, names in FINGER_BONE_NAMES.items())
    assert set(FINGER_BONE_NAMES) == set(BONE_NAMES)


@pytest.mark.parametrize("suffix", [".npz", ".smplx.npz", ".bvh"])
def test_fingers_are_read_back_as_they_were_written(suffix, with_fingers, tmp_path):
    export_motion(with_fingers, tmp_path / f"dance{suffix}")
    assert_same_fingers(read_motion(tmp_path / f"dance{suffix}"), with_fingers)


def test_our_own_file_keeps_fingers_to_the_bit(with_fingers, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.npz")
    np.testing.assert_array_equal(load_motion(tmp_path / "dance.npz").finger_rotations, with_fingers.finger_rotations)


@pytest.mark.parametrize("names", BONE_NAMES)
def test_a_bvh_of_any_names_and_size_gives_its_fingers_back(names, with_fingers, tmp_path):
    larger = replace(with_fingers, skeleton=with_fingers.skeleton.scaled(1.1))
    for number, dance in enumerate((with_fingers, larger)):
        export_motion(dance, tmp_path / f"{number}.bvh", names=names)
        assert_same_fingers(read_motion(tmp_path / f"{number}.bvh"), with_fingers)


def test_another_reader_of_a_bvh_finds_the_fingers_where_they_are(with_fingers, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.bvh")
    source = read_bvh(tmp_path / "dance.bvh")
    joints = [source.joint_names.index(name) for name in FINGER_BONE_NAMES["smpl"]]
    expected = with_fingers.finger_positions()[:, :NUM_FINGER_JOINTS]
    np.testing.assert_allclose(source.pose()[0][:, joints], expected, atol=1e-4)


def test_fingers_of_a_rig_with_other_hands_are_left_alone(with_fingers, tmp_path):
    export_motion(with_fingers, tmp_path / "dance.bvh")
    text = (tmp_path / "dance.bvh").read_text().split("JOINT left_index2\n")
    values = text[1].split("OFFSET ", 1)[1].split("\n", 1)
    other = text[0] + "JOINT left_index2\n" + text[1].replace(values[0], "0.0 -4.5 0.0", 1)
    (tmp_path / "other.bvh").write_text(other)
    motion = read_motion(tmp_path / "other.bvh")
    assert motion.finger_rotations is None
    assert motion.num_frames == with_fingers.num_frames


def test_a_vrm_animation_names_the_fingers_as_humanoid_bones(with_fingers, tmp_path):
    pygltflib = pytest.importorskip("pygltflib")
    export_motion(with_fingers, tmp_path / "dance.vrma")
    gltf = pygltflib.GLTF2().load_binary(str(tmp_path / "dance.vrma"))
    bones = gltf.extensions["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    assert set(bones) >= VRM_FINGERS
    assert all(gltf.nodes[bone["node"]].name == name for name, bone in bones.items())
    turned = {channel.target.node for channel in gltf.animations[0].channels if channel.target.path == "rotation"}
    assert turned == {bone["node"] for bone in bones.values()}


def test_usd_has_the_finger_bones(with_fingers, tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdSkel

    export_motion(with_fingers.cut(0, 3), tmp_path / "dance.usda", body="none")
    stage = Usd.Stage.Open(str(tmp_path / "dance.usda"))
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/dance/skeleton/dance"))
    joints = [path.rsplit("/", 1)[-1] for path in animation.GetJointsAttr().Get()]
    assert joints[NUM_JOINTS:] == list(FINGER_BONE_NAMES["smpl"])
    cache = UsdSkel.Cache()
    cache.Populate(UsdSkel.Root(stage.GetDefaultPrim()), Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath("/dance/skeleton")))
    places = np.array(query.ComputeJointSkelTransforms(2))[:, 3, :3]
    expected = with_fingers.finger_positions()[2, :NUM_FINGER_JOINTS]
    np.testing.assert_allclose(places[NUM_JOINTS:], expected, atol=1e-4)


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
def test_a_glb_of_a_dance_without_fingers_has_our_22_bones(suffix, moving, tmp_path):
    export_motion(moving, tmp_path / f"dance{suffix}")
    content = (tmp_path / f"dance{suffix}").read_bytes()
    document = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])
    assert len([node for node in document["nodes"] if node["name"] != "body"]) == NUM_JOINTS


@pytest.mark.parametrize("suffix", [".npz", ".smplx.npz", ".bvh"])
def test_a_dance_without_fingers_comes_back_without(suffix, moving, tmp_path):
    export_motion(moving, tmp_path / f"dance{suffix}")
    assert read_motion(tmp_path / f"dance{suffix}").finger_rotations is None
    if suffix == ".npz":
        assert "finger_rotations" not in np.load(tmp_path / "dance.npz")
    if suffix == ".bvh":
        assert (tmp_path / "dance.bvh").read_text().count("JOINT ") == NUM_JOINTS - 1


@pytest.mark.parametrize("width", [156, 165])
def test_smpl_poses_give_their_hands(width, with_fingers):
    face = np.zeros((with_fingers.num_frames, width - 156))
    poses = np.concatenate([poses_of(with_fingers), face, hands_of(with_fingers)], axis=1)
    arrays = {"poses": poses, "trans": with_fingers.root_positions, "mocap_framerate": 30.0}
    motion = motion_from_smpl(arrays, "clip.npz")
    assert_same_fingers(motion, with_fingers)
    assert "hands" not in motion.provenance
    arrays["poses"] = np.concatenate([poses[:, :-90], np.zeros((len(poses), 90))], axis=1)
    assert motion_from_smpl(arrays, "clip.npz").finger_rotations is None


def smplx_arrays(motion):
    poses, hands = poses_of(motion), hands_of(motion)
    parts = {"global_orient": poses[:, :3], "body_pose": poses[:, 3:], "transl": motion.root_positions}
    return parts | {"left_hand_pose": hands[:, :45], "right_hand_pose": hands[:, 45:]}


def test_hands_beside_the_body_are_read_and_said_to_miss_a_mean(with_fingers):
    arrays = smplx_arrays(with_fingers)
    motion = motion_from_smpl(arrays, "clip.npz")
    assert_same_fingers(motion, with_fingers)
    assert "mean hand" in motion.provenance["hands"]
    whole = {"root_orient": arrays["global_orient"], "pose_body": arrays["body_pose"], "trans": arrays["transl"]}
    whole |= {"pose_hand": hands_of(with_fingers), "mocap_frame_rate": 30.0}
    assert_same_fingers(motion_from_smpl(whole, "clip.npz"), with_fingers)


def test_hands_as_components_of_a_pca_are_left_out_with_a_word(with_fingers):
    arrays = smplx_arrays(with_fingers)
    arrays |= {name: arrays[name][:, :12] for name in ("left_hand_pose", "right_hand_pose")}
    with pytest.warns(UserWarning, match="clip.npz.*components of a PCA.*use_pca=False"):
        assert motion_from_smpl(arrays, "clip.npz").finger_rotations is None


def test_hands_in_degrees_are_refused(with_fingers):
    arrays = smplx_arrays(with_fingers)
    arrays["left_hand_pose"] = np.degrees(arrays["left_hand_pose"])
    with pytest.raises(ValueError, match="clip.npz.*left_hand_pose.*degrees"):
        motion_from_smpl(arrays, "clip.npz")


def test_smpler_x_fills_the_fingers_and_its_gaps(with_fingers, tmp_path):
    dance = with_fingers.cut(0, 20)
    arrays = smplx_arrays(dance)
    for frame in (*range(8), *range(10, 20)):
        one = {name: values[frame].reshape(-1, 3) for name, values in arrays.items()}
        np.savez(tmp_path / f"{frame:05d}_0.npz", **one)
    (motion,) = read_estimates(tmp_path, frame_rate=30.0)
    assert_same_fingers(motion.cut(0, 8), dance.cut(0, 8))
    assert_same_fingers(motion, dance, degrees=3)
    assert "mean hand" in motion.provenance["hands"]


def test_features_of_52_joints_give_their_hands(with_fingers):
    matrices = torch.cat(
        [
            with_fingers.joint_rotations_matrix(),
            quaternion_to_matrix(torch.from_numpy(with_fingers.finger_rotations).double()),
        ],
        dim=1,
    )
    rows = matrices[..., :2, :].flatten(1).numpy()
    features = np.concatenate([with_fingers.root_positions, rows], axis=1)
    motion = motion_from_smpl(smpl_arrays_from_features(features), "dance.npy")
    assert_same_fingers(motion, with_fingers)
