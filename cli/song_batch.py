"""The songs of one `infinitedance dance`: found, given names for their dances, and reported."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_STEM_BYTES = 120
"""Of a song's name in the names of its files: with genre, seed, ending and what a temporary name adds, 255 at most."""


@dataclass(frozen=True)
class PlannedSong:
    """A song and the files of its dance.

    Args:
        song: Its file.
        paths: What is written, in this order.
    """

    song: Path
    paths: tuple[Path, ...]

    @property
    def existing(self) -> list[Path]:
        """Those of the files that are there already."""
        return [path for path in self.paths if path.exists() or path.is_symlink()]


@dataclass(frozen=True)
class SongResult:
    """What became of a song; one line of `--json`.

    Args:
        song: Its file.
        status: `"made"`, `"kept"`: its files were there, or `"failed"`.
        files: Of its dance.
        details: `seconds`, `genre` and `bpm` of a dance that was made.
        error: Why it failed.
    """

    song: Path
    status: str
    files: Sequence[Path] = ()
    details: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    def to_json(self) -> str:
        """Return one line of ASCII; a byte of a name that is no UTF-8 is escaped as Python does."""
        return json.dumps(
            {
                "song": str(self.song),
                "status": self.status,
                "files": [str(path) for path in self.files],
                **{name: self.details.get(name) for name in ("seconds", "genre", "bpm")},
                "error": self.error,
            }
        )


class Report:
    """What the command prints: on standard output a text or JSON, on standard error what failed."""

    def __init__(self, arguments: argparse.Namespace):
        self.is_json, self.is_quiet = arguments.json, arguments.quiet

    @property
    def shows_progress(self) -> bool:
        """Whether progress bars may appear, on a terminal."""
        return not (self.is_json or self.is_quiet)

    def note(self, text: str) -> None:
        """Print a line of text, unless only JSON or only errors are wanted."""
        if not (self.is_json or self.is_quiet):
            _print(text)

    def result(self, result: SongResult) -> None:
        """Print what became of a song."""
        if self.is_json:
            _print(result.to_json())

    def failure(self, error: Exception) -> None:
        """Tell on standard error that a song of several failed."""
        print(f"infinitedance: failed: {error}", file=sys.stderr, flush=True)


@contextmanager
def quieted(is_quiet: bool) -> Iterator[None]:
    """Let no warning of the package and of Python through, if only errors are wanted."""
    logger = logging.getLogger("infinitedance")
    level = logger.level
    with warnings.catch_warnings():
        if is_quiet:
            warnings.simplefilter("ignore")
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def bars_on_terminals_only(report: Report) -> Iterator[None]:
    """Keep the progress bars of transformers out of what is captured or to be quiet."""
    from transformers.utils import logging as transformers_logging

    if (report.shows_progress and sys.stderr.isatty()) or not transformers_logging.is_progress_bar_enabled():
        yield
        return
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()


def _print(text: str) -> None:
    """Print a line, which names of files do not break, whatever their bytes are and the terminal can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # there is no output where it was closed
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def find_songs(named: Sequence[Path]) -> list[Path]:
    """Return the songs of files and folders, each once: those of a folder by name, not of the folders inside it.

    Args:
        named: Files, which need not exist, and folders.

    Raises:
        ValueError: If a folder holds no audio file.
    """
    from ..audio.loading import AUDIO_SUFFIXES

    songs: dict[str, Path] = {}
    for path in named:
        inside = [path]
        if _is_folder(path):
            inside = sorted(
                each
                for each in path.iterdir()
                if each.suffix.lower() in AUDIO_SUFFIXES and not each.name.startswith(".") and each.is_file()
            )
            if not inside:
                raise ValueError(
                    f"The folder {path} holds no audio file ({', '.join(AUDIO_SUFFIXES[:6])} and others); folders "
                    "inside it are not searched."
                )
        for song in inside:
            songs.setdefault(os.path.realpath(song), song)
    return list(songs.values())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # no name of a file
        return False


def plan_songs(songs: Sequence[Path], folder: Path, label: str, suffixes: Sequence[str]) -> list[PlannedSong]:
    """Name the files of each song's dance: `STEM_LABEL.SUFFIX`.

    Songs that share their stem get their ending beside it, `a_mp3` and `a_wav`, and a number if that is not enough.

    Args:
        songs: In the order of the command.
        folder: To write to.
        label: What else stands in the names.
        suffixes: Of the files.
    """
    stems = [short_stem(song.stem) for song in songs]
    counts = [sum(other.casefold() == stem.casefold() for other in stems) for stem in stems]
    taken = {stem.casefold() for stem, count in zip(stems, counts, strict=True) if count == 1}
    planned = []
    for song, stem, count in zip(songs, stems, counts, strict=True):
        name = stem
        if count > 1:
            base = name = f"{stem}_{song.suffix.lstrip('.').lower()}" if song.suffix else stem
            number = 2
            while name.casefold() in taken:
                name, number = f"{base}_{number}", number + 1
            taken.add(name.casefold())
        planned.append(PlannedSong(song, tuple(folder / f"{name}_{label}{suffix}" for suffix in suffixes)))
    return planned


def short_stem(stem: str) -> str:
    """Return a stem of at most 120 bytes, cut between two letters."""
    encoded = os.fsencode(stem)
    if len(encoded) <= MAX_STEM_BYTES:
        return stem
    cut = MAX_STEM_BYTES
    while cut > 0 and encoded[cut] & 0xC0 == 0x80:  # inside a letter of UTF-8
        cut -= 1
    return os.fsdecode(encoded[:cut])


def without_finished(planned: Sequence[PlannedSong], arguments: argparse.Namespace) -> list[PlannedSong]:
    """Return the songs that are to be danced to.

    Args:
        planned: All songs.
        arguments: With `overwrite` and `skip_existing`.

    Raises:
        FileExistsError: If files are in the way, and nothing says what is to become of them.
    """
    if arguments.overwrite:
        return list(planned)
    if arguments.skip_existing:
        return [song for song in planned if len(song.existing) < len(song.paths)]
    existing = [path for song in planned for path in song.existing]
    if existing:
        others = f" and {len(existing) - 1} other files" if len(existing) > 1 else ""
        raise FileExistsError(
            f"{existing[0]}{others} would be overwritten. Give `--overwrite` to replace, `--skip-existing` to make "
            "only what is missing, or another `--output`."
        )
    return list(planned)
