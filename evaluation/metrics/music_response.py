"""Whether a dance answers to what its music does besides the beat: silence, the end, and energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

REST_SHARE = 0.2
"""A dancer whose speed is under this share of the dance's mean speed rests."""
REST_SMOOTHING_SECONDS = 0.5
"""Speed is averaged over this time, so that the moment between two steps is no rest."""
SHORTEST_REST_SECONDS = 1.0
ENERGY_SMOOTHING_SECONDS = 2.0


@dataclass(frozen=True)
class SilenceResponse:
    """What a dancer does while nothing is heard.

    Args:
        speed_share: Mean speed in the silent passages over that in the rest of the dance.
        fall_seconds: `(passages,)`, time from the start of each passage until the speed falls under a fifth of the
            mean and stays there: from then to the end of the passage, which is a second or more, its mean is under a
            fifth, too. Infinite where it does not.
    """

    speed_share: float
    fall_seconds: np.ndarray


def silence_response(speed: np.ndarray, frame_rate: float, silences: Sequence[tuple[float, float]]) -> SilenceResponse:
    """Measure how a dance answers to silent passages of its music.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`, m/s.
        frame_rate: Hz.
        silences: Spans in seconds, as `audio.loudness.find_silences` gives them; what is after the dance is left out.

    Raises:
        ValueError: If no passage lies in the dance, or the dance is silent as a whole.
    """
    is_silent = np.zeros(len(speed), bool)
    spans = []
    for start_seconds, end_seconds in silences:
        start, end = round(start_seconds * frame_rate), min(round(end_seconds * frame_rate), len(speed))
        if start < end:
            is_silent[start:end] = True
            spans.append((start, end))
    if not spans or is_silent.all():
        raise ValueError(f"A part of the dance, and not all of it, must be silent, got silences {list(silences)}.")
    mean = speed[~is_silent].mean()
    smooth = _smooth(speed, frame_rate, REST_SMOOTHING_SECONDS)
    falls = []
    for start, end in spans:
        until_end = np.cumsum(speed[start:end][::-1])[::-1] / np.arange(end - start, 0, -1)
        is_resting = np.maximum(smooth[start:end], until_end) < REST_SHARE * mean
        resting = np.flatnonzero(is_resting[: max(0, end - start - round(SHORTEST_REST_SECONDS * frame_rate))])
        falls.append(resting[0] / frame_rate if len(resting) else np.inf)
    return SilenceResponse(_share(speed[is_silent].mean(), mean), np.array(falls))


def end_speed_share(speed: np.ndarray, frame_rate: float, last_bar_seconds: float) -> float:
    """Return the mean speed in the last bar over that of the whole dance: near 0 for an end pose.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`, m/s.
        frame_rate: Hz.
        last_bar_seconds: Length of the last bar; the dance must be longer.
    """
    num_frames = round(last_bar_seconds * frame_rate)
    if not 0 < num_frames < len(speed):
        raise ValueError(
            f"The last bar must be shorter than the dance of {len(speed) / frame_rate:.2f} s, got "
            f"{last_bar_seconds} s."
        )
    return _share(speed[-num_frames:].mean(), speed.mean())


def energy_correlation(speed: np.ndarray, energy: np.ndarray, frame_rate: float) -> float:
    """Return the correlation of the speed of a dance with an energy curve, both averaged over 2 s.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`, m/s.
        energy: `(frames,)`, such as the loudness of the song at each frame, in LU.
        frame_rate: Hz.

    Returns:
        From -1 to 1; NaN if one of them never changes.
    """
    if speed.shape != energy.shape or speed.ndim != 1:
        raise ValueError(
            f"`speed` and `energy` must both be of shape (frames,), got {speed.shape} and {energy.shape}."
        )
    first, second = (_smooth(curve, frame_rate, ENERGY_SMOOTHING_SECONDS) for curve in (speed, energy))
    if np.ptp(first) < 1e-9 or np.ptp(second) < 1e-9:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _smooth(curve: np.ndarray, frame_rate: float, seconds: float) -> np.ndarray:
    return uniform_filter1d(curve.astype(np.float64), max(1, round(seconds * frame_rate)), mode="nearest")


def _share(value: float, mean: float) -> float:
    return float(value / mean) if mean > 0 else float("nan")
