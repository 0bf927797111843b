"""Section of the report on the command `infinitedance dance`: lengths, files, determinism and time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from infinitedance.dataset_builder.procedural.music import MUSIC_PATTERNS, SAMPLING_RATE, synthesize_music
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.files import read_motion

from ..held_out import ReportData

SONG_SECONDS = (1.0, 7.3, 61.0, 600.0)
REPEATED_SECONDS = 7.3
NO_VIDEO_SECONDS = 61.0


def speed_section(data: ReportData, song_seconds: Sequence[float] = SONG_SECONDS) -> list[Table]:
    """Run the command on songs of several lengths, each in a process of its own."""
    genre = next((genre for genre in data.genres if genre in MUSIC_PATTERNS), None)
    if genre is None:
        raise ValueError(
            f"One of the genres {data.genres} must be one of {list(MUSIC_PATTERNS)}, whose music is known."
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows: list[list[Cell]] = []
        runs = [(seconds, "bvh, npz, mp4") for seconds in song_seconds] + [(NO_VIDEO_SECONDS, "bvh, npz")]
        for seconds, files in runs:
            song = _write_song(folder, genre, seconds)
            options = () if "mp4" in files else ("--no-video",)
            elapsed, written = run_dance(data.model_dir, song, genre, 0, folder / files, *options)
            num_frames = read_motion(next(path for path in written if path.suffix == ".npz")).num_frames
            is_right = "yes" if num_frames == round(30 * seconds) else "no"
            rows.append([seconds, files, num_frames, is_right, elapsed, elapsed / seconds, seconds / elapsed])
        tables = [_repeat_table(data.model_dir, _write_song(folder, genre, REPEATED_SECONDS), genre, folder)]
    columns = ["song, s", "files", "frames", "round(30 s)", "elapsed, s", "elapsed per second", "times real time"]
    note = (
        "`infinitedance dance SONG --genre GENRE --seed 0 --output DIR`, all in: start of Python, loading, music, "
        "dance, files, rendering. Goal: 3 times real time on two cores, and no growth of the time per second."
    )
    return [Table("Lengths and time", columns, rows, note), *tables]


def run_dance(
    model_dir: Path, song: Path, genre: str, seed: int, output_dir: Path, *options: str
) -> tuple[float, list[Path]]:
    """Run `infinitedance dance` in a process of its own.

    Args:
        model_dir: The model.
        song: Audio file.
        genre: Genre.
        seed: Seed.
        output_dir: Where the files go.
        *options: Further options of the command.

    Returns:
        Seconds that it took and the files of this song and seed, sorted.

    Raises:
        RuntimeError: If the command fails, with its message.
    """
    command = [sys.executable, "-m", "infinitedance.cli", "dance", str(song), "--genre", genre, "--seed", str(seed)]
    command += ["--output", str(output_dir), "--model", str(model_dir.resolve()), *options]
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True)
    elapsed = time.perf_counter() - start
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr}")
    return elapsed, sorted(output_dir.glob(f"{song.stem}_{genre}_{seed}.*"))


def _repeat_table(model_dir: Path, song: Path, genre: str, folder: Path) -> Table:
    contents = []
    for number, seed in enumerate((0, 0, 1)):
        _, written = run_dance(model_dir, song, genre, seed, folder / f"repeat_{number}")
        contents.append({path.suffix: path.read_bytes() for path in written})
    first, again, other = contents
    rows: list[list[Cell]] = [
        [suffix, "yes" if first[suffix] == again[suffix] else "no", "yes" if first[suffix] == other[suffix] else "no"]
        for suffix in first
    ]
    return Table(
        "The same seed, the same bytes", ["file", "equal with the same seed", "equal with another seed"], rows
    )


def _write_song(folder: Path, genre: str, seconds: float) -> Path:
    import soundfile

    path = folder / f"song_{seconds:g}s.wav"
    bpm = sum(MUSIC_PATTERNS[genre].tempo_range_bpm) / 2
    soundfile.write(path, synthesize_music(genre, bpm, seconds, seed=0), SAMPLING_RATE, subtype="PCM_16")
    return path
