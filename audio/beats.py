"""Beats: one steady tempo map for a whole song, and the beat clock that a dance follows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .bar_pointer import ACTIVATION_RATE, METER_COSTS, best_bars, observe
from .spectra import ONSET_HOP, ONSET_RATE, check_waveform, onset_envelopes, reference_gain
from .tempo_map import (
    GENRE_METERS,
    GENRE_TEMPO_RANGES,
    counted_octave,
    extend_beats,
    fit_beats,
    known_genre,
    possible_meters,
    steady_grid,
    tempo_range,
)

__all__ = [
    "GENRE_METERS",
    "GENRE_TEMPO_RANGES",
    "BeatAlternative",
    "BeatClock",
    "BeatEstimate",
    "estimate_beats",
    "track_beats",
]

logger = logging.getLogger(__name__)

CYCLES_PER_BEAT, CYCLES_PER_BAR = (2.0, 1.0), (1.0, 1 / 2, 1 / 4)
BEAT_CLOCK_SIZE = 2 * len(CYCLES_PER_BEAT + CYCLES_PER_BAR) + 1
REFERENCE_BPM = 120.0
MIN_BPM, MAX_BPM = 30.0, 300.0
MAX_METER = 12
START_TOLERANCE_SECONDS = 0.02
ACCENT_WEIGHT = 0.3
"""How much a nat of the accents of low sounds counts beside one of the network, which has heard them, too."""
CLEAR_BEAT = 0.1
"""A song whose beats are less likely than this on average has none."""
UNKNOWN_BPM = 100.0
HEARD_ACTIVITY = 0.05
"""Beats before the first and after the last that is likelier than this were not heard."""
LIKELIER_HALF = 1.15
"""Of every other beat those that do not begin the bar are counted if they are this much more active."""
COMPOUND_RATIO = 1.3
"""A beat is in three parts if the thirds are this much more active than the half."""


@dataclass(frozen=True, eq=False)
class BeatClock:
    """The beats of a song, counted from its first downbeat.

    Args:
        beat_times_seconds: `(beats,)` strictly increasing, from the start of the song or before it to its end or
            after it. Before the first and after the last beat the tempo of the nearest beats goes on.
        beats_per_bar: 3 for a waltz, else mostly 4.
        first_downbeat_index: Which beat is the first one of a bar.
    """

    beat_times_seconds: np.ndarray
    beats_per_bar: int = 4
    first_downbeat_index: int = 0

    def __post_init__(self):
        times = np.asarray(self.beat_times_seconds, dtype=np.float64)
        if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
            raise ValueError(
                "`beat_times_seconds` must hold two or more finite, strictly increasing times in seconds."
            )
        if self.beats_per_bar < 1:
            raise ValueError(f"`beats_per_bar` must be at least 1, got {self.beats_per_bar}.")
        if not 0 <= self.first_downbeat_index < len(times):
            raise ValueError(f"`first_downbeat_index` must lie in [0, {len(times)}), got {self.first_downbeat_index}.")
        object.__setattr__(self, "beat_times_seconds", times)

    def equals(self, other: "BeatClock") -> bool:
        """Return whether another clock counts the same beats in the same way."""
        return (
            np.array_equal(self.beat_times_seconds, other.beat_times_seconds)
            and self.beats_per_bar == other.beats_per_bar
            and self.first_downbeat_index == other.first_downbeat_index
        )

    @classmethod
    def steady(
        cls, bpm: float, duration_seconds: float, first_beat_seconds: float = 0.0, meter: int = 4
    ) -> "BeatClock":
        """Make the clock of a song with one known tempo.

        Args:
            bpm: Beats per minute.
            duration_seconds: Length of the song.
            first_beat_seconds: Time of a downbeat, from which the beats are counted.
            meter: Beats per bar.

        Returns:
            A clock whose phase is 0 at `first_beat_seconds`.
        """
        _check_bpm(bpm)
        period = 60.0 / bpm
        num_before = max(0, int(np.ceil(first_beat_seconds / period)))
        num_after = max(1, int(np.ceil((duration_seconds - first_beat_seconds) / period)))
        times = first_beat_seconds + period * np.arange(-num_before, num_after + 1)
        return cls(times, beats_per_bar=meter, first_downbeat_index=num_before)

    def times_within(self, duration_seconds: float) -> dict[str, list[float]]:
        """Return the beats from 0 to `duration_seconds`, to the millisecond, as a dance's provenance holds them.

        Returns:
            `beat_times_seconds`, and of these the first ones of bars as `downbeat_times_seconds`.
        """
        times = np.round(self.beat_times_seconds, 3)
        times[np.abs(times) <= START_TOLERANCE_SECONDS] = 0.0  # a song that begins on a beat
        is_inside = (times >= 0) & (times < duration_seconds)
        is_downbeat = (np.arange(len(times)) - self.first_downbeat_index) % self.beats_per_bar == 0
        return {
            "beat_times_seconds": times[is_inside].tolist(),
            "downbeat_times_seconds": times[is_inside & is_downbeat].tolist(),
        }

    def phase(self, frame_times: np.ndarray) -> np.ndarray:
        """Count beats at given times.

        Args:
            frame_times: Times in seconds, any shape.

        Returns:
            Beats since the first downbeat, continuous, of the shape of `frame_times`.
        """
        beats = self.beat_times_seconds
        seconds = np.asarray(frame_times, dtype=np.float64)
        phase = np.interp(seconds, beats, np.arange(len(beats), dtype=np.float64))
        phase += np.minimum(seconds - beats[0], 0) / (beats[1] - beats[0])
        phase += np.maximum(seconds - beats[-1], 0) / (beats[-1] - beats[-2])
        return phase - self.first_downbeat_index

    def bpm(self, frame_times: np.ndarray) -> np.ndarray:
        """Return the local tempo at given times.

        Args:
            frame_times: Times in seconds, any shape.

        Returns:
            Beats per minute, of the shape of `frame_times`: the median of the five intervals around each time, so
            that the one odd interval at a change of tempo does not show.
        """
        from scipy.ndimage import median_filter

        beats = self.beat_times_seconds
        intervals = median_filter(np.diff(beats), size=5, mode="nearest")
        return 60.0 / intervals[np.clip(np.searchsorted(beats, frame_times, side="right") - 1, 0, len(intervals) - 1)]

    def to_features(self, num_frames: int, frame_rate: float = 30) -> np.ndarray:
        """Return the clock as music features.

        Args:
            num_frames: Number of frames; frame k is at `k / frame_rate` seconds.
            frame_rate: Frames per second.

        Returns:
            `(num_frames, 11)` float32: sine and cosine of the phase at 2 and 1 cycles a beat and at 1, 1/2 and 1/4
            cycles a bar, then `log2(bpm / 120)`.
        """
        frame_times = np.arange(num_frames) / frame_rate
        cycles = (*CYCLES_PER_BEAT, *(per_bar / self.beats_per_bar for per_bar in CYCLES_PER_BAR))
        angles = 2 * np.pi * self.phase(frame_times)[:, None] * np.array(cycles)
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(num_frames, -1)
        tempo = np.log2(self.bpm(frame_times) / REFERENCE_BPM)
        return np.concatenate([waves, tempo[:, None]], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class BeatAlternative:
    """Another way to count a song.

    Args:
        kind: `"half"` or `"double"` the tempo, or `"next downbeat"`: the bar begins at another beat.
        clock: The beats counted in this way.
        confidence: 0 to 1, on the scale of `BeatEstimate.confidence`.
    """

    kind: str
    clock: BeatClock
    confidence: float


@dataclass(frozen=True, eq=False)
class BeatEstimate:
    """How a song is counted, and how else it may be.

    Args:
        clock: The most likely beats.
        confidence: 0 to 1: how clearly the song has these beats.
        alternatives: Other ways to count it, the most likely first.
    """

    clock: BeatClock
    confidence: float
    alternatives: tuple[BeatAlternative, ...]


@dataclass(frozen=True, eq=False)
class HeardBeats:
    """What beats are found from, however they are counted then.

    Args:
        activations: Probabilities of a beat that begins no bar and of one that does, `(frames, 2)`, 50 a second.
        onsets: How strongly sounds begin, 120 a second.
        low_onsets: Likewise of low sounds.
    """

    activations: np.ndarray
    onsets: np.ndarray
    low_onsets: np.ndarray

    @property
    def activity(self) -> np.ndarray:
        return self.activations.sum(axis=1)


def estimate_beats(
    waveform: np.ndarray,
    sampling_rate: int,
    *,
    genre: str | None = None,
    bpm: float | None = None,
    meter: int | None = None,
    first_downbeat_seconds: float | None = None,
) -> BeatClock:
    """Return the beats of a song; `track_beats` also says how sure they are and how else they may be counted."""
    return track_beats(
        waveform, sampling_rate, genre=genre, bpm=bpm, meter=meter, first_downbeat_seconds=first_downbeat_seconds
    ).clock


def track_beats(
    waveform: np.ndarray,
    sampling_rate: int,
    *,
    genre: str | None = None,
    bpm: float | None = None,
    meter: int | None = None,
    first_downbeat_seconds: float | None = None,
    heard: HeardBeats | None = None,
) -> BeatEstimate:
    """Find the beats and bars of a whole song.

    A recurrent network says how likely each fiftieth of a second is a beat or a downbeat; a bar pointer finds the best
    path through the song; the beats of the path are made even, with another tempo only where the music has one. Which
    of half, whole and double tempo is counted, `audio.tempo_map` states.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.
        genre: A key of `GENRE_TEMPO_RANGES` chooses the octave of the tempo and the meter; another name says nothing.
        bpm: The tempo of the whole song, if known. It is kept to the digit.
        meter: Beats per bar, if known.
        first_downbeat_seconds: Time of a downbeat, if known.
        heard: What `hear_beats` found in this waveform, if that was done before.

    Returns:
        The clock of the song, with its confidence and alternatives.

    Raises:
        ValueError: If the waveform or one of the overrides is out of range.
    """
    waveform = check_waveform(waveform, sampling_rate)
    duration = len(waveform) / sampling_rate
    if bpm is not None:
        _check_bpm(bpm)
    if meter is not None and not 1 <= meter <= MAX_METER:
        raise ValueError(f"`meter` must be 1 to {MAX_METER} beats per bar, got {meter}.")
    if first_downbeat_seconds is not None and not 0 <= first_downbeat_seconds <= duration:
        raise ValueError(
            f"`first_downbeat_seconds` must lie in the song, 0 to {duration:.2f} s, got {first_downbeat_seconds}."
        )
    genre = known_genre(genre)

    song = hear_beats(waveform, sampling_rate) if heard is None else heard
    meters = [meter] if meter is not None else possible_meters(genre)
    if bpm is None:
        times, bar = _find_beats(song, genre, meters)
    else:
        times = steady_grid(song.activity, ACTIVATION_RATE, bpm)
        bar = max(meters, key=lambda each: _bar_score(song, times, each))
    if first_downbeat_seconds is None:
        times = extend_beats(times, duration)
        first = int(_downbeat_scores(song, times, bar).argmax())
    else:
        nearest = times[np.abs(times - first_downbeat_seconds).argmin()]
        times = extend_beats(times + first_downbeat_seconds - nearest, duration)
        first = int(np.abs(times - first_downbeat_seconds).argmin())
    clock = BeatClock(times, bar, min(first, len(times) - 1))
    return BeatEstimate(clock, _clarity(song.activations, times), _alternatives(song, clock, duration))


def hear_beats(waveform: np.ndarray, sampling_rate: int) -> HeardBeats:
    """Hear where a song may have beats.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.
    """
    from .beat_network import beat_activations
    from .loudness import hop_powers, integrated_loudness

    waveform = check_waveform(waveform, sampling_rate)
    gain = reference_gain(integrated_loudness(hop_powers(waveform, sampling_rate)))
    onsets = onset_envelopes(waveform, 0, len(waveform) // ONSET_HOP + 1, gain)
    return HeardBeats(beat_activations(waveform, gain), *onsets)


def _find_beats(song: HeardBeats, genre: str | None, meters: Sequence[int]) -> tuple[np.ndarray, int]:
    """Return the beats that are counted, in seconds, and how many a bar has."""
    activity = song.activity
    path = best_bars(song.activations, meters, *tempo_range(genre))
    frames, counts = _without_silent_ends(activity, path.frames, path.counts)
    heard = frames / ACTIVATION_RATE
    if _clarity(song.activations, heard) < CLEAR_BEAT:
        logger.warning("No clear beat was found in this song. Give `bpm` to choose one.")
        bpm = float(np.clip(UNKNOWN_BPM, *tempo_range(genre)))
        return steady_grid(activity, ACTIVATION_RATE, bpm), 4 if 4 in meters else meters[0]
    times = fit_beats(_exact_times(activity, frames), np.exp(_likelihood(song.activations, heard).max(axis=1)))
    bpm = 60 / float(np.median(np.diff(times)))
    octave = counted_octave(bpm, path.meter, genre)
    if octave < 1 and len(times) > 4:
        return times[_likelier_half(activity, times, counts)], max(2, path.meter // 2)
    if octave > 1 and not _is_compound(song.onsets, times):
        return np.interp(np.arange(2 * len(times) - 1) / 2, np.arange(len(times)), times), 4
    return times, max(meters, key=lambda each: (_bar_score(song, times, each), each == path.meter))


def _without_silent_ends(
    activity: np.ndarray, frames: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out beats before the first and after the last that was heard: nothing says how far apart they are."""
    is_heard = np.flatnonzero([activity[max(0, frame - 2) : frame + 3].max() > HEARD_ACTIVITY for frame in frames])
    if not len(is_heard):
        return frames[:0], counts[:0]
    inside = slice(is_heard[0], is_heard[-1] + 1)
    return frames[inside], counts[inside]


def _exact_times(activity: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the times of beats in seconds: the center of what is active around their frames."""
    around = frames[:, None] + np.arange(-2, 3)
    inside = (around >= 0) & (around < len(activity))
    weights = np.where(inside, activity[np.clip(around, 0, len(activity) - 1)], 0) + 1e-6
    return (weights * around).sum(axis=1) / weights.sum(axis=1) / ACTIVATION_RATE


def _likelier_half(activity: np.ndarray, times: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return which beats are counted, `(beats,)` bool, where every other one is: those with the first of the bar.

    The others are counted where they are much more active: the bar of a bossa nova is easily heard from the eighth
    that comes before its first beat.
    """
    strengths = np.interp(times * ACTIVATION_RATE, np.arange(len(activity)), activity)
    is_even = counts % 2 == 0
    return ~is_even if strengths[~is_even].mean() > LIKELIER_HALF * strengths[is_even].mean() else is_even


def _likelihood(activations: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the log likelihoods of a beat that begins no bar, and of one that does, at some times: `(times, 2)`."""
    beat, _ = observe(activations)
    positions = np.clip(times * ACTIVATION_RATE, 0, len(activations) - 1)
    low = np.floor(positions).astype(int)
    return np.maximum(beat[low], beat[np.minimum(low + 1, len(beat) - 1)])


def _clarity(activations: np.ndarray, times: np.ndarray) -> float:
    """Return how likely beats are on average where there is sound, 0 to 1; 0 with fewer than three of them."""
    frames = np.round(times * ACTIVATION_RATE).astype(int)
    frames = frames[(frames >= 0) & (frames < len(activations))]
    sounds = np.array([activations[max(0, frame - 5) : frame + 6].any() for frame in frames], bool)
    if sounds.sum() < 3:
        return 0.0
    likely = np.exp(_likelihood(activations, frames[sounds] / ACTIVATION_RATE)).sum(axis=1)
    return float(likely.clip(0, 1).mean())


def _downbeat_scores(song: HeardBeats, times: np.ndarray, meter: int) -> np.ndarray:
    """Return how much speaks for the bars to begin at each of the first beats, `(meter,)`."""
    likelihood = _likelihood(song.activations, times)
    inside = (times >= 0) & (times * ACTIVATION_RATE < len(song.activations))
    gain = np.where(inside, likelihood[:, 1] - likelihood[:, 0], 0.0)
    scores = np.array([gain[first::meter].sum() for first in range(meter)])
    return scores + ACCENT_WEIGHT * _accent_scores(song.low_onsets, times, meter)


def _accent_scores(low_onsets: np.ndarray, times: np.ndarray, meter: int) -> np.ndarray:
    """Return how much better the strength of low sounds is explained if one beat of the bar is stronger, `(meter,)`.

    It is the gain in log likelihood of two Gaussians of equal spread over one, 0 where that beat is not stronger. It
    decides in loops and metronomes, where an accent is all that tells the bar.
    """
    from scipy.ndimage import maximum_filter1d

    positions = np.round(times * ONSET_RATE).astype(int)
    inside = np.flatnonzero((positions >= 0) & (positions < len(low_onsets)))
    strengths = maximum_filter1d(low_onsets, round(0.1 * ONSET_RATE) + 1)[positions[inside]]
    scores = np.zeros(meter)
    if len(strengths) < 2 * meter or meter == 1:
        return scores
    total = ((strengths - strengths.mean()) ** 2).sum() + 1e-9
    for first in range(meter):
        is_first = inside % meter == first
        one, others = strengths[is_first], strengths[~is_first]
        if one.mean() > others.mean():
            rest = ((one - one.mean()) ** 2).sum() + ((others - others.mean()) ** 2).sum()
            scores[first] = -len(strengths) / 2 * np.log(max(rest / total, 0.02))
    return scores


def _bar_score(song: HeardBeats, times: np.ndarray, meter: int) -> float:
    """Return the log likelihood of the best bars of one meter."""
    beats = _likelihood(song.activations, times)[:, 0].sum()
    return float(beats + _downbeat_scores(song, times, meter).max() - METER_COSTS.get(meter, 0.0) * len(times))


def _is_compound(onsets: np.ndarray, times: np.ndarray) -> bool:
    """Tell whether beats are divided in three: whether more begins at their thirds than at their halves."""
    reach = np.maximum(onsets, np.maximum(np.roll(onsets, 1), np.roll(onsets, -1)))

    def strength(share: float) -> float:
        positions = times[:-1] + share * np.diff(times)
        return float(np.interp(positions * ONSET_RATE, np.arange(len(reach)), reach).mean())

    return strength(1 / 3) + strength(2 / 3) > 2 * COMPOUND_RATIO * strength(1 / 2)


def _alternatives(song: HeardBeats, clock: BeatClock, duration: float) -> tuple[BeatAlternative, ...]:
    """Return other ways to count a song, the most likely first."""
    times, meter, first = clock.beat_times_seconds, clock.beats_per_bar, clock.first_downbeat_index
    clarity, here = _clarity(song.activations, times), _evidence(song.activations, times)
    tempo = []
    if meter % 2 == 0 and len(times) > 4:  # a bar of three has neither half nor double
        doubles = np.interp(np.arange(2 * len(times) - 1) / 2, np.arange(len(times)), times)
        for kind, beats, bar in (
            ("half", extend_beats(times[first % 2 :: 2], duration), max(2, meter // 2)),
            ("double", doubles, 4),
        ):
            if MIN_BPM <= 60 / float(np.median(np.diff(beats))) <= MAX_BPM:
                odds = _odds(_evidence(song.activations, beats) - here)
                tempo.append(BeatAlternative(kind, _with_best_bar(song, beats, bar), clarity * odds))
    scores = _downbeat_scores(song, times, meter) / max(1, len(times) / meter)
    downbeats = [
        BeatAlternative(
            "next downbeat",
            replace(clock, first_downbeat_index=(first + shift) % meter),
            clarity * _odds(scores[(first + shift) % meter] - scores[first % meter]),
        )
        for shift in range(1, meter)
        if (first + shift) % meter < len(times)
    ]
    return tuple(sorted([*tempo, *downbeats], key=lambda way: -way.confidence))


def _with_best_bar(song: HeardBeats, times: np.ndarray, meter: int) -> BeatClock:
    first = int(_downbeat_scores(song, times, meter).argmax())
    return BeatClock(times, meter, min(first, len(times) - 1))


def _evidence(activations: np.ndarray, times: np.ndarray) -> float:
    """Return the log likelihood of beats, and of no beat between them, for each second."""
    _, none = observe(activations)
    none_before = np.concatenate([[0.0], np.cumsum(none)])
    inside = times[(times >= 0) & (times * ACTIVATION_RATE < len(activations))]
    around = np.clip(np.round(inside * ACTIVATION_RATE).astype(int)[:, None] + [-1, 2], 0, len(activations))
    between = none_before[-1] - (none_before[around[:, 1]] - none_before[around[:, 0]]).sum()
    beats = _likelihood(activations, inside).max(axis=1).sum()
    return float(beats + between) / (len(activations) / ACTIVATION_RATE)


def _odds(difference: float) -> float:
    """Turn a difference in log likelihood, a second or a bar, into 0 to 1: 0.5 where both are as likely."""
    return float(1 / (1 + np.exp(-2 * min(difference, 0.0))))


def _check_bpm(bpm: float) -> None:
    if not MIN_BPM <= bpm <= MAX_BPM:
        raise ValueError(f"`bpm` must lie in [{MIN_BPM:.0f}, {MAX_BPM:.0f}] beats per minute, got {bpm}.")
