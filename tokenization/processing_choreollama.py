"""`ChoreoLlamaProcessor`: songs and genre names to model inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin

from ..audio.beats import BeatClock


class ChoreoLlamaProcessor(ProcessorMixin):
    """The processor of ChoreoLLaMA: it makes the model's inputs from songs and genre names.

    Args:
        feature_extractor: A [`MusicFeatureExtractor`].
        genres: Names of the genres; the index is the genre's id, and `len(genres)` stands for "any".
        frames_per_token: Frames that one motion token spans.
    """

    def __init__(self, feature_extractor, genres: Sequence[str] = (), frames_per_token: int = 4):
        super().__init__(feature_extractor)
        self.genres = list(genres)
        self.frames_per_token = frames_per_token

    def __call__(
        self,
        raw_audio: np.ndarray | Sequence[np.ndarray],
        sampling_rate: int,
        *,
        genre: str | Sequence[str | None] | None = None,
        bpm: float | Sequence[float | None] | None = None,
        meter: int | Sequence[int | None] | None = None,
        first_downbeat_seconds: float | Sequence[float | None] | None = None,
        beat_clock: BeatClock | Sequence[BeatClock | None] | None = None,
    ) -> BatchFeature:
        """Extract music features and look up genres.

        Args:
            raw_audio: One waveform `(samples,)`, mono, or a list of them.
            sampling_rate: Hz.
            genre: One of `genres`, or `None` for any. This and the following: one value, or one for each song.
            bpm: Tempo, if known.
            meter: Beats per bar, if known.
            first_downbeat_seconds: Time of a downbeat, if known.
            beat_clock: A finished clock, which is used in place of an estimated one.

        Returns:
            `input_features` `(batch, frames, feature_size)`, `frame_mask` `(batch, frames)` bool, true for real
            frames, and `genre_ids` `(batch,)`: the arguments of `generate_codes`.

        Raises:
            ValueError: If a genre is unknown, or as the feature extractor says.
        """
        one_song = isinstance(raw_audio, np.ndarray) and raw_audio.ndim == 1
        num_songs = 1 if one_song else len(raw_audio)
        names = [genre] * num_songs if genre is None or isinstance(genre, str) else list(genre)
        if len(names) != num_songs:
            raise ValueError(f"`genre` must be one name or one for each of the {num_songs} songs, got {len(names)}.")
        genre_ids = torch.tensor([self.genre_to_id(name) for name in names])
        features = self.feature_extractor(
            raw_audio,
            sampling_rate,
            bpm=bpm,
            meter=meter,
            first_downbeat_seconds=first_downbeat_seconds,
            genre=genre,
            beat_clock=beat_clock,
            return_tensors="pt",
        )
        return BatchFeature(
            {
                "input_features": features["input_features"],
                "frame_mask": features["attention_mask"].bool(),
                "genre_ids": genre_ids,
            }
        )

    def genre_to_id(self, genre: str | None) -> int:
        """Return the id of a genre's name; `None` is any genre.

        Raises:
            ValueError: If the name is unknown; the message lists the valid ones.
        """
        if genre is None:
            return len(self.genres)
        if genre not in self.genres:
            raise ValueError(f"`genre` must be one of {', '.join(self.genres)}, or None for any, got {genre!r}.")
        return self.genres.index(genre)

    def num_tokens(self, num_frames: int) -> int:
        """Return how many motion tokens a dance of `num_frames` frames takes."""
        return -(-num_frames // self.frames_per_token)
