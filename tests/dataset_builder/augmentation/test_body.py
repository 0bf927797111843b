"""Bodies of movement that are put together, enlarged and reduced."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from infinitedance.dataset_builder.augmentation.body import UPPER_BODY, recombine, scale_poses
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, neutral_skeleton

LOWER_BODY = [joint for joint in range(22) if joint not in UPPER_BODY]


def relative(motion: Motion, joints: list[int], origin: str) -> np.ndarray:
    """Return joint positions as the parent of `origin` sees them."""
    positions = torch.from_numpy(motion.joint_positions().astype(np.float64))
    rotations = motion.joint_rotations_matrix()
    turn = rotations[:, 0]
    for joint in ancestors(origin):
        turn = turn @ rotations[:, joint]
    seen = turn.transpose(-1, -2)[:, None] @ (positions[:, joints] - positions[:, [JOINT_INDEX[origin]]])[..., None]
    return seen[..., 0].numpy()


def ancestors(name: str) -> list[int]:
    joints, joint = [], PARENTS[JOINT_INDEX[name]]
    while joint > 0:
        joints.insert(0, joint)
        joint = PARENTS[joint]
    return joints


def test_the_upper_body_is_all_above_the_pelvis():
    assert {JOINT_NAMES[joint] for joint in LOWER_BODY} == {
        "pelvis", *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "foot"))
    }  # fmt: skip


def test_a_recombined_body_has_the_legs_of_one_and_the_arms_of_the_other(make_moving):
    lower, upper = make_moving(80, seed=1), make_moving(80, seed=2)
    both = recombine(lower, upper)
    assert both.foot_contacts is None
    np.testing.assert_allclose(
        both.joint_positions()[:, LOWER_BODY], lower.joint_positions()[:, LOWER_BODY], atol=1e-6
    )
    arms = [JOINT_INDEX[name] for name in ("neck", "head", "left_wrist", "right_wrist", "left_elbow", "right_elbow")]
    np.testing.assert_allclose(relative(both, arms, "spine1"), relative(upper, arms, "spine1"), atol=1e-6)
    assert np.abs(both.joint_positions()[:, arms] - lower.joint_positions()[:, arms]).max() > 0.1


def test_a_shorter_upper_body_goes_there_and_back(make_moving):
    lower, upper = make_moving(50, seed=1), make_moving(20, seed=2)
    both = recombine(lower, upper).joint_rotations[:, UPPER_BODY]
    order = [*range(20), *reversed(range(20)), *range(10)]
    np.testing.assert_allclose(both, upper.joint_rotations[order][:, UPPER_BODY], atol=1e-6)
    assert recombine(upper, lower).num_frames == 20


@pytest.mark.parametrize("other", ["body", "frame rate"])
def test_bodies_that_do_not_fit_are_refused(make_moving, other):
    lower = make_moving(20)
    skeleton = replace(neutral_skeleton(), offsets=neutral_skeleton().offsets * 1.1)
    upper = replace(lower, skeleton=skeleton) if other == "body" else replace(lower, frame_rate=60.0)
    with pytest.raises(ValueError, match="must have one skeleton and frame rate"):
        recombine(lower, upper)


def test_poses_of_size_1_stay_and_of_size_0_stand_still(make_moving):
    motion = make_moving(60, strength=0.3)
    joints = (JOINT_INDEX["left_shoulder"], JOINT_INDEX["spine1"])
    same, still = (scale_poses(motion, joints, factor) for factor in (1.0, 0.0))
    np.testing.assert_allclose(same.joint_positions(), motion.joint_positions(), atol=1e-5)
    assert np.ptp(still.joint_rotations[:, joints], axis=0).max() < 1e-6
    others = [joint for joint in range(22) if joint not in joints]
    np.testing.assert_array_equal(still.joint_rotations[:, others], motion.joint_rotations[:, others])


def test_a_swing_of_half_size_has_half_the_angle():
    angle = np.sin(np.arange(60) / 5)
    rotations = np.zeros((60, 22, 4))
    rotations[..., 0] = 1
    rotations[:, 16, 0], rotations[:, 16, 3] = np.cos(angle / 2), np.sin(angle / 2)
    motion = Motion(30.0, np.zeros((60, 3)), rotations)
    half = scale_poses(motion, (16,), 0.5).joint_rotations[:, 16]
    found = 2 * np.arctan2(half[:, 3], half[:, 0])
    assert np.ptp(found) == pytest.approx(np.ptp(angle) / 2, abs=1e-5)
    np.testing.assert_allclose(found - found[0], 0.5 * (angle - angle[0]), atol=1e-5)
