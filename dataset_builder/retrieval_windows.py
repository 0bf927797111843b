"""Windows of songs and dances, by true time, and what a search found for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..modeling.configuration_music_dance import MusicDanceConfig


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

        Two neighbouring windows share the time that both cover at its middle, so that a moment of the song has the
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
        licence: Its terms, empty if not stated.
        motion_features: `(frames, 269)`, 30 per second.
    """

    clip_id: str
    song_id: str
    genre: str
    source: str
    licence: str
    motion_features: np.ndarray


@dataclass(frozen=True)
class RetrievalHit:
    """A window of a dance that serves as reference.

    Args:
        clip_id: The dance.
        song_id: Its song.
        genre: Its genre.
        source: Where it comes from.
        licence: Its terms.
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
    licence: str
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
        """Return the record of the window, with the licence of each reference, as JSON can hold it."""
        return asdict(self)


class ReferenceLibrary:
    """Read references from the dances that an index was built from.

    Args:
        clips: For each clip id its motion features, `(frames, 269)`.
        digests: For each clip id the digest of its features when the index was built.
    """

    def __init__(self, clips: Mapping[str, np.ndarray], digests: Mapping[str, str]):
        self.clips, self.digests = clips, digests
        self._checked: set[str] = set()

    def features(self, clip_id: str) -> np.ndarray:
        """Return the motion features of a clip, `(frames, 269)` float32.

        Raises:
            KeyError: If the library lacks the clip.
            ValueError: If the features are not those that the index was built from.
        """
        if clip_id not in self.clips:
            raise KeyError(
                f"The library has no clip {clip_id!r}, which the index names: open the data that the index was built "
                "from, or build the index again."
            )
        features = np.asarray(self.clips[clip_id], np.float32)
        if clip_id not in self._checked:
            if features_digest(features) != self.digests.get(clip_id):
                raise ValueError(
                    f"The features of clip {clip_id!r} are not those that the index was built from: build the index "
                    "again."
                )
            self._checked.add(clip_id)
        return features

    def reference_features(
        self, windows: Sequence[RetrievedWindow], num_frames: int, start_frame: int = 0
    ) -> np.ndarray:
        """Lay the references of a song on its time axis.

        At a moment t of the song, the r-th reference is the r-th dance that was found for the window of t, read as far
        into its window as t lies in the window of the song. Where two windows meet, the references change at once:
        they are conditions, not a motion, and a cross-fade of two dances would be neither of them. A dance that is
        shorter than a window begins again.

        Args:
            windows: As [`DanceRetrievalIndex.query`] returns them, of one song.
            num_frames: Frames wanted.
            start_frame: The first one, on the song's axis.

        Returns:
            `(num_references, num_frames, 269)` float32, best match first, not normalised.

        Raises:
            KeyError: If the library lacks a clip.
            ValueError: If there is no window, the range is empty or negative, or a clip has changed.
        """
        if not windows or start_frame < 0 or num_frames < 1:
            raise ValueError(
                f"References need windows, `start_frame` of at least 0 and `num_frames` of at least 1, got "
                f"{len(windows)} windows, {start_frame} and {num_frames}."
            )
        frames = np.arange(start_frame, start_frame + num_frames)
        result = None
        for window in windows:
            end = frames[-1] + 1 if window.end_used_frame is None else window.end_used_frame
            inside = (frames >= window.first_used_frame) & (frames < end)
            if not inside.any():
                continue
            for rank, hit in enumerate(window.hits):
                features = self.features(hit.clip_id)
                if result is None:
                    result = np.zeros((len(window.hits), num_frames, features.shape[1]), np.float32)
                place = hit.start_frame + frames[inside] - window.start_frame
                result[rank, inside] = np.take(features, place, axis=0, mode="wrap")
        assert result is not None, "the windows of a song cover all frames"
        return result


class PreparedFeatures(Mapping):
    """The motion features of a prepared folder by clip id; they stay on disk until they are asked for."""

    def __init__(self, data: Any):
        self.data = data
        self.entries = {clip.clip_id: clip for clip in data.clips}

    def __getitem__(self, clip_id: str) -> np.ndarray:
        return self.data.features(self.entries[clip_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def features_digest(features: np.ndarray) -> str:
    """Return a digest of motion features: of their shape and float32 values."""
    import hashlib

    features = np.ascontiguousarray(features, np.float32)
    return hashlib.blake2b(repr(features.shape).encode() + features.tobytes(), digest_size=12).hexdigest()
