"""Count the dances that the shipped models learn from, for docs/dances_data.md.

```bash
python -m infinitedance.training.release.describe_dances built built-songs --output docs/dances_data.json
python -m benchmarks.figures
```

`built` and `built-songs` are built from the clip folders of `curate_dances`.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...dataset_builder.build_report import REPORT_FILES
from ...dataset_builder.hours import shared_between_splits, unique_minutes_by_genre, unique_seconds
from ...dataset_builder.manifest import BuiltClip, read_manifest
from ...dataset_builder.splits import SPLITS, TRAIN
from ...evaluation.report.tables import Cell, Table
from ...motion.motion import FRAME_RATE

COMMAND = "python -m infinitedance.training.release.describe_dances built built-songs --output docs/dances_data.json"


def minutes(clips: Iterable[BuiltClip]) -> float:
    """Return the length of some clips in minutes."""
    return sum(clip.num_frames for clip in clips) / FRAME_RATE / 60


def minutes_by_source(clips: Sequence[BuiltClip]) -> Table:
    """Return minutes, and unique minutes in parentheses, of each source and genre by split."""
    groups: dict[tuple[str, str], list[BuiltClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: (clip.source, clip.genre)):
        groups[clip.source, clip.genre].append(clip)
    rows: list[list[Cell]] = []
    for names, members in groups.items():
        parts = [[clip for clip in members if clip.split == split] for split in SPLITS]
        cells = [f"{minutes(part):.2f} ({unique_seconds(part) / 60:.2f})" if part else "" for part in parts]
        rows.append([*names, len(members), *cells])
    columns = ["source", "genre", "clips", *(f"{split} min (unique)" for split in SPLITS)]
    return Table("Minutes by source", columns, rows)


def terms(clips: Sequence[BuiltClip]) -> Table:
    """Return the terms of each source, as the clips carry them."""
    groups: dict[tuple[str, str], list[BuiltClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: (clip.source, clip.license)):
        groups[clip.source, clip.license].append(clip)
    rows: list[list[Cell]] = [
        [source, license, len(members), f"{minutes(members):.2f}", f"{unique_seconds(members) / 60:.2f}"]
        for (source, license), members in groups.items()
    ]
    rows.append(["all", "", len(clips), f"{minutes(clips):.2f}", f"{unique_seconds(clips) / 60:.2f}"])
    return Table("Terms", ["source", "terms", "clips", "min", "unique min"], rows)


def known_time(clips: Sequence[BuiltClip]) -> Table:
    """Return how many training minutes of each genre have music, a clock of their own, or neither."""
    kinds: dict[str, list[list[BuiltClip]]] = {}
    for clip in sorted(clips, key=lambda clip: clip.genre):
        if clip.split == TRAIN:
            kind = 0 if clip.music_file is not None else 1 if clip.clock_file is not None else 2
            kinds.setdefault(clip.genre, [[], [], []])[kind].append(clip)
    rows: list[list[Cell]] = [
        [genre, *(f"{minutes(part):.2f}" for part in parts)] for genre, parts in sorted(kinds.items())
    ]
    totals = [sum(minutes(parts[kind]) for parts in kinds.values()) for kind in range(3)]
    rows.append(["all", *(f"{total:.2f}" for total in totals)])
    return Table("Time", ["genre", "with music", "with beats or a pulse", "with neither"], rows)


def held_units(clips: Sequence[BuiltClip]) -> Table:
    """Return the choreographic units that are kept from training."""
    units: dict[tuple[str, str], set[str]] = defaultdict(set)
    for clip in clips:
        if clip.split != TRAIN:
            units[clip.genre, clip.split].update(label.rsplit("/", 1)[-1] for label, _ in clip.units)
    rows: list[list[Cell]] = [[*names, ", ".join(sorted(labels))] for names, labels in sorted(units.items()) if labels]
    return Table("Held units", ["genre", "split", "units"], rows)


def left_out(built_dir: Path) -> Table:
    """Return the clips that the quality gates left out."""
    report = json.loads((built_dir / REPORT_FILES[0]).read_text(encoding="utf-8"))
    rows: list[list[Cell]] = [
        [problem["clip_id"].split("/", 1)[-1], "; ".join(problem["reasons"])] for problem in report["left_out"]
    ]
    return Table("Left out by the gates", ["clip", "reason"], rows)


def seen_units(songs: Sequence[BuiltClip], dances: Sequence[BuiltClip]) -> Table:
    """Return how much of each held-out dance is made of units that training holds."""
    trained = {label for clip in dances if clip.split == TRAIN for label, _ in clip.units}
    rows: list[list[Cell]] = []
    for clip in songs:
        is_seen = [(label in trained, seconds) for label, seconds in clip.units]
        seen, total = sum(seconds for seen, seconds in is_seen if seen), sum(seconds for _, seconds in is_seen)
        name = clip.clip_id.split("/", 1)[-1]
        rows.append(
            [name, clip.genre, f"{minutes([clip]):.2f}", len({label for label, _ in clip.units}), seen / total]
        )
    return Table("Held-out songs", ["dance", "genre", "min", "units", "share of seen units"], rows)


def describe(built_dir: Path, songs_dir: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of docs/dances_data.json.

    Args:
        built_dir: The built dances.
        songs_dir: The built dances to songs that are held out.
    """
    dances, songs = (
        [clip for clip in read_manifest(folder) if not clip.is_mirrored] for folder in (built_dir, songs_dir)
    )
    tables = {
        "dances": [
            terms(dances),
            unique_minutes_by_genre(dances),
            minutes_by_source(dances),
            known_time(dances),
            held_units(dances),
            shared_between_splits(dances),
            left_out(built_dir),
        ],
        "songs": [seen_units(songs, dances)],
    }
    return {
        name: {"title": name, "command": COMMAND, "tables": [asdict(table) for table in found]}
        for name, found in tables.items()
    }


def main(command_line: list[str] | None = None) -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("built", type=Path, help="folder of the built dances")
    parser.add_argument("songs", type=Path, help="folder of the built dances to held-out songs")
    parser.add_argument("--output", type=Path, default=Path("docs/dances_data.json"), help="JSON file to write")
    arguments = parser.parse_args(command_line)
    sections = describe(arguments.built, arguments.songs)
    arguments.output.write_text(json.dumps(sections, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
