"""Whether a dance moves with the pulse of its music: lock and phase.

Beat alignment alone cannot tell a dance from the same dance shifted in time; the lock to a known tempo can. A *beat
phase* counts the beats of the music, continuously, at every frame: steady and changing tempo are then one case.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d

NEIGHBORHOOD = (0.05, 0.30)
"""Nearest and farthest frequency that a pulse is compared with, as shares of its own."""
MIN_CYCLES = 8
SMOOTHING_SECONDS = 0.1


def speed_curve(joint_positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the mean speed of all joints at each frame, in m/s.

    The speed of a frame is the mean of the steps before and after it, so that nothing is shifted in time.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres, in the world.
        frame_rate: Hz.

    Returns:
        `(frames,)`.
    """
    if joint_positions.ndim != 3 or len(joint_positions) < 2 or joint_positions.shape[2] != 3:
        raise ValueError(f"`joint_positions` must have shape (frames >= 2, joints, 3), got {joint_positions.shape}.")
    steps = np.linalg.norm(np.diff(joint_positions, axis=0), axis=-1).mean(axis=1) * frame_rate
    return np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])


def steady_beat_phase(num_frames: int, frame_rate: float, bpm: float) -> np.ndarray:
    """Count the beats of a steady tempo at each frame, `(num_frames,)`; frame 0 is a beat.

    Args:
        num_frames: Number of frames.
        frame_rate: Hz.
        bpm: Beats per minute.
    """
    return np.arange(num_frames) / frame_rate * bpm / 60


def pulse_lock(speed: np.ndarray, beat_phase: np.ndarray, cycles_per_beat: float) -> float:
    """Measure how much a speed curve pulses with the music: power at the pulse over the power around it.

    The power of `speed` over the beats of the music, at `cycles_per_beat`, is divided by the mean power 5 to 30 %
    below and above. Without lock the expected value is about 1 (1.15 for 15 cycles of the pulse, 1.05 for 45), with
    the wide scatter of a single periodogram value (one in twenty is above 3): judge means of several dances. A lock
    grows with the length of the clip: compare equal lengths.

    Args:
        speed: `(frames,)`, from `speed_curve`.
        beat_phase: `(frames,)`, rising: beats since any beat.
        cycles_per_beat: Frequency of the dance's pulse: 1/3 for a waltz, 1/2 where steps fall on every second beat.

    Returns:
        The lock, at least 0.

    Raises:
        ValueError: If shapes differ, the beats do not rise, the clip has fewer than 8 cycles of the pulse, or nothing
            moves faster or slower at any time.
    """
    _check_curve(speed, beat_phase, cycles_per_beat)
    offsets = np.linspace(*NEIGHBORHOOD, 51)
    around = cycles_per_beat * np.concatenate([1 - offsets, 1 + offsets])
    power = np.abs(_spectrum(speed, beat_phase, np.concatenate([[cycles_per_beat], around]))) ** 2
    return float(power[0] / power[1:].mean())


def pulse_phase(speed: np.ndarray, beat_phase: np.ndarray, cycles_per_beat: float) -> float:
    """Return where in its cycle a dance is fastest, in beats: the phase of the curve's pulse.

    Args:
        speed: As in `pulse_lock`, like all that follows.
        beat_phase: See `pulse_lock`.
        cycles_per_beat: See `pulse_lock`.

    Returns:
        Beats from the start of a cycle, in `[0, 1 / cycles_per_beat)`.
    """
    _check_curve(speed, beat_phase, cycles_per_beat)
    angle = np.angle(_spectrum(speed, beat_phase, np.array([cycles_per_beat]))[0])
    return float(-angle / (2 * np.pi) % 1.0 / cycles_per_beat)


def phase_difference_beats(phase: float, other_phase: float, cycles_per_beat: float) -> float:
    """Return how much later one phase is than another, in beats, in `[-0.5, 0.5) / cycles_per_beat`."""
    return float(((phase - other_phase) * cycles_per_beat + 0.5) % 1.0 - 0.5) / cycles_per_beat


def slow_times_seconds(joint_positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return when a dance is slowest: the minima of the speed curve, smoothed over 0.1 s, `(minima,)`."""
    smooth = gaussian_filter1d(speed_curve(joint_positions, frame_rate), SMOOTHING_SECONDS * frame_rate)
    is_minimum = (smooth[1:-1] < smooth[:-2]) & (smooth[1:-1] <= smooth[2:])
    return (np.flatnonzero(is_minimum) + 1) / frame_rate


def mean_nearness(times: np.ndarray, targets: np.ndarray, sigma: float) -> float:
    """Return the mean of `exp(-d^2 / (2 sigma^2))` over times, d = the distance to the nearest target.

    Args:
        times: `(times,)`, in any unit; what is averaged over.
        targets: `(targets,)`, in the same unit.
        sigma: Tolerance, in the same unit.

    Returns:
        From 0 to 1; 0 if there is no time or no target.
    """
    if len(times) == 0 or len(targets) == 0:
        return 0.0
    distances = np.abs(np.subtract.outer(times, targets)).min(axis=1)
    return float(np.exp(-(distances**2) / (2 * sigma**2)).mean())


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, num: int = 2000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean.

    Args:
        values: One number for each independent unit (a song; average its seeds first).
        num: Resamples.
        seed: Of the resamples.
        level: Share of resampled means inside.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If there is no value, or one is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"`values` must be one or more finite numbers, got {values}.")
    draws = np.random.default_rng(seed).integers(len(values), size=(num, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_curve(speed: np.ndarray, beat_phase: np.ndarray, cycles_per_beat: float) -> None:
    if np.ndim(speed) != 1 or np.shape(speed) != np.shape(beat_phase):
        raise ValueError(
            f"`speed` and `beat_phase` must both have shape (frames,), got {np.shape(speed)} and "
            f"{np.shape(beat_phase)}."
        )
    if not cycles_per_beat > 0:
        raise ValueError(f"`cycles_per_beat` must be positive, got {cycles_per_beat}.")
    if not (np.diff(beat_phase) > 0).all():
        raise ValueError("`beat_phase` must rise from frame to frame.")
    num_cycles = (beat_phase[-1] - beat_phase[0]) * cycles_per_beat
    if num_cycles < MIN_CYCLES:
        raise ValueError(f"The clip must last at least {MIN_CYCLES} cycles of the pulse, got {num_cycles:.1f}.")
    if not np.isfinite(speed).all() or np.ptp(speed) == 0:
        raise ValueError("`speed` must be finite and vary: a dancer who never moves has no pulse.")


def _spectrum(speed: np.ndarray, beat_phase: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Integrate `speed * exp(-2 pi i f phase)` over the beats at each frequency, in cycles per beat.

    No window: the nearest neighbors are already one main lobe away after 20 cycles.
    """
    beats_per_frame = np.gradient(beat_phase)
    centered = speed - (speed * beats_per_frame).sum() / beats_per_frame.sum()
    return np.exp(-2j * np.pi * np.outer(frequencies, beat_phase)) @ (centered * beats_per_frame)
