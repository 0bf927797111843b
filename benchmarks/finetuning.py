"""Teach the open model styles that it has never seen, and measure what it learned and what it kept.

```bash
python -m benchmarks.finetuning --curated curated --data_dir built --songs_dir ../shared/data/music \
    --work_dir outputs/finetuning --output docs/finetuning_results.md
```

`curated` is what docs/dances_data.md makes. `infinitedance finetune` is run in a process of its own; an adapter that
lies in `work_dir` already is measured only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from infinitedance.audio.loading import AUDIO_SUFFIXES, load_audio
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.clip_folder import METADATA_FILE
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.dataset_builder.own_clips import build_own_clips
from infinitedance.dataset_builder.splits import TRAIN
from infinitedance.evaluation.metrics.genre_recognition import WINDOW_SECONDS, GenreClassifier, describe_windows
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.modeling.choreollama.adapters_choreollama import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.training.finetune import hold_out
from infinitedance.utils.atomic import atomic_path

from .writer import Section, shown_options, write_report

INTRODUCTION = """# Fine-tuning, measured

Written by `python -m benchmarks.finetuning`; not edited by hand. [finetuning.md](finetuning.md) shows how to use it.

`choreollama-open` learns a style that it has never seen, by `infinitedance finetune` with its defaults, on two CPU
cores, from clips that were no part of its training: no clip of the dancer, none of the genre. Held-out loss is the
mean cross entropy of the codes of clips that the adapter has not seen either, in nats. Dances to songs without a
dance are told by a classifier that knows the real dances of the style and of the model's own genres; *real, held out*
is how well it tells those. *The model before* is asked for any genre.
"""
STYLES = {
    "waltz": "A genre: ten minutes of Dance with Melody, with their songs; three other songs are held out",
    "dancer": "A performer: hip-hop and locking of dancer d02 of Motorica, without sound; the last fifth is held out",
}
SECONDS = 30.0
MAX_WALTZ_SECONDS, MIN_CLIP_SECONDS = 600.0, 6.0
TIMES_FILE = "time.json"


def write_clips(curated: Path, style: str, folder: Path) -> Path:
    """List the clips of a style in a clip folder, with what is held out."""
    rows = waltz_rows(curated) if style == "waltz" else dancer_rows(curated)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / METADATA_FILE) as partial_path, partial_path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read the table of a clip folder; paths become absolute, and choreographic units join no clips."""
    with (folder / METADATA_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {name: str((folder / row[name]).resolve()) for name in ("file", "audio", "beats") if row[name]}
        row["units"] = ""
    return rows


def waltz_rows(curated: Path) -> list[dict[str, str]]:
    """Return waltzes with their songs."""
    held_out = [
        row | {"split": "validation", "song_id": Path(row["audio"]).stem}
        for row in read_rows(curated / "songs")
        if row["genre"] == "waltz"
    ]
    learned, seconds = [], 0.0
    for row in read_rows(curated / "dances"):
        if row["genre"] != "waltz" or row["split"] != TRAIN or not row["audio"]:
            continue
        song = Path(row["audio"]).stem
        length = float(row["end_seconds"] or row["seconds"]) - float(row["start_seconds"] or 0)
        if length < MIN_CLIP_SECONDS or seconds + length > MAX_WALTZ_SECONDS:
            continue
        if song not in {other["song_id"] for other in held_out}:
            learned.append(row | {"song_id": song})
            seconds += length
    return learned + held_out


def dancer_rows(curated: Path) -> list[dict[str, str]]:
    """Return the dances of one performer, cut in two, a second apart."""
    rows = []
    for row in read_rows(curated / "dances"):
        if row["performer"] != "d02":
            continue
        start, end = float(row["start_seconds"]), float(row["end_seconds"])
        cut = start + 0.8 * (end - start)
        for split, first, last in ((TRAIN, start, cut), ("validation", cut + 1, end)):
            name = f"{row['clip']}~{split}"
            times = {"start_seconds": f"{first:.4f}", "end_seconds": f"{last:.4f}"}
            rows.append(row | times | {"clip": name, "song_id": name, "split": split})
    return rows


def learn(clips: Path, name: str, adapter: Path) -> dict[str, float]:
    """Run the command, and return its seconds and the most memory that it held, in GB."""
    times = adapter.parent / f"{name}.{TIMES_FILE}"
    if not (adapter / "finetune.json").is_file():
        start = time.perf_counter()
        command = ["finetune", str(clips), "--name", name, "--output", str(adapter)]
        subprocess.run(
            [sys.executable, "-m", "infinitedance", *command], check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        measured = {
            "seconds": time.perf_counter() - start,
            "gigabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6,
        }
        with atomic_path(times) as partial_path:
            partial_path.write_text(json.dumps(measured), encoding="utf-8")
    return json.loads(times.read_text(encoding="utf-8"))


def statistics_of(motion: Motion) -> np.ndarray:
    """Describe the 10 s windows of a dance, `(windows, statistics)`."""
    return describe_windows(motion.joint_positions(), FRAME_RATE)


def real_statistics(data: BuiltDataset, clips: Iterable[BuiltClip]) -> list[np.ndarray]:
    """Describe real dances that are long enough."""
    return [
        statistics_of(features_to_motion(torch.from_numpy(np.array(data.motion_features(clip)))))
        for clip in clips
        if not clip.is_mirrored and clip.num_frames >= WINDOW_SECONDS * FRAME_RATE
    ]


def told(classifier: GenreClassifier, dances: Sequence[np.ndarray], genre: str | Sequence[str]) -> float:
    """Return the share of dances that are told as a genre, one for all or one for each."""
    genres = [genre] * len(dances) if isinstance(genre, str) else genre
    return float(np.mean([classifier.tell_dance(each) == own for each, own in zip(dances, genres, strict=True)]))


def dance(pipeline: MusicToDancePipeline, songs: Sequence[np.ndarray], genres: Sequence[str | None]) -> list[Motion]:
    """Dance each song once, as the pipeline does by default; none of `genres` is the one that suits the song."""
    return [pipeline(song, genre=genre).motion for song, genre in zip(songs, genres, strict=True)]


def is_same(one: Motion, other: Motion) -> bool:
    """Return whether two dances are the same to the bit."""
    return np.array_equal(one.joint_positions(), other.joint_positions())


def measure_style(
    name: str, curated: Path, data: BuiltDataset, songs: Sequence[np.ndarray], work_dir: Path
) -> list[Table]:
    """Learn a style and return the tables of its section."""
    adapter, clips = work_dir / name, write_clips(curated, name, work_dir / f"{name}-clips")
    spent = learn(clips, name, adapter)
    record: dict[str, Any] = json.loads((adapter / "finetune.json").read_text(encoding="utf-8"))
    own = BuiltDataset(build_own_clips(clips, work_dir / f"{name}-built", name=name))
    learned, held_out = hold_out(own.clips)
    base = MusicToDancePipeline.from_pretrained()
    genres = base.genres
    own_genres = [genres[index % len(genres)] for index in range(len(songs))]
    classifier = GenreClassifier(
        {
            name: real_statistics(own, learned),
            **{
                genre: real_statistics(data, [clip for clip in data.split(TRAIN) if clip.genre == genre])
                for genre in genres
            },
        }
    )
    before = dance(base, songs, own_genres)
    suited = dance(base, songs, [None] * len(songs))
    pipeline = MusicToDancePipeline.from_pretrained(adapter=adapter)
    styled = dance(pipeline, songs, [name] * len(songs))
    beside = dance(pipeline, songs, own_genres)
    pipeline.unload_adapters()
    unloaded = dance(pipeline, songs, own_genres)
    with TemporaryDirectory() as folder:  # without the record of what it learned, an adapter is always on
        for file in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE):
            shutil.copy(adapter / file, folder)
        pipeline.load_adapter(folder)
        kept_on = dance(pipeline, songs, own_genres)

    loss, kept = record["held_out_loss"], record["base_genre_loss"]
    nearest = loss["nearest_genre_before"]
    files = [path for path in adapter.iterdir() if path.is_file()]
    learning: list[list[Cell]] = [
        ["minutes learned from; held out", f"{record['minutes']:.1f}; {record['held_out_minutes']:.1f}"],
        ["joint error of the codec on the clips, mm", record["codec_fit"]["joint_error_mm"]],
        ["held-out loss before, as any genre", loss["before"]],
        [f"held-out loss before, as the nearest genre, {nearest['genre']}", nearest["loss"]],
        ["held-out loss after", loss["after"]],
        ["loss of the model's own dances before", kept["before"]],
        ["loss of the model's own dances after, adapter on", kept["after"]],
        ["minutes on two cores, reading the clips included", spent["seconds"] / 60],
        ["most memory, GB", spent["gigabytes"]],
        ["adapter, MB", sum(path.stat().st_size for path in files) / 1e6],
    ]
    rows: list[list[Cell]] = [
        ["real, held out", len(real := real_statistics(own, held_out)), told(classifier, real, name)],
        ["the model before", len(suited), told(classifier, list(map(statistics_of, suited)), name)],
        ["the style, asked for", len(styled), told(classifier, list(map(statistics_of, styled)), name)],
    ]
    genre_rows: list[list[Cell]] = [
        [
            label,
            len(dances),
            told(classifier, list(map(statistics_of, dances)), own_genres),
            float(np.mean([is_same(one, other) for one, other in zip(dances, before, strict=True)])),
        ]
        for label, dances in (
            ("without the adapter", before),
            ("adapter loaded", beside),
            ("adapter loaded and kept on", kept_on),
            ("adapter unloaded", unloaded),
        )
    ]
    return [
        Table("Learning", ["what", "measured"], learning, ""),
        Table("Told as the style", ["dances", "number", "told"], rows, ""),
        Table(
            "The genres of the model",
            ["dances", "number", "told as asked", "the same to the bit"],
            genre_rows,
            f"Genres take turns: {', '.join(genres)}. *Kept on*: as PEFT alone would dance them.",
        ),
    ]


def main(command_line: list[str] | None = None) -> None:
    """Measure the styles, one section each; the others are kept from the last report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curated", type=Path, required=True, help="clip folders of `curate_dances`")
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set that the model learned from")
    parser.add_argument("--songs_dir", type=Path, required=True, help="folder of songs to dance to")
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for the adapters")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    arguments = parser.parse_args(command_line)
    paths = sorted(path for path in arguments.songs_dir.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
    songs = [load_audio(path, SAMPLING_RATE)[: round(SECONDS * SAMPLING_RATE)] for path in paths]
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    options = shown_options(arguments, ["curated", "data_dir", "songs_dir", "work_dir", "output"])
    data = BuiltDataset(arguments.data_dir)
    write_report(
        arguments.output,
        INTRODUCTION,
        {
            name: Section(
                title,
                f"python -m benchmarks.finetuning {options}",
                None,
                partial(measure_style, name, arguments.curated, data, songs, arguments.work_dir),
            )
            for name, title in STYLES.items()
        },
    )


if __name__ == "__main__":
    main()
