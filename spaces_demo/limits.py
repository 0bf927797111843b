"""What a shared Space lets each visitor cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SpaceLimits:
    """Limits of one Space; the defaults suit two processor cores that strangers share.

    Args:
        max_file_megabytes: Size of an uploaded song.
        max_song_minutes: Length of an uploaded song, of which a part is danced to.
        max_channels: Channels of an uploaded song.
        max_sampling_rate: Of an uploaded song, Hz.
        max_dance_seconds: Length of a dance.
        max_variants: Dances made at once.
        max_guidance_scale: Of the sampler.
        max_queue: Visitors who may wait; more are asked to come back.
        keep_minutes: How long uploads and dances stay on the disk.
    """

    max_file_megabytes: int = 50
    max_song_minutes: float = 15.0
    max_channels: int = 2
    max_sampling_rate: int = 96_000
    max_dance_seconds: int = 120
    max_variants: int = 4
    max_guidance_scale: float = 3.0
    max_queue: int = 40
    keep_minutes: float = 60.0
