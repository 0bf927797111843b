"""Measure trackers of beats on synthesized styles, ballroom songs and free songs.

```bash
pip install librosa madmom-infer && pip install --no-deps BeatNet==1.1.3  # trackers to compare with
python -m benchmarks.beats --data_dir ../shared/data --output docs/beats.md
```
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from tqdm import tqdm

from infinitedance.audio.loading import load_audio
from infinitedance.evaluation.report.tables import Cell, Table

from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .measures import OTHER, BeatScores, KnownBeats, median_bpm, octave_class, score_beats
from .songs import SAMPLING_RATE, SONG_SECONDS, counted, synthesize
from .styles import STYLES, Style
from .trackers import INDEPENDENT, OURS, TRACKERS, installed_trackers, version_of

INTRODUCTION = """# The beat as dancers hear it

Written by `python -m benchmarks.beats`; not edited by hand. Estimated beats are compared with known ones on songs that
are synthesized from patterns, and on ballroom songs of which a bar and the tempo are known. [audio.md](audio.md)
describes how this package finds beats.

Which octave of the musicians' beat is right is the policy of `audio/tempo_map.py`: from 60 to 135 beats a minute, with
a genre in its range, and with a given bpm that one.

- tempo: estimated beats for each known one, the median over windows of 8 beats; right within 2 % or 4 %
- octave: which simple ratio to the known tempo the estimate has, within 4 %
- phase error: how far the beats lie from the known ones on average, in beats, 0.5 at most, and the share of songs with
  0.1 or less; songs of double or another uneven tempo have no phase and are not right
- beat F, downbeat F: F-measure of mir_eval, 70 ms; beats before 5 s count too
- downbeat: share of songs in which the right count of the bar is taken for one, among those with right beats
- meter: share of songs with the right number of beats in a bar

A song has no value where a tracker finds no beats, no bars or no meter. What fails is listed after the summary.
"""
FAILING_F = 0.6
TRIPLE_GENRES = ("waltz",)
BAR_STARTS = {
    "Dance with Melody": ("dance_w_", "dance_r_", "dance_c_"),
    "ChoreoNet": ("choreonet_rumba", "choreonet_cha-cha"),
}
"""Clips whose frame 0 begins a bar where they are aligned, by data set. The bars of tangos were set by BeatNet."""


@dataclass(frozen=True)
class Bench:
    """What is measured with what.

    Args:
        data_dir: Clip folder with `metadata.csv`, for ballroom and free songs.
        num_seeds: Songs of each style, from seed 0 on; what trains or tunes a tracker uses other seeds.
    """

    data_dir: Path
    num_seeds: int

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """Rows of `metadata.csv` whose song is there and whose tempo is known."""
        with open(self.data_dir / "metadata.csv", newline="", encoding="utf-8") as file:
            return [
                row
                for row in csv.DictReader(file)
                if row["bpm"] and row["audio"] and (self.data_dir / row["audio"]).is_file()
            ]

    def load(self, row: dict[str, str]) -> np.ndarray:
        """Read the song of a row."""
        return load_audio(self.data_dir / row["audio"])


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that there are; NaN if there are none."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else np.nan


def tally(names: Iterable[str]) -> str:
    """Count names, the most frequent first: `"half 3, same 2"`."""
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


SCORE_COLUMNS = (
    "tempo within 2 %",
    "within 4 %",
    "phase error",
    "phase right",
    "beat F",
    "downbeat F",
    "downbeat",
    "meter",
)


def mean_scores(scores: Sequence[BeatScores]) -> list[float]:
    """Return the means over songs in the order of `SCORE_COLUMNS`."""
    return [
        mean(float(score.is_tempo_right(0.02)) for score in scores),
        mean(float(score.is_tempo_right(0.04)) for score in scores),
        mean(abs(score.phase) for score in scores),
        mean(float(score.is_phase_right) for score in scores),
        mean(score.beat_f for score in scores),
        mean(score.downbeat_f for score in scores),
        mean(score.downbeat for score in scores),
        mean(score.meter for score in scores),
    ]


def fault(score: BeatScores) -> str:
    """Say in a few words what is wrong first: the tempo, the phase, the bar, or nothing."""
    if score.octave != "same":
        return "no simple tempo" if score.octave == OTHER else f"{score.octave} tempo"
    if not score.is_phase_right:
        return "half a beat off" if abs(score.phase) > 0.35 else "beats displaced"
    if score.meter == 0:
        return "wrong meter"
    return "wrong downbeat" if score.downbeat == 0 else "right"


Given = Literal["nothing", "bpm", "genre"]


BALLROOM_GIVEN: tuple[Given, ...] = ("nothing", "genre")


def hints(given: Given, style: Style, bpm: float) -> dict[str, Any] | None:
    """Return what a tracker is told of a song; `None` if there is no such thing to tell."""
    if given == "bpm":
        return {"bpm": bpm} if style.has_one_bpm else None
    if given == "genre":
        return {"genre": style.genre} if style.genre else None
    return {}


def bar_right(score: BeatScores) -> float:
    """Return whether meter and downbeat are right, 0 or 1; NaN where the beats are wrong."""
    return score.downbeat * score.meter


@dataclass(frozen=True)
class StyleRun:
    """Scores of one tracker on the songs of the styles, by what it is given."""

    tracker: str
    given: Given
    scores: dict[str, list[BeatScores]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Heading of its table."""
        return f"{self.tracker}, {self.given} given"

    @property
    def means(self) -> list[float]:
        """Means over styles in the order of `SCORE_COLUMNS`."""
        return [mean(column) for column in zip(*map(mean_scores, self.scores.values()), strict=True)]

    def table(self) -> Table:
        """Show a row a style, and the mean over styles."""
        rows: list[list[Cell]] = [
            [name, *mean_scores(scores), tally(score.octave for score in scores)]
            for name, scores in self.scores.items()
        ]
        rows.append(["mean", *self.means, None])
        return Table(self.title, ["style", *SCORE_COLUMNS, "octave: songs"], rows)


def style_tables(bench: Bench) -> list[Table]:
    """Measure every tracker on every style, with nothing, the bpm or the genre given; name what fails."""
    trackers = installed_trackers()
    runs = [
        StyleRun(name, given) for name in trackers for given in get_args(Given) if name == OURS or given != "genre"
    ]
    for name, style in tqdm(STYLES.items(), unit="style"):
        for seed in range(bench.num_seeds):
            song = synthesize(style, seed)
            for run in runs:
                told = hints(run.given, style, song.bpm)
                if told is not None:
                    beats = trackers[run.tracker](song.waveform, SAMPLING_RATE, **told)
                    truth = song.truth if "bpm" in told else counted(song.truth, style, song.bpm, told.get("genre"))
                    run.scores.setdefault(name, []).append(score_beats(truth, beats))
    runs = [run for run in runs if run.scores]
    return [
        summary_table(runs, bench.num_seeds),
        failure_table([run for run in runs if run.tracker == OURS]),
        bar_table([run for run in runs if run.tracker == OURS]),
        policy_table(),
        *(run.table() for run in runs),
    ]


def summary_table(runs: Sequence[StyleRun], num_seeds: int) -> Table:
    """Show the mean over styles of every run."""
    rows: list[list[Cell]] = []
    for run in runs:
        failing = sum(mean(score.beat_f for score in scores) < FAILING_F for scores in run.scores.values())
        rows.append([run.tracker, run.given, len(run.scores), *run.means, failing])
    missing = [name for name in TRACKERS if name not in {run.tracker for run in runs}]
    used = sorted({run.tracker for run in runs} - {OURS})
    note = (
        f"{num_seeds} songs of {SONG_SECONDS:.0f} s of each style. The bpm is given where there is one, the genre "
        "where the package knows it. "
        + "".join(f"{name}: {version_of(name)}. " for name in used)
        + "".join(f"{name} is not installed and was not measured. " for name in missing)
    )
    columns = ["tracker", "given", "styles", *SCORE_COLUMNS, f"styles with beat F under {FAILING_F}"]
    return Table("Mean over styles", columns, rows, note.strip())


def failure_table(runs: Sequence[StyleRun]) -> Table:
    """Name the styles in which most songs have a fault, and which faults."""
    rows: list[list[Cell]] = []
    for style in STYLES:
        cells: list[Cell] = [style]
        is_failing = False
        for run in runs:
            scores = run.scores.get(style, [])
            beat_f = mean(score.beat_f for score in scores)
            is_failing |= beat_f < FAILING_F or mean(float(score.are_beats_right) for score in scores) <= 0.5
            cells += [beat_f, tally(map(fault, scores)) or None]
        if is_failing:
            rows.append(cells)
    columns = ["style"]
    for run in runs:
        columns += [f"beat F, {run.given} given", "songs"]
    note = (
        f"Styles with a beat F under {FAILING_F}, or with a wrong tempo or beats in the wrong place in half of the "
        "songs or more. Of a song the first fault in the order tempo, phase, meter, downbeat is named."
    )
    return Table(f"What fails: {OURS}", columns, rows, note)


def bar_table(runs: Sequence[StyleRun]) -> Table:
    """Show by meter whether bars are found, beside chance."""
    rows: list[list[Cell]] = []
    for run in runs:
        for meter in sorted({STYLES[style].meter for style in run.scores}):
            scores = [score for style, found in run.scores.items() if STYLES[style].meter == meter for score in found]
            counted = [score.downbeat for score in scores if not np.isnan(score.downbeat)]
            meter_right = mean(score.meter for score in scores)
            rows.append([run.given, meter, len(scores), meter_right, len(counted), mean(counted), 1 / meter])
    columns = ["given", "meter", "songs", "meter right", "songs with right beats", "downbeat", "downbeat by chance"]
    note = " ".join(
        f"With {run.given} given, beats are right but most bars wrong in: "
        + ("; ".join(style for style, scores in run.scores.items() if mean(map(bar_right, scores)) < 0.5) or "none")
        + "."
        for run in runs
    )
    return Table(f"Bars: {OURS}", columns, rows, note)


def policy_table() -> Table:
    """Show which beat counts as right."""
    rows: list[list[Cell]] = [
        [name, f"{style.bpm[0]:g} to {style.bpm[1]:g}", style.meter, style.counted] for name, style in STYLES.items()
    ]
    return Table("Which beat is the dancer's", ["style", "bpm", "meter", "counted"], rows)


def ballroom_meter(row: dict[str, str]) -> int:
    """Return the beats in a bar of a song."""
    return 3 if row["genre"] in TRIPLE_GENRES else 4


def ballroom_truth(row: dict[str, str], duration_seconds: float) -> KnownBeats:
    """Return the beats of a song that begins with a bar and has one known tempo."""
    meter = ballroom_meter(row)
    times = np.arange(0, duration_seconds, 60 / float(row["bpm"]))
    return KnownBeats(times, times[::meter], meter)


def ballroom_tables(bench: Bench) -> list[Table]:
    """Measure every tracker on the aligned paired songs of both data sets, without and with the genre."""
    return [table for name in BAR_STARTS for table in ballroom_tables_of(bench, name)]


def ballroom_tables_of(bench: Bench, data_set: str) -> list[Table]:
    """Measure every tracker on the songs of one data set."""
    songs = [row for row in bench.rows if row["aligned"] == "1" and row["clip"].startswith(BAR_STARTS[data_set])]
    trackers = installed_trackers()
    scores: dict[tuple[str, Given], list[BeatScores]] = {
        (name, given): [] for name in trackers for given in BALLROOM_GIVEN if name == OURS or given == "nothing"
    }
    for row in tqdm(songs, unit="song"):
        waveform = bench.load(row)
        truth = ballroom_truth(row, len(waveform) / SAMPLING_RATE)
        for (name, given), found in scores.items():
            beats = trackers[name](waveform, SAMPLING_RATE, genre=row["genre"] if given == "genre" else None)
            found.append(score_beats(truth, beats))
    return [ballroom_summary(data_set, songs, scores), ballroom_songs(data_set, songs, scores)]


def ballroom_summary(
    data_set: str, songs: Sequence[dict[str, str]], scores: dict[tuple[str, Given], list[BeatScores]]
) -> Table:
    """Show a row for each tracker, hint and genre."""
    rows: list[list[Cell]] = []
    for (name, given), found in scores.items():
        genres = sorted({row["genre"] for row in songs})
        for genre in (*genres, "all"):
            chosen = [(row, score) for row, score in zip(songs, found, strict=True) if genre in (row["genre"], "all")]
            chance = sum(1 / ballroom_meter(row) for row, _ in chosen)
            has_bars = not all(np.isnan(score.meter) for _, score in chosen)
            right = sum(score.downbeat == 1 for _, score in chosen) if has_bars else None
            scores_of_genre = mean_scores([score for _, score in chosen])
            rows.append([name, given, genre, len(chosen), right, chance if has_bars else None, *scores_of_genre])
    columns = ["tracker", "given", "genre", "songs", "downbeats right", "by chance", *SCORE_COLUMNS]
    note = (
        "Aligned clips; they begin with a bar. Clips of ChoreoNet are passages, several of a song. "
        "Downbeats are right in so many of all songs, "
        "those with wrong beats included; by chance, one in as many as a bar has beats. The column downbeat leaves "
        "out songs with wrong beats."
    )
    return Table(f"{data_set}: songs with a known bar", columns, rows, note)


def ballroom_songs(
    data_set: str, songs: Sequence[dict[str, str]], scores: dict[tuple[str, Given], list[BeatScores]]
) -> Table:
    """Show what is wrong in every song, and which count is taken for one, by our tracker."""
    rows: list[list[Cell]] = []
    for index, row in enumerate(songs):
        cells: list[Cell] = [row["clip"], row["genre"], float(row["bpm"])]
        for given in BALLROOM_GIVEN:
            score = scores[OURS, given][index]
            cells += [fault(score), score.phase, score.taken_for_one or None]
        rows.append(cells)
    columns = ["song", "genre", "bpm"]
    columns += [f"{name}, {given} given" for given in BALLROOM_GIVEN for name in ("fault", "late", "one")]
    note = f"{OURS}. late: phase of the beats, in beats. one: which count of the bar most downbeats lie on."
    return Table(f"{data_set}: every song", columns, rows, note)


def free_tables(bench: Bench) -> list[Table]:
    """Compare tempos of songs without a dance with what two other trackers hear."""
    songs = [row for row in bench.rows if row["paired"] == "0" and row["audio"].startswith("music/")]
    trackers = {name: tracker for name, tracker in installed_trackers().items() if name in (OURS, *INDEPENDENT)}
    others = [name for name in trackers if name != OURS]
    rows: list[list[Cell]] = []
    classes: dict[str, list[str]] = {name: [] for name in others}
    for row in tqdm(songs, unit="song"):
        waveform = bench.load(row)
        bpm = {name: median_bpm(tracker(waveform, SAMPLING_RATE).times) for name, tracker in trackers.items()}
        cells: list[Cell] = [row["clip"], row["genre"], bpm[OURS]]
        for name in others:
            classes[name].append(octave_class(bpm[OURS] / bpm[name]))
            cells += [bpm[name], classes[name][-1]]
        rows.append(cells)
    columns = ["song", "genre", f"bpm, {OURS}"]
    for name in others:
        columns += [f"bpm, {name}", f"{OURS} against it"]
    note = "No truth is known of these songs, and nothing was trained on them. " + " ".join(
        f"Against {name}: {tally(found) or 'no songs'}." for name, found in classes.items()
    )
    return [Table("Songs without a dance", columns, rows, note)]


SECTIONS: dict[str, tuple[str, Callable[[Bench], list[Table]]]] = {
    "styles": ("1. Synthesized styles", style_tables),
    "ballroom": ("2. Ballroom songs", ballroom_tables),
    "free": ("3. Free songs", free_tables),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("../shared/data"),
        help="clip folder with metadata.csv, for the sections ballroom and free (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--num_seeds", type=int, default=10, help="songs of each style (default: 10)")
    add_sections_option(parser, SECTIONS)
    return parser


def main(command_line: list[str] | None = None) -> None:
    """Measure and write the page."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    bench = Bench(arguments.data_dir, arguments.num_seeds)
    command = f"python -m benchmarks.beats {shown_options(arguments, ['data_dir', 'output'])} "
    command += f"--num_seeds {arguments.num_seeds} --sections "
    records = {
        name: Section(title, command + name, None, partial(measure, bench))
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(arguments.output, INTRODUCTION, records, chosen)


if __name__ == "__main__":
    main()
