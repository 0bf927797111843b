"""Read a folder of prepared clips: motion features on disk, ready for training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..motion.features import NUM_FEATURES
from .clip_folder import MIRROR_SUFFIX

INDEX_FILE = "index.json"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class PreparedClip:
    """One entry of a prepared folder's `index.json`.

    Args:
        clip_id: Unique name; that of a mirrored copy ends in `_mirror`.
        source: Data set that the clip comes from.
        genre: Dance genre or kind of motion.
        split: `"train"`, `"validation"` or `"test"`.
        file: Path of the features, a `.npy` of `(num_frames, 269)` float32, relative to the folder.
        num_frames: Number of frames, 30 per second.
        song_id: The song that it is danced to; mirrored copies and other takes share it.
        music_file: Path of the music features, a `.npy` of `(frames, 109)` float32 whose frame 0 is that of the
            motion; `None` for motion without aligned music.
    """

    clip_id: str
    source: str
    genre: str
    split: str
    file: str
    num_frames: int
    song_id: str
    music_file: str | None

    @property
    def is_mirrored(self) -> bool:
        """Whether this is the mirrored copy of another clip."""
        return self.clip_id.endswith(MIRROR_SUFFIX)


class PreparedClips:
    """Read the clips of a prepared folder; features stay on disk until they are asked for.

    Args:
        folder: Holds `index.json`, a list of the fields of [`PreparedClip`], and the files that it names.

    Raises:
        FileNotFoundError: If the index or a file is missing.
        ValueError: If an entry lacks a field, a name occurs twice, or a file does not hold what its entry says.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        index_path = self.folder / INDEX_FILE
        if not index_path.is_file():
            raise FileNotFoundError(
                f"{index_path} does not exist. A prepared folder is made from a clip folder by "
                "`python -m infinitedance.dataset_builder.prepare`."
            )
        entries = json.loads(index_path.read_text(encoding="utf-8"))
        self.clips = [self._read_entry(entry, index_path) for entry in entries]
        names = [clip.clip_id for clip in self.clips]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"{index_path}: `clip_id` must be unique, got twice: {', '.join(twice)}.")

    def split(self, name: str, mirrored: bool = True) -> list[PreparedClip]:
        """Return the clips of a split, with or without their mirrored copies.

        Raises:
            ValueError: If `name` is no split or the split is empty.
        """
        if name not in SPLITS:
            raise ValueError(f"`name` must be one of {', '.join(SPLITS)}, got {name!r}.")
        clips = [clip for clip in self.clips if clip.split == name and (mirrored or not clip.is_mirrored)]
        if not clips:
            raise ValueError(f"{self.folder / 'index.json'} has no clip of split {name!r}.")
        return clips

    def features(self, clip: PreparedClip) -> np.ndarray:
        """Open the features of a clip, `(num_frames, 269)` float32, read-only, paged in from disk on use.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If shape or type are not those of the entry.
        """
        path = self.folder / clip.file
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}, the features of clip {clip.clip_id!r}, does not exist: prepare it again."
            )
        features = np.load(path, mmap_mode="r", allow_pickle=False)
        if features.shape != (clip.num_frames, NUM_FEATURES) or features.dtype != np.float32:
            raise ValueError(
                f"{path} must hold float32 of shape ({clip.num_frames}, {NUM_FEATURES}), got {features.dtype} of "
                f"shape {features.shape}: prepare it again."
            )
        return features

    def music_features(self, clip: PreparedClip) -> np.ndarray:
        """Load the music features of a clip, `(num_frames, 109)` float32, cut to the length of the motion.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If the clip has no music, or the music is shorter than the motion by more than a second.
        """
        if clip.music_file is None:
            raise ValueError(f"Clip {clip.clip_id!r} has no aligned music.")
        path = self.folder / clip.music_file
        if not path.is_file():
            raise FileNotFoundError(f"{path}, the music of clip {clip.clip_id!r}, does not exist: prepare it again.")
        features = np.load(path, allow_pickle=False)
        if len(features) < clip.num_frames - 30:
            raise ValueError(
                f"{path} must be as long as its motion, got {len(features)} frames for {clip.num_frames}: are clip "
                f"{clip.clip_id!r} and its song aligned?"
            )
        return features[: clip.num_frames]

    @staticmethod
    def _read_entry(entry: dict, index_path: Path) -> PreparedClip:
        fields = PreparedClip.__dataclass_fields__
        if set(entry) != set(fields):
            raise ValueError(f"{index_path}: an entry must have the fields {', '.join(fields)}, got {entry}.")
        clip = PreparedClip(**entry)
        if clip.split not in SPLITS or not isinstance(clip.num_frames, int) or clip.num_frames < 1:
            raise ValueError(
                f"{index_path}: clip {clip.clip_id!r} must have a split out of {', '.join(SPLITS)} and at least one "
                f"frame, got split {clip.split!r} and {clip.num_frames} frames."
            )
        return clip
