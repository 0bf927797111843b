"""Measure the retrieval index at 1k, 30k and 1M windows: `python benchmarks/retrieval_scale.py`.

The vectors are synthetic: as many clusters as songs would make (one song has 35 windows), of vectors of length 1 that
stand around a center, the centers around those of 8 genres. Queries are new vectors of the same clusters. Of each
size: time to build, memory of the process at its peak, time of a query (median over queries of the best of three
runs), and the share of the 10 nearest windows of an exact search that the index finds. A search with filters is
compared with an exact search under the same filters; most queries have another genre than the filter, which is the
hard case.
"""

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from infinitedance.retrieval.index import DanceRetrievalIndex
from infinitedance.retrieval.windows import WindowLayout

WINDOWS_PER_SONG, NUM_GENRES, K = 35, 8, 10
SIZES = (1_000, 30_000, 1_000_000)


def synthetic_library(num_windows: int, size: int, seed: int = 0) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return the columns of a library, its embeddings and the center of each song."""
    generator = np.random.default_rng(seed)
    num_songs = -(-num_windows // WINDOWS_PER_SONG)
    genre_of_song = np.arange(num_songs) % NUM_GENRES
    genres = _unit(generator.standard_normal((NUM_GENRES, size), np.float32))
    songs = _unit(genres[genre_of_song] + _noise(generator, num_songs, size))
    song = np.arange(num_windows) // WINDOWS_PER_SONG
    embeddings = _unit(songs[song] + _noise(generator, num_windows, size))
    start = (np.arange(num_windows) % WINDOWS_PER_SONG) * 192
    names = np.char.add("song_", np.arange(num_songs).astype(str))[song]
    rows = {
        "clip_id": names,
        "song_id": names,
        "genre": np.char.add("genre_", np.arange(NUM_GENRES).astype(str))[genre_of_song[song]],
        "source": np.where(song % 2, "studio", "street"),
        "license": np.where(song % 100, "CC-BY-4.0", "CC0-1.0"),
        "clip_digest": np.full(num_windows, ""),
        "start_frame": start,
        "start_seconds": start / 30,
    }
    return rows, embeddings, songs


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _noise(generator: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Return noise whose expected length is 1."""
    return generator.standard_normal((rows, size), np.float32) / np.float32(np.sqrt(size))


def best_time(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the shortest of three durations, in milliseconds, and what the call returns."""
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        result = call()
        durations.append(1000 * (time.perf_counter() - start))
    return min(durations), result


def measure(num_windows: int, size: int, num_queries: int) -> dict[str, float | int | str]:
    """Build an index, ask it, save and load it."""
    rows, embeddings, songs = synthetic_library(num_windows, size)
    generator = np.random.default_rng(1)
    queries = _unit(songs[generator.integers(len(songs), size=num_queries)] + _noise(generator, num_queries, size))
    own_songs = [str(rows["song_id"][row]) for row in generator.integers(num_windows, size=num_queries)]
    for package in ("datasets", "faiss"):  # their import is no part of the building
        importlib.import_module(package)
    start = time.perf_counter()
    index = DanceRetrievalIndex.from_embeddings(rows, embeddings, layout=WindowLayout())
    result: dict[str, float | int | str] = {"windows": num_windows, "build_seconds": time.perf_counter() - start}
    del rows, embeddings
    result["kind"] = type(index.searcher.faiss_index).__name__

    searcher = index.searcher
    filters = {"all": None, "genre": index.columns["genre"].matches("genre_7")}
    filters["rare_license"] = index.columns["license"].matches("CC0-1.0")
    for name, allowed in filters.items():
        times, found = [], 0
        for query in queries:
            milliseconds, (_, ids) = best_time(partial(searcher.nearest, query[None], K, allowed))
            times.append(milliseconds)
            scores = searcher.embeddings @ query
            if allowed is not None:
                scores[~allowed] = -np.inf
            found += len(np.intersect1d(ids[0], np.argpartition(-scores, K)[:K]))
        result[f"search_ms_{name}"] = float(np.median(times))
        result[f"recall_{name}"] = found / (K * num_queries)
    options_of: dict[str, dict] = {"query": {}, "query_diverse": {"diversity": 0.3}}
    options_of["query_genre"] = {"genre": "genre_7", "windows_per_song": None}
    for name, options in options_of.items():
        times = []
        for query, song in zip(queries, own_songs, strict=True):
            call = partial(index.query_embeddings, query[None], K, exclude_song_id=song, **options)
            milliseconds, (window,) = best_time(call)
            times.append(milliseconds)
            assert len(window.hits) == K
            assert song not in {hit.song_id for hit in window.hits}
        result[f"{name}_ms"] = float(np.median(times))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        index.save(Path(folder) / "index")
        result["save_seconds"] = time.perf_counter() - start
        result["disk_mb"] = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
        start = time.perf_counter()
        DanceRetrievalIndex.load(Path(folder) / "index")
        result["load_seconds"] = time.perf_counter() - start
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def main() -> None:
    """Measure each size in a process of its own, print the numbers and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of windows")
    parser.add_argument("--embedding_size", type=int, default=64)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--output", type=Path, help="JSON file for `benchmarks.retrieval --scale`")
    arguments = parser.parse_args()
    if len(arguments.sizes) == 1:
        results = [measure(arguments.sizes[0], arguments.embedding_size, arguments.queries)]
    else:
        results = []
        for size in arguments.sizes:
            options = ["--sizes", str(size), "--embedding_size", str(arguments.embedding_size)]
            command = [sys.executable, __file__, *options, "--queries", str(arguments.queries)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            results += json.loads(output)
    text = json.dumps(results, indent=1)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
