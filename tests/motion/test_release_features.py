import numpy as np
import pytest

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.release_features import (
    NUM_RELEASE_FEATURES,
    features264_to_joints,
    features264_to_motion,
    joints_to_features264,
    raw_offsets,
)
from infinitedance.motion.skeleton import JOINT_INDEX, PARENTS, neutral_skeleton


@pytest.fixture(scope="module")
def dance():
    return synthesize_dance("waltz", 100, 2.0, seed=0)


@pytest.fixture(scope="module")
def golden(parity_dir):
    return np.load(parity_dir / "features264" / "features264.npz")


@pytest.mark.shared_data
def test_features_of_joints_are_the_published_ones(golden):
    lengths = np.linalg.norm(golden["tgt_offsets"], axis=-1)
    np.testing.assert_allclose(joints_to_features264(golden["joints_in"], lengths), golden["features264"], atol=1e-4)
    assert (raw_offsets() == golden["raw_offsets"]).all()


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["", "random_"])
def test_joints_of_features_are_the_published_ones(name, golden):
    joints = features264_to_joints(golden[f"{name}features264"])
    np.testing.assert_allclose(joints, golden[f"{name}recovered_joints"], atol=1e-5)


def test_joints_come_back_from_their_features(dance):
    """Up to the place and the heading of the first frame and the height of the floor, on bones of our own lengths."""
    joints = dance.joint_positions()
    back = features264_to_joints(joints_to_features264(joints))
    own, found = (_distances(positions) for positions in (joints[:-1], back))
    np.testing.assert_allclose(found, own, atol=1e-4)
    path = np.linalg.norm(np.diff(joints[:-1, 0, [0, 2]], axis=0), axis=-1)
    np.testing.assert_allclose(np.linalg.norm(np.diff(back[:, 0, [0, 2]], axis=0), axis=-1), path, atol=1e-5)
    assert back[..., 1].min() == pytest.approx(0, abs=1e-3)


def _distances(positions):
    hand, foot = JOINT_INDEX["left_wrist"], JOINT_INDEX["right_foot"]
    return np.linalg.norm(positions[:, [hand, hand, foot]] - positions[:, [foot, 0, 0]], axis=-1)


def test_a_body_gets_the_bone_lengths_that_are_given_and_a_path_of_their_scale(dance):
    joints, lengths = dance.joint_positions(), 2 * neutral_skeleton().bone_lengths
    small, large = (features264_to_joints(joints_to_features264(joints, each)) for each in (lengths / 2, lengths))
    np.testing.assert_allclose(large, 2 * small, atol=1e-4)
    bones = np.linalg.norm(large[:, 1:] - large[:, list(PARENTS[1:])], axis=-1)
    np.testing.assert_allclose(bones[0, :11], lengths[1:12], atol=1e-4)


def test_a_turning_dancer_turns_by_half_angles_and_keeps_on_turning():
    """At 3 degrees a frame two turns are made; the original loses 2 steps whenever the angle passes half a turn."""
    still = synthesize_dance("waltz", 100, 0.1, seed=0).joint_positions()[0]
    angles = np.radians(3.0) * np.arange(240)
    cosine, sine, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    turns = np.stack([cosine, zero, sine, zero, zero + 1, zero, -sine, zero, cosine], axis=-1).reshape(-1, 3, 3)
    features = joints_to_features264(np.einsum("tij,kj->tki", turns, still - still[0] * [1, 0, 1]))
    np.testing.assert_allclose(features[80:160, 2], -np.radians(1.5), atol=1e-4)
    # The Gaussian forgets the first three and the last three deviations.
    assert features[160, 1] - features[80, 1] == pytest.approx(-80 * np.radians(1.5), abs=1e-3)
    assert (features[:, 260:] == 0).sum() < features[:, 260:].size


def test_feet_that_move_less_than_45_millimetres_a_frame_stand(dance):
    joints = np.repeat(dance.joint_positions()[:1], 3, axis=0)
    scale = neutral_skeleton().leg_length / np.linalg.norm(np.diff(joints[0, [2, 5, 8]], axis=0), axis=-1).sum()
    for step, stands in ((0.044, 1), (0.046, 0)):
        moved = joints + step / scale * np.arange(3)[:, None, None] * np.array([1.0, 0, 0])
        assert (joints_to_features264(moved)[:, 260:] == stands).all()


def test_the_dance_of_features_is_on_our_body_with_fitted_rotations(dance):
    features = joints_to_features264(dance.joint_positions())
    motion = features264_to_motion(features)
    assert (motion.num_frames, motion.frame_rate) == (len(features), 30.0)
    assert motion.skeleton == neutral_skeleton() and motion.provenance == {"rotations": "fitted"}
    wanted, got = (_distances(each) for each in (features264_to_joints(features), motion.joint_positions()))
    assert np.abs(wanted - got).mean() < 0.02


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (np.zeros((4, 263)), r"must have shape \(frames, 264\), got \(4, 263\)"),
        (np.zeros((0, NUM_RELEASE_FEATURES)), r"got \(0, 264\)"),
        (np.full((4, NUM_RELEASE_FEATURES), np.nan), "hold NaN or infinity"),
    ],
)
def test_features_that_are_none_are_refused(features, told):
    with pytest.raises(ValueError, match=told):
        features264_to_joints(features)


def test_joints_of_one_frame_and_bones_of_another_body_are_refused(dance):
    joints = dance.joint_positions()
    with pytest.raises(ValueError, match="at least 2 frames"):
        joints_to_features264(joints[:1])
    with pytest.raises(ValueError, match=r"must have shape \(22,\)"):
        joints_to_features264(joints, np.ones(24))
