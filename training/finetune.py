"""Learn a style from a few minutes of clips: a LoRA adapter of a trained generator, made by PEFT.

```bash
accelerate launch --num_cpu_threads_per_process 2 -m infinitedance.training.finetune \
    --config training/configs/finetune.yaml --data_dir built --name my-style --output_dir my-style
```

`infinitedance finetune` builds the data set, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..assets import MODELS
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip, manifest_sha256
from ..dataset_builder.splits import TRAIN
from ..modeling.choreollama.adapters_choreollama import ADAPTER_RECORD_FILE
from ..modeling.choreollama.configuration_choreollama import LORA_TARGETS, MAX_ADDED_GENRES
from ..motion.motion import FRAME_RATE
from ..pipeline import MusicToDancePipeline
from ..tokenization.processing_choreollama import ChoreoLlamaProcessor
from ..utils.atomic import atomic_path
from ..utils.checkpoints import read_json_object, weights_sha256
from ..utils.extras import require_extra
from ..utils.mappings import read_mapping
from .arguments import LoopArguments, parse_arguments
from .base_dances import base_dances
from .data_choreollama import ChoreoSampler, ChoreoWindows, MusicChanges
from .data_retrieval import paired_clips
from .evaluation_choreollama import describe_step, score_takes
from .evaluation_motion_codec import evaluate_codec
from .loop import build_accelerator, build_optimizer, train, write_run_record
from .references_choreollama import MIN_REFERENCE_FRAMES, AdapterReferences, StyleReferences
from .takes import DanceTake, genre_speeds, load_takes

RECIPE = Path(__file__).parent / "configs" / "finetune.yaml"
MAX_NAME_LETTERS = 60
MIN_MINUTES = 1.0
"""Of what is trained on; ten are better."""
HELD_OUT_SHARE, MIN_SONGS_TO_HOLD_OUT = 0.1, 3
FINE_MM, TOO_FAR_MM = 45.0, 70.0
"""Joint error of the codec up to which clips are told well, and from which on they are not themselves any more."""
MAX_FIT_CLIPS = 20
HELD_OUT_BASE_DANCES = 30
_WINDOWS_OF_A_BASE_DANCE = 2
"""How often each is learned from; a few that come again and again would be learned by heart."""


@dataclass(kw_only=True)
class FinetuneArguments:
    """What is learned, and of which model."""

    data_dir: str = field(metadata={"help": "Built data set, from `infinitedance build`."})
    name: str = field(metadata={"help": "Name of the style: what is asked for as the genre."})
    base_model: str = field(
        default="open", metadata={"help": "Generator to adapt: `open`, `research`, a folder or a Hub name."}
    )
    keep_genres: bool = field(
        default=False, metadata={"help": "Learn each clip as the genre that it has, in the place of all as `name`."}
    )
    stated_license: str = field(default="", metadata={"help": "Terms of the clips, where they state none."})
    rank: int = field(default=16, metadata={"help": "Rank of the adapter."})
    base_share: float = field(
        default=0.5, metadata={"help": "Share of training that keeps the genres of the base model as they are."}
    )
    stretches: list[float] = field(
        default_factory=lambda: [0.9, 1.0, 1.1], metadata={"help": "Speeds at which clips are used, 1 = natural."}
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_name(self.name)
        if not 0 <= self.base_share < 1:
            raise ValueError(f"`base_share` must lie in [0, 1), got {self.base_share}.")
        if self.rank < 1:
            raise ValueError(f"`rank` must be at least 1, got {self.rank}.")
        if 1.0 not in self.stretches or min(self.stretches) <= 0:
            raise ValueError(f"`stretches` must be positive and hold 1.0, got {self.stretches}.")


@dataclass(frozen=True)
class CodecFit:
    """How well the codec of a model tells some clips.

    Args:
        joint_error_mm: Mean distance of the joints, encoded and decoded, with hips and heading laid on each other.
        verdict: What that means, and what to do.
    """

    joint_error_mm: float
    verdict: str


def check_name(name: str, taken: Collection[str] = ()) -> None:
    """Raise `ValueError` unless a style can be called so, and `taken`, the genres of a model, leaves the name free."""
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME_LETTERS:
        raise ValueError(
            f"A style needs a name of 1 to {MAX_NAME_LETTERS} letters that can be printed, without blanks around it, "
            f"got {name!r}."
        )
    if name.casefold() == "any":
        raise ValueError(f"{name!r} asks for any genre: give the style a name of its own.")
    if name in taken:
        raise ValueError(f"The model dances {name} already: give the style a name of its own.")


def hold_out(clips: Sequence[BuiltClip]) -> tuple[list[BuiltClip], list[BuiltClip]]:
    """Divide clips into those to learn from, with their mirrored copies, and those held out, without.

    Clips that a build holds out stay so; where there are none, every tenth song is, and at least one of three.
    """
    held_out = {clip.song_id for clip in clips if clip.split != TRAIN}
    songs = sorted({clip.song_id for clip in clips})
    if not held_out and len(songs) >= MIN_SONGS_TO_HOLD_OUT:
        count = max(1, round(HELD_OUT_SHARE * len(songs)))
        held_out = {songs[(2 * index + 1) * len(songs) // (2 * count)] for index in range(count)}
    return (
        [clip for clip in clips if clip.song_id not in held_out],
        [clip for clip in clips if clip.song_id in held_out and not clip.is_mirrored],
    )


def measure_fit(data: BuiltDataset, clips: Sequence[BuiltClip], pipeline: MusicToDancePipeline) -> CodecFit:
    """Encode and decode clips, at most `MAX_FIT_CLIPS` of them, and judge what is left of them."""
    natural = [clip for clip in clips if not clip.is_mirrored]
    chosen = natural[:: -(-len(natural) // MAX_FIT_CLIPS)]
    features = ((clip.genre, torch.from_numpy(np.array(data.motion_features(clip)))) for clip in chosen)
    error = evaluate_codec(pipeline.tokenizer.model, features)["all"]["mpjpe_mm"]
    assert isinstance(error, float)
    if error <= FINE_MM:
        verdict = "fine"
    elif error <= TOO_FAR_MM:
        verdict = "usable: quick hands and feet are blunted"
    else:
        verdict = (
            "too far: the codec of this model cannot tell these dances. Look at them with `infinitedance sheet`: do "
            "they stand upright, and are they as fast as they should be? If so, train a codec on dances like them "
            "(docs/model.md)"
        )
    return CodecFit(round(error, 1), verdict)


def read_recipe() -> dict[str, Any]:
    """Return the shipped recipe, `configs/finetune.yaml`, as arguments of `LoopArguments`."""
    return dict(read_mapping(RECIPE, extra="train"))


def finetune(
    arguments: LoopArguments, style: FinetuneArguments, adapter_dir: str | os.PathLike | None = None
) -> dict[str, Any]:
    """Train an adapter and measure it.

    Args:
        arguments: The run.
        style: What is learned.
        adapter_dir: Folder for the finished adapter; `output_dir` of the run by default.

    Returns:
        What `finetune.json` holds beside the adapter.

    Raises:
        ImportError: If PEFT is missing.
        ValueError: If there is too little to learn from, the codec cannot tell the clips, or the names are taken.
    """
    require_extra("peft", "train", "Fine-tuning")
    from peft import LoraConfig

    data = BuiltDataset(style.data_dir)
    pipeline = MusicToDancePipeline.from_pretrained(style.base_model)
    model, output_dir = pipeline.model, Path(arguments.output_dir)
    assert pipeline.folder is not None  # `from_pretrained` sets it
    adapter_dir = output_dir if adapter_dir is None else Path(adapter_dir)
    run = asdict(arguments) | asdict(style) | {"clips": manifest_sha256(data.folder)}
    if arguments.resume:
        _check_same_run(output_dir, run)
    clips, held_out_clips = hold_out(data.clips)
    added = added_genres(style, clips, pipeline.processor)
    rows = pipeline.processor.added_genres | added
    check_amount(clips, held_out_clips)
    fit = measure_fit(data, [*clips, *held_out_clips], pipeline)
    accelerator = build_accelerator(arguments, find_unused_parameters=True)
    accelerator.print(f"The codec tells these clips within {fit.joint_error_mm:.0f} mm: {fit.verdict}.", flush=True)
    if fit.joint_error_mm > TOO_FAR_MM:
        raise ValueError(f"{style.data_dir}: joint error {fit.joint_error_mm} mm, {fit.verdict}.")

    if accelerator.is_main_process:
        write_run_record(output_dir, run)
    with accelerator.main_process_first():  # which writes the takes
        takes = _load(data, clips, pipeline, style, output_dir / "takes" / TRAIN, range(model.config.frames_per_token))
        held_out = _load(data, held_out_clips, pipeline, style, output_dir / "takes" / "held_out")
    # The unconditional model and any genre are kept by the dances of the base.
    model.config.condition_dropout = model.config.genre_dropout = 0.0
    speeds = genre_speeds(takes)
    windows = _training_windows(data, clips, takes, pipeline, style, arguments, rows)
    measured = {
        "held_out": ChoreoWindows(held_out, model.config, None, speeds, rows),
        "base_genres": _base_windows(pipeline, takes, HELD_OUT_BASE_DANCES, arguments.seed + 1),
    }
    before = _losses(model, measured)
    nearest = _nearest_genre(model, held_out, speeds) if held_out and model.config.genres else None

    model.add_adapter(
        LoraConfig(task_type="CAUSAL_LM", r=style.rank, lora_alpha=2 * style.rank, target_modules=list(LORA_TARGETS))
    )
    sampler = ChoreoSampler(
        windows,
        batch_size=arguments.batch_size,
        genre_balance=1.0,
        group_share=1 - style.base_share,
        in_group=[index < len(takes) for index in range(len(windows.takes))],
        seed=(arguments.seed, accelerator.process_index),
        changes=MusicChanges(moved_bar_share=0.1),
    )
    progress = train(
        accelerator,
        model,
        build_optimizer(model, arguments),
        arguments,
        make_batch=lambda index: sampler(index) | {"num_context_tokens": model.config.context_tokens},
        before_step=lambda fraction: None,
        evaluate=lambda trained: _losses(trained, measured),
        describe=describe_step,
    )
    after = _losses(model.eval(), measured)
    loss = {name: {"before": before[name], "after": after[name]} for name in before}
    record = {
        "name": style.name,
        "genres": sorted({take.genre for take in takes}),
        "base_model": style.base_model if style.base_model in MODELS else pipeline.name,
        "base_sha256": weights_sha256(pipeline.folder),
        "base_license": pipeline.license,
        "license": style.stated_license or None,
        **_amounts(clips, held_out_clips),
        "codec_fit": asdict(fit),
        "held_out_loss": {**loss["held_out"], "nearest_genre_before": nearest} if held_out else None,
        "base_genre_loss": loss["base_genres"],
        "steps": progress.step,
        "seconds": round(progress.elapsed_seconds),
        "num_parameters": sum(value.numel() for value in model.get_adapter_state_dict().values()),
        "sources": _sources(clips, style.stated_license),
    }
    if accelerator.is_main_process:
        _save(adapter_dir, pipeline, added, record)
    return record


def _training_windows(
    data: BuiltDataset,
    clips: Sequence[BuiltClip],
    takes: Sequence[DanceTake],
    pipeline: MusicToDancePipeline,
    style: FinetuneArguments,
    arguments: LoopArguments,
    rows: dict[str, int],
) -> ChoreoWindows:
    """Return windows of the takes, and after them of the base's own dances, but for genres that are learned anew."""
    config = pipeline.model.config
    num_dances = round(style.base_share * arguments.max_steps * arguments.batch_size / _WINDOWS_OF_A_BASE_DANCE)
    kept, kept_references = base_dances(
        pipeline, takes, num_dances, arguments.seed, left_out={take.genre for take in takes}
    )
    references = None
    if config.max_references:
        is_long_enough = any(clip.num_frames >= MIN_REFERENCE_FRAMES for clip in clips)
        own = StyleReferences(data, clips, takes, 1, "own") if is_long_enough else None
        references = AdapterReferences(own, len(takes), kept_references, 1)
    return ChoreoWindows([*takes, *kept], config, references, genre_speeds(takes), rows)


def _base_windows(
    pipeline: MusicToDancePipeline, takes: Sequence[DanceTake], num_dances: int, seed: int
) -> ChoreoWindows:
    """Return windows of further dances of the base."""
    config = pipeline.model.config
    dances, references = base_dances(pipeline, takes, num_dances, seed, left_out={take.genre for take in takes})
    kept = AdapterReferences(None, 0, references, 1) if config.max_references else None
    return ChoreoWindows(dances, config, kept, added_genres=pipeline.processor.added_genres)


def _save(folder: Path, pipeline: MusicToDancePipeline, added: dict[str, int], record: dict[str, Any]) -> None:
    """Write the adapter, the names of its genres, and last the record of its making."""
    processor = pipeline.processor
    ChoreoLlamaProcessor(
        processor.feature_extractor, processor.genres, processor.frames_per_token, added
    ).save_pretrained(folder)
    pipeline.model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()  # it is the base's
    with atomic_path(folder / ADAPTER_RECORD_FILE) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _check_same_run(output_dir: Path, run: dict[str, Any]) -> None:
    """Raise `ValueError` if a run was begun with other arguments or clips."""
    begun = read_json_object(output_dir / "run.json").get("arguments", {})
    changed = sorted(name for name in run if name != "resume" and begun.get(name) != run[name])
    if changed:
        raise ValueError(
            f"{output_dir} was begun with another {', '.join(changed)}: finish it as it was begun, or give another "
            "folder."
        )


def added_genres(
    style: FinetuneArguments, clips: Sequence[BuiltClip], processor: ChoreoLlamaProcessor
) -> dict[str, int]:
    """Return the genres that an adapter adds to those of a model, and their rows.

    Raises:
        ValueError: If a name is taken, or there are too many.
    """
    names = sorted({clip.genre for clip in clips}) if style.keep_genres else [style.name]
    if not style.keep_genres:
        check_name(style.name, [*processor.genres, *processor.added_genres])
    new = [name for name in names if name not in processor.genres and name not in processor.added_genres]
    for name in new:
        check_name(name)
    first = 1 + max(processor.added_genres.values(), default=-1)
    if first + len(new) > MAX_ADDED_GENRES:
        raise ValueError(f"A model takes {MAX_ADDED_GENRES} added genres, got {first + len(new)}.")
    return {name: first + index for index, name in enumerate(new)}


def check_amount(clips: Sequence[BuiltClip], held_out: Sequence[BuiltClip] = ()) -> None:
    """Raise `ValueError` unless there is enough to learn from, beside what is held out."""
    minutes = _minutes(clips)
    if minutes < MIN_MINUTES:
        others = f", beside {_minutes(held_out):.1f} that are held out (column `split`)" if held_out else ""
        raise ValueError(
            f"There are {minutes:.1f} minutes of dance to learn from{others}: give at least {MIN_MINUTES:g}; ten are "
            "better."
        )
    if not paired_clips(clips):
        raise ValueError(
            "None of the clips has music, and none has a pulse that is clear enough to count: put the song of each "
            "file beside it, under its name, or list the beats (docs/data_format.md)."
        )


def _minutes(clips: Sequence[BuiltClip]) -> float:
    return sum(clip.num_frames for clip in clips if not clip.is_mirrored) / FRAME_RATE / 60


def _amounts(clips: Sequence[BuiltClip], held_out: Sequence[BuiltClip]) -> dict[str, Any]:
    return {
        "num_clips": sum(not clip.is_mirrored for clip in clips),
        "minutes": round(_minutes(clips), 2),
        "held_out_clips": len(held_out),
        "held_out_minutes": round(_minutes(held_out), 2),
    }


def _sources(clips: Sequence[BuiltClip], stated: str) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[BuiltClip]] = {}
    for clip in clips:
        groups.setdefault((clip.source, clip.license or stated), []).append(clip)
    return [
        {"source": source, "license": license, "minutes": round(_minutes(members), 2)}
        for (source, license), members in sorted(groups.items())
    ]


def _load(
    data: BuiltDataset,
    clips: Sequence[BuiltClip],
    pipeline: MusicToDancePipeline,
    style: FinetuneArguments,
    cache_dir: Path,
    offsets: Sequence[int] = (0,),
) -> list[DanceTake]:
    """Encode clips; each is of the genre that is learned."""
    is_training = len(offsets) > 1
    stretches = style.stretches if is_training else [1.0]
    takes = load_takes(
        data, clips, pipeline.tokenizer.model, stretches=stretches, offsets=offsets, cache_dir=cache_dir
    )
    for take in takes:
        take.genre = take.genre if style.keep_genres else style.name
    return takes


def _losses(model: Any, measured: Mapping[str, ChoreoWindows]) -> dict[str, float]:
    """Return the mean loss of each set of windows that is not empty, in nats a code."""
    return {
        name: round(float(score_takes(model, windows)[0].mean()), 4)
        for name, windows in measured.items()
        if windows.takes
    }


def _nearest_genre(model: Any, takes: Sequence[DanceTake], speeds: dict[str, float]) -> dict[str, Any]:
    """Return the genre of the base as which held-out takes are told best, and their loss."""
    losses = {}
    for row, genre in enumerate(model.config.genres):
        as_genre = ChoreoWindows(takes, model.config, None, speeds)
        as_genre.genre_ids = {take.genre: row for take in takes}
        losses[genre] = round(float(score_takes(model, as_genre)[0].mean()), 4)
    genre = min(losses, key=lambda name: losses[name])
    return {"genre": genre, "loss": losses[genre]}


def main(command_line: list[str] | None = None) -> None:
    """Train an adapter."""
    finetune(*parse_arguments((LoopArguments, FinetuneArguments), command_line))


if __name__ == "__main__":
    main()
