import numpy as np
import pytest
import torch

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.augmentation.stretch import (
    stretch_motion,
    stretch_motion_features,
    stretch_music_features,
)
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.features import VELOCITIES, features_to_motion, motion_to_features


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_stretched_beat_clock_is_the_clock_of_the_stretched_tempo(factor):
    features = np.zeros((300, MusicFeatureLayout.size), np.float32)
    features[:, MusicFeatureLayout.beat_clock] = BeatClock.steady(100, 10.0).to_features(300)
    num_frames = round(300 / factor)
    stretched = stretch_music_features(features, factor, num_frames)
    expected = BeatClock.steady(100 * factor, 10.0 / factor).to_features(num_frames)
    np.testing.assert_allclose(stretched[:-2, MusicFeatureLayout.beat_clock], expected[:-2], atol=1e-3)


def test_spectra_are_read_at_the_stretched_times():
    features = np.zeros((100, MusicFeatureLayout.size), np.float32)
    features[:, 5] = np.arange(100)
    features[:, MusicFeatureLayout.beat_clock] = BeatClock.steady(100, 4.0).to_features(100)
    np.testing.assert_allclose(stretch_music_features(features, 2.0, 50)[:, 5], np.arange(0, 100, 2))


def test_a_faster_dance_goes_through_the_same_poses():
    dance = synthesize_dance("waltz", 90, 4.0, seed=0)
    fast = stretch_motion(dance, 2.0)
    assert fast.num_frames == dance.num_frames // 2 and fast.frame_rate == dance.frame_rate
    np.testing.assert_allclose(fast.joint_positions(), dance.joint_positions()[::2], atol=1e-5)


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.17])
def test_stretched_features_are_the_features_of_the_stretched_dance(factor):
    dance = synthesize_dance("waltz", 90, 6.0, seed=0)
    features = motion_to_features(dance).numpy()
    stretched = stretch_motion_features(features, factor)
    expected = stretch_motion(dance, factor)
    # Features last for a frame after the last one; between poses there is nothing after the last pose.
    assert len(stretched) - expected.num_frames in (0, 1)
    assert stretched.shape[1] == 269 and stretched.dtype == np.float32
    if factor == 1.0:
        np.testing.assert_allclose(stretched, features, atol=1e-6)
    whole = motion_to_features(expected).numpy()
    stretched = stretched[: len(whole)]
    assert np.abs(stretched[2:-2, :265] - whole[2:-2, :265]).mean() < 0.01
    speeds = [np.abs(values[2:-2, VELOCITIES]).mean() for values in (stretched, whole)]
    assert speeds[0] == pytest.approx(speeds[1], rel=0.02)
    assert (stretched[:, 265:] != whole[:, 265:]).mean() < 0.05  # contacts change a frame sooner or later
    found = features_to_motion(torch.from_numpy(stretched)).joint_positions()
    again = features_to_motion(torch.from_numpy(whole)).joint_positions()
    assert np.linalg.norm(found - again, axis=-1).mean() < 0.01
