"""Turn a clip folder into a prepared folder: motion and music features, split by song, mirrored.

```bash
python -m infinitedance.dataset_builder.prepare ../shared/data prepared \
    --splits training/configs/shared_data_splits.yaml
```
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..audio.beats import BeatClock
from ..audio.features import MusicFeatureExtractor
from ..audio.loading import load_audio
from ..motion.features import motion_to_features
from ..motion.files import atomic_path, read_motion
from ..motion.motion import FRAME_RATE
from .clip_folder import MIRROR_SUFFIX, ClipRecord, read_clip_folder
from .prepared import INDEX_FILE, PreparedClip
from .splits import split_by_song

METERS = {"waltz": 3}
"""Beats in a bar of genres that do not have four."""


def prepare_clip(record: ClipRecord, split: str, output_dir: Path) -> list[PreparedClip]:
    """Write the features of one clip and of its mirrored copy.

    The first beat of aligned music with a known tempo is its first sample (the clip-folder format asks for it); where
    the tempo is not given, the beats are estimated.

    Args:
        record: The clip.
        split: The split of its song.
        output_dir: The prepared folder.

    Returns:
        The entries of the index: the clip and its mirrored copy.
    """
    motion = read_motion(record.motion_path).resample(FRAME_RATE)
    music_file = None
    if record.audio_path is not None and record.aligned:
        music_file = f"{record.clip_id}.music.npy"
        _save_array(music_features(record), output_dir / music_file)
    entries = []
    for suffix, dance in (("", motion), (MIRROR_SUFFIX, motion.mirror())):
        entry = PreparedClip(
            clip_id=record.clip_id + suffix,
            source=record.source,
            genre=record.genre,
            split=split,
            file=f"{record.clip_id}{suffix}.npy",
            num_frames=dance.num_frames,
            song_id=record.song_id,
            music_file=music_file,
        )
        _save_array(motion_to_features(dance).numpy(), output_dir / entry.file)
        entries.append(entry)
    return entries


def music_features(record: ClipRecord) -> np.ndarray:
    """Return the music features of a clip's song, `(frames, 109)`, with the clip's own tempo where it is known."""
    extractor = MusicFeatureExtractor()
    waveform = load_audio(record.audio_path, extractor.sampling_rate)  # type: ignore[arg-type]
    clock = None
    if record.bpm is not None:
        duration = len(waveform) / extractor.sampling_rate
        clock = BeatClock.steady(record.bpm, duration, meter=METERS.get(record.genre, 4))
    features = extractor(waveform, extractor.sampling_rate, genre=record.genre, beat_clock=clock)
    return np.asarray(features["input_features"][0], dtype=np.float32)


def _save_array(array: np.ndarray, path: Path) -> None:
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.save(file, array, allow_pickle=False)


def prepare_clip_folder(
    clip_folder: str | Path,
    output_dir: str | Path,
    *,
    validation_song_ids: Iterable[str] = (),
    test_song_ids: Iterable[str] | None = None,
    num_workers: int = 1,
) -> Path:
    """Prepare all clips of a folder.

    Args:
        clip_folder: See docs/data_format.md.
        output_dir: Created if it does not exist.
        validation_song_ids: Songs to choose settings by.
        test_song_ids: Songs never to be trained on; drawn by `split_by_song` if not given.
        num_workers: Processes.

    Returns:
        The prepared folder.

    Raises:
        ValueError: If a song that is named does not exist, or stands in both splits.
    """
    from tqdm import tqdm

    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    records = read_clip_folder(clip_folder)
    validation_songs = set(validation_song_ids)
    test_songs = None if test_song_ids is None else set(test_song_ids)
    if test_songs is not None and test_songs & validation_songs:
        raise ValueError(f"Songs cannot be in two splits: {sorted(test_songs & validation_songs)}.")
    unknown = sorted(validation_songs - {record.song_id for record in records})
    if unknown:
        raise ValueError(f"`validation_song_ids` must name songs of the folder, got unknown {', '.join(unknown)}.")
    jobs = []
    for split, members in split_by_song(records, test_song_ids=test_songs).items():
        for record in members:
            name = "validation" if split == "train" and record.song_id in validation_songs else split
            jobs.append((record, name, output_dir))
    jobs.sort(key=lambda job: -(job[0].duration_seconds or 0))
    progress = {"total": len(jobs), "unit": "clip"}
    columns = list(zip(*jobs, strict=True))
    if num_workers == 1:
        results = list(tqdm(map(prepare_clip, *columns), **progress))
    else:
        # Forked children of a process in which torch has started its threads hang.
        with ProcessPoolExecutor(num_workers, mp_context=multiprocessing.get_context("spawn")) as executor:
            results = list(tqdm(executor.map(prepare_clip, *columns), **progress))
    entries = sorted((asdict(entry) for result in results for entry in result), key=lambda entry: entry["clip_id"])
    with atomic_path(output_dir / INDEX_FILE) as partial:
        Path(partial).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return output_dir


def main() -> None:
    """Prepare a clip folder from the command line."""
    import yaml

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip_folder", type=Path, help="Folder with metadata.csv, see docs/data_format.md.")
    parser.add_argument("output_dir", type=Path, help="The prepared folder.")
    parser.add_argument("--splits", type=Path, help="YAML with the lists `validation` and `test` of song ids.")
    parser.add_argument("--num_workers", type=int, default=2, help="Processes (default: 2).")
    arguments = parser.parse_args()
    splits = {} if arguments.splits is None else yaml.safe_load(arguments.splits.read_text(encoding="utf-8"))
    folder = prepare_clip_folder(
        arguments.clip_folder,
        arguments.output_dir,
        validation_song_ids=splits.get("validation", ()),
        test_song_ids=splits.get("test"),
        num_workers=arguments.num_workers,
    )
    print(f"Wrote {folder / INDEX_FILE}")


if __name__ == "__main__":
    main()
