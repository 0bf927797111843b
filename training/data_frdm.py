"""Clean dances, and training windows with synthetic faults for foot restoration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from ..dataset_builder.augmentation.faults import Corruption, corrupt
from ..dataset_builder.augmentation.stance import StanceVariation, vary_stance
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..dataset_builder.splits import SPLITS, TEST, TRAIN, VALIDATION
from ..modeling.frdm.modeling_frdm import FrdmModel, FrdmScheduler
from ..motion.features import NUM_FEATURES, features_to_motion, motion_to_features
from ..motion.feet.grounding import level_floor
from ..motion.motion import Motion

CORRUPTION_SCALES = (0.2, 1.5)
"""The faults of a segment are scaled by a factor between these."""
VARIED_SHARE = 0.75
"""Of the segments whose stance is varied, see `vary_stance`; the others are as they were danced."""
BLOCK_BATCHES = 150
BLOCK_SEGMENTS = 256
SEGMENT_WINDOWS = 2
"""The windows of 150 batches are drawn from 256 segments of two windows' length, each corrupted when it is needed."""
EVAL_SEED = 12345


def select_clips(
    data: BuiltDataset,
    sources: Sequence[str] = (),
    validation_clips: str | None = None,
    test_clips: str | None = None,
) -> dict[str, list[BuiltClip]]:
    """Divide the clips of some sources: as the data set does, or by patterns of their ids.

    Args:
        data: The data set.
        sources: Values of the clips' `source`; all of them if empty.
        validation_clips: Regular expression that is searched in clip ids, for data whose performers are named there.
        test_clips: Likewise; given together with `validation_clips`.

    Returns:
        The keys `train`, `validation` and `test`; the last two without mirrored copies.

    Raises:
        ValueError: If a source does not exist, a pattern stands alone or is no regular expression, a clip matches
            both, or nothing is left to train or to validate on.
    """
    unknown = sorted(set(sources) - {clip.source for clip in data.clips})
    if unknown:
        known = sorted({clip.source for clip in data.clips})
        raise ValueError(f"`sources` must be some of {known}, got unknown {unknown}.")
    clips = [clip for clip in data.clips if not sources or clip.source in sources]
    if (validation_clips is None) != (test_clips is None):
        raise ValueError("`validation_clips` and `test_clips` are given together, or neither is.")
    if validation_clips is None or test_clips is None:
        split_of = {clip.clip_id: clip.split for clip in clips}
    else:
        held_out = {VALIDATION: _matching(clips, validation_clips), TEST: _matching(clips, test_clips)}
        both = sorted(held_out[VALIDATION] & held_out[TEST])
        if both:
            raise ValueError(f"`validation_clips` and `test_clips` must not match the same clip, got {both[:5]}.")
        split_of = {
            clip.clip_id: next((name for name, found in held_out.items() if clip.clip_id in found), TRAIN)
            for clip in clips
        }
    splits = {
        name: [clip for clip in clips if split_of[clip.clip_id] == name and (name == TRAIN or not clip.is_mirrored)]
        for name in SPLITS
    }
    empty = [name for name in (TRAIN, VALIDATION) if not splits[name]]
    if empty:
        raise ValueError(
            f"{data.folder} has no clip of {' and '.join(empty)} left: choose others by `sources`, `validation_clips` "
            "and `test_clips`, or build a data set of more songs."
        )
    return splits


def _matching(clips: Sequence[BuiltClip], pattern: str) -> set[str]:
    """Return the ids in which a regular expression is found."""
    try:
        return {clip.clip_id for clip in clips if re.search(pattern, clip.clip_id)}
    except re.error as error:
        raise ValueError(f"{pattern!r} must be a regular expression of clip ids: {error}.") from error


def clean_dance(data: BuiltDataset, clip: BuiltClip) -> Motion:
    """Return a dance whose floor is where its feet stand; that of built clips may be a centimetre off."""
    return level_floor(features_to_motion(torch.from_numpy(np.array(data.motion_features(clip)))), fits_slope=False)


def corrupt_at_random(motion: Motion, corruption: Corruption, generator: np.random.Generator) -> Motion:
    """Put faults of a random scale into a dance."""
    return corrupt(motion, corruption.scaled(generator.uniform(*CORRUPTION_SCALES)), generator)


class RestorationSampler:
    """Sampler of training batches: the same ones for the same number of the batch.

    Half of the windows show the model the captured legs, half follow the paper: legs and root are noise, the rest of
    the body is clean.

    Args:
        data: The folder.
        clips: Those to draw from.
        model: Normalizes and configures.
        batch_size: Windows in a batch.
        corruption: Sizes of the faults.
        seed: Of the draws; processes that train together need different ones.
    """

    def __init__(
        self,
        data: BuiltDataset,
        clips: Sequence[BuiltClip],
        model: FrdmModel,
        *,
        batch_size: int,
        corruption: Corruption,
        seed: tuple[int, ...],
    ):
        self.dances = [clean_dance(data, clip) for clip in clips]
        self.probabilities = np.array([dance.num_frames for dance in self.dances], dtype=float)
        self.probabilities /= self.probabilities.sum()
        self.model = model
        self.scheduler = FrdmScheduler(model.config.num_train_timesteps)
        self.window_frames = model.config.window_frames
        self.batch_size = batch_size
        self.corruption = corruption
        self.seed = seed
        self._segment = lru_cache(maxsize=BLOCK_SEGMENTS)(self._make_segment)

    def __call__(self, batch_index: int) -> dict[str, torch.Tensor]:
        """Return the arguments of `FrdmModel.forward` for one batch."""
        block = batch_index // BLOCK_BATCHES
        generator = np.random.default_rng((*self.seed, 1, batch_index))
        pairs = [self._segment(block, index) for index in generator.integers(BLOCK_SEGMENTS, size=self.batch_size)]
        clean, corrupted, frame_mask = cut_random_windows(pairs, self.window_frames, generator)
        observed = torch.from_numpy(generator.random(self.batch_size) < 0.5)
        timesteps = torch.from_numpy(
            generator.integers(1, self.scheduler.num_train_timesteps + 1, size=self.batch_size)
        )
        shape = (*clean.shape[:2], self.model.config.num_restored_channels)
        noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        return training_batch(self.model, self.scheduler, clean, corrupted, frame_mask, observed, timesteps, noise)

    def _make_segment(self, block: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng((*self.seed, 0, block, index))
        dance = self.dances[generator.choice(len(self.dances), p=self.probabilities)]
        length = SEGMENT_WINDOWS * self.window_frames
        start = generator.integers(max(1, dance.num_frames - length + 1))
        clean = dance.cut(start, min(start + length, dance.num_frames))
        if generator.random() < VARIED_SHARE:
            clean = vary_stance(clean, StanceVariation(), generator)
        corrupted = corrupt_at_random(clean, self.corruption, generator)
        return motion_to_features(clean).numpy(), motion_to_features(corrupted).numpy()


def cut_random_windows(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], window_frames: int, generator: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut a window at a random place out of each pair.

    Returns:
        Clean and corrupted features `(batch, window_frames, 269)`, zero beyond the end of a short clip, and the mask
        of real frames.
    """
    windows = torch.zeros(2, len(pairs), window_frames, NUM_FEATURES)
    frame_mask = torch.zeros(len(pairs), window_frames, dtype=torch.bool)
    for row, pair in enumerate(pairs):
        start = generator.integers(max(1, len(pair[0]) - window_frames + 1))
        for kind, features in enumerate(pair):
            window = features[start : start + window_frames]
            windows[kind, row, : len(window)] = torch.from_numpy(window)
        frame_mask[row, : len(window)] = True
    return windows[0], windows[1], frame_mask


def training_batch(
    model: FrdmModel,
    scheduler: FrdmScheduler,
    clean: torch.Tensor,
    corrupted: torch.Tensor,
    frame_mask: torch.Tensor,
    observed: torch.Tensor,
    timesteps: torch.Tensor,
    noise: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Noise the clean legs and merge them into the corrupted body (`observed`) or the clean one (the paper)."""
    noisy_sample = scheduler.add_noise(model.normalized_legs(clean), noise, timesteps)
    return {
        "noisy_sample": noisy_sample.detach(),
        "timesteps": timesteps,
        "context_features": torch.where(observed[:, None, None], corrupted, clean),
        "observed": observed,
        "frame_mask": frame_mask,
        "labels": clean,
    }


def evaluation_windows(
    data: BuiltDataset, clips: Sequence[BuiltClip], window_frames: int, corruption: Corruption
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return clean and corrupted features of all clips, cut into windows one after the other; always the same."""
    windows = []
    for index, clip in enumerate(clips):
        generator = np.random.default_rng((EVAL_SEED, index))
        dance = clean_dance(data, clip)
        clean = motion_to_features(dance).numpy()
        corrupted = motion_to_features(corrupt_at_random(dance, corruption, generator)).numpy()
        for start in range(0, max(1, len(clean) - window_frames + 1), window_frames):
            windows.append((clean[start : start + window_frames], corrupted[start : start + window_frames]))
    return windows
