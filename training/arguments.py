"""Arguments of the training scripts: a YAML recipe, then overrides on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from transformers import HfArgumentParser

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..utils.mappings import read_mapping


@dataclass
class LoopArguments:
    """How long and how a model is trained; the same for every script."""

    output_dir: str = field(metadata={"help": "Folder for the model, checkpoints, metrics and the record of the run."})
    max_steps: int = field(default=20_000, metadata={"help": "Optimizer steps after which training ends."})
    max_minutes: float | None = field(
        default=None,
        metadata={"help": "Minutes after which training ends, if that is sooner; the learning rate decays to fit."},
    )
    batch_size: int = field(default=32, metadata={"help": "Windows per process and micro-batch."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Micro-batches per optimizer step."})
    data_workers: int = field(
        default=0, metadata={"help": "Processes that make the batches ahead of time; 0: the training process itself."}
    )
    learning_rate: float = field(default=8e-4, metadata={"help": "Highest learning rate, reached after the warm-up."})
    final_learning_rate_share: float = field(default=0.02, metadata={"help": "Share of it left at the end (cosine)."})
    warmup_steps: int = field(default=50, metadata={"help": "Optimizer steps of linear warm-up."})
    adam_beta1: float = field(default=0.9, metadata={"help": "AdamW's first decay."})
    adam_beta2: float = field(default=0.99, metadata={"help": "AdamW's second decay."})
    weight_decay: float = field(default=0.0, metadata={"help": "AdamW's weight decay."})
    max_grad_norm: float = field(default=1.0, metadata={"help": "Gradients are clipped to this norm."})
    mixed_precision: str = field(
        default="no",
        metadata={"help": "`bf16` on GPUs and CPUs with bf16 instructions, else `no`.", "choices": ["no", "bf16"]},
    )
    seed: int = field(default=0, metadata={"help": "Seeds weights, windows and codebooks."})
    log_steps: int = field(default=50, metadata={"help": "Optimizer steps between two log entries."})
    eval_steps: int = field(default=1_000, metadata={"help": "Optimizer steps between two evaluations."})
    checkpoint_minutes: float = field(default=10.0, metadata={"help": "Minutes between two checkpoints."})
    resume: bool = field(default=False, metadata={"help": "Continue from the last checkpoint in `output_dir`."})
    tracker: str = field(
        default="none", metadata={"help": "Where curves go besides metrics.jsonl.", "choices": ["none", "tensorboard"]}
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("max_steps", "batch_size", "gradient_accumulation_steps", "log_steps", "eval_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.data_workers < 0:
            raise ValueError(f"`data_workers` must be at least 0, got {self.data_workers}.")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError(f"`max_minutes` must be positive, got {self.max_minutes}.")


@dataclass
class RecipeArguments:
    """What every training script asks for: the data, the split to evaluate on, the sizes of the model."""

    data_dir: str = field(metadata={"help": "Built data set, from `infinitedance build`."})
    eval_split: str = field(
        default="validation", metadata={"help": "Split to evaluate on.", "choices": ["validation", "test"]}
    )
    licenses: list[str] | None = field(
        default=None,
        metadata={
            "help": "Terms of the clips to train and evaluate on, as the column `license` has them; default: all."
        },
    )
    model: str = field(
        default="{}",
        metadata={"help": "Fields of the model's configuration: a mapping in a recipe, JSON on the command line."},
    )

    def clips(self, data: BuiltDataset, split: str, mirrored: bool = True) -> list[BuiltClip]:
        """Return the clips of a split under the terms that are asked for.

        Raises:
            ValueError: If there is none.
        """
        clips = data.split(split, mirrored=mirrored)
        if self.licenses is None:
            return clips
        chosen = [clip for clip in clips if clip.license in self.licenses]
        if not chosen:
            found = ", ".join(sorted({repr(clip.license) for clip in clips}))
            raise ValueError(f"No clip of split {split!r} is under one of {self.licenses}; there are {found}.")
        return chosen

    def model_fields(self, config_class: type) -> dict[str, Any]:
        """Return the fields of a configuration that are set.

        Raises:
            ValueError: If a key is no field of `config_class`.
        """
        values: dict[str, Any] = json.loads(self.model) if isinstance(self.model, str) else self.model
        unknown = set(values) - {item.name for item in fields(config_class)}
        if unknown:
            raise ValueError(f"`model` has keys that are no field of {config_class.__name__}: {sorted(unknown)}.")
        return values


def parse_arguments(dataclasses: Sequence[type], command_line: Sequence[str] | None = None) -> tuple:
    """Read one object of each dataclass from `--config recipe.yaml` and the options that follow.

    Args:
        dataclasses: Their fields are the options; no two have a field in common.
        command_line: Without the program's name; `sys.argv[1:]` by default.

    Returns:
        One object for each dataclass.

    Raises:
        FileNotFoundError: If the recipe does not exist.
        ValueError: If the recipe is not a mapping or has a key that is no option.
    """
    parser = HfArgumentParser(dataclasses)
    parser.add_argument("--config", help="YAML file of options; those on the command line win.")
    config_parser = HfArgumentParser([], add_help=False)
    config_parser.add_argument("--config")
    recipe_path = config_parser.parse_known_args(command_line)[0].config
    if recipe_path is not None:
        recipe = read_mapping(recipe_path, extra="train")
        options = {action.dest: action for action in parser._actions}
        unknown = sorted(set(recipe) - set(options))
        if unknown:
            raise ValueError(f"{recipe_path}: unknown option {', '.join(unknown)}; `--help` lists all.")
        parser.set_defaults(**recipe)
        for name in recipe:
            options[name].required = False
    return parser.parse_args_into_dataclasses(command_line)[: len(dataclasses)]
