"""Training windows of the motion codec."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from ..dataset_builder.augmentation.body import UPPER_BODY, recombine, scale_poses
from ..dataset_builder.augmentation.stretch import stretch_motion
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..motion.features import NUM_FEATURES, features_to_motion, motion_to_features

STRETCHES = (0.75, 1.3)
"""Slowest and fastest speed of an augmented clip, 1 = its own."""
RECOMBINED_SHARE = 0.65
"""Share of augmented clips that get the upper body of another clip."""
POSE_SCALES = (0.7, 1.25)
"""Least and largest size of an augmented clip's upper-body movements."""


class WindowSampler:
    """Sampler of training windows: the same ones for the same number of the batch.

    Args:
        data: The folder.
        clips: Those to draw from.
        window_frames: Frames of a window; a shorter clip is padded and masked.
        batch_size: Windows in a batch.
        group_balance: See `CodecArguments`.
        seed: Of the draws; processes that train together need different ones.
        num_augmented: Augmented copies of each clip, drawn as often as all clips themselves; 0 for none.
    """

    def __init__(
        self,
        data: BuiltDataset,
        clips: list[BuiltClip],
        *,
        window_frames: int,
        batch_size: int,
        group_balance: float,
        seed: tuple[int, ...],
        num_augmented: int = 0,
    ):
        self.features = [data.motion_features(clip) for clip in clips]
        probabilities = clip_probabilities(clips, group_balance)
        for copy in range(num_augmented):
            self.features += augmented_features(self.features[: len(clips)], np.random.default_rng((*seed, copy)))
        shares = [0.5] + [0.5 / num_augmented] * num_augmented if num_augmented else [1.0]
        self.probabilities = np.concatenate([share * probabilities for share in shares])
        self.window_frames = window_frames
        self.batch_size = batch_size
        self.seed = seed

    def __call__(self, batch_index: int) -> dict[str, torch.Tensor]:
        """Return `motion_features` `(batch, window_frames, 269)` and `frame_mask` `(batch, window_frames)`."""
        generator = np.random.default_rng((*self.seed, batch_index % 2**63))
        windows = np.zeros((self.batch_size, self.window_frames, NUM_FEATURES), dtype=np.float32)
        frame_mask = np.zeros((self.batch_size, self.window_frames), dtype=bool)
        for row, clip_index in enumerate(generator.choice(len(self.features), self.batch_size, p=self.probabilities)):
            features = self.features[clip_index]
            start = generator.integers(max(1, len(features) - self.window_frames + 1))
            window = features[start : start + self.window_frames]
            windows[row, : len(window)] = window
            windows[row, len(window) :] = window[-1]
            frame_mask[row, : len(window)] = True
        return {"motion_features": torch.from_numpy(windows), "frame_mask": torch.from_numpy(frame_mask)}


def augmented_features(features: list[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    """Return each clip at another speed, some of them with the upper body of another, moved more or less.

    Args:
        features: Of the clips, `(frames, 269)` each.
        generator: Of the draws.
    """
    motions = [features_to_motion(torch.from_numpy(np.array(clip))) for clip in features]
    augmented = []
    for motion in motions:
        changed = stretch_motion(motion, float(np.exp(generator.uniform(*np.log(STRETCHES)))))
        if generator.random() < RECOMBINED_SHARE:
            changed = recombine(changed, motions[generator.integers(len(motions))])
        changed = scale_poses(changed, UPPER_BODY, float(np.exp(generator.uniform(*np.log(POSE_SCALES)))))
        augmented.append(motion_to_features(changed).numpy())
    return augmented


def clip_probabilities(clips: list[BuiltClip], group_balance: float) -> np.ndarray:
    """Return how likely each clip is drawn, `(clips,)`: by its frames within its group of source and genre."""
    group_frames: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        group_frames[clip.source, clip.genre] += clip.num_frames
    weights = [clip.num_frames * group_frames[clip.source, clip.genre] ** (group_balance - 1) for clip in clips]
    return np.array(weights) / np.sum(weights)
