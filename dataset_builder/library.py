"""Dances of a built data set as a library that songs find their references in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from ..retrieval.windows import LibraryClip
from .built import BuiltDataset
from .splits import TRAIN


def built_clips(data: BuiltDataset) -> Iterator[LibraryClip]:
    """List the training dances with aligned music, mirrored ones apart.

    A held-out dance that served as reference would no longer be held out. A dance whose files are not those that were
    built is left out, with a warning.

    Args:
        data: The data set.

    Raises:
        ValueError: If nothing is trained on.
    """
    for clip in data.split(TRAIN, mirrored=False):
        if clip.music_file is None:
            continue
        if clip.is_intact(data.folder):
            yield LibraryClip(
                clip_id=clip.clip_id,
                song_id=clip.song_id,
                genre=clip.genre,
                source=clip.source,
                license=clip.license,
                motion_features=data.motion_features(clip),
            )
        else:
            warnings.warn(
                f"{clip.clip_id} is left out: a file of it in {data.folder} is missing or damaged. Run `infinitedance "
                "build` again with the same settings to mend it.",
                stacklevel=2,
            )


class BuiltFeatures(Mapping):
    """The motion features of a built data set by clip id; they stay on disk until they are asked for.

    Args:
        data: The data set.
    """

    def __init__(self, data: BuiltDataset):
        self.data = data
        self.entries = {clip.clip_id: clip for clip in data.clips}

    def __getitem__(self, clip_id: str) -> np.ndarray:
        return self.data.motion_features(self.entries[clip_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
