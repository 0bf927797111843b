"""The trackers of beats that are measured, each a function of one signature."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infinitedance.audio.beats import estimate_beats
from infinitedance.utils.extras import is_installed

from .measures import TrackedBeats

Tracker = Callable[..., TrackedBeats]
"""`tracker(waveform, sampling_rate, *, bpm=None, genre=None)`; what it cannot use of the last two it ignores."""


def track_infinitedance(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the beats that this package dances to."""
    clock = estimate_beats(waveform, sampling_rate, bpm=bpm, genre=genre)
    times = clock.times_within(len(waveform) / sampling_rate)
    return TrackedBeats(
        np.array(times["beat_times_seconds"]), np.array(times["downbeat_times_seconds"]), clock.beats_per_bar
    )


def track_librosa(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the beats of `librosa.beat.beat_track`, which knows no bars and no genres."""
    from librosa.beat import beat_track

    _, times = beat_track(y=waveform, sr=sampling_rate, bpm=bpm, units="time")
    return TrackedBeats(times, None, None)


OURS = "infinitedance"
TRACKERS: dict[str, Tracker] = {OURS: track_infinitedance, "librosa": track_librosa}
"""By the name of the package that each needs."""


def installed_trackers() -> dict[str, Tracker]:
    """Return the trackers whose packages are installed."""
    return {name: tracker for name, tracker in TRACKERS.items() if is_installed(name)}
