"""The clock of a dance whose beats are listed in a file, or are heard in nothing but the dance itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..audio.beats import GENRE_METERS, BeatClock
from ..evaluation.metrics.pulse import MIN_CYCLES, pulse_lock, pulse_phase, speed_curve
from ..motion.motion import Motion

PULSE_RANGE_BPM = (70.0, 150.0)
"""Slowest and fastest pulse that is looked for: one octave and a little more, so that one count is left."""
STATED_PULSE_TOLERANCE = 0.04
PULSE_STEP = 0.0025
MIN_PULSE_LOCK = 4.0
"""Least lock of a pulse that counts as one: the best of as many wrong tempos reaches it in one dance of ten."""


def fit_pulse_clock(motion: Motion, genre: str, pulse_bpm: float | None = None) -> BeatClock | None:
    """Fit beats to the steady pulse of a dance, slowest on the beat, as dances to known songs are at the median.

    Where the bar begins cannot be told from the dance: the first beat counts as a downbeat.

    Args:
        motion: The dance.
        genre: Sets the beats of a bar.
        pulse_bpm: The pulse, if it is known to a few percent; it is fitted more exactly.

    Returns:
        The clock, counted from the first frame; `None` if the dance has no clear pulse, or is too short to tell.
    """
    speed = speed_curve(motion.joint_positions(), motion.frame_rate) if motion.num_frames > 1 else np.zeros(1)
    if np.ptp(speed) == 0:
        return None
    low, high = PULSE_RANGE_BPM
    if pulse_bpm is not None:
        low, high = pulse_bpm * (1 - STATED_PULSE_TOLERANCE), pulse_bpm * (1 + STATED_PULSE_TOLERANCE)
    low = max(low, 60 * (MIN_CYCLES + 1) / motion.duration_seconds)
    if low >= high:
        return None
    frame_times = np.arange(motion.num_frames) / motion.frame_rate
    tempos = np.exp(np.arange(np.log(low), np.log(high), PULSE_STEP))
    locks = [pulse_lock(speed, frame_times * tempo / 60, 1.0) for tempo in tempos]
    if pulse_bpm is None and max(locks) < MIN_PULSE_LOCK:
        return None
    bpm = float(tempos[int(np.argmax(locks))])
    slowest_beats = (pulse_phase(speed, frame_times * bpm / 60, 1.0) + 0.5) % 1.0
    return BeatClock.steady(bpm, motion.duration_seconds, slowest_beats * 60 / bpm, GENRE_METERS.get(genre, 4))


def read_beats(path: Path, genre: str) -> BeatClock:
    """Read beats from a text file: a time in seconds a line, and after it, if known, its place in the bar from 1.

    Args:
        path: The file.
        genre: Sets the beats of a bar where the places are not given; the first beat counts as a downbeat then.

    Raises:
        ValueError: If the file holds something else, fewer than two beats, or places that do not count through bars
            of one meter.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        times = np.array([float(parts[0]) for parts in lines])
        places = [int(parts[1]) for parts in lines if len(parts) > 1]
    except ValueError as error:
        raise ValueError(f"{path} must hold a time in seconds, and the place in the bar, a line: {error}.") from error
    if places and (len(places) < len(lines) or not _counts_through_bars(places)):
        raise ValueError(
            f"{path} must give every beat its place in bars of one meter, 1 2 3 4 1 2 ..., or none, got "
            f"{' '.join(map(str, places[:12]))}{' ...' if len(places) > 12 else ''}."
        )
    meter = max(places) if places else GENRE_METERS.get(genre, 4)
    first_downbeat = places.index(1) if places else 0
    try:
        return BeatClock(times, beats_per_bar=meter, first_downbeat_index=first_downbeat)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _counts_through_bars(places: list[int]) -> bool:
    """Return whether places go up by one to the meter, then begin again, and hold a downbeat."""
    meter = max(places)
    followers = [place % meter + 1 if meter > 0 else 0 for place in places[:-1]]
    return min(places) == 1 and followers == places[1:]
