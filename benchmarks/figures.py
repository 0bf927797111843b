"""Write measured figures into the texts: `python -m benchmarks.figures`, or `--check` to compare only.

A text marks a figure by its name in `FIGURES`, `<!--= pulse_lock-->19.7<!--/-->`, and a table by the title that it
has in a JSON file of docs/, `<!--table results.music: Pulse lock-->`, up to `<!--/table-->`. In Python a comment after
a string names the figure: `"9.6",  # figure: pulse_lock_real`. Nobody types a measured number.
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

from . import references, retrieval
from .beats import __main__ as beats
from .metrics import report as metrics
from .restoration import report as restoration
from .results import __main__ as results
from .writer import render_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "results": results.INTRODUCTION,
    "metrics": metrics.INTRODUCTION,
    "frdm": restoration.INTRODUCTION,
    "references": references.INTRODUCTION,
    "retrieval_results": retrieval.INTRODUCTION,
    "beats": beats.INTRODUCTION,
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
    return json.loads((ROOT / "docs" / f"{name}.json").read_text(encoding="utf-8"))


def find_table(section: str, title: str) -> dict[str, Any]:
    """Return the table of a section, `"results.music"`, that has a title.

    Raises:
        ValueError: If there is not exactly one.
    """
    name, _, key = section.rpartition(".")
    found = [table for table in _read_sections(name)[key]["tables"] if table["title"] == title]
    if len(found) != 1:
        raise ValueError(f"docs/{name}.json must have one table {title!r} in section {key!r}, got {len(found)}.")
    return found[0]


_ENCODER = ("results.codec", "Codec on held-out clips, codes of the encoder")
_REFINED = ("results.codec", "Codec on held-out clips, codes refined by analysis by synthesis")
_ERROR, _DRIFT, _SPEED = "MPJPE, mm", "drift after 2 s, cm", "speed, decoded/real"
_TIME = ("results.speed", "Lengths and time")
_WITH_VIDEO, _WITHOUT_VIDEO = "bvh, npz, mp4", "bvh, npz"
_RATIO = ("results.quality", "Generated over real")
_COPYING = ("results.quality", "Copying")
_LOSS = ("results.music", "Loss with the right song, without music, with a wrong song")
_LOCK = ("results.music", "Pulse lock")
_PHASE = ("results.music", "Phase against the real dance", "mean")
_CHANGE = ("results.music", "A song that changes from 90 to 120 bpm", "mean")
_GENRE = ("results.conditions", "Genre: classified as the requested one")
_MUSIC = ("metrics.systems", "Music: the model and baselines on 5 held-out songs")
_FEET = ("metrics.systems", "Feet on the floor: the model and baselines on 5 held-out songs")
_REFERENCES = ("references.arms", "Loss, trained and tested with the same references")
_FAULTS = ("frdm.test", "Synthetic faults")
_RESTORED, _FAULTY, _FOOT_LOCK = "`default`", "as it came, put on the floor", "Savitzky-Golay, foot lock"
_SLIDE, _PENETRATION, _FLOAT = "slide, mm/frame", "penetration, mm", "float, mm"
_RESTORE_SPEED = ("frdm.speed", "")
_CHECK = "notes/independent_check"
_WILD = (f"{_CHECK}.songs", "22 songs in the wild")
_UNSEEN = (f"{_CHECK}.codec", "The codec on dances it never saw")
_OLDER = (f"{_CHECK}.speed", "An older server, two cores")
_BEATS = ("beats.styles", "Mean over styles")
_BARS = ("beats.ballroom", "Dance with Melody: songs with a known bar")
_BARS_4_4 = ("beats.ballroom", "ChoreoNet: songs with a known bar")
_BASELINES = (f"{_CHECK}.dances", "Held-out songs, against two simple baselines")

FIGURES = {
    "codec_ballroom": Figure(*_ENCODER, "DanceWithMelody", _ERROR),
    "codec_everyday": Figure(*_ENCODER, "BandaiNamco-1", _ERROR),
    "codec_krumping": Figure(*_ENCODER, "Motorica/LDA", _ERROR),
    "codec_drift": Figure(*_ENCODER, "all", _DRIFT),
    "codec_speed": Figure(*_ENCODER, "all", _SPEED, ".2f"),
    "codec_krumping_speed": Figure(*_ENCODER, "Motorica/LDA", _SPEED, ".2f"),
    "refined_ballroom": Figure(*_REFINED, "DanceWithMelody", _ERROR),
    "refined_everyday": Figure(*_REFINED, "BandaiNamco-1", _ERROR),
    "refined_krumping": Figure(*_REFINED, "Motorica/LDA", _ERROR),
    "refined_drift": Figure(*_REFINED, "all", _DRIFT),
    "refined_speed": Figure(*_REFINED, "all", _SPEED, ".2f"),
    "time_61": Figure(*_TIME, ("61.0", _WITH_VIDEO), "elapsed, s", ".0f"),
    "time_600": Figure(*_TIME, ("600.0", _WITH_VIDEO), "elapsed, s", ".0f"),
    "time_61_no_video": Figure(*_TIME, ("61.0", _WITHOUT_VIDEO), "elapsed, s", ".0f"),
    "speed_waltz": Figure(*_RATIO, "waltz", "speed (goal 0.6 to 1.5)", ".2f"),
    "speed_rumba": Figure(*_RATIO, "rumba", "speed (goal 0.6 to 1.5)", ".2f"),
    "speed_cha_cha": Figure(*_RATIO, "cha-cha", "speed (goal 0.6 to 1.5)", ".2f"),
    "slide_waltz": Figure(*_RATIO, "waltz", "slide in contact (goal up to 1.5)", ".2f"),
    "slide_rumba": Figure(*_RATIO, "rumba", "slide in contact (goal up to 1.5)", ".2f"),
    "slide_cha_cha": Figure(*_RATIO, "cha-cha", "slide in contact (goal up to 1.5)", ".2f"),
    "copied": Figure(*_COPYING, "generated", "8 tokens", ".1%"),
    "copied_real": Figure(*_COPYING, "real", "8 tokens", ".1%"),
    "loss": Figure(*_LOSS, "sum", "right song"),
    "loss_no_music": Figure(*_LOSS, "sum", "no music: more by", ".2f"),
    "loss_wrong_song": Figure(*_LOSS, "sum", "wrong song: more by"),
    "lock": Figure(*_LOCK, "mean", "right song"),
    "lock_wrong_song": Figure(*_LOCK, "mean", "wrong song"),
    "lock_real": Figure(*_LOCK, "mean", "real dance"),
    "phase": Figure(*_PHASE, "size", ".2f"),
    "phase_chance": Figure(*_PHASE, "chance", ".2f"),
    "lock_change": Figure(*_CHANGE, "lock to it", ".0f"),
    "lock_change_other": Figure(*_CHANGE, "lock to the other"),
    "genre": Figure(*_GENRE, "generated, genre of the song", "share of 10 s windows", ".2f"),
    "genre_real": Figure(*_GENRE, "real dances", "share of 10 s windows", ".2f"),
    "alignment_real": Figure(*_MUSIC, "beat alignment over music beats, beyond chance", "real", "+.2f"),
    "slide_real": Figure(*_FEET, "slide, mm/frame", "real"),
    "loss_no_references": Figure(*_REFERENCES, "none", "sum", ".2f"),
    "loss_random_references": Figure(*_REFERENCES, "random", "sum", ".2f"),
    "loss_retrieved_references": Figure(*_REFERENCES, "retrieved", "sum", ".2f"),
    "loss_pinned_references": Figure(*_REFERENCES, "pinned", "sum", ".2f"),
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
    "wild_lock": Figure(*_WILD, "no genre given", "median lock"),
    "wild_share": Figure(*_WILD, "no genre given", "songs with lock above 2", ".2f"),
    "wild_share_waltz": Figure(*_WILD, "waltz", "songs with lock above 2", ".2f"),
    "wild_share_rumba": Figure(*_WILD, "rumba", "songs with lock above 2", ".2f"),
    "wild_share_cha_cha": Figure(*_WILD, "cha-cha", "songs with lock above 2", ".2f"),
    "wild_genre_waltz": Figure(*_WILD, "waltz", "classified as requested", ".2f"),
    "wild_genre_rumba": Figure(*_WILD, "rumba", "classified as requested", ".2f"),
    "wild_genre_cha_cha": Figure(*_WILD, "cha-cha", "classified as requested", ".2f"),
    "unseen_error": Figure(*_UNSEEN, "salsa, optical capture", _ERROR),
    "unseen_drift": Figure(*_UNSEEN, "salsa, optical capture", _DRIFT),
    "unseen_speed": Figure(*_UNSEEN, "salsa, optical capture", _SPEED, ".2f"),
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
    "older_time": Figure(*_OLDER, "`dance` of 61 s, with video", "elapsed, s", "d"),
    "older_time_no_video": Figure(*_OLDER, "`dance` of 61 s, without video", "elapsed, s", "d"),
    "check_lock": Figure(*_BASELINES, "pulse lock", "generated"),
    "check_lock_retrieval": Figure(*_BASELINES, "pulse lock", "retrieval"),
    "check_phase": Figure(*_BASELINES, "phase to the real dance, beats", "generated", ".2f"),
    "jumps": Figure(f"{_CHECK}.songs", "A jump from 90 to 120 bpm", "6", "dances", "d"),
    "jumps_not_followed": Figure(f"{_CHECK}.songs", "A jump from 90 to 120 bpm", "6", "that do not follow", "d"),
    "check_fid": Figure(*_BASELINES, "FID of simple features (floor 0.60)", "generated", ".2f"),
    "check_fid_retrieval": Figure(*_BASELINES, "FID of simple features (floor 0.60)", "retrieval", ".2f"),
}


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
