import re
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.kinematics import (
    quaternion_to_matrix,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX, MIRROR_ORDER, Skeleton, neutral_skeleton


def standing(num_frames: int = 10) -> Motion:
    rotations = np.zeros((num_frames, 22, 4))
    rotations[..., 0] = 1
    hips_height = -neutral_skeleton().offsets[[1, 4, 7, 10], 1].sum() + 0.02
    return Motion(30.0, np.tile([0.0, hips_height, 0.0], (num_frames, 1)), rotations)


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


def test_mirroring_reflects_every_joint(moving):
    reflected = moving.joint_positions()[:, list(MIRROR_ORDER)] * [-1, 1, 1]
    np.testing.assert_allclose(moving.mirror().joint_positions(), reflected, atol=1e-5)


def test_resampling_keeps_the_time_from_key_to_key_and_the_frames_both_rates_share(moving):
    doubled = moving.resample(60.0)
    assert doubled.num_frames == 239
    np.testing.assert_allclose(doubled.joint_positions()[::2], moving.joint_positions(), atol=1e-5)
    between = (moving.joint_rotations_matrix()[:-1] + moving.joint_rotations_matrix()[1:]) / 2
    half_way = quaternion_to_matrix(torch.from_numpy(doubled.joint_rotations[1::2]).double())
    torch.testing.assert_close(roma.special_procrustes(between), half_way, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("old", "new"), [(30, 60), (60, 30), (120, 30), (30, 24), (25, 30), (29.97, 60), (100, 1)])
def test_no_key_is_held_and_none_is_lost_at_another_rate(old, new, make_moving):
    motion = make_moving(num_frames=91, frame_rate=old)
    resampled = motion.resample(new)
    lost = 90 / old - (resampled.num_frames - 1) / new
    assert -1e-6 < lost < 1 / new
    times = np.arange(resampled.num_frames) / new * old
    expected = [np.interp(times, np.arange(91), column) for column in motion.root_positions.T]
    np.testing.assert_allclose(resampled.root_positions, np.transpose(expected), atol=1e-5)


@pytest.mark.parametrize("num_keys", [31, 46, 58, 61])
@pytest.mark.parametrize("frame_rate", [24, 25, 50, 60, 120])
def test_a_loop_stays_a_loop_of_its_length_at_any_rate(num_keys, frame_rate, make_moving):
    motion = make_moving(num_frames=num_keys)
    rotations = motion.joint_rotations.copy()
    rotations[-1] = rotations[0]
    loop = replace(motion, joint_rotations=rotations)
    assert loop.is_loop and not motion.is_loop
    resampled = loop.resample(frame_rate)
    assert resampled.is_loop
    assert abs((resampled.num_frames - 1) / frame_rate - (num_keys - 1) / 30) <= 0.5 / frame_rate + 1e-9
    np.testing.assert_allclose(resampled.root_positions[-1], loop.root_positions[-1], atol=1e-6)


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
