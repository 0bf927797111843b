"""Faster and slower dances: motion and music stretched together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...audio.features import MusicFeatureLayout
from ...motion.features import CONTACTS, ROOT, ROOT_HEIGHT, VELOCITIES
from ...motion.motion import Motion


def stretch_motion(motion: Motion, factor: float) -> Motion:
    """Dance `factor` times as fast: the same poses in `1 / factor` of the time, at the same frame rate."""
    return replace(motion.resample(motion.frame_rate / factor), frame_rate=motion.frame_rate)


def stretch_motion_features(features: np.ndarray, factor: float) -> np.ndarray:
    """Dance `factor` times as fast, on the level of motion features: a hundredth of the time of `stretch_motion`.

    Values between two frames are interpolated, which leaves rotations a little off (`rotation_6d_to_matrix` puts them
    right) and positions within a millimetre.

    Args:
        features: `(frames, 269)`, at any frame rate.
        factor: More than 1 is faster.

    Returns:
        `(round(frames / factor), 269)` float32.
    """
    num_frames = max(1, round(len(features) / factor))
    places = np.minimum(np.arange(num_frames) * factor, len(features) - 1)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(features) - 1)
    weight = (places - before).astype(np.float32)[:, None]
    stretched = features[before] * (1 - weight) + features[after] * weight
    stretched[:, ROOT.start : ROOT_HEIGHT] *= factor
    stretched[:, VELOCITIES] *= factor
    stretched[:, CONTACTS] = features[np.round(places).astype(int)][:, CONTACTS]
    return stretched.astype(np.float32)


def stretch_music_features(features: np.ndarray, factor: float, num_frames: int) -> np.ndarray:
    """Play music `factor` times as fast, on the level of its features.

    Spectra keep their pitch; the beat clock stays exact: its angles are unwrapped before they are interpolated.

    Args:
        features: `(frames, 109)`, see `MusicFeatureLayout`.
        factor: More than 1 is faster.
        num_frames: Frames of the result.

    Returns:
        `(num_frames, 109)` float32.
    """
    source_frames = np.arange(num_frames) * factor
    frames = np.arange(len(features))

    def interpolate(columns: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(source_frames, frames, column) for column in columns.T], axis=-1)

    clock = features[:, MusicFeatureLayout.beat_clock]
    waves = clock[:, :-1].reshape(len(clock), -1, 2)  # sine and cosine of each counter
    angles = interpolate(np.unwrap(np.arctan2(waves[..., 0], waves[..., 1]), axis=0))
    result = np.empty((num_frames, features.shape[1]), dtype=np.float32)
    result[:, : MusicFeatureLayout.beat_clock.start] = interpolate(features[:, : MusicFeatureLayout.beat_clock.start])
    stretched_waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(num_frames, -1)
    tempo = interpolate(clock[:, -1:]) + np.log2(factor)
    result[:, MusicFeatureLayout.beat_clock] = np.concatenate([stretched_waves, tempo], axis=-1)
    return result
