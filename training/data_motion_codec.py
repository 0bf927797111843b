"""Training windows of the motion codec."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..motion.features import NUM_FEATURES


class WindowSampler:
    """Sampler of training windows: the same ones for the same number of the batch.

    Args:
        data: The folder.
        clips: Those to draw from.
        window_frames: Frames of a window; a shorter clip is padded and masked.
        batch_size: Windows in a batch.
        group_balance: See `CodecArguments`.
        seed: Of the draws; processes that train together need different ones.
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
    ):
        self.features = [data.motion_features(clip) for clip in clips]
        self.probabilities = clip_probabilities(clips, group_balance)
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


def clip_probabilities(clips: list[BuiltClip], group_balance: float) -> np.ndarray:
    """Return how likely each clip is drawn, `(clips,)`: by its frames within its group of source and genre."""
    group_frames: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        group_frames[clip.source, clip.genre] += clip.num_frames
    weights = [clip.num_frames * group_frames[clip.source, clip.genre] ** (group_balance - 1) for clip in clips]
    return np.array(weights) / np.sum(weights)
