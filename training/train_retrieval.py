"""Train the two towers of retrieval on a built data set.

```bash
accelerate launch --num_cpu_threads_per_process 1 -m infinitedance.training.train_retrieval \
    --config training/configs/retrieval_tiny_cpu.yaml --data_dir built --output_dir runs/retrieval
```
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch

from ..dataset_builder.built import BuiltDataset
from ..modeling.music_dance.configuration_music_dance import MusicDanceConfig
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..motion.normalization import fit_feature_statistics
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_retrieval import PairedTake, PairSampler, load_paired_takes, paired_clips, share_of_songs
from .evaluation_retrieval import encode_takes, evaluate_retrieval
from .loop import build_accelerator, build_optimizer, train, write_run_record


@dataclass(kw_only=True)
class RetrievalArguments(RecipeArguments):
    """What the towers are made of and what they learn from."""

    eval_data_dir: str | None = field(
        default=None, metadata={"help": "Another built data set, whose `eval_split` is evaluated on."}
    )
    stretches: list[float] = field(
        default_factory=lambda: [1.0], metadata={"help": "Speeds at which music and motion are used, 1 = natural."}
    )
    song_share: float = field(
        default=1.0, metadata={"help": "Share of the training songs of each genre that is used, for data-size curves."}
    )
    spectra_dropout: float = field(
        default=0.0,
        metadata={
            "help": "Share of training windows whose music is the beat clock alone: with few songs, the sound of each "
            "is soon known by heart."
        },
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.spectra_dropout <= 1:
            raise ValueError(f"`spectra_dropout` must lie in [0, 1], got {self.spectra_dropout}.")
        if not 0 < self.song_share <= 1:
            raise ValueError(f"`song_share` must lie in (0, 1], got {self.song_share}.")
        if not self.stretches or min(self.stretches) <= 0:
            raise ValueError(f"`stretches` must be positive speeds, got {self.stretches}.")


def load_eval_takes(data: BuiltDataset, split: str) -> list[PairedTake]:
    """Load the held-out dances.

    Raises:
        ValueError: If they belong to one song: there is nothing to tell it from.
    """
    takes = load_paired_takes(data, data.split(split, mirrored=False))
    num_songs = len({take.song_id for take in takes})
    if num_songs < 2:
        raise ValueError(
            f"The split `{split}` must have paired dances to at least two songs, got {num_songs}. Build with more "
            "songs (by default one in twenty is for validation, one in ten for test), or name them by `--splits`."
        )
    return takes


def main(command_line: list[str] | None = None) -> None:
    """Train a music-dance encoder."""
    arguments, retrieval_arguments = parse_arguments((LoopArguments, RetrievalArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(retrieval_arguments))

    data = BuiltDataset(retrieval_arguments.data_dir)
    paired = paired_clips(retrieval_arguments.clips(data, "train"))
    train_clips = share_of_songs(paired, retrieval_arguments.song_share)
    takes = load_paired_takes(data, train_clips, retrieval_arguments.stretches)
    library_takes = load_paired_takes(data, [clip for clip in train_clips if not clip.is_mirrored])
    eval_data = data if retrieval_arguments.eval_data_dir is None else BuiltDataset(retrieval_arguments.eval_data_dir)
    eval_takes = load_eval_takes(eval_data, retrieval_arguments.eval_split)
    model = MusicDanceEncoder(MusicDanceConfig(**retrieval_arguments.model_fields(MusicDanceConfig)))
    model.set_feature_statistics(*fit_feature_statistics(torch.tensor(take.motion) for take in takes))
    optimizer = build_optimizer(model, arguments, lambda name, parameter: parameter.ndim > 1)
    sampler = PairSampler(
        takes,
        model.config,
        batch_size=arguments.batch_size,
        spectra_dropout=retrieval_arguments.spectra_dropout,
        seed=(arguments.seed, accelerator.process_index),
    )
    train(
        accelerator,
        model,
        optimizer,
        arguments,
        make_batch=sampler,
        before_step=lambda fraction: None,
        evaluate=lambda trained: evaluate_retrieval(trained, eval_takes, encode_takes(trained, library_takes)),
    )


if __name__ == "__main__":
    main()
