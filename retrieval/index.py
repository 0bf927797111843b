"""The library of dances that a song finds its references in: windows, their embeddings and a FAISS index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..modeling.choreollama.cadence_moe import rank_weights
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..utils.atomic import atomic_folder
from ..utils.errors import reading
from ..utils.extras import require_extra
from .encoding import encode_windows, encoder_fingerprint
from .library import ReferenceLibrary, features_digest
from .rows import COLUMNS, EMBEDDING, TEXT_COLUMNS, RowColumn, rows_to_dataset
from .search import WindowSearcher, build_faiss_index
from .windows import (
    LibraryClip,
    RetrievalHit,
    RetrievedWindow,
    WindowLayout,
)

if TYPE_CHECKING:
    from datasets import Dataset

META_FILE, ROWS_FOLDER, FAISS_FILE = "retrieval_index.json", "rows", "embedding.faiss"
FORMAT_VERSION = 1
_META_TYPES = {"window_frames": int, "stride_frames": int, "frame_rate": float} | dict.fromkeys(
    ("encoder_sha256", "faiss_sha256", "data_sha256", "embeddings_sha256", "starts_sha256"), str
)
MAX_SIMILARITY = 0.999
"""Two dances whose embeddings are more alike than this count as one (docs/retrieval_results.md)."""
ADD_BATCH_SIZE = 50_000


class DanceRetrievalIndex:
    """Index of dances: for each window of a song those that would go with it (paper section "MD-Retrieval").

    A row is a window of 384 frames (12.8 s) of a dance, every 192 frames; the columns are clip, song, genre, source,
    license and the start. Below 100,000 rows the search is exact, above it looks into inverted lists. Made by
    [`~DanceRetrievalIndex.build`] or [`~DanceRetrievalIndex.load`].

    Args:
        dataset: The rows, with a FAISS index on the column `embedding`.
        layout: Length and stride of the windows.
        encoder_fingerprint: Of the encoder that made the embeddings, see `encoder_fingerprint`.
        encoder: That encoder, for queries by music; queries by embedding need none.

    Example:
        ```python
        from infinitedance import DanceRetrievalIndex, MusicDanceEncoder, MusicFeatureExtractor, load_audio
        from infinitedance.assets import DEFAULT_REFERENCES
        from infinitedance.dataset_builder.built import BuiltDataset
        from infinitedance.dataset_builder.library import BuiltFeatures, built_clips

        encoder = MusicDanceEncoder.from_pretrained(DEFAULT_REFERENCES / "encoder", dtype="float32").eval()
        data = BuiltDataset("built")
        index = DanceRetrievalIndex.build(encoder, built_clips(data))
        music_features = MusicFeatureExtractor()(load_audio("song.mp3"), 24_000)["input_features"][0]
        windows = index.query(music_features, k=1)
        references = index.open_library(BuiltFeatures(data)).reference_features(windows, len(music_features))
        ```
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        layout: WindowLayout,
        encoder_fingerprint: str,
        encoder: MusicDanceEncoder | None = None,
    ):
        self.dataset, self.layout, self.encoder = dataset, layout, encoder
        self.encoder_fingerprint = encoder_fingerprint
        self.columns = {name: RowColumn(dataset, name) for name in TEXT_COLUMNS}
        self.searcher = WindowSearcher(dataset, self.columns["song_id"])
        self.start_frames = dataset.data.column("start_frame").to_numpy()

    def __len__(self) -> int:
        return len(self.dataset)

    @classmethod
    def build(cls, encoder: MusicDanceEncoder, clips: Iterable[LibraryClip]) -> DanceRetrievalIndex:
        """Encode the windows of dances.

        Args:
            encoder: A trained encoder.
            clips: The dances.

        Raises:
            ImportError: If `datasets` or `faiss-cpu` is missing.
            ValueError: If there is no dance, or a clip id comes twice.
        """
        layout = WindowLayout.from_config(encoder.config)
        rows: dict[str, list] = {name: [] for name in COLUMNS}
        embeddings = []
        seen: set[str] = set()
        for clip in clips:
            if clip.clip_id in seen:
                raise ValueError(f"`clips` must have unique ids, got {clip.clip_id!r} twice.")
            seen.add(clip.clip_id)
            starts = layout.clip_starts(len(clip.motion_features))
            embeddings.append(encode_windows(encoder, np.asarray(clip.motion_features), starts, "motion"))
            digest = features_digest(clip.motion_features)
            for start in starts:
                values = (clip.clip_id, clip.song_id, clip.genre, clip.source, clip.license, digest, start)
                for name, value in zip(COLUMNS, (*values, start / layout.frame_rate), strict=True):
                    rows[name].append(value)
        if not embeddings:
            raise ValueError("`clips` must hold at least one dance, got none.")
        return cls.from_embeddings(rows, np.concatenate(embeddings), layout=layout, encoder=encoder)

    @classmethod
    def from_embeddings(
        cls,
        rows: Mapping[str, Sequence | np.ndarray],
        embeddings: np.ndarray,
        *,
        layout: WindowLayout,
        encoder: MusicDanceEncoder | None = None,
    ) -> DanceRetrievalIndex:
        """Build the index over finished embeddings.

        Args:
            rows: The columns `clip_id`, `song_id`, `genre`, `source`, `license`, `clip_digest`, `start_frame` and
                `start_seconds`.
            embeddings: `(rows, embedding_size)` float32, of length 1.
            layout: Length and stride of the windows.
            encoder: Where they come from.

        Raises:
            ImportError: If `datasets` or `faiss-cpu` is missing.
            ValueError: If a column is missing, lengths differ, or an embedding is not of length 1.
        """
        _require_packages()
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        dataset = rows_to_dataset(rows, embeddings)
        dataset.add_faiss_index_from_external_arrays(
            embeddings, EMBEDDING, custom_index=build_faiss_index(embeddings), batch_size=ADD_BATCH_SIZE
        )
        fingerprint = "" if encoder is None else encoder_fingerprint(encoder)
        return cls(dataset, layout=layout, encoder_fingerprint=fingerprint, encoder=encoder)

    @property
    def data_fingerprint(self) -> str:
        """Digest of the dances that the index was built from: their ids, songs, licenses and features."""
        rows = {tuple(self.columns[name][row] for name in TEXT_COLUMNS) for row in self._first_rows()}
        return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()

    def _digests(self) -> dict[str, str]:
        embeddings = hashlib.sha256(np.ascontiguousarray(self.searcher.embeddings).data).hexdigest()
        starts = hashlib.sha256(np.ascontiguousarray(self.start_frames).data).hexdigest()
        return {"data_sha256": self.data_fingerprint, "embeddings_sha256": embeddings, "starts_sha256": starts}

    def _first_rows(self) -> np.ndarray:
        """Return one row of each clip."""
        return np.unique(self.columns["clip_id"].codes, return_index=True)[1]

    def save(self, folder: str | Path) -> None:
        """Write the rows, the FAISS index and what they were made of.

        Args:
            folder: Must not exist or be empty.

        Raises:
            FileExistsError: If the folder holds anything.
        """
        import datasets

        with atomic_folder(folder) as partial:
            self.dataset.save_faiss_index(EMBEDDING, partial / FAISS_FILE)
            # `save_to_disk` refuses a data set to which an index is attached.
            datasets.Dataset(self.dataset.data, info=self.dataset.info).save_to_disk(partial / ROWS_FOLDER)
            meta = {
                "format_version": FORMAT_VERSION,
                "num_rows": len(self),
                **asdict(self.layout),
                "encoder_sha256": self.encoder_fingerprint,
                "faiss_sha256": _file_digest(partial / FAISS_FILE),
            } | self._digests()
            (partial / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, encoder: MusicDanceEncoder | None = None) -> DanceRetrievalIndex:
        """Read an index that `save` wrote.

        Args:
            folder: The folder.
            encoder: The encoder that it was built with; without it only `query_embeddings` works.

        Raises:
            FileNotFoundError: If there is no index.
            ImportError: If `datasets` or `faiss-cpu` is missing.
            ValueError: If it is of another version or another encoder, or its parts do not belong together.
        """
        folder = Path(folder)
        if not (folder / META_FILE).is_file():
            raise FileNotFoundError(
                f"{folder} has no retrieval index ({META_FILE}). Build one with `DanceRetrievalIndex.build`, "
                "or generate without references."
            )
        with reading(folder / META_FILE):
            meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
            if not isinstance(meta, dict):
                raise ValueError("it must hold an object")
        if meta.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{folder} must be of format {FORMAT_VERSION}, got {meta.get('format_version')}: rebuild it."
            )
        found = {name: type(meta.get(name)) for name in _META_TYPES}
        if any(kind is not found[name] for name, kind in _META_TYPES.items()):
            raise ValueError(f"{folder / META_FILE} is damaged: rebuild the index.")
        if encoder is not None and encoder_fingerprint(encoder) != meta["encoder_sha256"]:
            raise ValueError(
                f"The index in {folder} was built with another encoder ({meta['encoder_sha256'][:12]}) than the one "
                f"given ({encoder_fingerprint(encoder)[:12]}): load that one, or build the index again."
            )
        layout = WindowLayout(meta["window_frames"], meta["stride_frames"], meta["frame_rate"])
        if encoder is not None and layout != WindowLayout.from_config(encoder.config):
            raise ValueError(f"{folder / META_FILE} states other windows than its encoder has: rebuild the index.")
        with reading(folder / FAISS_FILE):
            if _file_digest(folder / FAISS_FILE) != meta["faiss_sha256"]:
                raise ValueError(
                    f"{folder / FAISS_FILE} is not the file that was saved with this index: rebuild the index."
                )
        _require_packages()
        import datasets

        with reading(folder / ROWS_FOLDER):
            dataset = datasets.load_from_disk(str(folder / ROWS_FOLDER))
            dataset.load_faiss_index(EMBEDDING, folder / FAISS_FILE)
            index = cls(dataset, layout=layout, encoder_fingerprint=meta["encoder_sha256"], encoder=encoder)
            if any(digest != meta[name] for name, digest in index._digests().items()):
                raise ValueError("the rows are not those that were saved: rebuild the index")
        return index

    def query(self, music_features: np.ndarray, k: int = 10, **options: Any) -> list[RetrievedWindow]:
        """Find references for every window of a song.

        Args:
            music_features: `(frames, music_feature_size)` of the whole song, at the encoder's `music_frame_rate`.
            k: References a window; 10 in the paper.
            **options: Those of `query_embeddings`.

        Returns:
            The windows of the song in order, each with the same number of references.

        Raises:
            ValueError: If the index has no encoder, a shape is wrong or nothing can be found.
        """
        if self.encoder is None:
            raise ValueError("A query by music needs the encoder: `DanceRetrievalIndex.load(folder, encoder)`.")
        music_features = np.asarray(music_features, np.float32)
        config = self.encoder.config
        if music_features.ndim != 2 or music_features.shape[1] != config.music_feature_size:
            raise ValueError(
                f"`music_features` must be those of one song, (frames, {config.music_feature_size}), got shape "
                f"{music_features.shape}."
            )
        starts = self.layout.query_starts_seconds(len(music_features), config.music_frame_rate)
        frames = [round(start * Fraction(config.music_frame_rate)) for start in starts]
        return self.query_embeddings(encode_windows(self.encoder, music_features, frames, "music"), k, **options)

    def query_embeddings(
        self,
        embeddings: np.ndarray,
        k: int = 10,
        *,
        genre: str | Collection[str] | None = None,
        license: str | Collection[str] | None = None,
        source: str | Collection[str] | None = None,
        exclude_song_id: str | None = None,
        max_similarity: float = MAX_SIMILARITY,
        diversity: float = 0.0,
        windows_per_song: int | None = 1,
        pinned: Sequence[str] = (),
    ) -> list[RetrievedWindow]:
        """Find references for the windows of a song whose embeddings are known.

        Args:
            embeddings: `(windows, embedding_size)`, one every stride from the start of the song.
            k: References a window.
            genre: Only dances of this genre, or of these.
            license: Only dances with these terms.
            source: Only dances from this source.
            exclude_song_id: No dance to this song (in training its own), nor any more like one than `max_similarity`.
            max_similarity: Of dances more alike than this only the best is chosen.
            diversity: Share of maximal marginal relevance, 0 = by score alone.
            windows_per_song: Most windows of one song among the references of a window; None = any number.
            pinned: Clip ids that come first in every window, each by the window that fits best, whatever the filters.

        Returns:
            The windows in order. All have the same number of references, which is below `k` where filters leave fewer.

        Raises:
            ValueError: If an argument is out of range or unknown to the library, or no reference remains.
        """
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        size = self.searcher.embeddings.shape[1]
        if embeddings.ndim != 2 or embeddings.shape[1] != size or not len(embeddings):
            raise ValueError(f"`embeddings` must have shape (windows, {size}), got {embeddings.shape}.")
        if k < 1 or not 0 <= diversity < 1 or len(pinned) > k:
            raise ValueError(
                f"`k` must be at least 1 and the number of `pinned` clips, `diversity` must lie in [0, 1), got "
                f"{k}, {len(pinned)} pinned and {diversity}."
            )
        allowed = self._allowed(genre=genre, license=license, source=source)
        songs = self.columns["song_id"]
        excluded = np.zeros(0, np.int64) if exclude_song_id is None else songs.rows_of(exclude_song_id)
        pinned_rows = self._pinned_rows(embeddings, pinned, exclude_song_id)
        settings = {"max_similarity": max_similarity, "diversity": diversity, "windows_per_song": windows_per_song}
        chosen = self.searcher.search(embeddings, k, allowed, pinned_rows, settings | {"excluded": excluded})
        count = min(map(len, chosen))
        if count == 0:
            raise ValueError(
                "No dance of the library remains after the filters: relax them, or generate without references."
            )
        return [
            self._window(index, rows[:count], embedding, len(embeddings), len(pinned))
            for index, (rows, embedding) in enumerate(zip(chosen, embeddings, strict=True))
        ]

    def _allowed(self, **filters: str | Collection[str] | None) -> np.ndarray | None:
        """Return which rows pass the filters, None if there is none."""
        masks = [self.columns[name].matches(wanted) for name, wanted in filters.items() if wanted is not None]
        return np.logical_and.reduce(masks) if masks else None

    def _pinned_rows(
        self, embeddings: np.ndarray, pinned: Sequence[str], exclude_song_id: str | None
    ) -> list[list[int]]:
        """Return for each query the best window of each pinned clip."""
        result: list[list[int]] = [[] for _ in embeddings]
        for clip_id in pinned:
            rows = self.columns["clip_id"].rows_of(clip_id)
            if not len(rows):
                raise ValueError(f"`pinned` must name clips of the library, got {clip_id!r}.")
            if self.columns["song_id"][rows[0]] == exclude_song_id:
                raise ValueError(f"The pinned clip {clip_id!r} is danced to the excluded song {exclude_song_id!r}.")
            best = (embeddings @ self.searcher.embeddings[rows].T).argmax(axis=1)
            for chosen, row in zip(result, rows[best], strict=True):
                chosen.append(int(row))
        return result

    def _window(
        self, index: int, rows: Sequence[int], embedding: np.ndarray, num_windows: int, num_pinned: int
    ) -> RetrievedWindow:
        first_used, end_used = self.layout.used_frames(index, num_windows)
        hits = tuple(
            RetrievalHit(
                **{name: self.columns[name][row] for name in TEXT_COLUMNS if name != "clip_digest"},
                start_frame=int(self.start_frames[row]),
                start_seconds=int(self.start_frames[row]) / self.layout.frame_rate,
                score=float(self.searcher.embeddings[row] @ embedding),
                weight=weight,
                pinned=rank < num_pinned,
            )
            for rank, (row, weight) in enumerate(zip(rows, rank_weights(len(rows)).tolist(), strict=True))
        )
        return RetrievedWindow(
            start_frame=index * self.layout.stride_frames,
            start_seconds=float(index * self.layout.stride_seconds),
            first_used_frame=first_used,
            end_used_frame=end_used,
            hits=hits,
        )

    def open_library(self, clips: Mapping[str, np.ndarray], name: str = "the library") -> ReferenceLibrary:
        """Return what turns hits into `reference_features`.

        Args:
            clips: Motion features `(frames, 269)` by clip id, of the dances that the index was built from.
            name: Of the library in messages.
        """
        rows = self._first_rows()
        digests = {self.columns["clip_id"][row]: self.columns["clip_digest"][row] for row in rows}
        return ReferenceLibrary(clips, digests, name)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_packages() -> None:
    for package in ("datasets", "faiss"):
        require_extra(package, "data", "The retrieval index")
