"""A folder of dances that a song finds its references in: encoder, index and the dances themselves."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..evaluation.memory import COPY_MILLIMETRES, WINDOW_SECONDS, CodeLibrary, hip_aligned_poses, nearest_windows
from ..modeling.configuration_music_dance import MusicDanceConfig
from ..modeling.modeling_music_dance import MusicDanceEncoder
from ..motion.features import features_to_motion
from ..motion.files.atomic import atomic_folder
from ..motion.motion import Motion
from ..motion.skeleton import JOINT_INDEX
from ..tokenization.modeling_motion_codec import MotionCodecModel
from .manifest import read_manifest
from .retrieval_index import DanceRetrievalIndex
from .retrieval_windows import LibraryClip, RetrievedWindow
from .splits import TRAIN

ENCODER_FOLDER, INDEX_FOLDER, DANCES_FILE = "encoder", "index", "dances.safetensors"


@dataclass(frozen=True)
class CopyReport:
    """How near a dance comes to its references.

    Args:
        nearest_clip_id: The reference with the most similar piece.
        nearest_millimetres: Mean distance of the joints over the most similar two seconds, hips and heading aligned.
        copied_share: Share of the dance's two-second windows that are nearer than 20 mm to a piece of a reference.
        longest_run_tokens: Most tokens in a row whose codes agree at all levels with a piece of a reference.
    """

    nearest_clip_id: str
    nearest_millimetres: float
    copied_share: float
    longest_run_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return asdict(self)


class SavedDances(Mapping):
    """Motion features by clip id in one file, read when they are asked for.

    Args:
        path: `dances.safetensors`.
    """

    def __init__(self, path: Path):
        from safetensors import safe_open

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


class ReferenceRetriever:
    """Find references for songs, and tell how near a dance came to them.

    Args:
        index: With its encoder.
        dances: Motion features of the dances of the index, `(frames, 269)` by clip id.

    Example:
        ```python
        retriever = ReferenceRetriever.from_pretrained("references")
        features, windows = retriever(music_features, num_references=2, genre="waltz")
        ```
    """

    def __init__(self, index: DanceRetrievalIndex, dances: Mapping[str, np.ndarray]):
        self.index, self.dances = index, dances
        self.library = index.open_library(dances)

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
    def from_pretrained(cls, folder: str | os.PathLike) -> ReferenceRetriever:
        """Read a folder that `save_pretrained` wrote.

        Raises:
            FileNotFoundError: If a part is missing.
            ImportError: If `datasets` or `faiss-cpu` is missing.
            ValueError: If the parts do not belong together.
        """
        folder = Path(folder)
        for part in (f"{ENCODER_FOLDER}/config.json", DANCES_FILE):
            if not (folder / part).is_file():
                raise FileNotFoundError(
                    f"{folder} is no folder of references: it has no {part}. Make one with `infinitedance index`, or "
                    "generate without references."
                )
        encoder = load_encoder(folder / ENCODER_FOLDER)
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

    def copy_report(
        self,
        motion: Motion,
        motion_codes: torch.Tensor,
        windows: Sequence[RetrievedWindow],
        codec: MotionCodecModel,
    ) -> CopyReport | None:
        """Measure how near a dance comes to the references that it was given.

        Args:
            motion: The dance, 30 frames per second.
            motion_codes: Its codes, `(num_quantizers, num_tokens)`.
            windows: Its references.
            codec: Whose codes they are.

        Returns:
            The report; `None` if the dance or all of its references last less than two seconds.
        """
        clip_ids = sorted({hit.clip_id for window in windows for hit in window.hits})
        features = {clip_id: torch.from_numpy(self.library.features(clip_id)) for clip_id in clip_ids}
        dances = {clip_id: features_to_motion(of_clip) for clip_id, of_clip in features.items()}
        if min(motion.duration_seconds, max(dance.duration_seconds for dance in dances.values())) < WINDOW_SECONDS:
            return None
        library = {clip_id: _poses(dance) for clip_id, dance in dances.items()}
        found = nearest_windows(_poses(motion), library, motion.frame_rate)
        nearest = int(np.argmin(found.distances_mm))
        return CopyReport(
            nearest_clip_id=found.clip_ids[nearest],
            nearest_millimetres=float(found.distances_mm[nearest]),
            copied_share=float((found.distances_mm < COPY_MILLIMETRES).mean()),
            longest_run_tokens=_code_library(features, codec).shared_runs(motion_codes.cpu().numpy()).longest,
        )


def load_encoder(folder: str | Path) -> MusicDanceEncoder:
    """Load a music-dance encoder in float32.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If another kind of model lies there.
    """
    if not (Path(folder) / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no music-dance encoder: there is no config.json. Give the folder of one "
            "(`--encoder`); `python -m infinitedance.training.train_retrieval` makes it."
        )
    found = MusicDanceConfig.get_config_dict(folder)[0].get("model_type")
    if found != MusicDanceConfig.model_type:
        raise ValueError(f"{folder} must hold a model of type {MusicDanceConfig.model_type}, got {found}.")
    return MusicDanceEncoder.from_pretrained(folder, dtype=torch.float32).eval()


def built_clips(built_dir: str | Path) -> Iterator[LibraryClip]:
    """List the training dances with aligned music of a data set that `infinitedance build` wrote, mirrored ones apart.

    Raises:
        FileNotFoundError: If there is no built data set.
    """
    for clip in read_manifest(built_dir):
        if clip.split == TRAIN and clip.music_file is not None and not clip.is_mirrored:
            yield LibraryClip(
                clip_id=clip.clip_id,
                song_id=clip.song_id,
                genre=clip.genre,
                source=clip.source,
                licence=clip.licence,
                motion_features=np.load(Path(built_dir) / clip.motion_file, allow_pickle=False),
            )


@torch.inference_mode()
def _code_library(features: Mapping[str, torch.Tensor], codec: MotionCodecModel) -> CodeLibrary:
    """Encode dances from each of the frames that a token may begin with: a copy need not keep to their tokens."""
    return CodeLibrary(
        {
            f"{clip_id}/{offset}": codec.encode(of_clip[None, offset:].to(codec.device))[0].cpu().numpy()
            for clip_id, of_clip in features.items()
            for offset in range(min(codec.config.frames_per_token, len(of_clip)))
        }
    )


def _poses(motion: Motion) -> np.ndarray:
    positions = motion.joint_positions().astype(np.float64)
    return hip_aligned_poses(positions, JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"])
