"""Measure tempo and beat phase on the songs of a clip folder: `python -m benchmarks.tempo FOLDER`."""

import argparse
import csv
from pathlib import Path

import numpy as np

from infinitedance.audio.beats import estimate_beats
from infinitedance.audio.loading import load_audio
from infinitedance.audio.spectra import SAMPLING_RATE


def measure_song(row: dict[str, str], folder: Path) -> dict[str, float | int | str]:
    """Estimate the beats of one song, without and with its genre, and compare them with its known tempo.

    Args:
        row: A row of `metadata.csv`. Its bpm counts as known when the song is paired with a dance; then the song
            starts on a beat, too.
        folder: The folder of `metadata.csv`.

    Returns:
        Numbers of the song: tempos in bpm (NaN where unknown), the phase error in beats (mean difference of estimated
        and true beats, -0.5 to 0.5), and the estimated meters.
    """
    waveform = load_audio(folder / row["audio"])
    free = estimate_beats(waveform, SAMPLING_RATE)
    guided = estimate_beats(waveform, SAMPLING_RATE, genre=row["genre"])
    duration = len(waveform) / SAMPLING_RATE
    frame_times = np.arange(0, duration, 0.1)
    known = float(row["bpm"]) if row["bpm"] and row["paired"] == "1" else np.nan
    beats = guided.beat_times_seconds
    beats = beats[(beats >= 0) & (beats < duration)]
    return {
        "song": row["clip"],
        "genre": row["genre"],
        "known": known,
        "free": float(np.median(free.bpm(frame_times))),
        "guided": float(np.median(guided.bpm(frame_times))),
        "phase": float(np.angle(np.exp(2j * np.pi * beats * known / 60).mean()) / (2 * np.pi)),
        "free_meter": free.beats_per_bar,
        "guided_meter": guided.beats_per_bar,
    }


def is_octave_error(estimate: float, known: float) -> bool:
    """Tell whether a tempo is half, double or another simple multiple of the known one, within 4 %."""
    return any(abs(estimate / known / ratio - 1) < 0.04 for ratio in (1 / 3, 1 / 2, 2 / 3, 3 / 2, 2, 3))


def format_report(songs: list[dict]) -> str:
    """Format the measured songs as Markdown: a table and a summary.

    Args:
        songs: What `measure_song` returned.

    Returns:
        Markdown text.
    """
    lines = [
        "| song | genre | bpm | without genre | error | with it | error | phase error, beats | meter: with, without |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for song in songs:
        cells = [song["song"], song["genre"], "" if np.isnan(song["known"]) else f"{song['known']:.2f}"]
        for key in ("free", "guided"):
            error = song[key] / song["known"] - 1
            flag = " octave" if is_octave_error(song[key], song["known"]) else ""
            cells += [f"{song[key]:.2f}", "" if np.isnan(error) else f"{100 * error:+.2f} %{flag}"]
        cells.append("" if np.isnan(song["phase"]) else f"{song['phase']:+.3f}")
        cells.append(f"{song['guided_meter']}, {song['free_meter']}")
        lines.append("| " + " | ".join(cells) + " |")
    measured = [song for song in songs if not np.isnan(song["known"])]
    if measured:
        right = {key: sum(abs(s[key] / s["known"] - 1) < 0.02 for s in measured) for key in ("free", "guided")}
        octave = {key: sum(is_octave_error(s[key], s["known"]) for s in measured) for key in ("free", "guided")}
        phases = np.array([song["phase"] for song in measured])
        meters = sum(song["free_meter"] == song["guided_meter"] for song in measured)
        lines += [
            "",
            f"{len(measured)} songs with a known tempo. Within 2 %: {right['free']} without genre (octave errors: "
            f"{octave['free']}), {right['guided']} with genre (octave errors: {octave['guided']}). Phase error in "
            f"beats: median {np.median(np.abs(phases)):.3f}, mean {phases.mean():+.3f}, largest "
            f"{np.abs(phases).max():.3f}. Meter without genre as with it: {meters}.",
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the report of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with metadata.csv")
    folder = parser.parse_args().folder
    with open(folder / "metadata.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (folder / row["audio"]).is_file()]
    print(format_report([measure_song(row, folder) for row in rows]))


if __name__ == "__main__":
    main()
