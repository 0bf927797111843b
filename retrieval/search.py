"""Search among the windows of a library: the FAISS index of `datasets`, filters, and the choice among candidates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .rows import EMBEDDING, RowColumn, column_to_array

if TYPE_CHECKING:
    from datasets import Dataset

EXACT_BELOW = 100_000
"""Libraries with fewer windows are searched exactly."""
SUBSET_BELOW = 20_000
"""Where a filter leaves fewer windows than this, they are compared one by one."""
CANDIDATES_PER_HIT = 8
THREADS_FROM_QUERIES = 256
"""So many queries at once are divided among threads."""
TRAINING_VECTORS_PER_LIST = 128
PROBED_SHARE = 0.1
"""Share of the lists of a large index that are searched; it suffices where vectors hardly cluster
(docs/retrieval_results.md)."""


def build_faiss_index(embeddings: np.ndarray, seed: int = 0) -> Any:
    """Return an empty FAISS index that fits the number of vectors: flat, or inverted lists trained on some of them.

    Args:
        embeddings: `(rows, embedding_size)` float32.
        seed: Chooses the vectors to train on.
    """
    faiss = _faiss()
    rows, size = embeddings.shape
    if rows < EXACT_BELOW:
        return faiss.IndexFlatIP(size)
    num_lists = 2 ** round(np.log2(np.sqrt(rows)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, num_lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed + 1
    index.cp.niter = 10
    num_training = min(rows, TRAINING_VECTORS_PER_LIST * num_lists)
    chosen = np.sort(np.random.default_rng(seed).choice(rows, num_training, replace=False))
    index.train(embeddings[chosen])
    return index


class WindowSearcher:
    """Search for the nearest windows of a library, and the choice among them.

    Args:
        dataset: The rows, with a FAISS index on the column `embedding`.
        songs: The column `song_id`.
    """

    def __init__(self, dataset: Dataset, songs: RowColumn):
        self.songs = songs
        self.faiss_index = dataset.get_index(EMBEDDING).faiss_index
        self.embeddings = column_to_array(dataset)

    def nearest(self, embeddings: np.ndarray, count: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest allowed rows of each query, best first.

        A filter is a bitmap that FAISS consults while it searches, so it loses no hit to windows that it excludes. Of
        an index of inverted lists more lists are searched the rarer the allowed rows are; where few rows are allowed,
        or very many wanted, rows are compared one by one.

        Args:
            embeddings: `(queries, embedding_size)` float32.
            count: Rows wanted.
            allowed: `(rows,)`, True = may be found; all if None.

        Returns:
            Cosines and rows, `(queries, count)`; rows are -1 where there are no more.
        """
        faiss = _faiss()
        num_rows = len(self.embeddings)
        num_allowed = num_rows if allowed is None else int(np.count_nonzero(allowed))
        has_lists = isinstance(self.faiss_index, faiss.IndexIVF)
        if has_lists and (num_allowed < SUBSET_BELOW or count >= SUBSET_BELOW):
            rows = np.arange(num_rows) if allowed is None else np.flatnonzero(allowed)
            return self._compare(embeddings, min(count, num_allowed), rows)
        options: dict[str, Any] = {}
        if allowed is not None:
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        if has_lists:
            # Candidates beyond a hundred lie further away, in more lists.
            share = PROBED_SHARE * max(1.0, count / 100) * num_rows / num_allowed
            num_probes = math.ceil(self.faiss_index.nlist * min(1.0, share))
            parameters = faiss.SearchParametersIVF(nprobe=num_probes, **options)
        else:
            parameters = faiss.SearchParameters(**options)
        with _few_queries_on_one_thread(len(embeddings)):
            return self.faiss_index.search(np.ascontiguousarray(embeddings), count, params=parameters)

    def _compare(self, embeddings: np.ndarray, count: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = embeddings @ self.embeddings[rows].T
        best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        best_scores = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")
        return np.take_along_axis(best_scores, order, axis=1), rows[np.take_along_axis(best, order, axis=1)]

    def search(
        self,
        embeddings: np.ndarray,
        k: int,
        allowed: np.ndarray | None,
        pinned_rows: Sequence[Sequence[int]],
        settings: dict[str, Any],
    ) -> list[list[int]]:
        """Choose references for each query; candidates are fetched until there are enough, or no more.

        Args:
            embeddings: `(queries, embedding_size)` float32.
            k: References of a query.
            allowed: `(rows,)`, True = may be found; all if None.
            pinned_rows: For each query the rows that come first.
            settings: The other arguments of `choose`.

        Returns:
            The chosen rows of each query, at most `k`.
        """
        total = len(self.embeddings) if allowed is None else int(np.count_nonzero(allowed))
        chosen = [list(rows) for rows in pinned_rows]
        count = min(CANDIDATES_PER_HIT * k + len(settings["excluded"]), total)
        open_queries = list(range(len(embeddings))) if total else []
        while open_queries:
            _, found = self.nearest(embeddings[open_queries], count, allowed)
            for query, candidates in zip(open_queries, found, strict=True):
                chosen[query] = self.choose(candidates, embeddings[query], k, pinned=pinned_rows[query], **settings)
            open_queries = [query for query in open_queries if len(chosen[query]) < k and count < total]
            count = min(4 * count, total)
        return chosen

    def choose(
        self,
        rows: np.ndarray,
        query: np.ndarray,
        count: int,
        *,
        max_similarity: float,
        diversity: float,
        windows_per_song: int | None,
        pinned: Sequence[int] = (),
        excluded: np.ndarray,
    ) -> list[int]:
        """Choose references among candidates: not twice the same dance, and not all alike.

        Args:
            rows: Candidates, best first.
            query: `(embedding_size,)`.
            count: How many to choose.
            max_similarity: No two chosen ones, nor a chosen one and an excluded one, are more similar than this.
            diversity: Share of maximal marginal relevance: the next one is that with the greatest
                `(1 - diversity) * cosine to the query - diversity * greatest cosine to a chosen one`.
            windows_per_song: Most windows of one song; None = any number.
            pinned: Rows that come first, whatever they are like.
            excluded: Rows of a song to which nothing chosen belongs and which nothing chosen resembles.

        Returns:
            The chosen rows, at most `count`.
        """
        chosen = list(pinned)
        candidates = rows[(rows >= 0) & ~np.isin(rows, pinned)]
        vectors = self.embeddings[candidates]
        songs = self.songs.codes[candidates]
        relevance = vectors @ query
        if len(excluded):
            relevance[(vectors @ self.embeddings[excluded].T).max(axis=1) > max_similarity] = -np.inf
            relevance[songs == self.songs.codes[excluded[0]]] = -np.inf
        likeness = np.full(len(candidates), -np.inf)  # to the most similar chosen one
        song_counts: dict[int, int] = {}
        newest = chosen.copy()
        while True:
            for row in newest:
                likeness = np.maximum(likeness, vectors @ self.embeddings[row])
                song = int(self.songs.codes[row])
                song_counts[song] = song_counts.get(song, 0) + 1
                if windows_per_song is not None and song_counts[song] >= windows_per_song:
                    relevance[songs == song] = -np.inf
            relevance[likeness > max_similarity] = -np.inf
            if len(chosen) >= count or not np.isfinite(relevance).any():
                return chosen[:count]
            marginal = (
                relevance if diversity == 0 or not chosen else (1 - diversity) * relevance - diversity * likeness
            )
            best = int(np.argmax(marginal))
            chosen.append(int(candidates[best]))
            relevance[best] = -np.inf
            newest = chosen[-1:]


@contextmanager
def _few_queries_on_one_thread(num_queries: int) -> Iterator[None]:
    """Search for the windows of one song on one thread.

    A query takes a fraction of a millisecond, which more threads hardly shorten; on a busy machine each waits 20 ms
    for the others to be given a core.
    """
    faiss = _faiss()
    num_threads = faiss.omp_get_max_threads()
    if num_queries < THREADS_FROM_QUERIES:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(num_threads)


def _faiss() -> Any:
    """Import FAISS when it is needed; its type stubs do not know all of it."""
    import faiss

    return faiss
