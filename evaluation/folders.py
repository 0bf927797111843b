"""Read folders of dances and songs of any system, and pair them."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from ..audio.beats import estimate_beats
from ..audio.loading import AUDIO_SUFFIXES, load_audio
from ..audio.spectra import SAMPLING_RATE
from ..motion.files import MOTION_SUFFIXES, ReadOptions, read_joint_positions, read_motion
from ..motion.motion import FRAME_RATE
from ..utils.errors import reading
from .measures import MIN_DANCE_SECONDS, MeasuredDance, Song

MANIFEST_COLUMNS = ("file", "song", "genre", "bpm")
MAX_LISTED = 3
EXACT_SUFFIX = ".npz"
"""Of a dance in several formats, as `infinitedance dance` writes it, this file is measured."""


@dataclass(frozen=True)
class ManifestRow:
    """What a manifest says about one dance.

    Args:
        song: Name of its song's file, with or without ending; empty: found by the dance's name.
        genre: Its genre; empty if not stated.
        bpm: Tempo of the song in beats per minute, `None` if not stated.
    """

    song: str = ""
    genre: str = ""
    bpm: float | None = None


@dataclass(frozen=True, eq=False)
class DanceFolder:
    """The dances of a folder.

    Args:
        positions: `(frames, 22, 3)` of each dance, metres, at 30 Hz, by the name of its file without ending.
        paths: The files, by the same names.
        hashes: SHA-256 of each file, by its name with ending.
        left_out: File and reason of what is not measured: dances of `paths` in another format.
    """

    positions: dict[str, np.ndarray]
    paths: dict[str, Path]
    hashes: dict[str, str]
    left_out: list[dict[str, str]]


@dataclass(eq=False)
class PairedDances:
    """Dances with their songs.

    Args:
        generated: What is measured.
        reference: Real dances.
        songs: The songs that are danced to.
        song_hashes: SHA-256 of each of their files, by its name.
        left_out: File and reason of what could not be paired.
    """

    generated: list[MeasuredDance]
    reference: list[MeasuredDance]
    songs: list[Song]
    song_hashes: dict[str, str]
    left_out: list[dict[str, str]] = field(default_factory=list)


def list_files(folder: Path, suffixes: Iterable[str], what: str) -> dict[str, Path]:
    """Return the files of a folder with some endings, by name without ending, sorted.

    Of files that differ by their ending only, the `.npz` stands for all.

    Args:
        folder: The folder; folders in it are not read.
        suffixes: Endings, in lower case.
        what: What the files are, for messages.

    Raises:
        FileNotFoundError: If there is no such folder, or no such file in it.
        ValueError: If files differ by their ending only, and none of them is an `.npz`.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} of {what}.")
    paths = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )
    if not paths:
        raise FileNotFoundError(f"{folder} must hold {what} ({', '.join(suffixes)}), got none.")
    files = {path.stem: path for path in sorted(paths, key=lambda path: path.suffix.lower() == EXACT_SUFFIX)}
    for path in paths:
        chosen = files[path.stem]
        if chosen != path and chosen.suffix.lower() != EXACT_SUFFIX:
            raise ValueError(f"{folder} must hold one file for each name, got {path.name} and {chosen.name}.")
    return dict(sorted(files.items()))


def read_dances(
    folder: Path,
    what: str,
    options: ReadOptions | None = None,
    *,
    on_one_body: bool = False,
) -> DanceFolder:
    """Read all dances of a folder, at 30 Hz.

    Args:
        folder: Motion files.
        what: What they are, for messages.
        options: How all files are to be read.
        on_one_body: Whether joints are fitted to our body, as `read_motion` does, instead of measured as they stand.

    Raises:
        FileNotFoundError: As `list_files`.
        ValueError: If a file cannot be read, or a dance is shorter than 2 s; all of them are named.
    """
    positions, hashes, problems = {}, {}, []
    paths = list_files(folder, MOTION_SUFFIXES, what)
    for name, path in tqdm(paths.items(), desc=what, unit="file", disable=None):
        try:
            if on_one_body:
                motion = read_motion(path, options)
                joints, rate = motion.joint_positions().astype(np.float64), motion.frame_rate
            else:
                joints, rate = read_joint_positions(path, options)
            positions[name] = check_dance(resample_positions(joints, rate, FRAME_RATE))
        except (ValueError, OSError) as error:
            problems.append(_of_file(path, error, what))
        hashes[path.name] = file_hash(path)
    if problems:
        more = f" ... and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        listed = "; ".join(problems[:MAX_LISTED])
        raise ValueError(f"{len(problems)} of {len(paths)} files in {folder} cannot be measured: {listed}{more}")
    return DanceFolder(positions, paths, hashes, _other_formats(folder, paths))


def _other_formats(folder: Path, paths: Mapping[str, Path]) -> list[dict[str, str]]:
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in MOTION_SUFFIXES and paths.get(path.stem, path) != path
    )
    if not others:
        return []
    name = f"{others[0]} and {len(others) - 1} more" if len(others) > 1 else others[0]
    return [{"file": name, "reason": f"the {EXACT_SUFFIX} of the same name is measured instead"}]


def check_dance(joint_positions: np.ndarray) -> np.ndarray:
    """Return positions at 30 Hz, or raise `ValueError` if they are too short to be measured."""
    seconds = len(joint_positions) / FRAME_RATE
    if seconds < MIN_DANCE_SECONDS:
        raise ValueError(f"a dance must last at least {MIN_DANCE_SECONDS:g} s, got {seconds:.2f} s")
    return joint_positions


def resample_positions(joint_positions: np.ndarray, frame_rate: float, new_frame_rate: float) -> np.ndarray:
    """Return positions `(frames, joints, 3)` at another frame rate, by cubic splines: they add no jitter of their own.

    Args:
        joint_positions: `(frames, joints, 3)`.
        frame_rate: Hz.
        new_frame_rate: Hz.
    """
    if frame_rate == new_frame_rate or len(joint_positions) < 2:
        return joint_positions
    last = (len(joint_positions) - 1) / frame_rate
    times = np.minimum(np.arange(int(last * new_frame_rate + 1e-6) + 1) / new_frame_rate, last)
    return CubicSpline(np.arange(len(joint_positions)) / frame_rate, joint_positions)(times)


def read_pairing_manifest(path: Path) -> dict[str, ManifestRow]:
    """Read a CSV with the columns `file` and, where wanted, `song`, `genre` and `bpm`.

    Returns:
        The rows, by the name of the dance's file without ending.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is not known, `file` is missing or stands twice, or a tempo is no positive number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no manifest {path}.")
    with reading(path), path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    if "file" not in columns or not set(columns) <= set(MANIFEST_COLUMNS):
        raise ValueError(f"{path} must have the column file, and may have song, genre and bpm, got {columns}.")
    manifest: dict[str, ManifestRow] = {}
    for line, row in enumerate(rows, start=2):
        name = _stem(row["file"] or "")
        if not name or name in manifest:
            raise ValueError(f"{path}, line {line}: `file` must be a name that stands once, got {row['file']!r}.")
        bpm = row.get("bpm") or None
        if bpm is not None and not (bpm.replace(".", "", 1).isdigit() and float(bpm) > 0):
            raise ValueError(f"{path}, line {line}: `bpm` must be a positive number, got {bpm!r}.")
        song = _stem(row.get("song") or "")
        manifest[name] = ManifestRow(song, row.get("genre") or "", None if bpm is None else float(bpm))
    return manifest


def pair_dances(
    generated: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    music_folder: Path,
    manifest: Mapping[str, ManifestRow],
) -> PairedDances:
    """Pair dances with songs, and find the beats of the songs.

    A dance belongs to the song that the manifest names, else to the one of its own name, else to the one with the
    longest name that its own begins with before an underscore: `song_waltz_0` belongs to `song`. Its genre, where the
    manifest names none, is that of another dance to its song.

    Args:
        generated: Positions of each dance `(frames, 22, 3)`, metres, at 30 Hz, by name.
        reference: Likewise.
        music_folder: Songs; their beats are estimated, with genre and tempo of the manifest where it has them.
        manifest: From `read_pairing_manifest`.

    Raises:
        FileNotFoundError: As `list_files`.
        ValueError: If the manifest names a dance or a song that does not exist, or no generated dance has a song.
    """
    files = list_files(music_folder, AUDIO_SUFFIXES, "songs")
    unknown = sorted(set(manifest) - set(generated) - set(reference))
    if unknown:
        raise ValueError(f"The manifest names dances that do not exist: {', '.join(unknown[:MAX_LISTED])}.")
    rows = {name: manifest.get(name, ManifestRow()) for name in (*generated, *reference)}
    song_of = {name: _song_name(name, row, files) for name, row in rows.items()}
    if not any(song_of[name] for name in generated):
        raise ValueError(
            f"No generated dance has the name of a song in {music_folder}: dances are named {_some(generated)}, songs "
            f"{_some(files)}. Rename them or give a manifest."
        )
    songs, genres = {}, {}
    for name in sorted(set(filter(None, song_of.values()))):
        members = [row for dance, row in rows.items() if song_of[dance] == name]
        genres[name] = next((row.genre for row in members if row.genre), "")
        bpm = next((row.bpm for row in members if row.bpm), None)
        songs[name] = read_song(files[name], genres[name] or None, bpm)
    left_out = [
        {"file": name, "reason": "no song has its name, so it is not measured against music"}
        for name in rows
        if not song_of[name]
    ]
    left_out += [{"file": files[name].name, "reason": "no dance has its name"} for name in files if name not in songs]
    ours, real = (
        [
            MeasuredDance(name, each, songs.get(song_of[name]), rows[name].genre or genres.get(song_of[name], ""))
            for name, each in dances.items()
        ]
        for dances in (generated, reference)
    )
    hashes = {files[name].name: file_hash(files[name]) for name in songs}
    return PairedDances(ours, real, list(songs.values()), hashes, left_out)


def read_song(path: Path, genre: str | None, bpm: float | None) -> Song:
    """Read a song and find its beats; genre and tempo help where they are known."""
    waveform = load_audio(path, SAMPLING_RATE)
    return Song(
        path.stem, estimate_beats(waveform, SAMPLING_RATE, genre=genre, bpm=bpm), len(waveform) / SAMPLING_RATE
    )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _song_name(name: str, row: ManifestRow, files: Mapping[str, Path]) -> str:
    if row.song:
        if row.song not in files:
            raise ValueError(f"The manifest gives {name} the song {row.song}, which does not exist.")
        return row.song
    if name in files:
        return name
    return max((song for song in files if name.startswith(f"{song}_")), key=len, default="")


def _of_file(path: Path, error: Exception, what: str) -> str:
    """Tell what is wrong with a file in one line that names it once, and the option that its folder goes by."""
    text = str(error).replace("\n", " ")
    if not what.startswith("generated"):
        text = text.replace("--input-frame-rate", "--reference-frame-rate")
    return text.replace(str(path), path.name) if str(path) in text else f"{path.name}: {text}"


def _stem(name: str) -> str:
    known = (*MOTION_SUFFIXES, *AUDIO_SUFFIXES)
    return Path(name).stem if Path(name).suffix.lower() in known else Path(name).name


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
