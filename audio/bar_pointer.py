"""The bar pointer: beats and bars as the best path through activations of beats and downbeats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ACTIVATION_RATE = 50
"""Activations a second."""
MAX_STEP_FRAMES = 3
"""How much longer or shorter a beat may be than the one before."""
ROUNDING_COST, CHANGE_COST = 0.6, 100.0
"""What a beat of another duration costs: one frame is rounding, more is a change of tempo, by its logarithm."""
MISSED = 0.02
"""A beat without any activation is as unlikely as this."""
REACH_OCTAVES = 0.7
"""How far outside the comfortable range a tempo may lie."""
DISCOMFORT, SLOW_COST, FAST_COST = 8.0, 1.5, 0.3
"""What a beat costs by the square of the octaves that it lies outside, and at most."""
METER_COSTS = {2: 0.05, 5: 0.15, 7: 0.15}
"""What a beat costs in a bar that is rare, or that is another's half."""
SILENT_FRAMES = ACTIVATION_RATE + 1
"""So long without any activation is silence."""
FIRST = 2 * MAX_STEP_FRAMES + 1


@dataclass(frozen=True)
class BarPath:
    """Beats of a song, each with its count.

    Args:
        frames: `(beats,)` frame of each beat.
        counts: `(beats,)` its count in the bar, from 0.
        meter: Beats in a bar.
    """

    frames: np.ndarray
    counts: np.ndarray
    meter: int


def observe(activations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn activations into log likelihoods.

    Args:
        activations: `(frames, 2)`: probability of a beat that begins no bar, and of one that begins a bar.

    Returns:
        `(frames, 2)` log likelihood of either around each frame, since two frames share a beat between them, and
        `(frames,)` of no beat at each frame.
    """
    activations = activations.astype(np.float64)
    padded = np.pad(activations, ((1, 1), (0, 0)))
    mass = 0.6 * padded[:-2] + padded[1:-1] + 0.6 * padded[2:]
    return np.log(np.clip(mass, MISSED, 1 - MISSED)), np.log(np.clip(1 - activations.sum(axis=1), 0.05, 1))


class BarPointer:
    """Dynamic program over bars (Whiteley 2006; Krebs, Böck and Widmer 2015), advanced frame by frame.

    A state is a count of a bar of one meter and the duration of the beat that begins with it. A beat may last up to
    three frames longer or shorter than the one before, at a cost; the meter of a path is constant. What is kept does
    not grow with the song.

    Args:
        meters: Beats in a bar that are possible.
        lowest_bpm: Slowest tempo that costs nothing.
        highest_bpm: Fastest tempo that costs nothing.
    """

    def __init__(self, meters: Sequence[int], lowest_bpm: float, highest_bpm: float):
        shortest = int(np.floor(60 * ACTIVATION_RATE / highest_bpm / 2**REACH_OCTAVES))
        longest = int(np.ceil(60 * ACTIVATION_RATE / lowest_bpm * 2**REACH_OCTAVES))
        self.durations = np.arange(shortest, longest + 1)
        octaves = np.log2(60 * ACTIVATION_RATE / self.durations)
        slow, fast = np.maximum(np.log2(lowest_bpm) - octaves, 0), np.maximum(octaves - np.log2(highest_bpm), 0)
        self.meters = np.concatenate([np.full(meter, meter) for meter in meters])
        self.counts = np.concatenate([np.arange(meter) for meter in meters])
        rare = np.array([METER_COSTS.get(int(meter), 0.0) for meter in self.meters])
        discomfort = np.minimum(DISCOMFORT * slow**2, SLOW_COST) + np.minimum(DISCOMFORT * fast**2, FAST_COST)
        self.beat_costs = rare[:, None] + discomfort
        rows = np.arange(len(self.counts))
        self.previous = np.where(self.counts == 0, rows + self.meters - 1, rows - 1)
        shifts = np.arange(-MAX_STEP_FRAMES, MAX_STEP_FRAMES + 1)[:, None]
        steps = np.abs(np.log(np.maximum(self.durations + shifts, 1) / self.durations)) - 1 / self.durations
        self.step_costs = np.where(shifts == 0, 0.0, ROUNDING_COST + CHANGE_COST * np.maximum(steps, 0.0))
        self.num_frames = 0
        self.size = longest + 4
        self._starts = np.full((self.size, len(rows), len(self.durations)), -np.inf)
        self._none_before = np.zeros(self.size)  # sums over the frames before each

    def advance(self, beat: np.ndarray, none: np.ndarray) -> np.ndarray:
        """Go on by some frames.

        Args:
            beat: `(frames, 2)` log likelihood of a beat that begins no bar around each frame, and of one that does.
            none: `(frames,)` log likelihood of no beat.

        Returns:
            `(frames, counts, pairs of durations)` uint8, see `source_of`: where the best path to a beat that begins at
            a frame comes from.
        """
        sources = np.zeros((len(beat), len(self.counts), (len(self.durations) + 1) // 2), np.uint8)
        _advance()(
            sources,
            self._starts,
            self._none_before,
            self.num_frames,
            beat,
            none,
            self.durations,
            self.counts == 0,
            self.previous,
            self.step_costs,
            self.beat_costs,
        )
        self.num_frames += len(beat)
        return sources

    def running(self) -> np.ndarray:
        """Return how likely it is that each beat is running after the last frame.

        Returns:
            `(ages, counts, durations)` log likelihoods; a beat of age 0 began at the last frame.
        """
        ages = np.arange(min(int(self.durations[-1]), self.num_frames))
        begin = self.num_frames - 1 - ages
        until = self._none_before[self.num_frames % self.size]
        quiet = until - self._none_before[np.minimum(begin + 2, self.num_frames) % self.size]
        scores = self._starts[begin % self.size] + quiet[:, None, None]
        return np.where(ages[:, None, None] < self.durations, scores, -np.inf)


def source_of(sources: np.ndarray, row: int, column: int) -> int:
    """Return how much longer than a beat the one before it lasted, in frames, plus 3; `FIRST` if there is none.

    Args:
        sources: `(counts, pairs of durations)` of a frame, two in each byte: an hour has 260 million of them.
        row: Which count of which meter.
        column: Which duration.
    """
    return int(sources[row, column // 2] >> (4 * (column % 2))) & 15


@lru_cache
def _advance() -> Callable[..., None]:
    """Compile the recursion of `BarPointer.advance`; numba, which comes with librosa, keeps the result on disk."""
    import numba

    return numba.njit(cache=True)(_recursion)


def _recursion(
    sources: np.ndarray,
    starts: np.ndarray,
    none_before: np.ndarray,
    num_before: int,
    beat: np.ndarray,
    none: np.ndarray,
    durations: np.ndarray,
    begins_bar: np.ndarray,
    previous: np.ndarray,
    step_costs: np.ndarray,
    beat_costs: np.ndarray,
) -> None:
    """Fill `sources`, and the rings `starts` and `none_before`, frame by frame."""
    size, num_rows, num_columns = starts.shape
    ended = np.empty((num_rows, num_columns))
    for index in range(len(beat)):
        frame = num_before + index
        for column in range(num_columns):
            begin = frame - durations[column]
            # A beat's own mass lies on the frames next to it as well; those say nothing against it.
            quiet = none_before[(frame - 1) % size] - none_before[(begin + 2) % size]
            for row in range(num_rows):
                ended[row, column] = starts[begin % size, row, column] + quiet if begin >= 0 else -np.inf
        for row in range(num_rows):
            heard = beat[index, 1] if begins_bar[row] else beat[index, 0]
            for column in range(num_columns):
                best, source = -np.inf, 0
                for shift in range(2 * MAX_STEP_FRAMES + 1):
                    other = column + shift - MAX_STEP_FRAMES
                    if 0 <= other < num_columns:
                        score = ended[previous[row], other] - step_costs[shift, column]
                        if score > best:
                            best, source = score, shift
                if durations[column] > frame and none_before[max(frame - 1, 0)] > best:
                    best, source = none_before[max(frame - 1, 0)], FIRST
                starts[frame % size, row, column] = best + heard - beat_costs[row, column]
                sources[index, row, column // 2] |= source << (4 * (column % 2))
        none_before[(frame + 1) % size] = none_before[frame % size] + none[index]


def best_bars(activations: np.ndarray, meters: Sequence[int], lowest_bpm: float, highest_bpm: float) -> BarPath:
    """Find the beats and the meter of a whole song.

    Args:
        activations: `(frames, 2)`, see `observe`; 50 a second.
        meters: Beats in a bar that are possible.
        lowest_bpm: Slowest tempo that costs nothing.
        highest_bpm: Fastest tempo that costs nothing.
    """
    from scipy.ndimage import maximum_filter1d

    pointer = BarPointer(meters, lowest_bpm, highest_bpm)
    beat, none = observe(activations)
    # Nothing speaks for or against a beat in silence: else a slow tempo, with few beats there, would be the best.
    beat[maximum_filter1d(activations.sum(axis=1), SILENT_FRAMES) == 0] = 0.0
    sources = pointer.advance(beat, none)
    scores = pointer.running()
    age, row, column = map(int, np.unravel_index(scores.argmax(), scores.shape))
    meter = int(pointer.meters[row])
    frame = len(activations) - 1 - age
    frames, counts = [], []
    while True:
        frames.append(frame)
        counts.append(int(pointer.counts[row]))
        source = source_of(sources[frame], row, column)
        if source == FIRST:
            return BarPath(np.array(frames[::-1]), np.array(counts[::-1]), meter)
        row, column = int(pointer.previous[row]), column + source - MAX_STEP_FRAMES
        frame -= int(pointer.durations[column])
