"""Result files of estimators of people in video, as `motion.files.estimates` reads them; every person is a clip.

Layout: files or folders of results at any depth, with the video or the song of the same name beside them:

```
solo.pt  solo.mp4                     the clip solo
duo.pkl  duo.wav                      the clips duo~0 and duo~1, named by the tool's own people
walk/hmr4d_results.pt  walk.mp4       a name that the tool gives to all of its results: the clip walk
walk/hps/hps_track_0.npy  walk.mp4    TRAM
steps/smplx/00001_0.npz               SMPLer-X: the folder is the result
```

A person who is lost for long is one clip before and another after the gap, which begins at its frame: `duo~1~f240`.
What tools keep beside a result, as boxes and masks, is passed over; another file without people is listed as failed.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ...capture.genre_guess import guess_genre
from ...motion.files.estimates import read_estimates
from ...motion.motion import Motion
from ..video_files import VIDEO_SUFFIXES, picture_rate
from .base import MotionSource, SourceRecord, find_audio

RESULT_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".npy")
COMMON_STEMS = ("hmr4d_results", "smpl_params", "wham_output", "results", "vibe_output")
"""Names that a tool gives to the result of every video: the folder has the video's."""
TRAM_PREFIX, TRAM_FOLDER, SMPLERX_FOLDER = "hps_track_", "hps", "smplx"
BY_PRODUCTS = ("tracking_results.pth", "slam_results.pth", "camera.npy", "boxes.npy", "masks.npy", "tracks.npy")
BY_PRODUCT_FOLDER = "preprocess"
"""What WHAM and TRAM, and GVHMR and GENMO, keep beside a result."""
FIXED_RATE_TOOLS = ("GVHMR", "GENMO")
"""They bring every video to 30 Hz; the results of others have the rate of their video."""


class EstimatesSource(MotionSource):
    """A folder of results; see the module for its layout.

    Args:
        folder: The folder.
        trust_pickle: Open results that are pickles (`.pkl`, `.npy`); those that are not trusted are listed as failed.
        genre: Of all dances; empty: it is guessed, and marked as guessed.
        license: Terms of all clips; empty: not stated.
        performer: Name of the dancer; empty: not stated.
        frame_rate: Of the videos, Hz, where no video lies beside a result and the tool keeps its rate; empty: 30.
    """

    name = "estimates"
    license = "not stated: ask whoever made the videos before you pass it on"
    homepage_citation = "the videos' own; the terms are those that the option `license` stated"

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        trust_pickle: bool = False,
        genre: str = "",
        license: str = "",
        performer: str = "",
        frame_rate: str = "",
    ) -> None:
        super().__init__(folder, trust_pickle=trust_pickle)
        self.genre, self.terms, self.performer = genre, license or self.license, performer
        try:
            self.frame_rate = float(frame_rate) if frame_rate else None
        except ValueError as error:
            raise ValueError(f"`frame_rate` must be a number, got {frame_rate!r}.") from error

    def records(self) -> Iterator[SourceRecord]:
        """List the people of all results, sorted by path."""
        results = list(self._results())
        if not results:
            raise self.missing_layout(f"results of estimators, {', '.join(RESULT_SUFFIXES)} or folders of SMPLer-X")
        for path in results:
            name = self._name(path)
            try:
                motions = self._motions(path)
            except Exception as error:  # readers of broken files raise anything
                reason = str(error).replace(f"{self.folder}{os.sep}", "")
                yield self.make_record(path, clip_id=name, problem=reason or type(error).__name__)
                continue
            people = Counter(motion.provenance["person"] for motion in motions)
            seen: set[str] = set()
            for index, motion in enumerate(motions):
                person, first = motion.provenance["person"], motion.provenance["first_frame"]
                clip_id = name + (f"~{person}" if len(people) > 1 else "") + (f"~f{first}" if person in seen else "")
                seen.add(person)
                yield self._record(path, clip_id, index, motion)

    def _record(self, path: Path, clip_id: str, index: int, motion: Motion) -> SourceRecord:
        audio = self._sound(path)
        is_guessed = not self.genre
        return self.make_record(
            path,
            clip_id=clip_id,
            song_id=self._name(path),
            performer_id=self.performer,
            genre=guess_genre(motion.resample(30.0)).genre if is_guessed else self.genre,
            license=self.terms,
            audio_path=audio,
            start_seconds=motion.provenance["first_frame"] / motion.frame_rate,
            duration_seconds=motion.duration_seconds,
            read_options=(("index", index),),
            is_genre_guessed=is_guessed,
        )

    def read(self, record: SourceRecord) -> Motion:
        """Read one person of a result."""
        return self._motions(record.motion_path)[dict(record.read_options)["index"]]

    def _motions(self, path: Path) -> list[Motion]:
        video = self._beside(path, VIDEO_SUFFIXES)
        rate = self.frame_rate if video is None else picture_rate(video)
        return _read(path, path.stat().st_mtime_ns, self.trust_pickle, rate)

    def _results(self) -> Iterator[Path]:
        for parent, folders, files in os.walk(self.folder):
            folders[:] = sorted(folder for folder in folders if folder != BY_PRODUCT_FOLDER)
            if SMPLERX_FOLDER in folders:
                folders.remove(SMPLERX_FOLDER)
                yield Path(parent) / SMPLERX_FOLDER
            for file in sorted(files):
                path = Path(parent) / file
                if path.suffix.lower() in RESULT_SUFFIXES and not file.startswith(".") and file not in BY_PRODUCTS:
                    yield path

    def _stem(self, path: Path) -> Path:
        """Return the path that the video of a result has, without its ending."""
        if path.is_dir():
            return path.parent
        if path.stem in COMMON_STEMS:
            return path.parent if path.parent != self.folder else path.with_suffix("")
        if path.stem.startswith(TRAM_PREFIX):
            folder = path.parent.parent if path.parent.name == TRAM_FOLDER else path.parent
            return folder if folder != self.folder else path.with_suffix("")
        return path.with_suffix("")

    def _name(self, path: Path) -> str:
        name = self._stem(path).relative_to(self.folder).as_posix()
        is_track = path.stem.startswith(TRAM_PREFIX) and not name.endswith(path.stem)
        return f"{name}~{path.stem.removeprefix(TRAM_PREFIX)}" if is_track else name

    def _beside(self, path: Path, suffixes: tuple[str, ...]) -> Path | None:
        stem = self._stem(path)
        candidates = (stem.parent / f"{stem.name}{suffix}" for suffix in suffixes)
        return next((candidate for candidate in candidates if candidate.is_file()), None)

    def _sound(self, path: Path) -> Path | None:
        """Return the song of a result, else its video, whose sound is read; `None` if there is none with a sound."""
        stem = self._stem(path)
        song = find_audio([stem.parent], stem.name)
        video = self._beside(path, VIDEO_SUFFIXES)
        return song if song is not None or video is None or not _has_sound(video) else video


@lru_cache(maxsize=2)
def _read(path: Path, modified_ns: int, trust_pickle: bool, frame_rate: float | None) -> list[Motion]:
    """Read a result; `modified_ns` is there to read a changed one again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rates that are not stated, which are known here
        motions = read_estimates(path, trust_pickle=trust_pickle)
        if not motions:
            raise ValueError(f"{path} is no result of an estimator that is known. Remove it from the folder.")
        if frame_rate is None or motions[0].provenance["tool"] in FIXED_RATE_TOOLS:
            return motions
        return read_estimates(path, trust_pickle=trust_pickle, frame_rate=frame_rate)


def _has_sound(video: Path) -> bool:
    import av

    try:
        with av.open(os.fspath(video)) as container:
            return bool(container.streams.audio)
    except av.FFmpegError:
        return False
