"""A data set made by rule, for tests and for a first run without any data (docs/data_format.md)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ...motion.files.npz import save_motion
from ...utils.atomic import atomic_folder
from ..clip_folder import METADATA_FILE
from .dance import synthesize_dance
from .music import MUSIC_PATTERNS, SAMPLING_RATE, synthesize_music

MIN_SECONDS, MAX_SECONDS = 1.0, 600.0
MAX_CLIPS = 1_000_000


def make_procedural_dataset(output_dir: str | Path, num_clips: int, seconds: float, seed: int = 0) -> Path:
    """Write a clip folder of synthesized songs, each with a dance to it; the genres take turns.

    The first frame and the first sample of every clip are the first beat of a bar, and the tempo is steady. The same
    arguments write the same bytes.

    Args:
        output_dir: A folder that does not exist or is empty.
        num_clips: Number of songs, one dance each.
        seconds: Length of each clip.
        seed: Another seed makes other songs and dances.

    Returns:
        `output_dir`.

    Raises:
        FileExistsError: If the folder holds anything.
        ValueError: If `num_clips` or `seconds` is out of range.
    """
    if not 1 <= num_clips <= MAX_CLIPS:
        raise ValueError(f"`num_clips` must lie in 1 to {MAX_CLIPS:,}, got {num_clips}.")
    if not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise ValueError(f"`seconds` must lie in {MIN_SECONDS} to {MAX_SECONDS:g}, got {seconds}.")
    with atomic_folder(output_dir) as folder:
        _write_clips(folder, num_clips, seconds, seed)
    return Path(output_dir)


def _write_clips(folder: Path, num_clips: int, seconds: float, seed: int) -> None:
    import soundfile

    (folder / "motion").mkdir()
    (folder / "audio").mkdir()
    rows = []
    genres = list(MUSIC_PATTERNS)
    for index in range(num_clips):
        genre = genres[index % len(genres)]
        clip_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        bpm = round(float(np.random.default_rng(clip_seed).uniform(*MUSIC_PATTERNS[genre].tempo_range_bpm)), 2)
        clip_id = f"{genre}_{index:04d}"
        waveform = synthesize_music(genre, bpm, seconds, seed=clip_seed)
        # WAV, since an Ogg file carries a random serial number.
        soundfile.write(folder / "audio" / f"{clip_id}.wav", waveform, SAMPLING_RATE, subtype="PCM_16")
        save_motion(synthesize_dance(genre, bpm, seconds, seed=clip_seed), folder / "motion" / f"{clip_id}.npz")
        rows.append(
            {
                "clip": clip_id,
                "file": f"motion/{clip_id}.npz",
                "genre": genre,
                "audio": f"audio/{clip_id}.wav",
                "song_id": clip_id,
                "aligned": 1,
                "bpm": bpm,
                "beats_per_bar": MUSIC_PATTERNS[genre].beats_per_bar,
                "seconds": seconds,
                "source": "procedural",
                "license": "CC0-1.0",
            }
        )
    with (folder / METADATA_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
