"""Public data sets in their own layouts, one module each: what can be listed, and dances on our body."""

from __future__ import annotations

import os
from typing import Any

from .aist import AistSource
from .amass import AmassSource
from .base import MotionSource, SourceRecord
from .clip_folder import ClipFolderSource
from .cmu import CmuSource
from .dance_with_melody import DanceWithMelodySource
from .estimates import EstimatesSource
from .finedance import FineDanceSource
from .g1_moves import G1MovesSource
from .infinitedance import InfiniteDanceSource
from .motorica import MotoricaSource
from .popdanceset import PopDanceSetSource
from .video import VideoSource

__all__ = ["SOURCES", "MotionSource", "SourceRecord", "open_source"]

SOURCES: dict[str, type[MotionSource]] = {
    source.name: source
    for source in (
        AistSource,
        AmassSource,
        ClipFolderSource,
        CmuSource,
        DanceWithMelodySource,
        EstimatesSource,
        FineDanceSource,
        G1MovesSource,
        InfiniteDanceSource,
        MotoricaSource,
        PopDanceSetSource,
        VideoSource,
    )
}
"""Sources by the name under which they are opened."""


def open_source(name: str, folder: str | os.PathLike, **options: Any) -> MotionSource:
    """Open a data set on disk.

    Args:
        name: A key of `SOURCES`.
        folder: The folder of the set.
        options: `trust_pickle`, and what else the class of the source takes.

    Raises:
        ValueError: If there is no such source, or it comes as pickles that are not trusted.
        FileNotFoundError: If the folder does not exist.
        TypeError: If the source has no such option.
    """
    if name not in SOURCES:
        raise ValueError(f"`name` must be one of {', '.join(SOURCES)}, got {name!r}.")
    return SOURCES[name](folder, **options)
