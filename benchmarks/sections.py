"""Songs of verses and choruses whose sections are known, synthesized, and how well sections are found in them.

```bash
python -m benchmarks.sections --seeds 24 --first_seed 1000
```
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from infinitedance.audio.beats import BeatClock
from infinitedance.audio.sections import Section, find_sections

from .beats.songs import Instrument, drum_sounds

SAMPLING_RATE = 24_000
FORMS = ("ABAB", "AABA", "IABABCBO", "IABABB", "ABABCB", "AABAABA", "IAABACAO", "ABCABC", "IVBVBVBO", "ABAC")
"""One letter a section; I and O, intro and outro, are shorter."""
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
LEVELS_DB = {"kick": 0, "snare": -4, "hat": -15, "bass": -7, "chord": -14, "vocal": -11}


@dataclass(frozen=True)
class SectionSong:
    """Synthesized song of known form.

    Args:
        waveform: `(samples,)` float32 at 24,000 Hz.
        clock: Its beats.
        boundaries: `(sections + 1,)` seconds.
        labels: A letter a section.
    """

    waveform: np.ndarray
    clock: BeatClock
    boundaries: np.ndarray
    labels: str


@dataclass(frozen=True)
class Part:
    """What is played in every section of one label.

    Args:
        num_bars: Its length.
        degrees: One chord a bar, as steps of the scale; repeated.
        drums: Hits of each drum on 16 steps of a bar (12 of a waltz).
        bass: Steps on which the bass plays.
        chord: Steps on which the chord is played.
        vocal: Notes (step in the part, degree, length in steps).
        instruments: Bass, chord and vocal.
        levels_db: Of each voice.
    """

    num_bars: int
    degrees: tuple[int, ...]
    drums: dict[str, tuple[int, ...]]
    bass: tuple[int, ...]
    chord: tuple[int, ...]
    vocal: list[tuple[int, int, int]]
    instruments: dict[str, Instrument]
    levels_db: dict[str, float] = field(default_factory=dict)


def make_song(seed: int, form: str | None = None) -> SectionSong:
    """Play a form; no section sounds twice the same.

    Key, tempo, chords, notes, patterns, sounds and levels are drawn. In half of the songs all sections share the drums
    and the instruments. A repeated section differs by noise, fills, 2 dB, single hits, and in 30 % by another vocal
    line.

    Args:
        seed: Draws everything.
        form: A letter a section; drawn from `FORMS` by default.
    """
    random = np.random.default_rng(seed)
    form = form or str(random.choice(FORMS))
    meter = 3 if random.uniform() < 0.15 else 4
    bpm = float(random.uniform(80, 150))
    key, scale = int(random.integers(45, 57)), SCALES[str(random.choice(list(SCALES)))]
    share_band = bool(random.uniform() < 0.5)
    length = int(random.choice([8, 8, 12, 16]) if bpm > 110 else random.choice([4, 8, 8, 12]))
    parts: dict[str, Part] = {}
    for letter in dict.fromkeys(form):
        band = next(iter(parts.values())) if share_band and parts else None
        parts[letter] = draw_part(random, meter, max(4, length // 2) if letter in "IO" else length, letter, band)
    sounds = drum_sounds(random)
    lead = float(random.uniform(0, 1.5))
    bar_seconds = meter * 60 / bpm
    starts = lead + bar_seconds * np.cumsum([0, *(parts[letter].num_bars for letter in form)])
    waveform = np.zeros(round((starts[-1] + 1.0) * SAMPLING_RATE), np.float32)
    cache: dict[tuple, np.ndarray] = {}
    for letter, start in zip(form, starts, strict=False):
        play_part(waveform, parts[letter], start, bar_seconds, meter, (key, scale), sounds, cache, random)
    waveform *= np.float32(10 ** (random.uniform(-10, -1) / 20) / np.abs(waveform).max())
    waveform += random.normal(0, 10 ** (random.uniform(-70, -50) / 20), len(waveform)).astype(np.float32)
    clock = BeatClock.steady(bpm, len(waveform) / SAMPLING_RATE, lead, meter)
    return SectionSong(waveform, clock, starts, form)


def draw_part(random: np.random.Generator, meter: int, num_bars: int, letter: str, band: Part | None) -> Part:
    """Draw a part; of `band`, if there is one, drums, rhythm and instruments are kept."""
    steps = 4 * meter
    num_chords = int(random.choice([4, 4, min(8, num_bars)]))
    degrees = tuple(int(degree) for degree in random.choice(7, num_chords))
    period = steps * int(random.choice([4, min(8, num_bars)]))
    vocal: list[tuple[int, int, int]] = []
    step = 0
    density = random.uniform(1.5, 5)
    while step < period:
        step += int(random.poisson(density)) + 1
        if step < period:
            vocal.append((step, int(random.integers(7, 18)), int(random.integers(1, 7))))
    repeats = range(num_bars * steps // period + 1)
    vocal = [(step + k * period, degree, length) for k in repeats for step, degree, length in vocal]
    if letter in "IO" and random.uniform() < 0.5:
        vocal = []
    if band is not None:
        levels = {voice: level + float(random.uniform(-1, 1)) for voice, level in band.levels_db.items()}
        return Part(num_bars, degrees, band.drums, band.bass, band.chord, vocal, band.instruments, levels)
    kick = {0, *(int(k) for k in random.choice(steps, 3))} if random.uniform() < 0.6 else set(range(0, steps, 4))
    drums = {
        "kick": tuple(sorted(kick)),
        "snare": tuple(range(4, steps, 8)) if meter == 4 else (4, 8),
        "hat": tuple(range(0, steps, int(random.choice([1, 2, 4])))),
    }
    if letter in "IOC" and random.uniform() < 0.4:
        drums = {}
    instruments = {
        "bass": Instrument(random.uniform(0.2, 0.4), 0.004, random.uniform(1.2, 2.5)),
        "chord": Instrument(random.uniform(0.15, 1.2), random.uniform(0.004, 0.05), random.uniform(1.0, 2.5)),
        "vocal": Instrument(random.uniform(0.25, 0.6), 0.02, random.uniform(0.8, 2.0)),
    }
    levels = {voice: level + float(random.uniform(-4, 2)) for voice, level in LEVELS_DB.items()}
    bass = (0, *(int(k) for k in random.choice(np.arange(2, steps, 2), 3, replace=False)))
    chord = tuple(range(0, steps, int(random.choice([4, 8, steps]))))
    return Part(num_bars, degrees, drums, bass, chord, vocal, instruments, levels)


def play_part(
    waveform: np.ndarray,
    part: Part,
    start: float,
    bar_seconds: float,
    meter: int,
    key: tuple[int, tuple[int, ...]],
    sounds: dict[str, np.ndarray],
    cache: dict[tuple, np.ndarray],
    random: np.random.Generator,
) -> None:
    """Add one occurrence of a part to a song from `start` seconds on."""
    steps = 4 * meter
    level_db = float(random.uniform(-2, 2))
    root, scale = key

    def pitch(degree: int) -> int:
        return root + 12 * (degree // 7) + scale[degree % 7]

    def add(voice: str, bar: int, step: float, notes: tuple[int, ...] = ()) -> None:
        if notes:
            sound_key = (id(part.instruments[voice]), notes)
            if sound_key not in cache:
                cache[sound_key] = part.instruments[voice].play(notes).astype(np.float32)
            sound = cache[sound_key]
        else:
            sound = sounds[voice].astype(np.float32)
        seconds = start + bar_seconds * (bar + step / steps) + random.normal(0, 0.004)
        begin = max(0, round(seconds * SAMPLING_RATE))
        room = waveform[begin : begin + len(sound)]
        gain = level_db + part.levels_db[voice] + random.normal(0, 1)
        room += np.float32(10 ** (gain / 20)) * sound[: len(room)]

    for bar in range(part.num_bars):
        chord = part.degrees[bar % len(part.degrees)]
        is_fill = bar == part.num_bars - 1 and bool(part.drums) and random.uniform() < 0.6
        for voice, hits in part.drums.items():
            for step in hits:
                if random.uniform() > 0.04 and not (is_fill and step >= steps // 2):
                    add(voice, bar, step)
        if is_fill:
            for step in range(steps // 2, steps):
                if random.uniform() < 0.7:
                    add("snare", bar, step)
        for step in part.bass:
            add("bass", bar, step, (pitch(chord) - 12,))
        for step in part.chord:
            add("chord", bar, step, (pitch(chord) + 12, pitch(chord + 2) + 12, pitch(chord + 4) + 12))
    vocal = part.vocal
    if random.uniform() < 0.3:
        vocal = [(step, int(random.integers(7, 18)), length) for step, _, length in vocal]
    for step, degree, _ in vocal:
        if step < part.num_bars * steps:
            add("vocal", 0, step, (pitch(degree),))


def shifted_clock(clock: BeatClock) -> BeatClock:
    """Return a clock whose bars begin a beat late."""
    return BeatClock(clock.beat_times_seconds, clock.beats_per_bar, clock.first_downbeat_index + 1)


def half_clock(clock: BeatClock) -> BeatClock:
    """Return a clock of half the tempo."""
    parity = clock.first_downbeat_index % 2
    return BeatClock(clock.beat_times_seconds[parity::2], clock.beats_per_bar, clock.first_downbeat_index // 2)


CLOCKS: dict[str, Callable[[BeatClock], BeatClock]] = {
    "known": lambda clock: clock,
    "bar a beat late": shifted_clock,
    "half the tempo": half_clock,
}


def score_sections(song: SectionSong, sections: Sequence[Section]) -> dict[str, float]:
    """Compare found with known sections.

    Returns:
        `pairwise`, F-measure of the labels (mir_eval), and `boundary`, that of the boundaries within 3 s or a bar,
        whichever is shorter.
    """
    import mir_eval

    known = np.stack([song.boundaries[:-1], song.boundaries[1:]], axis=1)
    known -= known[0, 0]
    end = float(known[-1, 1])
    found = np.array([[section.start_seconds, section.end_seconds] for section in sections]) - song.boundaries[0]
    labels = [section.label for section in sections]
    found, labels = mir_eval.util.adjust_intervals(found, labels, 0.0, end)
    pairwise = mir_eval.segment.pairwise(known, list(song.labels), found, labels)[2]
    bar_seconds = song.clock.beats_per_bar * 60 / float(song.clock.bpm(np.array([1.0]))[0])
    window = min(3.0, bar_seconds)
    boundary = mir_eval.segment.detection(known, found, window=window, trim=False)[2]
    return {"pairwise": float(pairwise), "boundary": float(boundary)}


def main(command_line: list[str] | None = None) -> None:
    """Print the scores of each song and their means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=24, help="number of songs (default: 24)")
    parser.add_argument("--first_seed", type=int, default=0, help="seed of the first song (default: 0)")
    parser.add_argument(
        "--clocks", nargs="+", choices=list(CLOCKS), default=list(CLOCKS), help="which beats are given"
    )
    arguments = parser.parse_args(command_line)
    scores: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.clocks}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        song = make_song(seed)
        for name in arguments.clocks:
            sections = find_sections(song.waveform, SAMPLING_RATE, CLOCKS[name](song.clock))
            score = score_sections(song, sections)
            scores[name].append(score)
            found = " ".join(
                f"{section.label}{section.start_seconds - song.boundaries[0]:.0f}" for section in sections
            )
            print(f"{seed} {song.labels} {name}: {score['pairwise']:.2f} {score['boundary']:.2f}  {found}")
    for name, rows in scores.items():
        means = {key: np.mean([row[key] for row in rows]) for key in ("pairwise", "boundary")}
        print(f"{name}: pairwise F {means['pairwise']:.3f}, boundary F {means['boundary']:.3f}")


if __name__ == "__main__":
    main()
