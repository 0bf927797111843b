"""The dances that an index was built from, laid on the time of a song."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from ..utils.errors import reading
from .windows import RetrievedWindow


class ReferenceLibrary:
    """The dances that an index was built from, read as references.

    Args:
        clips: For each clip id its motion features, `(frames, 269)`.
        digests: For each clip id the digest of its features when the index was built.
        name: Of the library in messages, such as the file that the dances are read from.
    """

    def __init__(self, clips: Mapping[str, np.ndarray], digests: Mapping[str, str], name: str = "the library"):
        self.clips, self.digests, self.name = clips, digests, name
        self._checked: set[str] = set()

    def features(self, clip_id: str) -> np.ndarray:
        """Return the motion features of a clip, `(frames, 269)` float32.

        Raises:
            KeyError: If the library lacks the clip.
            ValueError: If the features are not those that the index was built from.
        """
        if clip_id not in self.clips:
            raise KeyError(
                f"{self.name} has no clip {clip_id!r}, which the index names: open the data that the index was built "
                "from, or build the index again."
            )
        with reading(self.name):
            features = np.asarray(self.clips[clip_id], np.float32)
        if clip_id not in self._checked:
            if features_digest(features) != self.digests.get(clip_id):
                raise ValueError(
                    f"The features of clip {clip_id!r} in {self.name} are not those that the index was built from: "
                    "build the index again."
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
            `(num_references, num_frames, 269)` float32, best match first, not normalized.

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


def features_digest(features: np.ndarray) -> str:
    """Return a digest of motion features: of their shape and float32 values."""
    features = np.ascontiguousarray(features, np.float32)
    return hashlib.blake2b(repr(features.shape).encode() + features.tobytes(), digest_size=12).hexdigest()
