"""Two bones, held feet and the way back to a rig's own bones."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import load_motion, save_motion
from infinitedance.motion.kinematics import matrix_to_quaternion, quaternion_to_matrix
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.source_animation import SourceAnimation
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES
from infinitedance.restoration.carry_back import (
    at_frame_rate,
    bend_leg,
    carry_back,
    hold_foot,
    place_motion,
    place_rig,
)
from infinitedance.restoration.pipeline_frdm import RestoredMotion
from infinitedance.restoration.restore import restore_files

from .conftest import make_sliding


def random_leg(seed=0, frames=50):
    draw = np.random.default_rng(seed)
    upper, lower = draw.uniform(0.3, 0.5, frames), draw.uniform(0.3, 0.5, frames)
    hip, target, hint = (draw.normal(0, 0.3, (frames, 3)) for _ in range(3))
    return hip, target, upper, lower, hint


def test_bones_keep_their_lengths_and_the_knee_bends_to_its_hint():
    hip, target, upper, lower, hint = random_leg()
    knee, ankle = bend_leg(hip, target, upper, lower, hint, hint - hip)
    np.testing.assert_allclose(np.linalg.norm(knee - hip, axis=-1), upper, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(ankle - knee, axis=-1), lower, atol=1e-9)
    line = (ankle - hip) / np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
    across = [points - hip - ((points - hip) * line).sum(-1, keepdims=True) * line for points in (knee, hint)]
    assert ((across[0] * across[1]).sum(-1) >= 0).all()


def test_a_target_in_reach_is_reached_and_one_beyond_is_pointed_at():
    hip, target, upper, lower, hint = random_leg()
    _, ankle = bend_leg(hip, target, upper, lower, hint, hint - hip)
    distance = np.linalg.norm(target - hip, axis=-1)
    near = (distance < upper + lower) & (distance > np.abs(upper - lower) + 1e-3)
    assert 5 < near.sum() < len(near)
    np.testing.assert_allclose(ankle[near], target[near], atol=2e-6)
    far = distance > upper + lower
    np.testing.assert_allclose(np.cross(ankle - hip, target - hip)[far], 0, atol=1e-9)


def test_a_straight_leg_bends_forward():
    hip, straight = np.zeros((1, 3)), np.array([[0.0, -0.4, 0.0]])
    target, ahead = np.array([[0.0, -0.7, 0.0]]), np.array([[0.0, 0.0, 1.0]])
    knee, _ = bend_leg(hip, target, np.array([0.4]), np.array([0.4]), straight, ahead)
    np.testing.assert_allclose(knee, [[0, -0.35, np.sqrt(0.4**2 - 0.35**2)]], atol=1e-9)


def test_a_held_foot_follows_the_repaired_one_and_fades_to_its_own_way():
    frames = 60
    ankle = np.random.default_rng(0).normal(0, 0.01, (frames, 3)).cumsum(axis=0)
    toe = ankle + np.array([0, -0.05, 0.13])
    repaired = np.zeros((frames, 2, 3))
    repaired[:, :, 0] = np.linspace(0, 0.1, frames)[:, None]  # it glides
    contacts = np.zeros((frames, 2), bool)
    contacts[20:30] = True
    held, held_toe = hold_foot(ankle, toe, repaired, contacts, 30.0)
    glide = np.diff(repaired[20:30, 0], axis=0)
    np.testing.assert_allclose(np.diff(held[20:30], axis=0), glide, atol=1e-12)
    np.testing.assert_allclose(np.diff(held_toe[20:30], axis=0), glide, atol=1e-12)
    np.testing.assert_array_equal(held[[*range(14), *range(36, 60)]], ankle[[*range(14), *range(36, 60)]])
    correction = np.linalg.norm(held - ankle, axis=-1)
    assert (np.diff(correction[14:20]) >= 0).all() and (np.diff(correction[29:36]) <= 0).all()


def test_a_foot_on_its_toes_is_moved_as_a_whole():
    frames = 10
    angle = np.linspace(0, 0.5, frames)
    ankle = np.zeros((frames, 3))
    toe = np.stack([0 * angle, -0.13 * np.sin(angle), 0.13 * np.cos(angle)], axis=1)
    contacts = np.tile([False, True], (frames, 1))
    held, held_toe = hold_foot(ankle, toe, np.zeros((frames, 2, 3)), contacts, 30.0)
    np.testing.assert_allclose(held_toe, held_toe[:1].repeat(frames, axis=0), atol=1e-12)
    np.testing.assert_allclose(held_toe - held, toe - ankle, atol=1e-12)


def test_labels_go_to_other_rates_and_back():
    labels = np.random.default_rng(0).random((40, 4)) > 0.5
    there = at_frame_rate(labels, 30.0, 120.0, 160)
    np.testing.assert_array_equal(at_frame_rate(there, 120.0, 30.0, 40), labels)
    np.testing.assert_array_equal(there[8], labels[2])


def no_contacts(rig):
    return np.zeros((len(rig.source.root_positions), 4), bool)


def test_nothing_repaired_changes_nothing(moving):
    rig = place_motion(replace(moving.resample(50.0), skeleton=moving.skeleton.scaled(1.2)))
    before = rig.motion.resample(30.0)
    change = carry_back(rig, before, before, no_contacts(rig))
    assert change.rotations == {} and np.abs(change.translation).max() == 0


def test_the_floor_of_a_rig_is_found_at_its_own_scale(moving):
    large = replace(moving, skeleton=moving.skeleton.scaled(1.5), root_positions=moving.root_positions * 1.5)
    rig = place_motion(large)
    assert rig.metres_per_source_metre == pytest.approx(1 / 1.5)
    lower = place_motion(replace(large, root_positions=large.root_positions - np.array([0, 2, 0], dtype=np.float32)))
    assert lower.floor_height == pytest.approx(rig.floor_height - 2, abs=1e-4)


def test_a_turn_of_the_pelvis_is_carried_to_a_rig_with_another_rest_pose(moving):
    """The rig hangs below a root that is turned: the shift goes into the pelvis, in its parent's frame."""
    frames = moving.num_frames
    quarter = np.array([np.sqrt(0.5), 0, np.sqrt(0.5), 0])  # 90 degrees about y
    inverse = torch.tensor([0, -np.sqrt(0.5), 0, np.sqrt(0.5)], dtype=torch.float64)
    own = moving.joint_rotations.astype(np.float64)
    pelvis = roma.quat_product(inverse.expand(frames, 4), roma.quat_wxyz_to_xyzw(torch.from_numpy(own[:, 0])))
    rotations = np.concatenate([np.tile(quarter, (frames, 1, 1)), own], axis=1)
    rotations[:, 1] = roma.quat_xyzw_to_wxyz(pelvis).numpy()
    x, y, z = moving.root_positions.astype(np.float64).T
    source = SourceAnimation(
        30.0,
        ("world", *JOINT_NAMES),
        (-1, *(parent + 1 for parent in moving.skeleton.parents)),
        np.concatenate([np.zeros((1, 3)), moving.skeleton.offsets]),
        np.zeros((frames, 3)),
        rotations,
        {1: np.stack([-z, y, x], axis=1)},
    )
    np.testing.assert_allclose(source.pose()[0][:, 1:], moving.joint_positions(), atol=1e-4)
    rig = place_rig(source)
    before = rig.motion
    turn = roma.rotvec_to_unitquat(torch.tensor([0.0, 0.2, 0.0], dtype=torch.float64)).expand(frames, 4)
    turned = before.joint_rotations.copy()
    root = roma.quat_wxyz_to_xyzw(torch.from_numpy(turned[:, 0]).double())
    turned[:, 0] = roma.quat_xyzw_to_wxyz(roma.quat_product(turn, root)).numpy()
    shift = np.array([0.1, 0.02, 0.0], dtype=np.float32)
    after = replace(before, joint_rotations=turned, root_positions=before.root_positions + shift)
    moved = carry_back(rig, before, after, no_contacts(rig), moved_joint=1).apply(source)
    scale = 1 / rig.metres_per_source_metre
    positions, expected = moved.pose()[0][:, 1:], after.joint_positions() - before.joint_positions()
    np.testing.assert_allclose(moved.root_positions, 0)
    for name in ("pelvis", "left_ankle", "right_foot", "head", "left_wrist"):
        joint = JOINT_INDEX[name]
        np.testing.assert_allclose(
            positions[:, joint] - moving.joint_positions()[:, joint], scale * expected[:, joint], atol=0.02
        )


def test_motions_of_other_lengths_are_refused(moving):
    rig = place_motion(moving)
    with pytest.raises(ValueError, match="the same frames at 30 Hz, got 120 at 30 Hz and 60"):
        carry_back(rig, moving, moving.cut(0, 60), no_contacts(rig))


def as_it_is(motion, **_):
    return RestoredMotion(motion, None)


def test_a_dance_on_a_tilted_floor_is_turned_level_and_the_degrees_are_told(tmp_path):
    corners = [np.array([x, 0, z], dtype=np.float32) for x in (-0.6, 0.6) for z in (-0.6, 0.6)]
    dance = make_sliding(60)
    level = replace(
        dance,
        root_positions=np.concatenate([dance.root_positions + corner for corner in corners]),
        joint_rotations=np.concatenate([dance.joint_rotations] * 4),
        foot_contacts=None,
    )
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, np.radians(4.0)]))
    rotations = level.joint_rotations.copy()
    rotations[:, 0] = matrix_to_quaternion(turn @ quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double()))
    tilted = replace(level, root_positions=level.root_positions @ turn.numpy().T, joint_rotations=rotations)
    save_motion(tilted, tmp_path / "dance.npz")
    (record,) = restore_files([tmp_path / "dance.npz"], tmp_path / "out", as_it_is)["clips"]
    assert "The floor was tilted by 4.0 degrees; the dance was turned level." in record["notes"]
    restored = load_motion(tmp_path / "out" / "dance.npz")
    assert np.abs(restored.joint_positions() - level.joint_positions()).max() < 0.01
    np.testing.assert_array_equal(restored.joint_rotations[:, 3], tilted.joint_rotations[:, 3])


def test_a_dancer_who_never_stands_stays_where_the_file_has_the_floor():
    vectors = torch.zeros(60, 22, 3, dtype=torch.float64)
    vectors[:, [1, 2], 0] = -np.pi / 2  # legs stretched out on the floor
    rotations = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(vectors)).numpy()
    root = np.tile([0.0, 0.3, 0.0], (60, 1))
    root[:, 0] += 0.02 * np.sin(np.arange(60) / 9)
    sitting = Motion(30.0, root, rotations)
    assert place_motion(sitting).floor_height == 0
    far = replace(sitting, root_positions=sitting.root_positions + np.array([0, 2, 0], dtype=np.float32))
    assert place_motion(far).floor_height > 1.5
