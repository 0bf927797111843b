"""Rhythms that the beat network learns from: what each voice of a band may play, in families of dance music.

A rhythm is drawn, not fixed: a family says how likely each step of a pattern is, and every song draws its own pattern,
tempo and voices from it. The counted beat is the one that the snare, where there is one, plays on two and four.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CHANCES = {"X": 1.0, "o": 0.5, "-": 0.15, ".": 0.0}
"""How likely a song's pattern has a hit on a step."""
SOFT_CHANCE = 0.3


@dataclass(frozen=True)
class Rhythm:
    """What a band plays.

    Args:
        meter: Counted beats in a bar.
        steps_per_beat: Steps of the patterns in a beat; 3 for triplets.
        bpm: Slowest and fastest song, in counted beats a minute.
        voices: Pattern of each voice, from the first of a bar and again and again: velocity of each step, 0 to 1.
        has_drums: Whether there are any. Without them the tempo may sway freely.
        levels: Levels in dB of voices that differ from the usual.
    """

    meter: int
    steps_per_beat: int
    bpm: tuple[float, float]
    voices: dict[str, np.ndarray]
    has_drums: bool = True
    levels: dict[str, float] | None = None


def draw_pattern(random: np.random.Generator, likely: str) -> np.ndarray:
    """Draw a pattern.

    Args:
        random: Source of chance.
        likely: A letter of `CHANCES` for each step; blanks are for the eye.

    Returns:
        `(steps,)` velocities: 0 for a rest, 0.5 for a soft hit, 1 for a full one.
    """
    chances = np.array([CHANCES[letter] for letter in likely if letter != " "])
    hits = random.uniform(size=len(chances)) < chances
    soft = random.uniform(size=len(chances)) < SOFT_CHANCE * (chances < 1)
    return np.where(hits, np.where(soft, 0.5, 1.0), 0.0)


def pick(random: np.random.Generator, *options: str) -> str:
    """Choose one."""
    return options[random.integers(len(options))]


def draw_voices(random: np.random.Generator, chances: dict[str, tuple[float, tuple[str, ...]]]) -> dict:
    """Draw voices: each with its chance to be there and the patterns it may have."""
    return {
        voice: draw_pattern(random, pick(random, *patterns))
        for voice, (chance, patterns) in chances.items()
        if random.uniform() < chance
    }


_CHORDS = {  # of a bar of sixteen steps
    "pad": (0.5, ("X... .... .... ....", "X... .... X... ....")),
    "chord": (
        0.6,
        (
            "..X. ..X. ..X. ..X.",
            "X.-. o.-. X.-. o.-.",
            "X..X ..X. X..X ..X.",
            "X..o ..X. .o.. X.o.",
            "...X ..X. .X.. X...",
            "X... X... X... X...",
            ".... X... .... X...",
        ),
    ),
    "melody": (0.5, ("Xo-o o-o- Xo-o o-o-", "X.o. o.o. o.o. o.o.", "o-o- o-o- o-o- o---")),
}
_HATS = (
    "X.X. X.X. X.X. X.X.",
    "XoXo XoXo XoXo XoXo",
    "X... X... X... X...",
    "..X. ..X. ..X. ..X.",
    "X.-o X.-o X.-o X.-o",
)
_BASSES = (
    "X... ..o. X... ..o.",
    "X.X. X.X. X.X. X.X.",
    "X... o-o- X... o.o.",
    "..X. ..X. ..X. ..X.",
    "X..X ..X. X..X ..o.",
    "..X. .oX. ..X. .o.o",
    "X... .... o... ..o.",
    "X... X... X... X...",
)


def backbeat(random: np.random.Generator) -> Rhythm:
    """Rock, pop, funk, breakbeats, drum and bass: snare on two and four."""
    voices = draw_voices(
        random,
        {
            "kick": (
                0.97,
                (
                    "X... -.-. X.o. -.--",
                    "X... ..o. X... ....",
                    "X.o. ..o. -.X. ....",
                    "X... .... ..X. ....",
                    "X.X. ..-. ..XX ..-.",
                    "X..o ..X. ..X. .o..",
                    "X... ...o -.X- ....",
                    "X... o... X... o...",
                ),
            ),
            "snare": (0.93, (".... X... .... X...", ".... X..- .-.- X..o", ".... X... .... X.-o")),
            "clap": (0.2, (".... X... .... X...",)),
            "hat": (0.85, _HATS),
            "ride": (0.2, ("X.X. X.X. X.X. X.X.", "X... X... X... X...")),
            "shaker": (0.2, ("XoXo XoXo XoXo XoXo",)),
            "tom": (0.1, ("..-. --.- ..-. --o-",)),
            "bass": (0.9, _BASSES),
            **_CHORDS,
        },
    )
    return Rhythm(4, 4, (62, 182), voices)


def four_on_the_floor(random: np.random.Generator) -> Rhythm:
    """House, disco, techno: a kick on every beat, hats of any level between the beats."""
    voices = draw_voices(
        random,
        {
            "kick": (1.0, ("X... X... X... X...",)),
            "clap": (0.4, (".... X... .... X...",)),
            "snare": (0.2, (".... X... .... X...",)),
            "hat": (0.85, ("..X. ..X. ..X. ..X.", "..X. ..X. ..X. ..X.", *_HATS)),
            "open hat": (0.3, ("..X. ..X. ..X. ..X.",)),
            "shaker": (0.2, ("XoXo XoXo XoXo XoXo",)),
            "bass": (0.9, (*_BASSES, "..X. ..X. ..X. ..X.", "..XX ..XX ..XX ..XX", ".XXX .XXX .XXX .XXX")),
            **_CHORDS,
        },
    )
    return Rhythm(4, 4, (98, 150), voices, levels={"hat": random.uniform(-26, 0), "open hat": random.uniform(-22, -2)})


def half_time(random: np.random.Generator) -> Rhythm:
    """Trap and slow hip-hop: rolling hats, a snare on the slow two and four."""
    voices = draw_voices(
        random,
        {
            "kick": (1.0, ("X.....o. ....-... ..X.o... ..-.....", "X..o.... ....o... ..o..... o.....o.")),
            "snare": (0.7, ("........ X....... ........ X.......",)),
            "clap": (0.5, ("........ X....... ........ X.......",)),
            "hat": (0.9, ("X.X.X.X. X.X.XoXo X.X.X.X. XoX.XXXX", "X...X... X.-.X... X...X.o. X...XXXX")),
            "bass": (0.9, ("X....... ....o... ..o..... ........",)),
            "pad": (0.5, ("X....... ........ ........ ........",)),
            "melody": (0.6, ("X.o.-.o. o.-.o.-. X.o.-.o. o.-.o.-.",)),
        },
    )
    return Rhythm(4, 8, (60, 84), voices)


def reggae(random: np.random.Generator) -> Rhythm:
    """One-drop, rockers, steppers: the guitar plays between the beats."""
    kick = pick(random, ".... X... .... X...", "X... X... X... X...", "X... .... X... ....", ".... X... .... X..-")
    voices = {"kick": draw_pattern(random, kick)} | draw_voices(
        random,
        {
            "clave": (0.6, (".... X... .... X...", ".... ..o. .... X...")),
            "snare": (0.3, (".... X... .... X...",)),
            "hat": (0.8, ("X.X. X.X. X.X. X.X.", "X.oo X.oo X.oo X.oo")),
            "bass": (
                0.95,
                ("X..o ..X. .... o.X.", "X..X ..o. X.o. ....", ".... o.X. X... ..o.", "X... X.o. ..o. X..."),
            ),
            "chord": (0.97, ("..X. ..X. ..X. ..X.", "..X. ..X. ..X. ..Xo")),
            "organ": (0.4, (".oX. .oX. .oX. .oX.", ".XXo .XXo .XXo .XXo")),
            "melody": (0.4, ("X.o. o.o. o.o. o.o.",)),
        },
    )
    return Rhythm(4, 4, (60, 88), voices)


def oom_pah(random: np.random.Generator) -> Rhythm:
    """Ska, polka, march, country: bass on the beat, chords between the beats."""
    meter = int(random.choice([2, 4]))
    voices = draw_voices(
        random,
        {
            "kick": (0.6, ("X... X...", "X... o...", ".... X...")),
            "snare": (0.7, (".... X...", "o.oo X.o.", "..X. ..X.", "X.oo X.oo")),
            "hat": (0.5, ("X.X. X.X.", "..X. ..X.")),
            "bass": (0.95, ("X... X...", "X... o...")),
            "chord": (0.9, ("..X. ..X.", "..Xo ..Xo")),
            "pad": (0.2, ("X... ....",)),
            "melody": (0.6, ("X.o. o.o.", "Xooo o.o-")),
        },
    )
    return Rhythm(meter, 4, (96, 146), voices)


def latin(random: np.random.Generator) -> Rhythm:
    """Salsa, cha-cha, rumba, bossa, bachata: claves, congas and a bass that comes early; steps are eighths."""
    clave = pick(
        random,
        "..X. X... X..X ..X.",
        "X..X ..X. ..X. X...",
        "..X. X... X..X ...X",
        "X..X ...X ..X. X...",
        "X..X ..X. ..X. .X..",
        "X.X. X.X. X.X. X.X.",
    )
    voices = draw_voices(
        random,
        {
            "kick": (0.4, ("X..o X..o", "X... X...", "X... ....")),
            "clave": (0.6, (clave,)),
            "cowbell": (0.5, ("X.X. X.X.", "X... X...", "X.oo X.oo")),
            "tom": (0.8, (".... ..XX", "..o. ..XX", "..X. ..XX", "X..o ..XX", "oooX ooXX")),
            "conga": (0.5, ("ooXo ooXX", "o.X. o.XX", "..X. ..XX")),
            "shaker": (0.7, ("Xo Xo Xo Xo", "X.oo X.oo", "XX XX XX XX")),
            "bass": (0.95, ("...X ..X.", "X..X ..X.", "X..o X..o", "X... X.X.", "X..X X..X", "X... X...")),
            "chord": (0.8, ("X.XX .X.X .X.X .X.X", ".XX. X.X. X.X. X.X.", "X..X ..X. .X.. X...", "..X. ..X.")),
            "pad": (0.3, ("X... ....",)),
            "melody": (0.6, ("X.oo oo.o", "oo-o o-o-", "X.o. o.o.")),
        },
    )
    low, high = [(60, 106), (106, 137), (150, 212)][random.choice(3, p=[0.35, 0.35, 0.3])]
    return Rhythm(4, 2, (low, high), voices, levels={"tom": random.uniform(-8, 0), "bass": random.uniform(-9, -2)})


def two_four(random: np.random.Generator) -> Rhythm:
    """Samba, cumbia, merengue, baião: two beats a bar, the low drum loud on two or on one."""
    voices = draw_voices(
        random,
        {
            "tom": (0.95, ("o... X...", "-... X...", "X... o...", "X..o ..X.", "o..o X..o")),
            "kick": (0.3, ("X..o X..o", "X... X...")),
            "shaker": (0.8, ("XooX XooX", "XoXo XoXo", "..X. ..X.")),
            "snare": (0.6, ("o.o. oo.o .o.o .oo.", "X..X ..X.", "o.oo X.oo")),
            "cowbell": (0.4, ("X.X. XX.X .X.X .XX.", "X.X. X.X.")),
            "bass": (0.9, ("o..o X..o", "X..o X..o", "X... X...")),
            "chord": (0.7, ("X.X. .X.X .X.X .X..", "..X. ..X.", "X..X ..X.")),
            "melody": (0.5, ("Xoo- oo-o",)),
            "pad": (0.3, ("X... ....",)),
        },
    )
    return Rhythm(2, 4, (82, 132), voices)


def dembow(random: np.random.Generator) -> Rhythm:
    """Reggaeton, dancehall, afrobeats: kicks on the beat and a snare that goes three against them."""
    voices = draw_voices(
        random,
        {
            "kick": (1.0, ("X... X... X... X...", "X... o... X... o...", "X... ..o. X... ..o.")),
            "snare": (0.95, ("...X ..X. ...X ..X.", "...X ..X.", "...X ..Xo ...X ..X.")),
            "hat": (0.7, ("X.X. X.X.", "XoXo XoXo", "..X. ..X.")),
            "bass": (0.9, ("X..X ..X.", "X... X...", "X..o ..o. X... ..o.")),
            **_CHORDS,
        },
    )
    return Rhythm(4, 4, (80, 118), voices)


def swing(random: np.random.Generator) -> Rhythm:
    """Swing, shuffle, blues, jive: a beat of three parts."""
    is_fast = random.uniform() < 0.5
    voices = draw_voices(
        random,
        {
            "kick": (0.7, ("X.. X.. X.. X..", "X.. ... X.. ...", "X.. ..o X.. ...")),
            "snare": (0.2 if is_fast else 0.8, ("... X.. ... X..", "... X.. ... X.o")),
            "hat": (0.4 if is_fast else 0.8, ("... X.. ... X..", "X.X X.X X.X X.X")),
            "ride": (0.8 if is_fast else 0.3, ("X.. X.X X.. X.X", "X.X X.X X.X X.X")),
            "bass": (0.95, ("X.. X.. X.. X..", "X.X X.X X.X X.X", "X.. X.o X.. X.o")),
            "chord": (0.7, ("X.. ..X ... ...", "..X ... ..X ...", "... X.. ... X..", "X.X X.X X.X X.X")),
            "melody": (0.6, ("X.o X.o o.o o.o", "oXo o-o X-o o-o")),
            "pad": (0.2, ("X.. ... ... ...",)),
        },
    )
    return Rhythm(4, 3, (122, 215) if is_fast else (72, 142), voices)


def compound(random: np.random.Generator) -> Rhythm:
    """6/8 and 12/8: dotted quarters are counted."""
    meter = int(random.choice([2, 4]))
    voices = draw_voices(
        random,
        {
            "kick": (0.9, ("X.. ...", "X.. ..o", "X.. ... X.o ...")),
            "snare": (0.8, ("... X..", "... X.-")),
            "hat": (0.8, ("XXX XXX", "Xoo Xoo", "X.. X..")),
            "ride": (0.2, ("X.X X.X",)),
            "bass": (0.9, ("X.. o.o", "X.. ..o X.. o..", "X.. X..")),
            "chord": (0.6, ("XXX XXX", "X.. ...", ".XX .XX")),
            "pad": (0.4, ("X.. ...",)),
            "melody": (0.5, ("X.o Xoo", "o.o o.o")),
        },
    )
    return Rhythm(meter, 3, (44, 84), voices)


def waltz(random: np.random.Generator) -> Rhythm:
    """Slow, modern, jazz and Viennese waltzes, ballads in three: always three to the bar."""
    steps = int(random.choice([2, 2, 2, 3, 4]))
    rest = "." * (steps - 1)
    one, two_three, each = f"X{rest} .{rest} .{rest}", f".{rest} X{rest} X{rest}", f"X{rest} X{rest} X{rest}"
    three, off = f".{rest} .{rest} X{rest}", "X" * steps
    busy = " ".join(["X" + "o" * (steps - 1)] * 3)
    rare = " ".join(["o" + "-" * (steps - 1)] * 3)
    has_drums = random.uniform() < 0.65
    drums = {
        "kick": (0.7, (one,)),
        "tom": (0.2, (one,)),
        "snare": (0.5, (two_three, three, f".{rest} X{rest} .{rest}")),
        "hat": (0.7, (two_three, each, busy, off * 3)),
        "ride": (0.2, (each, busy)),
        "shaker": (0.1, (busy,)),
    }
    others = {
        "bass": (0.85, (one, one, f"X{rest} .{rest} o{rest}", each)),
        "chord": (0.85, (two_three, two_three, each, busy, one)),
        "pad": (0.5, (one,)),
        "arpeggio": (0.3, (busy, off * 3)),
        "melody": (0.8, (rare, busy, f"X{rest} o{rest} o{rest}", f"X{rest} .{rest} o{rest}")),
    }
    voices = draw_voices(random, {**drums, **others} if has_drums else others)
    slow = random.uniform() < 0.55
    return Rhythm(3, steps, (74, 118) if slow else (118, 212), voices, has_drums=has_drums)


def odd(random: np.random.Generator) -> Rhythm:
    """5/4 in quarters and 7/8 in eighths, in groups of two and three."""
    groups = [[3, 2], [2, 3], [2, 2, 3], [3, 2, 2]][random.integers(4)]
    first = " ".join("X." + ".." * (group - 1) for group in groups)
    rest = " ".join(".." + "X." * (group - 1) for group in groups)
    last = " ".join(".." * (group - 1) + "X." for group in groups)
    meter = sum(groups)
    voices = draw_voices(
        random,
        {
            "kick": (0.95, (first,)),
            "snare": (0.8, (last, ".." * (meter - 2) + "X...", rest)),
            "hat": (0.8, ("X." * meter, "Xo" * meter)),
            "bass": (0.9, (first, "X." + ".." * (meter - 1))),
            "chord": (0.6, (first, rest)),
            "pad": (0.4, ("X." + ".." * (meter - 1),)),
            "melody": (0.5, ("X." + "o." * (meter - 1),)),
        },
    )
    return Rhythm(meter, 2, (112, 176) if meter == 5 else (132, 220), voices)


def without_drums(random: np.random.Generator) -> Rhythm:
    """Tango, ballads, piano and string pieces: bass and chords alone keep the time."""
    voices = draw_voices(
        random,
        {
            "bass": (
                0.95,
                ("X... X... X... X...", "X... .... X... ....", "X... .... .... ....", "X..X ..X. X..X ..X."),
            ),
            "chord": (
                0.9,
                ("X... X... X... X...", "X..X ..X. X... X...", "X... .... .... ....", "..X. ..X. ..X. ..X."),
            ),
            "arpeggio": (0.4, ("X.X. X.X. X.X. X.X.", "XXXX XXXX XXXX XXXX")),
            "pad": (0.4, ("X... .... .... ....",)),
            "melody": (0.8, ("X.o. o.o. o.o. o.o.", "X..o o... o-o. o...")),
        },
    )
    return Rhythm(4, 4, (60, 140), voices, has_drums=False)


def counted_out(random: np.random.Generator) -> Rhythm:
    """Loops and metronomes: a hit on every beat, with an accent or a second drum on the first of the bar."""
    meter = int(random.choice([2, 3, 4, 5, 7], p=[0.1, 0.35, 0.4, 0.1, 0.05]))
    loudness = np.full(2 * meter, random.uniform(0.25, 0.7))
    loudness[0] = 1.0
    voices = {pick(random, "kick", "tom", "clave", "cowbell", "snare"): loudness * draw_pattern(random, "X." * meter)}
    first = "X." + ".." * (meter - 1)
    others: dict[str, tuple[float, tuple[str, ...]]] = {
        "hat": (0.7, (".X" * meter, "XX" * meter, "X." * meter)),
        "conga": (0.3, (first,)),
        "snare": (0.2, (".." * (meter - 1) + "X.",)),
        "bass": (0.3, (first, "X." * meter)),
        "pad": (0.3, (first,)),
    }
    voices = draw_voices(random, others) | voices
    bpm = (60.0, 135.0) if meter % 2 == 0 else (72.0, 210.0)
    return Rhythm(meter, 2, bpm, voices, levels={"hat": random.uniform(-22, -6)})


FAMILIES: dict[Callable[[np.random.Generator], Rhythm], float] = {
    backbeat: 0.16,
    four_on_the_floor: 0.16,
    half_time: 0.05,
    reggae: 0.07,
    oom_pah: 0.05,
    latin: 0.16,
    two_four: 0.05,
    dembow: 0.04,
    swing: 0.07,
    compound: 0.07,
    waltz: 0.18,
    odd: 0.04,
    without_drums: 0.06,
    counted_out: 0.06,
}
"""How often a song is of each family, before they are normalized."""


def draw_rhythm(random: np.random.Generator) -> Rhythm:
    """Draw a family and a rhythm of it."""
    weights = np.array(list(FAMILIES.values()))
    return list(FAMILIES)[random.choice(len(FAMILIES), p=weights / weights.sum())](random)
