"""Measure what comes out of rendered videos, and write the numbers down.

```bash
python -m benchmarks.capture --data_dir built --work_dir outputs/capture --output docs/capture_results.md
```
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval, without_nan
from infinitedance.utils.atomic import atomic_path

from ..writer import Section, add_sections_option, chosen_sections, shown_options, write_report
from .measures import MEASURES
from .speed import speed_tables
from .stages import (
    ESTIMATOR,
    FIT,
    FLOOR,
    FRDM,
    PHYSICS,
    PHYSICS_FRDM,
    ROWS,
    SMOOTH,
    TRUTH,
    Capturer,
    Networks,
    measure_recording,
)
from .videos import CAMERAS, CASES, KNOWN, LEANING, NEW, Case, Recording, draw_case, record

INTRODUCTION = """# Dances out of videos, measured

Written by `python -m benchmarks.capture`; not edited by hand. [capture.md](capture.md) shows how to capture.

The videos are drawn (`benchmarks/capture`), so that every joint is known: a clothed body of 1.50 to 1.95 m and random
proportions in a room, with light, shadow, blur, noise and compression, encoded as H.264, 8 s at 30 Hz each. 16 are of
people on whom nothing was trained: Motorica's dancer d01 (12), the dancer of the MoCap Toolbox (3), and a dance that
a phone had captured (Rokoko, 1). 8 of CMU's subject 5 and 4 of known performers have tables of their own. Four kinds
of cameras take turns. The renderer also made what the lifter learned the estimator's errors from, with other people,
bodies, clothes, rooms and cameras: on real videos the errors are larger.

The performer's height is given, as `--height`; the focal length is not. Dances come on our neutral body and are
measured at the performer's height. They are turned about the vertical by the true heading of the camera, which no
video shows, and by nothing else: what is wrong in the tilt of the camera counts. Positions are relative to the middle
of the hips (hip-aligned), or aligned frame by frame by a similarity (PA). The root's path is aligned as a whole by
rotation and translation, without scale. Facing right: hips and shoulders to 45 degrees. Contacts of the truth: low
and slower than 0.35 m/s. A range in parentheses is a 95 % bootstrap interval over clips; several clips of one
performer are not independent, so it is too narrow.
"""
_PAPER_TABLE = {
    "MoCap (FineDance)": (0.0622, 12.69),
    "GVHMR": (0.2863, 31.89),
    "GVHMR, PHC": (0.0887, 78.60),
    "GVHMR, PHC, smoothing": (0.1429, 15.39),
    "GVHMR, PHC, FRDM": (0.0509, 14.33),
}
_PAPER_ROWS = dict(zip((TRUTH, FLOOR, PHYSICS, SMOOTH, PHYSICS_FRDM), _PAPER_TABLE.items(), strict=True))
_TABLE_2_MEASURES = ("skating", "jitter", "penetration", "slide", "mpjpe", "root")

Measured = dict[str, dict[str, float]]


class CaptureReport:
    """Videos and what is measured of them.

    Args:
        data_dir: Built dances.
        work_dir: Keeps videos, landmarks and numbers.
        capturer: What is measured.
        cases: Which videos.
    """

    def __init__(self, data_dir: Path, work_dir: Path, capturer: Capturer, cases: Sequence[Case] = CASES):
        self.work_dir, self.capturer = work_dir, capturer
        data = BuiltDataset(data_dir)
        self.recordings = [draw_case(case, data, work_dir) for case in cases]

    @cached_property
    def measured(self) -> list[tuple[Recording, Measured]]:
        """Numbers of every video."""
        record(self.recordings)
        results = [
            (recording, measure_recording(recording, self.capturer))
            for recording in tqdm(self.recordings, desc="capturing", unit="video", disable=None)
        ]
        with atomic_path(self.work_dir / "measured.json") as partial:
            texts = {recording.path.stem: without_nan(numbers) for recording, numbers in results}
            partial.write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")
        return results

    def numbers(self, dancer: str = NEW) -> list[Measured]:
        """Return the numbers of the videos of `NEW`, `LEANING` or `KNOWN` dancers."""
        return [numbers for recording, numbers in self.measured if recording.case.dancer == dancer]


def cells(numbers: Sequence[Measured], row: str, measures: Sequence[str]) -> list[Cell]:
    """Return the means of a row with their intervals, over the clips that have a value."""
    found: list[Cell] = []
    for measure in measures:
        values = np.array([each[row][measure] for each in numbers])
        known = values[np.isfinite(values)]
        found.append(mean_with_interval(known) if len(known) else None)
    return found


def stages_section(report: CaptureReport) -> list[Table]:
    """Compare the stages on performers that are new, and the last stage on others."""
    columns = list(MEASURES.values())
    new = report.numbers()
    note = (
        f"{len(new)} videos. The estimator's row is its own landmarks in space, mapped to our joints, with the true "
        "tilt of the camera: it knows neither gravity nor path. The 12 limb joints are those that it marks itself. "
        "The last row but one is what `infinitedance capture` writes by default."
    )
    tables = [Table("Stages", ["stage", *columns], [[row, *cells(new, row, list(MEASURES))] for row in ROWS], note)]
    notes = {
        LEANING: "CMU's subject 5, on whom nothing was trained: our conversion leans the trunk by 15 to 23 degrees.",
        KNOWN: "Takes that were held out, of people whose other takes were trained on.",
    }
    for dancer, text in notes.items():
        numbers = report.numbers(dancer)
        if numbers:
            rows = [[row, *cells(numbers, row, list(MEASURES))] for row in (ESTIMATOR, FIT, FRDM)]
            title = dancer[0].upper() + dancer[1:]
            tables.append(Table(title, ["stage", *columns], rows, f"{len(numbers)} videos. {text}"))
    return tables


def cameras_section(report: CaptureReport) -> list[Table]:
    """Compare kinds of cameras, and performers, after the last stage."""
    new = [(recording.case, numbers) for recording, numbers in report.measured if recording.case.dancer == NEW]
    rows: list[list[Cell]] = []
    for kind in CAMERAS:
        chosen = [numbers for case, numbers in new if case.camera == kind]
        rows.append([kind.name, len(chosen), *cells(chosen, FRDM, list(MEASURES))])
    columns = ["camera", "videos", *MEASURES.values()]
    note = f"After `{FRDM}`. The fit takes cameras to stand in one place and to turn as the background moves."
    people: list[list[Cell]] = []
    everybody = [(_performer(recording.case), numbers) for recording, numbers in report.measured]
    for name in dict.fromkeys(name for name, _ in everybody):
        chosen = [numbers for performer, numbers in everybody if performer == name]
        people.append([name, len(chosen), *cells(chosen, FRDM, list(MEASURES))])
    return [
        Table("Cameras", columns, rows, note),
        Table("Performers", ["performer", *columns[1:]], people, f"After `{FRDM}`; those who were trained on, too."),
    ]


def _performer(case: Case) -> str:
    known = {"kthstreet": "Motorica d01", "cmu_05": "CMU subject 5", "dance": "MoCap Toolbox", "jesse": "Rokoko"}
    return next((name for prefix, name in known.items() if case.clip.startswith(prefix)), case.clip)


def paper_section(report: CaptureReport) -> list[Table]:
    """Set the stages of the paper's Table 2 beside its numbers, with the fidelity that it leaves out."""
    rows: list[list[Cell]] = []
    for row, (name, (skating, jitter)) in _PAPER_ROWS.items():
        rows.append([row, *cells(report.numbers(), row, _TABLE_2_MEASURES), name, skating, jitter])
    columns = ["ours", *(MEASURES[name] for name in _TABLE_2_MEASURES), "the paper's", "its FSR", "its jitter"]
    note = (
        "The paper's are of dances from the web, whose truth nobody knows, so that it has no fidelity; its measure of "
        "penetration is not defined, and is left out. Physics is measured where the capture would reject it, too."
    )
    return [Table("Table 2 of the paper", columns, rows, note)]


def goals_section(report: CaptureReport) -> list[Table]:
    """Show in how many videos each goal is met."""
    goals = {"mpjpe": 80.0, "pa_mpjpe": 55.0, "root": 8.0, "slide": 3.0, "facing": 0.98, "contact_f1": 0.8}
    rows: list[list[Cell]] = []
    for name, goal in goals.items():
        values = np.array([each[FRDM][name] for each in report.numbers()])
        values = values[np.isfinite(values)]
        met = values >= goal if name in ("facing", "contact_f1") else values <= goal
        worst = values.min() if name in ("facing", "contact_f1") else values.max()
        median = float(np.median(values)) if len(values) else math.nan
        rows.append([MEASURES[name], goal, median, float(worst), f"{int(met.sum())} of {len(values)}"])
    return [Table("Goals", ["measure", "goal", "median", "worst", "videos that meet it"], rows, f"After `{FRDM}`.")]


SECTIONS: Mapping[str, tuple[str, object]] = {
    "stages": ("1. Stage by stage", stages_section),
    "cameras": ("2. Cameras and performers", cameras_section),
    "paper": ("3. Table 2 of the paper, with fidelity", paper_section),
    "goals": ("4. What was to be reached", goals_section),
    "speed": ("5. Speed and memory", speed_tables),
}


def main() -> None:
    """Measure the chosen sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capture", description=str(__doc__).splitlines()[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="dances of `curate_dances`, built")
    parser.add_argument("--work_dir", type=Path, required=True, help="keeps videos and landmarks")
    parser.add_argument("--output", type=Path, required=True, help="the report, .md; numbers go to .json beside it")
    parser.add_argument("--models", help="folder of the landmark models, if they are not where they are fetched to")
    parser.add_argument("--network", default="heavy", help="landmark network: heavy or full (default: heavy)")
    parser.add_argument("--lifter", help="folder of another lifter than the one that ships")
    add_sections_option(parser, SECTIONS)
    options = parser.parse_args()
    chosen = chosen_sections(parser, options, SECTIONS)
    networks = Networks(options.work_dir, options.models, options.lifter, options.network)
    report = CaptureReport(options.data_dir, options.work_dir, networks)
    command = f"python -m benchmarks.capture {shown_options(options, ('data_dir', 'work_dir', 'output'))} --sections"
    sections = {
        name: Section(title, f"{command} {name}", None, lambda measure=measure: measure(report))  # type: ignore
        for name, (title, measure) in SECTIONS.items()
    }
    write_report(options.output, INTRODUCTION, sections, chosen)
