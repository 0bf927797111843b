"""What a file of a video is, without its pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".webm", ".wmv")
"""Endings of the files that are looked for in a folder of videos."""


def find_videos(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield the videos in a folder, at any depth, sorted by path.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"A source of videos must be a folder, got no folder {folder}.")
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith("."):
            yield path


def picture_rate(video: str | os.PathLike) -> float | None:
    """Return how many pictures a second a video has on average; `None` where it cannot be read."""
    import av

    try:
        with av.open(os.fspath(video)) as container:
            rate = container.streams.video[0].average_rate if container.streams.video else None
    except av.FFmpegError:
        return None
    return float(rate) if rate else None
