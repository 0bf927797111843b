"""The dances that a training take is given as references: retrieved, or chosen otherwise to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.library import BuiltFeatures, built_clips
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..retrieval.index import DanceRetrievalIndex
from ..retrieval.library import ReferenceLibrary
from ..retrieval.windows import RetrievedWindow
from .takes import DanceTake

REFERENCE_CHOICES = ("retrieved", "random", "pinned")


@dataclass(frozen=True)
class TakeReferences:
    """The references of every take.

    Args:
        library: The dances.
        windows: For each take what was found for the windows of its song.
        num_references: References at any moment.
    """

    library: ReferenceLibrary
    windows: Sequence[Sequence[RetrievedWindow]]
    num_references: int

    def cut(self, take_index: int, start_frame: int, num_frames: int) -> np.ndarray:
        """Return motion features on the time of the song, `(num_references, num_frames, 269)`, best match first."""
        return self.library.reference_features(self.windows[take_index], num_frames, start_frame)


class ReferenceFinder:
    """Finder of references among the training dances of a built data set.

    Args:
        data: The folder.
        encoder: Trained by `train_retrieval`.
        num_references: References at any moment.
        choice: `"retrieved"`: the best by the music among dances of the take's genre; `"random"`: any windows of any
            dances; `"pinned"`: the same dances of the take's genre throughout. Never a dance to the take's own song.
        seed: Of the choices that are drawn.

    Raises:
        ValueError: If `choice` is none of these, or the encoder reads other music features than the data set holds.
    """

    def __init__(
        self, data: BuiltDataset, encoder: MusicDanceEncoder, num_references: int, choice: str, seed: int = 0
    ):
        if choice not in REFERENCE_CHOICES:
            raise ValueError(f"`choice` must be one of {', '.join(REFERENCE_CHOICES)}, got {choice!r}.")
        data.check_music_features(encoder.config.music_features_version, "The encoder of the references")
        self.index = DanceRetrievalIndex.build(encoder, built_clips(data))
        self.library = self.index.open_library(BuiltFeatures(data))
        self.num_references, self.choice = num_references, choice
        self.generator = np.random.default_rng(seed)

    def __call__(self, takes: Sequence[DanceTake]) -> TakeReferences:
        """Find the references of some takes.

        Raises:
            ValueError: If the library holds too few dances for a take.
        """
        windows = [self._find(take) for take in takes]
        for take, found in zip(takes, windows, strict=True):
            if len(found[0].hits) < self.num_references:
                raise ValueError(
                    f"Song {take.song_id!r} has {len(found[0].hits)} references, {self.num_references} are wanted: "
                    "lower `num_references` or add dances of its genre."
                )
        return TakeReferences(self.library, windows, self.num_references)

    def _find(self, take: DanceTake) -> list[RetrievedWindow]:
        if self.choice == "retrieved":
            return self.index.query(take.music, self.num_references, genre=take.genre, exclude_song_id=take.song_id)
        if self.choice == "pinned":
            columns = self.index.columns
            own_genre = columns["genre"].matches(take.genre)
            songs, rows = np.unique(columns["song_id"].codes[own_genre], return_index=True)
            others = [
                columns["clip_id"][int(row)]
                for song, row in zip(songs, np.flatnonzero(own_genre)[rows], strict=True)
                if columns["song_id"].values[song] != take.song_id
            ]
            count = min(self.num_references, len(others))
            pinned = self.generator.choice(sorted(others), count, replace=False).tolist()
            return self.index.query(take.music, count, genre=take.genre, exclude_song_id=take.song_id, pinned=pinned)
        num_windows = len(self.index.layout.query_starts_seconds(len(take.music), self.index.layout.frame_rate))
        embeddings = self.generator.standard_normal((num_windows, self.index.searcher.embeddings.shape[1]))
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return self.index.query_embeddings(embeddings, self.num_references, exclude_song_id=take.song_id)
