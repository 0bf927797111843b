"""Sections of the report on songs that were changed: level, timbre, silence, a fade, and a jump of the tempo."""

from __future__ import annotations

from itertools import count, cycle, islice

import numpy as np
from tqdm import tqdm

from infinitedance.audio.beats import BeatClock, track_beats
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.dataset_builder.procedural.music import synthesize_music
from infinitedance.evaluation.metrics.genre_pulse import tempo_change_locks
from infinitedance.evaluation.metrics.music_response import REST_SHARE, end_speed_share, silence_response
from infinitedance.evaluation.metrics.passages import Passage, chorus_likeness
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.motion import FRAME_RATE

from ..sections import make_song
from .bench import Bench, Song
from .measures import LOCKED, Performance, meter_of
from .sections import ALL, GENERATING, mean_over_songs

LEVELS_DBFS = (-6.0, -14.0, -26.0)
LEVELS_GENRES_PER_SONG = 2
CHANGE_TEMPOS_BPM = (90.0, 120.0)
CHANGE_BEATS = (60, 80)
"""Both parts of a song with a change of tempo last 40 s, and the first ends with a bar of 3 or of 4."""
SILENCE_SECONDS = 10.0
FADE_SECONDS = 8.0
MADE_FORM = "ABAB"
NUM_MADE_SONGS = 10


def at_level(song: Song, level_dbfs: float) -> Song:
    """Return a song whose root mean square is at a level under full scale; peaks may lie above it."""
    rms = float(np.sqrt(np.mean(song.waveform.astype(np.float64) ** 2)))
    waveform = (song.waveform * (10 ** (level_dbfs / 20) / rms)).astype(np.float32)
    return Song(song.name, waveform, f"level{level_dbfs:g}")


def silenced(song: Song) -> tuple[Song, tuple[float, float]]:
    """Return a song that is muted for 10 s in its middle, a quarter of its length at most, and when."""
    seconds = len(song.waveform) / SAMPLING_RATE
    length = min(SILENCE_SECONDS, seconds / 4)
    start, end = (round((seconds + sign * length) / 2 * SAMPLING_RATE) for sign in (-1, 1))
    waveform = song.waveform.copy()
    waveform[start:end] = 0
    return Song(song.name, waveform, "silence"), (start / SAMPLING_RATE, end / SAMPLING_RATE)


def faded(song: Song) -> Song:
    """Return a song whose last 8 s, a quarter of its length at most, fade out to nothing."""
    num_samples = min(round(FADE_SECONDS * SAMPLING_RATE), len(song.waveform) // 4)
    waveform = song.waveform.copy()
    waveform[-num_samples:] *= np.linspace(1, 0, num_samples, dtype=np.float32) ** 2
    return Song(song.name, waveform, "fade")


def jumping(genre: str) -> tuple[Song, BeatClock, float]:
    """Return a song in the meter of a genre that jumps from 90 to 120 bpm, with its beats and the time of the jump."""
    intervals = [np.full(beats, 60 / bpm) for bpm, beats in zip(CHANGE_TEMPOS_BPM, CHANGE_BEATS, strict=True)]
    clock = BeatClock(np.cumsum([0.0, *np.concatenate(intervals)]), meter_of(genre))
    pattern = "waltz" if clock.beats_per_bar == 3 else "rumba"
    parts = [
        synthesize_music(pattern, bpm, float(beats.sum()), seed=0)
        for bpm, beats in zip(CHANGE_TEMPOS_BPM, intervals, strict=True)
    ]
    return Song("jump", np.concatenate(parts), "tempo"), clock, float(intervals[0].sum())


def made_songs(num_songs: int) -> list[tuple[Song, BeatClock, tuple[Passage, Passage, Passage]]]:
    """Return songs in 4/4 of two verses and two choruses, made by rule.

    Returns:
        Of each song its beats, and first chorus, second chorus and first verse.
    """
    made = ((seed, make_song(seed, MADE_FORM)) for seed in count())
    songs = []
    for seed, song in islice((each for each in made if each[1].clock.beats_per_bar == 4), num_songs):
        starts = song.clock.phase(song.boundaries)
        verse, chorus, _, again = map(Passage, starts, np.diff(starts))
        songs.append((Song(f"made_{seed}", song.waveform, "made"), song.clock, (chorus, again, verse)))
    return songs


def versions(song: Song, other: Song) -> dict[str, tuple[Song, Song | None]]:
    """Return a song at three levels, as it is, and with the spectra of another one: by name, song and timbre."""
    heard: dict[str, tuple[Song, Song | None]] = {
        f"{level:g} dBFS": (at_level(song, level), None) for level in LEVELS_DBFS
    }
    return heard | {"as it is": (song, None), "spectra of another song": (song, other)}


def levels_section(bench: Bench) -> list[Table]:
    """Ask for genres to free songs at three levels, and with the spectra of another song under the same beats."""
    songs, classifier = bench.free_songs, bench.references.classifier
    told: dict[str, list[tuple[str, str, float, float]]] = {}
    for song, genre in tqdm(bench.free_requests(LEVELS_GENRES_PER_SONG), desc="levels", unit="request"):
        other = songs[(songs.index(song) + len(songs) // 2) % len(songs)]
        for name, (version, timbre) in versions(song, other).items():
            motion = bench.generate(version, genre, bench.seeds[:1], timbre)[0]
            statistics = Performance(song.name, genre, motion).statistics
            if len(statistics):
                share = float(np.mean([each == genre for each in classifier.tell_windows(statistics)]))
                is_told = float(classifier.tell_dance(statistics) == genre)
                told.setdefault(name, []).append((song.name, genre, share, is_told))
    rows: list[list[Cell]] = [
        [
            name,
            mean_over_songs((song, share) for song, _, share, _ in dances),
            mean_over_songs((song, is_told) for song, _, _, is_told in dances),
            *(
                mean_over_songs((song, share) for song, of, share, _ in dances if of == genre)
                for genre in bench.genres
            ),
        ]
        for name, dances in told.items()
    ]
    columns = ["song", "windows told as asked", "dances told as asked"]
    columns += [f"windows, {genre}" for genre in bench.genres]
    note = "One seed. Levels are root mean squares. Under another song's spectra the beat clock stays the song's own."
    return [Table("Told as asked, whatever the level and the timbre", columns, rows, note)]


def response_section(bench: Bench) -> list[Table]:
    """Measure what dancers do in silence, at the end, when the tempo jumps, and when a chorus returns."""
    return [_silence_table(bench), _jump_table(bench), _chorus_table(bench)]


def _silence_table(bench: Bench) -> Table:
    values: dict[str, list[tuple[str, dict[str, float]]]] = {system: [] for system in GENERATING}
    for song, genre in tqdm(bench.free_requests(1), desc="silence", unit="song"):
        (muted, span), fade = silenced(song), faded(song)
        for system in GENERATING:
            for dance in bench.perform(system, muted, genre, bench.seeds):
                response = silence_response(dance.speed, FRAME_RATE, [span])
                fall = response.fall_seconds[0]
                rested = {"share": response.speed_share, "rests": float(np.isfinite(fall)), "fall": fall}
                values[system].append((song.name, rested))
            for version, key in ((song, "end"), (fade, "faded_end")):
                for dance in bench.perform(system, version, genre, bench.seeds):
                    end = end_speed_share(dance.speed, FRAME_RATE, dance.last_bar_seconds)
                    values[system].append((song.name, {key: end}))
    keys = ("share", "rests", "fall", "end", "faded_end")
    rows: list[list[Cell]] = [
        [system, *(mean_over_songs((song, each[key]) for song, each in dances if key in each) for key in keys)]
        for system, dances in values.items()
    ]
    columns = ["dances", "speed in silence", "come to rest", "after, s", "speed at the end", "at the end of a fade"]
    note = (
        f"Free songs, each asked for one genre, muted for {SILENCE_SECONDS:g} s in the middle, or faded out over "
        f"{FADE_SECONDS:g} s. Speeds are shares of the dance's mean. rest: under {REST_SHARE:g} of it to the end; "
        "after: from the start of the silence, of those that come to rest. end: the last bar."
    )
    return Table("Silence and the end", columns, rows, note)


def _jump_table(bench: Bench) -> Table:
    rows: list[list[Cell]] = []
    followed: dict[str, list[float]] = {system: [] for system in GENERATING}
    for genre in bench.genres:
        pulse = bench.references.pulses[genre]
        if pulse is None:
            continue
        song, clock, seconds = jumping(genre)
        heard = track_beats(song.waveform, SAMPLING_RATE, genre=genre).clock.bpm(
            np.array([seconds / 2, 1.5 * seconds])
        )
        for system in GENERATING:
            locks = [
                tempo_change_locks(dance.speed, dance.beats, round(seconds * FRAME_RATE), pulse.cycles_per_beat)
                for dance in bench.perform(system, song, genre, bench.seeds, clock)
            ]
            follows = [float(each["before"] > LOCKED and each["after"] > LOCKED) for each in locks]
            means = [float(np.mean([each[key] for each in locks])) for key in ("before", "after", "after_other")]
            rows.append([genre, system, *map(float, heard), *means, float(np.mean(follows))])
            followed[system] += follows
    rows += [[ALL, system, *[None] * 5, float(np.mean(follows))] for system, follows in followed.items()]
    columns = ["genre", "dances", "bpm heard before", "bpm heard after", "lock before", "lock after"]
    note = (
        f"A song made by rule, 40 s at {CHANGE_TEMPOS_BPM[0]:g} and 40 s at {CHANGE_TEMPOS_BPM[1]:g} bpm; locks at "
        f"the pulse of the genre to the true beats. followed: both locks are over {LOCKED:g}."
    )
    return Table("A jump of the tempo", [*columns, "lock after to the old tempo", "followed"], rows, note)


def _chorus_table(bench: Bench) -> Table:
    values: dict[str, list[tuple[str, list[float]]]] = {system: [] for system in GENERATING}
    genres = [genre for genre in bench.genres if meter_of(genre) == 4] or bench.genres
    songs = zip(made_songs(NUM_MADE_SONGS), cycle(genres), strict=False)
    for (song, clock, passages), genre in tqdm(songs, desc="repeats", total=NUM_MADE_SONGS, unit="song"):
        for system in GENERATING:
            for dance in bench.perform(system, song, genre, bench.seeds[:1], clock):
                likeness = chorus_likeness(dance.poses, dance.beats, *passages)
                numbers = [likeness.same_mm, likeness.other_mm, likeness.is_nearer, likeness.is_mirrored]
                values[system].append((song.name, [float(number) for number in numbers]))
    rows: list[list[Cell]] = [
        [
            system,
            len(dances),
            *(mean_over_songs((song, numbers[column]) for song, numbers in dances) for column in range(4)),
        ]
        for system, dances in values.items()
    ]
    columns = ["dances", "songs", "chorus 2 to chorus 1, mm", "to the verse, mm", "chorus is nearer", "mirrored"]
    note = (
        f"Songs made by rule ({MADE_FORM}), one seed. Distances of poses beat by beat, of the passage or its mirror "
        "image, whichever is nearer. Nearer by chance: 0.5."
    )
    return Table("A chorus that returns", columns, rows, note)
