"""The tempo map: which pulse of a song is counted, and even beats with changes of tempo only where the music has them.

The octave policy of the package is stated here, and nowhere else:

- With a genre, the beat lies in the range of the genre.
- Without one it lies between 60 and 135 beats a minute, where a dancer takes a step for each beat. The beat of the
  musicians, who play the snare on two and four, is counted where it lies in that range; a faster one is counted in
  halves, a slower one in doubles.
- A beat is only halved if the bar has an even number of them: a bar of three is never halved, so a waltz is counted in
  three at any tempo. A beat is only doubled if it is divided in two: 6/8 and 12/8 keep their dotted quarter.
"""

from collections.abc import Sequence

import numpy as np

# Ballroom: the competition tempo (WDSF) of the beat that dancers count, widened to what social music and recordings
# use. Street and club styles: the usual range of their music. No range spans an octave, but for the waltz, whose bar
# of three cannot be mistaken for its half or double.
GENRE_TEMPO_RANGES: dict[str, tuple[float, float]] = {
    "waltz": (76.0, 204.0),
    "viennese-waltz": (150.0, 190.0),
    "rumba": (60.0, 104.0),
    "cha-cha": (108.0, 136.0),
    "tango": (110.0, 136.0),
    "samba": (88.0, 112.0),
    "salsa": (75.0, 110.0),
    "jive": (140.0, 184.0),
    "hip-hop": (76.0, 116.0),
    "krumping": (70.0, 110.0),
    "popping": (88.0, 126.0),
    "locking": (94.0, 132.0),
    "breaking": (96.0, 140.0),
    "house": (112.0, 132.0),
    "techno": (115.0, 155.0),
    "drum-and-bass": (155.0, 185.0),
}
DEFAULT_TEMPO_RANGE = (60.0, 135.0)
GENRE_METERS = {"waltz": 3, "viennese-waltz": 3, "samba": 2, "salsa": 2}
"""Beats in a bar of genres that do not have four."""

GENRE_REACH_OCTAVES = 0.4
"""A song may be this much slower or faster than its genre before it is counted in doubles or halves."""
ROUNDING_OCTAVES = 0.02
SMALLEST_SPREAD_SECONDS = 0.008
PIECE_COST = 24.0
"""By how much, in squared spreads, another tempo must fit the beats better."""
LONGEST_PIECE_BEATS = 4000


def fit_beats(times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Make beats even: one tempo as long as it fits, another where the music has another.

    The best division of the beats into pieces of one tempo each is found by dynamic programming. The beats of a song
    that is played in time are exactly even, however early or late single ones were heard.

    Args:
        times: `(beats,)` seconds, increasing.
        weights: `(beats,)` how clearly each was heard, 0 to 1.

    Returns:
        `(beats,)` seconds, increasing.
    """
    if len(times) < 3:
        return times
    numbers = np.arange(len(times), dtype=np.float64)
    steady = np.polynomial.Polynomial.fit(numbers, times, 1)(numbers)  # keeps the sums below small
    spread = max(_spread(times), SMALLEST_SPREAD_SECONDS)
    sums = _line_sums(numbers, (times - steady) / spread, np.maximum(weights, 0.01))
    best = np.concatenate([[0.0], np.full(len(times), np.inf)])
    begins = np.zeros(len(times) + 1, dtype=int)
    for end in range(1, len(times) + 1):
        first = np.arange(max(0, end - LONGEST_PIECE_BEATS), max(1, end - 1))
        costs = best[first] + _line_error(sums, first, end) + PIECE_COST
        begins[end] = first[costs.argmin()]
        best[end] = costs.min()
    even = np.empty(len(times))
    end = len(times)
    while end > 0:
        first = begins[end]
        even[first:end] = steady[first:end] + spread * _line(sums, first, end, numbers[first:end])
        end = first
    return _increasing(even)


def _spread(times: np.ndarray) -> float:
    """Return how far beats lie from their neighbors' mean, in seconds, as the deviation of a single beat."""
    bends = np.abs(np.diff(times, 2))
    return 1.4826 * float(np.median(bends)) / np.sqrt(6)


def _line_sums(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return running sums `(6, values + 1)` from which lines through any stretch are fitted."""
    terms = np.stack([weights, weights * x, weights * y, weights * x * x, weights * x * y, weights * y * y])
    return np.pad(np.cumsum(terms, axis=1), ((0, 0), (1, 0)))


def _moments(sums: np.ndarray, first: np.ndarray | int, end: int) -> tuple[np.ndarray, ...]:
    """Return total weight, means of x and y, and their weighted variances and covariance of a stretch."""
    total, x, y, xx, xy, yy = sums[:, end, None] - sums[:, first] if np.ndim(first) else sums[:, end] - sums[:, first]
    return total, x / total, y / total, xx - x * x / total, xy - x * y / total, yy - y * y / total


def _line_error(sums: np.ndarray, first: np.ndarray, end: int) -> np.ndarray:
    """Return the squared error of the best line from each `first` to `end`."""
    _, _, _, xx, xy, yy = _moments(sums, first, end)
    explained = np.divide(xy**2, xx, out=np.zeros_like(xx), where=xx > 1e-9)
    return np.maximum(yy - explained, 0.0)


def _line(sums: np.ndarray, first: int, end: int, x: np.ndarray) -> np.ndarray:
    """Return the best line through a stretch at `x`."""
    _, x_mean, y_mean, xx, xy, _ = _moments(sums, first, end)
    slope = xy / xx if xx > 1e-9 else 0.0
    return y_mean + slope * (x - x_mean)


def _increasing(times: np.ndarray) -> np.ndarray:
    """Move beats that two pieces of different tempo have brought too near to each other between their neighbors."""
    floor = 0.4 * float(np.median(np.diff(times)))
    for index in range(1, len(times)):
        times[index] = max(times[index], times[index - 1] + floor)
    return times


def extend_beats(beats: np.ndarray, duration: float) -> np.ndarray:
    """Continue beats with their first and last interval until they cover a song, and drop what lies beyond.

    Args:
        beats: `(beats,)` times in seconds, two at least.
        duration: Length of the song in seconds.

    Returns:
        `(beats,)`: one at 0 or before it, one at `duration` or after it, and all between.
    """
    first, last = beats[1] - beats[0], beats[-1] - beats[-2]
    num_before = max(0, int(np.ceil(beats[0] / first)))
    num_after = max(0, int(np.ceil((duration - beats[-1]) / last)))
    before = beats[0] - first * np.arange(num_before, 0, -1)
    after = beats[-1] + last * np.arange(1, num_after + 1)
    beats = np.concatenate([before, beats, after])
    start = max(0, int(np.searchsorted(beats, 0.0, side="right")) - 1)
    stop = int(np.searchsorted(beats, duration, side="left")) + 1
    return beats[start:stop]


def steady_grid(activity: np.ndarray, rate: float, bpm: float) -> np.ndarray:
    """Place beats of one given tempo where a song is most active.

    Args:
        activity: `(frames,)` how much speaks for a beat at each frame.
        rate: Frames a second.
        bpm: Beats a minute, kept to the digit.

    Returns:
        `(beats,)` seconds, two at least.
    """
    period = 60 / bpm
    turns = np.exp(-2j * np.pi * np.arange(len(activity)) / rate / period)
    harmonics = np.array([(activity * turns**harmonic).sum() for harmonic in (1, 2, 3, 4)])
    phases = np.arange(2000) / 2000
    profile = (harmonics * np.exp(2j * np.pi * np.outer(phases, np.arange(1, 5)))).real.sum(axis=1)
    first = phases[int(profile.argmax())] * period
    return first + period * np.arange(max(2, int(len(activity) / rate / period)))


def known_genre(genre: str | None) -> str | None:
    """Return the key of `GENRE_TEMPO_RANGES` that is meant, or None if there is none."""
    key = genre.lower().replace("_", "-").replace(" ", "-") if genre else None
    return key if key in GENRE_TEMPO_RANGES else None


def tempo_range(genre: str | None) -> tuple[float, float]:
    """Return the slowest and the fastest beat a minute of a genre, or of any music."""
    return GENRE_TEMPO_RANGES.get(genre or "", DEFAULT_TEMPO_RANGE)


def possible_meters(genre: str | None) -> Sequence[int]:
    """Return the beats that a bar may have."""
    if genre is None:
        return (2, 3, 4, 5, 7)
    return (GENRE_METERS.get(genre, 4),)


def counted_octave(bpm: float, meter: int, genre: str | None) -> float:
    """Return which octave of the heard beat is counted: 1 as heard, 1/2 every other one, 2 those between as well.

    Args:
        bpm: Heard beats a minute.
        meter: Heard beats in a bar.
        genre: A key of `GENRE_TEMPO_RANGES`, or None.
    """
    if meter % 2:
        return 1.0
    lowest, highest = np.log2(tempo_range(genre))
    allowed = GENRE_REACH_OCTAVES if genre else ROUNDING_OCTAVES
    octaves = np.log2(bpm)
    if octaves > highest + allowed:
        return 0.5
    return 2.0 if octaves < lowest - allowed else 1.0
