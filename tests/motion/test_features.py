import numpy as np
import pytest
import torch

from infinitedance.motion import features as layout
from infinitedance.motion.features import (
    facing_heading,
    features_to_motion,
    motion_to_features,
    reconstruct,
)
from infinitedance.motion.files import read_data_npz, read_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.normalization import fit_feature_statistics


def round_trip(motion: Motion) -> Motion:
    heading = facing_heading(motion.joint_positions(), motion.frame_rate)[0]
    start = tuple(motion.root_positions[0, [0, 2]])
    return features_to_motion(motion_to_features(motion), motion.frame_rate, motion.skeleton, heading, start)


def assert_same_dance(first: Motion, second: Motion) -> None:
    assert np.abs(first.joint_positions() - second.joint_positions()).max() < 1e-4
    assert (first.joint_rotations_matrix() - second.joint_rotations_matrix()).abs().max() < 1e-4


def test_features_keep_the_whole_motion(make_moving):
    for seed in range(3):
        motion = make_moving(num_frames=300, seed=seed)
        assert motion_to_features(motion).shape == (300, layout.NUM_FEATURES)
        assert_same_dance(motion, round_trip(motion))


@pytest.mark.shared_data
def test_features_keep_real_clips_with_rotations(shared_data_dir):
    """Every fifth of them: all take three times as long as the other tests of this folder."""
    paths = [path for path in sorted(shared_data_dir.glob("*/*/*.npz")) if read_data_npz(path).source is not None]
    assert len(paths) > 100
    for path in paths[::5]:
        motion = read_motion(path)
        assert motion.provenance["rotations"] == "source"
        assert_same_dance(motion, round_trip(motion))


def test_a_single_frame_has_features_without_velocity(moving):
    features = motion_to_features(moving.cut(0, 1))
    assert features.shape == (1, 269)
    assert features[:, layout.VELOCITIES].abs().max() == 0


def test_features_do_not_depend_on_place_and_direction(moving):
    turned_root = moving.root_positions[:, [2, 1, 0]] * np.array([1, 1, -1]) + np.array([3, 0, -2])  # quarter turn
    quarter = np.array([np.sqrt(0.5), 0, np.sqrt(0.5), 0])
    w, x, y, z = moving.joint_rotations[:, 0].T
    turned = moving.joint_rotations.copy()
    turned[:, 0] = np.stack(
        [
            quarter[0] * w - quarter[2] * y,
            quarter[0] * x + quarter[2] * z,
            quarter[0] * y + quarter[2] * w,
            quarter[0] * z - quarter[2] * x,
        ],
        axis=-1,
    )
    moved = Motion(30.0, turned_root, turned)
    torch.testing.assert_close(motion_to_features(moved), motion_to_features(moving), atol=2e-4, rtol=0)


def test_positions_in_the_features_are_those_of_forward_kinematics(moving):
    features = motion_to_features(moving)
    posed = torch.from_numpy(features_to_motion(features).joint_positions())
    torch.testing.assert_close(reconstruct(features, range(1, 22), 30.0), posed[:, 1:], atol=1e-4, rtol=0)


def test_a_planted_foot_has_no_velocity_whatever_the_body_does(make_moving):
    motion = make_moving(strength=0.0)
    planted = motion.root_positions * np.array([0, 0, 0]) + np.array([0.0, 0.97, 0.0])
    still = Motion(30.0, planted, motion.joint_rotations)  # turns about the vertical through the origin
    velocities = motion_to_features(still)[:, layout.VELOCITIES].view(-1, 22, 3)
    assert velocities[:, 0].abs().max() < 1e-4
    assert velocities[:, 20].norm(dim=-1).min() > 0.5  # the wrist of the turning dancer does move


def test_joint_positions_of_features_are_differentiable(moving):
    features = motion_to_features(moving)[None].requires_grad_()
    reconstruct(features, range(1, 22), 30.0).square().sum().backward()
    gradient = features.grad[0]
    assert gradient[:, layout.POSITIONS].abs().min() > 0
    assert gradient[:-1, layout.ROOT].abs().sum() > 0
    assert gradient[:, layout.VELOCITIES].abs().sum() == 0


def test_statistics_share_one_deviation_in_a_group(moving):
    features = motion_to_features(moving)
    features[::2, layout.CONTACTS] = 1
    mean, std = fit_feature_statistics([features, features])
    torch.testing.assert_close(mean, features.mean(0), atol=1e-5, rtol=0)
    expected = (features[:, layout.POSITIONS] - mean[layout.POSITIONS]).square().mean().sqrt()
    torch.testing.assert_close(std[layout.POSITIONS], expected.expand(63), atol=1e-5, rtol=0)


def test_wrong_features_say_what_must_hold(moving):
    with pytest.raises(ValueError, match="269 channels"):
        features_to_motion(torch.zeros(10, 264))
    with pytest.raises(ValueError, match="frames, 269"):
        features_to_motion(torch.zeros(1, 10, 269))
    with pytest.raises(ValueError, match="NaN or infinity"):
        features_to_motion(torch.full((10, 269), float("nan")))
    with pytest.raises(ValueError, match="at least one clip"):
        fit_feature_statistics([])
    with pytest.raises(ValueError, match="never varies"):
        fit_feature_statistics([torch.zeros(5, 269)])
