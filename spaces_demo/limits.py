"""What a shared Space lets each visitor cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpaceLimits:
    """Limits of one Space; the defaults suit two processor cores that strangers share.

    Args:
        max_file_megabytes: Size of an uploaded file.
        max_song_minutes: Length of an uploaded song, of which a part is danced to.
        max_channels: Channels of an uploaded song.
        max_sampling_rate: Of an uploaded song, Hz.
        max_dance_seconds: Length of a dance.
        max_motion_seconds: Length of a motion that a program gives.
        max_variants: Dances made at once.
        max_guidance_scale: Of the sampler.
        max_queue: Visitors who may wait; more are asked to come back.
        max_visitor_jobs: Pieces of work of one visitor that may wait or run; a dance in the page takes up to three.
        max_visitor_files: Files that one visitor may upload within `keep_minutes`.
        max_visitor_megabytes: Their size together.
        max_total_megabytes: Size of all files of all visitors, from which on no file is taken.
        keep_minutes: How long uploads and dances stay on the disk.
    """

    max_file_megabytes: int = 50
    max_song_minutes: float = 15.0
    max_channels: int = 2
    max_sampling_rate: int = 96_000
    max_dance_seconds: int = 120
    max_motion_seconds: int = 600
    max_variants: int = 4
    max_guidance_scale: float = 3.0
    max_queue: int = 40
    max_visitor_jobs: int = 6
    max_visitor_files: int = 60
    max_visitor_megabytes: int = 500
    max_total_megabytes: int = 8000
    keep_minutes: float = 60.0
