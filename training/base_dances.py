"""Dances that a base model makes itself: a style that is learned beside them leaves its other genres as they are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch

from ..dataset_builder.clip_folder import MIRRORED, NATURAL
from ..pipeline import MusicToDancePipeline
from .data_choreollama import side_id
from .takes import DanceTake

TOKENS_OF_A_DANCE = 96
"""One and a half windows: 12.8 s."""
_BATCH_SIZE = 32
ANY, NOTHING = "any genre", "nothing"
"""Asked for beside the genres: any of them, and no condition at all, with which guidance compares."""
_SHARE_WITH_REFERENCES = 0.5


def base_dances(
    pipeline: MusicToDancePipeline,
    heard: Sequence[DanceTake],
    num_dances: int,
    seed: int = 0,
    left_out: Collection[str] = (),
) -> tuple[list[DanceTake], list[np.ndarray | None]]:
    """Let the base model dance all its genres to the music of some takes, as it samples without guidance.

    A model that is trained on them in equal parts stays the one that made them.

    Args:
        pipeline: The base model, without adapters; half of the dances that may have references get the best of its
            library.
        heard: Takes whose music, or clock, is danced to.
        num_dances: How many dances of `TOKENS_OF_A_DANCE` tokens.
        seed: Of all draws.
        left_out: Genres that are not danced.

    Returns:
        A take for each dance, with an empty genre where none was asked for; and its references, `(1, frames, 269)`,
        or `None`.
    """
    model, config = pipeline.model, pipeline.model.config
    generator = np.random.default_rng((seed, 17))
    num_frames = TOKENS_OF_A_DANCE * config.frames_per_token
    genres = [*(genre for genre in pipeline.genres if genre not in left_out), ANY, NOTHING]
    takes: list[DanceTake] = []
    references: list[np.ndarray | None] = []
    for first in range(0, num_dances, _BATCH_SIZE):
        asked = [genres[index % len(genres)] for index in range(first, min(first + _BATCH_SIZE, num_dances))]
        songs = [heard[index] for index in generator.integers(len(heard), size=len(asked))]
        music = np.stack([_passage(song.music, num_frames, generator) for song in songs])
        sides = [NATURAL if generator.random() < 0.5 else MIRRORED for _ in asked]
        found = [
            _reference(pipeline, row, genre) if generator.random() < _SHARE_WITH_REFERENCES else None
            for row, genre in zip(music, asked, strict=True)
        ]
        batch = [
            DanceTake(
                song_id="",
                genre="" if genre in (ANY, NOTHING) else genre,
                music=row,
                codes=[],
                side="" if genre == NOTHING else side,
                has_spectra=song.has_spectra,
                has_clock=song.has_clock and genre != NOTHING,
            )
            for genre, song, row, side in zip(asked, songs, music, sides, strict=True)
        ]
        codes = model.generate_codes(
            **_conditions(pipeline, batch, found),
            seeds=[int(number) for number in generator.integers(2**31, size=len(batch))],
            temperature=1.0,
            top_p=1.0,
            guidance_scale=1.0,
        )
        takes += [replace(take, codes=[row.numpy().astype(np.int16)]) for take, row in zip(batch, codes, strict=True)]
        references += found
    return takes, references


def _passage(music: np.ndarray, num_frames: int, generator: np.random.Generator) -> np.ndarray:
    """Draw a passage of music features, `(num_frames, 109)`; what is too short begins again."""
    first = int(generator.integers(max(1, len(music) - num_frames + 1)))
    return np.take(music, np.arange(first, first + num_frames), axis=0, mode="wrap")


def _reference(pipeline: MusicToDancePipeline, music: np.ndarray, genre: str) -> np.ndarray | None:
    """Find what the model would be given as a reference, `(1, frames, 269)`."""
    if pipeline.retriever is None or genre not in pipeline.retriever.index.columns["genre"].values:
        return None
    return pipeline.retriever(music, num_references=1, genre=genre)[0]


def _conditions(
    pipeline: MusicToDancePipeline, takes: Sequence[DanceTake], references: Sequence[np.ndarray | None]
) -> dict[str, torch.Tensor]:
    """Return the arguments of `generate_codes` for takes without codes."""
    config = pipeline.model.config
    genre_ids = [pipeline.processor.genre_to_id(take.genre or None) for take in takes]
    conditions = {
        "input_features": torch.from_numpy(np.stack([take.music for take in takes])),
        "genre_ids": torch.tensor(genre_ids),
        "music_mask": torch.tensor([take.has_clock for take in takes]),
        "spectra_mask": torch.tensor([take.has_spectra for take in takes]),
    }
    if config.controls_side:
        conditions["side_ids"] = torch.tensor([side_id(take.side) for take in takes])
    if any(reference is not None for reference in references):
        shape = (1, len(takes[0].music), config.motion_feature_size)
        arrays = [np.zeros(shape, np.float32) if each is None else each for each in references]
        conditions["reference_features"] = torch.from_numpy(np.stack(arrays))
        conditions["reference_mask"] = torch.tensor([[each is not None] for each in references])
    return conditions
