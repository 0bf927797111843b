"""Windows of songs and dances, by true time, and what a search found for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..modeling.music_dance.configuration_music_dance import MusicDanceConfig


@dataclass(frozen=True)
class WindowLayout:
    """Where windows begin. All arithmetic is exact: frames are whole numbers and times are fractions.

    Args:
        window_frames: Frames of motion in a window.
        stride_frames: Frames of motion between the starts of two windows.
        frame_rate: Frames of motion per second.
    """

    window_frames: int = 384
    stride_frames: int = 192
    frame_rate: float = 30.0

    @classmethod
    def from_config(cls, config: MusicDanceConfig) -> WindowLayout:
        """Return the windows that an encoder was trained on."""
        return cls(config.window_frames, config.stride_frames, config.frame_rate)

    @property
    def window_seconds(self) -> Fraction:
        """Length of a window."""
        return Fraction(self.window_frames) / Fraction(self.frame_rate)

    @property
    def stride_seconds(self) -> Fraction:
        """Time between the starts of two windows."""
        return Fraction(self.stride_frames) / Fraction(self.frame_rate)

    def query_starts_seconds(self, num_frames: int, frame_rate: float) -> list[Fraction]:
        """Return the times at which the windows of a song begin: 0, 1, 2, ... strides.

        They do not depend on the rate of the features. The last window reaches the end of the song and may be cut off
        there; with a stride of half a window at least half of it is there, unless the song is shorter than that.

        Args:
            num_frames: Frames of features of the song, at least 1.
            frame_rate: Frames of features per second.
        """
        if num_frames < 1:
            raise ValueError(f"A song must have at least one frame of features, got {num_frames}.")
        seconds = Fraction(num_frames) / Fraction(frame_rate)
        num_more = -(-(seconds - self.window_seconds) // self.stride_seconds)
        return [index * self.stride_seconds for index in range(1 + max(0, int(num_more)))]

    def clip_starts(self, num_frames: int) -> list[int]:
        """Return the frames at which the windows of a dance begin: every stride, and one that ends with the dance.

        A dance shorter than a window has one window, from frame 0.
        """
        last = max(0, num_frames - self.window_frames)
        return [*range(0, last, self.stride_frames), last]

    def used_frames(self, window_index: int, num_windows: int) -> tuple[int, int | None]:
        """Return from which frame of motion to which a query window's references are used.

        Two neighboring windows share the time that both cover at its middle, so that a moment of the song has the
        references of the window in whose middle it lies. The last window is used to the end of the song: None.
        """
        border = (self.window_frames + self.stride_frames) // 2
        start = 0 if window_index == 0 else (window_index - 1) * self.stride_frames + border
        return start, None if window_index == num_windows - 1 else window_index * self.stride_frames + border


def cut_windows(features: np.ndarray, start_frames: list[int], window_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut windows out of `(frames, channels)`, with zeros beyond the end.

    Returns:
        `(windows, window_frames, channels)` float32 and the mask of real frames, `(windows, window_frames)`.
    """
    windows = np.zeros((len(start_frames), window_frames, features.shape[1]), np.float32)
    mask = np.zeros(windows.shape[:2], bool)
    for row, start in enumerate(start_frames):
        window = features[start : start + window_frames]
        windows[row, : len(window)] = window
        mask[row, : len(window)] = True
    return windows, mask


@dataclass(frozen=True)
class LibraryClip:
    """A dance that may be retrieved.

    Args:
        clip_id: Unique name.
        song_id: The song that it is danced to; all takes of a song share it.
        genre: Genre of the dance.
        source: Where it comes from, empty if not stated.
        license: Its terms, empty if not stated.
        motion_features: `(frames, 269)`, 30 per second.
    """

    clip_id: str
    song_id: str
    genre: str
    source: str
    license: str
    motion_features: np.ndarray


@dataclass(frozen=True)
class RetrievalHit:
    """A window of a dance that serves as reference.

    Args:
        clip_id: The dance.
        song_id: Its song.
        genre: Its genre.
        source: Where it comes from.
        license: Its terms.
        start_frame: First frame of the window in the dance.
        start_seconds: The same as a time.
        score: Cosine of its embedding and that of the query.
        weight: Rank weight; those of a window of the query sum to 1.
        pinned: Whether it was asked for by name.
    """

    clip_id: str
    song_id: str
    genre: str
    source: str
    license: str
    start_frame: int
    start_seconds: float
    score: float
    weight: float
    pinned: bool


@dataclass(frozen=True)
class RetrievedWindow:
    """A window of the query's song and its references.

    Args:
        start_frame: First frame of the window on the song's axis of motion frames.
        start_seconds: The same as a time.
        first_used_frame: First frame for which these references are used.
        end_used_frame: Frame after the last one for which they are used; None = to the end of the song.
        hits: The references, best match first. All windows of a query have the same number.
    """

    start_frame: int
    start_seconds: float
    first_used_frame: int
    end_used_frame: int | None
    hits: tuple[RetrievalHit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record of the window, with the license of each reference, as JSON can hold it."""
        return asdict(self)
