"""Make the library of references that ships: dances of the model itself, to synthesized music.

```bash
python -m infinitedance.training.release.make_references assets/choreollama-tiny runs/retrieval assets/references
```
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...dataset_builder.procedural.music import MUSIC_PATTERNS, SAMPLING_RATE, synthesize_music
from ...modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ...motion.features import motion_to_features
from ...pipeline import MusicToDancePipeline
from ...retrieval.references import ReferenceRetriever
from ...retrieval.windows import LibraryClip
from ...utils.atomic import check_new_folder
from ...utils.checkpoints import load_model

LICENSE = "research, non-commercial: made by choreollama-tiny, see its model card"


def generated_dances(pipeline: MusicToDancePipeline, num_tempos: int, seconds: float) -> Iterator[LibraryClip]:
    """Dance to synthesized music of each genre that the model and the synthesizer know, at tempos across its range.

    Args:
        pipeline: The model.
        num_tempos: Dances of each genre.
        seconds: Length of each.

    Raises:
        ValueError: If no genre of the model can be synthesized, or the sampling rates differ.
    """
    if pipeline.processor.feature_extractor.sampling_rate != SAMPLING_RATE:
        raise ValueError(f"The model must hear music at {SAMPLING_RATE} Hz, as the synthesizer makes it.")
    genres = [genre for genre in pipeline.genres if genre in MUSIC_PATTERNS]
    if not genres:
        raise ValueError(f"One of the genres {pipeline.genres} must be one of {list(MUSIC_PATTERNS)}.")
    for genre in genres:
        tempos = np.linspace(*MUSIC_PATTERNS[genre].tempo_range_bpm, num_tempos).round()
        for seed, bpm in enumerate(tempos.tolist()):
            name = f"{genre}_{bpm:.0f}_bpm"
            music = synthesize_music(genre, bpm, seconds, seed=seed)
            dance = pipeline(np.asarray(music, np.float32), genre=genre, bpm=bpm, seed=seed)
            features = motion_to_features(dance.motion).numpy()
            yield LibraryClip(name, name, genre, pipeline.model.name_or_path, LICENSE, features)


def main(command_line: list[str] | None = None) -> None:
    """Make the library from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="the model that dances")
    parser.add_argument("encoder_dir", type=Path, help="trained by `train_retrieval`")
    parser.add_argument("output_dir", type=Path, help="folder to write; must not exist or be empty")
    parser.add_argument("--num_tempos", type=int, default=4, help="dances of each genre (default: 4)")
    parser.add_argument("--seconds", type=float, default=25.6, help="length of each (default: 25.6, three windows)")
    arguments = parser.parse_args(command_line)
    check_new_folder(arguments.output_dir)  # before the dances are made
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model_dir)
    dances = tqdm(generated_dances(pipeline, arguments.num_tempos, arguments.seconds), unit="dance")
    ReferenceRetriever.build(load_model(arguments.encoder_dir, MusicDanceEncoder), dances).save_pretrained(
        arguments.output_dir
    )


if __name__ == "__main__":
    main()
