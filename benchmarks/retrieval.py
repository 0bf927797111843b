"""Measure the towers of retrieval on held-out songs and write the numbers down.

```bash
python -m benchmarks.retrieval --encoder assets/choreollama-research/references/encoder --data_dir built \
    --held_out_dir built-songs --output docs/retrieval_results.md
```

Two sections are measured only with further options: `procedural` on synthetic data, by a run of `train_retrieval` on
them, and `scale`, which `benchmarks/retrieval_scale.py` measures.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.training.data_retrieval import PairedTake, load_paired_takes
from infinitedance.training.evaluation_retrieval import (
    RECALLS,
    EncodedWindows,
    encode_takes,
    genre_table,
    recall_table,
)

from .writer import Section, shown_options, write_report

INTRODUCTION = """# Retrieval, measured

Written by `python -m benchmarks.retrieval`; not edited by hand. [retrieval.md](retrieval.md) shows how to use it, and
the `.json` beside this file holds the same numbers.

Recall at k: a window of music is compared with its own dance and with all windows of the other held-out songs. It is
right when its own dance is among the k nearest. Other windows of its own song are left out. All numbers are means over
songs, with a 95 % bootstrap interval over songs in parentheses; with few songs it is a rough one.
"""

WITHIN_GENRE_NOTE = (
    "What an encoder knows beyond the genre: each window is compared with windows of other songs of its genre only; a "
    "song that is alone in its genre is left out."
)


def recall_rows(title: str, rows: list[tuple[str, dict[int, dict[str, float]]]], note: str) -> Table:
    """Return recall at 1, 5 and 10 of several sets of dances beside chance."""
    columns = ["held out"] + [name for k in RECALLS for name in (f"recall@{k}", f"chance@{k}")]
    cells: list[list[Cell]] = []
    for name, table in rows:
        row: list[Cell] = [name]
        for k in RECALLS:
            row += [[table[k]["mean"], table[k]["low"], table[k]["high"]], table[k]["chance"]]
        cells.append(row)
    return Table(title, columns, cells, note)


def load_held_out(data: BuiltDataset, splits: Sequence[str]) -> list[PairedTake]:
    """Load the dances of held-out splits."""
    return load_paired_takes(data, [clip for split in splits for clip in data.split(split, mirrored=False)])


def read_encoder(folder: Path) -> MusicDanceEncoder:
    """Return an encoder that is computed with in float32."""
    return MusicDanceEncoder.from_pretrained(folder, dtype=torch.float32).eval()


def real_section(data: BuiltDataset, held_out_data: BuiltDataset, encoder_dir: Path) -> list[Table]:
    """Measure an encoder on dances to songs that nothing was trained on, beside those that it was trained on."""
    encoder = read_encoder(encoder_dir)
    held_out = load_held_out(held_out_data, ("test",))
    train_clips = [clip for clip in data.split("train", mirrored=False) if clip.music_file is not None]
    library = encode_takes(encoder, load_paired_takes(data, train_clips))
    windows = encode_takes(encoder, held_out)
    counts = Counter(take.genre for take in held_out)
    songs = ", ".join(f"{count} {genre}" for genre, count in sorted(counts.items()))
    name = f"{len(held_out)} dances, {len(windows.songs)} windows"
    note = f"Held-out dances: {songs}."
    genre_note = (
        f"Share of the nearest training dances to held-out music that have its genre, without any filter, among "
        f"{len(library.songs)} windows of {len(train_clips)} dances. Chance is the share of the genre in the library."
    )
    genres = genre_table(windows, library)
    shares: list[Cell] = [[genres[k]["mean"], genres[k]["low"], genres[k]["high"]] for k in RECALLS]
    alike_note = "Cosine of the dances of two windows of different songs; `max_similarity` stands above nearly all."
    return [
        recall_rows("Music to dance on held-out songs", [(name, recall_table(windows))], note),
        recall_rows(
            "Music to dance among songs of the same genre",
            [(name, recall_table(windows, within_genre=True))],
            WITHIN_GENRE_NOTE,
        ),
        Table(
            "Genre of retrieved dances",
            ["held out", *(f"of the {k} nearest" for k in RECALLS), "chance"],
            [[name, *shares, genres[1]["chance"]]],
            genre_note,
        ),
        Table(
            "How alike dances to different songs are",
            ["median", "99 %", "99.9 %", "largest"],
            [list(similarity_quantiles(library))],
            alike_note,
        ),
    ]


def similarity_quantiles(windows: EncodedWindows) -> list[float]:
    """Return median, 99 %, 99.9 % and maximum of the cosines of dances to different songs."""
    cosines = (windows.motion @ windows.motion.T)[windows.songs[:, None] != windows.songs[None, :]]
    return [float(value) for value in np.quantile(cosines, (0.5, 0.99, 0.999, 1.0))]


def procedural_section(data: BuiltDataset, run: Path) -> list[Table]:
    """Measure an encoder on procedural data, where music and dance belong together exactly."""
    encoder = read_encoder(run)
    recalls, within = [], []
    for splits in (("test",), ("test", "validation")):
        windows = encode_takes(encoder, load_held_out(data, splits))
        name = f"{len(set(windows.songs))} songs, {len(windows.songs)} windows"
        recalls.append((name, recall_table(windows)))
        within.append((name, recall_table(windows, within_genre=True)))
    note = (
        f"Trained on {len(data.split('train', mirrored=False))} songs of `infinitedance procedural`. Songs of one "
        "genre differ in tempo, and windows in where the beats fall; the more held-out songs, the nearer the nearest "
        "tempo."
    )
    return [
        recall_rows("Music to dance on held-out synthetic songs", recalls, note),
        recall_rows("Among synthetic songs of the same genre", within, ""),
    ]


def scale_section(measured: list[dict[str, Any]]) -> list[Table]:
    """Show what `benchmarks/retrieval_scale.py` measured."""
    columns = {
        "windows": "windows",
        "kind": "index",
        "build_seconds": "build, s",
        "disk_mb": "disk, MB",
        "load_seconds": "load, s",
        "peak_memory_mb": "peak memory, MB",
    }
    built = Table("Size", list(columns.values()), [[row[name] for name in columns] for row in measured])
    cells: list[list[Cell]] = []
    for row in measured:
        for name in ("all", "genre", "rare_license"):
            cells.append([row["windows"], name, row[f"search_ms_{name}"], row[f"recall_{name}"]])
    searched = Table(
        "Search, one query",
        ["windows", "filter", "median, ms", "recall@10 against exact"],
        cells,
        "`genre` leaves an eighth of the windows, `rare_license` a hundredth.",
    )
    queries = {"query": "plain", "query_genre": "genre", "query_diverse": "diversity 0.3"}
    rows = [[row["windows"], *(row[f"{name}_ms"] for name in queries)] for row in measured]
    note = (
        "The whole of `query_embeddings` with `exclude_song_id`: bitmap, candidates, near duplicates, choice. In ms."
    )
    return [built, searched, Table("Query, one window", ["windows", *queries.values()], rows, note)]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set that the encoder was trained on")
    parser.add_argument(
        "--held_out_dir", type=Path, required=True, help="built data set whose test split holds songs with a dance"
    )
    parser.add_argument("--procedural_data_dir", type=Path, help="built procedural data set")
    parser.add_argument("--procedural_run", type=Path, help="run of train_retrieval on it")
    parser.add_argument("--scale", type=Path, help="JSON that benchmarks/retrieval_scale.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    return parser


def main(command_line: list[str] | None = None) -> None:
    """Measure what is given and write the page; other sections are kept from the last report."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    if (arguments.procedural_data_dir is None) != (arguments.procedural_run is None):
        parser.error("--procedural_data_dir and --procedural_run are given together, or neither is")
    given = {"real": arguments.encoder, "procedural": arguments.procedural_run, "scale": arguments.scale}
    names = ["encoder", "data_dir", "held_out_dir"]
    command = f"python -m benchmarks.retrieval {shown_options(arguments, names)}"
    if arguments.procedural_run is not None:
        command += f" {shown_options(arguments, ['procedural_data_dir', 'procedural_run'])}"
    command += f" {shown_options(arguments, ['output'])}"
    sections = {
        "real": Section(
            "1. Real dances",
            command,
            arguments.encoder,
            lambda: real_section(
                BuiltDataset(arguments.data_dir), BuiltDataset(arguments.held_out_dir), arguments.encoder
            ),
        ),
        "procedural": Section(
            "2. Synthetic data",
            command,
            arguments.procedural_run,
            lambda: procedural_section(BuiltDataset(arguments.procedural_data_dir), arguments.procedural_run),
        ),
        "scale": Section(
            "3. Scale",
            "python benchmarks/retrieval_scale.py",
            None,
            lambda: scale_section(json.loads(arguments.scale.read_text(encoding="utf-8"))),
        ),
    }
    write_report(arguments.output, INTRODUCTION, sections, [name for name, what in given.items() if what is not None])


if __name__ == "__main__":
    main()
