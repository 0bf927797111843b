"""Training windows of ChoreoLLaMA: codes, the music around them, and dances to other songs as references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from ..modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from .references_choreollama import TakeReferences
from .takes import DanceTake

START_SHARE = 0.1
"""Share of training windows that begin with the clip: windows drawn at random hardly ever do."""


class ChoreoWindows:
    """Training and evaluation windows of takes.

    Args:
        takes: The dances.
        config: Of the model: window, context and look-ahead lengths, genres.
        references: Those of the takes, from `ReferenceFinder`; none if not given.
    """

    def __init__(
        self,
        takes: Sequence[DanceTake],
        config: ChoreoLlamaConfig,
        references: TakeReferences | None = None,
    ):
        self.takes, self.config, self.references = takes, config, references
        self.genre_ids = {genre: index for index, genre in enumerate(config.genres)}

    def cut(self, windows: Sequence[tuple[int, int, int]], music_takes: Sequence[DanceTake] | None = None) -> dict:
        """Return a batch for `ChoreoLlamaForConditionalGeneration.forward`.

        Args:
            windows: For each row the index of the take, the index of the offset and the first token.
            music_takes: Takes whose music is to be heard instead of each row's own, for "a wrong song".
        """
        config = self.config
        per_token, num_tokens = config.frames_per_token, config.max_window_tokens
        total = (config.context_tokens + num_tokens + config.lookahead_tokens) * per_token
        num_references = 0 if self.references is None else self.references.num_references
        batch: dict[str, np.ndarray] = {
            "input_features": np.zeros((len(windows), total, config.music_feature_size), np.float32),
            "frame_mask": np.zeros((len(windows), total), bool),
            "genre_ids": np.zeros(len(windows), np.int64),
            "motion_codes": np.zeros((len(windows), config.num_quantizers, num_tokens), np.int64),
            "labels": np.full((len(windows), config.num_quantizers, num_tokens), -100, np.int64),
        }
        if num_references:
            shape = (len(windows), num_references, total, config.motion_feature_size)
            batch["reference_features"] = np.zeros(shape, np.float32)
        for row, (take_index, offset, first_token) in enumerate(windows):
            take = self.takes[take_index]
            music = (take if music_takes is None else music_takes[row]).music
            codes = take.codes[offset][:, first_token : first_token + num_tokens]
            batch["motion_codes"][row, :, : codes.shape[1]] = codes
            batch["labels"][row, :, : codes.shape[1]] = codes
            batch["genre_ids"][row] = self.genre_ids.get(take.genre, config.num_genres)
            start = offset + (first_token - config.context_tokens) * per_token
            real = slice(max(start, 0), min(start + total, len(take.music)))
            place = slice(real.start - start, real.stop - start)
            frames = np.arange(real.start, real.stop)
            batch["input_features"][row, place] = np.take(music, frames, axis=0, mode="wrap")
            batch["frame_mask"][row, place] = True
            if self.references is not None:
                batch["reference_features"][row, :, place] = self.references.cut(take_index, real.start, len(frames))
        return {name: torch.from_numpy(array) for name, array in batch.items()}


class ChoreoSampler:
    """Sampler of training batches: the same one for the same number of the batch.

    Args:
        windows: The takes to draw from.
        batch_size: Windows in a batch.
        genre_balance: A genre is drawn in proportion to its frames to this power (1: as the data lie, 0: all alike).
        natural_share: Share of windows at their own speed, the rest being stretched.
        is_natural: For each take, whether it is at its own speed.
        seed: Of the draws.
    """

    def __init__(
        self,
        windows: ChoreoWindows,
        *,
        batch_size: int,
        genre_balance: float,
        natural_share: float,
        is_natural: Sequence[bool],
        seed: tuple[int, ...],
    ):
        self.windows, self.batch_size, self.seed = windows, batch_size, seed
        genre_frames: dict[str, int] = defaultdict(int)
        for take in windows.takes:
            genre_frames[take.genre] += len(take.music)
        weights = np.array(
            [len(take.music) * genre_frames[take.genre] ** (genre_balance - 1) for take in windows.takes]
        )
        natural = np.array(is_natural)
        for group, share in ((natural, natural_share), (~natural, 1 - natural_share)):
            if group.any():
                weights[group] *= share / weights[group].sum()
        self.probabilities = weights / weights.sum()

    def __call__(self, batch_index: int) -> dict[str, torch.Tensor]:
        """Return the batch with a number."""
        generator = np.random.default_rng((*self.seed, batch_index))
        rows = []
        for take_index in generator.choice(len(self.probabilities), self.batch_size, p=self.probabilities):
            codes = self.windows.takes[take_index].codes
            offset = int(generator.integers(len(codes)))
            last_start = max(0, codes[offset].shape[1] - self.windows.config.max_window_tokens)
            start = 0 if generator.random() < START_SHARE else int(generator.integers(last_start + 1))
            rows.append((int(take_index), offset, start))
        return self.windows.cut(rows)
