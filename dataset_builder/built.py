"""Open a built data set for training: its clips, their splits, and features that stay on disk until they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..audio.features import MusicFeatureLayout, check_music_features_version
from ..motion.features import NUM_FEATURES
from ..motion.motion import FRAME_RATE
from ..utils.errors import reading
from .manifest import BuiltClip, manifest_path, read_manifest
from .splits import MIN_SONGS_FOR_VALIDATION, SPLITS, VALIDATION


class BuiltDataset:
    """The clips of a folder that `infinitedance build` wrote.

    Args:
        folder: Holds `manifest.jsonl` and the files that it names.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If a line of the manifest is not a clip, a name occurs twice, or the music features of a clip are
            of another version than `MusicFeatureExtractor` computes.

    Example:
        ```python
        from infinitedance.dataset_builder.built import BuiltDataset

        data = BuiltDataset("built")
        features = data.motion_features(data.split("train")[0])  # (frames, 269)
        ```
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.clips = read_manifest(self.folder)
        for version in {clip.music_features_version for clip in self.clips} - {None}:
            check_music_features_version(version, f"The data set {self.folder}")

    def split(self, name: str, mirrored: bool = True) -> list[BuiltClip]:
        """Return the clips of a split, with or without their mirrored copies.

        Raises:
            ValueError: If `name` is no split or the split is empty.
        """
        if name not in SPLITS:
            raise ValueError(f"`name` must be one of {', '.join(SPLITS)}, got {name!r}.")
        clips = [clip for clip in self.clips if clip.split == name and (mirrored or not clip.is_mirrored)]
        if not clips:
            message = f"{manifest_path(self.folder)} has no clip of split {name!r}"
            if name == VALIDATION:
                message += (
                    f": a build holds clips out for it from {MIN_SONGS_FOR_VALIDATION} songs on (a clip without music "
                    "counts as a song, clips that share a performer as one). Add clips and build again"
                )
            raise ValueError(f"{message}.")
        return clips

    def motion_features(self, clip: BuiltClip) -> np.ndarray:
        """Open the motion features of a clip, `(num_frames, 269)` float32, read-only, paged in from disk on use.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If shape or type are not those of the clip.
        """
        path = self._path(clip, clip.motion_file)
        with reading(path):
            features = np.load(path, mmap_mode="r", allow_pickle=False)
        if features.shape != (clip.num_frames, NUM_FEATURES) or features.dtype != np.float32:
            raise ValueError(
                f"{self.folder / clip.motion_file} must hold float32 of shape ({clip.num_frames}, {NUM_FEATURES}), "
                f"got {features.dtype} of shape {features.shape}: build the data set again."
            )
        return features

    def music_features(self, clip: BuiltClip) -> np.ndarray:
        """Load the music features of a clip, `(num_frames, 109)` float32, cut to the length of the motion.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If the clip has no music, or the music is shorter than the motion by more than a second.
        """
        if clip.music_file is None:
            raise ValueError(f"Clip {clip.clip_id!r} has no aligned music.")
        path = self._path(clip, clip.music_file)
        with reading(path):
            features = np.load(path, allow_pickle=False)
        if len(features) < clip.num_frames - FRAME_RATE:
            raise ValueError(
                f"{path} must be as long as its motion, got {len(features)} frames for {clip.num_frames}: are clip "
                f"{clip.clip_id!r} and its song aligned?"
            )
        return features[: clip.num_frames]

    def music_or_clock(self, clip: BuiltClip) -> np.ndarray:
        """Load the music features of a clip; of one without music all channels but the clock are 0, or all.

        Returns:
            `(num_frames, 109)` float32.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: As `music_features`.
        """
        if clip.music_file is not None:
            return self.music_features(clip)
        features = np.zeros((clip.num_frames, MusicFeatureLayout.size), np.float32)
        if clip.clock_file is not None:
            path = self._path(clip, clip.clock_file)
            with reading(path):
                features[:, MusicFeatureLayout.beat_clock] = np.load(path, allow_pickle=False)
        return features

    def _path(self, clip: BuiltClip, file: str) -> Path:
        path = self.folder / file
        if not path.is_file():
            raise FileNotFoundError(f"{path}, of clip {clip.clip_id!r}, does not exist: build the data set again.")
        return path
