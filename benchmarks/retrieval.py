"""Measure trained towers of retrieval on held-out songs and write the numbers down.

```bash
python -m benchmarks.retrieval --data_dir built \
    --runs runs/retrieval_25 runs/retrieval_50 runs/retrieval \
    --procedural_data_dir procedural --procedural_run runs/retrieval_procedural \
    --scale scale.json --output docs/retrieval_results.md
```
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.training.data_retrieval import PairedTake, load_paired_takes, share_of_songs
from infinitedance.training.evaluation_retrieval import (
    RECALLS,
    EncodedWindows,
    encode_takes,
    genre_table,
    recall_table,
)

from .writer import Section, write_report

INTRODUCTION = """# Retrieval, measured

Written by `python -m benchmarks.retrieval`; not edited by hand. [retrieval.md](retrieval.md) shows how to use it, and
the `.json` beside this file holds the same numbers.

Recall at k: a window of music is compared with its own dance and with all windows of the other held-out songs. It is
right when its own dance is among the k nearest. Other windows of its own song are left out. All numbers are means over
songs, with a 95 % bootstrap interval over songs in parentheses; with eight songs it is a rough one.
"""

HELD_OUT = ("test", "validation")

WITHIN_GENRE_NOTE = (
    "What an encoder knows beyond the genre: each window is compared with windows of other songs of its genre only; a "
    "song that is alone in its genre is left out."
)


def recall_rows(title: str, what: str, rows: list[tuple[str, dict[int, dict[str, float]]]], note: str) -> Table:
    """Return recall at 1, 5 and 10 of several encoders beside chance."""
    columns = [what] + [name for k in RECALLS for name in (f"recall@{k}", f"chance@{k}")]
    cells: list[list[Cell]] = []
    for name, table in rows:
        row: list[Cell] = [name]
        for k in RECALLS:
            row += [[table[k]["mean"], table[k]["low"], table[k]["high"]], table[k]["chance"]]
        cells.append(row)
    return Table(title, columns, cells, note)


def genre_share_table(rows: list[tuple[str, dict[int, dict[str, float]]]]) -> Table:
    """Return the share of retrieved dances of the right genre beside chance."""
    columns = ["training songs"] + [f"of the {k} nearest" for k in RECALLS] + ["chance"]
    cells: list[list[Cell]] = [
        [name, *([table[k]["mean"], table[k]["low"], table[k]["high"]] for k in RECALLS), table[1]["chance"]]
        for name, table in rows
    ]
    note = (
        "Share of the nearest training dances to held-out music that have its genre, without any filter. Chance is "
        "the share of the genre in the library."
    )
    return Table("Genre of retrieved dances", columns, cells, note)


def load_held_out(data: BuiltDataset, splits: Sequence[str]) -> list[PairedTake]:
    """Load the dances of held-out splits."""
    return load_paired_takes(data, [clip for split in splits for clip in data.split(split, mirrored=False)])


def read_encoder(folder: Path, data: BuiltDataset) -> tuple[MusicDanceEncoder, dict[str, Any]]:
    """Return the encoder of a run, which must read the music features of the data, and its training arguments."""
    arguments = json.loads((folder / "run.json").read_text(encoding="utf-8"))["arguments"]
    encoder = MusicDanceEncoder.from_pretrained(folder, dtype=torch.float32).eval()
    data.check_music_features(encoder.config.music_features_version, f"The encoder in {folder}")
    return encoder, arguments


def describe_songs(data: BuiltDataset, song_share: float) -> str:
    """Say on how many songs and minutes a run was trained."""
    clips = [clip for clip in data.split("train", mirrored=False) if clip.music_file is not None]
    kept = share_of_songs(clips, song_share)
    minutes = sum(clip.num_frames for clip in kept) / FRAME_RATE / 60
    return f"{len({clip.song_id for clip in kept})} songs, {minutes:.0f} min"


def real_section(data: BuiltDataset, runs: list[Path]) -> list[Table]:
    """Measure encoders that were trained on growing shares of the same songs."""
    held_out = load_held_out(data, HELD_OUT)
    train_clips = [clip for clip in data.split("train", mirrored=False) if clip.music_file is not None]
    library_takes = load_paired_takes(data, train_clips)
    recalls, within, genres = [], [], []
    likeness: list[list[Cell]] = []
    for folder in runs:
        encoder, arguments = read_encoder(folder, data)
        name = describe_songs(data, arguments["song_share"])
        windows, library = encode_takes(encoder, held_out), encode_takes(encoder, library_takes)
        recalls.append((name, recall_table(windows)))
        within.append((name, recall_table(windows, within_genre=True)))
        genres.append((name, genre_table(windows, library)))
        likeness.append([name, *similarity_quantiles(library)])
    counts = Counter(take.genre for take in held_out)
    songs = ", ".join(f"{count} {genre}" for genre, count in sorted(counts.items()))
    note = f"{len(held_out)} held-out dances ({songs}), {len(windows.songs)} windows; none was trained on."
    columns = ["training songs", "median", "99 %", "99.9 %", "largest"]
    alike_note = "Cosine of the dances of two windows of different songs; `max_similarity` stands above nearly all."
    return [
        recall_rows("Music to dance on held-out songs", "training songs", recalls, note),
        recall_rows("Music to dance among songs of the same genre", "training songs", within, WITHIN_GENRE_NOTE),
        genre_share_table(genres),
        Table("How alike dances to different songs are", columns, likeness, alike_note),
    ]


def similarity_quantiles(windows: EncodedWindows) -> list[float]:
    """Return median, 99 %, 99.9 % and maximum of the cosines of dances to different songs."""
    cosines = (windows.motion @ windows.motion.T)[windows.songs[:, None] != windows.songs[None, :]]
    return [float(value) for value in np.quantile(cosines, (0.5, 0.99, 0.999, 1.0))]


def procedural_section(data: BuiltDataset, run: Path) -> list[Table]:
    """Measure an encoder on procedural data, where music and dance belong together exactly."""
    encoder, arguments = read_encoder(run, data)
    recalls, within = [], []
    for splits in (("test",), HELD_OUT):
        windows = encode_takes(encoder, load_held_out(data, splits))
        name = f"{len(set(windows.songs))} songs, {len(windows.songs)} windows"
        recalls.append((name, recall_table(windows)))
        within.append((name, recall_table(windows, within_genre=True)))
    note = (
        f"Trained on {describe_songs(data, arguments['song_share'])} of `infinitedance procedural`. Songs of one "
        "genre differ in tempo, and windows in where the beats fall; the more held-out songs, the nearer the nearest "
        "tempo."
    )
    return [
        recall_rows("Music to dance on held-out synthetic songs", "held out", recalls, note),
        recall_rows("Among synthetic songs of the same genre", "held out", within, ""),
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
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set; its held-out songs are measured")
    parser.add_argument(
        "--runs", type=Path, nargs="+", required=True, help="runs of train_retrieval, least data first"
    )
    parser.add_argument("--procedural_data_dir", type=Path, required=True, help="built procedural data set")
    parser.add_argument("--procedural_run", type=Path, required=True, help="run of train_retrieval on it")
    parser.add_argument("--scale", type=Path, required=True, help="JSON that benchmarks/retrieval_scale.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    return parser


def training_command(run: Path) -> str:
    """Return the command that trained a run; of paths only the last part is shown."""
    arguments = json.loads((run / "run.json").read_text(encoding="utf-8"))["arguments"]
    names = ("max_steps", "max_minutes", "batch_size", "learning_rate", "spectra_dropout", "song_share", "model")
    shown = ["--resume"] if arguments["resume"] else []
    for name in names:
        value = arguments[name]
        if value is not None:
            shown.append(f"--{name} {value}" if name != "model" else f"--model '{_as_json(value)}'")
    recipe = "--config training/configs/retrieval_tiny_cpu.yaml"
    folders = f"--data_dir {Path(arguments['data_dir']).name} --output_dir {run.name}"
    return f"python -m infinitedance.training.train_retrieval {recipe} {folders} {' '.join(shown)}"


def _as_json(value: str | dict) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main(command_line: list[str] | None = None) -> None:
    """Measure and write the page."""
    arguments = build_parser().parse_args(command_line)
    scale = json.loads(arguments.scale.read_text(encoding="utf-8"))
    real, procedural = BuiltDataset(arguments.data_dir), BuiltDataset(arguments.procedural_data_dir)
    last, run = arguments.runs[-1], arguments.procedural_run
    sections = {
        "real": Section("1. Real dances", training_command(last), last, partial(real_section, real, arguments.runs)),
        "procedural": Section(
            "2. Synthetic data", training_command(run), run, partial(procedural_section, procedural, run)
        ),
        "scale": Section("3. Scale", "python benchmarks/retrieval_scale.py", last, partial(scale_section, scale)),
    }
    write_report(arguments.output, INTRODUCTION, sections)


if __name__ == "__main__":
    main()
