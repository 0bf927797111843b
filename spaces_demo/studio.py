"""Dances for the visitors of a Space: made in a folder of each, measured, and written in every format."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..assets import DEFAULT_MODEL
from ..motion.drawing.rendering import render_video
from ..motion.drawing.viewing import viewer_dance, viewer_page
from ..motion.files import EXPORT_FORMATS, export_motion, load_motion, save_motion
from ..pipeline import Dance, MusicToDancePipeline
from ..utils.atomic import atomic_path
from .evaluation_card import evaluation_card
from .limits import SpaceLimits
from .uploaded_song import Excerpt, file_stem, take_excerpt
from .visitor_files import VisitorFiles

DOWNLOADS: Mapping[str, str] = {
    ".mp4": "video with the song",
    ".html": "one page with the viewer and the song inside, to send to somebody",
    ".glb": "animated character for Blender, Unity, Godot, the web",
    ".fbx": "Unreal, Unity, Maya",
    ".bvh": "Blender, MotionBuilder, retargeting",
    ".vrma": "VRM avatars",
    ".usd": "Houdini, Omniverse",
    ".smplx.npz": "SMPL-X poses as AMASS has them",
    ".csv": "positions of the joints, as a table",
    ".npz": "this package's own, for all its commands",
}
"""Endings of the files that a visitor can have, and what each is for."""

logger = logging.getLogger(__name__)

VIDEO_SIZE = (960, 540)
MAX_SEED = 2**31 - 1


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

    def check(self, limits: SpaceLimits) -> None:
        """Raise `ValueError`, in words for the visitor, unless all numbers lie within the limits."""
        ranges = {
            "seed": (0, MAX_SEED),
            "num_variants": (1, limits.max_variants),
            "start_seconds": (0, 60 * limits.max_song_minutes),
            "seconds": (1, limits.max_dance_seconds),
        }
        if self.energy is not None:
            ranges["energy"] = (0, 1)
        if self.guidance_scale is not None:
            ranges["guidance_scale"] = (0, limits.max_guidance_scale)
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"`{name}` must be a number, got {value!r}.")
            if not low <= value <= high:
                raise ValueError(f"`{name}` must lie between {low:g} and {high:g}, got {value:g}.")
        for name in ("seed", "num_variants"):
            if getattr(self, name) != int(getattr(self, name)):
                raise ValueError(f"`{name}` must be a whole number, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Variant:
    """One dance of a set.

    Args:
        stem: Names its files, without their endings.
        seed: Of the sampler.
        card: From `evaluation_card`.
    """

    stem: str
    seed: int
    card: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class DanceSet:
    """The dances of one request.

    Args:
        song: The part of the song that is danced to; its folder holds all other files.
        variants: At least one.
    """

    song: Path
    variants: tuple[Variant, ...]

    def path(self, index: int, suffix: str) -> Path:
        """Return the file of a variant with an ending."""
        return self.song.with_name(self.variants[index].stem + suffix)

    def packed(self, index: int) -> Path:
        """Return the file of a variant that the viewer plays."""
        return self.path(index, ".viewer.json")

    def check_kept(self) -> None:
        """Raise `FileNotFoundError` if its files were swept away."""
        if not self.song.is_file():
            raise FileNotFoundError("The files of this dance are no longer kept. Make it again.")


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

    @property
    def reference_names(self) -> list[str]:
        """Clip ids of the reference dances."""
        return [] if self.pipeline.retriever is None else sorted(self.pipeline.retriever.dances)

    def make(self, upload: Path, request: DanceRequest, on_stage: Callable[[str, float], None]) -> DanceSet:
        """Make the dances of a request, with what the viewer and the card need.

        Args:
            upload: The visitor's song.
            request: What is asked for.
            on_stage: Told what is being done, and which share of all is done.

        Raises:
            ValueError: If the song or the request cannot be used; the text is for the visitor.
        """
        request.check(self.limits)
        self.pipeline.processor.genre_to_id(request.genre)
        on_stage("Reading the song", 0.0)
        excerpt = take_excerpt(
            upload,
            self.files.new_folder(),
            start_seconds=request.start_seconds,
            max_seconds=request.seconds,
            limits=self.limits,
        )
        on_stage("Listening to the music", 0.05)
        dances = self._dance(excerpt, request, on_stage)
        on_stage("Measuring the dance", 0.9)
        variants = [self._keep(dance, excerpt, request) for dance in dances]
        return DanceSet(excerpt.path, tuple(variants))

    def _dance(self, excerpt: Excerpt, request: DanceRequest, on_stage: Callable[[str, float], None]) -> list[Dance]:
        sampling: dict[str, Any] = {} if request.guidance_scale is None else {"guidance_scale": request.guidance_scale}
        try:
            return self.pipeline.dances(
                excerpt.path,
                genre=request.genre,
                seeds=[int(request.seed) + k for k in range(int(request.num_variants))],
                num_references=request.num_references,
                pinned_references=request.pinned_references,
                side=request.side,
                energy=request.energy,
                ending=request.ending,
                on_progress=lambda done, total: on_stage("Dancing", 0.15 + 0.75 * done / total),
                **sampling,
            )
        except ValueError as error:
            raise ValueError(str(error).replace(str(excerpt.path), excerpt.path.stem)) from error

    def _keep(self, dance: Dance, excerpt: Excerpt, request: DanceRequest) -> Variant:
        motion = dance.motion
        seed = motion.provenance["seed"]
        stem = f"{excerpt.path.stem}_{file_stem(request.genre or 'any')}_{seed}"
        kept = DanceSet(excerpt.path, (Variant(stem, seed, evaluation_card(dance)),))
        save_motion(motion, kept.path(0, ".npz"))
        packed = viewer_dance(
            motion,
            excerpt.path.stem,
            beat_times_seconds=motion.provenance["beat_times_seconds"],
            downbeat_times_seconds=motion.provenance["downbeat_times_seconds"],
        )
        kept.packed(0).write_text(json.dumps(packed, allow_nan=False), encoding="utf-8")
        return kept.variants[0]

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
