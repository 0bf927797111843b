from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.files import read_data_npz
from infinitedance.motion.kinematics import forward_kinematics, matrix_to_quaternion
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.fitting import fit_positions
from infinitedance.motion.retargeting.retargeting import motion_from_rotations, put_on_floor, retarget
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, Skeleton, neutral_skeleton


def global_rotations(motion: Motion) -> torch.Tensor:
    return forward_kinematics(
        motion.joint_rotations_matrix(),
        torch.zeros(motion.num_frames, 3).double(),
        torch.from_numpy(motion.skeleton.offsets),
        PARENTS,
    )[1]


def hinged_dance(num_frames: int = 90) -> Motion:
    """Knees and elbows only bend, as they do in people; everything else turns freely."""
    seconds = np.arange(num_frames) / 30
    rotation_vectors = np.zeros((num_frames, 22, 3))
    for joint in range(22):
        rotation_vectors[:, joint] = 0.25 * np.sin(2 * seconds[:, None] + joint + np.array([0, 1, 2]))
    bend = 0.8 + 0.5 * np.sin(3 * seconds)
    for side, sign in (("left", -1), ("right", 1)):
        rotation_vectors[:, JOINT_INDEX[f"{side}_knee"]] = np.stack([bend, 0 * bend, 0 * bend], -1)
        rotation_vectors[:, JOINT_INDEX[f"{side}_elbow"]] = np.stack([0 * bend, sign * bend, 0 * bend], -1)
        for end in ("wrist", "foot"):
            rotation_vectors[:, JOINT_INDEX[f"{side}_{end}"]] = 0
    rotation_vectors[:, JOINT_INDEX["head"]] = 0
    rotations = matrix_to_quaternion(roma.rotvec_to_rotmat(torch.from_numpy(rotation_vectors)))
    root = np.stack([0.3 * np.sin(seconds), 0.95 + 0 * seconds, 0.3 * seconds], -1)
    return Motion(30.0, root, rotations.numpy())


def test_the_fit_meets_the_positions_of_rigid_bones():
    dance = hinged_dance()
    fitted = fit_positions(dance.joint_positions(), 30.0, refinement_steps=0)
    distance = np.linalg.norm(fitted.joint_positions() - dance.joint_positions(), axis=-1)
    legs = [JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot")]
    assert distance[:, legs].max() < 0.0002
    assert distance.mean() < 0.008  # the bent spine turns the pelvis a little
    refined = fit_positions(dance.joint_positions(), 30.0)
    distance = np.linalg.norm(refined.joint_positions() - dance.joint_positions(), axis=-1)
    assert distance.mean() < 0.004
    assert fitted.provenance["rotations"] == "fitted"


def test_the_fit_finds_the_twist_of_bent_limbs():
    dance = hinged_dance()
    fitted = fit_positions(dance.joint_positions(), 30.0, refinement_steps=0)
    angle = roma.rotmat_geodesic_distance(global_rotations(dance), global_rotations(fitted))
    for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "left_knee", "right_elbow"):
        assert angle[:, JOINT_INDEX[name]].mean() < 0.15, name


def test_refinement_helps_where_bones_are_noisy():
    noise = np.random.default_rng(0).normal(0, 0.02, (90, 22, 3))
    noisy = hinged_dance().joint_positions() + noise
    errors = [
        np.linalg.norm(fit_positions(noisy, 30.0, refinement_steps=steps).joint_positions() - noisy, axis=-1).mean()
        for steps in (0, 60)
    ]
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.shared_data
def test_the_fit_of_a_real_clip_is_near_and_keeps_its_bones(shared_data_dir):
    clip = read_data_npz(shared_data_dir / "motion/mocaptoolbox/dance1.npz")
    fitted = fit_positions(clip.joint_positions, clip.frame_rate)
    positions = fitted.joint_positions().astype(np.float64)
    assert np.linalg.norm(positions - clip.joint_positions, axis=-1).mean() < 0.005
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)
    assert (lengths.max(0) - lengths.min(0)).max() < 1e-6


def test_a_source_with_other_rest_frames_gives_the_same_dance():
    dance = hinged_dance()
    turns = roma.random_rotmat(22, dtype=torch.float64)  # every joint of the source rests in a frame of its own
    # A foot hangs on its ankle and a hand on its elbow: rigs give the end of a chain the frame of its parent.
    for end, parent in (("head", "neck"), ("left_wrist", "left_elbow"), ("right_wrist", "right_elbow")):
        turns[JOINT_INDEX[end]] = turns[JOINT_INDEX[parent]]
    for side in ("left", "right"):
        turns[JOINT_INDEX[f"{side}_foot"]] = turns[JOINT_INDEX[f"{side}_ankle"]]
    source = global_rotations(dance) @ turns
    joints = {name: index for index, name in enumerate(JOINT_NAMES)}
    result = motion_from_rotations(source, joints, dance.joint_positions(), 30.0)
    distance = np.linalg.norm(result.joint_positions() - dance.joint_positions(), axis=-1)
    assert distance.mean() < 0.01
    # The constant turn is estimated; over time the rotation must be the source's own.
    relative = global_rotations(dance).transpose(-1, -2) @ global_rotations(result)
    drift = roma.rotmat_geodesic_distance(relative, relative[:1].expand_as(relative))
    assert drift.max() < 1e-3


def test_retargeting_to_a_body_twice_as_large_doubles_the_path():
    dance = put_on_floor(hinged_dance())
    large = retarget(dance, neutral_skeleton().scaled(2.0))
    moved = large.joint_positions() / 2 - dance.joint_positions()
    moved -= moved[:, :1].mean(0)
    assert np.abs(moved).max() < 2e-3


def test_feet_stay_planted_on_a_body_with_other_proportions():
    offsets = neutral_skeleton().offsets.copy()
    for side in ("left", "right"):
        offsets[JOINT_INDEX[f"{side}_knee"], 1] *= 0.8
        offsets[JOINT_INDEX[f"{side}_ankle"], 1] *= 1.2
    dance = hinged_dance()
    source = replace(dance, skeleton=Skeleton(offsets))
    ankles = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
    scale = neutral_skeleton().leg_length / source.skeleton.leg_length
    before = source.joint_positions()[:, ankles] * scale
    after = retarget(source).joint_positions()[:, ankles]
    np.testing.assert_allclose(np.diff(after, axis=0), np.diff(before, axis=0), atol=1e-3)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((10, 24, 3)), r"shape \(frames, 22, 3\)"),
        (np.full((10, 22, 3), np.nan), "NaN or infinity in 10 frames"),
        (np.zeros((10, 22, 3)), "has no length"),
    ],
)
def test_wrong_positions_say_what_must_hold(positions, message):
    with pytest.raises(ValueError, match=message):
        fit_positions(positions, 30.0)
