"""Options about the beats of a song, and the check of numbers before any work."""

from __future__ import annotations

import argparse


def add_beat_options(parser: argparse.ArgumentParser) -> None:
    """Add what corrects the beat tracker."""
    parser.add_argument("--bpm", type=float, help="tempo of the song, if the estimate is wrong; 30 to 300")
    parser.add_argument("--meter", type=int, help="beats in a bar, if the estimate is wrong; 1 to 12")
    parser.add_argument("--first-downbeat", type=float, help="time of a downbeat in seconds, if the estimate is wrong")


def check_beat_options(arguments: argparse.Namespace) -> None:
    """Raise `ValueError` for a number that no song has."""
    from ..audio.beats import MAX_BPM, MAX_METER, MIN_BPM
    from ..audio.loading import MAX_SECONDS

    check_range("--bpm", arguments.bpm, MIN_BPM, MAX_BPM, "beats a minute")
    check_range("--meter", arguments.meter, 1, MAX_METER, "beats in a bar")
    check_range("--first-downbeat", arguments.first_downbeat, 0, MAX_SECONDS, "seconds")


def check_range(option: str, value: float | None, low: float, high: float, unit: str = "") -> None:
    """Raise `ValueError` unless a number lies in a range, ends included, or was not given; NaN lies in none."""
    if value is not None and not low <= value <= high:
        raise ValueError(f"`{option}` must lie in {low:g} to {high:g}{unit and ' '}{unit}, got {value}.")
