"""Measure the metrics themselves: floors, chance, and whether they rank a model and obvious baselines rightly.

```bash
python -m benchmarks.metrics --model_dir assets/choreollama-tiny --data_dir built \
    --output docs/metrics.md --max_seconds 40
```
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from tqdm import tqdm

from infinitedance.evaluation.catalogue import METRICS
from infinitedance.evaluation.measures import (
    MeasuredDance,
    measure_body,
    measure_joins,
    measure_memory,
    measure_music,
    training_poses,
)
from infinitedance.evaluation.metrics.distribution import (
    FrechetResult,
    mean_pairwise_distance,
    measure_frechet,
    normalize_by_reference,
)
from infinitedance.evaluation.metrics.physics import mean_joint_speed
from infinitedance.evaluation.report.record import FAMILIES, interval_cell, summarize
from infinitedance.evaluation.report.tables import Cell, Table, format_cell
from infinitedance.evaluation.sets import FEATURE_KEYS, ClipSet, FeatureKey, clip_set
from infinitedance.motion.motion import FRAME_RATE

from ..held_out import ReportData
from ..results.quality import window_boundaries
from ..writer import Sections, report_parser, run_report
from .baselines import Baselines
from .codes import codes_table
from .ranking import Ranking, mean_by_song, rank_all, rank_distance, ranking_tables
from .tables import WINDOW_SECONDS, chance_tables, floor_tables

INTRODUCTION = """# The metrics, measured

Written by `python -m benchmarks.metrics`; not edited by hand. Every section names the command that
measures it again, and the `.json` beside this file holds the same numbers. `infinitedance evaluate` measures any
system's dances with the same metrics.

Read a number only beside its floor or its chance. A range in parentheses is a 95 % interval; over a handful of
held-out songs it is a rough one, and only large differences can be seen.

Beyond chance always means one thing (`evaluation/metrics/beats.py:alignment_excess`): the score with the song's beats
minus the mean score with beats of other songs, spread to the same density and shifted at random.
"""
DISTANCE_CASES = ("shuffled", "frozen", "noise", "copy")
SYSTEM_NOTES = {
    "real": "the real dance to the song",
    "model": "the model's, mean over seeds",
    "shuffled": "real dances to other songs (music: of another tempo)",
    "copy": "the training dance whose music is most alike, copied",
    "frozen": "the first pose, held",
    "noise": "a body that moves at random, as fast as the real dance",
}


FAMILY_NOTES = {
    "music": ". The song's true tempo and first beat count; the model is given neither.",
    "movement": ". All are on one body with rigid bones.",
    "feet": ". Rest heights are fitted to each dance.",
    "joins": (
        ". At the first frame of each window of the model but the first. Where there is no join, as in all but the "
        "model's dances, a ratio of any frame is above 1 in one case of twenty."
    ),
    "memory": (
        ". Held-out dances of a genre with one routine repeat what is in the training set, so what counts is the "
        "difference from them. Training dances are held plain and mirrored."
    ),
}


def floor_section(data: ReportData) -> list[Table]:
    """Measure FID of real dances against real dances."""
    return floor_tables(_baselines(data))


def chance_section(data: ReportData) -> list[Table]:
    """Measure music metrics where dance and music do not know of each other."""
    return chance_tables(_baselines(data))


def systems_section(data: ReportData) -> list[Table]:
    """Measure the model on its held-out songs beside baselines, and rank the metrics by what they say of these."""
    baselines = _baselines(data)
    measured = measure_systems(baselines)
    by_song = {
        name: {metric.key: mean_by_song(dances, metric.key) for metric in METRICS} for name, dances in measured.items()
    }
    genres = Counter(song.clip.genre for song in data.songs)
    families = [
        _family_table(title, family, by_song, genres)
        for family, title in FAMILIES.items()
        if any(by_song["real"][metric.key] for metric in METRICS if metric.family == family)
    ]
    distributions, rankings = distribution_tables(baselines)
    ranked = ranking_tables(rank_all(by_song) + rankings, len(baselines.songs))
    return [families[0], *distributions, *families[1:], codes_table(baselines), *ranked]


@lru_cache(maxsize=1)
def _baselines(data: ReportData) -> Baselines:
    return Baselines(data)


def measure_systems(baselines: Baselines) -> dict[str, list[tuple[str, dict[str, float]]]]:
    """Measure every dance of every system.

    Returns:
        For each system its dances: name of the song, and the values by metric.
    """
    speed = float(np.mean([mean_joint_speed(dance.positions, FRAME_RATE) for dance in baselines.real.dances]))
    real = {dance.name: dance for dance in baselines.real.dances}
    library = training_poses({clip.clip_id: baselines.positions(clip) for clip in baselines.data.training_clips})
    config = baselines.data.model.config
    measured: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for system in tqdm(baselines.systems, unit="system", disable=None):
        measured[system.name] = []
        for dance in system.dances:
            num_tokens = baselines.data.codec.num_tokens(len(dance.positions))
            joins = window_boundaries(num_tokens, config.max_window_tokens, config.frames_per_token)
            values = measure_body(dance.positions, speed) | measure_memory(dance.positions, library)
            values |= measure_joins(dance.positions, joins)
            if dance.song is not None:
                partner = None if system.name == "real" else real[dance.name]
                values |= measure_music(dance, baselines.songs, partner)
            measured[system.name].append((dance.name, values))
    return measured


def _family_table(title: str, family: str, by_song: dict[str, Any], genres: Counter[str]) -> Table:
    metrics = [metric for metric in METRICS if metric.family == family]
    rows: list[list[Cell]] = []
    for metric in metrics:
        cells = [
            interval_cell(summarize(list(values[metric.key].values()), list(values[metric.key])))
            for values in by_song.values()
        ]
        wanted = "as real" if metric.better == "real" else metric.better
        rows.append([f"{metric.label}, {metric.unit}" if metric.unit else metric.label, wanted, *cells])
    note = "; ".join(f"*{name}*: {SYSTEM_NOTES[name]}" for name in by_song) + FAMILY_NOTES[family]
    note += f" Songs: {', '.join(f'{count} {genre}' for genre, count in sorted(genres.items()))}."
    title = f"{title}: the model and baselines on {genres.total()} held-out songs"
    return Table(title, ["metric", "better", *by_song], rows, note)


def distribution_tables(baselines: Baselines) -> tuple[list[Table], list[Ranking]]:
    """Measure distances of each system from the whole real test dances and from the training dances, and diversity.

    Returns:
        The tables, and what each distance says of the obvious cases.
    """
    data = baselines.data
    sets = {
        "test": [song.clip for song in data.songs],
        "training": [clip for clip in data.training_clips if not clip.is_mirrored],
    }
    references = {
        name: clip_set(list(map(baselines.positions, clips)), [clip.song_id for clip in clips], WINDOW_SECONDS)
        for name, clips in sets.items()
    }
    taken = {system.name: [_clip_set(take) for take in system.takes] for system in baselines.systems}
    rows: list[list[Cell]] = []
    rankings: list[Ranking] = []
    for against, reference in references.items():
        measured = [name for name in taken if not (against == "test" and name in ("real", "shuffled"))]
        for key in FEATURE_KEYS:
            results = {name: [measure_distance(take, reference, key) for take in taken[name]] for name in measured}
            label = f"FID_{key[0]}, {key[1]}, against {against}"
            floor = results["model"][0].floor
            cells = [frechet_cell(results.get(name, [])) for name in taken]
            sizes = f"{floor.sample_size} and {floor.reference_size}"
            rows.append([label, sizes, [floor.value, *floor.interval], *cells])
            rankings += [_distance_ranking(label, name, floor.value, results.get(name, [])) for name in DISTANCE_CASES]
    note = (
        f"Windows of {WINDOW_SECONDS:g} s, at the sizes named; no song on both sides. Far: above the range of the "
        "floor, which is that of real dances from real dances. Near: below it, as copies are. Against the test "
        "dances, real and shuffled dances are the reference itself and have no number: no distance between sets of "
        "dances can tell whether each is danced to its song. Copies are real dances of the training set: a distance "
        "from that set cannot object to them."
    )
    columns = ["distance", "windows", "floor", *taken]
    tables = [Table("Distances between sets: the model and baselines", columns, rows, note)]
    return [*tables, _diversity_table(taken, references["test"])], rankings


def _diversity_table(taken: dict[str, list[ClipSet]], reference: ClipSet) -> Table:
    rows: list[list[Cell]] = []
    for key in FEATURE_KEYS:
        varies = reference.features[key].std(axis=0) > 0
        real = reference.features[key][:, varies]
        row: list[Cell] = [f"Div_{key[0]}, {key[1]}"]
        for takes in taken.values():
            scaled = [normalize_by_reference(take.features[key][:, varies], real)[0] for take in takes]
            row.append(float(np.mean(list(map(mean_pairwise_distance, scaled)))))
        rows.append(row)
    note = (
        "Mean distance between two windows, in deviations of the real test dances. More is not better: what counts is "
        "how far from real it lies."
    )
    return Table("Diversity: the model and baselines", ["diversity", *taken], rows, note)


def _distance_ranking(label: str, system: str, floor: float, results: Sequence[FrechetResult]) -> Ranking:
    far, near = _sides(results)
    value = float(np.mean([result.matched_value for result in results])) if results else float("nan")
    return rank_distance(label, system, floor, value, far or (near and system == "copy"))


def _sides(results: Sequence[FrechetResult]) -> tuple[bool, bool]:
    """Say whether most results lie above, and whether most lie below the range of the floor."""
    above = [result.matched_value > result.floor.interval[1] for result in results]
    below = [result.matched_value < result.floor.interval[0] for result in results]
    return sum(above) > len(results) / 2, sum(below) > len(results) / 2


def _clip_set(dances: Sequence[MeasuredDance]) -> ClipSet:
    return clip_set([dance.positions for dance in dances], [dance.name for dance in dances], WINDOW_SECONDS)


def measure_distance(clips: ClipSet, reference: ClipSet, key: FeatureKey) -> FrechetResult:
    """Measure the Fréchet distance of some clips from a reference, by one kind of features, with its floor."""
    return measure_frechet(
        clips.features[key],
        reference.features[key],
        generated_groups=clips.groups,
        reference_groups=reference.groups,
        num_resamples=2,  # the interval is not shown
    )


def frechet_cell(results: Sequence[FrechetResult]) -> Cell:
    """Show the mean over takes, and on which side of the floor most of them lie."""
    if not results:
        return None
    far, near = _sides(results)
    value = format_cell(float(np.mean([result.matched_value for result in results])))
    return value + (" far" if far else " near" if near else "")


SECTIONS: Sections = {
    "floor": ("1. Floors: what real dances score against real dances", floor_section),
    "chance": ("2. Chance: what dances score that do not know the song", chance_section),
    "systems": ("3. The shipped model, and what each metric says of obvious cases", systems_section),
}


def main(command_line: list[str] | None = None) -> None:
    """Measure the chosen sections and write the report after each of them."""
    run_report("metrics", report_parser(__doc__, list(SECTIONS)), SECTIONS, INTRODUCTION, command_line)


if __name__ == "__main__":
    main()
