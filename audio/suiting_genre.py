"""Which genre of dance suits a song, where nobody asked for one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .loudness import hop_powers, integrated_loudness
from .song_map import SongMap
from .spectra import ONSET_HOP, check_waveform, onset_envelopes, reference_gain
from .tempo_map import GENRE_METERS, known_genre, tempo_range

CALM_GENRE = "contemporary"
"""Needs no beat."""
CLEAR_CONFIDENCE = 0.3
SLOW_BPM = 72.0
LIVELY = 0.5
CALM_RISE_DB, LIVELY_RISE_DB = 0.75, 2.25
GENRE_LIVELINESS: dict[str, float] = {
    "rumba": 0.15,
    "waltz": 0.2,
    "viennese-waltz": 0.4,
    "contemporary": 0.35,
    "tango": 0.45,
    "pop": 0.55,
    "cha-cha": 0.6,
    "hip-hop": 0.6,
    "salsa": 0.7,
    "popping": 0.7,
    "samba": 0.75,
    "house": 0.75,
    "techno": 0.8,
    "locking": 0.8,
    "krumping": 0.85,
    "breaking": 0.85,
    "jive": 0.85,
    "drum-and-bass": 0.9,
}
"""How lively the music of a genre is, on the scale of `liveliness`; 0.5 for others. Set by ear."""


def liveliness(waveform: np.ndarray, sampling_rate: int) -> float:
    """Return how much happens in a song: from 0, long calm notes, to 1, hits all the time.

    It is the mean rise of the mel spectrum's level, with which sounds begin, from 0.75 to 2.25 dB in 1/60 s.

    Args:
        waveform: `(samples,)`, mono; its level does not matter.
        sampling_rate: 24,000 Hz.
    """
    waveform = check_waveform(waveform, sampling_rate)
    gain = reference_gain(integrated_loudness(hop_powers(waveform, sampling_rate)))
    rise, _ = onset_envelopes(waveform, 0, len(waveform) // ONSET_HOP + 1, gain)
    return float(np.clip((rise.mean() - CALM_RISE_DB) / (LIVELY_RISE_DB - CALM_RISE_DB), 0, 1))


def suiting_genre(genres: Sequence[str], song_map: SongMap, song_liveliness: float) -> tuple[str, str]:
    """Choose the genre that suits a song.

    What is in three to the bar is a waltz. What has no clear beat, or is slow and calm, is contemporary dance. For all
    else it is the genre to whose tempo, in octaves, and liveliness the song is nearest.

    Args:
        genres: To choose from.
        song_map: Of the song, counted without a genre.
        song_liveliness: From `liveliness`.

    Returns:
        One of the genres, and why, as a sentence.

    Raises:
        ValueError: If there are no genres.
    """
    if not genres:
        raise ValueError("`genres` must hold at least one name, got none.")
    bpm, meter = song_map.beats.bpm, song_map.beats.beats_per_bar
    has_beat = song_map.confidence >= CLEAR_CONFIDENCE
    kind = "lively" if song_liveliness >= LIVELY else "calm"
    heard = f"{bpm:.0f} beats a minute, {meter} to the bar, {kind}" if has_beat else f"no clear beat, {kind}"
    waltzes = [genre for genre in genres if GENRE_METERS.get(known_genre(genre) or "") == 3]
    others = [genre for genre in genres if genre not in waltzes]
    if has_beat and meter % 3 == 0 and waltzes:
        genre = _nearest(waltzes, bpm, song_liveliness)
    elif CALM_GENRE in genres and (not has_beat or (bpm < SLOW_BPM and kind == "calm")):
        genre = CALM_GENRE
    else:
        genre = _nearest(others or waltzes, bpm if has_beat else None, song_liveliness)
    return genre, f"The song has {heard}: {genre} suits it best of {', '.join(genres)}."


def _nearest(genres: Sequence[str], bpm: float | None, song_liveliness: float) -> str:
    """Return the genre nearest in tempo and liveliness; of equals the first."""
    costs = []
    for genre in genres:
        slowest, fastest = tempo_range(known_genre(genre))
        octaves = 0.0 if bpm is None else max(np.log2(slowest / bpm), np.log2(bpm / fastest), 0.0)
        costs.append(octaves + abs(GENRE_LIVELINESS.get(known_genre(genre) or genre, 0.5) - song_liveliness))
    return genres[int(np.argmin(costs))]
