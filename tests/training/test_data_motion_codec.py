"""Augmented windows of the motion codec, and codecs that get further levels."""

import numpy as np
import pytest
import torch

from infinitedance.dataset_builder.augmentation.body import UPPER_BODY
from infinitedance.dataset_builder.augmentation.stretch import stretch_motion
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.motion.features import features_to_motion, motion_to_features
from infinitedance.tokenization.configuration_motion_codec import MotionCodecConfig
from infinitedance.tokenization.modeling_motion_codec import MotionCodecModel
from infinitedance.training import data_motion_codec
from infinitedance.training.data_motion_codec import WindowSampler, augmented_features

LOWER_BODY = [joint for joint in range(22) if joint not in UPPER_BODY]


def sampler(folder, num_augmented: int, seed: int = 0) -> WindowSampler:
    data = BuiltDataset(folder)
    settings = {"window_frames": 32, "batch_size": 64, "group_balance": 0.5, "seed": (seed, 0)}
    return WindowSampler(data, data.split("train"), num_augmented=num_augmented, **settings)


@pytest.fixture
def dances(make_moving) -> list[np.ndarray]:
    return [motion_to_features(make_moving(90, seed=seed)).numpy() for seed in range(6)]


def test_augmented_clips_are_faster_and_slower_dances_of_finite_numbers(dances):
    augmented = augmented_features(dances, np.random.default_rng(0))
    lengths = [len(features) for features in augmented]
    assert min(lengths) >= round(90 / 1.3) and max(lengths) <= round(90 / 0.75) and len(set(lengths)) > 3
    for features in augmented:
        assert features.shape[1] == 269 and features.dtype == np.float32 and np.isfinite(features).all()


@pytest.mark.parametrize("recombined_share", [0.0, 1.0])
def test_an_augmented_clip_keeps_its_root_and_legs(dances, monkeypatch, recombined_share):
    monkeypatch.setattr(data_motion_codec, "STRETCHES", (1.2, 1.2))
    monkeypatch.setattr(data_motion_codec, "RECOMBINED_SHARE", recombined_share)
    uppers = []
    for before, after in zip(dances, augmented_features(dances, np.random.default_rng(0)), strict=True):
        slow = stretch_motion(features_to_motion(torch.from_numpy(before)), 1.2)
        motion = features_to_motion(torch.from_numpy(after))
        # Rotations of two signs are one. Which way a dance looks at first is not in its features.
        same = np.abs((motion.joint_rotations * slow.joint_rotations).sum(-1))
        np.testing.assert_allclose(same[:, LOWER_BODY[1:]], 1, atol=1e-4)
        np.testing.assert_allclose(motion.root_positions[:, 1], slow.root_positions[:, 1], atol=1e-4)
        uppers.append(same[:, UPPER_BODY].min())
    assert max(uppers) < 0.9999  # moved more or less, where they are not those of another
    assert (min(uppers) < 0.7) == bool(recombined_share)


def test_augmented_clips_are_drawn_as_often_as_the_clips_themselves_and_in_their_proportions(built_folder):
    plain, augmented = sampler(built_folder, 0), sampler(built_folder, 3)
    num_clips = len(plain.features)
    assert len(augmented.features) == 4 * num_clips
    assert augmented.probabilities[:num_clips].sum() == pytest.approx(0.5)
    for copy in range(1, 4):
        part = augmented.probabilities[copy * num_clips : (copy + 1) * num_clips]
        np.testing.assert_allclose(part, plain.probabilities / 6)
    for before, after in zip(plain.features, augmented.features, strict=False):
        np.testing.assert_array_equal(before, after)


def test_augmented_clips_depend_on_the_seed_alone(built_folder):
    first, second, other = (sampler(built_folder, 2, seed) for seed in (0, 0, 1))
    for index in (-1, 0, 7):
        assert torch.equal(first(index)["motion_features"], second(index)["motion_features"])
    assert any(
        one.shape != another.shape or not np.array_equal(one, another)
        for one, another in zip(first.features[8:], other.features[8:], strict=True)
    )
    assert not np.array_equal(first.features[8], first.features[16])  # each copy is another


def test_added_levels_leave_the_codes_of_a_codec_as_they_were(dances):
    """With a greedy search: a beam looks at all levels before it decides on the first."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "codebook_dim": 8, "codebook_size": 16, "residual_dilations": [1], "search_width": 1}
    windows = torch.stack([torch.from_numpy(features[:64]) for features in dances])
    old, new = (MotionCodecModel(MotionCodecConfig(**sizes, num_quantizers=levels)).eval() for levels in (2, 5))
    old.set_feature_statistics(windows.mean((0, 1)), windows.std((0, 1)) + 0.1)
    old.initialize_from_data(windows)
    with torch.no_grad():
        for parameter in old.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape))
    new.add_levels(old, windows)
    old_codes, new_codes = old.encode(windows), new.encode(windows)
    assert new_codes.shape[1] == 5 and torch.equal(new_codes[:, :2], old_codes)
    assert torch.equal(new.codebooks[:2], old.codebooks)
    # The first levels alone are the old codec, and each further one comes nearer to what is encoded.
    latents, _ = old.encode_latents(windows)
    torch.testing.assert_close(new.encode_latents(windows)[0], latents)
    vectors = [new.codebooks[level][new_codes[:, level]] for level in range(5)]
    torch.testing.assert_close(sum(vectors[:2]), old.quantizer.lookup(old_codes))
    torch.testing.assert_close(new.decode_latents(sum(vectors[:2])), old.decode(old_codes))
    errors = [(latents - sum(vectors[: level + 1])).square().mean().item() for level in range(5)]
    assert all(later < 0.8 * earlier for earlier, later in zip(errors[1:], errors[2:], strict=False))


def test_levels_are_added_to_a_codec_of_the_same_sizes_only(dances):
    sizes = {"hidden_size": 32, "codebook_dim": 8, "codebook_size": 16, "residual_dilations": [1]}
    windows = torch.stack([torch.from_numpy(features[:64]) for features in dances])
    old = MotionCodecModel(MotionCodecConfig(**sizes, num_quantizers=2)).eval()
    for other in ({"residual_dilations": [1, 3]}, {"codebook_size": 8}, {"hidden_size": 16}):
        new = MotionCodecModel(MotionCodecConfig(**{**sizes, **other}, num_quantizers=5)).eval()
        with pytest.raises(ValueError, match="must have the sizes of this one"):
            new.add_levels(old, windows)
