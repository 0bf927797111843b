"""Section of the report on genre and guidance: whether conditions change the dance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch

from infinitedance.evaluation.measures import HIPS
from infinitedance.evaluation.metrics.motion_quality import frozen_share
from infinitedance.evaluation.metrics.physics import mean_joint_speed, mean_local_speed
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX

from ..held_out import CodedDance, GenerationRequest, ReportData
from .quality import real_speed

GUIDANCE_SCALES = (0.0, 1.0, 2.0)
STATISTICS_SECONDS = 10
SWAP_SECONDS = 30


def conditions_section(data: ReportData) -> list[Table]:
    """Ask for every genre to every song, and for guidance 0, 1 and 2."""
    return [*_genre_tables(data), _guidance_table(data)]


def motion_statistics(positions: np.ndarray) -> np.ndarray:
    """Describe each 10 s of a dance by simple numbers.

    Args:
        positions: `(frames, 22, 3)`, metres, at 30 Hz.

    Returns:
        `(frames // 300, 28)`: speed of each joint relative to the hips and of the hips over the floor (m/s), deviation
        of the root's height, mean height of each hand over the root, distance of the feet, and knee height over the
        lower foot (m).
    """
    window = STATISTICS_SECONDS * round(FRAME_RATE)
    rows = []
    for start in range(0, len(positions) - window + 1, window):
        part = positions[start : start + window]
        hips = part[:, HIPS].mean(axis=1)
        local = part - hips[:, None]
        local_speeds = np.linalg.norm(np.diff(local, axis=0), axis=-1).mean(axis=0) * FRAME_RATE
        travel = np.linalg.norm(np.diff(hips[:, [0, 2]], axis=0), axis=-1).mean() * FRAME_RATE
        wrists = part[:, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]], 1] - part[:, :1, 1]
        left, right = CONTACT_JOINTS[:2]
        stance = np.linalg.norm(part[:, left] - part[:, right], axis=-1).mean()
        lift = part[:, [left, right], 1].max(axis=1) - part[:, [left, right], 1].min(axis=1)
        shape = [travel, part[:, 0, 1].std(), *wrists.mean(axis=0), stance, lift.mean()]
        rows.append(np.concatenate([local_speeds, shape]))
    return np.array(rows).reshape(len(rows), positions.shape[1] + 6)


class NearestCentroid:
    """Classifier of genres: the nearest mean of standardized statistics.

    Args:
        statistics: For each genre its windows, `(windows, statistics)`.
    """

    def __init__(self, statistics: dict[str, np.ndarray]):
        everything = np.concatenate(list(statistics.values()))
        self.mean, self.deviation = everything.mean(axis=0), everything.std(axis=0) + 1e-9
        self.genres = list(statistics)
        self.centroids = np.stack([self.standardize(rows).mean(axis=0) for rows in statistics.values()])

    def standardize(self, statistics: np.ndarray) -> np.ndarray:
        """Return `(windows, statistics)` in units of the training windows' deviation."""
        return (statistics - self.mean) / self.deviation

    def share(self, statistics: np.ndarray, genre: str) -> float:
        """Return the share of windows `(windows, statistics)` that are classified as a genre."""
        distances = np.linalg.norm(self.standardize(statistics)[:, None] - self.centroids, axis=-1)
        return float((distances.argmin(axis=1) == self.genres.index(genre)).mean())


def train_classifier(data: ReportData) -> NearestCentroid:
    """Learn the genres of the model from the training dances."""
    statistics: dict[str, list[np.ndarray]] = {genre: [] for genre in data.genres}
    for clip in data.training_clips:
        features = torch.from_numpy(np.array(data.clips.motion_features(clip)))
        statistics[clip.genre].append(motion_statistics(features_to_motion(features).joint_positions()))
    return NearestCentroid({genre: np.concatenate(rows) for genre, rows in statistics.items()})


def swapped_dances(data: ReportData) -> list[dict[str, Sequence[CodedDance]]]:
    """Return, for each song and each genre of the model, the dances of all seeds, for the first 30 s of the song."""
    num_frames = round(SWAP_SECONDS * FRAME_RATE)
    requests = [
        GenerationRequest(song.music[: min(song.num_frames, num_frames)], genre, seed)
        for song in data.songs
        for genre in data.genres
        for seed in data.seeds
    ]
    by_genre = data.by_song(data.generate(requests))
    rows = [by_genre[start : start + len(data.genres)] for start in range(0, len(by_genre), len(data.genres))]
    return [dict(zip(data.genres, row, strict=True)) for row in rows]


def _genre_tables(data: ReportData) -> list[Table]:
    if len(data.genres) < 2:
        raise ValueError(f"Genres can only be swapped in a model with two or more, got {data.genres}.")
    classifier = train_classifier(data)
    swapped = swapped_dances(data)
    statistics = [
        {genre: [motion_statistics(dance.positions) for dance in dances] for genre, dances in row.items()}
        for row in swapped
    ]
    own, other, real, between_genres, between_seeds = [], [], [], [], []
    for song, by_genre in zip(data.songs, statistics, strict=True):
        told = {genre: classifier.share(np.concatenate(rows), genre) for genre, rows in by_genre.items()}
        own.append(told[song.clip.genre])
        other.append(float(np.mean([share for genre, share in told.items() if genre != song.clip.genre])))
        real.append(classifier.share(motion_statistics(song.real.positions), song.clip.genre))
        points = {
            genre: [classifier.standardize(rows).mean(axis=0) for rows in dances] for genre, dances in by_genre.items()
        }
        pairs = [
            (points[first][seed], points[second][seed])
            for first, second in combinations(points, 2)
            for seed in data.seeds
        ]
        between_genres.append(_mean_distance(pairs))
        between_seeds.append(_mean_distance([pair for same in points.values() for pair in combinations(same, 2)]))
    told_rows: list[list[Cell]] = [
        ["real dances", mean_with_interval(real)],
        ["generated, genre of the song", mean_with_interval(own)],
        ["generated, another genre to the same song", mean_with_interval(other)],
        ["chance", 1 / len(data.genres)],
    ]
    distance_rows: list[list[Cell]] = [
        ["two genres, same seed", mean_with_interval(between_genres)],
        ["two seeds, same genre", mean_with_interval(between_seeds)],
        ["ratio", mean_with_interval(np.array(between_genres) / np.array(between_seeds))],
    ]
    note = (
        "Every genre is asked for to every test song, for 30 s. A nearest-centroid classifier on simple statistics of "
        "10 s (speeds of all joints, travel, height, hands, feet), learned from real training dances, tells the "
        "genre."
    )
    distance_note = "Distance of the mean statistics of two dances to one song, in deviations of the training dances."
    return [
        Table("Genre: classified as the requested one", ["dances", "share of 10 s windows"], told_rows, note),
        Table("Genre: distance between dances", ["dances", "distance"], distance_rows, distance_note),
    ]


def _mean_distance(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(np.mean([np.linalg.norm(first - second) for first, second in pairs]))


def _guidance_table(data: ReportData) -> Table:
    rows: list[list[Cell]] = []
    for scale in GUIDANCE_SCALES:
        is_default = scale == data.model.generation_config.guidance_scale
        dances = data.dances if is_default else data.by_song(data.generate(data.requests(), scale))
        measured = []
        for song, of_song in zip(data.songs, dances, strict=True):
            reference = real_speed(data, song.clip.genre)
            numbers = [
                (
                    dance.lock(song.bpm, song.clip.genre),
                    mean_joint_speed(dance.positions, FRAME_RATE) / reference,
                    mean_local_speed(dance.positions, FRAME_RATE, HIPS),
                    frozen_share(dance.positions, FRAME_RATE, reference),
                )
                for dance in of_song
            ]
            measured.append(np.mean(numbers, axis=0))
        rows.append([scale, *(mean_with_interval(column) for column in np.transpose(measured))])
    columns = ["guidance", "lock", "speed over real", "speed relative to hips, m/s", "frozen seconds"]
    note = "0: without any condition; 1: conditions as learned; 2: the default of the package."
    return Table("Guidance", columns, rows, note)
