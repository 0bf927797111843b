"""Whether each metric ranks the obvious cases rightly: real dances against what hears nothing or does not dance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infinitedance.evaluation.catalogue import METRICS, Metric
from infinitedance.evaluation.metrics.pulse import bootstrap_interval
from infinitedance.evaluation.report.tables import Cell, Table, format_cell

OBVIOUS_CASES: dict[str, tuple[str, ...]] = {
    "music": ("shuffled", "frozen", "noise"),
    "movement": ("frozen", "noise"),
    "feet": ("frozen", "noise"),
    "memory": ("copy",),
    "joins": (),
    "reconstruction": (),
}
"""Which systems the metrics of a family must distinguish from real dances."""
OTHER_CASES: dict[str, tuple[str, ...]] = {
    "pulse_lock_wrong_song": (),
    "tempo_agrees_wrong_song": (),
    "tempo_same": (),
    "tempo_half_double": (),
    "phase_error_beats": (),
    "joint_speed": ("frozen",),
    "local_speed": ("frozen",),
    "root_speed": ("frozen",),
    "frozen": ("frozen",),
    "still": ("frozen",),
    "loop": (),
    "upright": (),
    "bone_variation": (),
    "rest_height": (),
}
"""Of single metrics: controls are not ranked, noise is as fast as real dances, and some have no case here."""
SYSTEM_PHRASES = {
    "shuffled": "dances to other songs",
    "frozen": "a frozen pose",
    "noise": "random movement",
    "copy": "copies",
}
RIGHT, UNSURE, WRONG = "yes", "not surely", "no"


@dataclass(frozen=True)
class Ranking:
    """How a metric ranks real dances and one system.

    Args:
        metric: The metric.
        system: What real dances are compared with.
        verdict: `"yes"`, `"not surely"` (right on average, but within the scatter of the songs) or `"no"`.
        real: Mean of the real dances.
        other: Mean of the system.
    """

    metric: Metric
    system: str
    verdict: str
    real: float
    other: float


def rank(metric: Metric, system: str, real: Mapping[str, float], other: Mapping[str, float]) -> Ranking:
    """Compare real dances with a system, song by song.

    Args:
        metric: Where less or more of it is better, real dances must have the better value; a metric that is best where
            it is nearest to real dances must differ from them.
        system: Name of the system.
        real: Value of each song's real dance.
        other: Mean value of the system for each song; songs that are missing on one side do not count.
    """
    songs = [song for song in real if np.isfinite(real[song]) and np.isfinite(other.get(song, float("nan")))]
    if not songs:
        return Ranking(metric, system, WRONG, float("nan"), float("nan"))
    differences = np.array([real[song] - other[song] for song in songs])
    if metric.better == "lower" or (metric.better == "real" and differences.mean() < 0):
        differences = -differences
    if differences.mean() <= 0:
        verdict = WRONG
    else:
        verdict = RIGHT if bootstrap_interval(differences)[0] > 0 else UNSURE
    means = [float(np.mean([values[song] for song in songs])) for values in (real, other)]
    return Ranking(metric, system, verdict, *means)


def rank_distance(label: str, system: str, floor: float, value: float, is_outside: bool) -> Ranking:
    """Say whether a distance between sets of dances tells a system from real dances.

    Args:
        label: Name of the distance.
        system: Name of the system.
        floor: What real dances score.
        value: What the system scores; NaN if it is the reference itself.
        is_outside: Whether that is outside of the range of real dances.
    """
    metric = Metric(label, label, "distribution", "", "lower", "")
    return Ranking(metric, system, RIGHT if is_outside else WRONG, floor, value)


def rank_all(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Ranking]:
    """Rank all metrics on the obvious cases.

    Args:
        values: For each system and metric the mean value of each song.
    """
    return [
        rank(metric, system, values["real"][metric.key], values[system][metric.key])
        for metric in METRICS
        for system in OTHER_CASES.get(metric.key, OBVIOUS_CASES[metric.family])
    ]


def ranking_tables(rankings: Sequence[Ranking], num_songs: int) -> list[Table]:
    """Show the rankings, and say in a sentence what each metric that fails does instead."""
    systems = ["shuffled", "frozen", "noise", "copy"]
    rows: list[list[Cell]] = []
    failures: list[list[Cell]] = []
    trusted: list[str] = []
    for metric in dict.fromkeys(ranking.metric for ranking in rankings):
        own = {ranking.system: ranking for ranking in rankings if ranking.metric == metric}
        rows.append([metric.label, *(own[name].verdict if name in own else None for name in systems)])
        failing = [ranking for ranking in own.values() if ranking.verdict != RIGHT]
        trusted += [] if failing else [metric.label]
        if failing:
            failures.append([metric.label, " ".join(map(failure_sentence, failing))])
    note = (
        "Does the metric tell real dances from: real dances to other songs, of another tempo (shuffled); the first "
        "pose, held (frozen); a body that moves at random (noise); a training dance (copy)? Yes: the 95 % interval of "
        f"the paired difference over {num_songs} songs leaves out 0, on the right side. Not surely: right on average "
        "only. Of metrics that are best nearest to real dances, any difference is right. A distance tells a system if "
        "it lies outside of its floor. Metrics with no obvious case among these are not listed. Right in all of their "
        f"cases: {'; '.join(trusted) or 'none'}."
    )
    tables = [Table("Does each metric rank the obvious cases rightly?", ["metric", *systems], rows, note)]
    if failures:
        tables.append(Table("What does not", ["metric", "what it does"], failures))
    return tables


def failure_sentence(ranking: Ranking) -> str:
    """Say what a metric does where it fails, or leans."""
    numbers = f"({format_cell(ranking.real)} against {format_cell(ranking.other)})"
    name = SYSTEM_PHRASES[ranking.system]
    if ranking.metric.family == "distribution":
        if np.isnan(ranking.other):
            return f"It cannot tell {name} from real dances: as a set they are the same."
        return (
            f"It cannot tell {name} from real dances ({format_cell(ranking.other)}; real {format_cell(ranking.real)})."
        )
    if ranking.verdict == UNSURE:
        return f"It leans the right way against {name} {numbers}, but these songs cannot confirm it."
    if ranking.metric.better == "real" or ranking.real == ranking.other:
        return f"It cannot tell real dances from {name} {numbers}."
    if np.isnan(ranking.real) or np.isnan(ranking.other):
        return f"It has no value for {name}."
    return f"It prefers {name} to real dances {numbers}."


def mean_by_song(dances: Sequence[tuple[str, Mapping[str, float]]], key: str) -> dict[str, float]:
    """Average a metric over the dances to each song; songs of which no dance has a value are left out.

    Args:
        dances: Name of the song, and values by metric.
        key: The metric.
    """
    values: dict[str, list[float]] = {}
    for song, measured in dances:
        if np.isfinite(measured.get(key, float("nan"))):
            values.setdefault(song, []).append(measured[key])
    return {song: float(np.mean(each)) for song, each in values.items()}
