"""Sections of a song, verse, chorus and the like: which stretches repeat, and where they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .beats import BeatClock
from .section_similarity import kinship, unit_features, unlikeness
from .step_features import StepFeatures, step_features

SHORTEST_SONG_SECONDS = 20.0
FEWEST_UNITS = 8
COST_PER_SECTION = 1.6
COST_OF_MIXTURE = 1.5  # of a unit among units of another sound
COST_OF_ODD_LENGTH = 0.5  # music goes in fours
COST_PER_MISSING_UNIT, SHORTEST_UNITS = 1.0, 4
COST_OF_LOOP = 0.05  # per unit
LONGEST_REPEAT_UNITS = 40
LOOP_UNITS = (1, 2, 3, 4)
LEAST_LAG_UNITS = 4
OTHER_PHASE_PENALTY = 1.04
SAME_LABEL = 0.6
LOOP_UNLIKENESS, LOOP_BREAK_UNLIKENESS = 0.35, 0.5
VERSE_UNITS = 8
HIDDEN_LIKENESS = 0.8
LONGEST_BRIDGED_BARS = 2.0


@dataclass(frozen=True)
class Section:
    """A stretch of a song.

    Args:
        start_seconds: A bar line, or where sound begins.
        end_seconds: A bar line, or where sound ends.
        label: `"A"`, `"B"`, ... in the order in which they first come; repeats share a label.
        occurrence: Counts the sections of this label, from 1.
    """

    start_seconds: float
    end_seconds: float
    label: str
    occurrence: int


def find_sections(
    waveform: np.ndarray,
    sampling_rate: int,
    clock: BeatClock,
    *,
    silences: Sequence[tuple[float, float]] = (),
    features: StepFeatures | None = None,
) -> list[Section]:
    """Find the sections of a song.

    A segmentation is chosen that describes the song at the least cost. A unit (a bar) that repeats, in its stretch,
    what is played elsewhere or one to four bars before, costs nothing, a new one 1, a section 1.6, and units of
    different timbre, hits, level or chords in one section cost, too. Lengths of four bars are cheaper than others.
    The bars may begin at any beat for this, because the estimated downbeat may be wrong; the result lies on the bar
    lines of the clock. Where a section is hidden in a longer one, that is cut. Sections whose bars match, one after
    the other, get one label by average linkage.

    - Neighbors of one label are as many sections as the label is shorter where it comes alone. Else they are one
      section, unless they are equally long, eight bars or more, and no loop of four bars or less.
    - A song under 20 s is one section, and so is music in which nothing repeats and nothing changes.
    - A silence of more than two bars belongs to no section. Shorter ones do, but for those at the start and the end.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.
        clock: The beats.
        silences: Spans in seconds, of `find_silences`.
        features: Of `step_features`; computed by default.

    Returns:
        The sections in order. They cover the song but for silences.
    """
    duration = len(waveform) / sampling_rate
    bar_seconds = clock.beats_per_bar * float(np.median(np.diff(clock.beat_times_seconds)))
    stretches = _stretches(silences, duration, LONGEST_BRIDGED_BARS * bar_seconds)
    if sum(end - start for start, end in stretches) < SHORTEST_SONG_SECONDS:
        return _named([(start, end, 0) for start, end in stretches])
    if features is None:
        features = step_features(waveform, sampling_rate, clock)
    length = features.steps_per_unit
    if len(features) < (FEWEST_UNITS + 1) * length:
        return _named([(start, end, 0) for start, end in stretches])

    best_cost, best = np.inf, None
    for phase in range(length):
        units = unit_features(features, phase)
        edges = features.times_seconds[phase : phase + len(units["level"]) * length + 1 : length]
        walls = _walls(edges, stretches)
        distances, kin = unlikeness(units), kinship(units)
        cuts, cost = segment(distances, kin, walls)
        cost *= 1.0 if phase == features.first_downbeat % length else OTHER_PHASE_PENALTY
        if cost / len(kin) < best_cost:
            best_cost, best = cost / len(kin), (edges, cuts, distances)
        del kin, units
    assert best is not None
    edges, cuts, distances = best
    cuts = uncover(distances, cuts)
    spans = tidy(list(zip(cuts[:-1], cuts[1:], label_sections(distances, cuts), strict=True)), distances)
    return _named(_placed([(edges[a], edges[b], label) for a, b, label in spans], features, stretches))


def segment(distances: np.ndarray, kin: np.ndarray, walls: Sequence[int] = ()) -> tuple[list[int], float]:
    """Cut a song into sections at the least cost, by dynamic programming.

    Args:
        distances: `(units, units)` of `unlikeness`.
        kin: `(units, units)` of `kinship`.
        walls: Units at which a section must begin.

    Returns:
        Cuts, from 0 to the number of units, and the cost.
    """
    num_units = len(distances)
    repeats = _repeat_costs(distances)
    loops = []
    for period in LOOP_UNITS:
        along = np.minimum(1, np.concatenate([np.ones(period), np.diagonal(distances, -period)]) + COST_OF_LOOP)
        sums = np.concatenate([[0.0], np.cumsum(along[:num_units])])
        head = np.minimum(repeats[:, period], period)
        loops.append((period, head, sums))
    best, previous = np.zeros(num_units + 1), np.zeros(num_units + 1, int)
    together = np.zeros(num_units)  # sum of the kinship within [a, end), for every a
    is_wall = np.zeros(num_units + 1, bool)
    is_wall[list(walls)] = True
    first = 0
    for end in range(1, num_units + 1):
        column = np.cumsum(kin[:end, end - 1][::-1], dtype=np.float64)[::-1]
        together[:end] += 2 * column - kin[end - 1, end - 1]
        if is_wall[end - 1]:
            first = end - 1
        starts = np.arange(first, end)
        lengths = end - starts
        music = lengths.astype(np.float64)
        near = max(0, len(starts) - LONGEST_REPEAT_UNITS)
        music[near:] = np.minimum(music[near:], repeats[starts[near:], lengths[near:]])
        for period, head, sums in loops:
            looped = starts[: max(0, len(starts) - period)]
            music[: len(looped)] = np.minimum(music[: len(looped)], head[looped] + sums[end] - sums[looped + period])
        mixture = lengths - together[first:end] / lengths
        shape = COST_OF_ODD_LENGTH * (lengths % 4 != 0) + COST_PER_MISSING_UNIT * np.maximum(
            SHORTEST_UNITS - lengths, 0
        )
        costs = best[first:end] + music + COST_OF_MIXTURE * mixture + COST_PER_SECTION + shape
        choice = int(costs.argmin())
        best[end], previous[end] = costs[choice], first + choice
    cuts = [num_units]
    while cuts[-1] > 0:
        cuts.append(int(previous[cuts[-1]]))
    return cuts[::-1], float(best[num_units])


def label_sections(distances: np.ndarray, cuts: Sequence[int]) -> list[int]:
    """Give sections of the same music the same number, by average linkage.

    Args:
        distances: `(units, units)` of `unlikeness`.
        cuts: Edges of the sections, in units.

    Returns:
        A number a section.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    spans = list(zip(cuts, cuts[1:], strict=False))
    if len(spans) == 1:
        return [0]
    apart = np.zeros((len(spans), len(spans)))
    for row, span in enumerate(spans):
        for column in range(row):
            apart[row, column] = apart[column, row] = 1 - _likeness(distances, span, spans[column])
    groups = fcluster(linkage(squareform(apart), "average"), 1 - SAME_LABEL, "distance")
    return [int(group) for group in groups]


def tidy(spans: list[tuple[int, int, int]], distances: np.ndarray) -> list[tuple[int, int, int]]:
    """Cut neighbors of one label as often as the label alone is long, or else join them unless they are verses.

    Verses are of one length, eight units or more, and no loop.

    Args:
        spans: Start, end, label, in units.
        distances: `(units, units)` of `unlikeness`.
    """
    runs: list[list[tuple[int, int, int]]] = []
    for span in spans:
        if runs and runs[-1][0][2] == span[2]:
            runs[-1].append(span)
        else:
            runs.append([span])
    shortest: dict[int, int] = {}
    for run in runs:
        shortest[run[0][2]] = min(run[-1][1] - run[0][0], shortest.get(run[0][2], len(distances)))
    tidied = []
    for run in runs:
        start, end, label = run[0][0], run[-1][1], run[0][2]
        alone = shortest[label]
        times = round((end - start) / alone)
        if times > 1 and alone >= SHORTEST_UNITS and abs(end - start - times * alone) <= times / 2:
            edges = [round(start + index * (end - start) / times) for index in range(times + 1)]
            tidied += [(left, right, label) for left, right in zip(edges, edges[1:], strict=False)]
        else:
            lengths = {right - left for left, right, _ in run}
            are_verses = len(lengths) == 1 and min(lengths) >= VERSE_UNITS and not _is_loop(distances, start, end)
            tidied += run if are_verses else [(start, end, label)]
    return tidied


def _repeat_costs(distances: np.ndarray) -> np.ndarray:
    """Return the least cost of taking units [a, a + length) from elsewhere in the song, `(units, longest + 1)`."""
    num_units = len(distances)
    costs = np.full((num_units, LONGEST_REPEAT_UNITS + 1), np.inf, np.float32)
    costs[:, 1] = 1.0
    for lag in range(LEAST_LAG_UNITS, num_units):
        along = np.diagonal(distances, lag)  # of the units from 0 on with those `lag` later, and the other way round
        sums = np.concatenate([np.zeros(1, np.float32), np.cumsum(along, dtype=np.float32)])
        longest = min(LONGEST_REPEAT_UNITS, len(along))
        starts = np.arange(len(along))
        ends = starts[:, None] + np.arange(2, longest + 1)
        values = np.where(ends <= len(along), sums[np.minimum(ends, len(along))] - sums[:-1, None], np.inf)
        np.minimum(costs[: len(along), 2 : longest + 1], values, out=costs[: len(along), 2 : longest + 1])
        np.minimum(costs[lag:, 2 : longest + 1], values, out=costs[lag:, 2 : longest + 1])
    return costs


def uncover(distances: np.ndarray, cuts: Sequence[int]) -> list[int]:
    """Cut sections in which a shorter one is hidden, at its edges: of (A B) (A) (B B) comes A B A B B.

    Args:
        distances: `(units, units)` of `unlikeness`.
        cuts: Edges of the sections, in units.

    Returns:
        The cuts and those that were added. No piece is shorter than four units, and loops stay whole.
    """
    found = set(cuts)
    waiting = True
    while waiting:
        edges = sorted(found)
        spans = list(zip(edges[:-1], edges[1:], strict=True))
        long = [span for span in spans if span[1] - span[0] >= 2 * SHORTEST_UNITS and not _is_loop(distances, *span)]
        for start, end in long:
            for short in spans:
                length = short[1] - short[0]
                if not SHORTEST_UNITS <= length <= end - start - SHORTEST_UNITS:
                    continue
                likeness, begin = _best_place(distances, short, (start, end))
                inner = {begin, begin + length} - {start, end}
                edges_of_parts = sorted({start, end} | inner)
                if likeness >= HIDDEN_LIKENESS and min(np.diff(edges_of_parts)) >= SHORTEST_UNITS:
                    found |= inner
        waiting = len(found) > len(edges)
    return sorted(found)


def _best_place(distances: np.ndarray, short: tuple[int, int], long: tuple[int, int]) -> tuple[float, int]:
    """Return how well a section matches a longer one at its best place, 0 to 1, and where that begins."""
    block = distances[short[0] : short[1], long[0] : long[1]]
    likenesses = [1 - float(np.diagonal(block, offset).mean()) for offset in range(np.diff(block.shape)[0] + 1)]
    best = int(np.argmax(likenesses))
    return likenesses[best], long[0] + best


def _likeness(distances: np.ndarray, one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return how well the shorter of two sections matches the other at its best place, 0 to 1."""
    if one[1] - one[0] > other[1] - other[0]:
        one, other = other, one
    length, room = one[1] - one[0], other[1] - other[0]
    units = np.arange(length)
    best = 0.0
    for offset in range(-1, room - length + 2):
        partners = other[0] + offset + units
        inside = (partners >= other[0]) & (partners < other[1])
        if inside.sum() >= max(2, length - 1):
            best = max(best, 1 - float(distances[one[0] + units[inside], partners[inside]].mean()))
    return best * min(1.0, length / room + 0.5)


def _is_loop(distances: np.ndarray, start: int, end: int) -> bool:
    """Return whether units repeat those one to four units before, and in no four units on end they do not."""
    block = distances[start:end, start:end]
    for period in LOOP_UNITS:
        along = np.diagonal(block, period)
        if len(along) < SHORTEST_UNITS:
            continue
        fours = np.lib.stride_tricks.sliding_window_view(along, SHORTEST_UNITS).mean(axis=1)
        if along.mean() < LOOP_UNLIKENESS and fours.max() < LOOP_BREAK_UNLIKENESS:
            return True
    return False


def _stretches(
    silences: Sequence[tuple[float, float]], duration_seconds: float, longest_bridged_seconds: float
) -> list[tuple[float, float]]:
    """Return the spans between silences that no section bridges."""
    edges = [0.0]
    for start, end in silences:
        if start <= 0 or end >= duration_seconds or end - start > longest_bridged_seconds:
            edges += [start, end]
    edges.append(duration_seconds)
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


def _walls(edges: np.ndarray, stretches: Sequence[tuple[float, float]]) -> list[int]:
    """Return the units at which a stretch begins or ends."""
    times = [time for stretch in stretches for time in stretch]
    walls = {int(np.abs(edges - time).argmin()) for time in times}
    return sorted(wall for wall in walls if 0 < wall < len(edges) - 1)


def _placed(
    spans: list[tuple[float, float, int]], features: StepFeatures, stretches: Sequence[tuple[float, float]]
) -> list[tuple[float, float, int]]:
    """Move edges to bar lines, cut off what lies in silence, and let the outer edges be those of the stretches."""
    bar_lines = features.times_seconds[features.first_downbeat :: features.steps_per_bar]
    half_unit = 0.51 * features.steps_per_unit * float(np.median(np.diff(features.times_seconds)))
    placed = []
    for start, end in stretches:
        overlaps = [min(right, end) - max(left, start) for left, right, _ in spans]
        inside = [index for index, overlap in enumerate(overlaps) if overlap > half_unit]
        inside = inside or [int(np.argmax(overlaps))]
        cuts = [(start, spans[inside[0]][2])]
        for left, _, label in (spans[index] for index in inside[1:]):
            line = float(bar_lines[np.abs(bar_lines - left).argmin()])
            if cuts[-1][0] < line < end - half_unit:
                cuts.append((line, label))
        edges = [*(time for time, _ in cuts), end]
        placed += [(edges[index], edges[index + 1], label) for index, (_, label) in enumerate(cuts)]
    return placed


def _named(spans: list[tuple[float, float, int]]) -> list[Section]:
    """Return sections with letters instead of numbers."""
    names: dict[int, str] = {}
    counts: dict[int, int] = {}
    sections = []
    for start, end, label in spans:
        names.setdefault(label, _letters(len(names)))
        counts[label] = counts.get(label, 0) + 1
        sections.append(Section(float(start), float(end), names[label], counts[label]))
    return sections


def _letters(index: int) -> str:
    """Return A to Z, then AA, AB and so on."""
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)
