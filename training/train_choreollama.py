"""Train ChoreoLLaMA on a built data set with a trained motion codec.

```bash
accelerate launch --num_cpu_threads_per_process 2 -m infinitedance.training.train_choreollama \
    --config training/configs/tiny_cpu.yaml --data_dir built --codec_dir runs/codec --output_dir runs/choreollama
```
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch

from ..audio.features import MusicFeatureExtractor
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.stages import load_codec
from ..modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from ..modeling.choreollama.modeling_choreollama import ChoreoLlamaForConditionalGeneration
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ..tokenization.modeling_motion_codec import MotionCodecModel
from ..tokenization.processing_choreollama import ChoreoLlamaProcessor
from ..utils.checkpoints import load_model
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_choreollama import ChoreoSampler, ChoreoWindows
from .evaluation_choreollama import evaluate_choreollama, summarize_losses
from .loop import build_accelerator, build_optimizer, train, write_run_record
from .references_choreollama import REFERENCE_CHOICES, ReferenceFinder
from .takes import load_takes


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
    retrieval_dir: str | None = field(
        default=None,
        metadata={
            "help": "Trained encoder, from `train_retrieval`, that finds references; none are given without it."
        },
    )
    num_references: int = field(default=2, metadata={"help": "Dances to other songs that are given as references."})
    reference_choice: str = field(
        default="retrieved",
        metadata={
            "help": "`retrieved` by music among dances of the genre; to compare with: `random` windows of any dance, "
            "or the same `pinned` dances of the genre throughout.",
            "choices": list(REFERENCE_CHOICES),
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
                f"`num_references` must be at least 1, got {self.num_references}; for none, leave out `retrieval_dir`."
            )

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
        model, loading = ChoreoLlamaForConditionalGeneration.from_pretrained(
            arguments.init_from, config=config, dtype=torch.float32, output_loading_info=True
        )
        if loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"]:
            odd = sorted(map(str, loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"]))
            raise ValueError(
                f"The generator in `init_from` = {arguments.init_from} must have the sizes that `model` asks for; "
                f"they differ in {len(odd)} weights, such as {odd[0]}. Give the `model` that it was trained with."
            )
    elif arguments.backbone is not None:
        model = ChoreoLlamaForConditionalGeneration.from_backbone_pretrained(arguments.backbone, config)
    else:
        model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codec(codec)
    return model


def decays(name: str, parameter: torch.nn.Parameter) -> bool:
    """Decay matrices only: not biases, norms and embeddings."""
    return parameter.ndim == 2 and "embed" not in name


def build_windows(
    arguments: ChoreoArguments, data: BuiltDataset, codec: MotionCodecModel, config: ChoreoLlamaConfig
) -> tuple[ChoreoWindows, list[bool], ChoreoWindows]:
    """Return the training windows, which of their takes are at natural speed, and the held-out windows."""
    train_clips = data.split("train")
    offsets = range(config.frames_per_token)
    natural = load_takes(data, train_clips, codec, offsets=offsets)
    others = [stretch for stretch in arguments.stretches if stretch != 1.0]
    stretched = load_takes(data, train_clips, codec, stretches=others, offsets=offsets) if others else []
    held_out = load_takes(data, data.split(arguments.eval_split, mirrored=False), codec)
    takes = natural + stretched
    references = held_out_references = None
    if arguments.retrieval_dir is not None:
        encoder = load_model(arguments.retrieval_dir, MusicDanceEncoder)
        finder = ReferenceFinder(data, encoder, arguments.num_references, arguments.reference_choice)
        references, held_out_references = finder(takes), finder(held_out)
    is_natural = [True] * len(natural) + [False] * len(stretched)
    return ChoreoWindows(takes, config, references), is_natural, ChoreoWindows(held_out, config, held_out_references)


def main(command_line: list[str] | None = None) -> None:
    """Train ChoreoLLaMA."""
    arguments, choreo_arguments = parse_arguments((LoopArguments, ChoreoArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(choreo_arguments))

    data = BuiltDataset(choreo_arguments.data_dir)
    codec = load_codec(choreo_arguments.codec_dir)
    genres = sorted({clip.genre for clip in data.split("train") if clip.music_file is not None})
    model = build_model(choreo_arguments, codec, genres)
    extractor = MusicFeatureExtractor(version=data.music_features_version)
    if choreo_arguments.init_from is not None:
        continued = MusicFeatureExtractor.from_pretrained(choreo_arguments.init_from)
        data.check_music_features(continued.version, f"The generator in {choreo_arguments.init_from}")
    if accelerator.is_main_process:
        ChoreoLlamaProcessor(extractor, genres, model.config.frames_per_token).save_pretrained(arguments.output_dir)
    train_windows, is_natural, eval_windows = build_windows(choreo_arguments, data, codec, model.config)
    sampler = ChoreoSampler(
        train_windows,
        batch_size=arguments.batch_size,
        genre_balance=choreo_arguments.genre_balance,
        natural_share=choreo_arguments.natural_share,
        is_natural=is_natural,
        seed=(arguments.seed, accelerator.process_index),
    )
    optimizer = build_optimizer(model, arguments, decays)
    backbone = model.model.backbone

    def before_step(fraction: float) -> None:
        backbone.requires_grad_(fraction >= choreo_arguments.frozen_backbone_share)

    train(
        accelerator,
        model,
        optimizer,
        arguments,
        make_batch=lambda index: sampler(index) | {"num_context_tokens": model.config.context_tokens},
        before_step=before_step,
        evaluate=lambda trained: summarize_losses(evaluate_choreollama(trained, eval_windows)),
    )


if __name__ == "__main__":
    main()
