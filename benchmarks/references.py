"""Compare generators that were trained with references, with other references, and without.

```bash
python -m benchmarks.references --data_dir built \
    --retrieval_dir runs/retrieval --arms none=runs/none random=runs/random retrieved=runs/retrieved \
    pinned=runs/pinned --output docs/references.md
```
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.measures import measure_memory, measure_music, training_poses
from infinitedance.evaluation.metrics.distribution import mean_pairwise_distance, normalize_by_reference
from infinitedance.evaluation.metrics.memory import CodeLibrary
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.evaluation.sets import FeatureKey, clip_set
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.evaluation_choreollama import evaluate_choreollama
from infinitedance.training.references_choreollama import REFERENCE_CHOICES, ReferenceFinder, TakeReferences
from infinitedance.training.takes import DanceTake, load_takes
from infinitedance.utils.checkpoints import load_model

from .held_out import CodedDance, GenerationRequest, ReportData
from .metrics.baselines import Baselines
from .metrics.report import WINDOW_SECONDS, frechet_cell, measure_distance
from .writer import Section, write_report

NONE = "none"
CHOICES = (NONE, *REFERENCE_CHOICES)
DISTANCES: tuple[FeatureKey, ...] = (("k", "corrected"), ("m", "corrected"))
INTRODUCTION = """# Do references help?

Written by `python -m benchmarks.references`; not edited by hand. Generators that start from the
same weights are trained for the same number of steps with the same seed: without references, with random ones, with
those that the music retrieves among dances of the genre, and with dances of the genre that are pinned for a whole
song. All are measured on the songs of the test split, which neither generators nor encoder have seen, with references
from the training dances. A range in parentheses is a 95 % bootstrap interval over songs; with five songs only large
differences can be seen.
"""


class Arm:
    """Generator, and the references that it was trained with.

    Args:
        name: `"none"`, or a choice of `ReferenceFinder`.
        data: Its model and the held-out songs.
        finder_options: Built data set, encoder and number of references for the finder.
    """

    def __init__(self, name: str, data: ReportData, finder_options: tuple[BuiltDataset, MusicDanceEncoder, int]):
        self.name, self.data = name, data
        self.finder_options = finder_options

    def references(self, takes: Sequence[DanceTake], choice: str) -> TakeReferences | None:
        """Find the references of takes by a choice; `None` for none."""
        return None if choice == NONE else ReferenceFinder(*self.finder_options, choice)(takes)

    def losses(self, choice: str) -> np.ndarray:
        """Return the loss of the real dances' codes with references by some choice, `(songs, levels)`."""
        clips = self.data.clips.split("test", mirrored=False)
        takes = load_takes(self.data.clips, clips, self.data.codec)
        windows = ChoreoWindows(takes, self.data.model.config, self.references(takes, choice))
        return evaluate_choreollama(self.data.model, windows)["right"]

    def dances(self) -> tuple[TakeReferences | None, list[Sequence[CodedDance]]]:
        """Dance to the songs: the references of this arm, and for each song the dance of each seed."""
        songs = self.data.songs
        takes = [DanceTake(song.clip.song_id, song.clip.genre, song.music[: song.num_frames], []) for song in songs]
        found = self.references(takes, self.name)
        requests: list[GenerationRequest] = []
        for index, request in enumerate(self.data.requests()):
            song = index // len(self.data.seeds)
            references = None if found is None else found.cut(song, 0, len(request.music))
            requests.append(replace(request, references=references))
        return found, self.data.by_song(self.data.generate(requests))


def loss_table(arms: Sequence[Arm]) -> Table:
    """Compare held-out losses, each generator with the references that it was trained with."""
    rows: list[list[Cell]] = []
    for arm in arms:
        losses = arm.losses(arm.name)
        rows.append([arm.name, *map(mean_with_interval, losses.T), mean_with_interval(losses.sum(axis=1))])
    levels = [f"level {level}" for level in range(arms[0].data.model.config.num_quantizers)]
    note = "Cross entropy in nats of the real dances' codes, given their past and the right song."
    return Table("Loss, trained and tested with the same references", ["references", *levels, "sum"], rows, note)


def use_table(arm: Arm) -> Table:
    """Show whether one generator uses its references: its loss with those and with others."""
    own = arm.losses(arm.name).sum(axis=1)
    rows: list[list[Cell]] = [
        [choice, mean_with_interval(arm.losses(choice).sum(axis=1) - own)] for choice in CHOICES if choice != arm.name
    ]
    note = "Sum over levels, paired by song. Above 0: the generator uses its references, and these serve it less."
    return Table(
        f"The generator trained with {arm.name} references, tested with others",
        ["references", "loss: more by"],
        rows,
        note,
    )


def dance_tables(arms: Sequence[Arm]) -> list[Table]:
    """Compare generated dances: distances, music, diversity and copying, beside the real ones."""
    data = arms[0].data
    baselines = Baselines(data)
    clips = [clip for clip in data.training_clips if not clip.is_mirrored]
    poses = training_poses({clip.clip_id: baselines.positions(clip) for clip in data.training_clips})
    takes = load_takes(data.clips, clips, data.codec, offsets=range(data.codec.config.frames_per_token))
    codes = {
        f"{clip.clip_id}/{offset}": of_offset
        for clip, take in zip(clips, takes, strict=True)
        for offset, of_offset in enumerate(take.codes)
    }
    library = CodeLibrary(codes)
    real = [song.real for song in data.songs]
    names = [song.clip.clip_id for song in data.songs]
    reference = clip_set([dance.positions for dance in real], names, WINDOW_SECONDS)
    rows = [_dance_row("real dances", [[dance] for dance in real], baselines, reference, poses, library)]
    copied = [["real dances", *_runs([[dance] for dance in real], library), None]]
    for arm in arms:
        found, by_song = arm.dances()
        rows.append(_dance_row(arm.name, by_song, baselines, reference, poses, library))
        copied.append([arm.name, *_runs(by_song, library), _reference_run(found, by_song, codes)])
    columns = [
        "references",
        "FID_k",
        "FID_m",
        "Div_k",
        "pulse lock",
        "beat alignment beyond chance",
        "beat F1 beyond chance",
    ]
    columns += ["distance from training, mm", "copied seconds"]
    note = (
        f"FID in corrected mode against the real test dances, windows of {WINDOW_SECONDS:g} s, at equal sizes and "
        "with songs kept apart; far: above the range of its floor, which stands in the row of the real dances. Div_k: "
        "mean distance between windows, in deviations of the real ones; more is not better. The rest: docs/metrics.md."
    )
    copy_note = (
        "Tokens (0.13 s each) whose codes agree at all levels with a piece of a training dance, at any frame offset. "
        "The row of the real dances is what two real dances of different songs share. Last: the same with the "
        "references that led the dance only."
    )
    return [
        Table("Dances, trained and generated with the same references", columns, rows, note),
        Table(
            "Runs of codes shared with training dances",
            [
                "references",
                "longest run, tokens",
                "seconds in runs of 8 tokens",
                "longest run shared with its references",
            ],
            copied,
            copy_note,
        ),
    ]


def arm_tables(arms: Sequence[Arm]) -> list[Table]:
    """Compare generators by their losses, by their use of references, and by their dances."""
    return [loss_table(arms), *(use_table(arm) for arm in arms if arm.name == "retrieved"), *dance_tables(arms)]


def _dance_row(
    name: str,
    by_song: Sequence[Sequence[CodedDance]],
    baselines: Baselines,
    reference: Any,
    poses: dict[str, np.ndarray],
    library: CodeLibrary,
) -> list[Cell]:
    songs = baselines.songs
    takes = [
        baselines.system(name, [[dances[seed].motion for dances in by_song]]).takes[0]
        for seed in range(len(by_song[0]))
    ]
    sets = [clip_set([d.positions for d in take], [d.name for d in take], WINDOW_SECONDS) for take in takes]
    cells: list[Cell] = []
    for key in DISTANCES:
        results = [measure_distance(each, reference, key) for each in sets]
        floor = results[0].floor
        cells.append([floor.value, *floor.interval] if name == "real dances" else frechet_cell(results))
    real = reference.features[DISTANCES[0]]
    varies = real.std(axis=0) > 0
    scaled = [normalize_by_reference(each.features[DISTANCES[0]][:, varies], real[:, varies])[0] for each in sets]
    cells.append(float(np.mean(list(map(mean_pairwise_distance, scaled)))))
    measured: list[dict[str, float]] = []
    for index in range(len(songs)):
        values = [measure_music(take[index], songs) | measure_memory(take[index].positions, poses) for take in takes]
        measured.append({metric: float(np.mean([each[metric] for each in values])) for metric in values[0]})
    for metric in ("pulse_lock", "alignment_music_excess", "beat_f1_excess", "nearest_training", "copied"):
        cells.append(mean_with_interval([values[metric] for values in measured]))
    return [name, *cells]


def _runs(by_song: Sequence[Sequence[CodedDance]], library: CodeLibrary) -> list[Cell]:
    runs = [library.shared_runs(dance.codes) for dances in by_song for dance in dances]
    return [max(run.longest for run in runs), float(np.mean([run.copied_share(8) for run in runs]))]


def _reference_run(
    found: TakeReferences | None, by_song: Sequence[Sequence[CodedDance]], codes: dict[str, np.ndarray]
) -> Cell:
    """Return the longest run of codes that a dance shares with a dance that led it."""
    if found is None:
        return None
    longest = 0
    for windows, dances in zip(found.windows, by_song, strict=True):
        clip_ids = {hit.clip_id for window in windows for hit in window.hits}
        library = CodeLibrary(
            {name: of_clip for name, of_clip in codes.items() if name.rpartition("/")[0] in clip_ids}
        )
        longest = max(longest, *(library.shared_runs(dance.codes).longest for dance in dances))
    return longest


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="built data set; its test split is measured on")
    parser.add_argument("--retrieval_dir", type=Path, required=True, help="encoder, from `train_retrieval`")
    parser.add_argument(
        "--arms", nargs="+", required=True, metavar="CHOICE=MODEL", help=f"generators, each by {', '.join(CHOICES)}"
    )
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--num_references", type=int, default=2, help="references at any moment (default: 2)")
    parser.add_argument("--num_seeds", type=int, default=3, help="dances for each song (default: 3)")
    parser.add_argument("--max_seconds", type=float, default=40.0, help="songs are cut to this length (default: 40)")
    return parser


def main(command_line: list[str] | None = None) -> None:
    """Measure all arms and write the report."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    models = dict(arm.partition("=")[::2] for arm in arguments.arms)
    if not set(models) <= set(CHOICES) or not all(models.values()):
        parser.error(f"--arms must be CHOICE=MODEL with {', '.join(CHOICES)}, got {' '.join(arguments.arms)}")
    encoder = load_model(arguments.retrieval_dir, MusicDanceEncoder)
    options = (BuiltDataset(arguments.data_dir), encoder, arguments.num_references)
    settings = {"num_seeds": arguments.num_seeds, "max_seconds": arguments.max_seconds}
    arms = [
        Arm(name, ReportData(model, arguments.data_dir, **settings), options)
        for name, model in tqdm(models.items(), desc="models")
    ]
    shown = " ".join(f"{name}={Path(model).name}" for name, model in models.items())
    command = (
        f"python -m benchmarks.references --data_dir {arguments.data_dir.name} "
        f"--retrieval_dir {arguments.retrieval_dir.name} --arms {shown} --output "
        f"{arguments.output.name} --num_seeds {arguments.num_seeds} --max_seconds {arguments.max_seconds:g}"
    )
    section = Section("Ablation", command, Path(models[arms[-1].name]), partial(arm_tables, arms))
    write_report(arguments.output, INTRODUCTION, {"arms": section})


if __name__ == "__main__":
    main()
