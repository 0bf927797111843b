"""The clip-folder format: dances and their songs, listed in one `metadata.csv` (docs/data_format.md)."""

from __future__ import annotations

import csv
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..motion.files import MOTION_SUFFIXES
from ..motion.files.read_options import UNITS, UP_AXES
from .splits import SPLITS

logger = logging.getLogger(__name__)

METADATA_FILE = "metadata.csv"
REQUIRED_COLUMNS = ("clip", "file", "genre")
VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
MIRROR_SUFFIX = "_mirror"
"""What the `clip_id` of a mirrored copy ends with."""
SIDES = NATURAL, MIRRORED = "natural", "mirrored"
GIVEN, GUESSED = "given", "guessed"
"""Where a genre comes from: a person, or a classifier."""
MAX_LISTED_PROBLEMS = 20


@dataclass(frozen=True)
class ClipRecord:
    """One dance of a clip folder; nothing of it is loaded.

    Args:
        clip_id: Unique name of the clip.
        motion_path: Any file that `read_motion` reads.
        audio_path: The song that it is danced to, `None` where there is none.
        song_id: Names the song; all takes and mirrored copies of one song share it.
        genre: Genre of the dance.
        source: Where the clip comes from, empty if not stated.
        license: Terms of the clip, empty if not stated.
        bpm: Tempo of the song in beats per minute, `None` if not known.
        aligned: Whether the first frame of the motion and the first sample of the audio are the same instant.
        duration_seconds: Length of the motion, `None` if not stated.
        performer_id: Names the dancer, empty if not stated.
        start_seconds: Where in the motion, and in the song, the clip begins.
        end_seconds: Where it ends, `None` for the end of the motion.
        units: The choreographic units that it is made of, in their order: label and length in seconds, 0 for that of
            the whole clip.
        side: `"natural"`, or `"mirrored"` for motion that is stored as the left-right mirror of what was danced.
        beats_path: Beat times of the dance, `None` if there are none.
        pulse_bpm: Steady pulse of a dance without music, a minute, `None` if not known.
        split: `"train"`, `"validation"` or `"test"`, empty to have it drawn.
        read_options: Names and values of `ReadOptions` for files that do not say them.
        is_genre_guessed: Whether the genre is the guess of a classifier, as in a folder that was captured.
    """

    clip_id: str
    motion_path: Path
    audio_path: Path | None
    song_id: str
    genre: str
    source: str
    license: str
    bpm: float | None
    aligned: bool
    duration_seconds: float | None
    performer_id: str = ""
    start_seconds: float = 0.0
    end_seconds: float | None = None
    units: tuple[tuple[str, float], ...] = ()
    side: str = NATURAL
    beats_path: Path | None = None
    pulse_bpm: float | None = None
    split: str = ""
    read_options: tuple[tuple[str, Any], ...] = ()
    is_genre_guessed: bool = False

    def missing_files(self) -> list[Path]:
        """Return which of the clip's files do not exist."""
        files = (self.motion_path, self.audio_path, self.beats_path)
        return [file for file in files if file is not None and not file.is_file()]


@dataclass(frozen=True)
class ClipRow:
    """A row of `metadata.csv` that lists a dance.

    Args:
        line: Its line in the file.
        record: The dance, `None` if the row cannot be used.
        problem: Why it cannot be used, empty if it can.
    """

    line: int
    record: ClipRecord | None
    problem: str


def opposite_side(side: str) -> str:
    """Return the side of the mirrored copy of a clip."""
    return NATURAL if side == MIRRORED else MIRRORED


def read_clip_folder(path: str | Path) -> list[ClipRecord]:
    """Read the list of dances of a clip folder.

    Rows without a motion file (a song alone, a video) are no dances: they are left out, and their number is logged.

    Args:
        path: A folder that holds `metadata.csv`; the paths in it are relative to the folder.

    Returns:
        One record a dance, in the order of the file.

    Raises:
        FileNotFoundError: If `metadata.csv` or a file that it names is missing.
        ValueError: If a column is missing, a name is empty or stands twice, a number cannot be read, a file has a
            suffix that is not supported, or no dance is listed. All problems are listed at once.
    """
    metadata_path = Path(path) / METADATA_FILE
    rows = read_clip_rows(path)
    problems = [f"line {row.line}: {row.problem}" for row in rows if row.problem]
    if problems:
        raise ValueError(_listed(f"{metadata_path} cannot be used", problems))
    records = [row.record for row in rows if row.record is not None]
    missing_files = [f"{record.clip_id}: {file}" for record in records for file in record.missing_files()]
    if missing_files:
        raise FileNotFoundError(_listed(f"{metadata_path} names files that do not exist", missing_files))
    return records


def read_clip_rows(path: str | Path) -> list[ClipRow]:
    """Read the dances of a clip folder row by row, with what is wrong with a row beside the others.

    Args:
        path: As in `read_clip_folder`; whether the files exist is not looked at.

    Raises:
        FileNotFoundError: If `metadata.csv` is missing.
        ValueError: If a column is missing or no dance is listed.
    """
    folder = Path(path)
    metadata_path = folder / METADATA_FILE
    listed = _read_rows(metadata_path)
    rows: list[ClipRow] = []
    seen: set[str] = set()
    for line, row in listed:
        if not row["file"] or Path(row["file"]).suffix.lower() in VIDEO_SUFFIXES:
            continue
        try:
            record = _record_from_row(row, folder)
            if record.clip_id in seen:
                raise ValueError(f"the clip {record.clip_id!r} is listed more than once")
            rows.append(ClipRow(line, record, ""))
        except ValueError as error:
            rows.append(ClipRow(line, None, str(error)))
        seen.add(row["clip"])
    if not rows:
        raise ValueError(
            f"{metadata_path} must list at least one dance with a motion file in the column `file`, got none."
        )
    if len(rows) < len(listed):
        logger.info("%s: %d rows without a motion file are left out.", metadata_path, len(listed) - len(rows))
    return rows


def _read_rows(metadata_path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return each row with the number of its line."""
    if not metadata_path.is_file():
        raise FileNotFoundError(
            f"A clip folder must hold `{METADATA_FILE}` (see docs/data_format.md), got no {metadata_path}."
        )
    try:
        # utf-8-sig: spreadsheets write a byte order mark before the first column's name.
        with metadata_path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            rows = [
                (reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}) for row in reader
            ]
    except UnicodeDecodeError as error:
        raise ValueError(f"{metadata_path} must be UTF-8 text, save it as such: {error}.") from error
    missing_columns = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing_columns:
        raise ValueError(
            f"{metadata_path} must have the columns {', '.join(REQUIRED_COLUMNS)} (see docs/data_format.md): "
            f"{', '.join(missing_columns)} missing, got {', '.join(columns) or 'an empty file'}."
        )
    return rows


def _record_from_row(row: dict[str, str], folder: Path) -> ClipRecord:
    clip_id = row["clip"]
    if not clip_id or not row["genre"]:
        raise ValueError(f"`clip` and `genre` must not be empty, got {clip_id!r} and {row['genre']!r}")
    motion_path = folder / row["file"]
    if motion_path.suffix.lower() not in MOTION_SUFFIXES:
        raise ValueError(f"`file` must be one of {', '.join(MOTION_SUFFIXES)} (or a video), got {row['file']!r}")
    audio = row.get("audio", "")
    # A cell such as "(features only)" is a remark on where the sound is, not a file.
    audio_path = folder / audio if audio and not audio.endswith(")") else None
    song_id = row.get("song_id") or (audio_path.stem if audio_path else clip_id.removesuffix(MIRROR_SUFFIX))
    aligned = row.get("aligned") or ("1" if audio_path else "0")
    if aligned not in ("0", "1"):
        raise ValueError(f"`aligned` must be 0 or 1, got {aligned!r}")
    side, split = row.get("side") or NATURAL, row.get("split", "")
    if side not in SIDES:
        raise ValueError(f"`side` must be one of {', '.join(SIDES)} or empty, got {side!r}")
    if split and split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)} or empty, got {split!r}")
    genre_source = row.get("genre_source") or GIVEN
    if genre_source not in (GIVEN, GUESSED):
        raise ValueError(f"`genre_source` must be {GIVEN}, {GUESSED} or empty, got {genre_source!r}")
    start, end = _positive_number(row, "start_seconds", or_zero=True) or 0.0, _positive_number(row, "end_seconds")
    if end is not None and end <= start:
        raise ValueError(f"`end_seconds` must be more than `start_seconds`, got {end:g} and {start:g}")
    seconds = _positive_number(row, "seconds")
    if end is None and seconds is not None and start >= seconds:
        raise ValueError(f"`start_seconds` must be less than `seconds`, got {start:g} and {seconds:g}")
    last = seconds if end is None else end
    return ClipRecord(
        clip_id=clip_id,
        motion_path=motion_path,
        audio_path=audio_path,
        song_id=song_id,
        genre=row["genre"],
        source=row.get("source", ""),
        license=row.get("license") or row.get("licence", ""),
        bpm=_positive_number(row, "bpm"),
        aligned=aligned == "1",
        duration_seconds=None if last is None else last - start,
        performer_id=row.get("performer") or row.get("dancer", ""),
        start_seconds=start,
        end_seconds=end,
        units=_units(row.get("units", "")),
        side=side,
        beats_path=folder / row["beats"] if row.get("beats") else None,
        pulse_bpm=_positive_number(row, "pulse_bpm") or _positive_number(row, "pulse_per_min"),
        split=split,
        read_options=_read_options(row),
        is_genre_guessed=genre_source == GUESSED,
    )


def _read_options(row: dict[str, str]) -> tuple[tuple[str, Any], ...]:
    """Return what the columns say that are named like options of `read_motion`."""
    options: dict[str, Any] = {"frame_rate": _positive_number(row, "frame_rate")}
    for name, known in (("up_axis", UP_AXES), ("unit", UNITS)):
        options[name] = row.get(name)
        if options[name] and options[name] not in known:
            raise ValueError(f"`{name}` must be one of {', '.join(known)} or empty, got {options[name]!r}")
    options["person"] = row.get("person")
    return tuple((name, value) for name, value in options.items() if value)


def _units(text: str) -> tuple[tuple[str, float], ...]:
    """Read `label:first frame-end frame` of 30 Hz, divided by blanks; a label alone is the whole clip."""
    units = []
    parts = text.split()
    for part in parts:
        label, colon, frames = part.partition(":")
        first, end = 0, 0  # of a whole clip, whose length is known when it is loaded
        if colon or len(parts) > 1 or not label:
            try:
                first, end = (int(frame) for frame in frames.split("-"))
            except ValueError:
                first = end = -1
            if not label or not 0 <= first < end:
                raise ValueError(
                    "`units` must be `label:first frame-end frame` divided by blanks, or the one label of the whole "
                    f"clip, got {part!r}"
                )
        units.append((label, (end - first) / 30))
    return tuple(units)


def _positive_number(row: dict[str, str], column: str, *, or_zero: bool = False) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and (number > 0 or or_zero and number == 0)):
        raise ValueError(f"`{column}` must be a positive number{' or 0' * or_zero} or empty, got {text!r}")
    return number


def _listed(headline: str, problems: list[str]) -> str:
    shown = problems[:MAX_LISTED_PROBLEMS]
    more = [f"... and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
    return "\n  ".join([f"{headline}:", *shown, *more])
