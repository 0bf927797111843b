"""A folder of dances that a song finds its references in: encoder, index and the dances themselves."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..publishing.push_to_hub import PushToHubMixin
from ..utils.atomic import atomic_folder
from ..utils.checkpoints import load_model
from ..utils.errors import reading
from ..utils.hub_folders import HUB_NAME, local_folder
from .index import DanceRetrievalIndex
from .windows import LibraryClip, RetrievedWindow

ENCODER_FOLDER, INDEX_FOLDER, DANCES_FILE = "encoder", "index", "dances.safetensors"
LIBRARY_FILES = (f"{ENCODER_FOLDER}/*", f"{INDEX_FOLDER}/*", DANCES_FILE, "README.md")
"""What is downloaded of a library on the Hub."""


class SavedDances(Mapping):
    """Motion features by clip id in one file, read when they are asked for.

    Args:
        path: `dances.safetensors`.
    """

    def __init__(self, path: Path):
        from safetensors import safe_open

        self.path = path
        with reading(path):
            self.file = safe_open(path, framework="numpy")
            self.names = list(self.file.keys())

    def __getitem__(self, clip_id: str) -> np.ndarray:
        return self.file.get_tensor(clip_id).astype(np.float32)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class ReferenceRetriever(PushToHubMixin):
    """Finder of reference dances for songs, with the dances themselves.

    Args:
        index: With its encoder.
        dances: Motion features of the dances of the index, `(frames, 269)` by clip id.

    Example:
        ```python
        from infinitedance import MusicFeatureExtractor, load_audio
        from infinitedance.assets import DEFAULT_REFERENCES
        from infinitedance.retrieval.references import ReferenceRetriever

        retriever = ReferenceRetriever.from_pretrained(DEFAULT_REFERENCES)
        music_features = MusicFeatureExtractor()(load_audio("song.mp3"), 24_000)["input_features"][0]
        features, windows = retriever(music_features, num_references=2, genre="salsa")
        ```
    """

    kind = "library"

    def __init__(self, index: DanceRetrievalIndex, dances: Mapping[str, np.ndarray]):
        self.index, self.dances = index, dances
        name = str(dances.path) if isinstance(dances, SavedDances) else "the library"
        self.library = index.open_library(dances, name)

    @classmethod
    def build(cls, encoder: MusicDanceEncoder, clips: Iterable[LibraryClip]) -> ReferenceRetriever:
        """Build the index over dances; they are kept in half precision, as `save_pretrained` writes them.

        Args:
            encoder: Trained by `train_retrieval`.
            clips: The dances.
        """
        kept = [
            replace(clip, motion_features=np.asarray(clip.motion_features, np.float16).astype(np.float32))
            for clip in clips
        ]
        return cls(DanceRetrievalIndex.build(encoder, kept), {clip.clip_id: clip.motion_features for clip in kept})

    def save_pretrained(self, folder: str | Path) -> None:
        """Write encoder, index and dances.

        Args:
            folder: Must not exist or be empty.

        Raises:
            FileExistsError: If the folder holds anything.
        """
        from safetensors.numpy import save_file

        assert self.index.encoder is not None  # `build` and `from_pretrained` give it one
        with atomic_folder(folder) as partial:
            copy.deepcopy(self.index.encoder).half().save_pretrained(partial / ENCODER_FOLDER)
            self.index.save(partial / INDEX_FOLDER)
            save_file({name: self.dances[name].astype(np.float16) for name in self.dances}, partial / DANCES_FILE)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike, *, revision: str | None = None, token: str | bool | None = None
    ) -> ReferenceRetriever:
        """Read a folder that `save_pretrained` wrote, or a library on the Hub.

        Args:
            folder: The folder, or a name on the Hub.
            revision: Branch, tag or commit on the Hub.
            token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`.

        Raises:
            FileNotFoundError: If a part is missing, or the Hub has no such repository.
            ImportError: If `datasets` or `faiss-cpu` is missing.
            OSError: If the Hub cannot be reached or read.
            ValueError: If the parts do not belong together.
        """
        if not Path(folder).exists() and HUB_NAME.fullmatch(Path(folder).as_posix()):
            folder = local_folder(folder, revision=revision, token=token, allow_patterns=LIBRARY_FILES)
        folder = Path(folder)
        for part in (f"{ENCODER_FOLDER}/config.json", DANCES_FILE):
            if not (folder / part).is_file():
                raise FileNotFoundError(
                    f"{folder} is no folder of references: it has no {part}. Make one with `infinitedance index`, or "
                    "generate without references."
                )
        encoder = load_model(folder / ENCODER_FOLDER, MusicDanceEncoder)
        return cls(DanceRetrievalIndex.load(folder / INDEX_FOLDER, encoder), SavedDances(folder / DANCES_FILE))

    def __call__(
        self,
        music_features: np.ndarray,
        *,
        num_references: int,
        genre: str | Collection[str] | None = None,
        pinned: Sequence[str] = (),
    ) -> tuple[np.ndarray, list[RetrievedWindow]]:
        """Find the references of a song.

        Args:
            music_features: `(frames, 109)`, 30 per second.
            num_references: Dances at any moment; fewer where the library has no more.
            genre: Only dances of this genre.
            pinned: Clip ids of dances that come first throughout: "dance like this one".

        Returns:
            Motion features on the time of the song, `(num_references, frames, 269)`, best match first, and which
            windows of which dances they are.

        Raises:
            ValueError: If the library has no such genre or clip.
        """
        windows = self.index.query(music_features, num_references, genre=genre, pinned=pinned)
        return self.library.reference_features(windows, len(music_features)), windows
