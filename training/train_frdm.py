"""Train the foot restoration model on clean dances with synthetic faults.

```bash
accelerate launch --num_cpu_threads_per_process 1 -m infinitedance.training.train_frdm \
    --config training/configs/frdm_tiny_cpu.yaml --data_dir built --output_dir runs/frdm
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from ..dataset_builder.augmentation.faults import Corruption
from ..dataset_builder.built import BuiltDataset
from ..modeling.frdm.configuration_frdm import FrdmConfig
from ..modeling.frdm.modeling_frdm import FrdmModel, FrdmScheduler
from ..motion.features import CONTACTS
from ..motion.normalization import fit_feature_statistics
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_frdm import RestorationSampler, cut_random_windows, evaluation_windows, select_clips, training_batch
from .loop import build_accelerator, build_optimizer, output_numbers, train, write_run_record

EVAL_TIMESTEP_SHARE = 0.3
"""How far the diffusion has gone in the windows that are evaluated, as a share of T."""


@dataclass(kw_only=True)
class FrdmArguments(RecipeArguments):
    """What the model is made of and what it learns from."""

    sources: list[str] = field(
        default_factory=list,
        metadata={"help": "Sources of the clips to use, with true rotations and clean feet; all if not given."},
    )
    validation_clips: str | None = field(
        default=None,
        metadata={"help": "Pattern of the ids of validation clips, in the place of the built split."},
    )
    test_clips: str | None = field(default=None, metadata={"help": "Pattern of the ids of test clips, likewise."})

    def build_model(self) -> FrdmModel:
        """Return a new model.

        Raises:
            ValueError: If a key of `model` is no field of `FrdmConfig`.
        """
        return FrdmModel(FrdmConfig(**self.model_fields(FrdmConfig)))


def evaluate_windows(
    model: FrdmModel, windows: Sequence[tuple[np.ndarray, np.ndarray]], batch_size: int
) -> dict[str, float]:
    """Return the losses with and without the observed legs, and F1 of the contacts with them.

    Args:
        model: In evaluation mode.
        windows: Clean and corrupted features.
        batch_size: Windows at once.
    """
    scheduler = FrdmScheduler(model.config.num_train_timesteps)
    timestep = round(EVAL_TIMESTEP_SHARE * scheduler.num_train_timesteps)
    sums: dict[str, float] = {}
    hits = positives = labeled = 0.0
    for start in range(0, len(windows), batch_size):
        generator = np.random.default_rng(start)
        clean, corrupted, frame_mask = cut_random_windows(
            windows[start : start + batch_size], model.config.window_frames, generator
        )
        shape = (*clean.shape[:2], model.config.num_restored_channels)
        noise = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        timesteps = torch.full((len(clean),), timestep)
        for name, flag in (("observed", True), ("masked", False)):
            observed = torch.full((len(clean),), flag)
            batch = training_batch(model, scheduler, clean, corrupted, frame_mask, observed, timesteps, noise)
            output = model(**{key: value.to(model.device) for key, value in batch.items()})
            for term, value in output_numbers(output).items():
                key = f"{name}/{term}"
                sums[key] = sums.get(key, 0.0) + value * len(clean) / len(windows)
            if flag:
                predicted = (output.contact_logits.cpu() > 0) & frame_mask[..., None]
                true = (clean[..., CONTACTS] > 0.5) & frame_mask[..., None]
                hits += float((predicted & true).sum())
                positives += float(predicted.sum())
                labeled += float(true.sum())
    return sums | {"observed/contact_f1": 2 * hits / max(1.0, positives + labeled)}


def main(command_line: list[str] | None = None) -> None:
    """Train a foot restoration model."""
    arguments, frdm_arguments = parse_arguments((LoopArguments, FrdmArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        corruption = Corruption()
        write_run_record(
            arguments.output_dir, asdict(arguments) | asdict(frdm_arguments) | {"corruption": asdict(corruption)}
        )
    data = BuiltDataset(frdm_arguments.data_dir)
    splits = select_clips(
        data,
        frdm_arguments.sources,
        frdm_arguments.validation_clips,
        frdm_arguments.test_clips,
    )
    model = frdm_arguments.build_model()
    if not arguments.resume:
        clips = (torch.from_numpy(np.array(data.motion_features(clip))) for clip in splits["train"])
        model.set_feature_statistics(*fit_feature_statistics(clips))
    optimizer = build_optimizer(model, arguments)
    sampler = RestorationSampler(
        data,
        splits["train"],
        model,
        batch_size=arguments.batch_size,
        corruption=Corruption(),
        seed=(arguments.seed, accelerator.process_index),
    )
    eval_windows = evaluation_windows(
        data, splits[frdm_arguments.eval_split], model.config.window_frames, Corruption()
    )
    train(
        accelerator,
        model,
        optimizer,
        arguments,
        make_batch=sampler,
        before_step=lambda fraction: None,
        evaluate=lambda trained: evaluate_windows(trained, eval_windows, arguments.batch_size),
    )


if __name__ == "__main__":
    main()
