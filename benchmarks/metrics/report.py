"""Measure the metrics themselves: floors, chance, and whether they rank real dances and obvious fakes rightly.

```bash
python -m benchmarks.metrics --data_dir built --held_out_dir built-songs --output docs/metrics.md
```
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.catalogue import METRICS
from infinitedance.evaluation.measures import (
    MeasuredDance,
    measure_body,
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

from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .baselines import Baselines, read_dance
from .ranking import Ranking, mean_by_song, rank_all, rank_distance, ranking_tables
from .tables import WINDOW_SECONDS, chance_tables, floor_tables

INTRODUCTION = """# The metrics, measured

Written by `python -m benchmarks.metrics`; not edited by hand. Every section names the command that
measures it again, and the `.json` beside this file holds the same numbers. `infinitedance evaluate` measures any
system's dances with the same metrics.

Read a number only beside its floor or its chance. A range in parentheses is a 95 % interval; over a handful of
held-out songs it is a rough one, and only large differences can be seen. What the models that ship score is in
[dances_open.md](dances_open.md) and [dances.md](dances.md).

Beyond chance always means one thing (`evaluation/metrics/beats.py:alignment_excess`): the score with the song's beats
minus the mean score with beats of other songs, spread to the same density and shifted at random.
"""
DISTANCE_CASES = ("shuffled", "frozen", "noise", "copy")
MEMORIES = ("real", "copy")
"""Systems whose nearness to the training dances is measured: what stands or trembles is near nothing."""
SYSTEM_NOTES = {
    "real": "the real dance to the song",
    "shuffled": "real dances to other songs (music: of another tempo)",
    "copy": "the training dance whose music is most alike, copied",
    "frozen": "the first pose, held",
    "noise": "a body that moves at random, as fast as the real dance",
}


FAMILY_NOTES = {
    "music": ". The song's known beats count.",
    "movement": ". All are on one body with rigid bones.",
    "feet": ". Rest heights are fitted to each dance.",
    "memory": (
        ". Held-out dances of a genre with one routine repeat what is in the training set, so what counts is the "
        "difference from them. Training dances are held plain and mirrored."
    ),
}


def systems_section(baselines: Baselines) -> list[Table]:
    """Measure real dances to held-out songs beside obvious fakes, and rank the metrics by what they say of these."""
    measured = measure_systems(baselines)
    by_song = {
        name: {metric.key: mean_by_song(dances, metric.key) for metric in METRICS} for name, dances in measured.items()
    }
    genres = Counter(clip.genre for clip in baselines.clips)
    families = [
        _family_table(title, family, by_song, genres)
        for family, title in FAMILIES.items()
        if any(by_song["real"][metric.key] for metric in METRICS if metric.family == family)
    ]
    distributions, rankings = distribution_tables(baselines)
    ranked = ranking_tables(rank_all(by_song) + rankings, len(baselines.songs))
    return [families[0], *distributions, *families[1:], *ranked]


def measure_systems(baselines: Baselines) -> dict[str, list[tuple[str, dict[str, float]]]]:
    """Measure every dance of every system.

    Returns:
        For each system its dances: name of the song, and the values by metric.
    """
    speed = float(np.mean([mean_joint_speed(dance.positions, FRAME_RATE) for dance in baselines.real.dances]))
    real = {dance.name: dance for dance in baselines.real.dances}
    plain = {clip.clip_id: read_dance(baselines.dances, clip) for clip in baselines.training_clips}
    mirrored = {f"{name}, mirrored": motion.mirror() for name, motion in plain.items()}
    library = training_poses({name: motion.joint_positions() for name, motion in (plain | mirrored).items()})
    measured: dict[str, list[tuple[str, dict[str, float]]]] = {}
    for system in tqdm(baselines.systems, unit="system", disable=None):
        measured[system.name] = []
        for dance in system.dances:
            values = measure_body(dance.positions, speed)
            if system.name in MEMORIES:
                values |= measure_memory(dance.positions, library)
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
    note += f" Held-out songs: {', '.join(f'{count} {genre}' for genre, count in sorted(genres.items()))}."
    title = f"{title}: real dances and obvious fakes"
    return Table(title, ["metric", "better", *by_song], rows, note)


def distribution_tables(baselines: Baselines) -> tuple[list[Table], list[Ranking]]:
    """Measure distances of each system from the whole real test dances and from the training dances, and diversity.

    Returns:
        The tables, and what each distance says of the obvious cases.
    """
    sets = {
        "test": (baselines.held_out, baselines.clips),
        "training": (baselines.dances, baselines.training_clips),
    }
    references = {
        name: clip_set(
            [read_dance(data, clip).joint_positions().astype(np.float64) for clip in clips],
            [clip.song_id for clip in clips],
            WINDOW_SECONDS,
        )
        for name, (data, clips) in sets.items()
    }
    taken = {system.name: [_clip_set(take) for take in system.takes] for system in baselines.systems}
    rows: list[list[Cell]] = []
    rankings: list[Ranking] = []
    for against, reference in references.items():
        measured = [name for name in taken if not (against == "test" and name in ("real", "shuffled"))]
        for key in FEATURE_KEYS:
            results = {name: [measure_distance(take, reference, key) for take in taken[name]] for name in measured}
            label = f"FID_{key[0]}, {key[1]}, against {against}"
            floor = results["frozen"][0].floor
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
    tables = [Table("Distances between sets: real dances and obvious fakes", columns, rows, note)]
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
    return Table("Diversity: real dances and obvious fakes", ["diversity", *taken], rows, note)


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


SECTIONS = {
    "floor": ("1. Floors: what real dances score against real dances", floor_tables),
    "chance": ("2. Chance: what dances score that do not know the song", chance_tables),
    "systems": ("3. What each metric says of obvious cases", systems_section),
}


def main(command_line: Sequence[str] | None = None) -> None:
    """Measure the chosen sections and write the report after each of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set of dances")
    parser.add_argument(
        "--held_out_dir", type=Path, required=True, help="built data set whose test split holds songs with a dance"
    )
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument(
        "--max_seconds", type=float, default=40.0, help="dances of section systems are cut to this (default: 40)"
    )
    add_sections_option(parser, SECTIONS)
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    baselines = Baselines(
        BuiltDataset(arguments.data_dir), BuiltDataset(arguments.held_out_dir), arguments.max_seconds
    )
    options = shown_options(arguments, ("data_dir", "held_out_dir", "output"))
    command = f"python -m benchmarks.metrics {options} --max_seconds {arguments.max_seconds:g} --sections "
    sections = {
        name: Section(title, command + name, None, partial(measure, baselines))
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(arguments.output, INTRODUCTION, sections, chosen)


if __name__ == "__main__":
    main()
