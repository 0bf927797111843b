"""The tempo map: from onsets to steady beats of a whole song, with changes of tempo only where the music has them."""

import logging

import numpy as np

from .spectra import ONSET_RATE

logger = logging.getLogger(__name__)

# Ballroom: the competition tempo (WDSF) of the beat that dancers count, widened to what social music and recordings
# use. Street and club styles: the usual range of their music. No range spans an octave.
GENRE_TEMPO_RANGES: dict[str, tuple[float, float]] = {
    "waltz": (76.0, 100.0),
    "viennese-waltz": (150.0, 190.0),
    "rumba": (60.0, 104.0),
    "cha-cha": (108.0, 136.0),
    "tango": (110.0, 136.0),
    "samba": (88.0, 112.0),
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
TEMPO_GRID_BPM = 50.0 * 2.0 ** (np.arange(150) / 70)  # one percent a step, 50 to 219
CHUNK_SECONDS = 3.0
WINDOW_CHUNKS = 5
NUM_HARMONICS = 8
PHASE_BINS = 64


def fit_beats(onsets: np.ndarray, duration: float, genre: str | None, bpm: float | None) -> np.ndarray:
    """Fit the beats of a song to its onsets.

    Args:
        onsets: `(values,)` onset envelope, 120 a second.
        duration: Length of the song in seconds.
        genre: A key of `GENRE_TEMPO_RANGES`; anything else leaves the general prior.
        bpm: The tempo of the whole song, if known.

    Returns:
        `(beats,)` strictly increasing times in seconds that cover the song.
    """
    pieces = [(0.0, np.full(len(onsets), bpm))] if bpm else _tempo_pieces(onsets, genre)
    return _join_grids(onsets, [_fit_grid(onsets, *piece) for piece in pieces], duration)


def _tempo_prior(genre: str | None) -> np.ndarray:
    """Weigh every tempo of the grid: near the genre's range, or log-normal around 100 bpm.

    Outside the range the weight falls by the distance in octaves: half and double tempo are ruled out, while a song
    that is a fifth faster than its genre is still heard at its own tempo.
    """
    if genre in GENRE_TEMPO_RANGES:
        lowest, highest = np.log2(GENRE_TEMPO_RANGES[genre])
        octaves = np.log2(TEMPO_GRID_BPM)
        outside = np.maximum(lowest - octaves, 0) + np.maximum(octaves - highest, 0)
        return np.exp(-0.5 * (outside / 0.2) ** 2)
    return np.exp(-0.5 * (np.log2(TEMPO_GRID_BPM / 100.0) / 0.5) ** 2)


def _tempo_salience(onsets: np.ndarray) -> np.ndarray:
    """Score every tempo of the grid in windows of 15 s, one every 3 s: `(windows, tempos)`, at most about 1.

    The autocorrelation at one beat and at one, two and four beats, or one and three, favors multiples of the period;
    the spectrum at one cycle per beat favors its fractions; their product keeps the period (Peeters 2007).
    """
    from scipy.fft import irfft, rfft
    from scipy.ndimage import uniform_filter1d

    hop = round(CHUNK_SECONDS * ONSET_RATE)
    length = WINDOW_CHUNKS * hop
    centered = onsets - uniform_filter1d(onsets, ONSET_RATE)
    centered = np.pad(centered, (0, max(0, length - len(centered))))
    windows = np.lib.stride_tricks.sliding_window_view(centered, length)[::hop]
    size = 4096
    spectrum = np.abs(rfft(windows * np.hanning(length).astype(np.float32), size, axis=1))
    autocorrelation = irfft(spectrum**2, axis=1)
    autocorrelation /= autocorrelation[:, :1] + 1e-9
    spectrum /= np.sqrt((spectrum**2).mean(axis=1, keepdims=True)) + 1e-9
    beats_hz = TEMPO_GRID_BPM / 60
    one, two, three, four = (_columns(autocorrelation, beats * ONSET_RATE / beats_hz) for beats in (1, 2, 3, 4))
    repetition = np.maximum((one + two + four) / 3, (one + three) / 2)
    pulse = _columns(spectrum, beats_hz * size / ONSET_RATE)
    return np.maximum(one, 0) ** 0.25 * np.maximum(repetition, 0) ** 0.75 * pulse**0.35


def _columns(matrix: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Read a matrix `(rows, columns)` at fractional columns."""
    left = np.floor(positions).astype(int)
    weight = (positions - left).astype(matrix.dtype)
    return matrix[:, left] * (1 - weight) + matrix[:, left + 1] * weight


def _best_path(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the states `(steps,)` with the highest sum of `scores (steps, states)` less `costs (from, to)`."""
    total = scores[0]
    came_from = np.zeros(scores.shape, dtype=int)
    for step in range(1, len(scores)):
        candidates = total[:, None] - costs
        came_from[step] = candidates.argmax(axis=0)
        total = candidates.max(axis=0) + scores[step]
    path = np.empty(len(scores), dtype=int)
    path[-1] = total.argmax()
    for step in range(len(scores) - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _tempo_pieces(onsets: np.ndarray, genre: str | None) -> list[tuple[float, np.ndarray]]:
    """Split a song where its tempo jumps: the start of every piece in seconds, and the bpm at each of its onsets."""
    salience = _tempo_salience(onsets)
    if salience.max() < 0.1:
        logger.warning("No clear beat was found in this song. Give `bpm` to choose one.")
    scores = (salience + 1e-3) * _tempo_prior(genre)  # without any beat the prior decides
    steps = np.abs(np.subtract.outer(np.arange(len(TEMPO_GRID_BPM)), np.arange(len(TEMPO_GRID_BPM))))
    costs = np.where(steps <= 2, 0.05 * steps, 1.0)
    # A song that seems to go over to half, double or 3/2 of its tempo mostly has a thinner or busier passage.
    for ratio in (1.5, 2.0, 3.0):
        costs[np.abs(steps - 70 * np.log2(ratio)) <= 3] = 3.0
    path = _best_path(scores, costs)
    bounds = [0, *(np.flatnonzero(np.abs(np.diff(path)) > 2) + 1), len(path)]
    pieces = []
    for first, last in zip(bounds[:-1], bounds[1:], strict=True):
        start, end = ((window + WINDOW_CHUNKS / 2 - 0.5) * CHUNK_SECONDS for window in (first, last))
        start = 0.0 if first == 0 else start
        end = len(onsets) / ONSET_RATE if last == len(path) else end
        times = np.arange(round(start * ONSET_RATE), round(end * ONSET_RATE)) / ONSET_RATE
        window_times = (np.arange(first, last) + WINDOW_CHUNKS / 2) * CHUNK_SECONDS
        pieces.append((start, np.interp(times, window_times, TEMPO_GRID_BPM[path[first:last]])))
    return pieces


def _fit_grid(onsets: np.ndarray, start: float, bpm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit beats of about the given tempo to a piece of a song: knots of time (seconds) and of phase (beats)."""
    from scipy.fft import irfft
    from scipy.ndimage import convolve1d, gaussian_filter1d

    first = round(start * ONSET_RATE)
    piece = onsets[first : first + len(bpm)] - onsets[first : first + len(bpm)].mean()
    carrier, agreement = _refine_tempo(piece, np.full_like(bpm, np.median(bpm)))
    if np.ptp(bpm):
        drifting, drifting_agreement = _refine_tempo(piece, bpm)
        if drifting_agreement > 1.5 * agreement:
            carrier = drifting
    harmonics, centers = _chunk_harmonics(piece, carrier)
    weighted = harmonics * np.exp(-((np.arange(NUM_HARMONICS) / 5) ** 2))
    # Where in the beat the onsets of each chunk lie; a drift must pay for itself, so that a steady song stays steady.
    smooth = convolve1d(weighted, [0.25, 0.5, 0.25], axis=0, mode="nearest")
    profiles = irfft(np.pad(smooth, ((0, 0), (1, 0))), PHASE_BINS, axis=1)
    profiles /= np.sqrt((profiles**2).mean()) + 1e-9
    steps = np.abs(np.subtract.outer(np.arange(PHASE_BINS), np.arange(PHASE_BINS)))
    steps = np.minimum(steps, PHASE_BINS - steps)
    costs = np.where(steps <= PHASE_BINS // 8, 1.5 + 0.1 * steps, 8.0)
    np.fill_diagonal(costs, 0.0)
    path = _best_path(profiles, costs)
    offsets = np.unwrap(path / PHASE_BINS, period=1.0)
    if np.ptp(path):
        offsets = gaussian_filter1d(offsets, 1.5, mode="nearest")
    turns = np.exp(2j * np.pi * offsets[:, None] * np.arange(1, NUM_HARMONICS + 1))
    whole = irfft(np.pad((weighted * turns).sum(axis=0), (1, 0)), 2048)
    nearby = np.roll(whole, 128)[:257]  # an eighth of a beat to either side
    offsets = offsets + (int(nearby.argmax()) - 128) / 2048
    knot_times = np.concatenate([[0.0], centers, [(len(piece) - 1) / ONSET_RATE]])
    knot_offsets = np.concatenate([offsets[:1], offsets, offsets[-1:]])
    return start + knot_times, np.interp(knot_times, np.arange(len(piece)) / ONSET_RATE, carrier) - knot_offsets


def _chunk_harmonics(piece: np.ndarray, carrier: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Fourier sums of 3 s chunks at multiples of the beat, `(chunks, 8)`, and their centers in seconds.

    `carrier` is the phase in beats at every onset value.
    """
    length = round(CHUNK_SECONDS * ONSET_RATE)
    starts = np.arange(max(1, round(len(piece) / length))) * length
    ends = np.append(starts[1:], len(piece))
    turn = np.exp(-2j * np.pi * carrier)
    sums = [np.add.reduceat(piece * turn**multiple, starts) for multiple in range(1, NUM_HARMONICS + 1)]
    return np.stack(sums, axis=1), (starts + ends) / 2 / ONSET_RATE


def _refine_tempo(piece: np.ndarray, bpm: np.ndarray) -> tuple[np.ndarray, float]:
    """Change a tempo by up to 2 % so that the onsets of the whole piece agree best on the beat.

    Returns the phase in beats at every onset value, and the agreement.
    """
    carrier = (np.cumsum(bpm) - bpm[0]) / (60 * ONSET_RATE)
    harmonics, centers = _chunk_harmonics(piece, carrier)
    seconds = len(piece) / ONSET_RATE
    beats_hz = carrier[-1] / seconds
    half = max(1, int(0.02 * beats_hz * seconds * 8))
    shifts = 0.02 * beats_hz * np.arange(-half, half + 1) / half
    turn = np.exp(-2j * np.pi * np.outer(shifts, centers))
    # A sum, not a matrix product: the last bits of BLAS depend on the number of threads.
    sums = [(turn**multiple * harmonics[:, multiple - 1]).sum(axis=1) for multiple in (1, 2, 3, 4)]
    agreement = (np.abs(sums) ** 2).sum(axis=0)
    if np.ptp(agreement) <= 1e-9 * agreement.max():  # a single chunk with sound in it agrees with every tempo
        return carrier, float(agreement[half])
    best = int(agreement[1:-1].argmax()) + 1
    before, here, after = agreement[best - 1 : best + 2]
    bend = before - 2 * here + after
    vertex = 0.5 * (before - after) / bend if bend < 0 else 0.0
    shift = shifts[best] + float(np.clip(vertex, -1, 1)) * (shifts[1] - shifts[0])
    return carrier + shift * np.arange(len(piece)) / ONSET_RATE, float(here)


def _join_grids(onsets: np.ndarray, grids: list[tuple[np.ndarray, np.ndarray]], duration: float) -> np.ndarray:
    """Turn the grids of consecutive pieces into the beats of the whole song."""
    beats = _grid_beats(grids[0], 0.0, duration)
    for earlier, grid in zip(grids[:-1], grids[1:], strict=True):
        old = beats
        new = _grid_beats(grid, 0.0, duration)
        switch = _best_switch(onsets, old, new, earlier[0][0], grid[0][-1], grid[0][0])
        old, new = old[old < switch], new[new >= switch]
        period = new[1] - new[0]
        missing = round((new[0] - old[-1]) / period)
        if missing == 0:
            old = old[:-1]
        between = np.linspace(old[-1], new[0], missing + 1)[1:-1] if missing > 1 else np.empty(0)
        beats = np.concatenate([old, between, new])
    return extend_beats(beats, duration)


def _grid_beats(grid: tuple[np.ndarray, np.ndarray], start: float, end: float) -> np.ndarray:
    """Return the beats of a grid between two times, its tempo going on beyond its ends."""
    times, phases = grid
    slope_in = (phases[1] - phases[0]) / (times[1] - times[0])
    slope_out = (phases[-1] - phases[-2]) / (times[-1] - times[-2])
    times = np.concatenate([[min(start, times[0]) - 5], times, [max(end, times[-1]) + 5]])
    phases = np.concatenate(
        [
            [phases[0] + slope_in * (times[0] - times[1])],
            phases,
            [phases[-1] + slope_out * (times[-1] - times[-2])],
        ]
    )
    numbers = np.arange(np.ceil(phases[0]), np.floor(phases[-1]) + 1)
    return np.interp(numbers, phases, times)


def _best_switch(
    onsets: np.ndarray, old: np.ndarray, new: np.ndarray, start: float, end: float, guess: float
) -> float:
    """Find the time near a change of tempo before which the old beats meet the onsets, after which the new ones do."""
    low, high = max(start, guess - 3 * CHUNK_SECONDS), min(end, guess + 3 * CHUNK_SECONDS)
    times = np.arange(round(low * ONSET_RATE), round(high * ONSET_RATE))
    gain = np.zeros(len(times))
    values = onsets[times] - onsets[times].mean()
    for beats, sign in ((old, 1), (new, -1)):
        nearest = np.abs(times[:, None] / ONSET_RATE - beats[(beats > low - 2) & (beats < high + 2)]).min(axis=1)
        kernel = np.exp(-0.5 * (nearest / 0.025) ** 2)
        gain += sign * values * kernel / kernel.mean()
    return float(times[int(np.cumsum(gain).argmax())] + 1) / ONSET_RATE


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
