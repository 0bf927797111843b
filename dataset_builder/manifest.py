"""The manifest of a built data set: one line of JSON a clip, and where each of its files lies."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..utils.atomic import atomic_path
from ..utils.errors import reading
from .splits import SPLITS

MANIFEST_FILE = "manifest.jsonl"


@dataclass(frozen=True)
class BuiltClip:
    """One clip of a built data set, or its mirrored copy; all paths are relative to the data set's folder.

    Args:
        clip_id: Unique: the source's name, a slash, and the source's own id.
        song_id: The song, in the same form; all takes and mirrored copies share it.
        performer_id: The dancer, in the same form, empty if the source does not say.
        source: Data set that the clip comes from.
        license: Terms of the clip.
        genre: The source's own label.
        coarse_genre: One of the few labels that all sources share.
        bpm: Tempo of the song, `None` if the source does not say.
        is_mirrored: Whether this is the mirrored copy of another clip.
        side: `"natural"`, or `"mirrored"` if left and right are exchanged against what was danced: of a mirrored copy
            as a rule, and of a source that is stored as the mirror image.
        units: The choreographic units that it is made of, in their order: label and length in seconds.
        num_frames: Frames of the motion, 30 per second.
        motion_file: `.npy` of `(num_frames, 269)` float32, the motion features.
        music_file: `.npy` of `(frames, 109)` float32, the music features, whose frame 0 is that of the motion; `None`
            without aligned music.
        clock_file: `.npy` of `(num_frames, 11)` float32, the beat clock of a dance without music, of its own pulse;
            `None` with music, which has its clock, and where no pulse was found.
        music_features_version: `version` of the `MusicFeatureExtractor` whose features these are; `None` without.
        codes_file: `.npy` of `(num_quantizers, num_tokens)` int16; `None` if built without a codec.
        audio_file: FLAC, mono, 24 kHz, whose first sample belongs to frame 0; `None` without music or if left out.
        flags: Names of the quality gates that flag the clip, and `genre_guessed`.
        sha256: Hash of the contents of these files.
        split: `"train"`, `"validation"` or `"test"`.
    """

    clip_id: str
    song_id: str
    performer_id: str
    source: str
    license: str
    genre: str
    coarse_genre: str
    bpm: float | None
    is_mirrored: bool
    side: str
    units: tuple[tuple[str, float], ...]
    num_frames: int
    motion_file: str
    music_file: str | None
    clock_file: str | None
    music_features_version: int | None
    codes_file: str | None
    audio_file: str | None
    flags: tuple[str, ...]
    sha256: str
    split: str

    @property
    def files(self) -> list[str]:
        """All files of the clip."""
        files = (self.motion_file, self.music_file, self.clock_file, self.codes_file, self.audio_file)
        return [file for file in files if file]

    def contents_sha256(self, built_dir: Path) -> str | None:
        """Return the hash of the contents of the clip's files as they are, `None` if one is missing."""
        digest = hashlib.sha256()
        # In the order in which they were written.
        for file in (self.motion_file, self.codes_file, self.clock_file, self.music_file, self.audio_file):
            if file is None:
                continue
            if not (built_dir / file).is_file():
                return None
            digest.update((built_dir / file).read_bytes())
        return digest.hexdigest()

    def is_intact(self, built_dir: Path) -> bool:
        """Return whether all files of the clip are there, with the contents that were written."""
        return self.contents_sha256(built_dir) == self.sha256


def write_manifest(clips: Iterable[BuiltClip], built_dir: Path) -> None:
    """Write the manifest; equal clips give equal bytes."""
    with atomic_path(built_dir / MANIFEST_FILE) as partial:
        partial.write_text("".join(json_line(asdict(clip)) for clip in clips), encoding="utf-8")


def read_manifest(built_dir: str | os.PathLike) -> list[BuiltClip]:
    """Read the clips of a built data set, in the order of their ids.

    Raises:
        FileNotFoundError: If there is no manifest: the folder is no built data set, or its build was not finished.
        ValueError: If a line is not a clip, or a clip occurs twice.
    """
    path = manifest_path(built_dir)
    clips = []
    names = {field.name for field in fields(BuiltClip)}
    with reading(path):
        lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines[:-1] if not lines[-1] else lines, start=1):
        with reading(f"{path}, line {number},"):
            values = json.loads(line)
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(
                f"{path}, line {number}: a clip must have the fields {', '.join(sorted(names))}. Build the data set "
                "again if another version of this package made it."
            )
        if values["split"] not in SPLITS or not isinstance(values["num_frames"], int) or values["num_frames"] < 1:
            raise ValueError(
                f"{path}, line {number}: a clip must have a split out of {', '.join(SPLITS)} and at least one frame, "
                f"got {values['split']!r} and {values['num_frames']}."
            )
        with reading(f"{path}, line {number},"):
            clips.append(clip_from_json(values))
    counts = Counter(clip.clip_id for clip in clips)
    if len(counts) < len(clips):
        twice = sorted(clip_id for clip_id, count in counts.items() if count > 1)
        raise ValueError(f"{path}: `clip_id` must be unique, got twice: {', '.join(twice)}.")
    return clips


def clip_from_json(values: Mapping[str, Any]) -> BuiltClip:
    """Return a clip of its fields as JSON holds them.

    Raises:
        TypeError: If a field is missing or of another type.
    """
    for name in ("clip_id", "song_id", "performer_id", "source", "license", "genre", "motion_file", "sha256"):
        if not isinstance(values[name], str):
            raise TypeError(f"`{name}` must be a text, got {values[name]!r}")
    for name in ("music_file", "clock_file", "codes_file", "audio_file"):
        if not isinstance(values[name], str | None):
            raise TypeError(f"`{name}` must be a text or null, got {values[name]!r}")
    units = tuple((label, float(seconds)) for label, seconds in values["units"])
    return BuiltClip(**{**values, "flags": tuple(values["flags"]), "units": units})


def manifest_sha256(built_dir: str | os.PathLike) -> str:
    """Return the hash of the manifest, which names the hash of every file: it changes with any of them."""
    return hashlib.sha256(manifest_path(built_dir).read_bytes()).hexdigest()


def manifest_path(built_dir: str | os.PathLike) -> Path:
    """Return the path of the manifest, or say that there is none."""
    path = Path(built_dir) / MANIFEST_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.parent} holds no {MANIFEST_FILE}: it is no built data set, or its build was not finished. Make it "
            "with `infinitedance build`, or run the same command again to finish it."
        )
    return path


def file_sha256(path: Path) -> str | None:
    """Return the hash of a file's content, `None` if there is no file; a song of many clips is read once."""
    if not path.is_file():
        return None
    status = path.stat()
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_line(values: dict) -> str:
    """Return one line of JSON with its keys in order."""
    return json.dumps(values, sort_keys=True, ensure_ascii=False) + "\n"
