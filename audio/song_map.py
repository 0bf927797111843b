"""The song map: what a song is made of beyond its beats, in one record that is saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .beats import BeatClock, BeatEstimate
from .breaks import find_breaks, find_drops
from .loudness import (
    ENERGY_RATE_HZ,
    Fade,
    energy_curve,
    find_fades,
    find_silences,
    hop_powers,
    integrated_loudness,
)
from .sections import Section, find_sections
from .spectra import check_waveform
from .step_features import step_features

TIME_DECIMALS = 3
Span = tuple[float, float]


@dataclass(frozen=True)
class MappedBeats:
    """The beats within a song.

    Args:
        bpm: Median tempo, in beats a minute.
        beats_per_bar: How many beats a bar has.
        times_seconds: Every beat.
        downbeat_times_seconds: Of these the first ones of bars.
    """

    bpm: float
    beats_per_bar: int
    times_seconds: tuple[float, ...]
    downbeat_times_seconds: tuple[float, ...]


@dataclass(frozen=True)
class MappedAlternative:
    """Another way to count a song.

    Args:
        kind: As in `BeatAlternative`.
        bpm: Its median tempo.
        first_downbeat_seconds: Its first downbeat in the song, None if the song has none.
        confidence: 0 to 1.
    """

    kind: str
    bpm: float
    first_downbeat_seconds: float | None
    confidence: float


@dataclass(frozen=True)
class Energy:
    """How loud the song is over time, relative to the whole song.

    Args:
        rate_hz: Values a second; value k is at `k / rate_hz` seconds.
        values_lu: Loudness of the 2 s around each time minus the integrated loudness, in LU, -60 at least.
    """

    rate_hz: float
    values_lu: tuple[float, ...]


@dataclass(frozen=True)
class SongMap:
    """What a song is made of; times are in seconds, to the millisecond.

    Args:
        duration_seconds: Length of the song.
        beats: Its beats and bars.
        confidence: 0 to 1: how clearly it has these beats.
        alternatives: Other ways to count it, the most likely first.
        integrated_loudness_lufs: Loudness of the mono mix (ITU-R BS.1770-4, gated), None for silence.
        energy: Loudness over time, relative to the whole.
        silences: Spans in which nothing is heard, see `find_silences`.
        fades: The fade-in and the fade-out, see `find_fades`.
        sections: Verse, chorus and the like; repeats share a label, see `find_sections`.
        breaks: Spans in which drums or energy drop out inside the song, see `find_breaks`.
        drops: Times at which full energy comes back, see `find_drops`.
    """

    duration_seconds: float
    beats: MappedBeats
    confidence: float
    alternatives: tuple[MappedAlternative, ...]
    integrated_loudness_lufs: float | None
    energy: Energy
    silences: tuple[Span, ...]
    fades: tuple[Fade, ...]
    sections: tuple[Section, ...]
    breaks: tuple[Span, ...]
    drops: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the map as JSON holds it: lists, dictionaries, numbers, strings and None."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SongMap:
        """Return the map that `to_dict` gave.

        Args:
            values: Read from JSON. Keys that this version does not know are left out.

        Raises:
            ValueError: If a key is missing.
        """
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise ValueError(
                f"A song map must hold {', '.join(field.name for field in fields(cls))}; {', '.join(missing)} is "
                "missing. Make it again with `infinitedance song`."
            )
        beats, energy = values["beats"], values["energy"]
        return cls(
            duration_seconds=values["duration_seconds"],
            beats=MappedBeats(
                beats["bpm"],
                beats["beats_per_bar"],
                tuple(beats["times_seconds"]),
                tuple(beats["downbeat_times_seconds"]),
            ),
            confidence=values["confidence"],
            alternatives=tuple(MappedAlternative(**alternative) for alternative in values["alternatives"]),
            integrated_loudness_lufs=values["integrated_loudness_lufs"],
            energy=Energy(energy["rate_hz"], tuple(energy["values_lu"])),
            silences=tuple((start, end) for start, end in values["silences"]),
            fades=tuple(Fade(**fade) for fade in values["fades"]),
            sections=tuple(Section(**section) for section in values["sections"]),
            breaks=tuple((start, end) for start, end in values["breaks"]),
            drops=tuple(values["drops"]),
        )


def analyze_song(waveform: np.ndarray, sampling_rate: int, beats: BeatEstimate | None = None) -> SongMap:
    """Make the map of a song.

    Args:
        waveform: `(samples,)`, mono, as `load_audio` returns it.
        sampling_rate: 24,000 Hz.
        beats: How the song is counted; `track_beats` without hints by default.

    Returns:
        The map. An hour of music takes about 20 s besides the beats.

    Raises:
        ValueError: If the waveform is not mono, finite, 0.1 s or longer and at 24,000 Hz.
    """
    waveform = check_waveform(waveform, sampling_rate)
    if beats is None:
        from .beats import track_beats

        beats = track_beats(waveform, sampling_rate)
    clock, duration = beats.clock, len(waveform) / sampling_rate
    powers = hop_powers(waveform, sampling_rate)
    loudness = integrated_loudness(powers)
    silences = find_silences(powers, loudness, duration, float(np.median(np.diff(clock.beat_times_seconds))))
    features = step_features(waveform, sampling_rate, clock, loudness)
    sections = find_sections(waveform, sampling_rate, clock, silences=silences, features=features)
    breaks = find_breaks(features, powers)
    within = clock.times_within(duration)
    return SongMap(
        duration_seconds=_milliseconds(duration),
        beats=MappedBeats(
            _median_bpm(clock),
            clock.beats_per_bar,
            tuple(within["beat_times_seconds"]),
            tuple(within["downbeat_times_seconds"]),
        ),
        confidence=round(float(beats.confidence), 3),
        alternatives=tuple(
            MappedAlternative(
                other.kind,
                _median_bpm(other.clock),
                next(iter(other.clock.times_within(duration)["downbeat_times_seconds"]), None),
                round(float(other.confidence), 3),
            )
            for other in beats.alternatives
        ),
        integrated_loudness_lufs=round(loudness, 2) if np.isfinite(loudness) else None,
        energy=Energy(ENERGY_RATE_HZ, tuple(round(float(value), 1) for value in energy_curve(powers, loudness))),
        silences=_rounded_spans(silences),
        fades=tuple(
            Fade(fade.kind, _milliseconds(fade.start_seconds), _milliseconds(fade.end_seconds))
            for fade in find_fades(powers, silences, duration)
        ),
        sections=tuple(
            Section(
                _milliseconds(section.start_seconds),
                _milliseconds(section.end_seconds),
                section.label,
                section.occurrence,
            )
            for section in sections
        ),
        breaks=_rounded_spans(breaks),
        drops=tuple(
            _milliseconds(next((end for start, end in silences if start <= drop < end), drop))
            for drop in find_drops(features, powers, loudness, breaks)
        ),
    )


def _median_bpm(clock: BeatClock) -> float:
    return round(60 / float(np.median(np.diff(clock.beat_times_seconds))), 2)


def _milliseconds(seconds: float) -> float:
    return round(float(seconds), TIME_DECIMALS)


def _rounded_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple((_milliseconds(start), _milliseconds(end)) for start, end in spans)


def _plain(value: Any) -> Any:
    """Return a value with lists in place of tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
