"""Train ChoreoLLaMA on a built data set with a trained motion codec.

```bash
accelerate launch --num_cpu_threads_per_process 2 -m infinitedance.training.train_choreollama \
    --config training/configs/choreollama.yaml --data_dir built --codec_dir runs/codec --output_dir runs/choreollama
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from ..audio.features import MusicFeatureExtractor
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..dataset_builder.stages import load_codec
from ..modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..tokenization.modeling_motion_codec import MotionCodecModel
from ..tokenization.processing_choreollama import ChoreoLlamaProcessor
from ..utils.checkpoints import load_model
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_choreollama import ChoreoSampler, ChoreoWindows, MusicChanges
from .data_retrieval import paired_clips
from .evaluation_choreollama import describe_step, evaluate_choreollama, summarize_evaluation
from .loop import Processes, build_accelerator, build_optimizer, checkpoint_activations, train, write_run_record
from .references_choreollama import REFERENCE_CHOICES, ReferenceFinder, References, StyleReferences
from .takes import DanceTake, load_takes

COMPARED_CHOICES = ("style", "random")
"""References with which a model that gets references is evaluated, besides none and its own."""


@dataclass(kw_only=True)
class ChoreoArguments(RecipeArguments):
    """What the generator is made of and what it learns from."""

    codec_dir: str = field(
        metadata={"help": "Trained motion codec, from `train_motion_codec`, or a generator that holds one."}
    )
    init_from: str | None = field(
        default=None, metadata={"help": "Trained generator of the same sizes to continue from."}
    )
    backbone: str | None = field(
        default=None, metadata={"help": "Pretrained LLaMA to start from; random weights if not given."}
    )
    frozen_backbone_share: float = field(
        default=0.0,
        metadata={"help": "Stage 1: share of the run in which a pretrained backbone is frozen and all else learns."},
    )
    stretches: list[float] = field(
        default_factory=lambda: [1.0], metadata={"help": "Speeds at which music and motion are used, 1 = natural."}
    )
    natural_share: float = field(default=0.5, metadata={"help": "Share of windows at natural speed."})
    genre_balance: float = field(
        default=0.7,
        metadata={
            "help": "A genre is drawn in proportion to its frames to this power (1: as they lie, 0: all alike)."
        },
    )
    genres: list[str] | None = field(
        default=None, metadata={"help": "Genres to learn; clips of others are left out. Default: all of the clips."}
    )
    foreign_spectra_share: float = field(
        default=0.0,
        metadata={"help": "Share of windows that hear the spectra of another song, on their own beats."},
    )
    equalizer_spread: float = field(
        default=0.0, metadata={"help": "Spread of a random filter of the spectra, in units of the log-mel channels."}
    )
    moved_bar_share: float = field(
        default=0.0, metadata={"help": "Share of windows whose bar begins at another beat, as estimates sometimes do."}
    )
    retrieval_dir: str | None = field(
        default=None, metadata={"help": "Trained encoder, from `train_retrieval`, for references that it finds."}
    )
    gradient_checkpointing: bool = field(
        default=False,
        metadata={"help": "Compute layers and experts anew in the backward pass: less memory, a third more time."},
    )
    num_references: int = field(default=2, metadata={"help": "Dances that are given as references."})
    reference_choice: str = field(
        default="none",
        metadata={
            "help": "`style`: passages of other dances of the same genre, by the same dancer where there are any; "
            "`own`: other passages of the same dance, of its style where it is short; "
            "`random`: of any dances; `retrieved`: found by the music by the encoder of `retrieval_dir`; `pinned`: "
            "the same dances of the genre throughout, of its library; `none`.",
            "choices": ["none", "style", "own", *REFERENCE_CHOICES],
        },
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.frozen_backbone_share < 1:
            raise ValueError(f"`frozen_backbone_share` must lie in [0, 1), got {self.frozen_backbone_share}.")
        if self.backbone is not None and self.init_from is not None:
            raise ValueError("Give either `init_from`, a whole generator, or a `backbone`.")
        if self.frozen_backbone_share and self.backbone is None:
            raise ValueError("`frozen_backbone_share` needs a pretrained `backbone`: random weights are not kept.")
        if 1.0 not in self.stretches or min(self.stretches) <= 0:
            raise ValueError(f"`stretches` must be positive and hold 1.0, got {self.stretches}.")
        if self.num_references < 1:
            raise ValueError(
                f"`num_references` must be at least 1, got {self.num_references}; for none, `reference_choice: none`."
            )
        if (self.retrieval_dir is None) != (self.reference_choice not in ("retrieved", "pinned")):
            raise ValueError(
                "`retrieval_dir` belongs to the references `retrieved` and `pinned`, got `reference_choice` "
                f"{self.reference_choice!r} and `retrieval_dir` {self.retrieval_dir}."
            )
        for name in ("foreign_spectra_share", "moved_bar_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}.")

    def clips_of_genres(self, data: BuiltDataset, split: str, mirrored: bool = True) -> list[BuiltClip]:
        """Return the clips of a split that are learned.

        Raises:
            ValueError: If there is none.
        """
        clips = [
            clip for clip in self.clips(data, split, mirrored) if self.genres is None or clip.genre in self.genres
        ]
        if not clips:
            raise ValueError(f"No clip of split {split!r} is of one of the genres {self.genres}.")
        return clips

    def build_config(self, codec: MotionCodecModel, genres: list[str]) -> ChoreoLlamaConfig:
        """Return the configuration of the model; code sizes and genres follow from codec and data.

        Raises:
            ValueError: If a key is no field of `ChoreoLlamaConfig`.
        """
        values = self.model_fields(ChoreoLlamaConfig)
        shared = {
            name: getattr(codec.config, name)
            for name in ("frame_rate", "frames_per_token", "num_quantizers", "codebook_size", "codebook_dim")
        }
        return ChoreoLlamaConfig(**{**shared, "genres": genres, "max_references": self.num_references, **values})


def build_model(
    arguments: ChoreoArguments, codec: MotionCodecModel, genres: list[str]
) -> ChoreoLlamaForConditionalGeneration:
    """Build the generator around a frozen codec: new, around a pretrained backbone, or continued."""
    config = arguments.build_config(codec, genres)
    if arguments.init_from is not None:
        config.codec_config = codec.config
        model = ChoreoLlamaForConditionalGeneration.from_pretrained(
            arguments.init_from, config=config, dtype=torch.float32
        )
    elif arguments.backbone is not None:
        model = ChoreoLlamaForConditionalGeneration.from_backbone_pretrained(arguments.backbone, config)
    else:
        model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codec(codec)
    if arguments.gradient_checkpointing:
        checkpoint_activations(model)
    return model


def decays(name: str, parameter: torch.nn.Parameter) -> bool:
    """Decay matrices only: not biases, norms and embeddings."""
    return parameter.ndim == 2 and "embed" not in name


def build_windows(
    arguments: ChoreoArguments, data: BuiltDataset, codec: MotionCodecModel, config: ChoreoLlamaConfig, cache_dir: Path
) -> tuple[ChoreoWindows, ChoreoWindows]:
    """Return the training windows and the held-out windows; their arrays lie in `cache_dir`."""
    train_clips = arguments.clips_of_genres(data, "train")
    if not paired_clips(train_clips):
        raise ValueError(
            f"None of the {len(train_clips)} training clips of {data.folder} has music or a beat clock to dance to. "
            "Build a data set of clips with music or a clear pulse."
        )
    held_out_clips = arguments.clips_of_genres(data, arguments.eval_split, mirrored=False)
    offsets = range(config.frames_per_token)
    takes = load_takes(
        data,
        train_clips,
        codec,
        stretches=arguments.stretches,
        offsets=offsets,
        cache_dir=cache_dir / "train",
    )
    held_out = load_takes(data, held_out_clips, codec, cache_dir=cache_dir / arguments.eval_split)
    windows = ChoreoWindows(takes, config, build_references(arguments, data, takes))
    return windows, ChoreoWindows(held_out, config, build_references(arguments, data, held_out), windows.speeds)


def build_references(
    arguments: ChoreoArguments, data: BuiltDataset, takes: Sequence[DanceTake], choice: str | None = None
) -> References | None:
    """Return the references of some takes, out of the training clips; `choice` is `reference_choice` by default."""
    choice, count = choice or arguments.reference_choice, arguments.num_references
    if choice == "none":
        return None
    if choice in ("own", *COMPARED_CHOICES):
        return StyleReferences(data, arguments.clips_of_genres(data, "train"), takes, count, choice)
    assert arguments.retrieval_dir is not None  # checked with the arguments
    encoder = load_model(arguments.retrieval_dir, MusicDanceEncoder)
    return ReferenceFinder(data, encoder, count, choice)(takes)


def compared_references(
    arguments: ChoreoArguments, data: BuiltDataset, windows: ChoreoWindows
) -> dict[str, References | None]:
    """Return the references with which held-out windows are scored, by name; nothing if the model gets none."""
    if windows.references is None:
        return {}
    return {
        choice: windows.references
        if choice == arguments.reference_choice
        else build_references(arguments, data, windows.takes, choice)
        for choice in ("none", *COMPARED_CHOICES, arguments.reference_choice)
    }


def main(command_line: list[str] | None = None) -> None:
    """Train ChoreoLLaMA."""
    arguments, choreo_arguments = parse_arguments((LoopArguments, ChoreoArguments), command_line)
    # Without references in a batch, and while the backbone is frozen, parameters get no gradient.
    accelerator = build_accelerator(arguments, find_unused_parameters=True)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(choreo_arguments))

    data = BuiltDataset(choreo_arguments.data_dir)
    codec = load_codec(choreo_arguments.codec_dir)
    genres = sorted({clip.genre for clip in choreo_arguments.clips_of_genres(data, "train")})
    model = build_model(choreo_arguments, codec, genres)
    continued = choreo_arguments.init_from
    extractor = MusicFeatureExtractor() if continued is None else MusicFeatureExtractor.from_pretrained(continued)
    if accelerator.is_main_process:
        ChoreoLlamaProcessor(extractor, genres, model.config.frames_per_token).save_pretrained(arguments.output_dir)
    cache_dir = Path(arguments.output_dir) / "takes"
    with accelerator.main_process_first():  # which writes the takes
        train_windows, eval_windows = build_windows(choreo_arguments, data, codec, model.config, cache_dir)
    sampler = ChoreoSampler(
        train_windows,
        batch_size=arguments.batch_size,
        genre_balance=choreo_arguments.genre_balance,
        group_share=choreo_arguments.natural_share,
        in_group=[take.stretch == 1.0 for take in train_windows.takes],
        seed=(arguments.seed, accelerator.process_index),
        changes=MusicChanges(
            choreo_arguments.foreign_spectra_share,
            choreo_arguments.equalizer_spread,
            choreo_arguments.moved_bar_share,
        ),
    )
    optimizer = build_optimizer(model, arguments, decays)
    compared = compared_references(choreo_arguments, data, eval_windows)
    backbone, processes = model.model.backbone, Processes.of(accelerator)

    def before_step(fraction: float) -> None:
        backbone.requires_grad_(fraction >= choreo_arguments.frozen_backbone_share)

    train(
        accelerator,
        model,
        optimizer,
        arguments,
        make_batch=lambda index: sampler(index) | {"num_context_tokens": model.config.context_tokens},
        before_step=before_step,
        evaluate=lambda trained: summarize_evaluation(
            evaluate_choreollama(trained, eval_windows, compared, processes), eval_windows.takes
        ),
        describe=describe_step,
        splits_evaluation=True,
        tokens_per_window=model.config.max_window_tokens,
    )


if __name__ == "__main__":
    main()
