"""Dances for the visitors of a Space: made in a folder of each, measured, and written in every format."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..assets import DEFAULT_MODEL
from ..audio.beats import MAX_BPM, MAX_METER, MIN_BPM
from ..audio.heard_song import HeardSong
from ..motion.drawing.rendering import render_video
from ..motion.drawing.viewing import viewer_dance, viewer_page
from ..motion.files import EXPORT_FORMATS, export_motion, load_motion, save_motion
from ..pipeline import Dance, MusicToDancePipeline
from ..utils.atomic import atomic_path
from .evaluation_card import evaluation_card
from .limits import SpaceLimits
from .pace import Pace, Step
from .poses import draw_poses
from .uploaded_song import Excerpt, file_stem, outline_of, take_excerpt
from .visitor_files import VisitorFiles

DOWNLOADS: Mapping[str, str] = {
    ".mp4": "video with the song",
    ".html": "one page with the viewer and the song inside, to send to somebody",
    ".glb": "animated character for Blender, Unity, Godot, the web",
    ".fbx": "Unreal, Unity, Maya",
    ".bvh": "Blender, MotionBuilder, retargeting",
    ".vrma": "VRM avatars",
    ".vmd": "MikuMikuDance",
    ".usd": "Houdini, Omniverse",
    ".smplx.npz": "SMPL-X poses as AMASS has them",
    ".csv": "positions of the joints, as a table",
    ".npz": "this package's own, for all its commands",
}
"""Endings of the files that a visitor can have, and what each is for."""

logger = logging.getLogger(__name__)

OnStep = Callable[[Step], None]

VIDEO_SIZE = (960, 540)
MAX_SEED = 2**31 - 1
_SET_FILE = "dances.json"
_HEARD_SONGS = 8
"""That are kept, each of up to 12 MB."""
_GONE = "The files of this dance are no longer kept. Make it again."
_FIELDS = {
    "bpm": ("beats", "The tempo, in beats a minute,"),
    "meter": ("beats", "The number of beats in a bar"),
    "first_downbeat_seconds": ("beats", "The first beat of a bar, in seconds,"),
    "start_seconds": ("beats", "The start in the song, in seconds,"),
    "seconds": ("beats", "The length, in seconds,"),
    "seed": ("request", "The seed"),
    "num_variants": ("request", "The number of variants"),
    "energy": ("request", "The energy"),
    "guidance_scale": ("request", "The guidance"),
}
"""Where on the page a number is asked for, and what it is called there."""


class FieldError(ValueError):
    """Error of one field of the page.

    Args:
        field: `"song"`, `"beats"` or `"request"`.
        told: What the visitor is told.
    """

    def __init__(self, field: str, told: str):
        super().__init__(told)
        self.field = field


@dataclass(frozen=True)
class DanceRequest:
    """What a visitor asks for.

    Args:
        genre: One of the model's, `None` for any.
        seed: Of the first variant; each further one has the next.
        guidance_scale: How closely the dance follows music and genre, `None` as the model is set.
        num_variants: Dances to the same song.
        num_references: Reference dances at any moment, `None` as the model is set.
        pinned_references: Clip ids of references to use from start to end.
        side: `"right"` or `"left"`, `None` as the model dances.
        energy: From 0, rest, to 1, twice the usual speed, `None` as the song is loud.
        ending: `"pose"`, `"fade"` or `"none"`.
        start_seconds: Where in the song the dance begins.
        seconds: Its length, less where the song ends.
        bpm: Tempo of the song, `None` as it is heard.
        meter: Beats in a bar, `None` as they are heard.
        first_downbeat_seconds: Time of a downbeat in the song, `None` as it is heard.
    """

    genre: str | None = None
    seed: int = 0
    guidance_scale: float | None = None
    num_variants: int = 1
    num_references: int | None = None
    pinned_references: Sequence[str] = ()
    side: str | None = None
    energy: float | None = None
    ending: str = "pose"
    start_seconds: float = 0.0
    seconds: float = 30.0
    bpm: float | None = None
    meter: int | None = None
    first_downbeat_seconds: float | None = None

    @property
    def beat_hints(self) -> dict[str, Any]:
        """What is known of the beats, in seconds of the part that is danced to."""
        downbeat = self.first_downbeat_seconds
        return {
            "bpm": self.bpm,
            "meter": None if self.meter is None else int(self.meter),
            "first_downbeat_seconds": None if downbeat is None else downbeat - self.start_seconds,
        }

    def check(self, limits: SpaceLimits) -> None:
        """Raise `FieldError`, in words for the visitor, unless all numbers lie within the limits."""
        ranges: dict[str, tuple[float, float]] = {
            "seed": (0, MAX_SEED),
            "num_variants": (1, limits.max_variants),
            "start_seconds": (0, 60 * limits.max_song_minutes),
            "seconds": (1, limits.max_dance_seconds),
        }
        if self.energy is not None:
            ranges["energy"] = (0, 1)
        if self.guidance_scale is not None:
            ranges["guidance_scale"] = (0, limits.max_guidance_scale)
        if self.bpm is not None:
            ranges["bpm"] = (MIN_BPM, MAX_BPM)
        if self.meter is not None:
            ranges["meter"] = (1, MAX_METER)
        for name, (low, high) in ranges.items():
            value, (field, called) = getattr(self, name), _FIELDS[name]
            if not _is_number(value):
                raise FieldError(field, f"{called} must be a number, got {value!r}.")
            if not low <= value <= high:
                raise FieldError(field, f"{called} must lie between {low:,g} and {high:,.10g}, got {value:g}.")
        for name in ("seed", "num_variants", "meter"):
            value = getattr(self, name)
            if value is not None and value != int(value):
                field, called = _FIELDS[name]
                raise FieldError(field, f"{called} must be a whole number, got {value}.")
        downbeat = self.first_downbeat_seconds
        if downbeat is not None and not (_is_number(downbeat) and 0 <= downbeat - self.start_seconds <= self.seconds):
            field, called = _FIELDS["first_downbeat_seconds"]
            raise FieldError(field, f"{called} must lie in the part to dance to, got {downbeat!r}.")


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


@dataclass(frozen=True)
class Variant:
    """One dance of a set.

    Args:
        stem: Names its files, without their endings.
        seed: Of the sampler.
        genre: That is danced.
        card: From `evaluation_card`.
        poses: From `draw_poses`.
    """

    stem: str
    seed: int
    genre: str
    card: dict[str, Any] = field(repr=False)
    poses: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class DanceSet:
    """The dances of one request.

    Args:
        song: The part of the song that is danced to; its folder, whose name nobody can guess, holds all other files.
        seconds: Its length.
        part: Where in which song it lies: dances to the same part can be compared.
        request: What was asked for.
        variants: At least one.
    """

    song: Path
    seconds: float
    part: str
    request: DanceRequest
    variants: tuple[Variant, ...]

    @property
    def key(self) -> str:
        """Names the dances in a link, as long as they are kept."""
        return self.song.parent.name

    def path(self, index: int, suffix: str) -> Path:
        """Return the file of a variant with an ending."""
        return self.song.with_name(self.variants[index].stem + suffix)

    def packed(self, index: int) -> Path:
        """Return the file of a variant that the viewer plays."""
        return self.path(index, ".viewer.json")

    def check_kept(self) -> None:
        """Raise `FileNotFoundError` if its files were swept away."""
        if not self.song.is_file():
            raise FileNotFoundError(_GONE)


class Studio:
    """Maker of dances for visitors, with one model.

    Args:
        pipeline: The model.
        files: Where visitors' files lie.
        limits: What each visitor may cost.
        no_references: Why there are no reference dances; empty if there are.
    """

    def __init__(
        self, pipeline: MusicToDancePipeline, files: VisitorFiles, limits: SpaceLimits, no_references: str = ""
    ):
        self.pipeline, self.files, self.limits = pipeline, files, limits
        self.no_references = no_references
        self.pace = Pace()
        self._heard: dict[tuple, HeardSong] = {}

    @property
    def reference_names(self) -> list[str]:
        """Clip ids of the reference dances."""
        return [] if self.pipeline.retriever is None else sorted(self.pipeline.retriever.dances)

    def make(
        self, upload: Path, request: DanceRequest, on_step: Callable[[Step], None] = lambda step: None
    ) -> DanceSet:
        """Make the dances of a request, with what the viewer and the card need.

        Args:
            upload: The visitor's song.
            request: What is asked for.
            on_step: Told what is being done and how long it still takes; what it raises ends the work.

        Raises:
            FieldError: If the song or the request cannot be used; the text is for the visitor.
        """
        request.check(self.limits)
        pace = self.pace.start(request.seconds, on_step)
        excerpt, part = self.take_part(upload, request, self.files.new_folder())
        return self._make(excerpt, part, request, pace)

    def make_another(self, dances: DanceSet, seed: int, on_step: OnStep = lambda step: None) -> DanceSet:
        """Make the same dance with another seed, from what is kept of the first one.

        Args:
            dances: From `make`.
            seed: Of the new one.
            on_step: As in `make`.

        Raises:
            FileNotFoundError: If the dances are no longer kept.
        """
        dances.check_kept()
        pace = self.pace.start(dances.seconds, on_step)
        song = self.files.new_folder() / dances.song.name
        shutil.copyfile(dances.song, song)  # each folder is deleted by its own age
        downbeat = dances.request.beat_hints["first_downbeat_seconds"]
        request = replace(
            dances.request, seed=seed, num_variants=1, start_seconds=0.0, first_downbeat_seconds=downbeat
        )
        return self._make(Excerpt(song, dances.seconds), dances.part, request, pace)

    def listen(self, upload: Path, request: DanceRequest) -> dict[str, Any]:
        """Hear the part of a song that a request is about, as the dance will be counted.

        Args:
            upload: The visitor's song.
            request: What will be asked for.

        Returns:
            Name, length and outline of the song; of the part its start, length, beats and downbeats in seconds of the
            song, its tempo and meter, how clearly it has them, and the genre with the reason, if nobody asked for one.

        Raises:
            FieldError: If the song or the request cannot be used.
        """
        try:
            seconds, outline = outline_of(upload, self.limits)
        except ValueError as error:
            raise FieldError("song", str(error)) from error
        with tempfile.TemporaryDirectory(dir=self.files.root) as folder:
            excerpt, part = self.take_part(upload, request, Path(folder))
            song = self._hear(excerpt, part, request)
        beats, start = song.song_map.beats, request.start_seconds
        return {
            "name": upload.name,
            "song_seconds": seconds,
            "outline": outline,
            "start_seconds": start,
            "seconds": excerpt.seconds,
            "beats": [round(start + time, 3) for time in beats.times_seconds],
            "downbeats": [round(start + time, 3) for time in beats.downbeat_times_seconds],
            "bpm": beats.bpm,
            "meter": beats.beats_per_bar,
            "confidence": song.song_map.confidence,
            "is_corrected": any(hint is not None for hint in request.beat_hints.values()),
            "max_seconds": self.limits.max_dance_seconds,
            "hints": {name: getattr(request, name) for name in request.beat_hints},
            "genre": song.genre,
            "genre_reason": song.genre_reason,
        }

    def take_part(self, upload: Path, request: DanceRequest, folder: Path) -> tuple[Excerpt, str]:
        """Check a request, and cut out the part of the song that is danced to.

        Args:
            upload: The visitor's song.
            request: What is asked for.
            folder: Where the part is written.

        Returns:
            The part, and a text that is the same for the same part of the same song.

        Raises:
            FieldError: If the song or the request cannot be used.
        """
        request.check(self.limits)
        try:
            self.pipeline.processor.genre_to_id(request.genre)
        except ValueError as error:
            raise FieldError("request", str(error)) from error
        try:
            excerpt = take_excerpt(
                upload,
                folder,
                start_seconds=request.start_seconds,
                max_seconds=request.seconds,
                limits=self.limits,
            )
        except ValueError as error:
            raise FieldError("song", str(error)) from error
        state = upload.stat()
        place = (str(upload), state.st_size, state.st_mtime_ns, float(request.start_seconds), excerpt.seconds)
        return excerpt, hashlib.sha256(repr(place).encode()).hexdigest()[:16]

    def _hear(self, excerpt: Excerpt, part: str, request: DanceRequest, pace: Pace | None = None) -> HeardSong:
        """Hear a part of a song; what was heard lately is kept, for the dances to it."""
        key = (part, request.genre, *request.beat_hints.values())
        if key not in self._heard:
            if pace is not None:
                pace.begin("listening", excerpt.seconds)
            try:
                self._heard[key] = self.pipeline.listen(excerpt.path, request.genre, **request.beat_hints)
            except ValueError as error:
                told = str(error).replace(str(excerpt.path), excerpt.path.stem)
                raise FieldError("song", told) from error
            while len(self._heard) > _HEARD_SONGS:
                self._heard.pop(next(iter(self._heard)), None)
        return self._heard[key]

    def _make(self, excerpt: Excerpt, part: str, request: DanceRequest, pace: Pace) -> DanceSet:
        song = self._hear(excerpt, part, request, pace)
        pace.begin("dancing", excerpt.seconds)
        made = self._dance(song, excerpt, request, pace)
        pace.begin("measuring")
        request = replace(request, pinned_references=list(request.pinned_references))
        dances = DanceSet(excerpt.path, excerpt.seconds, part, request, ())
        dances = replace(dances, variants=tuple(self._keep(dance, dances) for dance in made))
        with atomic_path(excerpt.path.with_name(_SET_FILE)) as path:
            path.write_text(json.dumps(asdict(replace(dances, song=Path(excerpt.path.name))), default=str))
        pace.end()
        return dances

    def open(self, key: str) -> DanceSet:
        """Return the dances of a link.

        Args:
            key: Of a `DanceSet`.

        Raises:
            FileNotFoundError: If there are no such dances, or they are no longer kept.
        """
        folder = self.files.folder(key)
        try:
            values = json.loads((folder / _SET_FILE).read_text())
        except (OSError, ValueError):
            raise FileNotFoundError(_GONE) from None
        variants = tuple(Variant(**variant) for variant in values["variants"])
        request = DanceRequest(**values["request"])
        dances = DanceSet(folder / Path(values["song"]).name, values["seconds"], values["part"], request, variants)
        dances.check_kept()
        return dances

    def _dance(self, song: HeardSong, excerpt: Excerpt, request: DanceRequest, pace: Pace) -> list[Dance]:
        sampling: dict[str, Any] = {} if request.guidance_scale is None else {"guidance_scale": request.guidance_scale}
        frames_per_token = self.pipeline.model.config.frames_per_token
        try:
            return self.pipeline.dances(
                song,
                song_name=excerpt.path.name,
                genre=request.genre,
                seeds=[int(request.seed) + k for k in range(int(request.num_variants))],
                num_references=request.num_references,
                pinned_references=request.pinned_references,
                side=request.side,
                energy=request.energy,
                ending=request.ending,
                on_progress=lambda done, total: pace.dance(frames_per_token * done, frames_per_token * total),
                **sampling,
            )
        except ValueError as error:
            raise FieldError("request", str(error).replace(str(excerpt.path), excerpt.path.stem)) from error

    def _keep(self, dance: Dance, dances: DanceSet) -> Variant:
        motion, song = dance.motion, dances.song
        seed = motion.provenance["seed"]
        stem = f"{song.stem}_{file_stem(dances.request.genre or 'any')}_{seed}"
        variant = Variant(
            stem, seed, str(motion.provenance["genre"] or "any"), evaluation_card(dance), draw_poses(motion)
        )
        kept = replace(dances, variants=(variant,))
        save_motion(motion, kept.path(0, ".npz"))
        packed = viewer_dance(
            motion,
            song.stem,
            beat_times_seconds=motion.provenance["beat_times_seconds"],
            downbeat_times_seconds=motion.provenance["downbeat_times_seconds"],
        )
        kept.packed(0).write_text(json.dumps(packed, allow_nan=False), encoding="utf-8")
        return variant

    def written(self, dances: DanceSet, index: int) -> dict[str, Path]:
        """Return the files of a dance that were written already, by their endings."""
        paths = {suffix: dances.path(index, suffix) for suffix in DOWNLOADS}
        return {suffix: path for suffix, path in paths.items() if path.exists()}

    def write(self, dances: DanceSet, index: int, suffixes: Collection[str]) -> dict[str, Path]:
        """Write a dance in formats; what is there already is not written again.

        Args:
            dances: From `make`.
            index: Of the variant.
            suffixes: Some of `DOWNLOADS`.

        Returns:
            The files by their endings; formats whose package is not installed, or whose tool fails, are left out.

        Raises:
            FileNotFoundError: If the dances are no longer kept.
            ValueError: If a format is unknown.
        """
        unknown = set(suffixes) - set(DOWNLOADS)
        if unknown:
            raise ValueError(f"Formats must be of {', '.join(DOWNLOADS)}, got {', '.join(sorted(unknown))}.")
        dances.check_kept()
        written = {}
        for suffix in (each for each in DOWNLOADS if each in suffixes):
            path = dances.path(index, suffix)
            try:
                if not path.exists():
                    _write(dances, index, path, suffix)
            except (ImportError, OSError) as error:
                logger.warning("No %s was written: %s", suffix, error)
                continue
            written[suffix] = path
        return written


def _write(dances: DanceSet, index: int, path: Path, suffix: str) -> None:
    if suffix == ".html":
        packed = json.loads(dances.packed(index).read_text(encoding="utf-8"))
        with atomic_path(path) as temporary:
            temporary.write_text(
                viewer_page([packed], song=dances.song, title=dances.variants[index].stem), encoding="utf-8"
            )
        return
    motion = load_motion(dances.path(index, ".npz"))
    if suffix in EXPORT_FORMATS:
        export_motion(motion, path)
    else:
        render_video(motion, path, dances.song, size=VIDEO_SIZE)


def load_pipeline(
    model: str | Path = DEFAULT_MODEL,
    references: Path | None = None,
    adapter: Mapping[Path, float] | None = None,
) -> tuple[MusicToDancePipeline, str]:
    """Load a model with reference dances where it takes them and there are some.

    Args:
        model: As in `MusicToDancePipeline.from_pretrained`.
        references: Library of reference dances; by default that of the model, if there is one.
        adapter: As in `MusicToDancePipeline.from_pretrained`.

    Returns:
        The pipeline, and why it has no references; empty if it has.

    Raises:
        FileNotFoundError: If there is no such model or library.
        ValueError: If they are not what they should be.
    """
    try:
        pipeline = MusicToDancePipeline.from_pretrained(model, references, adapter=adapter)
    except ImportError as error:  # only a library that was asked for raises it
        if references is None:  # it is an adapter that wants a package
            raise
        return MusicToDancePipeline.from_pretrained(model, adapter=adapter), str(error)
    if pipeline.model.config.max_references == 0:
        return pipeline, "This model does not take reference dances."
    if pipeline.retriever is None:
        return pipeline, "No library of reference dances comes with this model; `infinitedance index` makes one."
    return pipeline, ""
