"""What programs can have done to motion files of their own: written in another format, repaired, and measured."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..assets import DEFAULT_RESTORER
from ..audio.beats import estimate_beats
from ..audio.loading import load_audio
from ..audio.spectra import SAMPLING_RATE
from ..motion.files import EXPORT_FORMATS, export_motion, read_motion
from ..motion.files.vmd import FRAME_RATE as VMD_FRAME_RATE
from ..motion.looping import in_place
from ..motion.motion import FRAME_RATE, Motion
from .evaluation_card import measures_of, verdict
from .limits import SpaceLimits
from .uploaded_song import file_stem, take_excerpt
from .visitor_files import VisitorFiles

FORMATS: Mapping[str, str] = {
    suffix: text for suffix, text in EXPORT_FORMATS.items() if suffix not in (".usda", ".usdc")
}
"""What `convert` writes, and what each is."""
MAX_FRAME_RATE = 240
_REPORT_ENDINGS = ("_contacts.csv", "_report.json", "_report.html")


class MotionDesk:
    """Worker on motion files of visitors; every error is a `ValueError` whose text is for them.

    Args:
        files: Where visitors' files lie.
        limits: What each visitor may cost.
    """

    def __init__(self, files: VisitorFiles, limits: SpaceLimits):
        self.files, self.limits = files, limits

    @property
    def can_restore(self) -> bool:
        """Whether the weights for it are here: they are not part of every Space."""
        return DEFAULT_RESTORER.is_dir()

    @cached_property
    def _restorer(self) -> Any:
        from ..restoration.pipeline_frdm import FrdmPipeline

        return FrdmPipeline.from_pretrained()

    def convert(
        self, upload: Path, suffix: str, *, names: str | None, frame_rate: float | None, stays: bool
    ) -> tuple[list[Path], dict[str, Any]]:
        """Write a motion file in another format.

        Args:
            upload: Any file that `read_motion` reads.
            suffix: One of `EXPORT_FORMATS`.
            names: Preset of bone names.
            frame_rate: Of the result, Hz; that of the file if `None`.
            stays: Keep the dancer on the spot.

        Returns:
            The file, and what it holds.
        """
        if frame_rate is not None and not 1 <= frame_rate <= MAX_FRAME_RATE:
            raise ValueError(f"`frame_rate` must lie between 1 and {MAX_FRAME_RATE}, got {frame_rate:g}.")
        if suffix not in FORMATS:
            raise ValueError(f"`output_format` must be one of {', '.join(FORMATS)}, got {suffix}.")
        if suffix == ".vmd" and frame_rate not in (None, VMD_FRAME_RATE):
            raise ValueError(f"A VMD has {VMD_FRAME_RATE:g} frames a second, got {frame_rate:g}.")
        motion, about = self._read(upload)
        try:
            if frame_rate is not None:
                motion = motion.resample(frame_rate)
            motion = in_place(motion) if stays else motion
            output = self.files.new_folder() / f"{file_stem(upload.name)}{suffix}"
            export_motion(motion, output, names=names)
        except (ImportError, OSError) as error:
            raise ValueError(f"{suffix} cannot be written here: {error}") from error
        return [output], about | {"frames": motion.num_frames, "frame_rate": motion.frame_rate}

    def restore(self, upload: Path, strength: float | None) -> tuple[list[Path], dict[str, Any]]:
        """Stop feet from sliding.

        Args:
            upload: Any file that `restore_files` reads.
            strength: How firmly feet are held, 0 to 1.

        Returns:
            The repaired files, and the measures of the feet before and after.
        """
        from ..restoration.restore import RestoreOptions, restore_files

        if strength is None or not 0 <= strength <= 1:
            raise ValueError(f"`strength` must lie between 0 and 1, got {strength}.")
        _, about = self._read(upload)
        folder = self.files.new_folder()
        record = restore_files([upload], folder, self._restorer, RestoreOptions(strength=strength))
        if not record["clips"]:
            raise ValueError(_without_path(record["left_out"][0]["reason"], upload))
        feet = record["clips"][0]["feet"]
        results = [path for path in sorted(folder.iterdir()) if not path.name.endswith(_REPORT_ENDINGS)]
        return results, about | {"before": feet["before"], "after": feet["after"]}

    def measure(self, upload: Path, song: Path | None) -> dict[str, Any]:
        """Say how good a dance is.

        Args:
            upload: Any file that `read_motion` reads.
            song: What it is danced to, from its first frame on; that which the file names if `None`.
        """
        motion, about = self._read(upload)
        motion = motion if motion.frame_rate == FRAME_RATE else motion.resample(FRAME_RATE)
        if song is not None:
            excerpt = take_excerpt(
                song,
                self.files.new_folder(),
                start_seconds=0,
                max_seconds=motion.duration_seconds,
                limits=self.limits,
            )
            clock = estimate_beats(load_audio(excerpt.path, SAMPLING_RATE), SAMPLING_RATE)
            beats = clock.times_within(motion.duration_seconds)
            motion = replace(motion, provenance={**motion.provenance, **beats})
        measures = measures_of(motion)
        good, weak = verdict(measures)
        return about | dict(measures) | {"good": good, "not_so_good": weak}

    def _read(self, upload: Path) -> tuple[Motion, dict[str, Any]]:
        """Return a motion, and its length with what was assumed in reading it."""
        if upload.stat().st_size > 1_000_000 * self.limits.max_file_megabytes:
            raise ValueError(f"{upload.name} is too large; up to {self.limits.max_file_megabytes} MB are taken here.")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                motion = read_motion(upload)
            except (ValueError, OSError, ImportError) as error:
                raise ValueError(_without_path(str(error), upload)) from error
        most = self.limits.max_motion_seconds
        if motion.duration_seconds > most:
            raise ValueError(
                f"{upload.name} lasts {motion.duration_seconds:.0f} s; up to {most} s are taken here. Cut it."
            )
        notes = [_without_path(str(each.message), upload) for each in told]
        return motion, {"seconds": round(motion.duration_seconds, 3), "notes": notes}


def _without_path(text: str, upload: Path) -> str:
    return text.replace(str(upload), upload.name).replace(str(upload.parent), "")
