"""Beats of a dance against beats of its music: alignment in both published directions, chance, F1, tempo.

The beats of a dance are the moments at which it is slowest (`pulse.slow_times_seconds`). Alignment over music beats
(Bailando, InfiniteDance) mostly counts how many beats a dance has; alignment over motion beats (FACT, POPDG) mostly
counts how many the music has. Both are therefore read as an excess over chance (`alignment_excess`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...utils.extras import require_extra
from .pulse import mean_nearness

Direction = Literal["music", "motion"]
"""What alignment is averaged over."""

SIGMA_SECONDS = 0.1
MATCH_TOLERANCE_SECONDS = 0.07
"""A music beat and a motion beat nearer than this may be paired: the window of MIREX and mir_eval."""
PUBLISHED_SMOOTHING_FRAMES = 5
PUBLISHED_SIGMA_FRAMES = 3

TEMPO_RANGE_BPM = (20.0, 240.0)
TEMPO_STEPS_PER_OCTAVE = 200
TEMPO_TOLERANCE = 0.04
TEMPO_RATIOS = {"same": 1.0, "double": 2.0, "half": 1 / 2, "third": 1 / 3, "quarter": 1 / 4}
"""Tempo of a dance over that of its song, where they agree: a pulse a beat, two, or one in two, three or four."""


def published_motion_beats(joint_positions: np.ndarray) -> np.ndarray:
    """Return the motion beats of the published code: strict minima of the speed, smoothed over 5 frames.

    Frame k is the step from frame k to k + 1. The same dance at another frame rate has other beats, and a minimum that
    falls between two equal frames is lost; everything else here uses `pulse.slow_times_seconds`.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, in the world.

    Returns:
        `(beats,)`, frame indices.
    """
    speed = np.linalg.norm(np.diff(joint_positions, axis=0), axis=-1).mean(axis=1)
    smooth = gaussian_filter1d(speed, PUBLISHED_SMOOTHING_FRAMES)
    return np.flatnonzero((smooth[1:-1] < smooth[:-2]) & (smooth[1:-1] < smooth[2:])) + 1


def published_beat_alignment(
    joint_positions: np.ndarray, music_beat_frames: np.ndarray, over: Direction = "music"
) -> float:
    """Return beat alignment as the code of InfiniteDance computes it, or over motion beats as in the paper of FACT.

    Sigma is 3 frames, whatever the frame rate. Without a motion beat the score is 0.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, in the world.
        music_beat_frames: `(beats,)`, frame indices; those beyond the last step of the dance are left out.
        over: Which beats are averaged over; `"music"` is InfiniteDance's.
    """
    _check_direction(over)
    music = np.asarray(music_beat_frames)
    music = music[music < len(joint_positions) - 1]
    return _nearness(published_motion_beats(joint_positions), music, PUBLISHED_SIGMA_FRAMES, over)


def alignment(
    motion_beats: np.ndarray, music_beats: np.ndarray, sigma_seconds: float = SIGMA_SECONDS, over: Direction = "music"
) -> float:
    """Return how near beats of music and motion are to each other, tolerance in seconds at any frame rate.

    Args:
        motion_beats: `(beats,)`, seconds, from `pulse.slow_times_seconds`.
        music_beats: `(beats,)`, seconds, those within the dance.
        sigma_seconds: Tolerance: a beat this far away counts 0.61.
        over: Which beats are averaged over, each with its distance to the nearest of the other kind.

    Returns:
        From 0 to 1; 0 if there are no beats of one kind.
    """
    _check_direction(over)
    return _nearness(motion_beats, music_beats, sigma_seconds, over)


def unrelated_beats(
    music_beats: np.ndarray,
    duration_seconds: float,
    other_songs: Sequence[np.ndarray] = (),
    *,
    num_shifts: int = 30,
    seed: int = 0,
) -> list[np.ndarray]:
    """Make beats as dense as a song's that a dance to it cannot know: other songs, stretched and shifted at random.

    Without the stretching, a faster song would score higher over motion beats by its density alone.

    Args:
        music_beats: `(beats,)`, seconds, those within the dance.
        duration_seconds: Length of the dance.
        other_songs: Beats `(beats >= 2,)` of other songs, seconds, each drawn equally often; the song's own beats if
            there are none.
        num_shifts: How many to make.
        seed: Of the shifts.

    Returns:
        `num_shifts` arrays of times within the dance, seconds.
    """
    random = np.random.default_rng(seed)
    sources = [_stretched(beats, len(music_beats), duration_seconds) for beats in other_songs] or [music_beats]
    shifts = random.uniform(0, duration_seconds, num_shifts)
    return [np.sort((sources[k % len(sources)] + shift) % duration_seconds) for k, shift in enumerate(shifts)]


def alignment_excess(
    motion_beats: np.ndarray,
    music_beats: np.ndarray,
    unrelated: Sequence[np.ndarray],
    sigma_seconds: float = SIGMA_SECONDS,
    over: Direction = "music",
) -> float:
    """Return `alignment` with the song minus its mean with beats from `unrelated_beats`: 0 by chance."""
    chance = [alignment(motion_beats, beats, sigma_seconds, over) for beats in unrelated]
    return alignment(motion_beats, music_beats, sigma_seconds, over) - float(np.mean(chance))


def beat_matches(
    motion_beats: np.ndarray, music_beats: np.ndarray, tolerance_seconds: float = MATCH_TOLERANCE_SECONDS
) -> dict[str, float]:
    """Pair beats of motion and music one to one, as many as lie within a tolerance, with mir_eval.

    Args:
        motion_beats: `(beats,)`, seconds, ascending.
        music_beats: `(beats,)`, seconds, ascending.
        tolerance_seconds: Largest distance of a pair.

    Returns:
        `precision` (share of motion beats that are paired), `recall` (share of music beats) and `f1`. Chance is not
        0: it grows with the density of both.

    Raises:
        ImportError: If the extra `evaluation` is not installed.
    """
    require_extra("mir_eval", "evaluation", "Beat precision, recall and F1")
    from mir_eval.util import match_events

    if len(motion_beats) == 0 or len(music_beats) == 0:
        return {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    num_pairs = len(match_events(np.asarray(music_beats), np.asarray(motion_beats), tolerance_seconds))
    return {
        "precision": num_pairs / len(motion_beats),
        "recall": num_pairs / len(music_beats),
        "f1": 2 * num_pairs / (len(motion_beats) + len(music_beats)),
    }


def nearest_beat_offsets(motion_beats: np.ndarray, music_beats: np.ndarray) -> np.ndarray:
    """Return by how much each motion beat is later than the music beat nearest to it, in beats, `(motion beats,)`.

    Args:
        motion_beats: `(beats,)`, seconds.
        music_beats: `(beats >= 2,)`, seconds, ascending; motion beats before the first or after the last are left
            out.

    Returns:
        Numbers in `[-0.5, 0.5)`, spread evenly where dance and music do not know of each other.
    """
    motion_beats = np.asarray(motion_beats)
    inside = motion_beats[(motion_beats >= music_beats[0]) & (motion_beats <= music_beats[-1])]
    return (np.interp(inside, music_beats, np.arange(len(music_beats))) + 0.5) % 1.0 - 0.5


def dance_tempo_bpm(speed: np.ndarray, frame_rate: float) -> float:
    """Return the tempo of a dance: the strongest frequency of its speed between 20 and 240 a minute.

    A Hann window keeps slow changes of speed out of this range.

    Args:
        speed: `(frames,)`, from `pulse.speed_curve`, at least 6 s.
        frame_rate: Hz.

    Returns:
        Pulses per minute; NaN for a dancer who never moves.

    Raises:
        ValueError: If the curve is shorter than two pulses of the slowest tempo.
    """
    slowest, fastest = TEMPO_RANGE_BPM
    if speed.ndim != 1 or len(speed) < 2 * 60 / slowest * frame_rate:
        raise ValueError(
            f"`speed` must have shape (frames,) and last at least {2 * 60 / slowest:.0f} s, got {speed.shape} at "
            f"{frame_rate:g} Hz."
        )
    centered = (speed - speed.mean()) * np.hanning(len(speed))
    if np.allclose(centered, 0, atol=1e-9):
        return float("nan")
    num_steps = int(np.log2(fastest / slowest) * TEMPO_STEPS_PER_OCTAVE)
    tempos = slowest * 2 ** (np.arange(num_steps + 1) / TEMPO_STEPS_PER_OCTAVE)
    times = np.arange(len(speed)) / frame_rate
    power = np.abs(np.exp(-2j * np.pi * np.outer(tempos / 60, times)) @ centered)
    return float(tempos[power.argmax()])


def tempo_relation(dance_bpm: float, song_bpm: float, tolerance: float = TEMPO_TOLERANCE) -> str | None:
    """Name how a dance's tempo agrees with its song's: a key of `TEMPO_RATIOS`, or `None` if it does not.

    Args:
        dance_bpm: From `dance_tempo_bpm`; NaN agrees with nothing.
        song_bpm: Beats per minute.
        tolerance: Largest relative difference.
    """
    if not song_bpm > 0:
        raise ValueError(f"`song_bpm` must be positive, got {song_bpm}.")
    for name, ratio in TEMPO_RATIOS.items():
        if abs(dance_bpm / (song_bpm * ratio) - 1) <= tolerance:
            return name
    return None


def _nearness(motion_beats: np.ndarray, music_beats: np.ndarray, sigma: float, over: Direction) -> float:
    if over == "music":
        return mean_nearness(music_beats, motion_beats, sigma)
    return mean_nearness(motion_beats, music_beats, sigma)


def _stretched(beats: np.ndarray, num_beats: int, duration_seconds: float) -> np.ndarray:
    """Spread the first beats of a song, repeated as often as needed, over a duration: `(num_beats,)`, seconds."""
    intervals = np.resize(np.diff(beats), num_beats)
    return np.cumsum(intervals) * duration_seconds / intervals.sum()


def _check_direction(over: str) -> None:
    if over not in ("music", "motion"):
        raise ValueError(f"`over` must be 'music' or 'motion', got {over!r}.")
