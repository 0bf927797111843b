"""`ChoreoLlamaProcessor`: songs, genre names, sides and energy to model inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from transformers import BatchFeature, ProcessorMixin

from ..audio.beats import BeatClock
from ..utils.checkpoints import NamedFilesMixin

SIDES = ("right", "left")
"""Right, the natural side, is how dancers dance it; left is its mirror image. The index is the side's id."""
Energy = float | Sequence[Sequence[float]] | np.ndarray


class ChoreoLlamaProcessor(NamedFilesMixin, ProcessorMixin):
    """The processor of ChoreoLLaMA: it makes the model's inputs from songs and what is asked of their dances.

    Args:
        feature_extractor: A [`MusicFeatureExtractor`].
        genres: Names of the genres; the index is the genre's id, and `len(genres)` stands for "any".
        frames_per_token: Frames that one motion token spans.
        added_genres: Names of the genres that an adapter added, and which row of the model's table each has; its id is
            that row after "any".

    Raises:
        ValueError: If a row is no whole number, or a name stands twice.
    """

    def __init__(
        self,
        feature_extractor,
        genres: Sequence[str] = (),
        frames_per_token: int = 4,
        added_genres: Mapping[str, int] | None = None,
    ):
        super().__init__(feature_extractor)
        self.genres = list(genres)
        self.frames_per_token = frames_per_token
        self.added_genres = dict(added_genres or {})
        if not all(isinstance(row, int) and row >= 0 for row in self.added_genres.values()):
            raise ValueError(f"`added_genres` must name rows, 0 and up, got {self.added_genres}.")
        if twice := sorted(set(self.genres) & set(self.added_genres)):
            raise ValueError(f"The model dances {', '.join(twice)} already: added genres need other names.")

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
        side: str | None = None,
        energy: Energy | None = None,
    ) -> BatchFeature:
        """Extract music features and look up genres.

        Args:
            raw_audio: One waveform `(samples,)`, mono, or a list of them.
            sampling_rate: Hz.
            genre: One of `genres` or `added_genres`, or `None` for any. This and the following: one value, or one for
                each song.
            bpm: Tempo, if known.
            meter: Beats per bar, if known.
            first_downbeat_seconds: Time of a downbeat, if known.
            beat_clock: A finished clock, which is used in place of an estimated one.
            side: `"right"` or `"left"`, for all songs; for models that control it.
            energy: See `energy_to_curve`, for all songs; for models that control it.

        Returns:
            `input_features` `(batch, frames, feature_size)`, `frame_mask` `(batch, frames)` bool, true for real
            frames, and `genre_ids` `(batch,)`: the arguments of `generate_codes`; with a side `side_ids` `(batch,)`,
            with energy `energy` `(batch, frames)`.

        Raises:
            ValueError: If a genre, a side or an energy is unknown, or as the feature extractor says.
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
        inputs = {
            "input_features": features["input_features"],
            "frame_mask": features["attention_mask"].bool(),
            "genre_ids": genre_ids,
        }
        if side is not None:
            inputs["side_ids"] = torch.full((num_songs,), self.side_to_id(side))
        if energy is not None:
            curve = self.energy_to_curve(energy, inputs["frame_mask"].shape[1])
            inputs["energy"] = torch.from_numpy(curve).expand(num_songs, -1)
        return BatchFeature(inputs)

    def genre_to_id(self, genre: str | None) -> int:
        """Return the id of a genre's name; `None` is any genre.

        Raises:
            ValueError: If the name is unknown; the message lists the valid ones.
        """
        if genre is None:
            return len(self.genres)
        if genre in self.added_genres:
            return len(self.genres) + 1 + self.added_genres[genre]
        if genre not in self.genres:
            known = ", ".join([*self.genres, *self.added_genres])
            raise ValueError(f"`genre` must be one of {known}, or None for any, got {genre!r}.")
        return self.genres.index(genre)

    def side_to_id(self, side: str) -> int:
        """Return the id of a side.

        Raises:
            ValueError: If it is neither `"right"` nor `"left"`.
        """
        if side not in SIDES:
            raise ValueError(f"`side` must be one of {', '.join(SIDES)}, or None, got {side!r}.")
        return SIDES.index(side)

    def energy_to_curve(self, energy: Energy, num_frames: int) -> np.ndarray:
        """Return how energetic each frame of a dance is to be, as the model takes it.

        Args:
            energy: 0 is rest, 0.5 the usual speed of the genre, 1 twice that. One number, or pairs of a time in
                seconds and a number, `(points, 2)`: between them it runs along lines, outside it stays.
            num_frames: Of the dance.

        Returns:
            `(num_frames,)` float32, from -1, rest, over 0, the usual speed, to 1.

        Raises:
            ValueError: If a number is out of range, or times do not rise.
        """
        points = np.asarray(energy, dtype=np.float64)
        points = np.array([[0.0, float(points)]]) if points.ndim == 0 else points
        if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
            raise ValueError(
                "`energy` must be a number, or pairs of seconds and a number, `(points, 2)`, all finite, got shape "
                f"{points.shape}."
            )
        seconds, values = points.T
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"`energy` must lie in 0 to 1, got {values.min():g} to {values.max():g}.")
        if not (np.diff(seconds) > 0).all():
            raise ValueError("The times of `energy` must rise from point to point.")
        frame_seconds = np.arange(num_frames) / self.feature_extractor.frame_rate
        return (2 * np.interp(frame_seconds, seconds, values) - 1).astype(np.float32)

    def num_tokens(self, num_frames: int) -> int:
        """Return how many motion tokens a dance of `num_frames` frames takes."""
        return -(-num_frames // self.frames_per_token)
