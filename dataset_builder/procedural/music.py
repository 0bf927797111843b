"""Synthesized songs whose tempo, meter and beats are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLING_RATE = 24_000


@dataclass(frozen=True)
class MusicPattern:
    """What each voice plays in one bar; all times are beats, 0 is the first of the bar.

    Args:
        beats_per_bar: Meter.
        tempo_range_bpm: Slowest and fastest song, beats per minute.
        kick: Times of the bass drum.
        snare: Times of the snare drum.
        hat: Times of the hi-hat.
        bass: Times of the bass, on the root of the bar's chord.
        chord: Times of the chord.
    """

    beats_per_bar: int
    tempo_range_bpm: tuple[float, float]
    kick: tuple[float, ...]
    snare: tuple[float, ...]
    hat: tuple[float, ...]
    bass: tuple[float, ...]
    chord: tuple[float, ...]


EIGHTHS = tuple(np.arange(0, 4, 0.5).tolist())
MUSIC_PATTERNS: dict[str, MusicPattern] = {
    "waltz": MusicPattern(3, (84, 96), kick=(0,), snare=(), hat=(1, 2), bass=(0,), chord=(1, 2)),
    "rumba": MusicPattern(4, (88, 108), kick=(0, 2.5), snare=(1, 3), hat=EIGHTHS, bass=(0, 1.5, 3), chord=(0, 2)),
    "cha-cha": MusicPattern(
        4, (116, 128), kick=(0, 2), snare=(1, 3, 3.5), hat=EIGHTHS, bass=(0, 1.5, 2), chord=(0.5, 1.5, 2.5)
    ),
    "hip-hop": MusicPattern(4, (86, 104), kick=(0, 1.5, 2.5), snare=(1, 3), hat=EIGHTHS, bass=(0, 1.5), chord=(0,)),
}
# One chord a bar, as semitones above the key.
PROGRESSIONS = (
    ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14)),
    ((0, 3, 7), (8, 12, 15), (3, 7, 10), (10, 14, 17)),
    ((0, 4, 7), (5, 9, 12), (0, 4, 7), (7, 11, 14)),
)


def beat_times_seconds(bpm: float, seconds: float) -> np.ndarray:
    """Return the times of all beats of a song, `(beats,)`; the first is 0 and begins a bar."""
    return np.arange(np.ceil(seconds * bpm / 60)) * (60 / bpm)


def synthesize_music(genre: str, bpm: float, seconds: float, *, seed: int) -> np.ndarray:
    """Play drums, bass and chords in the pattern of a genre; the first sample is the first beat of a bar.

    Args:
        genre: A key of `MUSIC_PATTERNS`.
        bpm: Beats per minute.
        seconds: Length.
        seed: Chooses key, chords and noise.

    Returns:
        `(samples,)` float32 in [-1, 1] at `SAMPLING_RATE`.
    """
    pattern = MUSIC_PATTERNS[genre]
    random = np.random.default_rng(seed)
    key = int(random.integers(45, 57))  # MIDI note numbers, A2 to G#3
    progression = PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    kick, snare, hat = _kick(), _snare(random), _hat(random)

    waveform = np.zeros(round(seconds * SAMPLING_RATE))
    bar_seconds = pattern.beats_per_bar * 60 / bpm
    for bar in range(int(np.ceil(seconds / bar_seconds))):
        notes = [key + semitones for semitones in progression[bar % len(progression)]]
        chord = np.sum([_tone(note + 12, 0.3) for note in notes], axis=0)
        voices = (
            (pattern.kick, kick, 1.0),
            (pattern.snare, snare, 0.6),
            (pattern.hat, hat, 0.25),
            (pattern.bass, _tone(notes[0] - 12, 0.4), 0.5),
            (pattern.chord, chord, 0.15),
        )
        for beats, sound, gain in voices:
            for beat in beats:
                accent = 1.5 if beat == 0 else 1.0
                start = round((bar * bar_seconds + beat * 60 / bpm) * SAMPLING_RATE)
                room = waveform[start : start + len(sound)]
                room += accent * gain * sound[: len(room)]
    return (0.8 * waveform / np.abs(waveform).max()).astype(np.float32)


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE


def _kick() -> np.ndarray:
    time = _time(0.3)
    frequency = 50 + 120 * np.exp(-time / 0.03)
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLING_RATE) * np.exp(-time / 0.08)


def _snare(random: np.random.Generator) -> np.ndarray:
    time = _time(0.2)
    noise = random.uniform(-1, 1, len(time))
    return (0.6 * noise + 0.4 * np.sin(2 * np.pi * 190 * time)) * np.exp(-time / 0.05)


def _hat(random: np.random.Generator) -> np.ndarray:
    time = _time(0.06)
    # The difference of white noise is bright.
    return np.diff(random.uniform(-1, 1, len(time) + 1)) * np.exp(-time / 0.015)


def _tone(note: int, seconds: float) -> np.ndarray:
    time = _time(seconds)
    frequency = 440 * 2 ** ((note - 69) / 12)
    number = np.arange(1, 5)[:, None]
    partials = (np.sin(2 * np.pi * number * frequency * time) / number**2).sum(axis=0)
    attack, release = np.minimum(time / 0.005, 1), np.minimum((seconds - time) / 0.02, 1)
    return partials * attack * release * np.exp(-time / (0.5 * seconds))
