"""Fit and measure the classifier that guesses the genre of a captured dance (assets/genre-guess).

    python -m benchmarks.genre_guess --data_dir ../shared/data --output docs/genre_guess.json

Takes minutes on one core: half of the dances are positions, to which rotations are fitted first.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from infinitedance.assets import GENRE_GUESS
from infinitedance.capture.genre_guess import GenreModel, fit_temperature
from infinitedance.dataset_builder.clip_folder import METADATA_FILE
from infinitedance.dataset_builder.sources.clip_folder import ClipFolderSource
from infinitedance.evaluation.metrics.genre_recognition import GenreClassifier, describe_windows
from infinitedance.evaluation.report.tables import Table

GENRES = {genre: genre for genre in ("cha-cha", "rumba", "tango", "salsa", "waltz", "modern")}
GENRES |= {"modern/ballet": "modern"}
GENRES |= dict.fromkeys(
    ("pop", "hip-hop", "hip-hop/pop", "krumping", "locking", "popping", "disco", "party", "jazz", "shuffle")
    + ("step touch", "freestyle"),
    "popular",
)
"""Genre of the guess by that of the data; others are too rare to tell."""
TWICE = {("dwm", "cha-cha"), ("dwm", "rumba")}
"""The mirror image of the better copies in choreonet."""
TEMPERATURES = tuple(float(value) for value in np.round(2.0 ** np.arange(0, 7, 0.25), 3))


@dataclass(frozen=True)
class Dance:
    """A real dance.

    Args:
        genre: The true one.
        data_set: That it is from: one way of capture.
        clip_id: Its name.
        song_id: Dances to one song are held out together.
        statistics: Of its windows, `(windows, 48)`.
    """

    genre: str
    data_set: str
    clip_id: str
    song_id: str
    statistics: np.ndarray


def read_dances(data_dir: Path) -> list[Dance]:
    """Read the dances of at least 10 s whose genre can be guessed."""
    with (data_dir / METADATA_FILE).open(encoding="utf-8") as file:
        rows = {row["clip"]: row for row in csv.DictReader(file)}
    source, dances = ClipFolderSource(data_dir), []
    for record in source.records():
        row = rows.get(record.clip_id, {})
        genre, folder = GENRES.get(row.get("genre", "")), Path(row.get("file", "")).parent
        if genre is None or folder.parent.name == "units" or (folder.name, genre) in TWICE:
            continue
        motion = source.load(record)
        statistics = describe_windows(motion.joint_positions(), motion.frame_rate)
        if len(statistics):
            dances.append(Dance(genre, folder.name, record.clip_id, record.song_id, statistics))
    return dances


def held_out(
    dances: Sequence[Dance], belong_together: Callable[[Dance, Dance], bool]
) -> list[tuple[Dance, dict[str, float]]]:
    """Return the mean squared distance of each dance from the genres of those that do not belong to it."""
    results = []
    for dance in dances:
        others: dict[str, list[np.ndarray]] = defaultdict(list)
        for other in dances:
            if not belong_together(dance, other):
                others[other.genre].append(other.statistics)
        if dance.genre in others and len(others) > 1:
            classifier = GenreClassifier(others)
            squares = (classifier.distances(dance.statistics) ** 2).mean(axis=0)
            results.append((dance, dict(zip(classifier.genres, squares.tolist(), strict=True))))
    return results


def accuracy_table(title: str, results: Sequence[tuple[Dance, dict[str, float]]], note: str) -> Table:
    """Count how many dances of each genre are told."""
    told: dict[str, list[bool]] = defaultdict(list)
    for dance, squares in results:
        told[dance.genre].append(min(squares, key=squares.__getitem__) == dance.genre)
    rows: list[list] = [[genre, len(hits), float(np.mean(hits))] for genre, hits in sorted(told.items())]
    every = [hit for hits in told.values() for hit in hits]
    return Table(title, ["genre", "dances", "told"], [*rows, ["all", len(every), float(np.mean(every))]], note)


def main() -> None:
    """Fit, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="clip folder of real dances")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of docs/")
    arguments = parser.parse_args()
    dances = read_dances(arguments.data_dir)
    by_genre: dict[str, list[np.ndarray]] = defaultdict(list)
    for dance in dances:
        by_genre[dance.genre].append(dance.statistics)
    classifier = GenreClassifier({genre: by_genre[genre] for genre in sorted(by_genre)})
    of_other_songs = held_out(dances, lambda one, other: one.song_id == other.song_id)
    of_other_sets = held_out(dances, lambda one, other: one.data_set == other.data_set)
    temperature = fit_temperature([(squares, dance.genre) for dance, squares in of_other_sets], TEMPERATURES)
    GENRE_GUESS.mkdir(exist_ok=True)
    config = {"genres": classifier.genres, "temperature": temperature}
    (GENRE_GUESS / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    GenreModel(classifier, temperature).save_weights(GENRE_GUESS)
    counts = Counter((dance.genre, dance.data_set) for dance in dances)
    seconds: Counter = Counter()
    for dance in dances:
        seconds[dance.genre, dance.data_set] += 10 * len(dance.statistics)
    tables = [
        Table(
            "Dances of the guess",
            ["genre", "data set", "dances", "minutes"],
            [[*key, number, seconds[key] / 60] for key, number in sorted(counts.items())],
        ),
        accuracy_table("Dances to other songs", of_other_songs, "Told by dances of the same data sets."),
        accuracy_table(
            "Dances of another data set",
            of_other_sets,
            "Told by dances of other data sets only, captured in another way; genres of one data set are left out.",
        ),
    ]
    record = {"guess": {"tables": [asdict(table) for table in tables]}}
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
