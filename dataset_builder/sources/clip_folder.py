"""A clip folder (docs/data_format.md) as a source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...motion.files import read_motion
from ...motion.motion import Motion
from ..clip_folder import METADATA_FILE, read_clip_rows
from .base import MotionSource, SourceRecord


class ClipFolderSource(MotionSource):
    """A folder with `metadata.csv`; a row that cannot be used is listed with that reason, under its line."""

    name = "clip_folder"
    license = "as the column `license` of metadata.csv says"
    homepage_citation = "the folder's own; the columns `source` and `license` of metadata.csv name it"

    def records(self) -> Iterator[SourceRecord]:
        """List the clips in the order of the table."""
        for row in read_clip_rows(self.folder):
            clip = row.record
            if clip is None:
                problem = f"{METADATA_FILE}, line {row.line}: {row.problem}"
                yield self.make_record(self.folder / METADATA_FILE, clip_id=f"line {row.line}", problem=problem)
                continue
            missing = [Path(os.path.relpath(file, self.folder)).as_posix() for file in clip.missing_files()]
            yield self.make_record(
                clip.motion_path,
                clip_id=clip.clip_id,
                song_id=clip.song_id,
                performer_id=clip.performer_id,
                genre=clip.genre,
                source=clip.source or self.name,
                license=clip.license,
                audio_path=clip.audio_path,
                bpm=clip.bpm,
                aligned=clip.aligned,
                start_seconds=clip.start_seconds,
                duration_seconds=clip.duration_seconds,
                motion_start_seconds=clip.start_seconds,
                motion_end_seconds=clip.end_seconds,
                units=clip.units,
                side=clip.side,
                beats_path=clip.beats_path,
                pulse_bpm=clip.pulse_bpm,
                split=clip.split,
                read_options=clip.read_options,
                is_genre_guessed=clip.is_genre_guessed,
                problem=f"there is no file {' and no '.join(missing)}" if missing else "",
            )

    def read(self, record: SourceRecord) -> Motion:
        """Read the motion file."""
        return read_motion(record.motion_path, trust_pickle=self.trust_pickle, **dict(record.read_options))
