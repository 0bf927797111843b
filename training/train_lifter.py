"""Train the lifter of the video capture on dances that are seen by random cameras.

```bash
accelerate launch --num_cpu_threads_per_process 1 -m infinitedance.training.train_lifter \
    --config training/configs/lifter.yaml --data_dir built --pairs_dir pairs --output_dir runs/lifter
```
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.splits import TRAIN
from ..modeling.lifter.configuration_lifter import LifterConfig
from ..modeling.lifter.modeling_lifter import LifterModel
from ..utils.checkpoints import load_model
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_frdm import clean_dance
from .data_lifter import Dance, LifterSampler, RenderedPair, rendered_windows
from .loop import build_accelerator, build_optimizer, output_numbers, train, write_run_record

EVAL_SEED = 12345
EVAL_BATCHES = 4
MAX_EVAL_WINDOWS = 128


@dataclass(kw_only=True)
class LifterArguments(RecipeArguments):
    """What the model is made of and what it learns from."""

    pairs_dir: str | None = field(
        default=None, metadata={"help": "Folder of rendered dances with what the estimator found in them."}
    )
    eval_pairs_dir: str | None = field(
        default=None, metadata={"help": "Likewise, of performers that are not trained on."}
    )
    rendered_share: float = field(default=0.5, metadata={"help": "Share of the windows that are rendered ones."})
    held_out_clips: str | None = field(
        default=None, metadata={"help": "Pattern of the ids of clips that are evaluated on instead of trained on."}
    )
    initial_model: str | None = field(default=None, metadata={"help": "Folder of a lifter to go on from."})

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.rendered_share <= 1:
            raise ValueError(f"`rendered_share` must be between 0 and 1, got {self.rendered_share}.")

    def build_model(self) -> LifterModel:
        """Return a new model, or the one to go on from.

        Raises:
            ValueError: If a key of `model` is no field of `LifterConfig`.
        """
        if self.initial_model is not None:
            return load_model(self.initial_model, LifterModel)
        return LifterModel(LifterConfig(**self.model_fields(LifterConfig)))

    def dances(self, data: BuiltDataset) -> tuple[list[Dance], list[Dance]]:
        """Return the dances to train on, and those to evaluate on."""
        held_out = re.compile(self.held_out_clips) if self.held_out_clips else None

        def is_held_out(clip_id: str) -> bool:
            return held_out is not None and held_out.search(clip_id) is not None

        trained = [clip for clip in self.clips(data, TRAIN) if not is_held_out(clip.clip_id)]
        evaluated = [
            clip
            for clip in data.clips
            if not clip.is_mirrored and (clip.split == self.eval_split or is_held_out(clip.clip_id))
        ]
        return tuple(  # type: ignore[return-value]
            [Dance.from_motion(clean_dance(data, clip)) for clip in clips] for clips in (trained, evaluated)
        )


def read_pairs(folder: str | None) -> list[RenderedPair]:
    """Return the rendered dances of a folder, none without one.

    Raises:
        FileNotFoundError: If the folder holds none.
    """
    if folder is None:
        return []
    files = sorted(Path(folder).rglob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no rendered dances (`*.npz`): `python -m benchmarks.capture.pairs`.")
    return [RenderedPair.read(file) for file in files]


def evaluate_batches(
    model: LifterModel, sampler: LifterSampler, pairs: Sequence[RenderedPair], window_frames: int
) -> dict[str, float]:
    """Return the losses on projected dances and on rendered ones.

    Args:
        model: In evaluation mode.
        sampler: Of projected dances.
        pairs: Rendered ones, of which windows are taken one after the other.
        window_frames: Of a window.
    """
    numbers: dict[str, float] = {}

    def add(name: str, batches: list[dict]) -> None:
        for batch in batches:
            for term, value in output_numbers(model(**batch)).items():
                key = f"{name}/{term}"
                numbers[key] = numbers.get(key, 0.0) + value / len(batches)

    add("projected", [sampler(index) for index in range(EVAL_BATCHES)])
    windows = [
        pair.play(np.arange(start, start + window_frames))
        for pair in pairs
        for start in range(0, pair.num_frames - window_frames + 1, window_frames)
        if (pair.confidences[start : start + window_frames] > 0).any()
    ]
    if windows:
        chosen = np.random.default_rng(EVAL_SEED).permutation(len(windows))[:MAX_EVAL_WINDOWS]
        groups = [chosen[start : start + sampler.batch_size] for start in range(0, len(chosen), sampler.batch_size)]
        seen = [rendered_windows([windows[index] for index in group]) for group in groups]
        add("rendered", [{"view_features": features, "labels": labels} for features, labels in seen])
    return numbers


def main(command_line: list[str] | None = None) -> None:
    """Train a lifter."""
    arguments, lifter_arguments = parse_arguments((LoopArguments, LifterArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(lifter_arguments))
    model = lifter_arguments.build_model()
    trained, evaluated = lifter_arguments.dances(BuiltDataset(lifter_arguments.data_dir))
    shape = {"window_frames": model.config.window_frames, "batch_size": arguments.batch_size}
    sampler = LifterSampler(
        trained,
        read_pairs(lifter_arguments.pairs_dir),
        rendered_share=lifter_arguments.rendered_share,
        seed=(arguments.seed, accelerator.process_index),
        **shape,
    )
    eval_sampler = LifterSampler(evaluated, [], rendered_share=0.0, seed=(EVAL_SEED,), **shape)
    eval_pairs = read_pairs(lifter_arguments.eval_pairs_dir)
    train(
        accelerator,
        model,
        build_optimizer(model, arguments),
        arguments,
        make_batch=sampler,
        before_step=lambda fraction: None,
        evaluate=lambda trained: evaluate_batches(trained, eval_sampler, eval_pairs, model.config.window_frames),
    )


if __name__ == "__main__":
    main()
