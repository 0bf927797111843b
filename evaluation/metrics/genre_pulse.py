"""The pulse of each genre: at which multiple of the beat its real dances pulse, and whether a dance does so, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .pulse import MIN_CYCLES, pulse_lock, pulse_phase

FEWEST_DANCES = 3
"""A multiple that fewer real dances are long enough for is no genre's own, if another one is not so."""


@dataclass(frozen=True)
class PulseSpectrum:
    """How much a dance pulses at multiples of the beat.

    Args:
        multiples: `(multiples,)`, cycles a beat.
        locks: `(multiples,)` of `pulse.pulse_lock`; NaN where the dance has fewer than 8 cycles, 0 if it never moves.
        phases: `(multiples,)` of `pulse.pulse_phase`: where it is fastest, in beats after a downbeat if the beat phase
            counts from one; NaN where there is no lock.
    """

    multiples: np.ndarray
    locks: np.ndarray
    phases: np.ndarray

    def at(self, cycles_per_beat: float) -> tuple[float, float]:
        """Return lock and phase at one of the multiples."""
        index = int(np.abs(self.multiples - cycles_per_beat).argmin())
        return float(self.locks[index]), float(self.phases[index])


@dataclass(frozen=True)
class GenrePulse:
    """The pulse of a genre's real dances.

    Args:
        cycles_per_beat: The multiple at which they pulse most.
        lock: Mean lock there.
        phase: Circular mean of their phases there, in beats.
        coherence: 1 if all have the same phase, 0 if phases are spread evenly.
        num_dances: Real dances that are long enough for it.
    """

    cycles_per_beat: float
    lock: float
    phase: float
    coherence: float
    num_dances: int


def pulse_multiples(beats_per_bar: int) -> tuple[float, ...]:
    """Return the multiples of the beat at which dances pulse, in cycles a beat.

    Args:
        beats_per_bar: A bar of 3 has pulses of 3 and 1.5 beats, others have pulses of 4 and 2; all of 1 and 1/2.
    """
    return (1 / 3, 2 / 3, 1.0, 2.0) if beats_per_bar % 3 == 0 else (1 / 4, 1 / 2, 1.0, 2.0)


def pulse_spectrum(speed: np.ndarray, beat_phase: np.ndarray, multiples: Sequence[float]) -> PulseSpectrum:
    """Measure lock and phase of a dance at several multiples of the beat.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`, m/s.
        beat_phase: `(frames,)`, rising, beats since a downbeat.
        multiples: Cycles a beat.
    """
    locks, phases = np.full((2, len(multiples)), np.nan)
    num_beats = beat_phase[-1] - beat_phase[0]
    for index, multiple in enumerate(multiples):
        if np.ptp(speed) == 0:
            locks[index] = 0.0
        elif num_beats * multiple >= MIN_CYCLES:
            locks[index] = pulse_lock(speed, beat_phase, multiple)
            phases[index] = pulse_phase(speed, beat_phase, multiple)
    return PulseSpectrum(np.asarray(multiples, float), locks, phases)


def genre_pulse(spectra: Sequence[PulseSpectrum]) -> GenrePulse:
    """Find at which multiple the real dances of a genre pulse: where their mean lock, times coherence, is greatest.

    A lock alone may be large by chance in a few short dances; phases by chance are not the same.

    Args:
        spectra: Of the real dances, at the same multiples.

    Raises:
        ValueError: If no dance is long enough for any multiple.
    """
    locks, phases = np.array([each.locks for each in spectra]), np.array([each.phases for each in spectra])
    counts = np.isfinite(phases).sum(axis=0)
    is_usable = counts >= min(FEWEST_DANCES, counts.max())
    if counts.max() == 0:
        raise ValueError(f"At least one real dance must last {MIN_CYCLES} cycles of a pulse, got none.")
    pulses = [
        _mean_pulse(float(multiple), locks[:, index], phases[:, index])
        for index, multiple in enumerate(spectra[0].multiples)
        if is_usable[index]
    ]
    return max(pulses, key=lambda pulse: pulse.lock * pulse.coherence)


def tempo_change_locks(
    speed: np.ndarray, beat_phase: np.ndarray, change_frame: int, cycles_per_beat: float
) -> dict[str, float]:
    """Measure whether a dance follows a jump of the tempo.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`.
        beat_phase: `(frames,)`, of the song, whose tempo is steady before and after the jump.
        change_frame: First frame of the new tempo.
        cycles_per_beat: The pulse of the genre.

    Returns:
        `before` and `after`: locks to the tempo of each part; `before_other` and `after_other`: to that of the other
        part, which by chance are about 1.

    Raises:
        ValueError: If a part has fewer than 8 cycles of the pulse, in either tempo, or nothing moves.
    """
    parts = {"before": slice(0, change_frame), "after": slice(change_frame, len(speed))}
    rates = {name: float(np.gradient(beat_phase[part]).mean()) for name, part in parts.items()}
    locks = {}
    for name, other in (("before", "after"), ("after", "before")):
        heard, phase = speed[parts[name]], beat_phase[parts[name]]
        locks[name] = pulse_lock(heard, phase, cycles_per_beat)
        locks[f"{name}_other"] = pulse_lock(heard, np.arange(len(heard)) * rates[other], cycles_per_beat)
    return locks


def _mean_pulse(cycles_per_beat: float, locks: np.ndarray, phases: np.ndarray) -> GenrePulse:
    phases = phases[np.isfinite(phases)]
    mean = np.exp(2j * np.pi * cycles_per_beat * phases).mean()
    phase = float(np.angle(mean) / (2 * np.pi) % 1.0 / cycles_per_beat)
    return GenrePulse(cycles_per_beat, float(np.nanmean(locks)), phase, float(abs(mean)), len(phases))
