"""The dances that a training take is given as references: retrieved, or chosen otherwise to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.clip_folder import MIRROR_SUFFIX
from ..dataset_builder.library import BuiltFeatures, built_clips
from ..dataset_builder.manifest import BuiltClip
from ..dataset_builder.splits import unit_labels
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..retrieval.index import DanceRetrievalIndex
from ..retrieval.library import ReferenceLibrary
from ..retrieval.windows import RetrievedWindow
from .takes import DanceTake

REFERENCE_CHOICES = ("retrieved", "random", "pinned")
MIN_REFERENCE_FRAMES = 60
MIN_FRAMES_FOR_ITSELF = 900
"""A shorter clip has hardly another passage beside a window of it."""


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

    def cut(
        self, take_index: int, start_frame: int, num_frames: int, generator: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return motion features on the time of the song, `(num_references, num_frames, 269)`, best match first.

        Args:
            take_index: The take.
            start_frame: First frame.
            num_frames: How many.
            generator: Not needed: these references were found beforehand.
        """
        return self.library.reference_features(self.windows[take_index], num_frames, start_frame)


class StyleReferences:
    """References that share the style of a take: passages of other clips of its genre, drawn anew for each window.

    Following them pays: by the same dancer on the same side where there are such clips. None is to the take's song or
    holds a choreographic unit of it, unless its genre has nothing else; a clip that is alone in its genre has other
    passages of itself.

    Args:
        data: The built data set.
        clips: Clips to draw from.
        takes: The takes that need references.
        num_references: References at any moment.
        choice: `"style"`; `"own"`: other passages of the same clip, and the style where it is too short for that; or,
            to compare with, `"random"` passages of any clip.
    """

    def __init__(
        self,
        data: BuiltDataset,
        clips: Sequence[BuiltClip],
        takes: Sequence[DanceTake],
        num_references: int,
        choice: str = "style",
    ):
        self.data, self.num_references = data, num_references
        self.clips = [clip for clip in clips if clip.num_frames >= MIN_REFERENCE_FRAMES]
        clip_of = {clip.clip_id: clip for clip in data.clips}
        if not self.clips:
            raise ValueError(f"References need a clip of at least {MIN_REFERENCE_FRAMES} frames, got none.")
        self.takes = takes
        self.groups: list[list[int]] = []
        self.group_of_take: list[int] = []
        known: dict[str, int] = {}
        for take in takes:
            if take.clip_id not in known:
                known[take.clip_id] = len(self.groups)
                self.groups.append(self._candidates(clip_of[take.clip_id], choice))
            self.group_of_take.append(known[take.clip_id])

    def _candidates(self, own: BuiltClip, choice: str) -> list[int]:
        """Return the indices of the clips that serve a clip, the narrowest kind that there is."""
        units = unit_labels(own)
        others = [
            index
            for index, clip in enumerate(self.clips)
            if clip.clip_id.removesuffix(MIRROR_SUFFIX) != own.clip_id.removesuffix(MIRROR_SUFFIX)
            and clip.side == own.side
        ]
        new = [
            index
            for index in others
            if self.clips[index].song_id != own.song_id and not units & unit_labels(self.clips[index])
        ]
        if choice == "random":
            return new or others
        genre = [index for index in others if self.clips[index].genre == own.genre]
        new_genre = [index for index in genre if index in set(new)]
        dancer = [
            index for index in new_genre if own.performer_id and self.clips[index].performer_id == own.performer_id
        ]
        itself = [
            index
            for index, clip in enumerate(self.clips)
            if clip.clip_id == own.clip_id and clip.num_frames >= MIN_FRAMES_FOR_ITSELF
        ]
        nearest = (itself if choice == "own" else []) or dancer or new_genre or genre or itself or others
        return nearest or list(range(len(self.clips)))

    def cut(self, take_index: int, start_frame: int, num_frames: int, generator: np.random.Generator) -> np.ndarray:
        """Draw motion features, `(num_references, num_frames, 269)`; a shorter clip begins again."""
        group, take = self.groups[self.group_of_take[take_index]], self.takes[take_index]
        drawn = []
        for _ in range(self.num_references):
            clip = self.clips[group[generator.integers(len(group))]]
            features = self.data.motion_features(clip)
            first = int(generator.integers(max(1, len(features) - num_frames + 1)))
            frames = np.arange(first, first + num_frames) % len(features)
            if clip.clip_id == take.clip_id:
                frames = _away_from(
                    len(features), start_frame * take.stretch, num_frames * take.stretch, num_frames, generator
                )
            drawn.append(features[frames])
        return np.stack(drawn)


@dataclass(frozen=True)
class AdapterReferences:
    """References of the takes that a style is learned from, and of the base model's own dances beside them.

    Args:
        style: Of the first takes; none if they get none.
        of_base: For each take after those, the references that the base model danced it with,
            `(num_references, frames, 269)`, or `None`.
        num_references: References at any moment.
    """

    style: StyleReferences | None
    num_style_takes: int
    of_base: Sequence[np.ndarray | None]
    num_references: int

    def cut(
        self, take_index: int, start_frame: int, num_frames: int, generator: np.random.Generator
    ) -> np.ndarray | None:
        """As `StyleReferences.cut`; `None` for a window without references."""
        if take_index < self.num_style_takes:
            return None if self.style is None else self.style.cut(take_index, start_frame, num_frames, generator)
        kept = self.of_base[take_index - self.num_style_takes]
        return None if kept is None else kept[:, start_frame : start_frame + num_frames]


References = TakeReferences | StyleReferences | AdapterReferences


def _away_from(
    num_frames: int, start: float, length: float, wanted: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw consecutive frames of a clip outside a window of it, there and back where there are too few.

    Args:
        num_frames: Length of the clip.
        start: First frame of the window.
        length: Length of the window, in frames.
        wanted: How many frames are drawn.
        generator: Of the draw.

    Returns:
        `(wanted,)`.
    """
    before, after = max(0, int(start)), min(num_frames, int(np.ceil(start + length)))
    sides = [(0, before), (after, num_frames)]
    weights = np.array([end - first for first, end in sides], np.float64)
    if not weights.sum():  # the window is the whole clip
        sides, weights = [(0, num_frames)], np.ones(1)
    first, end = sides[generator.choice(len(sides), p=weights / weights.sum())]
    first += int(generator.integers(max(1, end - first - wanted + 1)))
    passage = np.arange(first, end)[:wanted]
    return np.resize(np.concatenate([passage, passage[::-1]]), wanted)


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
        ValueError: If `choice` is none of these.
    """

    def __init__(
        self, data: BuiltDataset, encoder: MusicDanceEncoder, num_references: int, choice: str, seed: int = 0
    ):
        if choice not in REFERENCE_CHOICES:
            raise ValueError(f"`choice` must be one of {', '.join(REFERENCE_CHOICES)}, got {choice!r}.")
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
