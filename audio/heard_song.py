"""A song as a dancer hears it: its sound, its beats and its parts."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .beats import BeatEstimate, HeardBeats, hear_beats, track_beats
from .loading import load_audio
from .song_map import SongMap, analyze_song
from .spectra import check_waveform


@dataclass(frozen=True, eq=False)
class HeardSong:
    """A song as a pipeline dances to it.

    Args:
        waveform: `(samples,)`, mono, at the feature extractor's rate.
        sampling_rate: That rate, Hz.
        heard: What its beats were found from.
        beats: How it is counted.
        song_map: What it is made of.
        genre: Of the dance; none for any.
        genre_reason: Why this one, if nobody asked for it.
    """

    waveform: np.ndarray
    sampling_rate: int
    heard: HeardBeats
    beats: BeatEstimate
    song_map: SongMap
    genre: str | None
    genre_reason: str | None = None

    def counted_as(self, genre: str | None, **hints: Any) -> HeardSong:
        """Return the song as it is counted for another genre; what does not depend on that is not heard again."""
        beats = track_beats(self.waveform, self.sampling_rate, genre=genre, heard=self.heard, **hints)
        if beats.clock.equals(self.beats.clock):
            return replace(self, beats=beats, genre=genre)
        return replace(self, beats=beats, song_map=analyze_song(self.waveform, self.sampling_rate, beats), genre=genre)

    def about(self, name: str | None) -> dict[str, Any]:
        """Return what the provenance of a dance says of its song, which has this name."""
        return {
            "song": _readable(name),
            "song_map": self.song_map.to_dict(),
            **self.beats.clock.times_within(self.song_map.duration_seconds),
        }


def hear(
    audio: str | os.PathLike | np.ndarray, sampling_rate: int, genre: str | None = None, **hints: Any
) -> HeardSong:
    """Hear what a song is made of.

    Args:
        audio: An audio file, or a mono waveform `(samples,)`.
        sampling_rate: Of the waveform, Hz.
        genre: As which it is counted.
        **hints: `bpm`, `meter` and `first_downbeat_seconds`, where they are known.
    """
    waveform = audio if isinstance(audio, np.ndarray) else load_audio(Path(audio), sampling_rate)
    waveform = check_waveform(waveform, sampling_rate)
    heard = hear_beats(waveform, sampling_rate)
    beats = track_beats(waveform, sampling_rate, genre=genre, heard=heard, **hints)
    song_map = analyze_song(waveform, sampling_rate, beats)
    return HeardSong(waveform, sampling_rate, heard, beats, song_map, genre)


def _readable(name: str | None) -> str | None:
    """Return a name of a file as text that any program reads: bytes that are no UTF-8 are replaced."""
    return None if name is None else os.fsencode(name).decode("utf-8", errors="replace")
