"""Anybody's clips as a built data set to learn a style from: a clip folder, or files of motion with their songs."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from ..audio.loading import AUDIO_SUFFIXES
from ..motion.files import MOTION_SUFFIXES
from ..utils.atomic import atomic_path
from ..utils.checkpoints import read_json_object
from .build import build_dataset
from .build_report import REPORT_FILES
from .clip_folder import METADATA_FILE, read_clip_folder
from .manifest import MANIFEST_FILE, file_sha256
from .stages import SourceFolder

logger = logging.getLogger(__name__)

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
        work_dir: Folder to build in; the same call finishes what was interrupted. Nothing in it is taken for a clip.
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


def left_out_clips(built: Path) -> dict[str, str]:
    """Return why each clip that a build left out could not be used, by its id."""
    problems = read_json_object(built / REPORT_FILES[0]).get("left_out", [])
    return {problem["clip_id"].removeprefix(f"{_SOURCE}/"): "; ".join(problem["reasons"]) for problem in problems}


def _list_files(clips: Path, folder: Path, name: str, license: str) -> Path:
    """List motion files in a clip folder of their own, inside the folder to build in; they stay where they are."""
    work_dir = folder.parent.resolve()
    motions = _files(clips, MOTION_SUFFIXES, work_dir)
    if not motions:
        raise FileNotFoundError(
            f"{clips} holds no dances: neither a table {METADATA_FILE} nor a motion file "
            f"({', '.join(MOTION_SUFFIXES)})."
        )
    found = _files(clips, AUDIO_SUFFIXES, work_dir)
    # Of songs with one name the first of `AUDIO_SUFFIXES` is taken; those with one content are one song.
    found.sort(key=lambda path: AUDIO_SUFFIXES.index(path.suffix.lower()), reverse=True)
    songs = {path.with_suffix(""): path for path in found}
    if unused := sorted(songs.keys() - {path.with_suffix("") for path in motions}):
        logger.warning(
            "%s: no motion file has the name of %s%s: give a song the name of its dance to use it.",
            clips,
            songs[unused[0]].relative_to(clips),
            f" and {len(unused) - 1} more songs" if len(unused) > 1 else "",
        )
    song_ids: dict[str | None, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / METADATA_FILE) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["clip", "file", "audio", "song_id", "genre", "license", "aligned"])
        for motion in motions:
            stem = motion.with_suffix("")
            song, song_id = songs.get(stem), stem.relative_to(clips).as_posix()
            if song is not None:
                song_id = song_ids.setdefault(file_sha256(song), song_id)
            paths = [str(motion.resolve()), "" if song is None else str(song.resolve())]
            clip = motion.relative_to(clips).as_posix()
            table.writerow([clip, *paths, song_id, name, license, int(song is not None)])
    return folder


def _files(folder: Path, suffixes: Sequence[str], work_dir: Path) -> list[Path]:
    found = [
        Path(parent) / file
        for parent, _, files in os.walk(folder)
        if not Path(parent).resolve().is_relative_to(work_dir)
        for file in files
    ]
    return sorted(path for path in found if path.suffix.lower() in suffixes and not path.name.startswith("."))
