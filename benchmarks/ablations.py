"""Train generators that differ in one part, on the same data for the same time, and compare them on held-out dances.

```bash
python -m benchmarks.ablations --data_dir built --songs_dir songs --codec_dir runs/codec \
    --retrieval_dir runs/retrieval --work_dir runs/ablations --model runs/choreollama --output docs/ablations.md
```

Arms that are finished lie in `--work_dir`: a report that was interrupted goes on with them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.stages import load_codec, one_thread
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from infinitedance.modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from infinitedance.training.arguments import LoopArguments, parse_arguments
from infinitedance.training.data_choreollama import ChoreoSampler, ChoreoWindows, MusicChanges
from infinitedance.training.evaluation_choreollama import score_takes
from infinitedance.training.loop import TrainingProgress, build_accelerator, build_optimizer, find_checkpoints, train
from infinitedance.training.references_choreollama import (
    MIN_FRAMES_FOR_ITSELF,
    ReferenceFinder,
    StyleReferences,
    TakeReferences,
)
from infinitedance.training.takes import genre_speeds, load_takes
from infinitedance.training.train_choreollama import ChoreoArguments, build_model, build_references, decays
from infinitedance.utils.atomic import atomic_path
from infinitedance.utils.checkpoints import load_model

from .writer import Section, add_sections_option, chosen_sections, shown_options, write_report

INTRODUCTION = """# Ablations: what each part of the generator brings

Written by `python -m benchmarks.ablations`; not edited by hand. The arms of a section differ in one part. They are
trained by the same recipe on the same data, codes and seed, one after the other for the same time on one thread; an
arm that needs longer for a step takes fewer of them. The minutes are few: these numbers order the parts early in
training, and say little about long trainings. Each arm is trained once: what another seed would change is in none of
the intervals.

Loss: cross entropy in nats of a held-out dance's codes given their past, its music if it has any, its genre, side and
energy; sum over levels, mean over takes. A range in parentheses is a 95 % bootstrap interval over takes; differences
are paired by take. Unseen dances: the test and validation splits, choreographic units that nothing was trained on.
Unseen songs: dances of the model's genres to songs that nothing was trained on; of few takes only large differences
can be seen.
"""
WARMUP_STEPS = 20
"""The recipe's would be most of the steps of the slowest arm."""
CONTINUED_LEARNING_RATE = 3e-4
"""Of arms that start from trained weights, which the recipe's rate would undo."""
BASE_FIELDS = {"code_pattern": "depth", "cutoff_hz": [1.0], "gate": "softmax"}
RANKS = {"rank 1, any genre": 1, "rank 100, any genre": 100}
FOUND_BY_MUSIC = ("retrieved", "pinned", *RANKS)
TESTED = ("style", "own", "random", *FOUND_BY_MUSIC)
CONTRASTS = (("own", "style"), ("style", "random"), ("retrieved", "random"), tuple(RANKS))
_RECORD = "arm.json"

References = TakeReferences | StyleReferences | None


@dataclass(frozen=True)
class Arm:
    """How a generator differs from the base arm.

    Args:
        model: Fields of `ChoreoLlamaConfig`, over those of the recipe and `BASE_FIELDS`.
        references: `reference_choice` in training.
        code_vectors: What enters beside the learned vector of a code: the `"codec"`'s vectors, the `"same"` vector for
            every code, or `"random"` ones.
    """

    model: dict[str, Any] = field(default_factory=dict)
    references: str = "own"
    code_vectors: str = "codec"

    @property
    def tested_with(self) -> str:
        """References in testing: a dance that is held out is not known, so `own` becomes `style`."""
        return "style" if self.references == "own" else self.references


ARMS = {
    "pattern": {
        "depth": Arm(),
        "delay": Arm({"code_pattern": "delay"}),
        "flat": Arm({"code_pattern": "flat"}),
    },
    "codes": {
        "continuous": Arm(),
        "indices": Arm(code_vectors="same"),
        "random vectors": Arm(code_vectors="random"),
    },
    "bands": {
        "two, 1 Hz": Arm(),
        "one": Arm({"cutoff_hz": []}),
        "two, 0.5 Hz": Arm({"cutoff_hz": [0.5]}),
        "two, 2 Hz": Arm({"cutoff_hz": [2.0]}),
        "two, 7.5 Hz": Arm({"cutoff_hz": [7.5]}),
        "four, 0.5, 1, 2 Hz": Arm({"cutoff_hz": [0.5, 1.0, 2.0]}),
        "two, 1 Hz, concatenated, no gate": Arm({"gate": "concat"}),
        "no references, their experts off": Arm(references="none"),
    },
    "references": {
        "own": Arm(),
        "style": Arm(references="style"),
        "random": Arm(references="random"),
        "none": Arm(references="none"),
    },
}
"""Arms by section and name; the first of each section is the base, with which the others are compared."""
SECTIONS = {
    "pattern": (
        "Order in which codes are written",
        "`depth` and `delay` take one step of the backbone a token, `flat` (paper) one a code.",
    ),
    "codes": (
        "Continuous embeddings of codes against indices",
        "Indices: a code enters as its learned vector and that of its level alone, because its codebook vector is "
        "replaced by one that all codes share. Random vectors: it is replaced by a fixed random one of the same "
        "scale, which tells codes apart and says nothing of what they mean.",
    ),
    "bands": (
        "Cadence-MoE: bands, gate, off",
        "Edges of the bands into which references are split; 7.5 Hz is the released code's. All but the last arm are "
        "trained with other passages of the same dance and tested with training dances of the style.",
    ),
    "references": (
        "References",
        "References in training, and in testing but for `own`, which becomes `style`: training dances of the genre, "
        "by the same dancer where there are any.",
    ),
    "gate": (
        "Does the gate follow the movement?",
        "Weight of the slowest band, mean over a take; thirds of the takes by their mean speed. Wanted: a difference "
        "of 0.1 or more.",
    ),
}
"""Title of each section, and the note of its first table."""
USE_NOTE = (
    "Below 0: these references serve it better. `own`: other passages of the held-out dance itself, and `style` where "
    "it is shorter than 30 s; all others are training dances. `retrieved`: the best by the music within the genre. "
    "Without music nothing is found by it."
)


class Ablation:
    """What all arms share: recipe, codec, data, and takes that are encoded once.

    Args:
        arguments: The command line.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.work_dir, self.init_from, self.model_dir = arguments.work_dir, arguments.init_from, arguments.model
        options = {name: getattr(arguments, name) for name in ("config", "data_dir", "codec_dir", "seed", "max_steps")}
        options |= {"max_minutes": arguments.minutes, "warmup_steps": WARMUP_STEPS, "output_dir": self.work_dir}
        command = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.loop, self.recipe = parse_arguments((LoopArguments, ChoreoArguments), command)
        self.data, songs = BuiltDataset(arguments.data_dir), BuiltDataset(arguments.songs_dir)
        self.codec = load_codec(arguments.codec_dir)
        self.encoder = load_model(arguments.retrieval_dir, MusicDanceEncoder)
        self.clips = self.recipe.clips_of_genres(self.data, "train")
        self.genres = sorted({clip.genre for clip in self.clips})
        of_song = [clip for clip in songs.split("test", mirrored=False) if clip.genre in self.genres]
        unseen = [clip for clip in self.data.clips if clip.split != "train" and not clip.is_mirrored]
        unseen = [clip for clip in unseen if clip.genre in self.genres]
        takes_dir, offsets = self.work_dir / "takes", range(self.codec.config.frames_per_token)
        encode = partial(load_takes, codec=self.codec)
        self.takes = encode(
            self.data, self.clips, stretches=self.recipe.stretches, offsets=offsets, cache_dir=takes_dir / "train"
        )
        self.takes_key = json.loads((takes_dir / "train" / "takes.json").read_text(encoding="utf-8"))["key"]
        self.speeds = genre_speeds(self.takes)
        self.held_out = {
            "unseen dances": encode(self.data, unseen, cache_dir=takes_dir / "dances"),
            "unseen songs": encode(songs, of_song, cache_dir=takes_dir / "songs"),
        }
        # `StyleReferences` looks takes up in one data set; an absolute path leads out of its folder.
        folder = songs.folder.resolve()
        self.data.clips += [replace(clip, motion_file=str(folder / clip.motion_file)) for clip in of_song]
        self.references, self.score = cache(self._find_references), cache(self._score_takes)
        self._load = lru_cache(maxsize=1)(load_model)

    def trained(self, arm: Arm, init_from: Path | None = None) -> Path:
        """Train an arm from scratch or from trained weights, unless that is done, and return its folder."""
        fields = json.loads(self.recipe.model) if isinstance(self.recipe.model, str) else self.recipe.model
        recipe = replace(self.recipe, reference_choice=arm.references, model=fields | BASE_FIELDS | arm.model)
        loop, weights = self.loop, None
        if init_from is not None:
            loop = replace(loop, learning_rate=CONTINUED_LEARNING_RATE)
            recipe = replace(recipe, init_from=str(init_from))
            weights = hashlib.sha256((init_from / "model.safetensors").read_bytes()).hexdigest()
        given = asdict(recipe) | asdict(loop) | {"arm": asdict(arm), "takes": self.takes_key, "init_from": weights}
        for name in ("output_dir", "data_dir", "codec_dir"):  # where things lie changes nothing
            del given[name]
        digest = hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
        folder = self.work_dir / "arms" / digest[:12]
        if not (folder / _RECORD).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            progress = self._train(replace(loop, output_dir=str(folder)), recipe, arm.code_vectors)
            for checkpoint in find_checkpoints(folder):
                shutil.rmtree(checkpoint)
            with atomic_path(folder / _RECORD) as partial_path:
                partial_path.write_text(json.dumps(given | asdict(progress), indent=1) + "\n", encoding="utf-8")
        return folder

    def _train(self, loop: LoopArguments, recipe: ChoreoArguments, code_vectors: str) -> TrainingProgress:
        """Train as `train_choreollama` does."""
        accelerator = build_accelerator(loop, find_unused_parameters=True)
        model = build_model(recipe, self.codec, self.genres)
        shape = model.model.codebook_vectors.shape
        if code_vectors == "same":
            model.set_codebooks(torch.ones(shape))
        elif code_vectors == "random":
            model.set_codebooks(torch.randn(shape, generator=torch.Generator().manual_seed(loop.seed)))
        sampler = ChoreoSampler(
            ChoreoWindows(self.takes, model.config, build_references(recipe, self.data, self.takes)),
            batch_size=loop.batch_size,
            genre_balance=recipe.genre_balance,
            group_share=recipe.natural_share,
            in_group=[take.stretch == 1.0 for take in self.takes],
            seed=(loop.seed, 0),
            changes=MusicChanges(recipe.foreign_spectra_share, recipe.equalizer_spread, recipe.moved_bar_share),
        )
        return train(
            accelerator,
            model,
            build_optimizer(model, loop, decays),
            loop,
            make_batch=lambda index: sampler(index) | {"num_context_tokens": model.config.context_tokens},
            before_step=lambda fraction: None,
            evaluate=lambda trained: {},
        )

    def _find_references(self, group: str, choice: str) -> References:
        """Return the references of held-out takes: `"none"`, or one of `TESTED`."""
        takes, count = self.held_out[group], self.recipe.num_references
        if choice == "none":
            return None
        if choice in FOUND_BY_MUSIC:
            finder = ReferenceFinder(self.data, self.encoder, count, "retrieved" if choice in RANKS else choice)
            return ranked_references(finder, takes, RANKS[choice]) if choice in RANKS else finder(takes)
        found = StyleReferences(self.data, self.clips, takes, count, "style" if choice == "own" else choice)
        clip_of = {clip.clip_id: clip for clip in self.data.clips}
        for take, index in zip(takes, found.group_of_take, strict=True):
            if choice == "own" and clip_of[take.clip_id].num_frames >= MIN_FRAMES_FOR_ITSELF:
                found.groups[index] = [len(found.clips)]
                found.clips.append(clip_of[take.clip_id])
        return found

    def _score_takes(
        self, folder: Path, group: str, choice: str, genre_told: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the loss of the takes, sum over levels, `(takes,)`, and their mean gate, `(takes, num_bands)`."""
        model = self._load(folder, ChoreoLlamaForConditionalGeneration)
        if model.codec is None or not torch.equal(model.codec.codebooks, self.codec.codebooks):
            raise ValueError(f"The model in {folder} must carry the codec whose codes are scored, `--codec_dir`.")
        references = self.references(group, choice)
        windows = ChoreoWindows(self.held_out[group], model.config, references, self.speeds)
        if not genre_told:
            windows.genre_ids = {}  # every genre is "any"
        with torch.inference_mode():
            losses, gate = score_takes(model, windows)
        return losses.sum(axis=1), gate

    def tables(self, section: str) -> list[Table]:
        """Train and measure a section."""
        if section == "gate":
            return [gate_table(self, self.model_dir or self.trained(Arm()))]
        tables = [arms_table(self, section)]
        if section == "references":
            base = self.trained(Arm(), self.init_from)
            tables.append(use_table(self, base, "The arm trained with own references, tested with others"))
            if self.model_dir is not None:
                tables.append(use_table(self, self.model_dir, f"{self.model_dir.name}, tested with others"))
        return tables


def ranked_references(finder: ReferenceFinder, takes: Sequence[Any], rank: int) -> TakeReferences:
    """Return the references of takes from a rank on, by the music, among all windows of dances of any genre.

    Raises:
        ValueError: If the library has too few windows.
    """
    found, last = [], rank + finder.num_references - 1
    for take in takes:
        windows = finder.index.query(take.music, last, exclude_song_id=take.song_id, windows_per_song=None)
        if len(windows[0].hits) < last:
            raise ValueError(f"Rank {last} needs as many windows in the library, got {len(windows[0].hits)}.")
        found.append([replace(window, hits=window.hits[rank - 1 :]) for window in windows])
    return TakeReferences(finder.library, found, finder.num_references)


def arms_table(ablation: Ablation, section: str) -> Table:
    """Train the arms of a section and compare their losses with the base arm's, paired by take."""
    init_from = ablation.init_from if section == "references" else None
    arms, note = ARMS[section], SECTIONS[section][1]
    if init_from is not None:
        note += f" All arms continue from the weights of {init_from.name}."
    folders = {name: ablation.trained(arm, init_from) for name, arm in arms.items()}
    rows: list[list[Cell]] = [
        [name, json.loads((folder / _RECORD).read_text(encoding="utf-8"))["step"]] for name, folder in folders.items()
    ]
    columns = ["arm", "steps"]
    for group in ablation.held_out:
        losses = [ablation.score(folders[name], group, arm.tested_with)[0] for name, arm in arms.items()]
        columns += [f"loss, {group}", f"more than {next(iter(arms))} by"]
        for row, of_arm in zip(rows, losses, strict=True):
            row += [mean_with_interval(of_arm), None if row is rows[0] else paired(of_arm, losses[0])]
    return Table("Loss of the arms", columns, rows, note)


def paired(losses: np.ndarray, others: np.ndarray) -> list[float]:
    """Return by how much losses are higher than others of the same takes, with its interval over takes."""
    return mean_with_interval(losses - others)


def use_table(ablation: Ablation, folder: Path, title: str) -> Table:
    """Show what one generator loses or gains by other references than none, and by some than others."""
    pairs = [*((choice, "none") for choice in TESTED), *CONTRASTS]
    rows: list[list[Cell]] = [["none: the loss itself"]]
    rows += [[f"{one}, more than {other} by"] for one, other in pairs]
    columns = ["references"]
    for group, takes in ablation.held_out.items():
        for genre_told in (True, False):
            columns.append(group if genre_told else f"{group}, genre not told")
            rows[0].append(mean_with_interval(ablation.score(folder, group, "none", genre_told)[0]))
            for row, pair in zip(rows[1:], pairs, strict=True):
                if set(pair) & set(FOUND_BY_MUSIC) and not all(take.has_spectra for take in takes):
                    row.append(None)
                else:
                    row.append(paired(*(ablation.score(folder, group, choice, genre_told)[0] for choice in pair)))
    return Table(title, columns, rows, USE_NOTE)


def gate_table(ablation: Ablation, folder: Path) -> Table:
    """Compare the slow share of the gate between the slowest and the fastest third of the takes.

    Raises:
        ValueError: If the model has no gate over several bands.
    """
    rows: list[list[Cell]] = []
    for group, takes in ablation.held_out.items():
        gate = ablation.score(folder, group, "style")[1]
        if gate is None or gate.shape[1] < 2:
            raise ValueError(f"The model in {folder} must have a gate and several bands.")
        speeds = np.array([take.speed.mean() for take in takes if take.speed is not None])
        rows.append([group, len(takes), *shares_of_thirds(gate[:, 0], speeds)])
    columns = ["dances", "takes", "slowest third", "fastest third", "difference"]
    return Table("Slow share of the gate", columns, rows, SECTIONS["gate"][1])


def shares_of_thirds(shares: np.ndarray, speeds: np.ndarray) -> list[list[float]]:
    """Return the mean share of the slowest and of the fastest third, and how much more the slowest has."""
    order, third = np.argsort(speeds, kind="stable"), max(1, len(speeds) // 3)
    slow, fast = shares[order[:third]], shares[order[-third:]]
    draws = np.random.default_rng(0).integers(third, size=(2, 2000, third))
    ends = np.quantile(slow[draws[0]].mean(axis=1) - fast[draws[1]].mean(axis=1), [0.025, 0.975])
    return [mean_with_interval(slow), mean_with_interval(fast), [float(slow.mean() - fast.mean()), *ends.tolist()]]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="built data set; test and validation are held out"
    )
    parser.add_argument("--songs_dir", type=Path, required=True, help="built data set; its test split: unseen songs")
    parser.add_argument("--codec_dir", type=Path, required=True, help="trained motion codec")
    parser.add_argument("--retrieval_dir", type=Path, required=True, help="encoder, from `train_retrieval`")
    parser.add_argument("--work_dir", type=Path, required=True, help="folder of encoded takes and finished arms")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file; numbers go to a .json beside it")
    parser.add_argument("--model", type=Path, help="trained generator to test as well; its gate instead of the base's")
    parser.add_argument("--init_from", type=Path, help="trained generator that the arms of `references` continue")
    recipe = Path("training/configs/choreollama.yaml")
    parser.add_argument("--config", type=Path, default=recipe, help="recipe (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=4.0, help="minutes of training an arm (default: 4)")
    parser.add_argument("--max_steps", type=int, default=20_000, help="steps, if that is sooner (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and windows (default: 0)")
    add_sections_option(parser, SECTIONS)
    return parser


def main(command_line: list[str] | None = None) -> None:
    """Train all arms and write the report."""
    parser = build_parser()
    arguments = parser.parse_args(command_line)
    chosen = chosen_sections(parser, arguments, SECTIONS)
    folders = ["data_dir", "songs_dir", "codec_dir", "retrieval_dir", "work_dir", "output"]
    folders += [name for name in ("model", "init_from") if getattr(arguments, name) is not None]
    command = f"python -m benchmarks.ablations {shown_options(arguments, folders)} --minutes {arguments.minutes:g} "
    command += f"--seed {arguments.seed} --sections "
    with one_thread():
        ablation = Ablation(arguments)
        sections = {
            name: Section(
                title, command + name, arguments.model if name == "gate" else None, partial(ablation.tables, name)
            )
            for name, (title, _) in SECTIONS.items()
        }
        write_report(arguments.output, INTRODUCTION, sections, chosen)


if __name__ == "__main__":
    main()
