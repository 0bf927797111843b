"""Loudness as ITU-R BS.1770-4 measures it, of the mono mix, and what follows from it: energy, silences, fades."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .spectra import SAMPLING_RATE, check_waveform

HOP_SECONDS = 0.05
HOP_SAMPLES = round(HOP_SECONDS * SAMPLING_RATE)
BLOCK_HOPS = 400  # 20 s are filtered at once
GATING_BLOCK_HOPS, GATING_STEP_HOPS = 8, 2  # 400 ms, overlapping by three quarters
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
CALIBRATION_DB, CALIBRATION_HZ = -0.691, 997.0

ENERGY_RATE_HZ = 2.0
ENERGY_WINDOW_SECONDS = 2.0
LOWEST_ENERGY_LU = -60.0

SILENCE_LU = -35.0
QUIET_LUFS, QUIET_LU = -55.0, -25.0
EDGE_SILENCE_SECONDS = 0.5
INNER_SILENCE_SECONDS = 1.0

FADE_WINDOW_SECONDS = 1.0
FADE_SPANS_SECONDS = (5.0, 8.0, 12.0, 20.0, 30.0, 45.0, 75.0)
FADE_LOW, FADE_HIGH = 0.25, 0.8
FADE_TOLERANCE = 0.1
SHORTEST_FADE_SECONDS = 1.5


@dataclass(frozen=True)
class Fade:
    """A song that swells out of silence, or dies away into it.

    Args:
        kind: `"in"` or `"out"`.
        start_seconds: Where it begins.
        end_seconds: Where it ends.
    """

    kind: str
    start_seconds: float
    end_seconds: float


@lru_cache
def k_weighting(sampling_rate: int = SAMPLING_RATE) -> np.ndarray:
    """Return the K-weighting filter of BS.1770 for any rate.

    The standard lists coefficients for 48 kHz. They are the bilinear transforms of a shelf of +4 dB at 1,682 Hz and of
    a high-pass at 38 Hz (Mansbridge, Finn and Reiss 2012), which are transformed anew here.

    Args:
        sampling_rate: Rate of the waveform to filter, in Hz.

    Returns:
        `(2, 6)` second-order sections for `scipy.signal.sosfilt`.
    """
    frequency, gain_db, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    tangent = np.tan(np.pi * frequency / sampling_rate)
    high, band = 10 ** (gain_db / 20), 10 ** (gain_db / 20 * 0.4996667741545416)
    shelf = np.array(
        [
            high + band * tangent / quality + tangent**2,
            2 * (tangent**2 - high),
            high - band * tangent / quality + tangent**2,
            1 + tangent / quality + tangent**2,
            2 * (tangent**2 - 1),
            1 - tangent / quality + tangent**2,
        ]
    )
    frequency, quality = 38.13547087602444, 0.5003270373238773
    tangent = np.tan(np.pi * frequency / sampling_rate)
    scale = 1 + tangent / quality + tangent**2
    highpass = np.array([scale, -2 * scale, scale, scale, 2 * (tangent**2 - 1), 1 - tangent / quality + tangent**2])
    sections = np.stack([shelf / shelf[3], highpass / highpass[3]])
    # The constant of the loudness cancels the gain at 997 Hz, which the transform to a low rate moves by 0.03 dB.
    points = np.exp(-2j * np.pi * CALIBRATION_HZ / sampling_rate * np.arange(3))
    gain = np.abs(np.prod(sections[:, :3] @ points / (sections[:, 3:] @ points)))
    sections[0, :3] *= 10 ** (-CALIBRATION_DB / 20) / gain
    return sections


def hop_powers(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return the mean square of the K-weighted waveform, 20 times a second.

    The song is filtered in blocks, so that no second copy of it is in memory.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.

    Returns:
        `(hops,)` float64; hop k lies between k / 20 s and (k + 1) / 20 s, the last one may be shorter. A full-scale
        sine of 997 Hz has 0.586.

    Raises:
        ValueError: If the waveform is not mono, finite and at 24,000 Hz.
    """
    from scipy.signal import sosfilt

    waveform = check_waveform(waveform, sampling_rate)
    sections = k_weighting()
    state = np.zeros((len(sections), 2))
    powers = []
    for begin in range(0, len(waveform), BLOCK_HOPS * HOP_SAMPLES):
        block, state = sosfilt(sections, waveform[begin : begin + BLOCK_HOPS * HOP_SAMPLES], zi=state)
        starts = np.arange(0, len(block), HOP_SAMPLES)
        counts = np.diff(np.append(starts, len(block)))
        powers.append(np.add.reduceat(block**2, starts) / counts)
    return np.concatenate(powers)


def to_lufs(power: np.ndarray) -> np.ndarray:
    """Return the loudness of K-weighted mean squares in LUFS; of 0 it is -inf."""
    with np.errstate(divide="ignore"):
        return CALIBRATION_DB + 10 * np.log10(power)


def integrated_loudness(powers: np.ndarray) -> float:
    """Return the loudness of a song with both gates of BS.1770-4: silence and very quiet passages do not count.

    Args:
        powers: `(hops,)` of `hop_powers`.

    Returns:
        LUFS, `-inf` if nothing is louder than -70 LUFS. A song shorter than 400 ms is one block.
    """
    hops = min(GATING_BLOCK_HOPS, len(powers))
    blocks = np.lib.stride_tricks.sliding_window_view(powers, hops)[::GATING_STEP_HOPS].mean(axis=1)
    blocks = blocks[to_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if not len(blocks):
        return -np.inf
    blocks = blocks[to_lufs(blocks) > to_lufs(blocks.mean()) + RELATIVE_GATE_LU]
    return float(to_lufs(blocks.mean()))


def mean_powers(powers: np.ndarray, starts_seconds: np.ndarray, ends_seconds: np.ndarray) -> np.ndarray:
    """Return the mean power between given times; of a span outside the song the nearest hop.

    Args:
        powers: `(hops,)` of `hop_powers`.
        starts_seconds: `(spans,)`.
        ends_seconds: `(spans,)`, after the starts.

    Returns:
        `(spans,)`.
    """
    starts = np.clip(np.round(np.asarray(starts_seconds) / HOP_SECONDS).astype(int), 0, len(powers) - 1)
    ends = np.clip(np.round(np.asarray(ends_seconds) / HOP_SECONDS).astype(int), starts + 1, len(powers))
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    return np.maximum(sums[ends] - sums[starts], 0) / (ends - starts)


def energy_curve(powers: np.ndarray, loudness_lufs: float) -> np.ndarray:
    """Return how loud a song is around each half second, relative to the whole song.

    Args:
        powers: `(hops,)` of `hop_powers`.
        loudness_lufs: Integrated loudness of the song.

    Returns:
        `(values,)` LU, -60 at least, 2 a second from 0 s on: loudness of the 2 s around, of which only those inside
        the song count, minus the integrated loudness.
    """
    times = np.arange(0, len(powers) * HOP_SECONDS, 1 / ENERGY_RATE_HZ)
    half = ENERGY_WINDOW_SECONDS / 2
    if not np.isfinite(loudness_lufs):
        return np.full(len(times), LOWEST_ENERGY_LU)
    energy = to_lufs(mean_powers(powers, np.maximum(times - half, 0), times + half)) - loudness_lufs
    return np.maximum(energy, LOWEST_ENERGY_LU)


def find_silences(
    powers: np.ndarray, loudness_lufs: float, duration_seconds: float, beat_seconds: float = 0.0
) -> list[tuple[float, float]]:
    """Return where a song is silent for a dancer.

    Silent is what is 35 LU below the integrated loudness, or 25 LU below it and under -55 LUFS, or under -70 LUFS, hop
    by hop of 50 ms.

    Args:
        powers: `(hops,)` of `hop_powers`.
        loudness_lufs: Integrated loudness of the song.
        duration_seconds: Length of the song.
        beat_seconds: Length of a beat: the pauses between the hits of a slow click are no silences.

    Returns:
        Spans (start, end) in seconds, at the start and the end of the song of 0.5 s or more, inside it of 1 s or more
        and of 1.25 beats or more.
    """
    threshold = ABSOLUTE_GATE_LUFS
    if np.isfinite(loudness_lufs):
        threshold = max(threshold, loudness_lufs + SILENCE_LU, min(loudness_lufs + QUIET_LU, QUIET_LUFS))
    is_silent = to_lufs(powers) < threshold
    shortest_inside = max(INNER_SILENCE_SECONDS, 1.25 * beat_seconds)
    spans = []
    for start, end in true_runs(is_silent):
        is_edge = start == 0 or end == len(powers)
        start_seconds, end_seconds = start * HOP_SECONDS, min(end * HOP_SECONDS, duration_seconds)
        if end_seconds - start_seconds >= (EDGE_SILENCE_SECONDS if is_edge else shortest_inside) - 1e-6:
            spans.append((start_seconds, end_seconds))
    return spans


def true_runs(values: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of true values, each as its first index and the one after its last.

    Args:
        values: `(n,)` bool.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def find_fades(powers: np.ndarray, silences: list[tuple[float, float]], duration_seconds: float) -> list[Fade]:
    """Return the fade-in and the fade-out of a song, where it has them.

    A fade leads from silence, or the edge of the song, to a level that then holds. Between a quarter and 0.8 of that
    level the amplitude in windows of 1 s rises along a line, within 0.1 of the level, for 0.8 s or more; the line
    shows where the fade ends. A last chord that rings for long is a fade, too.

    Args:
        powers: `(hops,)` of `hop_powers`.
        silences: Of `find_silences`.
        duration_seconds: Length of the song.
    """
    first = silences[0][1] if silences and silences[0][0] == 0 else 0.0
    last = silences[-1][0] if silences and silences[-1][1] >= duration_seconds - HOP_SECONDS else duration_seconds
    sound = powers[round(first / HOP_SECONDS) : round(last / HOP_SECONDS)]
    fades = []
    if (span := _fade_in(sound)) is not None:
        fades.append(Fade("in", first + span[0], first + span[1]))
    if (span := _fade_in(sound[::-1])) is not None:
        fades.append(Fade("out", last - span[1], last - span[0]))
    return fades


def _fade_in(powers: np.ndarray) -> tuple[float, float] | None:
    """Return start and end in seconds of a fade at the beginning of sound `(hops,)`, None where there is none."""
    window = round(FADE_WINDOW_SECONDS / HOP_SECONDS)
    sums = np.concatenate([[0.0], np.cumsum(powers[: round(FADE_SPANS_SECONDS[-1] / HOP_SECONDS)])])
    levels = np.sqrt(np.maximum(sums[window:] - sums[:-window], 0) / window)  # (windows,) amplitude around `times`
    times = (np.arange(len(levels)) + window / 2) * HOP_SECONDS
    for span in FADE_SPANS_SECONDS:
        full = levels[(times > 0.6 * span) & (times < span)]
        if len(full) < window or (level := float(np.median(full))) == 0:
            return None
        begins, ends = (float(np.median(half)) for half in np.array_split(full, 2))
        high = int(np.argmax(levels >= FADE_HIGH * level))
        if ends < 1.15 * begins and times[high] <= 0.6 * span:  # the level no longer rises: the fade is over
            break
    else:
        return None
    low = np.flatnonzero(levels[:high] < FADE_LOW * level)
    if not len(low) or times[high] - times[low[-1]] < (FADE_HIGH - FADE_LOW) * SHORTEST_FADE_SECONDS:
        return None
    ramp = slice(low[-1], high + 1)
    slope, offset = np.polyfit(times[ramp], levels[ramp] / level, 1)
    if np.abs(slope * times[ramp] + offset - levels[ramp] / level).mean() > FADE_TOLERANCE or slope <= 0:
        return None
    start, end = -offset / slope, (1 - offset) / slope
    is_full = levels >= level
    if is_full.any():  # a swell after it does not belong to the fade
        end = min(end, float(times[int(np.argmax(is_full))]))
    # A fade that is even in dB creeps for long before its amplitude shows.
    creep = levels[: low[-1] + 1]
    is_creeping = np.median(creep[: len(creep) // 2 + 1]) < 0.6 * np.median(creep[len(creep) // 2 :])
    return (0.0 if is_creeping or start < FADE_WINDOW_SECONDS else float(start)), float(end)
