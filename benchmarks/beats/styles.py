"""Styles of dance music as data: what each voice plays, and which beat a dancer counts.

The `counted` note of a style at its `bpm` is the musicians' beat; which octave of it a dancer counts is the policy of
`audio.tempo_map`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Tempo = Literal["steady", "drift", "rubato", "jump", "double-time passage"]


@dataclass(frozen=True)
class Style:
    """Rhythm of a style.

    Args:
        counted: The note that a dancer counts as one beat, and why where it could be another.
        bpm: Slowest and fastest song, in counted notes a minute.
        meter: Counted notes in a bar.
        steps_per_beat: Steps of the patterns in a beat; 3 for triplets.
        voices: What each voice of `songs.LEVELS` plays, from the first of a bar and again and again: `X` a hit, `x`
            one 6 dB softer, `.` a rest. Blanks are for the eye. A pad or a melody is added to each song.
        levels: Peaks in dB under the kick's that do not vary from song to song.
        tempo: How the tempo moves.
        genre: Its name in `GENRE_TEMPO_RANGES`, if it has one.
    """

    counted: str
    bpm: tuple[float, float]
    meter: int
    steps_per_beat: int
    voices: dict[str, str]
    levels: dict[str, float] = field(default_factory=dict)
    tempo: Tempo = "steady"
    genre: str | None = None

    @property
    def has_one_bpm(self) -> bool:
        """Whether one number states the tempo of a song."""
        return self.tempo in ("steady", "double-time passage")

    def pattern(self, voice: str) -> str:
        """Return the steps of a voice."""
        return self.voices[voice].replace(" ", "")


_FLOOR = Style(
    "the kick", (115, 132), 4, 4, {"kick": "X...", "hat": "x.x.", "bass": "X... ..x. X... ..x."}, genre="house"
)
_OFF_BEAT = replace(_FLOOR, voices={"kick": "X...", "hat": "..X.", "bass": "X..."})
_ROCK = Style(
    "quarter: snare on two and four",
    (90, 124),
    4,
    4,
    {"kick": "X... .... x.x. ....", "snare": ".... X...", "hat": "X.x.", "bass": "X... x.x. X... x..."},
)
_SALSA = Style(
    "quarter: dancers step on one, two, three, five, six, seven of two bars",
    (160, 205),
    4,
    2,
    {
        "shaker": "Xx",
        "tom": ".... ..XX",
        "bass": "...X ..X.",
        "chord": "X.XX .X.X .X.X .X.X",
    },
    genre="salsa",
)
_WALTZ = Style(
    "quarter, three to the bar at any tempo",
    (78, 82),
    3,
    2,
    {"kick": "X.....", "hat": "..x.x.", "bass": "X.....", "chord": "..X.X."},
    genre="waltz",
)

STYLES: dict[str, Style] = {
    "four on the floor": _FLOOR,
    "four on the floor, clap": replace(_FLOOR, voices=_FLOOR.voices | {"clap": ".... X..."}),
    **{f"off-beat hat, {level:.0f} dB": replace(_OFF_BEAT, levels={"hat": level}) for level in (-25, -12, -6, -3, 0)},
    "rock": _ROCK,
    "ska": Style(
        "quarter: snare on two and four, guitar between the beats",
        (110, 135),
        4,
        4,
        {"kick": ".... X...", "snare": ".... X...", "hat": "X.x.", "bass": "X...", "chord": "..X."},
    ),
    "one-drop": Style(
        "the slower quarter: kick and rim on two and four, guitar between the beats",
        (66, 80),
        4,
        4,
        {
            "kick": ".... X...",
            "clave": ".... X...",
            "hat": "X.x.",
            "bass": "X..x ..X. .... x.X.",
            "chord": "..X.",
        },
    ),
    "steppers": Style(
        "the slower quarter: the kick, guitar between the beats",
        (66, 80),
        4,
        4,
        {
            "kick": "X...",
            "clave": ".... ..x. .... X...",
            "hat": "x.x.",
            "bass": "X..x ..x. X.x. ....",
            "chord": "..X.",
        },
    ),
    "bossa nova": Style(
        "quarter of the bar of four",
        (108, 136),
        4,
        2,
        {
            "kick": "X..x X..x",
            "clave": "X..X ..X. ..X. .X..",
            "shaker": "x",
            "bass": "X..x X..x",
            "chord": "x..x ..x. ..x. .x..",
        },
    ),
    "samba": Style(
        "quarter of the bar of two: the low drum is softer on one, louder on two",
        (90, 110),
        2,
        4,
        {"tom": "x... X...", "shaker": "XxxX", "snare": "x.x. xx.x .x.x .xx.", "bass": "x..x X..x"},
        genre="samba",
    ),
    "salsa, clave 2-3": replace(_SALSA, voices=_SALSA.voices | {"clave": "..X. X... X..X ..X."}),
    "salsa, clave 3-2": replace(_SALSA, voices=_SALSA.voices | {"clave": "X..X ..X. ..X. X..."}),
    "reggaeton": Style(
        "the kick",
        (86, 102),
        4,
        4,
        {"kick": "X...", "snare": "...X ..X.", "hat": "x.x.", "bass": "X..x ..x."},
    ),
    "trap, half-time snare": Style(
        "the slower quarter, as hip-hop dancers do: snare on two and four",
        (66, 78),
        4,
        8,
        {
            "kick": "X.....x. ........ ..X.x... ........",
            "snare": "........ X.......",
            "hat": "x.x.x.x. x.x.xxxx",
            "bass": "X....... ........ ..X..... ........",
        },
    ),
    "drum and bass": Style(
        "quarter: snare on two and four, as the package's range for the genre",
        (166, 178),
        4,
        2,
        {"kick": "X.... X..", "snare": "..X. ..X.", "hat": "x", "bass": "X... .... ...x ...."},
        genre="drum-and-bass",
    ),
    "swing": Style(
        "quarter: the walking bass",
        (140, 176),
        4,
        3,
        {"kick": "x..", "hat": "X.. X.x", "bass": "X..", "chord": "X.. ..x ... ..."},
    ),
    "shuffle": Style(
        "quarter: snare on two and four",
        (96, 124),
        4,
        3,
        {"kick": "X.. ...", "snare": "... X..", "hat": "X.x", "bass": "X.x"},
    ),
    "6/8": Style(
        "dotted quarter, two to the bar",
        (52, 76),
        2,
        3,
        {"kick": "X.. ...", "snare": "... X..", "hat": "Xxx", "bass": "X.. x.x"},
    ),
    "12/8": Style(
        "dotted quarter, four to the bar",
        (52, 76),
        4,
        3,
        {"kick": "X.. ... X.x ...", "snare": "... X..", "hat": "Xxx", "bass": "X.. ..x X.. x.."},
    ),
    "5/4": Style(
        "quarter, three and two",
        (120, 168),
        5,
        2,
        {"kick": "X... ..X...", "snare": "..x.x. ..X.", "hat": "x", "bass": "X..x.. X.x.", "chord": "X..x.. ...."},
    ),
    "7/8": Style(
        "eighth, two, two and three: the only even count that meets the bar",
        (140, 176),
        7,
        2,
        {"kick": "X... X... X.....", "snare": "..x. ..x. ..X.x.", "hat": "x.", "bass": "X... x... x....."},
    ),
    **{f"waltz {bpm}": replace(_WALTZ, bpm=(bpm - 2, bpm + 2)) for bpm in (80, 110, 140, 170, 198)},
    "Viennese waltz": Style(
        "quarter, three to the bar",
        (174, 184),
        3,
        2,
        {"tom": "X.....", "snare": "..x...", "bass": "X.....", "chord": "..X.x."},
        genre="viennese-waltz",
    ),
    "tango": Style(
        "quarter: the marcato of bass and piano",
        (112, 132),
        4,
        2,
        {"bass": "X.x. X.x.", "chord": "X.x. X.x. X.x. X.x. X.x. X.x. X..x x.x."},
        genre="tango",
    ),
    "march": Style(
        "quarter, two to the bar: a step each",
        (108, 122),
        2,
        4,
        {"kick": "X... x...", "snare": "x.xx X.x.", "bass": "X... x...", "chord": "..x."},
    ),
    "breakbeat": Style(
        "quarter: snare on two and four, with ghosts",
        (100, 135),
        4,
        4,
        {"kick": "X.X. .... ..XX ....", "snare": ".... X..x .x.. X..x", "hat": "x.x.", "bass": "X... .... ..X. ...."},
    ),
    "3:2 polyrhythm": Style(
        "quarter: two kicks a bar, against three blocks for every two beats",
        (90, 120),
        4,
        6,
        {"kick": "X..... ......", "clave": "X...x...x...", "hat": "x.....", "bass": "X..... ......"},
    ),
    "syncopated house": Style(
        "the kick",
        (116, 130),
        4,
        4,
        {
            "kick": "X...",
            "clap": ".... X...",
            "hat": "..x.",
            "chord": "...X ..X. .X.. X...",
            "bass": "..x. .xX. ..x. .x.x",
        },
        genre="house",
    ),
    "rubato": Style(
        "quarter, which sways by an eighth; no drums",
        (64, 88),
        4,
        4,
        {"bass": "X... .... x... ....", "chord": "X..."},
        tempo="rubato",
    ),
    "live drift": replace(_ROCK, tempo="drift"),
    "tempo jump": replace(_ROCK, bpm=(96, 106), tempo="jump"),
    "double-time passage": replace(
        _ROCK,
        counted="quarter of the slow parts throughout: the body keeps its step when the band plays twice as fast",
        bpm=(74, 96),
        tempo="double-time passage",
    ),
}
