"""Make the folder that ships: a trained generator with its codec and processor, or a restorer, in half precision.

```bash
python -m infinitedance.training.release.export runs/choreollama assets/choreollama-tiny --codec_dir runs/codec_decoder
python -m infinitedance.training.release.export runs/frdm assets/frdm-tiny
```
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from ...modeling.frdm.configuration_frdm import FrdmConfig
from ...pipeline import MusicToDancePipeline
from ...restoration.pipeline_frdm import FrdmPipeline
from ...tokenization.modeling_motion_codec import MotionCodecModel
from ...utils.checkpoints import find_model_type, load_model


def export_model(model_dir: str | Path, output_dir: str | Path, codec_dir: str | Path | None = None) -> None:
    """Write the model in `model_dir` to `output_dir` in float16; it is computed with in float32 when loaded again.

    Args:
        model_dir: As `train_choreollama` writes it.
        output_dir: Created if it does not exist; a model card in it is kept.
        codec_dir: Codec to put in the place of the model's: the same codes, a decoder that was trained on.

    Raises:
        ValueError: If the codec has other codebooks than the model.
    """
    pipeline = MusicToDancePipeline.from_pretrained(model_dir)
    model = pipeline.model
    if codec_dir is not None:
        codec = load_model(codec_dir, MotionCodecModel)
        if not torch.equal(codec.codebooks, pipeline.tokenizer.model.codebooks):
            raise ValueError(f"The codec in {codec_dir} has other codebooks than the model in {model_dir}.")
        model.set_codec(codec)
    for config in (model.config.codec_config, model.config.backbone_config):
        config.name_or_path = ""  # where a part lay on the machine that trained it
    model.half()
    pipeline.save_pretrained(output_dir)


def export_restorer(model_dir: str | Path, output_dir: str | Path) -> None:
    """Write the foot restoration model in `model_dir`, as `train_frdm` writes it, to `output_dir` in float16."""
    pipeline = FrdmPipeline.from_pretrained(model_dir)
    pipeline.model.half()
    pipeline.save_pretrained(output_dir)


def main() -> None:
    """Export a model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of a finished run")
    parser.add_argument("output_dir", type=Path, help="folder to write")
    parser.add_argument("--codec_dir", type=Path, help="codec with the same codes and a decoder trained on")
    arguments = parser.parse_args()
    if find_model_type(arguments.model_dir) != FrdmConfig.model_type:
        export_model(arguments.model_dir, arguments.output_dir, arguments.codec_dir)
    elif arguments.codec_dir is None:
        export_restorer(arguments.model_dir, arguments.output_dir)
    else:
        parser.error("--codec_dir goes with a generator; a restorer has no codec")


if __name__ == "__main__":
    main()
