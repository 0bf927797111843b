"""Videos as a source: the builder captures them first (`dataset_builder.video_clips`), and reads what that made."""

from __future__ import annotations

from collections.abc import Iterator

from ..capture_entries import ENTRY_FOLDER, FAILED, read_entries
from ..clip_folder import METADATA_FILE
from .base import SourceRecord
from .clip_folder import ClipFolderSource


class VideoSource(ClipFolderSource):
    """A clip folder that was captured; a video that could not be captured is listed with that reason."""

    name = "video"
    license = "as stated with the videos"
    homepage_citation = "the videos' own; the column `license` of metadata.csv has their terms, as they were stated"

    def records(self) -> Iterator[SourceRecord]:
        """List the clips in the order of the table, then the videos that failed."""
        entries = read_entries(self.folder)
        if not entries:
            raise self.missing_layout(f"the folder {ENTRY_FOLDER} that a capture wrote")
        if (self.folder / METADATA_FILE).is_file():
            yield from super().records()
        for entry in entries:
            if entry["status"] == FAILED:
                yield self.make_record(self.folder / entry["video"], clip_id=entry["key"], problem=entry["reason"])
