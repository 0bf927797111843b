"""Section on reference dances: what a pinned one pulls, and what dances are without any."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from infinitedance.evaluation.metrics.genre_recognition import GenreClassifier, describe_windows
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE

from .bench import Bench, Song
from .measures import Performance, measure
from .sections import ALL

SONGS_PER_GENRE = 3


def references_section(bench: Bench) -> list[Table]:
    """Pin each dance of the library, and dance without references."""
    return [_pull_table(bench), _without_table(bench)]


def _style(classifier: GenreClassifier, positions: np.ndarray) -> np.ndarray:
    """Return the mean statistics of the 10 s windows of a dance, in units of what varies within a genre."""
    return classifier.standardize(describe_windows(positions, FRAME_RATE)).mean(axis=0)


def _dance(bench: Bench, song: Song, genre: str, **asked: object) -> Performance:
    motion = bench.pipeline(song.waveform, genre=genre, seed=0, **bench.asked, **asked).motion  # type: ignore[arg-type]
    return Performance(song.name, genre, motion, song.clock(genre), song.energy)


def _pull_table(bench: Bench) -> Table:
    retriever, classifier = bench.pipeline.retriever, bench.references.classifier
    if retriever is None:
        raise ValueError(f"{bench.model_dir} must have reference dances, it has none.")
    columns = retriever.index.columns
    genre_of = {columns["clip_id"][row]: columns["genre"][row] for row in range(len(retriever.index))}
    styles = {
        clip: _style(classifier, features_to_motion(torch.from_numpy(retriever.dances[clip])).joint_positions())
        for clip in retriever.dances
    }
    rows: list[list[Cell]] = []
    of_song: dict[str, list[float]] = {}
    for place, genre in enumerate(tqdm(bench.genres, desc="pinned", unit="genre")):
        pinned_genres = (genre, bench.genres[(place + 1) % len(bench.genres)])
        pins = [clip for clip in retriever.dances if genre_of[clip] in pinned_genres]
        songs = [song for song, asked in bench.free_requests(len(bench.genres)) if asked == genre][:SONGS_PER_GENRE]
        ratios = []
        for song in songs:
            made = {}
            for pin in pins:
                dance = _dance(bench, song, genre, num_references=1, pinned_references=[pin])
                made[pin] = _style(classifier, dance.positions)
            of_pins = []
            for pin in pins:
                far = {other: float(np.linalg.norm(made[other] - styles[pin])) for other in pins}
                of_pins.append(far[pin] / float(np.mean([far[other] for other in pins if other != pin])))
            ratios.append(float(np.mean(of_pins)))
            of_song.setdefault(song.name, []).extend(of_pins)
        rows.append([genre, len(pins), len(songs) * len(pins), mean_with_interval(np.array(ratios))])
    means = np.array([np.mean(ratios) for ratios in of_song.values()])
    rows.append([ALL, None, sum(map(len, of_song.values())), mean_with_interval(means)])
    note = (
        "A genre is asked for, and each dance of that genre and of the next one in the library is pinned for whole "
        "free songs, all else equal. Distance to the style of a dance where it is pinned over that where the others "
        "are, in the whitened statistics of 10 s; below 1: the pinned dance pulls."
    )
    return Table("Pull of a pinned reference", ["genre", "references", "dances", "distance ratio"], rows, note)


def _without_table(bench: Bench) -> Table:
    counts = {"with the reference that the song finds": None, "without references": 0}
    rows: list[list[Cell]] = []
    for name, count in counts.items():
        values: dict[str, list[dict[str, float]]] = {}
        for song, genre in tqdm(bench.free_requests(), desc=name, unit="dance"):
            dance = _dance(bench, song, genre, num_references=count)
            values.setdefault(song.name, []).append(measure(dance, bench.references))
        cells: list[Cell] = [name, sum(map(len, values.values()))]
        for key in ("told_dance", "locked", "speed", "nearest_mm"):
            cells.append(mean_with_interval(np.array([np.nanmean([v[key] for v in of]) for of in values.values()])))
        rows.append(cells)
    columns = ["dances", "number", "told as asked", "lock over 2", "speed over real", "nearest training window, mm"]
    return Table("Dances with and without a reference", columns, rows, "Free songs, seed 0.")
