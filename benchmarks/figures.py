"""Write measured figures into the texts: `python -m benchmarks.figures`, or `--check` to compare only.

A text marks a figure by its name in `FIGURES`, `<!--= followed-->0.91<!--/-->`, and a table by the title that it
has in a JSON file of docs/, `<!--table dances.free: In short-->`, up to `<!--/table-->`. In Python a comment after a
string names the figure: `"9.6",  # figure: lock_real`. Nobody types a measured number.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from infinitedance.evaluation.report.tables import Cell, table_markdown

from . import ablations, blender_import, command_speed, finetuning, loops, one_billion, retrieval, video
from .beats import __main__ as beats
from .capture import report as capture
from .capture.measures import MEASURES as CAPTURE_MEASURES
from .capture.stages import ESTIMATOR, FIT, FRDM, LIFTER
from .dances import __main__ as dances
from .metrics import report as metrics
from .restoration import report as restoration
from .writer import render_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "dances": dances.INTRODUCTION.format(model="choreollama-research"),
    "dances_open": dances.INTRODUCTION.format(model="choreollama-open"),
    "ablations": ablations.INTRODUCTION,
    "metrics": metrics.INTRODUCTION,
    "frdm": restoration.INTRODUCTION,
    "retrieval_results": retrieval.INTRODUCTION,
    "beats": beats.INTRODUCTION,
    "finetuning_results": finetuning.INTRODUCTION,
    "capture_results": capture.INTRODUCTION,
    "one_billion": one_billion.INTRODUCTION,
    "blender_import": blender_import.INTRODUCTION,
    "video_results": video.INTRODUCTION,
    "loops": loops.INTRODUCTION,
    "command_speed": command_speed.INTRODUCTION,
}
"""Pages of docs/ that are written whole from the JSON file beside them, and what stands before their sections."""
TEXTS = ("README.md", "docs/**/*.md", "assets/*.md", "assets/*/README.md", "spaces_demo/**/*.md", "spaces_demo/*.py")
MARKED_FIGURE = re.compile(r"(?P<before><!--= (?P<name>\w+)-->)[^<\n]*(?P<after><!--/-->)")
MARKED_TABLE = re.compile(
    r"(?P<before><!--table (?P<section>[\w./]+): (?P<title>[^\n]+?)-->\n).*?(?P<after><!--/table-->)", re.DOTALL
)
MARKED_STRING = re.compile(r'(?P<before>")[^"\n]*(?P<after>",  # figure: (?P<name>\w+))$', re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """Where a figure stands, and how it is shown.

    Args:
        section: File in docs/ without its ending, a dot, and the key of the section.
        table: Title of the table.
        row: First cell of the row, as text; the first ones where one is not enough.
        column: Name of the column. Of a mean with its interval the mean is taken.
        form: Format of the number.
    """

    section: str
    table: str
    row: str | tuple[str, ...]
    column: str
    form: str = ".1f"

    def show(self) -> str:
        """Return the figure as a text shows it."""
        table = find_table(self.section, self.table)
        key = [self.row] if isinstance(self.row, str) else list(self.row)
        rows = [row for row in table["rows"] if [str(cell) for cell in row[: len(key)]] == key]
        if len(rows) != 1 or self.column not in table["columns"]:
            raise ValueError(
                f"Table {self.table!r} of {self.section} must have one row {self.row!r} and a column {self.column!r}, "
                f"got {len(rows)} such rows and the columns {table['columns']}."
            )
        cell: Cell = rows[0][table["columns"].index(self.column)]
        return format(cell[0] if isinstance(cell, list) else cell, self.form)


@cache
def _read_sections(name: str) -> dict[str, dict[str, Any]]:
    path = ROOT / "docs" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"docs/{name}.json must be measured first; CONTRIBUTING.md has the command.")
    return json.loads(path.read_text(encoding="utf-8"))


def find_table(section: str, title: str) -> dict[str, Any]:
    """Return the table of a section, `"dances.free"`, that has a title.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is not exactly one such table.
    """
    name, _, key = section.rpartition(".")
    tables = _read_sections(name).get(key, {"tables": []})["tables"]
    found = [table for table in tables if table["title"] == title]
    if len(found) != 1:
        raise ValueError(f"docs/{name}.json must have one table {title!r} in section {key!r}, got {len(found)}.")
    return found[0]


_LEVELS = "Told as asked, whatever the level and the timbre"
_TOLD = "dances told as asked"
_OF_MODELS: dict[str, tuple[str, str, str | tuple[str, ...], str]] = {
    "told": ("levels", _LEVELS, "as it is", _TOLD),
    "told_quiet": ("levels", _LEVELS, "-26 dBFS", _TOLD),
    "told_foreign": ("levels", _LEVELS, "spectra of another song", _TOLD),
    "followed": ("response", "A jump of the tempo", ("all", "generated"), "followed"),
    "rests": ("response", "Silence and the end", "generated", "come to rest"),
    "chorus": ("response", "A chorus that returns", "generated", "chorus is nearer"),
}
_MODELS = {"open": "dances_open", "research": "dances"}
_TIME = ("dances_open.command", "Time")
_MUSIC = ("metrics.systems", "Music: real dances and obvious fakes")
_FEET = ("metrics.systems", "Feet on the floor: real dances and obvious fakes")
_FAULTS = ("frdm.test", "Synthetic faults")
_RESTORED, _FAULTY, _FOOT_LOCK = "`default`", "as it came, put on the floor", "Savitzky-Golay, foot lock"
_SLIDE, _PENETRATION, _FLOAT = "slide, mm/frame", "penetration, mm", "float, mm"
_ERROR = "MPJPE, mm"
_RESTORE_SPEED = ("frdm.speed", "")
_BEATS = ("beats.styles", "Mean over styles")
_BARS = ("beats.ballroom", "Dance with Melody: songs with a known bar")
_BARS_4_4 = ("beats.ballroom", "ChoreoNet: songs with a known bar")

FIGURES = (
    {
        f"{name}_{model}": Figure(f"{report}.{section}", table, row, column, ".2f")
        for model, report in _MODELS.items()
        for name, (section, table, row, column) in _OF_MODELS.items()
    }
    | {
        "time_60": Figure(*_TIME, ("60", "yes"), "elapsed", ".0f"),
        "time_60_no_video": Figure(*_TIME, ("60", "no"), "elapsed", ".0f"),
        "time_300_no_video": Figure(*_TIME, ("300", "no"), "elapsed", ".0f"),
        "alignment_real": Figure(*_MUSIC, "beat alignment over music beats, beyond chance", "real", "+.2f"),
        "lock_real": Figure(*_MUSIC, "pulse lock", "real"),
        "slide_real": Figure(*_FEET, "slide, mm/frame", "real"),
        "faults_slide": Figure(*_FAULTS, _FAULTY, _SLIDE),
        "faults_penetration": Figure(*_FAULTS, _FAULTY, _PENETRATION),
        "faults_float": Figure(*_FAULTS, _FAULTY, _FLOAT),
        "faults_error": Figure(*_FAULTS, _FAULTY, _ERROR),
        "restored_slide": Figure(*_FAULTS, _RESTORED, _SLIDE),
        "restored_penetration": Figure(*_FAULTS, _RESTORED, _PENETRATION),
        "restored_float": Figure(*_FAULTS, _RESTORED, _FLOAT),
        "restored_error": Figure(*_FAULTS, _RESTORED, _ERROR),
        "foot_lock_slide": Figure(*_FAULTS, _FOOT_LOCK, _SLIDE),
        "foot_lock_penetration": Figure(*_FAULTS, _FOOT_LOCK, _PENETRATION),
        "foot_lock_float": Figure(*_FAULTS, _FOOT_LOCK, _FLOAT),
        "restore_10": Figure(*_RESTORE_SPEED, "10", "x real time", ".0f"),
        "restore_600": Figure(*_RESTORE_SPEED, "600", "x real time", ".0f"),
        "restore_memory_10": Figure(*_RESTORE_SPEED, "10", "most memory, MB", ".0f"),
        "restore_memory_600": Figure(*_RESTORE_SPEED, "600", "most memory, MB", ".0f"),
        "beats_f": Figure(*_BEATS, ("infinitedance", "nothing"), "beat F", ".2f"),
        "beats_f_librosa": Figure(*_BEATS, ("librosa", "nothing"), "beat F", ".2f"),
        "beats_f_beatnet": Figure(*_BEATS, ("BeatNet", "nothing"), "beat F", ".2f"),
        "downbeats_f": Figure(*_BEATS, ("infinitedance", "nothing"), "downbeat F", ".2f"),
        "downbeats_f_beatnet": Figure(*_BEATS, ("BeatNet", "nothing"), "downbeat F", ".2f"),
        "bar_songs": Figure(*_BARS, ("infinitedance", "genre", "all"), "songs", "d"),
        "bars_genre": Figure(*_BARS, ("infinitedance", "genre", "all"), "downbeats right", "d"),
        "bars_free": Figure(*_BARS, ("infinitedance", "nothing", "all"), "downbeats right", "d"),
        "bars_beatnet": Figure(*_BARS, ("BeatNet", "nothing", "all"), "downbeats right", "d"),
        "bars_chance": Figure(*_BARS, ("infinitedance", "genre", "all"), "by chance", ".0f"),
        "passages_4_4": Figure(*_BARS_4_4, ("infinitedance", "genre", "all"), "songs", "d"),
        "passages_4_4_right": Figure(*_BARS_4_4, ("infinitedance", "genre", "all"), "downbeats right", "d"),
    }
    | {
        f"capture_{stage}{name}": Figure("capture_results.stages", "Stages", row, CAPTURE_MEASURES[measure], form)
        for name, measure, form, stages in (
            ("mpjpe", "mpjpe", ".0f", ("estimator_", "lifter_", "fit_", "")),
            ("pa", "pa_mpjpe", ".0f", ("estimator_", "lifter_", "fit_", "")),
            ("slide", "slide", ".1f", ("lifter_", "fit_", "")),
            ("root", "root", ".1f", ("",)),
            ("facing", "facing", ".2f", ("estimator_", "")),
            ("contact", "contact_f1", ".2f", ("",)),
        )
        for stage, row in {"estimator_": ESTIMATOR, "lifter_": LIFTER, "fit_": FIT, "": FRDM}.items()
        if stage in stages
    }
)


def fill(text: str) -> str:
    """Return a text with every marked figure and table as it was measured.

    Raises:
        ValueError: If a mark names no figure or no table.
    """

    def figure(mark: re.Match) -> str:
        if mark["name"] not in FIGURES:
            raise ValueError(f"{mark[0]!r} must name a figure of benchmarks/figures.py, got {mark['name']!r}.")
        return f"{mark['before']}{FIGURES[mark['name']].show()}{mark['after']}"

    def table(mark: re.Match) -> str:
        found = find_table(mark["section"], mark["title"]) | {"title": ""}
        return f"{mark['before']}{table_markdown(found)}{mark['after']}"

    return MARKED_STRING.sub(figure, MARKED_TABLE.sub(table, MARKED_FIGURE.sub(figure, text)))


def current_texts() -> dict[Path, str]:
    """Return every text as it should be, by its path."""
    pages = {
        ROOT / "docs" / f"{name}.md": render_markdown(_read_sections(name), introduction)
        for name, introduction in PAGES.items()
    }
    others = [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern)) if path not in pages]
    return pages | {path: fill(path.read_text(encoding="utf-8")) for path in others}


def main(command_line: list[str] | None = None) -> None:
    """Write the texts, or say how they differ from the measurements and exit with 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a text is stale")
    arguments = parser.parse_args(command_line)
    is_stale = False
    for path, text in current_texts().items():
        shown = path.read_text(encoding="utf-8") if path.is_file() else ""
        if shown == text:
            continue
        is_stale = True
        name = path.relative_to(ROOT).as_posix()
        if arguments.check:
            lines = shown.splitlines(), text.splitlines()
            print("\n".join(difflib.unified_diff(*lines, name, f"{name}, as measured", lineterm="", n=0)))
        else:
            path.write_text(text, encoding="utf-8")
            print(name)
    if arguments.check and is_stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
