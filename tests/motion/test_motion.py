import re

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.kinematics import (
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_to_matrix,
    rotation_6d_to_matrix,
    shortest_rotation,
    yaw_to_matrix,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX, MIRROR_ORDER, Skeleton, neutral_skeleton


def standing(num_frames: int = 10) -> Motion:
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    hips_height = -neutral_skeleton().offsets[[1, 4, 7, 10], 1].sum() + 0.02
    return Motion(30.0, np.tile([0.0, hips_height, 0.0], (num_frames, 1)), rotations)


def test_the_neutral_body_stands_on_the_floor_and_is_symmetric():
    positions = standing().joint_positions()[0]
    assert positions[10, 1] == pytest.approx(0.02, abs=1e-6)
    assert 1.5 < positions[JOINT_INDEX["head"], 1] < 1.7
    np.testing.assert_allclose(positions[list(MIRROR_ORDER)] * [-1, 1, 1], positions, atol=1e-6)


def test_forward_kinematics_equals_a_slow_walk_down_the_tree(moving):
    matrices = moving.joint_rotations_matrix()[:5]
    for frame in range(5):
        rotation, position = {}, {}
        for joint, parent in enumerate(moving.skeleton.parents):
            if parent < 0:
                rotation[joint] = matrices[frame, joint].numpy()
                position[joint] = moving.root_positions[frame].astype(float)
            else:
                rotation[joint] = rotation[parent] @ matrices[frame, joint].numpy()
                position[joint] = position[parent] + rotation[parent] @ moving.skeleton.offsets[joint]
        expected = np.stack([position[joint] for joint in range(22)])
        np.testing.assert_allclose(moving.joint_positions()[frame], expected, atol=1e-5)


def test_local_rotations_undo_forward_kinematics(moving):
    matrices = moving.joint_rotations_matrix()
    offsets = torch.from_numpy(moving.skeleton.offsets)
    _, rotations = forward_kinematics(matrices, torch.zeros(120, 3).double(), offsets, moving.skeleton.parents)
    torch.testing.assert_close(local_rotations(rotations, moving.skeleton.parents), matrices, atol=1e-5, rtol=0)


def test_a_quarter_turn_of_the_left_elbow_moves_only_what_hangs_on_it():
    still = standing(1)
    rotations = still.joint_rotations.copy()
    rotations[0, JOINT_INDEX["left_elbow"]] = [np.sqrt(0.5), 0, -np.sqrt(0.5), 0]  # -90 degrees about +Y: +X to +Z
    bent = Motion(30.0, still.root_positions, rotations)
    difference = bent.joint_positions()[0] - still.joint_positions()[0]
    forearm = still.skeleton.bone_lengths[JOINT_INDEX["left_wrist"]]
    np.testing.assert_allclose(difference[JOINT_INDEX["left_wrist"]], [-forearm, 0, forearm], atol=1e-6)
    difference[JOINT_INDEX["left_wrist"]] = 0
    np.testing.assert_allclose(difference, 0, atol=1e-6)


def test_rotation_conversions_are_inverse_to_each_other():
    matrices = roma.random_rotmat(500, dtype=torch.float64)
    torch.testing.assert_close(rotation_6d_to_matrix(matrix_to_rotation_6d(matrices)), matrices)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(matrices)), matrices)


def test_positive_yaw_turns_z_toward_x():
    turned = yaw_to_matrix(torch.tensor(np.pi / 2, dtype=torch.float64)) @ torch.tensor(
        [0.0, 0.0, 1.0], dtype=torch.float64
    )
    torch.testing.assert_close(turned, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


def test_the_shortest_rotation_also_turns_a_direction_round():
    source = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=-1)
    for target in (source.roll(1, 0), source, -source):
        rotation = shortest_rotation(source, target)
        torch.testing.assert_close((rotation @ source.unsqueeze(-1)).squeeze(-1), target)
        torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))


def test_mirroring_reflects_every_joint(moving):
    reflected = moving.joint_positions()[:, list(MIRROR_ORDER)] * [-1, 1, 1]
    np.testing.assert_allclose(moving.mirror().joint_positions(), reflected, atol=1e-5)


def test_resampling_keeps_duration_and_the_frames_both_rates_share(moving):
    doubled = moving.resample(60.0)
    assert doubled.num_frames == 240
    np.testing.assert_allclose(doubled.joint_positions()[::2], moving.joint_positions(), atol=1e-5)
    between = (moving.joint_rotations_matrix()[:-1] + moving.joint_rotations_matrix()[1:]) / 2
    half_way = quaternion_to_matrix(torch.from_numpy(doubled.joint_rotations[1:-1:2]).double())
    torch.testing.assert_close(roma.special_procrustes(between), half_way, atol=1e-3, rtol=0)


def test_a_planted_foot_is_in_contact_and_a_sliding_or_lifted_one_is_not():
    motion = standing(30)
    positions = motion.joint_positions()
    assert motion.skeleton.detect_foot_contacts(positions, 30.0).all()
    sliding = positions + np.arange(30)[:, None, None] / 30 * np.array([0.7, 0, 0.7])
    assert not motion.skeleton.detect_foot_contacts(sliding, 30.0).any()
    assert not motion.skeleton.detect_foot_contacts(positions + [0, 0.06, 0], 30.0).any()


def test_the_floor_is_found_under_a_dancer_who_floats():
    motion = standing(40)
    assert motion.skeleton.fit_floor_height(motion.joint_positions() + [0, 0.3, 0]) == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_rate": 0.0}, "`frame_rate` must be a positive"),
        ({"root_positions": np.zeros((0, 3))}, "(frames >= 1, 3)"),
        ({"root_positions": np.full((10, 3), np.nan)}, "NaN or infinity in 10 of 10 frames"),
        ({"joint_rotations": np.zeros((10, 24, 4))}, "Other skeletons are converted by `retarget`"),
        ({"joint_rotations": np.zeros((10, 22, 4))}, "unit quaternions"),
        ({"foot_contacts": np.zeros((10, 2))}, "`foot_contacts` must have shape (10, 4)"),
    ],
)
def test_wrong_motion_says_what_must_hold(change, message):
    good = standing()
    arguments = {
        "frame_rate": 30.0,
        "root_positions": good.root_positions,
        "joint_rotations": good.joint_rotations,
        **change,
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        Motion(**arguments)


def test_wrong_parts_say_what_must_hold():
    with pytest.raises(ValueError, match="0 <= start < end <= 10"):
        standing().cut(5, 11)
    with pytest.raises(ValueError, match=r"shape \(22, 3\)"):
        Skeleton(np.zeros((24, 3)))


def test_a_copy_keeps_its_rotations_to_the_bit():
    rotations = np.random.default_rng(0).standard_normal((500, 22, 4)).astype(np.float32)
    first = Motion(30.0, np.zeros((500, 3)), rotations / np.linalg.norm(rotations, axis=-1, keepdims=True))
    again = first.cut(0, 500).cut(0, 500)
    np.testing.assert_array_equal(again.joint_rotations, first.joint_rotations)
