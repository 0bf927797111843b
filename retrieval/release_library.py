"""Reference dances of the authors' release: their index, motion features and tokens, and what a window takes of them.

Layout, inside `InfiniteDanceData`:

```
dance/retrievalnet_motion_embeddings.npz                   names ("clip@start_end") and embeddings
dance/alldata_new_joint_vecs264_ft_balanced/<clip>.npy     (frames, 264), not normalized; 30 Hz
dance/Infinite_MotionTokens_512x1024_3layer_cleandata/<clip>.npy   flat ids, 3 for 4 frames; for `compat` only
styles/all_style_map.json                                  clip to style
```
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..modeling.choreollama_release.configuration_choreollama_release import RELEASED_STYLES
from ..modeling.choreollama_release.modeling_release_retriever import ReleaseRetriever
from ..utils.checkpoints import read_json_object
from ..utils.errors import reading
from .windows import RetrievalHit, RetrievedWindow

INDEX_FILE = "dance/retrievalnet_motion_embeddings.npz"
MOTION_FOLDER = "dance/alldata_new_joint_vecs264_ft_balanced"
TOKEN_FOLDER = "dance/Infinite_MotionTokens_512x1024_3layer_cleandata"
STYLE_FILE = "styles/all_style_map.json"
RELEASE_DATA_LICENSE = "InfiniteDance terms: no commercial use; dances and songs are of third parties"

NUM_REFERENCES = 10
STRIDE_FRAMES = 192
PREFIX_IDS = 120
"""Ids of a clip that the release offers as the start of a dance."""
_PREFIX_STEP_FRAMES, _PREFIX_STEP_IDS = 96, 72
_FRAME_RATE = 30.0
_NAME = re.compile(r"(.+)@(\d+)_(\d+)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class ReleaseLibrary:
    """The release's reference dances.

    Args:
        names: `clip@start_end` of each window, frames.
        embeddings: `(windows, hidden)` of their motion, any length.
        styles: Of clips whose name does not begin with one: its name, or its index.
        motion_folder: Holds `<clip>.npy`, `(frames, 264)`.
        token_folder: Holds `<clip>.npy`, flat ids; `None` without.

    Raises:
        ValueError: If names and embeddings do not belong together, or a name is no `clip@start_end`.
    """

    names: Sequence[str]
    embeddings: np.ndarray
    styles: Mapping[str, Any]
    motion_folder: Path
    token_folder: Path | None = None
    _unit: np.ndarray = field(init=False, repr=False)
    _style_of: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        embeddings = np.asarray(self.embeddings, np.float32)
        if embeddings.ndim != 2 or len(embeddings) != len(self.names) or not np.isfinite(embeddings).all():
            raise ValueError(
                f"There must be one finite embedding for each of the {len(self.names)} names, got shape "
                f"{embeddings.shape}."
            )
        for name in self.names:
            _parts(name)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        object.__setattr__(self, "_unit", embeddings / np.maximum(lengths, 1e-12))
        object.__setattr__(self, "_style_of", np.array([self.style_of(name) or "" for name in self.names]))

    @classmethod
    def from_folder(cls, folder: str | os.PathLike) -> ReleaseLibrary:
        """Open `InfiniteDanceData`; dances are read when they are used.

        Raises:
            FileNotFoundError: If the index or the folder of motion features is missing.
            ValueError: If a file cannot be read.
        """
        folder = Path(folder)
        index, motions, tokens = folder / INDEX_FILE, folder / MOTION_FOLDER, folder / TOKEN_FOLDER
        for path in (index, motions):
            if not path.exists():
                raise FileNotFoundError(
                    f"There is no {path}: give the folder `InfiniteDanceData` of the release, with its index and its "
                    "motion features."
                )
        with reading(index), np.load(index, allow_pickle=False) as arrays:
            names, embeddings = [str(name) for name in arrays["names"]], arrays["embeddings"]
        styles = read_json_object(folder / STYLE_FILE)
        with reading(index):
            return cls(names, embeddings, styles, motions, tokens if tokens.is_dir() else None)

    def style_of(self, name: str) -> str | None:
        """Return the style of a clip or of a window of one: as the map says, else by its name; `None` if unknown."""
        clip = name.rsplit("@", 1)[0]
        style = self.styles.get(clip, clip)
        if isinstance(style, int) and 0 <= style < len(RELEASED_STYLES):
            return RELEASED_STYLES[style]
        return next((known for known in RELEASED_STYLES if str(style).startswith(known)), None)

    def rank(self, embedding: np.ndarray, style: str, count: int = NUM_REFERENCES) -> list[tuple[str, float]]:
        """Return the windows of a style that are nearest to a window of music, with their cosines, the nearest first.

        Args:
            embedding: `(hidden,)`, any length but zero.
            style: One of `RELEASED_STYLES`.
            count: How many; fewer if the style has fewer.
        """
        rows = np.flatnonzero(self._style_of == style)
        cosines = self._unit[rows] @ (np.asarray(embedding, np.float32) / np.linalg.norm(embedding))
        order = np.argsort(-cosines, kind="stable")[:count]
        return [(self.names[rows[place]], float(cosines[place])) for place in order]

    def usable(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the features `(end - start, 264)` of the windows whose dance is there and long enough, in order."""
        found = {}
        for name in names:
            clip, start, end = _parts(name)
            path = self.motion_folder / f"{clip}.npy"
            if not path.is_file():
                continue
            features = _read_array(path)
            if features.ndim != 2:
                raise ValueError(f"{path} must have shape (frames, 264), got {features.shape}.")
            if end <= len(features):
                found[name] = np.asarray(features[start:end], np.float32)
        return found

    def prefix(self, names: Sequence[str]) -> np.ndarray | None:
        """Return the first ids `(120,)` of the first of some windows whose tokens are there and go on long enough."""
        for name in names:
            clip, start, _ = _parts(name)
            path = None if self.token_folder is None else self.token_folder / f"{clip}.npy"
            if path is None or not path.is_file():
                continue
            first = round(start / _PREFIX_STEP_FRAMES) * _PREFIX_STEP_IDS
            ids = np.asarray(_read_array(path)).ravel()[first : first + PREFIX_IDS]
            if len(ids) == PREFIX_IDS:
                return ids.astype(np.int64)
        return None


def condition(windows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of windows of one shape in the order of their rank, the best with the weight n, the last with 1.

    Raises:
        ValueError: If there are none.
    """
    if not windows:
        raise ValueError("A condition needs at least one window.")
    weights = rank_weights(len(windows))
    return np.tensordot(weights, np.stack(windows), axes=1).astype(np.float32)


def rank_weights(count: int) -> np.ndarray:
    """Return the weights `(count,)` n, n - 1 ... 1 over their sum."""
    weights = np.arange(count, 0, -1, dtype=np.float64)
    return weights / weights.sum()


def song_window(music: np.ndarray, start_frame: int, window_frames: int) -> np.ndarray:
    """Cut a window out of a song's features `(frames, channels)`; what lies beyond the end is the window again."""
    window = music[start_frame : start_frame + window_frames]
    if not len(window):
        raise ValueError(f"A window must begin within the song of {len(music)} frames, got frame {start_frame}.")
    return window[np.arange(window_frames) % len(window)]


class SongReferences:
    """References of one song in one style: what each window of it is conditioned on, and a record of it.

    Args:
        library: The dances.
        retriever: Embeds the windows of the song.
        music: `(frames, 55)` of the song, see `audio.release_features`.
        style: One of `RELEASED_STYLES`.
        normalize: The generator's, of a retrieved dance `(frames, 264)`.
    """

    def __init__(
        self,
        library: ReleaseLibrary,
        retriever: ReleaseRetriever,
        music: np.ndarray,
        style: str,
        normalize: Callable[[torch.Tensor], torch.Tensor],
    ):
        self.library, self.retriever, self.music, self.style = library, retriever, music, style
        self.normalize = normalize
        self.windows: list[RetrievedWindow] = []

    @torch.no_grad()
    def rank(self, start_frame: int) -> list[tuple[str, float]]:
        """Return the best windows of the style for the music that begins at a frame of 30 a second."""
        window = song_window(self.music, start_frame, self.retriever.config.max_frames)
        embedding = self.retriever.embed_music(torch.from_numpy(window)[None])[0]
        return self.library.rank(embedding.float().numpy(), self.style)

    def condition_at(self, start_frame: int) -> torch.Tensor:
        """Return what the window that begins at a frame is conditioned on, `(384, 264)`, normalized.

        Raises:
            ValueError: If none of the dances that were found is there.
        """
        ranked = dict(self.rank(start_frame))
        found = self.library.usable(list(ranked))
        if not found:
            raise ValueError(
                f"None of the {len(ranked)} dances of the style {self.style} that suit the music at "
                f"{start_frame / _FRAME_RATE:.1f} s is in {self.library.motion_folder}: copy the whole folder."
            )
        self._record(start_frame, {name: ranked[name] for name in found})
        return self.normalize(torch.from_numpy(condition(list(found.values()))))

    def condition_of(self, index: int) -> torch.Tensor:
        """Return the condition of window `index` of the release's own grid, whose windows begin 192 frames apart.

        The release asks for windows that begin later than the music does, also beyond the song; the last one is then
        taken.
        """
        return self.condition_at(min(index, self.num_windows - 1) * STRIDE_FRAMES)

    @property
    def num_windows(self) -> int:
        """Windows of the song on the release's own grid; the last one reaches the end of the song."""
        return 1 + max(0, -(-(len(self.music) - self.retriever.config.max_frames) // STRIDE_FRAMES))

    def prefix(self) -> torch.Tensor | None:
        """Return ids of the dance that suits the start of the song best; `None` where its tokens are not there."""
        names = list(self.library.usable([name for name, _ in self.rank(0)]))
        ids = self.library.prefix(names)
        return None if ids is None else torch.from_numpy(ids)

    def _record(self, start_frame: int, scores: Mapping[str, float]) -> None:
        hits = []
        for (name, score), weight in zip(scores.items(), rank_weights(len(scores)), strict=True):
            clip, start, _ = _parts(name)
            hits.append(
                RetrievalHit(
                    clip_id=clip,
                    song_id=clip,
                    genre=self.style,
                    source="infinitedance",
                    license=RELEASE_DATA_LICENSE,
                    start_frame=start,
                    start_seconds=start / _FRAME_RATE,
                    score=score,
                    weight=float(weight),
                    pinned=False,
                )
            )
        end = start_frame + self.retriever.config.max_frames
        self.windows.append(
            RetrievedWindow(start_frame, start_frame / _FRAME_RATE, start_frame, end, hits=tuple(hits))
        )


def _parts(name: str) -> tuple[str, int, int]:
    """Return clip, first frame and the frame after the last one of `clip@start_end`."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[2]) >= int(match[3]):
        raise ValueError(f"The name of a window must be `clip@start_end`, got {name!r}.")
    return match[1], int(match[2]), int(match[3])


def _read_array(path: Path) -> np.ndarray:
    """Open an array of numbers without reading it whole; a pickle is refused."""
    with reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"it must hold numbers, got {array.dtype}")
    return array
