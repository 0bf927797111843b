"""Make the folder that ships: a trained generator in half precision, with its codec and processor.

```bash
python -m infinitedance.training.export runs/choreollama assets/choreollama-tiny --codec_dir runs/codec_decoder
python -m infinitedance.training.export runs/continued exported --average_with runs/choreollama
```
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ..pipeline import MusicToDancePipeline
from ..tokenization.modeling_motion_codec import MotionCodecModel


def export_model(
    model_dir: str | Path,
    output_dir: str | Path,
    codec_dir: str | Path | None = None,
    average_with: str | Path | None = None,
) -> None:
    """Write the model in `model_dir` to `output_dir` in float16; it is computed with in float32 when loaded again.

    Args:
        model_dir: As `train_choreollama` writes it.
        output_dir: Created if it does not exist; a model card in it is kept.
        codec_dir: Codec to put in the place of the model's: the same codes, a decoder that was trained on.
        average_with: The generator that `model_dir` was continued from (`init_from`), see `average_weights`.

    Raises:
        ValueError: If the codec has other codebooks than the model, or the other generator other weights.
    """
    pipeline = MusicToDancePipeline.from_pretrained(model_dir)
    model = pipeline.model
    if average_with is not None:
        average_weights(model, MusicToDancePipeline.from_pretrained(average_with).model)
    if codec_dir is not None:
        codec = MotionCodecModel.from_pretrained(codec_dir, dtype=torch.float32)
        if not torch.equal(codec.codebooks, pipeline.tokenizer.model.codebooks):
            raise ValueError(f"The codec in {codec_dir} has other codebooks than the model in {model_dir}.")
        model.set_codec(codec)
    for config in (model.config.codec_config, model.config.backbone_config):
        config.name_or_path = ""  # where a part lay on the machine that trained it
    model.half()
    pipeline.save_pretrained(output_dir)


@torch.no_grad()
def average_weights(model: torch.nn.Module, start: torch.nn.Module) -> None:
    """Move the weights of a model half of the way back to those that its training began with.

    Between the ends of a short run lie models that do better on what neither has seen (Wortsman et al., Robust
    Fine-Tuning of Zero-Shot Models, CVPR 2022).

    Raises:
        ValueError: If the two differ in their weights' names or shapes.
    """
    weights, others = model.state_dict(), start.state_dict()
    shapes, other_shapes = ({name: t.shape for name, t in each.items()} for each in (weights, others))
    if shapes != other_shapes:
        different = sorted(name for name, _ in shapes.items() ^ other_shapes.items())
        raise ValueError(f"Only generators of the same sizes can be averaged; they differ in {different[0]}.")
    for name, weight in weights.items():
        if weight.is_floating_point():
            weight.lerp_(others[name], 0.5)


def main() -> None:
    """Export a model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of a finished run")
    parser.add_argument("output_dir", type=Path, help="folder to write")
    parser.add_argument("--codec_dir", type=Path, help="codec with the same codes and a decoder trained on")
    parser.add_argument("--average_with", type=Path, help="generator that it was continued from: the mean is exported")
    arguments = parser.parse_args()
    export_model(arguments.model_dir, arguments.output_dir, arguments.codec_dir, arguments.average_with)


if __name__ == "__main__":
    main()
