"""Sources of videos: they are captured into the build, and their clips are built as any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..utils.atomic import held_folder
from .capture_entries import REPORT_FILE, check_output, write_clip_folder
from .sources.video import VideoSource
from .stages import SourceFolder
from .video_clips import run_captures
from .video_files import find_videos
from .video_jobs import CaptureOptions, list_videos

CAPTURED_FOLDER = "captured"
"""In a build: the clip folder of its videos."""


def capture_sources(
    sources: Sequence[SourceFolder],
    output: Path,
    tools: Any = None,
    *,
    num_workers: int = 1,
    engine: str = "local",
    show_progress: bool = False,
) -> list[SourceFolder]:
    """Capture the videos of all sources into one clip folder, which is a source in their place.

    A video that was changed, or whose options were, is captured anew; the clips of one that is gone are removed.

    Args:
        sources: Of a build.
        output: Its folder.
        tools: `CaptureTools`, or what has its methods.
        num_workers: Processes, or tasks at once on Ray.
        engine: `"local"` or `"ray"`.
        show_progress: Show a progress bar.

    Returns:
        The other sources, and the clip folder.

    Raises:
        FileNotFoundError: If there is no such folder, or no video in it.
        ValueError: If an option is unknown or out of range.
    """
    videos = []
    for source in sources:
        if source.name == VideoSource.name:
            options = CaptureOptions.parse(dict(source.options))
            found = list(find_videos(source.folder))
            if not found:
                raise FileNotFoundError(f"There are no videos in {source.folder}.")
            videos += [(path, options) for path in found]
    jobs, _ = list_videos(videos)
    folder = output / CAPTURED_FOLDER
    check_output(folder)
    with held_folder(folder):
        run_captures(
            jobs,
            folder,
            tools,
            replaces=True,
            num_workers=num_workers,
            engine=engine,
            show_progress=show_progress,
        )
        write_clip_folder(folder, only=[job.key for job in jobs])
    first = next(source for source in sources if source.name == VideoSource.name)
    others = [source for source in sources if source.name != VideoSource.name]
    return [*others, replace(first, folder=str(folder), options=())]


def capture_report(built_dir: Path) -> str | None:
    """Return where the report on the videos of a build is, relative to it; `None` if it has none."""
    path = built_dir / CAPTURED_FOLDER / REPORT_FILE
    return path.relative_to(built_dir).as_posix() if path.is_file() else None
