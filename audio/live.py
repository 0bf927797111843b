"""Beats of music that is still playing: heard block by block, with a bounded delay."""

from dataclasses import dataclass

import numpy as np

from .bar_pointer import ACTIVATION_RATE, BarPointer, observe
from .tempo_map import counted_octave, known_genre, possible_meters, tempo_range

REMEMBERED_BEATS = 9
FOLLOW_HOPS = 5
LEVEL_SECONDS = 4.0
LEVEL = 0.2
"""Root of the mean square that music of -14 LUFS has."""
SILENT_LEVEL = 1e-4
STEADY_POLE = 0.995
"""Of the filter that takes a constant offset out of the sound, under 20 Hz."""
CLEAR_BEAT = 0.05
SAME_TEMPO = 0.1
"""Intervals that differ by less than this share are of one tempo."""
TEMPERATURE = 4.0
"""The log likelihoods of neighboring frames are not independent; they count a quarter."""


@dataclass(frozen=True)
class LiveBeat:
    """What is known of the beat of music that is playing.

    Args:
        heard_seconds: How much has been heard.
        bpm: Tempo of the last beats.
        next_beat_seconds: When the next beat is expected, from the first sample on.
        next_count: Its count in the bar, from 1.
        beats_per_bar: Beats in a bar.
        confidence: 0 to 1: how likely the beats were, and how far other ways to count disagree about the next one.
    """

    heard_seconds: float
    bpm: float
    next_beat_seconds: float
    next_count: int
    beats_per_bar: int
    confidence: float


class LiveBeatTracker:
    """Tracker of beats for live music. It hears nothing of the future beyond `delay_seconds`.

    The same network as in `track_beats`, without the layer that hears what follows, and the same bar pointer.

    Args:
        genre: A key of `GENRE_TEMPO_RANGES`, which chooses the octave of the tempo and the meter.

    Example:
        ```python
        import numpy as np

        from infinitedance.audio.live import LiveBeatTracker

        tracker = LiveBeatTracker()
        beat = tracker.hear(np.zeros(2400, np.float32))  # 0.1 s at 24,000 Hz, as often as a block is there
        assert beat is None  # nothing has been heard yet
        ```
    """

    def __init__(self, genre: str | None = None):
        from .beat_network import HOP_SAMPLES, load_beat_network

        self._genre = genre = known_genre(genre)
        self._hop = HOP_SAMPLES
        self._network = load_beat_network()
        self._pointer = BarPointer(possible_meters(genre), *tempo_range(genre))
        self._state: tuple | None = None
        self._pending = np.zeros(0, np.float32)
        self._steady = np.zeros(1)
        self._latest = np.zeros(5 * HOP_SAMPLES, np.float32)  # a frame and the one before need so much
        self._num_hops = 0
        self._power = 0.0
        self._activations = np.zeros((3, 2))
        self._masses = np.zeros(self._pointer.durations[-1])
        self._beats: list[float] = []
        self._clarity: list[float] = []
        self._expected = (0.0, 0, 0)
        self._agreement = 0.0
        self._duration = 0.0

    @property
    def delay_seconds(self) -> float:
        """How long after a sound the tracker knows of it: two hops to fill the window, one to see a beat whole."""
        return 3 / ACTIVATION_RATE

    def hear(self, samples: np.ndarray) -> LiveBeat | None:
        """Go on by a block of sound.

        Args:
            samples: `(samples,)` mono, 24,000 Hz, of any length, which changes nothing in what is found.

        Returns:
            What is known now; `None` until three beats have been heard.

        Raises:
            ValueError: If the block is not mono or not finite.
        """
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise ValueError(f"A block must be mono and finite, with shape (samples,), got {samples.shape}.")
        from scipy.signal import lfilter

        steady, self._steady = lfilter([1.0, -1.0], [1.0, -STEADY_POLE], samples, zi=self._steady)
        self._pending = np.concatenate([self._pending, steady.astype(np.float32)])
        while len(self._pending) >= self._hop:
            hop, self._pending = np.split(self._pending, [self._hop])
            self._hear_hop(hop)
        return self._estimate()

    def _hear_hop(self, hop: np.ndarray) -> None:
        self._num_hops += 1
        self._latest = np.concatenate([self._latest[self._hop :], hop])
        share = 1 / min(self._num_hops, LEVEL_SECONDS * ACTIVATION_RATE)
        self._power += share * (float((hop.astype(np.float64) ** 2).mean()) - self._power)
        self._activations = np.concatenate([self._activations[1:], self._activate()])
        if self._num_hops < 3:
            return
        beat, none = observe(self._activations)
        self._pointer.advance(beat[1:2], none[1:2])
        self._masses = np.append(self._masses[1:], min(float(np.exp(beat[1]).sum()), 1.0))
        if self._num_hops % FOLLOW_HOPS == 0:
            self._follow()

    def _activate(self) -> np.ndarray:
        """Return the activations `(1, 2)` of the frame two hops before the end of what was heard."""
        import torch

        from .beat_network import beat_features, to_probabilities

        if self._power < SILENT_LEVEL**2:
            return np.zeros((1, 2))
        features = beat_features(self._latest, 3, 4, LEVEL / np.sqrt(self._power))
        with torch.inference_mode():
            hidden, self._state = self._network.hear(torch.from_numpy(features)[None], self._state)
            return to_probabilities(self._network.causal_head(hidden)[0])

    def _follow(self) -> None:
        """Note the latest beat of the best path, and when the next one is expected."""
        scores = self._pointer.running()
        age, row, column = np.unravel_index(scores.argmax(), scores.shape)
        now = (self._pointer.num_frames - 1) / ACTIVATION_RATE
        duration = float(self._pointer.durations[column]) / ACTIVATION_RATE
        began = now - age / ACTIVATION_RATE
        self._duration = duration
        if not self._beats or began - self._beats[-1] > 0.6 * duration:
            self._beats = [*self._beats, began][-REMEMBERED_BEATS:]
            self._clarity = [*self._clarity, float(self._masses[-1 - age])][-REMEMBERED_BEATS:]
        elif abs(began - self._beats[-1]) > 0.03:  # the best path has changed
            self._beats = [*self._beats[:-1], began]
        share = np.exp((scores - scores.max()) / TEMPERATURE)
        remaining = self._pointer.durations - np.arange(len(scores))[:, None]
        agree = np.abs(remaining - remaining[age, column]) <= 2
        self._agreement = float((share.sum(axis=1) * agree).sum() / share.sum())
        count = int(self._pointer.counts[row]) + 1
        self._expected = (began + duration, count % int(self._pointer.meters[row]) + 1, int(self._pointer.meters[row]))

    def _interval(self) -> float:
        """Return the mean of the last intervals that agree with the running beat; its own length if none does."""
        intervals = np.diff(self._beats)[::-1]
        differ = np.abs(intervals / self._duration - 1) > SAME_TEMPO
        agreeing = intervals[: int(differ.argmax()) if differ.any() else len(intervals)]
        return float(agreeing.mean()) if len(agreeing) else self._duration

    def _estimate(self) -> LiveBeat | None:
        """Return what is known, counted as the octave policy says; `None` where there is no beat."""
        if len(self._beats) < 3 or np.mean(self._clarity) < CLEAR_BEAT:
            return None
        heard = self._num_hops / ACTIVATION_RATE
        interval = self._interval()
        next_beat, count, meter = self._expected
        while next_beat <= heard:
            next_beat, count = next_beat + interval, count % meter + 1
        octave = counted_octave(60 / interval, meter, self._genre)
        if octave < 1:
            next_beat += interval * (count % 2 == 0)
            count, meter, interval = count // 2 % max(1, meter // 2) + 1, max(2, meter // 2), 2 * interval
        elif octave > 1:
            interval, count, meter = interval / 2, (2 * count - 2) % 4 + 1, 4
            if next_beat - interval > heard:
                next_beat, count = next_beat - interval, (count - 2) % 4 + 1
        confidence = float(np.mean(self._clarity)) * self._agreement
        return LiveBeat(heard, 60 / interval, next_beat, count, meter, confidence)
