"""Songs with known beats that the beat network learns from: rhythms played by bands that are drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..audio.tempo_map import counted_octave
from .rhythms import Rhythm, draw_rhythm

SAMPLING_RATE = 24_000
LEVELS = {
    "kick": 0.0,
    "tom": -4.0,
    "conga": -7.0,
    "snare": -3.0,
    "clap": -5.0,
    "clave": -9.0,
    "cowbell": -10.0,
    "hat": -13.0,
    "open hat": -14.0,
    "ride": -15.0,
    "shaker": -17.0,
    "bass": -5.0,
    "chord": -10.0,
    "organ": -13.0,
    "arpeggio": -14.0,
    "melody": -9.0,
    "pad": -15.0,
}
"""Peak of each voice in dB; a song draws its own within `LEVEL_SPREAD_DB`."""
LEVEL_SPREAD_DB = 6.0
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
CHORD_ROOTS = (0, 2, 4, 5, 7, 9, 10)


@dataclass(frozen=True)
class BeatSong:
    """Synthesized song, counted as `audio.tempo_map` says.

    Args:
        waveform: `(samples,)` float32, peak below 1, at 24,000 Hz.
        beat_times: `(beats,)` seconds; none where the band is silent.
        is_downbeat: `(beats,)` bool.
        meter: Beats in a bar.
    """

    waveform: np.ndarray
    beat_times: np.ndarray
    is_downbeat: np.ndarray
    meter: int


def synthesize_song(seed: int, seconds: float) -> BeatSong:
    """Play a rhythm drawn at random, cut out of a longer song: it may begin anywhere in a bar.

    Args:
        seed: Chooses everything.
        seconds: Length of the song.
    """
    random = np.random.default_rng(seed)
    rhythm = draw_rhythm(random)
    bpm = float(np.exp(random.uniform(*np.log(rhythm.bpm))))
    num_bars = int(np.ceil((seconds * bpm / 60 * 1.5 + rhythm.meter) / rhythm.meter)) + 1
    times = _beat_times(random, rhythm, bpm, num_bars * rhythm.meter)
    times -= np.interp(random.uniform(0, rhythm.meter), np.arange(len(times)), times)
    waveform = _play(random, rhythm, times, seconds)
    is_silent = _silent_samples(random, len(waveform))
    waveform = _master(random, np.where(is_silent, 0, waveform))
    inside = np.flatnonzero((times >= 0) & (times < seconds))
    inside = inside[~is_silent[np.floor(times[inside] * SAMPLING_RATE).astype(int)]]
    meter = rhythm.meter
    if meter % 2 == 0 and counted_octave(bpm, meter, None) < 1:
        inside, meter = inside[inside % 2 == 0], max(2, meter // 2)
    return BeatSong(waveform, times[inside], inside % rhythm.meter == 0, meter)


def _silent_samples(random: np.random.Generator, num_samples: int) -> np.ndarray:
    """Return where the band is silent, `(samples,)` bool: nowhere in most songs, else for some seconds."""
    is_silent = np.zeros(num_samples, bool)
    if random.uniform() < 0.08:
        length = random.uniform(1.0, 6.0) * SAMPLING_RATE
        begin = random.choice([0.0, random.uniform(0, num_samples)])
        is_silent[int(begin) : int(begin + length)] = True
    return is_silent


def _beat_times(random: np.random.Generator, rhythm: Rhythm, bpm: float, num_beats: int) -> np.ndarray:
    """Return the times of beats from 0, `(num_beats + 1,)`: steady, or with a drift, sway, jump or slope."""
    beats = np.arange(num_beats)
    kinds = ("steady", "drift", "sway", "jump", "slope")
    chances = (0.7, 0.15, 0.0, 0.08, 0.07) if rhythm.has_drums else (0.45, 0.15, 0.35, 0.0, 0.05)
    kind = random.choice(kinds, p=chances)
    slowness = np.ones(num_beats)
    if kind == "drift":
        slowness = np.exp(np.clip(np.cumsum(random.normal(0, random.uniform(0.002, 0.01), num_beats)), -0.15, 0.15))
    elif kind == "sway":
        depth, turn = random.uniform(0.03, 0.15), random.uniform(0, 2 * np.pi)
        bars = rhythm.meter * random.choice([2, 4, 8])
        slowness = 1 + depth * np.sin(2 * np.pi * beats / bars + turn) + random.normal(0, 0.02, num_beats)
    elif kind == "jump":
        slowness[num_beats // 3 + int(random.integers(num_beats // 4)) :] = random.choice([0.75, 0.8, 0.9, 1.15, 1.25])
    elif kind == "slope":
        slowness = np.exp(np.linspace(0, random.uniform(-0.25, 0.25), num_beats))
    return np.concatenate([[0.0], np.cumsum(slowness * 60 / bpm)])


@dataclass(frozen=True)
class _Hits:
    """When a voice may play: `(hits,)` seconds, velocity, number of the bar, step in the bar."""

    seconds: np.ndarray
    velocities: np.ndarray
    bars: np.ndarray
    steps: np.ndarray


def _play(random: np.random.Generator, rhythm: Rhythm, times: np.ndarray, seconds: float) -> np.ndarray:
    """Play all voices of a rhythm: `(samples,)`, not yet scaled."""
    waveform = np.zeros(round(seconds * SAMPLING_RATE), np.float32)
    band = _Band(random)
    grid = _grid(random, rhythm, times)
    for voice, pattern in rhythm.voices.items():
        repeated = np.resize(pattern, len(grid.seconds)) * _accents(random, grid.steps, rhythm)
        level = (rhythm.levels or {}).get(voice, _draw_level(random, voice))
        _play_voice(random, band, waveform, voice, replace(grid, velocities=repeated), level)
    if rhythm.has_drums and rhythm.meter == 4 and random.uniform() < 0.1:
        voice = str(random.choice(["clave", "cowbell", "tom"]))
        hits = _polyrhythm(random, times, rhythm.meter)
        _play_voice(random, band, waveform, voice, hits, _draw_level(random, voice))
    if rhythm.has_drums:
        _add_fills(random, band, waveform, times, rhythm.meter)
    return waveform


def _grid(random: np.random.Generator, rhythm: Rhythm, times: np.ndarray) -> _Hits:
    """Return all steps of a song, in some songs with uneven eighths or with players who are early and late."""
    steps = np.arange((len(times) - 1) * rhythm.steps_per_beat)
    jitter = random.choice([0.0, 0.003, 0.008]) * random.normal(size=len(steps))
    late = random.choice([0.0, 0.0, random.uniform(0, 0.3)])
    is_off = (steps % rhythm.steps_per_beat % 2 == 1) & (rhythm.steps_per_beat % 2 == 0)
    positions = (steps + late * is_off) / rhythm.steps_per_beat
    seconds = np.interp(positions, np.arange(len(times)), times) + jitter
    steps_per_bar = rhythm.meter * rhythm.steps_per_beat
    return _Hits(seconds, np.ones(len(steps)), steps // steps_per_bar, steps % steps_per_bar)


def _polyrhythm(random: np.random.Generator, times: np.ndarray, meter: int) -> _Hits:
    """Return three or four even hits for every two, three or four beats."""
    beats, hits = ((2, 3), (4, 3), (3, 4))[random.integers(3)]
    at = np.arange(0, len(times) - 1, beats / hits)
    seconds = np.interp(at, np.arange(len(times)), times)
    return _Hits(seconds, np.ones(len(at)), (at // meter).astype(int), np.zeros(len(at), int))


def _draw_level(random: np.random.Generator, voice: str) -> float:
    return LEVELS[voice] + float(random.uniform(-1, 1)) * LEVEL_SPREAD_DB


def _play_voice(
    random: np.random.Generator, band: _Band, waveform: np.ndarray, voice: str, hits: _Hits, level_db: float
) -> None:
    """Play those hits of a voice that lie in the song; it rests for some bars and leaves out a hit now and then."""
    plays = _playing_bars(random, int(hits.bars[-1]) + 1, voice)[hits.bars]
    plays &= random.uniform(size=len(hits.seconds)) > 0.02
    inside = (hits.seconds > -2) & (hits.seconds < len(waveform) / SAMPLING_RATE)
    for index in np.flatnonzero(plays & inside & (hits.velocities > 0)):
        sound = band.sound(voice, int(hits.bars[index]), int(hits.steps[index]))
        _add(waveform, sound, hits.seconds[index], hits.velocities[index] * 10 ** (level_db / 20))


def _accents(random: np.random.Generator, steps: np.ndarray, rhythm: Rhythm) -> np.ndarray:
    """Return how loud a voice plays each step: louder on some beats of the bar, with chance from hit to hit."""
    accents = np.ones(rhythm.meter * rhythm.steps_per_beat)
    if random.uniform() < 0.4:
        accents = random.uniform(0.6, 1.0, len(accents))
        if random.uniform() < 0.5:
            accents[0] = 1.0
    return accents[steps % len(accents)] * 10 ** (random.normal(0, 1.2, len(steps)) / 20)


def _playing_bars(random: np.random.Generator, num_bars: int, voice: str) -> np.ndarray:
    """Return in which bars a voice plays, `(num_bars,)` bool: now and then it rests for some bars."""
    playing = np.ones(num_bars, bool)
    if random.uniform() < (0.15 if voice in ("kick", "snare", "bass") else 0.3):
        length = int(random.choice([2, 4, 8]))
        begin = int(random.integers(0, max(1, num_bars // length))) * length
        playing[begin : begin + length] = False
    return playing


def _add_fills(random: np.random.Generator, band: _Band, waveform: np.ndarray, times: np.ndarray, meter: int) -> None:
    """Add fills at the ends of phrases and crashes at their starts, in some songs."""
    length = int(random.choice([4, 8]))
    phrase = times[:: meter * length]
    if random.uniform() < 0.35:
        gain = 10 ** (random.uniform(-16, -6) / 20)
        for start in phrase:
            _add(waveform, band.drums["crash"], start, gain)
    if random.uniform() < 0.35:
        for end in range(meter * length, len(times) - 1, meter * length):
            beat = times[end] - times[end - 1]
            hits = times[end] - beat * np.arange(1, int(random.choice([3, 5, 9]))) / random.choice([2, 4])
            drum, gain = band.drums[str(random.choice(["snare", "tom"]))], 10 ** (random.uniform(-10, -2) / 20)
            for start in hits:
                _add(waveform, drum, start, gain)


class _Band:
    """Sounds of one song, and the notes that it plays."""

    def __init__(self, random: np.random.Generator):
        self.drums = {name: make(random) for name, make in DRUMS.items()}
        self.key = int(random.integers(40, 52))
        self.scale = SCALES[random.integers(len(SCALES))]
        self.roots = random.choice(CHORD_ROOTS, size=int(random.choice([1, 2, 4, 4, 4, 8])))
        self.bars_per_chord = int(random.choice([1, 1, 1, 2]))
        self.is_minor = random.uniform() < 0.5
        self.walks = random.uniform() < 0.3
        self.tunes = random.integers(0, 10, size=(int(random.choice([1, 2, 4])), 64))
        self.partials = {
            voice: (
                random.uniform(0.6, 2.5),
                random.uniform(*length),
                random.uniform(*attack),
                bool(random.integers(2)),
            )
            for voice, length, attack in (
                ("bass", (0.12, 0.6), (0.002, 0.015)),
                ("chord", (0.08, 0.5), (0.002, 0.02)),
                ("organ", (0.08, 0.3), (0.004, 0.02)),
                ("arpeggio", (0.1, 0.4), (0.002, 0.01)),
                ("melody", (0.12, 0.6), (0.003, 0.05)),
                ("pad", (1.0, 3.0), (0.02, 0.5)),
            )
        }
        self.notes: dict[tuple, np.ndarray] = {}

    def sound(self, voice: str, bar: int, step: int) -> np.ndarray:
        """Return what a voice plays at a step of a bar: a drum, or the notes of the bar's chord or of a tune."""
        return self.drums[voice] if voice in self.drums else self._notes(voice, bar, step)

    def _notes(self, voice: str, bar: int, step: int) -> np.ndarray:
        root = self.key + int(self.roots[(bar // self.bars_per_chord) % len(self.roots)])
        third = 3 if self.is_minor else 4
        if voice == "bass":
            up = 0 if step == 0 or not self.walks else int((0, 7, 12, 5, third)[(3 * step + bar) % 5])
            pitches: tuple[int, ...] = (root - 12 + up,)
        elif voice == "melody":
            note = int(self.tunes[bar % len(self.tunes), step % 64])
            octave, degree = divmod(note, len(self.scale))
            pitches = (self.key + 12 + 12 * octave + self.scale[degree],)
        elif voice == "arpeggio":
            pitches = (root + 12 + (0, third, 7, 12)[step % 4],)
        else:
            pitches = (root + 12, root + 12 + third, root + 19)
        if (voice, pitches) not in self.notes:
            self.notes[voice, pitches] = self._note(voice, pitches)
        return self.notes[voice, pitches]

    def _note(self, voice: str, pitches: tuple[int, ...]) -> np.ndarray:
        rolloff, seconds, attack, is_odd = self.partials[voice]
        time = _time(seconds)
        partials = np.arange(1, 12, 2 if is_odd else 1)[:, None]
        wave = np.zeros(len(time))
        for pitch in pitches:
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            heard = partials[partials[:, 0] * hertz < 10_000]
            wave += (np.sin(2 * np.pi * heard * hertz * time) / heard**rolloff).sum(axis=0)
        envelope = np.clip(time / attack, 0, 1) * np.clip((seconds - time) / (0.3 * seconds), 0, 1)
        if voice in ("chord", "arpeggio", "bass"):
            envelope = envelope * np.exp(-time / seconds)
        return _at_peak(wave * envelope)


def _add(waveform: np.ndarray, sound: np.ndarray, start_seconds: float, gain: float) -> None:
    start = round(start_seconds * SAMPLING_RATE)
    skip = max(0, -start)
    room = waveform[start + skip : max(0, start + len(sound))]
    room += gain * sound[skip : skip + len(room)]


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE


def _at_peak(sound: np.ndarray) -> np.ndarray:
    return (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)


def _kick(random: np.random.Generator) -> np.ndarray:
    time = _time(random.uniform(0.15, 0.5))
    hertz = random.uniform(38, 70) + random.uniform(20, 200) * np.exp(-time / random.uniform(0.01, 0.05))
    body = np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLING_RATE) * np.exp(-time / random.uniform(0.05, 0.2))
    click = random.uniform(0, 0.5) * random.normal(size=len(time)) * np.exp(-time / 0.003)
    return _at_peak(np.tanh(random.uniform(0.8, 4) * (body + click)))


def _tom(random: np.random.Generator, low: float = 70, high: float = 160) -> np.ndarray:
    time = _time(0.3)
    hertz = random.uniform(low, high) * (1 + random.uniform(0, 0.5) * np.exp(-time / 0.03))
    skin = random.uniform(0, 0.4) * random.normal(size=len(time)) * np.exp(-time / 0.01)
    tone = np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLING_RATE)
    return _at_peak((tone + skin) * np.exp(-time / random.uniform(0.04, 0.15)))


def _conga(random: np.random.Generator) -> np.ndarray:
    return _tom(random, 160, 380)


def _snare(random: np.random.Generator) -> np.ndarray:
    time = _time(0.3)
    noise = _band_noise(random, len(time), random.uniform(300, 1500), random.uniform(5000, 11500))
    body = random.uniform(0, 1) * np.sin(2 * np.pi * random.uniform(150, 280) * time) * np.exp(-time / 0.04)
    return _at_peak(noise * np.exp(-time / random.uniform(0.02, 0.12)) + body)


def _clap(random: np.random.Generator) -> np.ndarray:
    time = _time(0.25)
    noise = _band_noise(random, len(time), random.uniform(600, 1200), random.uniform(3000, 8000))
    bursts = np.exp(-(time % 0.011) / 0.004) * (time < 0.033) + np.exp(-time / random.uniform(0.03, 0.08))
    return _at_peak(noise * bursts)


def _hat(random: np.random.Generator, shortest: float = 0.008, longest: float = 0.05) -> np.ndarray:
    decay = random.uniform(shortest, longest)
    time = _time(min(0.6, 5 * decay))
    return _at_peak(_band_noise(random, len(time), random.uniform(3000, 8000), 12_000) * np.exp(-time / decay))


def _open_hat(random: np.random.Generator) -> np.ndarray:
    return _hat(random, 0.06, 0.2)


def _crash(random: np.random.Generator) -> np.ndarray:
    time = _time(1.5)
    return _at_peak(_band_noise(random, len(time), 2000, 12_000) * np.exp(-time / random.uniform(0.3, 0.7)))


def _ride(random: np.random.Generator) -> np.ndarray:
    time = _time(0.4)
    ring = sum(np.sin(2 * np.pi * hertz * time) for hertz in random.uniform(2500, 9000, 6))
    noise = _band_noise(random, len(time), 5000, 12_000)
    return _at_peak((ring / 3 + 3 * noise) * np.exp(-time / random.uniform(0.05, 0.2)))


def _shaker(random: np.random.Generator) -> np.ndarray:
    time = _time(random.uniform(0.04, 0.1))
    swell = np.sin(np.pi * (time / time[-1]) ** random.uniform(0.3, 1))
    return _at_peak(_band_noise(random, len(time), random.uniform(3000, 6000), 12_000) * swell)


def _clave(random: np.random.Generator) -> np.ndarray:
    time = _time(0.1)
    return _at_peak(np.sin(2 * np.pi * random.uniform(900, 2800) * time) * np.exp(-time / random.uniform(0.008, 0.03)))


def _cowbell(random: np.random.Generator) -> np.ndarray:
    time = _time(0.3)
    pitch = random.uniform(400, 900)
    square = np.sign(np.sin(2 * np.pi * pitch * time)) + np.sign(np.sin(2 * np.pi * 1.48 * pitch * time))
    return _at_peak(square * np.exp(-time / random.uniform(0.03, 0.1)))


DRUMS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "kick": _kick,
    "tom": _tom,
    "conga": _conga,
    "snare": _snare,
    "clap": _clap,
    "hat": _hat,
    "open hat": _open_hat,
    "crash": _crash,
    "ride": _ride,
    "shaker": _shaker,
    "clave": _clave,
    "cowbell": _cowbell,
}


def _band_noise(random: np.random.Generator, num_samples: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Return white noise between two frequencies, about 1 in spread."""
    from scipy.fft import irfft, rfft, rfftfreq

    spectrum = rfft(random.normal(size=num_samples))
    hertz = rfftfreq(num_samples, 1 / SAMPLING_RATE)
    noise = irfft(spectrum * ((hertz > low_hz) & (hertz < high_hz)), num_samples)
    return noise / (noise.std() + 1e-9)


def _master(random: np.random.Generator, waveform: np.ndarray) -> np.ndarray:
    """Give a song a room, a tone, a noise floor, saturation and a level, each with some chance."""
    from scipy.signal import fftconvolve, lfilter

    waveform = waveform / (np.abs(waveform).max() + 1e-9)
    if random.uniform() < 0.5:
        time = _time(random.uniform(0.1, 0.8))
        room = random.normal(size=len(time)) * np.exp(-time / random.uniform(0.03, 0.25))
        room *= random.uniform(0.05, 0.5) / np.sqrt((room**2).sum())
        waveform = waveform + fftconvolve(waveform, room)[: len(waveform)]
    if random.uniform() < 0.5:
        tilt = random.uniform(-0.6, 0.6)  # darker or brighter
        waveform = lfilter([1, -tilt], [1], waveform) if tilt > 0 else lfilter([1], [1, tilt], waveform)
    if random.uniform() < 0.1:  # a small loudspeaker
        low = lfilter([0.05], [1, -0.95], waveform)
        waveform = waveform - lfilter([0.05], [1, -0.95], low) - low * 0.5
    if random.uniform() < 0.3:
        floor = np.cumsum(random.normal(size=len(waveform)))
        floor = lfilter([1, -1], [1, -0.99], floor)
        waveform = waveform + floor / floor.std() * 10 ** (random.uniform(-60, -25) / 20)
    waveform = waveform / (np.abs(waveform).max() + 1e-9)
    if random.uniform() < 0.5:
        drive = random.uniform(1, 4)
        waveform = np.tanh(drive * waveform) / np.tanh(drive)
    return (waveform * 10 ** (random.uniform(-9, -0.2) / 20)).astype(np.float32)
