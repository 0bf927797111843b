"""A clip folder (docs/data_format.md) as a source."""

from __future__ import annotations

from collections.abc import Iterator

from ...motion.files import read_motion
from ...motion.motion import Motion
from ..clip_folder import read_clip_folder
from .base import MotionSource, SourceRecord


class ClipFolderSource(MotionSource):
    """A folder with `metadata.csv`; problems of the table are reported by `records`, all at once."""

    name = "clip_folder"
    licence = "as the column `licence` of metadata.csv says"
    homepage_citation = "the folder's own; the columns `source` and `licence` of metadata.csv name it"

    def records(self) -> Iterator[SourceRecord]:
        """List the clips in the order of the table."""
        for clip in read_clip_folder(self.folder):
            yield self.make_record(
                clip.motion_path,
                clip_id=clip.clip_id,
                song_id=clip.song_id,
                genre=clip.genre,
                source=clip.source or self.name,
                licence=clip.licence,
                audio_path=clip.audio_path,
                bpm=clip.bpm,
                aligned=clip.aligned,
                duration_seconds=clip.duration_seconds,
            )

    def read(self, record: SourceRecord) -> Motion:
        """Read the motion file."""
        return read_motion(record.motion_path)
