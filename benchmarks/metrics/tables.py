"""The floor and the chance of the metrics, measured on real dances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.measures import MIN_TEMPO_DIFFERENCE, MeasuredDance, Song
from infinitedance.evaluation.metrics import beats, pulse
from infinitedance.evaluation.metrics.distribution import frechet_floor, normalize_by_reference
from infinitedance.evaluation.report.record import summarize
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.evaluation.sets import FEATURE_KEYS, ClipSet, clip_set
from infinitedance.motion.motion import FRAME_RATE

from .baselines import Baselines, noise_dance, own_song, read_dance, steady_song

WINDOW_SECONDS = 10.0
FLOOR_SIZES = (10, 20, 40)
NUM_SPLITS = 100
CHANCE_SECONDS = 25.0
"""Eight cycles of the slowest pulse."""
DIRECTIONS: tuple[beats.Direction, ...] = ("music", "motion")


def floor_tables(baselines: Baselines) -> list[Table]:
    """Measure FID of real dances against real dances, at several numbers of clips."""
    dances = with_music(baselines, WINDOW_SECONDS)
    positions = [read_dance(data, clip).joint_positions().astype(np.float64) for data, clip in dances]
    clips = clip_set(positions, [clip.song_id for _, clip in dances], WINDOW_SECONDS)
    columns = ["clips", *(f"FID_{kind}, {mode}" for kind, mode in FEATURE_KEYS)]
    seconds = f"{WINDOW_SECONDS:g} s"
    note = (
        f"{len(clips)} windows of {seconds} of {len(dances)} real dances. A sample of so many is compared with "
        f"windows of other songs: no song is on both sides. Mean and 95 % range over {NUM_SPLITS} draws. A model as "
        "good as real dances scores this, on average; a smaller difference between two models says nothing. Features "
        "are scaled by the mean and deviation of all windows."
    )
    dependent_note = (
        "The same with windows drawn at random, so that windows of one dance fall on both sides. They are not "
        "independent, and this floor is too low: it is here to show by how much."
    )
    return [
        Table(
            f"FID of real against real, windows of {seconds}, songs kept apart",
            columns,
            floor_rows(clips, clips.groups),
            note,
        ),
        Table(
            f"FID of real against real, windows of {seconds}, drawn at random",
            columns,
            floor_rows(clips, None),
            dependent_note,
        ),
    ]


def floor_rows(clips: ClipSet, groups: np.ndarray | None) -> list[list[Cell]]:
    """Return a row for each size, with the floor and its range for each kind of features."""
    rows: list[list[Cell]] = []
    for size in FLOOR_SIZES:
        row: list[Cell] = [size]
        for key in FEATURE_KEYS:
            values = clips.features[key]
            varies = values[:, values.std(axis=0) > 0]
            normal = normalize_by_reference(varies, varies)[1]
            floor = frechet_floor(normal, size, NUM_SPLITS, groups=groups)
            row.append([floor.value, *floor.interval])
        rows.append(row)
    return rows


def with_music(baselines: Baselines, min_seconds: float) -> list[tuple[BuiltDataset, BuiltClip]]:
    """Return all real dances of some length to songs with beats, with the data sets that hold them."""
    dances = [(baselines.dances, clip) for clip in baselines.training_clips]
    dances += [(baselines.held_out, clip) for clip in baselines.clips]
    return [(data, clip) for data, clip in dances if clip.num_frames >= min_seconds * FRAME_RATE]


def chance_tables(baselines: Baselines) -> list[Table]:
    """Measure what real dances and smooth noise score with their own song, shifted, and with another song."""
    dances = with_music(baselines, CHANCE_SECONDS)
    songs = {clip.song_id: own_song(data, clip, clip.num_frames) for data, clip in dances}
    measured = [_chance_of(data, clip, songs, index) for index, (data, clip) in enumerate(dances)]
    genres = [clip.genre for _, clip in dances]
    tables = []
    for over in DIRECTIONS:
        names = ["density", "own", "shifted", "other", "noise", "noise shifted"]
        rows = _by_genre(measured, genres, [f"{over} {name}" for name in names])
        dance_beats = "motion beats" if over == "music" else "music beats"
        columns = ["genre", "dances", f"{dance_beats} a second", "real dance, own song", "own song, shifted"]
        columns += ["another song", "smooth noise, same song", "noise, song shifted"]
        note = (
            "Mean nearness of each music beat to a motion beat, sigma 0.1 s (InfiniteDance, Bailando). Chance is 0.25 "
            "times the motion beats a second: the number mostly says how many beats a dance has."
            if over == "music"
            else "Mean nearness of each motion beat to a music beat, sigma 0.1 s (FACT, POPDG). Chance grows with the "
            "tempo of the music: the number mostly says how fast the song is."
        )
        tables.append(Table(f"Beat alignment over {over} beats", columns, rows, note + " " + CHANCE_NOTE))
    rows = _by_genre(measured, genres, [f"f1 {name}" for name in ("own", "shifted", "other", "noise")])
    columns = ["genre", "dances", "real dance, own song", "own song, shifted", "another song", "smooth noise"]
    tables.append(Table("Beat F1 within 70 ms", columns, rows, CHANCE_NOTE))
    names = ["lock own", "lock other", "lock noise", "tempo own", "tempo other", "tempo noise"]
    columns = ["genre", "dances", "lock, own song", "lock, another song", "lock, smooth noise"]
    columns += ["tempo agrees, own song", "tempo agrees, another song", "tempo agrees, smooth noise"]
    note = (
        "Pulse lock: power of the speed at the song's pulse over the power around it. Tempo agrees: share of dances "
        "whose strongest frequency is 1/4, 1/3, 1/2, 1 or 2 times the song's tempo, within 4 %. Shifting a song in "
        "time changes neither. Goal: the own song far above the other two."
    )
    tables.append(Table("Pulse lock and tempo", columns, _by_genre(measured, genres, names), note))
    return tables


CHANCE_NOTE = (
    "Shifted: mean over 30 shifts of the song's beats. Another song: mean over all songs whose tempo differs by 10 % "
    "or more, played evenly. Smooth noise: a body that moves at random, as fast as the real dance. Whole dances of "
    f"{CHANCE_SECONDS:g} s or more; 95 % intervals over dances."
)


def _chance_of(data: BuiltDataset, clip: BuiltClip, songs: Mapping[str, Song], seed: int) -> dict[str, float]:
    """Measure one real dance, and noise of its length, against its song and others."""
    motion = read_dance(data, clip)
    song = own_song(data, clip, motion.num_frames)
    others = [
        steady_song(name, other.bpm, clip.genre, motion.num_frames)
        for name, other in songs.items()
        if abs(other.bpm / song.bpm - 1) >= MIN_TEMPO_DIFFERENCE
    ]
    real = MeasuredDance(clip.clip_id, motion.joint_positions().astype(np.float64), song)
    noise = MeasuredDance(clip.clip_id, noise_dance(motion, seed).joint_positions().astype(np.float64), song)
    own = song.beats_within(real.duration_seconds)
    shifted = beats.unrelated_beats(own, real.duration_seconds, seed=seed)
    other_beats = [other.beats_within(real.duration_seconds) for other in others]
    values = {
        "music density": len(real.motion_beats) / real.duration_seconds,
        "motion density": len(own) / real.duration_seconds,
    }
    for over in DIRECTIONS:
        for name, dance, heard in (
            ("own", real, [own]),
            ("shifted", real, shifted),
            ("other", real, other_beats),
            ("noise", noise, [own]),
            ("noise shifted", noise, shifted),
        ):
            scores = [beats.alignment(dance.motion_beats, each, over=over) for each in heard]
            values[f"{over} {name}"] = float(np.mean(scores))
    for name, dance, heard in (
        ("own", real, [own]),
        ("shifted", real, shifted),
        ("other", real, other_beats),
        ("noise", noise, [own]),
    ):
        values[f"f1 {name}"] = float(np.mean([beats.beat_matches(dance.motion_beats, each)["f1"] for each in heard]))
    for name, dance, songs_heard in (("own", real, [song]), ("other", real, others), ("noise", noise, [song])):
        phases = [each.clock.phase(np.arange(len(dance.speed)) / FRAME_RATE) for each in songs_heard]
        locks = [pulse.pulse_lock(dance.speed, phase, song.cycles_per_beat) for phase in phases]
        tempo = beats.dance_tempo_bpm(dance.speed, FRAME_RATE)
        values[f"lock {name}"] = float(np.mean(locks))
        agrees = [beats.tempo_relation(tempo, each.bpm) is not None for each in songs_heard]
        values[f"tempo {name}"] = float(np.mean(agrees))
    return values


def _by_genre(
    measured: Sequence[Mapping[str, float]], genres: Sequence[str], names: Sequence[str]
) -> list[list[Cell]]:
    """Average over the dances of each genre, and of all."""
    rows: list[list[Cell]] = []
    for genre in (*sorted(set(genres)), "all"):
        chosen = [values for values, own in zip(measured, genres, strict=True) if genre in (own, "all")]
        row: list[Cell] = [genre, len(chosen)]
        for name in names:
            summary = summarize([values[name] for values in chosen], [str(index) for index in range(len(chosen))])
            row.append([summary["mean"], summary["low"], summary["high"]])
        rows.append(row)
    return rows
