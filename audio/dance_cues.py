"""What a song tells its dancer besides the beat: when to rest, how to end, where phrases begin, how much to move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .song_map import SongMap, Span

PHRASE_BARS = 8
LEAST_BARS = 2
"""A song that ends earlier has no ending, and so has a fade that is shorter: it is a chord that rings."""
LEAST_POSE_SECONDS = 0.25
ENERGY_RANGE_LU = 20.0
REST_ENERGY, MOST_ENERGY = -1.0, 0.5
SMOOTHING_SECONDS = 1.0


@dataclass(frozen=True)
class DanceCues:
    """Moments of a song that a dance answers to, in seconds.

    Args:
        silences_seconds: Where the dancer rests.
        end_seconds: The last downbeat with sound after it; none for a song without an end, or one that fades out.
        fade_out_seconds: Where the song fades out; none if it does not.
        bar_seconds: Length of a bar at the end.
        phrase_starts_seconds: Starts of sections, and every eighth bar from there on.
    """

    silences_seconds: tuple[Span, ...]
    end_seconds: float | None
    fade_out_seconds: Span | None
    bar_seconds: float
    phrase_starts_seconds: tuple[float, ...]


def dance_cues(song_map: SongMap, duration_seconds: float, *, ends: bool = True) -> DanceCues:
    """Return the cues of a song.

    Args:
        song_map: Of the song.
        duration_seconds: Length of the dance; no end lies after it.
        ends: Look for an end. A dance that has ended needs no rest after it.
    """
    downbeats = np.asarray(song_map.beats.downbeat_times_seconds)
    bar = song_map.beats.beats_per_bar * 60 / song_map.beats.bpm
    end, fade = _end(song_map, downbeats, bar, duration_seconds) if ends else (None, None)
    last = min([np.inf if end is None else end, np.inf if fade is None else fade[0]])
    silences = tuple(span for span in song_map.silences if span[0] < last)
    return DanceCues(silences, end, fade, bar, _phrase_starts(song_map, downbeats, bar))


def finishing_cues(
    song_map: SongMap, seconds: float, ending: str, stage_radius: float | None, gaze_degrees: float | None = None
) -> dict[str, Any] | None:
    """Return the arguments of `motion.finishing.finish` for a dance to a song; `None` if nothing is to be finished.

    Args:
        song_map: Of the song.
        seconds: Length of the dance.
        ending: See `MusicToDancePipeline.__call__`.
        stage_radius: In metres.
        gaze_degrees: Elevation of the gaze, where the genre has one.
    """
    cues = dance_cues(song_map, seconds, ends=ending != "none")
    is_cued = cues.silences_seconds or cues.end_seconds or cues.fade_out_seconds or stage_radius
    if not is_cued and gaze_degrees is None:
        return None
    return {
        "silences_seconds": cues.silences_seconds,
        "end_seconds": cues.end_seconds,
        "end_style": ending,
        "bar_seconds": cues.bar_seconds,
        "fade_out_seconds": cues.fade_out_seconds,
        "radius_metres": stage_radius,
        "phrase_starts_seconds": cues.phrase_starts_seconds,
        "gaze_elevation_degrees": gaze_degrees,
    }


def energy_of_song(song_map: SongMap, num_frames: int, frame_rate: float) -> np.ndarray:
    """Return how much a dancer moves who follows the loudness of a song.

    Args:
        song_map: Of the song.
        num_frames: Of the dance.
        frame_rate: Hz.

    Returns:
        `(num_frames,)` float32: 0 is the usual speed, at the song's own loudness; -1 is rest, in silence and from
        20 LU below it; 0.5 at most. A mean over a second.
    """
    from scipy.ndimage import uniform_filter1d

    seconds = np.arange(num_frames) / frame_rate
    levels = np.asarray(song_map.energy.values_lu)
    energy = np.interp(seconds, np.arange(len(levels)) / song_map.energy.rate_hz, levels) / ENERGY_RANGE_LU
    for start, end in song_map.silences:
        energy[(seconds >= start) & (seconds < end)] = REST_ENERGY
    energy = np.clip(energy, REST_ENERGY, MOST_ENERGY)
    return uniform_filter1d(energy, round(SMOOTHING_SECONDS * frame_rate), mode="nearest").astype(np.float32)


def _end(
    song_map: SongMap, downbeats: np.ndarray, bar: float, duration_seconds: float
) -> tuple[float | None, Span | None]:
    """Return the downbeat on which a song ends, or where it fades out; one of them, or none, is None."""
    sound_start, sound_end = 0.0, min(song_map.duration_seconds, duration_seconds)
    if song_map.silences and song_map.silences[0][0] <= 0:
        sound_start = song_map.silences[0][1]
    if song_map.silences and song_map.silences[-1][1] >= sound_end:
        sound_end = song_map.silences[-1][0]
    latest = sound_end - LEAST_POSE_SECONDS
    for fade in song_map.fades:
        if fade.kind == "out" and fade.end_seconds - fade.start_seconds >= LEAST_BARS * bar:
            return None, (min(fade.start_seconds, duration_seconds), min(fade.end_seconds, duration_seconds))
        if fade.kind == "out":
            latest = min(latest, fade.start_seconds + bar / 4)
    before = downbeats[downbeats <= latest]
    has_end = len(before) > 0 and before[-1] - sound_start >= LEAST_BARS * bar
    return (float(before[-1]) if has_end else None), None


def _phrase_starts(song_map: SongMap, downbeats: np.ndarray, bar: float) -> tuple[float, ...]:
    starts: list[float] = []
    for section in song_map.sections:
        bars = downbeats[(downbeats > section.start_seconds) & (downbeats < section.end_seconds)]
        bars = np.concatenate([[section.start_seconds], bars[bars - section.start_seconds > bar / 2]])
        starts += bars[::PHRASE_BARS].tolist()
    return tuple(starts)
