"""Songs whose beats are known, synthesized from the patterns of a style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infinitedance.audio.tempo_map import counted_octave

from .measures import KnownBeats
from .styles import Style, Tempo

SAMPLING_RATE = 24_000
SONG_SECONDS = 30.0
LEVELS = {
    "kick": 0,
    "tom": -3,
    "snare": -3,
    "clap": -5,
    "clave": -8,
    "hat": -14,
    "shaker": -18,
    "bass": -7,
    "chord": -12,
    "melody": -12,
    "pad": -18,
}
"""Peak of each voice in dB under the kick's; a song draws its own within `LEVEL_SPREAD_DB` of it."""
LEVEL_SPREAD_DB = 2.0
HIT_SPREAD_DB = 1.0
SOFT_DB = -6.0
PROGRESSIONS = ((0, 9, 5, 7), (0, 5, 0, 7), (0, 7, 9, 5), (9, 5, 0, 7), (0, 10, 5, 0), (2, 7, 0, 0))
"""One chord a bar, its root in semitones above the key."""
MELODY_SEMITONES = (0, 2, 4, 7, 9, 12)


@dataclass(frozen=True)
class Song:
    """Synthesized song.

    Args:
        waveform: `(samples,)` float32, peak below 1, at `SAMPLING_RATE`.
        truth: Its beats from 0 s to its end.
        bpm: Tempo in counted beats a minute; where it moves, the one it starts from.
    """

    waveform: np.ndarray
    truth: KnownBeats
    bpm: float


def synthesize(style: Style, seed: int) -> Song:
    """Play a style for `SONG_SECONDS`, cut out of a longer song: it may begin anywhere in a bar.

    Styles with one seed share what they draw as far as they can: key, chords, tempo within the range, where the song
    begins. So the levels of one hat can be compared song by song.

    Args:
        style: What to play.
        seed: Chooses tempo, beginning, key, chords, sounds, levels and notes.
    """
    random = np.random.default_rng(seed)
    bpm = float(random.uniform(*style.bpm))
    begin = float(random.uniform(0, style.meter))
    level_db = float(random.uniform(-10, -1))
    num_bars = int(np.ceil((SONG_SECONDS * bpm / 60 * 1.5 + begin) / style.meter)) + 1
    times = beat_times(style.tempo, bpm, num_bars * style.meter, style.meter, random)
    times -= np.interp(begin, np.arange(len(times)), times)
    waveform = play(style, times, bpm, random)
    waveform *= 10 ** (level_db / 20) / np.abs(waveform).max()
    inside = (times >= 0) & (times < SONG_SECONDS)
    downbeats = times[inside & (np.arange(len(times)) % style.meter == 0)]
    return Song(waveform.astype(np.float32), KnownBeats(times[inside], downbeats, style.meter), bpm)


def counted(truth: KnownBeats, style: Style, bpm: float, genre: str | None) -> KnownBeats:
    """Return the beats that the package's octave policy counts, `audio.tempo_map`.

    Args:
        truth: The musicians' beats.
        style: What is played.
        bpm: Musicians' beats a minute.
        genre: What a tracker is told of the song.
    """
    octave = counted_octave(bpm, truth.meter, genre)
    if octave < 1:
        parity = int(np.searchsorted(truth.times, truth.downbeats[0])) % 2
        return KnownBeats(truth.times[parity::2], truth.downbeats, max(2, truth.meter // 2))
    if octave > 1 and style.steps_per_beat % 3:
        halves = np.arange(2 * len(truth.times) - 1) / 2
        times = np.interp(halves, np.arange(len(truth.times)), truth.times)
        first = int(np.searchsorted(times, truth.downbeats[0])) % 4
        return KnownBeats(times, times[first::4], 4)
    return truth


def beat_times(tempo: Tempo, bpm: float, num_beats: int, meter: int, random: np.random.Generator) -> np.ndarray:
    """Return the times of beats, `(num_beats + 1,)` seconds; the first is 0 and begins a bar.

    A drift is a random walk of 0.8 % a beat, up to 12 %; rubato sways by 12 % over four bars, with 2 % a beat at
    random; a jump to 0.8 or 1.25 of the tempo comes at the bar after half of the song.
    """
    beats = np.arange(num_beats)
    slowness = np.ones(num_beats)
    if tempo == "drift":
        slowness = np.exp(np.clip(np.cumsum(random.normal(0, 0.008, num_beats)), -0.12, 0.12))
    elif tempo == "rubato":
        sway = np.sin(2 * np.pi * beats / (4 * meter) + random.uniform(0, 2 * np.pi))
        slowness = 1 + 0.12 * sway + random.normal(0, 0.02, num_beats)
    elif tempo == "jump":
        half = meter * round(SONG_SECONDS / 2 * bpm / 60 / meter)
        slowness[half:] = random.choice([0.8, 1.25])
    return np.concatenate([[0.0], np.cumsum(slowness * 60 / bpm)])


def play(style: Style, times: np.ndarray, bpm: float, random: np.random.Generator) -> np.ndarray:
    """Play a style with instruments drawn at random: `(samples,)`.

    Args:
        style: What to play.
        times: `(beats,)` seconds; the first begins a bar. What lies before 0 is cut off.
        bpm: About their tempo.
        random: Draws key, chords, sounds and levels, then notes and accents.
    """
    key = int(random.integers(45, 57))  # MIDI note numbers, A2 to G#3
    third = int(random.choice([3, 4]))
    progression = PROGRESSIONS[random.integers(len(PROGRESSIONS))]
    background = str(random.choice(["pad", "melody"]))
    levels = {voice: level + float(random.uniform(-1, 1)) * LEVEL_SPREAD_DB for voice, level in LEVELS.items()}
    levels |= {"kick": 0.0} | style.levels
    sounds = drum_sounds(random)
    bar_seconds = 60 / bpm * style.meter
    instruments = {
        "bass": Instrument(random.uniform(0.2, 0.4), 0.004, random.uniform(1.2, 2.5)),
        "chord": Instrument(random.uniform(0.12, 0.3), 0.004, random.uniform(1.2, 2.5)),
        "melody": Instrument(random.uniform(0.2, 0.5), 0.01, random.uniform(1.2, 2.5)),
        "pad": Instrument(bar_seconds, 0.25 * bar_seconds, random.uniform(1.2, 2.5)),
    }
    patterns = {voice: style.pattern(voice) for voice in style.voices}
    patterns[background] = background_pattern(background, style, random)

    waveform = np.zeros(round(SONG_SECONDS * SAMPLING_RATE))
    positions, steps = played_steps(style, times)
    starts = np.round(np.interp(positions, np.arange(len(times)), times) * SAMPLING_RATE).astype(int)
    for voice, pattern in patterns.items():
        for position, start, step in zip(positions, starts, steps, strict=True):
            mark = pattern[step % len(pattern)]
            if mark == "." or not 0 <= start < len(waveform):
                continue
            root = key + progression[int(position // style.meter) % len(progression)]
            if voice in sounds:
                sound = sounds[voice]
            elif voice == "bass":
                is_first = step % (style.meter * style.steps_per_beat) == 0
                sound = instruments[voice].play([root - 12 + (0 if is_first else int(random.choice([0, 0, 7, 12])))])
            elif voice == "melody":
                sound = instruments[voice].play([key + 12 + int(random.choice(MELODY_SEMITONES))])
            else:
                sound = instruments[voice].play([root + 12, root + 12 + third, root + 19])
            level = levels[voice] + (SOFT_DB if mark == "x" else 0) + random.normal(0, HIT_SPREAD_DB)
            room = waveform[start : start + len(sound)]
            room += 10 ** (level / 20) * sound[: len(room)]
    return waveform


def background_pattern(voice: str, style: Style, random: np.random.Generator) -> str:
    """Draw what a pad, a chord a bar, or a melody, four bars on and off the beat, plays."""
    if voice == "pad":
        return "X".ljust(style.meter * style.steps_per_beat, ".")
    half = (style.steps_per_beat + 1) // 2  # of a triplet the last
    chances = np.zeros(style.steps_per_beat)
    chances[half % style.steps_per_beat], chances[0] = 0.3, 0.6
    drawn = random.uniform(size=4 * style.meter * style.steps_per_beat) < np.tile(chances, 4 * style.meter)
    return "".join(np.where(drawn, "X", "."))


def played_steps(style: Style, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where in the song, in beats, which step of the patterns is played.

    In a double-time passage, the whole bars nearest to the middle third, two steps are played in the time of one.
    """
    last = len(times) - 1
    steps = np.arange(last * style.steps_per_beat)
    positions = steps / style.steps_per_beat
    if style.tempo != "double-time passage":
        return positions, steps
    thirds = np.interp([SONG_SECONDS / 3, 2 * SONG_SECONDS / 3], times, np.arange(len(times)))
    begin, end = (style.meter * round(third / style.meter) for third in thirds)
    inside = np.arange(begin * style.steps_per_beat, (2 * end - begin) * style.steps_per_beat)
    before, after = positions < begin, positions >= end
    fast = begin + (inside - begin * style.steps_per_beat) / (2 * style.steps_per_beat)
    return (
        np.concatenate([positions[before], fast, positions[after]]),
        np.concatenate([steps[before], inside, steps[after]]),
    )


@dataclass(frozen=True)
class Instrument:
    """A plucked or swelling sound.

    Args:
        seconds: Length of a note.
        attack_seconds: Of this it rises.
        rolloff: Partial k has the amplitude k to the power of minus this.
    """

    seconds: float
    attack_seconds: float
    rolloff: float

    def play(self, notes: Sequence[int]) -> np.ndarray:
        """Return notes, MIDI numbers, played at once: `(samples,)`, peak 1."""
        time = _time(self.seconds)
        partials = np.arange(1, 6)[:, None]
        hertz = [440 * 2 ** ((note - 69) / 12) for note in notes]
        waves = sum(
            (np.sin(2 * np.pi * partials * each * time) / partials**self.rolloff).sum(axis=0) for each in hertz
        )
        rise, fall = time / self.attack_seconds, (self.seconds - time) / (0.3 * self.seconds)
        return _at_peak(waves * np.clip(rise, 0, 1) * np.clip(fall, 0, 1))


def drum_sounds(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw drums: `(samples,)` each, peak 1; each begins at its first sample."""

    def noise(seconds: float) -> np.ndarray:
        return random.uniform(-1, 1, round(seconds * SAMPLING_RATE))

    def drum(low_hz: float, sweep_hz: float, decay_seconds: float) -> np.ndarray:
        time = _time(0.3)
        hertz = low_hz + sweep_hz * np.exp(-time / 0.03)
        return np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLING_RATE) * np.exp(-time / decay_seconds)

    time = _time(0.2)
    body = random.uniform(0.2, 0.6) * np.sin(2 * np.pi * random.uniform(160, 240) * time)
    hat, shaker = _time(0.1), _time(0.08)
    ring = np.sin(2 * np.pi * random.uniform(1800, 2600) * _time(0.08))
    bursts = np.exp(-(time % 0.01) / 0.004) * (time < 0.03)
    sounds = {
        "kick": drum(random.uniform(42, 60), random.uniform(60, 140), random.uniform(0.06, 0.12)),
        "tom": drum(random.uniform(70, 110), random.uniform(10, 40), random.uniform(0.08, 0.15)),
        "snare": (noise(0.2) + body) * np.exp(-time / random.uniform(0.03, 0.08)),
        "clap": np.diff(noise(0.2), prepend=0) * (bursts + np.exp(-time / 0.06)),
        # The difference of white noise is bright.
        "hat": np.diff(noise(0.1), prepend=0) * np.exp(-hat / random.uniform(0.01, 0.03)),
        "shaker": np.diff(noise(0.08), prepend=0) * np.sin(np.pi * np.sqrt(shaker / 0.08)),
        "clave": ring * np.exp(-_time(0.08) / random.uniform(0.01, 0.025)),
    }
    return {name: _at_peak(sound) for name, sound in sounds.items()}


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE


def _at_peak(sound: np.ndarray) -> np.ndarray:
    return sound / np.abs(sound).max()
