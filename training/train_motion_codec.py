"""Train the motion codec on a built data set.

```bash
accelerate launch --num_cpu_threads_per_process 2 -m infinitedance.training.train_motion_codec \
    --config training/configs/motion_codec.yaml --data_dir built --output_dir runs/codec
```
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..motion.normalization import fit_feature_statistics
from ..tokenization.configuration_motion_codec import MotionCodecConfig
from ..tokenization.modeling_motion_codec import MotionCodecModel
from .arguments import LoopArguments, RecipeArguments, parse_arguments
from .data_motion_codec import WindowSampler
from .evaluation_motion_codec import ALONE, evaluate_codec
from .loop import Processes, build_accelerator, build_optimizer, train, write_run_record

INITIALIZATION_BATCHES = 40
"""Training batches from whose windows the model is initialized."""

LATE_EMA_DECAY = 0.996
"""Decay of the codebooks' averages in the second half of a run."""


@dataclass(kw_only=True)
class CodecArguments(RecipeArguments):
    """What the codec is made of and what it learns from."""

    window_frames: int = field(default=64, metadata={"help": "Frames of a training window."})
    group_balance: float = field(
        default=0.7,
        metadata={
            "help": "How often a group of one source and genre is drawn: in proportion to its frames to this power "
            "(1: as the data lie, 0: all groups alike)."
        },
    )
    num_augmented: int = field(
        default=0,
        metadata={
            "help": "Augmented copies of each clip (other speeds, other upper bodies, larger and smaller movements), "
            "drawn as often as the clips themselves; 0 for none."
        },
    )
    left_out_genres: list[str] = field(
        default_factory=list, metadata={"help": "Genres that are kept from training, to be evaluated on."}
    )
    init_from: str | None = field(
        default=None,
        metadata={
            "help": "Trained motion codec to continue from, with its statistics and codebooks; `model` may give it "
            "further levels."
        },
    )
    decoder_only: bool = field(
        default=False,
        metadata={"help": "Train the decoder of `init_from` alone: codes and generators made with them stay valid."},
    )

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.window_frames < 3:
            raise ValueError(f"`window_frames` must be at least 3, for accelerations, got {self.window_frames}.")
        if self.decoder_only and self.init_from is None:
            raise ValueError("`decoder_only` needs `init_from`, a codec whose codes are to be kept.")

    def build_config(self) -> MotionCodecConfig:
        """Return the configuration of the model: that of `init_from`, if given, with the fields of `model` changed.

        Raises:
            ValueError: If a key is no field of `MotionCodecConfig`.
        """
        values = self.model_fields(MotionCodecConfig)
        if self.init_from is not None:
            return MotionCodecConfig.from_pretrained(self.init_from, **values)
        return MotionCodecConfig(**values)

    def adds_levels(self, config: MotionCodecConfig) -> bool:
        """Return whether the model has more levels than `init_from`."""
        if self.init_from is None:
            return False
        return config.num_quantizers > MotionCodecConfig.from_pretrained(self.init_from).num_quantizers

    def build_model(self) -> MotionCodecModel:
        """Return the model: new, to be initialized from data, or with the weights of `init_from`."""
        config = self.build_config()
        if self.init_from is None or self.adds_levels(config):
            return MotionCodecModel(config)
        return MotionCodecModel.from_pretrained(self.init_from, config=config, dtype=torch.float32)


def evaluate_split(
    model: MotionCodecModel, data: BuiltDataset, clips: list[BuiltClip], processes: Processes = ALONE
) -> dict[str, float]:
    """Return the numbers of `evaluate_codec` as `genre/name`; those of a level as `all/name_level`."""
    own = processes.share(clips)
    pairs = ((clip.genre, torch.from_numpy(np.array(data.motion_features(clip)))) for clip in own)
    numbers = {}
    for genre, values in evaluate_codec(model, pairs, processes=processes).items():
        for name, value in values.items():
            if not isinstance(value, list):
                numbers[f"{genre}/{name}"] = value
            elif genre == "all":
                numbers |= {f"{genre}/{name}_{level}": item for level, item in enumerate(value)}
    return numbers


def main(command_line: list[str] | None = None) -> None:
    """Train a motion codec."""
    arguments, codec_arguments = parse_arguments((LoopArguments, CodecArguments), command_line)
    accelerator = build_accelerator(arguments)
    if accelerator.is_main_process:
        write_run_record(arguments.output_dir, asdict(arguments) | asdict(codec_arguments))

    data = BuiltDataset(codec_arguments.data_dir)
    left_out = set(codec_arguments.left_out_genres)
    train_clips = [clip for clip in codec_arguments.clips(data, "train") if clip.genre not in left_out]
    eval_clips = codec_arguments.clips(data, codec_arguments.eval_split, mirrored=False)
    eval_clips += [clip for clip in codec_arguments.clips(data, "train", mirrored=False) if clip.genre in left_out]
    model = codec_arguments.build_model()
    if codec_arguments.decoder_only:
        model.encoder.requires_grad_(False)
        model.quantizer.learns = False
    optimizer = build_optimizer(model, arguments)
    sampler = WindowSampler(
        data,
        train_clips,
        window_frames=codec_arguments.window_frames,
        batch_size=arguments.batch_size,
        group_balance=codec_arguments.group_balance,
        seed=(arguments.seed, accelerator.process_index),
        num_augmented=codec_arguments.num_augmented,
    )

    is_new = not arguments.resume and (codec_arguments.init_from is None or codec_arguments.adds_levels(model.config))
    if is_new:
        start = torch.cat([sampler(-batch - 1)["motion_features"] for batch in range(INITIALIZATION_BATCHES)])
    if is_new and codec_arguments.init_from is not None:
        model.add_levels(MotionCodecModel.from_pretrained(codec_arguments.init_from, dtype=torch.float32), start)
    elif is_new:
        statistics = fit_feature_statistics(
            torch.from_numpy(np.array(data.motion_features(clip))) for clip in train_clips
        )
        model.set_feature_statistics(*statistics)
        model.initialize_from_data(start)

    def before_step(fraction: float) -> None:
        # Late re-seeding would leave codes that never settle; late on, averages may be long, for little moves.
        model.quantizer.resets_dead_codes = fraction < 0.85
        model.quantizer.ema_decay = max(model.config.ema_decay, LATE_EMA_DECAY if fraction >= 0.5 else 0.0)

    train(
        accelerator,
        model,
        optimizer,
        arguments,
        make_batch=sampler,
        before_step=before_step,
        evaluate=lambda trained: evaluate_split(trained, data, eval_clips, Processes.of(accelerator)),
        splits_evaluation=True,
        tokens_per_window=codec_arguments.window_frames // model.config.frames_per_token,
    )


if __name__ == "__main__":
    main()
