"""Sections of the report on real dances, held-out songs, free songs, and guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from infinitedance.evaluation.metrics.distribution import measure_frechet
from infinitedance.evaluation.metrics.genre_recognition import Recognition, leave_one_out, recognize
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval

from .bench import GENRES_PER_SONG, SYSTEMS, Bench
from .measures import LOCKED, PHRASE_BARS, Performance, References, measure

GENERATING = SYSTEMS[2:]
ALL = "all"
RANGES = "Range of motion, degrees"
SectionOf = Callable[[Bench], list[Table]]
FAMILIES: dict[str, tuple[dict[str, str], str]] = {
    "Pulse": (
        {
            "lock": "lock",
            f"lock over {LOCKED:g}": "locked",
            "phase to real, beats": "phase_to_real",
            "phase to genre, beats": "phase_to_genre",
            "energy": "energy",
            "speed at the end": "end_speed",
        },
        "lock: power of the speed at the pulse of the genre (table of real dances) over that around it; about 1 by "
        "chance. phase: "
        "distance of the fastest moment from that of the real dance to the song, and from the mean of the genre's "
        "real dances. energy: correlation of speed and loudness over 2 s. speed at the end: of the last bar over the "
        "mean.",
    ),
    "Genre, sides and memory": (
        {
            "told as asked, windows": "told_windows",
            "told as asked, dances": "told_dance",
            "minor side": "minor_share",
            "mixed dances": "mixed",
            "nearest training window, mm": "nearest_mm",
            "near copies inside": "near_copies",
        },
        "minor side: share of the decided 4 s windows on the side with fewer; mixed: over 0.15. nearest: "
        "median over 4 s windows, at the tempo of the genre, mirrored or not. near copies: share of 4 s windows with "
        "another within 20 mm in the same dance.",
    ),
    "Speed, feet and stage": (
        {
            "speed over real": "speed",
            "slide, m/s": "slide",
            "radius, m": "radius",
            "outside 2 m": "outside",
            "facing the audience": "facing",
            "net turns in 40 s": "turns",
        },
        "speed: mean of the joints over that of the genre's real dances. slide: of all low feet, weighted by height. "
        "radius: farthest from the mean place. facing: share of phrases "
        f"({PHRASE_BARS} bars) that begin within 45 degrees of +Z, to which the first frame looks.",
    ),
    RANGES: (
        {
            "left arm 5 %": "left_arm_low",
            "left arm 95 %": "left_arm_high",
            "right arm 5 %": "right_arm_low",
            "right arm 95 %": "right_arm_high",
            "elbows 5 %": "elbow_low",
            "elbows 95 %": "elbow_high",
            "gaze 5 %": "gaze_low",
            "gaze 50 %": "gaze_median",
            "gaze 95 %": "gaze_high",
            "gaze off": "gaze_off",
            "wrists": "wrists",
            "toes": "toes",
        },
        "arms: elevation of the upper arm. gaze: elevation of the face; off: distance of the median from the genre's. "
        "wrists, toes: 95 % of the frames are within so much of the mean rotation.",
    ),
}
"""Tables of measures: a column for each, and a note."""
SHORT = {
    "told as asked": "told_dance",
    f"lock over {LOCKED:g}": "locked",
    "phase to genre, beats": "phase_to_genre",
    "speed over real": "speed",
    "slide, m/s": "slide",
    "nearest training window, mm": "nearest_mm",
    "near copies inside": "near_copies",
    "mixed dances": "mixed",
}
SHORT_NOTE = (
    "Means. told: by a classifier that knows the real dances. lock: over 2 where the speed pulses as in the genre's "
    "real dances; phase: how far from theirs. slide: of all low feet. nearest: 0 for a copy. near copies: 4 s windows "
    "that come twice. mixed: the left and the right side in one dance."
)
SHORT_TITLE, BY_GENRE_TITLE = "In short", "Generated dances in short, by genre"
GUIDANCE_SCALES = (1.0, 2.0, 3.0)
MIN_OTHER_WINDOWS = 3
"""Windows beside those of the longest dance: with fewer there is no floor."""


@dataclass
class Measured:
    """Measured dances of the systems.

    Args:
        values: For each system, of each dance its song, its genre and its measures.
        statistics: For each system, of each dance its genre and its statistics of 10 s.
    """

    values: dict[str, list[tuple[str, str, dict[str, float]]]] = field(default_factory=dict)
    statistics: dict[str, list[tuple[str, np.ndarray]]] = field(default_factory=dict)

    def add(self, system: str, dance: Performance, values: dict[str, float]) -> None:
        """Add a dance."""
        self.values.setdefault(system, []).append((dance.name, dance.genre, values))
        self.statistics.setdefault(system, []).append((dance.genre, dance.statistics))

    def cell(self, system: str, key: str, genre: str = ALL) -> Cell:
        """Return the mean of a measure over songs, with its interval; dances to one song are averaged first."""
        chosen = [(song, values.get(key, np.nan)) for song, of, values in self.values[system] if genre in (of, ALL)]
        return mean_over_songs(chosen)

    def short_row(self, system: str, genre: str) -> list[Cell]:
        """Return the number of dances, and the means of `SHORT`."""
        cells = (self.cell(system, key, genre) for key in SHORT.values())
        number = sum(genre in (of, ALL) for _, of, _ in self.values[system])
        return [number, *(cell[0] if isinstance(cell, list) else None for cell in cells)]


def mean_over_songs(values: Iterable[tuple[str, float]]) -> Cell:
    """Return the mean over songs of values by song, with its interval; what is not finite is left out.

    Returns:
        Mean and both ends; `None` if there is no value.
    """
    by_song: dict[str, list[float]] = {}
    for song, value in values:
        if np.isfinite(value):
            by_song.setdefault(song, []).append(float(value))
    return mean_with_interval([float(np.mean(of_song)) for of_song in by_song.values()]) if by_song else None


def real_section(bench: Bench) -> list[Table]:
    """Measure what the measures say of the real dances themselves."""
    references = bench.references
    range_columns, range_note = FAMILIES[RANGES]
    own = {column: key for column, key in range_columns.items() if key in references.ranges[references.genres[0]]}
    ranges: list[list[Cell]] = [
        [genre, *(references.ranges[genre][key] for key in own.values())] for genre in references.genres
    ]
    return [
        _real_table(references),
        *recognition_tables(
            "Real dances told by the others",
            leave_one_out(references.statistics),
            "Statistics of 10 s; the nearest mean of a genre, learned without the dance itself. Dances may share "
            "units and songs.",
        ),
        Table("Range of motion of real dances, degrees", ["genre", *own], ranges, range_note),
    ]


def _real_table(references: References) -> Table:
    """Show amount, pulse and sides of the real dances of each genre."""
    rows: list[list[Cell]] = []
    for genre in tqdm(references.genres, desc="sides", unit="genre"):
        dances, pulse = references.of(genre), references.pulses[genre]
        judged = [sides for sides in map(references.sides, dances) if sides is not None]
        minor = [sides.minor_share for sides in judged if np.isfinite(sides.minor_share)]
        rows.append(
            [
                genre,
                len(dances),
                sum(dance.motion.duration_seconds for dance in dances) / 60,
                references.tempos[genre],
                *([None] * 4 if pulse is None else [pulse.cycles_per_beat, pulse.lock, pulse.phase, pulse.coherence]),
                len(minor),
                float(np.mean([sides.decided_share for sides in judged])) if judged else None,
                max(minor, default=None),
                sum(sides.is_mixed for sides in judged),
            ]
        )
    columns = ["genre", "dances", "minutes", "bpm", "pulse, cycles a beat", "lock", "phase, beats", "coherence"]
    columns += ["dances with a side", "decided windows", "largest minor side", "mixed dances"]
    note = (
        "pulse: the multiple of the beat with the greatest product of lock and coherence of the phases. phase: the "
        "fastest moment, in beats after a downbeat. Sides of a dance are judged by the other dances of the genre."
    )
    return Table("Real training dances", columns, rows, note)


def held_out_section(bench: Bench) -> list[Table]:
    """Measure real dances to songs, the same through the codec, and those made to their songs."""
    if not bench.held_out:
        raise ValueError("`held_out_dir` must be given: a built data set whose test split holds songs with a dance.")
    measured = Measured()
    for held_out in tqdm(bench.held_out, desc="held-out songs", unit="song"):
        song, real = held_out.song, held_out.real
        performances = {"real": [real], "codec": [bench.through_codec(real)]}
        for system in GENERATING:
            performances[system] = bench.perform(system, song, real.genre, bench.seeds, real.clock)
        for system, dances in performances.items():
            for dance in dances:
                measured.add(system, dance, measure(dance, bench.references, real))
    return [*measure_tables(measured), frechet_table(bench, measured)]


def free_section(bench: Bench) -> list[Table]:
    """Measure dances to songs without a dance, beside real ones that training has not seen."""
    measured = Measured()
    for real in bench.unseen:
        for system, dance in (("real", real), ("codec", bench.through_codec(real))):
            measured.add(system, dance, measure(dance, bench.references))
    for song, genre in tqdm(bench.free_requests(), desc="free songs", unit="request"):
        for system in GENERATING:
            for dance in bench.perform(system, song, genre, bench.seeds):
                measured.add(system, dance, measure(dance, bench.references))
    return [
        *measure_tables(measured, "Real dances, and codec, are those of the validation and test splits, to no song."),
        frechet_table(bench, measured),
        *recognition_tables(
            "Generated dances told as asked",
            recognize(bench.references.classifier, measured.statistics["generated"]),
            f"Each song is asked for {GENRES_PER_SONG} genres.",
        ),
    ]


def guidance_section(bench: Bench) -> list[Table]:
    """Ask for one genre to each free song, at several scales of guidance."""
    config = bench.pipeline.model.generation_config
    measured = Measured()
    for song, genre in tqdm(bench.free_requests(1), desc="guidance", unit="song"):
        for scale in GUIDANCE_SCALES:
            motion = bench.generate(song, genre, bench.seeds[:1], guidance_scale=scale)[0]
            dance = Performance(song.name, genre, motion, song.clock(genre), song.energy)
            measured.add(f"{scale:g}", dance, measure(dance, bench.references))
    rows: list[list[Cell]] = [
        [scale, *(measured.cell(scale, key) for key in SHORT.values())] for scale in measured.values
    ]
    note = f"One seed, one genre to each free song. 1: as trained. The model's own: {config.guidance_scale:g}."
    return [Table("Guidance", ["guidance", *SHORT], rows, note)]


def short_tables(measured: Measured, note: str) -> list[Table]:
    """Show means of what tells most: of all systems, and of generated dances by genre."""
    genres = [ALL, *sorted({genre for _, genre, _ in measured.values["generated"]})]
    by_system: list[list[Cell]] = [[system, *measured.short_row(system, ALL)] for system in measured.values]
    by_genre: list[list[Cell]] = [[genre, *measured.short_row("generated", genre)] for genre in genres]
    return [
        Table(SHORT_TITLE, ["dances", "number", *SHORT], by_system, f"{SHORT_NOTE} {note}".strip()),
        Table(BY_GENRE_TITLE, ["genre", "number", *SHORT], by_genre),
    ]


def measure_tables(measured: Measured, note: str = "") -> list[Table]:
    """Show all measures of all systems, first in short, then by genre."""
    genres = sorted({genre for values in measured.values.values() for _, genre, _ in values})
    tables = short_tables(measured, note)
    for title, (columns, note) in FAMILIES.items():
        rows: list[list[Cell]] = []
        for genre in [ALL, *(genres if len(genres) > 1 else [])]:
            for system in measured.values:
                cells = [measured.cell(system, key, genre) for key in columns.values()]
                if any(cell is not None for cell in cells):
                    rows.append([system, genre, *cells])
        tables.append(Table(title, ["dances", "genre", *columns], rows, note))
    return tables


def frechet_table(bench: Bench, measured: Measured) -> Table:
    """Show the Fréchet distance of the statistics of 10 s from real dances, by genre, beside its floor."""
    rows: list[list[Cell]] = []
    for genre in bench.references.genres:
        reference = bench.references.statistics[genre]
        sizes = [len(rows) for rows in reference]
        if sum(sizes) - max(sizes, default=0) < MIN_OTHER_WINDOWS:
            continue
        for system, dances in measured.statistics.items():
            made = [statistics for of, statistics in dances if of == genre and len(statistics)]
            if sum(map(len, made)) < 2:
                continue
            result = measure_frechet(
                np.concatenate(made),
                np.concatenate(reference),
                generated_groups=_groups(made) if len(made) > 1 else None,
                reference_groups=_groups(reference),
            )
            low, high = result.floor.interval
            is_real = "no" if result.is_distinguishable_from_real else "yes"
            rows.append(
                [
                    system,
                    genre,
                    result.num_generated,
                    [result.value, *result.interval],
                    result.matched_value,
                    [result.floor.value, low, high],
                    is_real,
                ]
            )
    columns = ["dances", "genre", "windows", "FID", "at the floor's sizes", "floor", "within the floor"]
    note = (
        "Fréchet distance of the 48 statistics of 10 s windows from those of the training dances. floor: real dances "
        "against other real ones, of the same two sizes as the column before it."
    )
    return Table("FID of simple statistics", columns, rows, note)


def _groups(dances: Sequence[np.ndarray]) -> np.ndarray:
    """Return the number of the dance for each of its windows."""
    return np.repeat(np.arange(len(dances)), [len(rows) for rows in dances])


def recognition_tables(title: str, found: Recognition, note: str) -> list[Table]:
    """Show shares told as asked, and how many dances of each genre are told as which."""
    windows, dances = found.window_shares, found.dance_shares
    rows: list[list[Cell]] = [
        [genre, int(found.windows[index].sum()), windows.get(genre), int(found.dances[index].sum()), dances.get(genre)]
        for index, genre in enumerate(found.genres)
    ]
    means = [float(np.mean(list(shares.values()))) if shares else None for shares in (windows, dances)]
    rows.append(["mean of genres", int(found.windows.sum()), means[0], int(found.dances.sum()), means[1]])
    confusion: list[list[Cell]] = [
        [genre, *map(int, row)] for genre, row in zip(found.genres, found.dances, strict=True) if row.sum()
    ]
    columns = ["genre", "windows", "windows told as asked", "dances", "dances told as asked"]
    return [
        Table(title, columns, rows, note),
        Table(f"{title}: dances", ["asked, told as", *found.genres], confusion),
    ]
