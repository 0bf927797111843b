"""Make the folder that ships, in half precision: a generator with its codec and processor, a restorer or a lifter.

```bash
python -m infinitedance.training.release.export runs/choreollama assets/choreollama-open --data_dir built
python -m infinitedance.training.release.export runs/frdm assets/frdm-tiny
python -m infinitedance.training.release.export runs/lifter assets/lifter
```
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from ...dataset_builder.built import BuiltDataset
from ...modeling.frdm.configuration_frdm import FrdmConfig
from ...modeling.lifter.configuration_lifter import LifterConfig
from ...modeling.lifter.modeling_lifter import LifterModel
from ...motion.features import features_to_motion
from ...motion.finishing.gaze import gaze_elevation
from ...pipeline import MusicToDancePipeline
from ...restoration.pipeline_frdm import FrdmPipeline
from ...utils.checkpoints import find_model_type, load_model


def export_model(
    model_dir: str | Path, output_dir: str | Path, data: BuiltDataset, guidance_scale: float | None = None
) -> None:
    """Write the model in `model_dir` to `output_dir` in float16; it is computed with in float32 when loaded again.

    Its generation configuration gets what the pipeline does by default: one reference dance, if the model was trained
    with any, and the gaze of each genre.

    Args:
        model_dir: As `train_choreollama` writes it.
        output_dir: Created if it does not exist; a model card and reference dances in it are kept.
        data: What it was trained on.
        guidance_scale: Guidance by default; that of the run if not given.
    """
    pipeline = MusicToDancePipeline.from_pretrained(model_dir)
    model = pipeline.model
    for config in (model.config.codec_config, model.config.backbone_config):
        config.name_or_path = ""  # where a part lay on the machine that trained it
    # Fields of ours, which `GenerationConfig.update` would pass over.
    model.generation_config.default_num_references = min(1, model.config.max_references)
    model.generation_config.genre_gaze_degrees = {genre: genre_gaze(data, genre) for genre in pipeline.genres}
    if guidance_scale is not None:
        model.generation_config.guidance_scale = guidance_scale
    model.half()
    pipeline.save_pretrained(output_dir)


def genre_gaze(data: BuiltDataset, genre: str) -> float:
    """Return the median elevation of the gaze in the training dances of a genre, in degrees."""
    gazes = [
        gaze_elevation(features_to_motion(torch.from_numpy(np.array(data.motion_features(clip)))))
        for clip in data.split("train", mirrored=False)
        if clip.genre == genre
    ]
    return round(float(np.median(np.concatenate(gazes))), 1)


def export_restorer(model_dir: str | Path, output_dir: str | Path) -> None:
    """Write the foot restoration model in `model_dir`, as `train_frdm` writes it, to `output_dir` in float16."""
    pipeline = FrdmPipeline.from_pretrained(model_dir)
    pipeline.model.half()
    pipeline.save_pretrained(output_dir)


def export_lifter(model_dir: str | Path, output_dir: str | Path) -> None:
    """Write the lifter in `model_dir`, as `train_lifter` writes it, to `output_dir` in float16."""
    load_model(model_dir, LifterModel).half().save_pretrained(output_dir)


def main() -> None:
    """Export a model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="folder of a finished run")
    parser.add_argument("output_dir", type=Path, help="folder to write")
    parser.add_argument("--data_dir", type=Path, help="built data set that a generator was trained on")
    parser.add_argument("--guidance_scale", type=float, help="guidance of a generator by default (default: the run's)")
    arguments = parser.parse_args()
    exporters = {FrdmConfig.model_type: export_restorer, LifterConfig.model_type: export_lifter}
    exporter = exporters.get(find_model_type(arguments.model_dir))
    if exporter is not None:
        exporter(arguments.model_dir, arguments.output_dir)
    elif arguments.data_dir is None:
        parser.error("a generator needs --data_dir, for the gaze of its genres")
    else:
        export_model(
            arguments.model_dir, arguments.output_dir, BuiltDataset(arguments.data_dir), arguments.guidance_scale
        )


if __name__ == "__main__":
    main()
