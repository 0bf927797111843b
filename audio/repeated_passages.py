"""Passages of a song that return in time, so that the same dance fits to them again."""

from __future__ import annotations

import math

import numpy as np

from .sections import Section
from .song_map import SongMap

FREE_BARS = 1
"""At the start and at the end of a passage, in which the dance comes into the repeated bars and out of them."""
LEAST_REPEATED_BARS = 2
_TOLERANCE_SECONDS = 0.1


def repeated_passages(song_map: SongMap, tokens_per_second: float) -> list[tuple[int, int, int]]:
    """Find the passages that an earlier section of the same label fits to, beat on beat.

    Bars are counted from the first downbeat of both sections on. A passage is left out where a beat would be a token
    or more off; of several earlier sections the one with most bars is taken, and of these the one most in time.

    Args:
        song_map: Of the song.
        tokens_per_second: Of the codes of a dance.

    Returns:
        The token at which each earlier passage starts, the one at which it returns, and the number of tokens, in the
        order of their return. The first and the last bar of both sections are left out.
    """
    beats, meter = np.asarray(song_map.beats.times_seconds), song_map.beats.beats_per_bar
    sections = song_map.sections
    bar_lines = [_bar_lines(section, song_map) for section in sections]
    passages = []
    for index, section in enumerate(sections):
        fits = []
        for earlier in range(index):
            num_bars = min(len(bar_lines[earlier]), len(bar_lines[index])) - 1
            if sections[earlier].label != section.label or num_bars < 2 * FREE_BARS + LEAST_REPEATED_BARS:
                continue
            numbers = np.arange(num_bars * meter + 1)
            source, target = (beats[bar_lines[of][0] + numbers] for of in (earlier, index))
            lag = round(float((target - source).mean()) * tokens_per_second)
            tokens_off = float(np.abs((target - source) * tokens_per_second - lag).max())
            if tokens_off < 1:
                start = math.ceil(target[FREE_BARS * meter] * tokens_per_second)
                end = math.floor(target[-1 - FREE_BARS * meter] * tokens_per_second)
                fits.append((-num_bars, tokens_off, (start - lag, start, end - start)))
        if fits:
            passages.append(min(fits)[2])
    return passages


def _bar_lines(section: Section, song_map: SongMap) -> np.ndarray:
    """Return which beats are the downbeats from the start of a section to its end, both included."""
    downbeats = np.asarray(song_map.beats.downbeat_times_seconds)
    is_inside = (downbeats >= section.start_seconds - _TOLERANCE_SECONDS) & (
        downbeats <= section.end_seconds + _TOLERANCE_SECONDS
    )
    return np.searchsorted(np.asarray(song_map.beats.times_seconds), downbeats[is_inside])
