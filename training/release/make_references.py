"""Make the reference dances that ship with a model: real dances that may be given on, else dances of the model itself.

```bash
python -m infinitedance.training.release.make_references runs/choreollama runs/retrieval built \
    assets/choreollama-open/references
```
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...audio.beats import GENRE_METERS, BeatClock
from ...dataset_builder.built import BuiltDataset
from ...dataset_builder.manifest import BuiltClip
from ...evaluation.metrics.genre_recognition import GenreClassifier, describe_windows
from ...modeling.music_dance.modeling_music_dance import MusicDanceEncoder
from ...motion.features import features_to_motion
from ...motion.motion import FRAME_RATE
from ...pipeline import MusicToDancePipeline
from ...retrieval.references import ReferenceRetriever
from ...retrieval.windows import LibraryClip
from ...utils.atomic import check_new_folder
from ...utils.checkpoints import load_model

SHIPPABLE_LICENSES = ("CC BY 4.0", "CMU mocap: free for all uses, cite; do not resell as-is")
"""Terms of the built data set under which motion itself may be given on."""
CLIPS_PER_GENRE = 2
SECONDS = 10.0
CANDIDATES = 6


def real_dances(data: BuiltDataset, classifier: GenreClassifier, genre: str) -> list[LibraryClip]:
    """Cut passages out of the training clips of a genre, those that are told as the genre most clearly.

    Args:
        data: The built data set.
        classifier: Of the real dances of all genres.
        genre: Of the dances.

    Returns:
        At most `CLIPS_PER_GENRE`, of different clips; none if most of what the genre was learned from may not be
        given on.
    """
    clips = [clip for clip in data.split("train", mirrored=False) if clip.genre == genre]
    shippable = [clip for clip in clips if clip.license in SHIPPABLE_LICENSES]
    if 2 * sum(clip.num_frames for clip in shippable) < sum(clip.num_frames for clip in clips):
        return []
    length = round(SECONDS * FRAME_RATE)
    passages = []
    for clip in shippable:
        features = np.array(data.motion_features(clip))
        cuts = [features[start : start + length] for start in range(0, len(features) - length + 1, length // 2)]
        margins = [_margin(classifier, genre, cut) for cut in cuts]
        if cuts:
            best = int(np.argmax(margins))
            found = LibraryClip(clip.clip_id, clip.song_id, genre, clip.source, clip.license or "", cuts[best])
            passages.append((margins[best], found))
    passages.sort(key=lambda passage: -passage[0])
    return [found for _, found in passages[:CLIPS_PER_GENRE]]


def training_tempos(data: BuiltDataset, genre: str) -> list[float]:
    """Return `CLIPS_PER_GENRE` tempos across those of the training dances of a genre, in beats per minute."""
    tempos = [
        120 * 2 ** float(data.music_or_clock(clip)[:, -1].mean())
        for clip in data.split("train", mirrored=False)
        if clip.genre == genre and (clip.music_file is not None or clip.clock_file is not None)
    ]
    return np.quantile(tempos, (np.arange(CLIPS_PER_GENRE) + 0.5) / CLIPS_PER_GENRE).round().tolist()


def generated_dances(
    pipeline: MusicToDancePipeline, classifier: GenreClassifier, genre: str, tempos: list[float], license: str
) -> list[LibraryClip]:
    """Let the model dance to a steady beat without sound, and keep what is told as the genre most clearly.

    Args:
        pipeline: The model.
        classifier: Of the real dances of its genres.
        genre: Of the dances.
        tempos: Of the dances, in beats per minute.
        license: Of the model's dances.
    """
    num_frames = round(SECONDS * FRAME_RATE)
    features = np.zeros((1, num_frames, pipeline.model.config.music_feature_size), np.float32)
    clock_size = pipeline.model.config.clock_feature_size
    found = []
    for index, bpm in enumerate(tempos):
        clock = BeatClock.steady(bpm, SECONDS, meter=GENRE_METERS.get(genre, 4))
        features[0, :, -clock_size:] = clock.to_features(num_frames)
        codes = pipeline.model.generate_codes(
            torch.from_numpy(features).repeat(CANDIDATES, 1, 1),
            genre_ids=torch.full((CANDIDATES,), pipeline.processor.genre_to_id(genre)),
            spectra_mask=torch.zeros(CANDIDATES, dtype=torch.bool),
            seeds=list(range(index * CANDIDATES, (index + 1) * CANDIDATES)),  # genres may have a single tempo
        )
        with torch.inference_mode():
            dances = pipeline.model.decode_motion(codes)[:, :num_frames].numpy()
        margins = [_margin(classifier, genre, dance) for dance in dances]
        name = f"{genre}_{index + 1}_at_{bpm:.0f}_bpm"
        found.append(LibraryClip(name, name, genre, pipeline.name, license, dances[int(np.argmax(margins))]))
    return found


def _margin(classifier: GenreClassifier, genre: str, features: np.ndarray) -> float:
    """Return how much nearer a dance, `(frames, 269)`, is to its genre than to the next one."""
    positions = features_to_motion(torch.from_numpy(features)).joint_positions()
    distances = classifier.distances(describe_windows(positions, FRAME_RATE)).mean(axis=0)
    own = classifier.genres.index(genre)
    return float(np.delete(distances, own).min() - distances[own])


def genre_classifier(data: BuiltDataset, genres: list[str]) -> GenreClassifier:
    """Build the classifier of the real training dances of some genres."""

    def describe(clip: BuiltClip) -> np.ndarray:
        motion = features_to_motion(torch.from_numpy(np.array(data.motion_features(clip))))
        return describe_windows(motion.joint_positions(), FRAME_RATE)

    clips = data.split("train", mirrored=False)
    return GenreClassifier({genre: [describe(clip) for clip in clips if clip.genre == genre] for genre in genres})


def library_clips(pipeline: MusicToDancePipeline, data: BuiltDataset, license: str) -> Iterator[LibraryClip]:
    """Make the dances of every genre of a model."""
    classifier = genre_classifier(data, pipeline.genres)
    for genre in tqdm(pipeline.genres, unit="genre"):
        yield from real_dances(data, classifier, genre) or generated_dances(
            pipeline, classifier, genre, training_tempos(data, genre), license
        )


def main(command_line: list[str] | None = None) -> None:
    """Make the library from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path, help="the model that dances")
    parser.add_argument("encoder_dir", type=Path, help="trained by `train_retrieval`")
    parser.add_argument("data_dir", type=Path, help="built data set that the model learned from")
    parser.add_argument("output_dir", type=Path, help="folder to write; must not exist or be empty")
    parser.add_argument("--license", required=True, help="of the dances that the model makes")
    arguments = parser.parse_args(command_line)
    check_new_folder(arguments.output_dir)  # before the dances are made
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model_dir)
    pipeline.name = arguments.output_dir.parent.name
    clips = library_clips(pipeline, BuiltDataset(arguments.data_dir), arguments.license)
    ReferenceRetriever.build(load_model(arguments.encoder_dir, MusicDanceEncoder), clips).save_pretrained(
        arguments.output_dir
    )


if __name__ == "__main__":
    main()
