import math

import pytest
import torch

from infinitedance.motion.features import CONTACTS, POSITIONS, ROOT, ROTATIONS, features_to_motion, motion_to_features
from infinitedance.motion.motion import Motion
from infinitedance.tokenization.losses_motion_codec import hip_aligned_joint_positions, reconstruction_losses


def losses(reconstruction, motion_features, frame_mask=None, std=None):
    if frame_mask is None:
        frame_mask = torch.ones(motion_features.shape[:2], dtype=torch.bool)
    return reconstruction_losses(
        reconstruction, motion_features, torch.ones(269) if std is None else std, frame_mask, 30.0
    )


def test_a_perfect_reconstruction_costs_nothing_but_the_slide_of_the_true_feet(motion_features):
    terms = losses(motion_features.clone(), motion_features)
    assert all(terms[name] < 1e-3 for name in ("feature", "position", "root_path"))
    assert terms["velocity"] < 0.01 and terms["acceleration"] < 0.5  # float32 differences times 30 and 900


def test_posed_joints_are_those_of_the_position_channels(motion_features):
    posed = hip_aligned_joint_positions(motion_features)[..., 1:, :]
    positions = motion_features[..., POSITIONS].unflatten(-1, (21, 3)).clone()
    positions[..., 1] -= motion_features[..., ROOT][..., 3:]
    torch.testing.assert_close(posed, positions, rtol=0, atol=1e-4)


def test_a_constant_velocity_error_drifts_linearly(motion_features):
    wrong = motion_features.clone()
    wrong[..., 2] += 0.3  # m/s along the heading, over 31 steps of 1/30 s
    terms = losses(wrong, motion_features)
    mean_error = 0.3 * sum(range(32)) / 32 / 30
    assert terms["root_path"].item() == pytest.approx(mean_error, rel=0.05)  # the circle bends the straight error
    assert terms["position"] < 1e-3


def test_a_constant_turn_error_adds_to_the_heading(motion_features):
    still = motion_features.clone()
    still[..., ROOT] = torch.tensor([0.0, 0.0, 0.0, 0.93])
    wrong = still.clone()
    wrong[..., 0] = math.radians(30)
    assert losses(wrong, still)["root_path"].item() == pytest.approx(math.radians(30) * 15.5 / 30, rel=1e-4)


def test_a_foot_that_truly_stands_must_not_slide():
    rotations = torch.zeros(10, 22, 4)
    rotations[..., 0] = 1
    still = motion_to_features(Motion(30.0, torch.tensor([[0.0, 0.93, 0.0]]).repeat(10, 1).numpy(), rotations.numpy()))
    still[:, CONTACTS] = 1
    sliding = still.clone()
    sliding[:, 1] = 0.5
    assert losses(still[None], still[None])["foot"] < 1e-4
    assert losses(sliding[None], still[None])["foot"].item() == pytest.approx(0.5, rel=1e-3)
    in_the_air = still.clone()
    in_the_air[:, CONTACTS] = 0
    assert losses(sliding[None], in_the_air[None])["foot"] == 0


def test_the_feature_loss_weighs_the_root_most_and_divides_by_the_standard_deviation(motion_features):
    std = torch.full((269,), 0.1)
    root, rotation = motion_features.clone(), motion_features.clone()
    root[..., ROOT] += 1.0
    rotation[..., ROTATIONS] += 1.0
    base = losses(motion_features, motion_features, std=std)["feature"]
    smooth_l1 = 10 - 0.5
    assert (losses(root, motion_features, std=std)["feature"] - base).item() == pytest.approx(4 * smooth_l1, rel=1e-4)
    turned = losses(rotation, motion_features, std=std)["feature"] - base
    assert turned.item() == pytest.approx(0.3 * smooth_l1, rel=1e-4)


def test_masked_frames_count_nothing(motion_features):
    wrong = motion_features.clone()
    wrong[:, 20:] = float("nan")
    terms = losses(wrong, motion_features, frame_mask=(torch.arange(32) < 20).expand(2, -1))
    assert terms["feature"] == 0 and terms["position"] < 1e-3


def test_decoded_features_pose_the_same_body_as_the_motion(motion_features):
    joints = hip_aligned_joint_positions(motion_features[0])
    world = torch.from_numpy(features_to_motion(motion_features[0]).joint_positions())
    lengths = (joints[:, 21] - joints[:, 0]).norm(dim=-1)
    torch.testing.assert_close(lengths, (world[:, 21] - world[:, 0]).norm(dim=-1), rtol=1e-4, atol=1e-4)
