"""How well estimated beats agree with known ones: tempo and octave, phase, F-measures, downbeats, meter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from infinitedance.utils.extras import require_extra

TEMPO_WINDOW_BEATS = 8
TEMPO_TOLERANCES = (0.02, 0.04)
OCTAVE_CLASSES = {
    "same": 1.0,
    "double": 2.0,
    "half": 1 / 2,
    "3:2": 3 / 2,
    "2:3": 2 / 3,
    "4:3": 4 / 3,
    "3:4": 3 / 4,
    "triple": 3.0,
    "third": 1 / 3,
}
"""Estimated over known tempo."""
OTHER = "other"
PHASE_CLASSES = ("same", "half", "third")
"""Only where a whole number of known beats passes for each estimated one do all estimates lie alike in the beat."""
PHASE_TOLERANCE_BEATS = 0.1
COUNT_TOLERANCE_BEATS = 0.2
"""Up to here the nearest known beat says which count of the bar an estimated one is."""


class KnownBeats(NamedTuple):
    """Beats of a song.

    Args:
        times: `(beats,)`, seconds, increasing.
        downbeats: `(bars,)` of them that begin a bar.
        meter: Beats in a bar.
    """

    times: np.ndarray
    downbeats: np.ndarray
    meter: int


class TrackedBeats(NamedTuple):
    """Estimated beats of a song.

    Args:
        times: `(beats,)`, seconds, increasing.
        downbeats: `(bars,)` of them that begin a bar; `None` from a tracker that finds none.
        meter: Beats in a bar; `None` from a tracker that finds none.
    """

    times: np.ndarray
    downbeats: np.ndarray | None
    meter: int | None


@dataclass(frozen=True)
class BeatScores:
    """Agreement of estimated with known beats.

    Args:
        tempo_ratio: Estimated over known tempo: the median, over windows of 8 known beats, of estimated beats for
            each. Where the tempo moves, the estimate has to move with it.
        octave: A key of `OCTAVE_CLASSES` within 4 %, or `"other"`.
        phase: How late the estimated beats are on average, in known beats, from -0.5 to 0.5; NaN where the octave is
            none of `PHASE_CLASSES`, since beats then lie in the beat at several places.
        beat_f: F-measure of beats, 70 ms.
        downbeat_f: F-measure of downbeats, 70 ms; NaN from a tracker without downbeats.
        downbeat: Whether most estimated downbeats are known ones, 0 or 1: the right count of the bar is taken for one.
            NaN without downbeats, or where the beats themselves are wrong (another octave, or a phase beyond 0.2).
        taken_for_one: The count of the known bar that most estimated downbeats lie on, 1 where they are right; 0 where
            there is none.
        meter: Whether the beats of a bar are right, 0 or 1; NaN from a tracker without meter.
    """

    tempo_ratio: float
    octave: str
    phase: float
    beat_f: float
    downbeat_f: float
    downbeat: float
    taken_for_one: int
    meter: float

    @property
    def are_beats_right(self) -> bool:
        """Whether octave and phase are right."""
        return self.octave == "same" and self.is_phase_right

    @property
    def is_phase_right(self) -> bool:
        """Whether the beats lie within a tenth of a beat; never, where there is no phase."""
        return abs(self.phase) <= PHASE_TOLERANCE_BEATS

    def is_tempo_right(self, tolerance: float) -> bool:
        """Whether the tempo is right within a share of it."""
        return abs(self.tempo_ratio - 1) <= tolerance


def score_beats(truth: KnownBeats, estimate: TrackedBeats) -> BeatScores:
    """Compare estimated with known beats.

    Beats before 5 s count too, other than in `mir_eval.beat.evaluate`: a dance begins with its song.

    Args:
        truth: Known beats, with downbeats and meter.
        estimate: What a tracker returned.
    """
    require_extra("mir_eval", "evaluation", "The F-measure of beats")
    from mir_eval.beat import f_measure

    ratio = tempo_ratio(truth.times, estimate.times)
    octave = octave_class(ratio)
    phase = phase_error(truth.times, estimate.times) if octave in PHASE_CLASSES else math.nan
    downbeat_f, downbeat, taken_for_one = math.nan, math.nan, 0
    if estimate.downbeats is not None:
        downbeat_f = float(f_measure(truth.downbeats, estimate.downbeats))
        if octave == "same" and abs(phase) <= COUNT_TOLERANCE_BEATS:
            shares = downbeat_shares(truth, estimate.downbeats)
            taken_for_one = int(shares.argmax()) + 1 if shares.max() > 0.5 else 0
            downbeat = float(taken_for_one == 1)
    meter = math.nan if estimate.meter is None else float(estimate.meter == truth.meter)
    beat_f = float(f_measure(truth.times, estimate.times))
    return BeatScores(ratio, octave, phase, beat_f, downbeat_f, downbeat, taken_for_one, meter)


def tempo_ratio(known: np.ndarray, estimated: np.ndarray) -> float:
    """Return the median of estimated beats for each known beat, over windows of 8; NaN without two of each."""
    if len(estimated) < 2:
        return math.nan
    shared = known[(known >= estimated[0]) & (known <= estimated[-1])]
    if len(shared) < 2:
        return math.nan
    window = min(TEMPO_WINDOW_BEATS, len(shared) - 1)
    passed = np.interp(shared, estimated, np.arange(len(estimated)))
    return float(np.median(passed[window:] - passed[:-window])) / window


def octave_class(ratio: float) -> str:
    """Name the simple ratio within 4 % of estimated over known tempo."""
    names = [name for name, value in OCTAVE_CLASSES.items() if abs(ratio / value - 1) <= TEMPO_TOLERANCES[-1]]
    return names[0] if names else OTHER


def phase_error(known: np.ndarray, estimated: np.ndarray) -> float:
    """Return the circular mean of where in the known beat the estimated ones lie, -0.5 to 0.5 beats."""
    inside = estimated[(estimated >= known[0]) & (estimated <= known[-1])]
    if not len(inside):
        return math.nan
    positions = np.interp(inside, known, np.arange(len(known)))
    return float(np.angle(np.exp(2j * np.pi * positions).mean()) / (2 * np.pi))


def downbeat_shares(truth: KnownBeats, downbeats: np.ndarray) -> np.ndarray:
    """Return the share of estimated downbeats at each count of the known bar, `(meter,)`; 0 if there are none."""
    first = int(np.searchsorted(truth.times, truth.downbeats[0]))
    inside = downbeats[(downbeats >= truth.times[0]) & (downbeats <= truth.times[-1])]
    counts = np.round(np.interp(inside, truth.times, np.arange(len(truth.times)))).astype(int) - first
    return np.bincount(counts % truth.meter, minlength=truth.meter) / max(len(counts), 1)


def median_bpm(times: np.ndarray) -> float:
    """Return the median tempo of beats over windows of 8; NaN with fewer than two."""
    window = min(TEMPO_WINDOW_BEATS, len(times) - 1)
    return 60 * window / float(np.median(times[window:] - times[:-window])) if window > 0 else math.nan
