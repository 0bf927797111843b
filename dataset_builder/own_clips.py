"""Anybody's clips as a built data set to learn a style from: a clip folder, or files of motion with their songs."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from ..audio.loading import AUDIO_SUFFIXES
from ..motion.files import MOTION_SUFFIXES
from ..utils.atomic import atomic_path
from .build import build_dataset
from .clip_folder import METADATA_FILE, read_clip_folder
from .manifest import MANIFEST_FILE
from .stages import SourceFolder

CLIPS_FOLDER, BUILT_FOLDER = "clips", "built"
_SOURCE = "clip_folder"


def build_own_clips(
    clips: Path, work_dir: Path, *, name: str, license: str = "", trust_pickle: bool = False, num_workers: int = 1
) -> Path:
    """Build a data set out of clips to learn a style from.

    Args:
        clips: A clip folder (docs/data_format.md), whose own splits are kept; a folder of motion files, at any depth,
            each with its song beside it under the same name, or without; or a built data set, which is returned. All
            clips are of the split `train` where none is stated.
        work_dir: Folder to build in; the same call finishes what was interrupted.
        name: Genre of motion files that no table lists.
        license: Terms of these.
        trust_pickle: Read pickles.
        num_workers: Processes.

    Returns:
        The built folder.

    Raises:
        FileNotFoundError: If `clips` does not exist or holds no motion.
        ValueError: If no clip can be used.
    """
    if not clips.is_dir():
        what = "is a file" if clips.exists() else "does not exist"
        raise FileNotFoundError(f"{clips} {what}: give a folder of dances.")
    if (clips / MANIFEST_FILE).is_file():
        return clips
    folder = clips if (clips / METADATA_FILE).is_file() else _list_files(clips, work_dir / CLIPS_FOLDER, name, license)
    states_splits = any(record.split for record in read_clip_folder(folder))
    return build_dataset(
        [SourceFolder(_SOURCE, str(folder))],
        work_dir / BUILT_FOLDER,
        keep_audio=False,
        split_songs=None if states_splits else {},
        num_workers=num_workers,
        trust_pickle=trust_pickle,
        show_progress=True,
    )


def _list_files(clips: Path, folder: Path, name: str, license: str) -> Path:
    """List motion files in a clip folder of their own; they stay where they are."""
    motions = _files(clips, MOTION_SUFFIXES)
    if not motions:
        raise FileNotFoundError(
            f"{clips} holds no dances: neither a table {METADATA_FILE} nor a motion file "
            f"({', '.join(MOTION_SUFFIXES)})."
        )
    songs = {path.with_suffix(""): path for path in _files(clips, AUDIO_SUFFIXES)}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / METADATA_FILE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["clip", "file", "audio", "genre", "license", "aligned"])
        for motion in motions:
            song = songs.get(motion.with_suffix(""))
            clip = motion.relative_to(clips).as_posix()
            paths = [str(motion.resolve()), "" if song is None else str(song.resolve())]
            table.writerow([clip, *paths, name, license, int(song is not None)])
    return folder


def _files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    found = [Path(parent) / file for parent, _, files in os.walk(folder) for file in files]
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))
