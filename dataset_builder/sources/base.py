"""What every data set looks like to the builder: records that are cheap to list, and dances on our body."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...audio.loading import AUDIO_SUFFIXES
from ...motion.files import RESTRICTED_PICKLE_NOTE
from ...motion.motion import FRAME_RATE, Motion
from ...motion.retargeting.retargeting import put_on_floor, retarget
from ...motion.skeleton import neutral_skeleton
from ..clip_folder import NATURAL

MAX_LISTED_NAMES = 12


@dataclass(frozen=True)
class SourceRecord:
    """One dance of a data set; its motion is not loaded.

    Args:
        clip_id: Unique within the source.
        song_id: Names the song within the source; all clips that are danced to any part of it share it.
        performer_id: Names the dancer, empty if the set does not say.
        genre: The set's own fine label, in words; `genres.coarse_genre` maps it.
        source: `name` of the source.
        license: Terms of the clip.
        motion_path: The motion file.
        audio_path: The song, `None` for a clip without music.
        bpm: Tempo of the song in beats per minute, `None` if the set does not say.
        aligned: Whether motion and sound are known to run together: frame 0 of the loaded motion is heard at
            `start_seconds` of `audio_path`, and 30 frames last one second of it.
        start_seconds: Seconds into `audio_path` at which the dance begins.
        retime: Factor by which `load` stretches the duration of the file's motion so that it runs with the sound.
        duration_seconds: Length of the loaded motion, `None` if not known without loading.
        motion_start_seconds: Where in the file's motion the clip begins; `start_seconds` is that moment of the song.
        motion_end_seconds: Where in the file's motion it ends, `None` for its end.
        units: The choreographic units that it is made of, in their order: label and length in seconds, 0 for that of
            the whole clip.
        side: `"natural"`, or `"mirrored"` for motion that is stored as the left-right mirror of what was danced.
        beats_path: A text file of the dance's beats, see `read_beats`; `None` if there is none.
        pulse_bpm: Steady pulse of a dance without music, a minute, `None` if not known.
        split: `"train"`, `"validation"` or `"test"` where the set says so, empty to have it drawn.
        read_options: Names and values of `ReadOptions` for a motion file that does not say them.
        is_genre_guessed: Whether the genre is the guess of a classifier: the clip is flagged.
        problem: Why the clip cannot be used, found while listing (a song that is missing, an unknown genre code);
            empty for a good clip. `load` raises it.
    """

    clip_id: str
    song_id: str
    performer_id: str
    genre: str
    source: str
    license: str
    motion_path: Path
    audio_path: Path | None = None
    bpm: float | None = None
    aligned: bool = False
    start_seconds: float = 0.0
    retime: float = 1.0
    duration_seconds: float | None = None
    motion_start_seconds: float = 0.0
    motion_end_seconds: float | None = None
    units: tuple[tuple[str, float], ...] = ()
    side: str = NATURAL
    beats_path: Path | None = None
    pulse_bpm: float | None = None
    split: str = ""
    read_options: tuple[tuple[str, Any], ...] = ()
    is_genre_guessed: bool = False
    problem: str = ""


class MotionSource(ABC):
    """A data set on disk, in its public layout.

    Args:
        folder: The folder of the set.
        trust_pickle: Read the set's pickles; needed where `needs_pickle`.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If the set comes as pickles and `trust_pickle` is not set.
    """

    name: ClassVar[str]
    """Key of the source in `SOURCES`."""
    license: ClassVar[str]
    """Terms of the clips, in words."""
    homepage_citation: ClassVar[str]
    """How to cite the set, and where its terms are stated."""
    needs_pickle: bool = False
    """Whether the motions are pickles."""

    def __init__(self, folder: str | os.PathLike, *, trust_pickle: bool = False) -> None:
        self.folder = Path(folder)
        self.trust_pickle = trust_pickle
        self._last_motion: tuple[tuple[Any, ...], Motion] | None = None
        if not self.folder.is_dir():
            raise FileNotFoundError(f"The data set {self.name} must be a folder, got no folder {self.folder}.")
        if self.needs_pickle and not trust_pickle:
            raise ValueError(
                f"The motions of {self.name} are Python pickles, which can run code when they are opened. If you "
                f"trust where {self.folder} comes from, pass `trust_pickle=True` (`--trust-pickle` of the command). "
                f"{RESTRICTED_PICKLE_NOTE}"
            )

    @abstractmethod
    def records(self) -> Iterator[SourceRecord]:
        """List the clips in a fixed order, without loading a motion.

        Raises:
            FileNotFoundError: If the folder does not have the layout of the set.
        """

    @abstractmethod
    def read(self, record: SourceRecord) -> Motion:
        """Read the clip as the file has it: on our body, at the file's own frame rate and timing."""

    def load(self, record: SourceRecord) -> Motion:
        """Read a clip on our neutral body at 30 fps, the floor at 0, in time with its song.

        Raises:
            ValueError: If the clip cannot be used; says why.
        """
        if record.problem:
            raise ValueError(f"{record.clip_id}: {record.problem}")
        try:
            motion = self._whole_motion(record)
            if record.motion_start_seconds or record.motion_end_seconds is not None:
                motion = motion.cut(*_frames(record, motion))
        except (OSError, ValueError) as error:
            raise ValueError(f"{record.clip_id}: {error}") from error
        provenance = {**motion.provenance, "source": record.source, "clip": record.clip_id, "license": record.license}
        return replace(motion, provenance=provenance)

    def _whole_motion(self, record: SourceRecord) -> Motion:
        """Return the motion of a clip's file; the parts of a file follow each other, so that one is kept."""
        key = (record.motion_path, record.motion_path.stat().st_mtime_ns, record.retime, record.read_options)
        if self._last_motion is None or self._last_motion[0] != key:
            motion = self.read(record)
            if motion.skeleton != neutral_skeleton():
                motion = retarget(motion)
            motion = replace(motion, frame_rate=motion.frame_rate / record.retime).resample(FRAME_RATE)
            self._last_motion = (key, put_on_floor(motion))
        return self._last_motion[1]

    def make_record(self, path: Path, **values: Any) -> SourceRecord:
        """Return the record of a motion file: named as the file, a song of its own, aligned if there is a song.

        Args:
            path: The motion file.
            values: Fields of the record that are known better.
        """
        clip_id = values.get("clip_id", path.stem)
        defaults: dict[str, Any] = {
            "clip_id": clip_id,
            "song_id": clip_id,
            "performer_id": "",
            "genre": "",
            "source": self.name,
            "license": self.license,
            "motion_path": path,
            "aligned": values.get("audio_path") is not None,
        }
        return SourceRecord(**(defaults | values))

    def subfolder(self, *names: str) -> Path:
        """Return the first of these folders that exists, or raise `FileNotFoundError` with what was found instead."""
        for name in names:
            if (self.folder / name).is_dir():
                return self.folder / name
        raise self.missing_layout(f"a folder {' or '.join(names)}")

    def missing_layout(self, expected: str) -> FileNotFoundError:
        """Return the error for a folder that is not laid out as expected: what was found, what should be there."""
        found = sorted(path.name + "/" * path.is_dir() for path in self.folder.iterdir())
        listed = ", ".join(found[:MAX_LISTED_NAMES]) + (", ..." if len(found) > MAX_LISTED_NAMES else "")
        return FileNotFoundError(
            f"{self.folder} is not laid out as {self.name}: expected {expected}, found {listed or 'nothing'}."
        )


def _frames(record: SourceRecord, motion: Motion) -> tuple[int, int]:
    """Return first frame and end of a clip that is a part of a motion."""
    end_seconds = motion.duration_seconds if record.motion_end_seconds is None else record.motion_end_seconds
    start, end = round(record.motion_start_seconds * FRAME_RATE), round(end_seconds * FRAME_RATE)
    if not start < end <= motion.num_frames:
        raise ValueError(
            f"the clip must lie within its motion of {motion.duration_seconds:.2f} s, got "
            f"{record.motion_start_seconds:g} to {end_seconds:g} s."
        )
    return start, end


def find_audio(folders: Iterable[Path], *stems: str) -> Path | None:
    """Return the first sound file that has one of these names, whatever its format; `None` if there is none."""
    for folder in folders:
        for stem in stems:
            for suffix in AUDIO_SUFFIXES:
                if (folder / f"{stem}{suffix}").is_file():
                    return folder / f"{stem}{suffix}"
    return None


def npy_duration_seconds(path: Path) -> float | None:
    """Return the length of a `.npy` motion of 30 Hz without reading it; `None` if the file is broken."""
    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False)) / FRAME_RATE
    except (OSError, ValueError, EOFError, TypeError):
        return None
