"""Sections of the report on songs that were changed: level, timbre, silence, a fade, and a jump of the tempo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from infinitedance.audio.beats import BeatClock, track_beats
from infinitedance.audio.sections import Section, find_sections
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.evaluation.metrics.genre_pulse import tempo_change_locks
from infinitedance.evaluation.metrics.music_response import REST_SHARE, end_speed_share, silence_response
from infinitedance.evaluation.metrics.passages import Passage, chorus_likeness
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.motion import FRAME_RATE

from ..results.music import CHANGE_BEATS, CHANGE_TEMPOS_BPM, tempo_change_song
from .bench import Bench, Song
from .measures import LOCKED, Performance, meter_of
from .sections import GENERATING, mean_over_songs

LEVELS_DBFS = (-6.0, -14.0, -26.0)
SILENCE_SECONDS = 10.0
FADE_SECONDS = 8.0
MIN_PASSAGE_SECONDS = 6.0


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
    return Song("jump", tempo_change_song(genre), "tempo"), clock, float(intervals[0].sum())


def repeated_passages(sections: Sequence[Section], clock: BeatClock) -> tuple[Passage, Passage, Passage] | None:
    """Choose two passages of one label and one of another, the longest, of at least 6 s.

    Returns:
        First chorus, second chorus and other passage; `None` if the song has none.
    """
    long = [each for each in sections if each.end_seconds - each.start_seconds >= MIN_PASSAGE_SECONDS]
    by_label: dict[str, list[Section]] = {}
    for section in long:
        by_label.setdefault(section.label, []).append(section)
    repeats = [of_label for of_label in by_label.values() if len(of_label) > 1]
    if not repeats or len(by_label) < 2:
        return None
    first, again = max(repeats, key=lambda pair: pair[1].end_seconds - pair[1].start_seconds)[:2]
    other = max(
        (section for section in long if section.label != first.label),
        key=lambda section: section.end_seconds - section.start_seconds,
    )
    return _passage(first, clock), _passage(again, clock), _passage(other, clock)


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
    for song, genre in tqdm(bench.free_requests, desc="levels", unit="request"):
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
    """Measure what dancers do in silence, at the end, when the tempo jumps, and when a passage of the song returns."""
    return [_silence_table(bench), _jump_table(bench), _chorus_table(bench)]


def _silence_table(bench: Bench) -> Table:
    values: dict[str, list[tuple[str, dict[str, float]]]] = {system: [] for system in GENERATING}
    for song, genre in tqdm(_first_requests(bench), desc="silence", unit="song"):
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
            follows = float(np.mean([each["before"] > LOCKED and each["after"] > LOCKED for each in locks]))
            means = [float(np.mean([each[key] for each in locks])) for key in ("before", "after", "after_other")]
            rows.append([genre, system, *map(float, heard), *means, follows])
    columns = ["genre", "dances", "bpm heard before", "bpm heard after", "lock before", "lock after"]
    note = (
        f"A song made by rule, 40 s at {CHANGE_TEMPOS_BPM[0]:g} and 40 s at {CHANGE_TEMPOS_BPM[1]:g} bpm; locks at "
        f"the pulse of the genre to the true beats. followed: both locks are over {LOCKED:g}."
    )
    return Table("A jump of the tempo", [*columns, "lock after to the old tempo", "followed"], rows, note)


def _chorus_table(bench: Bench) -> Table:
    values: dict[str, list[tuple[str, list[float]]]] = {}
    for song, clock, performances in tqdm(_dances_by_song(bench), desc="repeats", unit="song"):
        passages = repeated_passages(find_sections(song.waveform, SAMPLING_RATE, clock), clock)
        if passages is None:
            continue
        for system, dance in performances:
            if _are_danced(passages, dance):
                likeness = chorus_likeness(dance.poses, dance.beats, *passages)
                numbers = [likeness.same_mm, likeness.other_mm, likeness.is_nearer, likeness.is_mirrored]
                values.setdefault(system, []).append((song.name, [float(number) for number in numbers]))
    rows: list[list[Cell]] = [
        [
            system,
            len({song for song, _ in dances}),
            *(mean_over_songs((song, numbers[column]) for song, numbers in dances) for column in range(4)),
        ]
        for system, dances in values.items()
    ]
    columns = ["dances", "songs", "repeat to its first, mm", "to another passage, mm", "repeat is nearer", "mirrored"]
    note = (
        "Songs with a passage that returns. Distances of poses beat by beat, of the passage or its mirror image, "
        "whichever is nearer. Nearer by chance: 0.5."
    )
    return Table("A passage that returns", columns, rows, note)


def _dances_by_song(bench: Bench) -> list[tuple[Song, BeatClock, list[tuple[str, Performance]]]]:
    """Return songs with their beats and dances: held-out songs with the real one, and free songs."""
    danced = []
    asked = [(held_out.song, held_out.real.genre, held_out.real) for held_out in bench.held_out]
    for song, genre, real in [*asked, *((song, genre, None) for song, genre in _first_requests(bench))]:
        clock = song.clock(genre) if real is None or real.clock is None else real.clock
        dances = [] if real is None else [("real", real)]
        for system in GENERATING:
            dances += [(system, dance) for dance in bench.perform(system, song, genre, bench.seeds, clock)]
        danced.append((song, clock, dances))
    return danced


def _first_requests(bench: Bench) -> list[tuple[Song, str]]:
    """Return each free song with the first genre that it is asked for."""
    first: dict[str, tuple[Song, str]] = {}
    for song, genre in bench.free_requests:
        first.setdefault(song.name, (song, genre))
    return list(first.values())


def _passage(section: Section, clock: BeatClock) -> Passage:
    start, end = clock.phase(np.array([section.start_seconds, section.end_seconds]))
    return Passage(float(start), float(end - start))


def _are_danced(passages: Sequence[Passage], dance: Performance) -> bool:
    """Return whether passages, as far as the shortest lasts, lie in a dance."""
    num_beats = min(passage.num_beats for passage in passages)
    return all(
        passage.start_beat >= dance.beats[0] and passage.start_beat + num_beats <= dance.beats[-1]
        for passage in passages
    )
