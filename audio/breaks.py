"""Breaks and drops of a song: where drums and bass fall silent inside it, and where they come back at full force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .loudness import mean_powers, to_lufs, true_runs
from .step_features import HIT_BANDS, HITS_PER_STEP, StepFeatures

AROUND_BARS = 32
FEWEST_AROUND_BARS = 2
USUAL_PERCENTILE = 80
BREAK_LU, BREAK_HITS, DEEP_BREAK_LU = -6.0, 0.5, -12.0
BREAK_BASS_DB, BREAK_BASS_HITS = -10.0, 0.75
HOLLOW_BASS_DB, HOLLOW_BASS_TO_LOUDNESS_DB, HOLLOW_LU = -13.0, -9.0, -1.5
AMID_DB, AMID_HITS = -8.0, 0.6
LOUD_BEAT_LU = -2.0
BASS_RANGE_DB = 25.0  # below the loudest bars; what is lower is none
DROP_BARS = 2
DROP_LU, DROP_WITH_BASS_LU, DROP_AFTER_BREAK_LU, DROP_BASS_DB = 5.0, 3.0, 1.5, 10.0
FULL_LU, FULL_BASS_DB = -3.5, -6.0
DROP_DISTANCE_BARS = 4
REFINE_SECONDS, ON_BEAT_SECONDS, RISE_SECONDS = 0.3, 0.12, 0.4
FLOOR_LUFS = -90.0


def find_breaks(features: StepFeatures, powers: np.ndarray) -> list[tuple[float, float]]:
    """Return where drums or energy drop out inside a song for a bar or more.

    Every bar, whichever beat it begins on, is compared with what is usual (the 80th percentile) in the 32 bars before
    and in those after it, whichever is less. It is a break if

    - it is 12 LU quieter, or
    - it is 6 LU quieter, and hits below 2 kHz are half as strong, or
    - it has 10 dB less bass (below 150 Hz), and hits are three quarters as strong, or
    - it is hollow, as under the roll of a build-up: 13 dB less bass, 9 dB of it against the loudness, 1.5 LU quieter,

    and if what is usual on both sides is no less than what is usual in the song by 8 LU, 8 dB of bass or 40 % of the
    hits. So a quiet verse with bass and drums is no break, and neither are a quiet beginning or end of the song.
    Breaks less than a bar apart are one.

    Args:
        features: Of the song.
        powers: `(hops,)` of `hop_powers`.

    Returns:
        Spans (start, end) in seconds, on beats.
    """
    curves = _bar_curves(features, powers)
    if not len(curves[0]):
        return []
    loudness, bass, hits = curves
    usual_loudness, usual_bass, usual_hits = (_usual_around(curve, features.steps_per_bar) for curve in curves)
    is_quieter, has_less_bass = loudness <= usual_loudness + BREAK_LU, bass <= usual_bass + BREAK_BASS_DB
    is_break = loudness <= usual_loudness + DEEP_BREAK_LU
    is_break |= is_quieter & (hits <= BREAK_HITS * usual_hits)
    is_break |= has_less_bass & (hits <= BREAK_BASS_HITS * usual_hits)
    is_hollow = bass <= usual_bass + HOLLOW_BASS_DB
    with np.errstate(invalid="ignore"):  # near the ends of the song nothing is usual
        is_hollow &= bass - loudness <= usual_bass - usual_loudness + HOLLOW_BASS_TO_LOUDNESS_DB
    is_break |= is_hollow & (loudness <= usual_loudness + HOLLOW_LU)
    of_song = [np.percentile(curve, USUAL_PERCENTILE) for curve in curves]
    is_break &= (usual_loudness >= of_song[0] + AMID_DB) & (usual_bass >= of_song[1] + AMID_DB)
    is_break &= usual_hits >= AMID_HITS * of_song[2]
    spans: list[tuple[int, int]] = []
    for start, end in true_runs(is_break):
        end += features.steps_per_bar - 1
        if spans and start - spans[-1][1] < features.steps_per_bar:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    # A bar that is quiet on the whole may begin or end with a loud beat.
    is_loud = _step_loudness(features, powers) > np.percentile(loudness, USUAL_PERCENTILE) + LOUD_BEAT_LU
    times = features.times_seconds
    trimmed = []
    for start, end in spans:
        quiet = start + np.flatnonzero(~is_loud[start:end])
        if len(quiet) and quiet[-1] + 1 - quiet[0] >= features.steps_per_bar:
            start, end = quiet[0], quiet[-1] + 1
        trimmed.append((float(times[start]), float(times[end])))
    return trimmed


def find_drops(
    features: StepFeatures, powers: np.ndarray, loudness_lufs: float, breaks: Sequence[tuple[float, float]]
) -> list[float]:
    """Return where full energy comes back after a break, a build-up or a quiet introduction.

    At a drop two bars begin that are no more than 3.5 LU quieter than the song. Within a bar of the end of a break
    they are 1.5 LU louder than the bar before, or have 10 dB more bass; elsewhere they are 5 LU louder, or 3 LU with
    10 dB more bass, and a bar of the four before was 6 LU quieter or had 10 dB less bass. Of several within four bars
    the strongest counts.

    Args:
        features: Of the song.
        powers: `(hops,)` of `hop_powers`.
        loudness_lufs: Integrated loudness of the song.
        breaks: Of `find_breaks`.

    Returns:
        Times in seconds, on beats where the sound begins on the beat, else where it begins.
    """
    loudness, bass, _ = _bar_curves(features, powers)
    bar, times = features.steps_per_bar, features.times_seconds
    ends = np.searchsorted(times, [end for _, end in breaks])
    candidates = []
    for step in range(2 * bar, len(loudness) - (DROP_BARS - 1) * bar):
        after = min(loudness[step], loudness[step + (DROP_BARS - 1) * bar])
        bass_after = min(bass[step], bass[step + (DROP_BARS - 1) * bar])
        usual_bass = np.percentile(bass[step : step + AROUND_BARS * bar], USUAL_PERCENTILE)
        if after < loudness_lufs + FULL_LU or bass_after < usual_bass + FULL_BASS_DB:
            continue
        rise, bass_rise = after - loudness[step - bar], bass_after - bass[step - bar]
        before = slice(max(0, step - 4 * bar), step - bar + 1)
        was_down = bass[before].min() <= bass_after - DROP_BASS_DB or loudness[before].min() <= after + BREAK_LU
        is_strong = rise >= DROP_LU or (rise >= DROP_WITH_BASS_LU and bass_rise >= DROP_BASS_DB)
        is_back = rise >= DROP_AFTER_BREAK_LU or bass_rise >= DROP_BASS_DB
        is_after_break = len(ends) > 0 and np.abs(ends - step).min() <= bar and is_back
        if is_after_break or (was_down and is_strong):
            candidates.append((loudness[step] - loudness[step - bar] + 0.5 * (bass[step] - bass[step - bar]), step))
    drops: list[int] = []
    for _, step in sorted(candidates, reverse=True):
        if all(abs(step - other) > DROP_DISTANCE_BARS * bar for other in drops):
            drops.append(step)
    return [_begin_of_sound(float(times[step]), powers) for step in sorted(drops)]


def _bar_curves(features: StepFeatures, powers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return loudness in LUFS, bass and hits in dB of the bar that begins at each step, `(steps - bar + 1,)`."""
    bar = features.steps_per_bar
    count = len(features) - bar + 1
    if count < 1:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    times = features.times_seconds
    loudness = np.maximum(to_lufs(mean_powers(powers, times[:count], times[bar : bar + count])), FLOOR_LUFS)

    def bar_means(values: np.ndarray) -> np.ndarray:
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        return (sums[bar:] - sums[:-bar]) / bar

    bass = 10 * np.log10(np.maximum(bar_means(10 ** (features.bass_db / 10)), 1e-9))
    bass = np.maximum(bass, np.percentile(bass, 95) - BASS_RANGE_DB)
    hits = features.hits.reshape(len(features), HITS_PER_STEP, len(HIT_BANDS)).mean(axis=1)
    return loudness, bass, bar_means(hits[:, :2].mean(axis=1))  # low and middle bands


def _step_loudness(features: StepFeatures, powers: np.ndarray) -> np.ndarray:
    """Return the loudness of each step in LUFS, `(steps,)`."""
    times = features.times_seconds
    return np.maximum(to_lufs(mean_powers(powers, times[:-1], times[1:])), FLOOR_LUFS)


def _usual_around(curve: np.ndarray, bar: int) -> np.ndarray:
    """Return what is usual before and after each value, whichever is less; -inf near the ends of the song."""
    usual = np.full(len(curve), -np.inf)
    for step in range(FEWEST_AROUND_BARS * bar, len(curve) - FEWEST_AROUND_BARS * bar):
        before = curve[max(0, step - AROUND_BARS * bar) : step - bar + 1]
        after = curve[step + bar : step + AROUND_BARS * bar]
        usual[step] = min(np.percentile(before, USUAL_PERCENTILE), np.percentile(after, USUAL_PERCENTILE))
    return usual


def _begin_of_sound(beat_seconds: float, powers: np.ndarray) -> float:
    """Return the time of the strongest rise near a beat, or the beat itself if it is there."""
    times = beat_seconds + np.arange(-REFINE_SECONDS, REFINE_SECONDS + 0.01, 0.05)
    times = np.maximum(times, 0)
    after = mean_powers(powers, times, times + RISE_SECONDS)
    before = mean_powers(powers, np.maximum(times - RISE_SECONDS, 0), np.maximum(times, 0.05))
    rises = np.log(after + 1e-9) - np.log(before + 1e-9)
    at_beat = rises[np.abs(times - beat_seconds) <= ON_BEAT_SECONDS].max()
    return beat_seconds if at_beat >= 0.9 * rises.max() else float(times[int(rises.argmax())])
