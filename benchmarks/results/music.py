"""Section of the report on whether the dance hears its music."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from infinitedance.dataset_builder.procedural.music import SAMPLING_RATE, synthesize_music
from infinitedance.evaluation.measures import MIN_TEMPO_DIFFERENCE
from infinitedance.evaluation.metrics.pulse import (
    phase_difference_beats,
    pulse_lock,
    pulse_phase,
    speed_curve,
    steady_beat_phase,
)
from infinitedance.evaluation.report.tables import Cell, Table, mean_with_interval
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.training.data_choreollama import ChoreoWindows
from infinitedance.training.evaluation_choreollama import evaluate_choreollama, wrong_songs
from infinitedance.training.takes import DanceTake, load_takes

from ..held_out import CodedDance, GenerationRequest, HeldOutSong, ReportData, cycles_per_beat, tempo_bpm

CHANGE_TEMPOS_BPM = (90.0, 120.0)
CHANGE_BEATS = (60, 80)
"""Both parts of a song with a change of tempo last 40 s, and the first ends with a bar of 3 or of 4."""
CHANGE_PATTERNS = {1 / 3: "waltz", 1 / 2: "rumba"}
"""The music for each pulse: one song in three, and one in four."""


def music_section(data: ReportData) -> list[Table]:
    """Measure losses and generated dances with the right and with a wrong song."""
    windows = estimated_windows(data)
    tables = [_loss_table(data, windows)]
    wrong = [data.songs[index] for index in wrong_songs(windows)]
    tables += _pulse_tables(data, wrong)
    tables.append(_tempo_change_table(data))
    return tables


def estimated_windows(data: ReportData) -> ChoreoWindows:
    """Return the test dances, whole and without references, to music whose beats are estimated from the audio."""
    takes: list[DanceTake] = load_takes(data.clips, [song.clip for song in data.songs], data.codec)
    heard = [replace(take, music=song.music) for take, song in zip(takes, data.songs, strict=True)]
    return ChoreoWindows(heard, data.model.config)


def wrong_song_requests(data: ReportData, wrong: list[HeldOutSong]) -> list[GenerationRequest]:
    """Ask for the genre of each song and the music of another one, as long as both last.

    Args:
        data: Songs and seeds.
        wrong: For each song the other one.

    Raises:
        ValueError: If two tempos are so near that a wrong song would be a right one.
    """
    requests = []
    for song, other in zip(data.songs, wrong, strict=True):
        if abs(other.bpm / song.bpm - 1) < MIN_TEMPO_DIFFERENCE:
            raise ValueError(
                f"Each test song needs another whose tempo differs by 10 % or more; farthest from "
                f"{song.clip.clip_id!r} ({song.bpm} bpm) is {other.clip.clip_id!r} ({other.bpm} bpm). Put another "
                "song in the test split."
            )
        music = other.music[: min(song.num_frames, len(other.music))]
        requests += [GenerationRequest(music, song.clip.genre, seed) for seed in data.seeds]
    return requests


def tempo_change_song(genre: str) -> np.ndarray:
    """Play 40 s at 90 bpm and 40 s at 120 bpm in the meter of a genre, `(samples,)`; the change is on a bar."""
    pattern = CHANGE_PATTERNS[cycles_per_beat(genre)]
    parts = zip(CHANGE_TEMPOS_BPM, CHANGE_BEATS, strict=True)
    return np.concatenate([synthesize_music(pattern, bpm, beats * 60 / bpm, seed=0) for bpm, beats in parts])


def _loss_table(data: ReportData, windows: ChoreoWindows) -> Table:
    losses = evaluate_choreollama(data.model, windows)
    losses = {name: np.column_stack([values, values.sum(1)]) for name, values in losses.items()}
    rows: list[list[Cell]] = []
    for column in range(losses["right"].shape[1]):
        right = losses["right"][:, column]
        level = str(column) if column < data.model.config.num_quantizers else "sum"
        costs = [mean_with_interval(losses[name][:, column] - right) for name in ("none", "wrong")]
        rows.append([level, mean_with_interval(right), *costs])
    note = (
        "Cross entropy in nats of the real dance's codes, given their past; beats estimated from the audio, genre "
        "given, no references. The wrong song is that of the farthest tempo. Above 0: the model uses the music."
    )
    columns = ["level", "right song", "no music: more by", "wrong song: more by"]
    return Table("Loss with the right song, without music, with a wrong song", columns, rows, note)


def _pulse_tables(data: ReportData, wrong: list[HeldOutSong]) -> list[Table]:
    wrong_dances = data.by_song(data.generate(wrong_song_requests(data, wrong)))
    lock_rows: list[list[Cell]] = []
    phase_rows: list[list[Cell]] = []
    for song, other, dances, others in zip(data.songs, wrong, data.dances, wrong_dances, strict=True):
        kinds = ((song.real,), dances, others)
        name = song.clip.clip_id
        locks = [float(np.mean([dance.lock(song.bpm, song.clip.genre) for dance in kind])) for kind in kinds]
        lock_rows.append([name, song.bpm, song.estimated_bpm, other.clip.clip_id, *locks])
        differences = [_phase_difference(song, dance) for dance in dances]
        chance = 0.25 / cycles_per_beat(song.clip.genre)
        shown = " ".join(f"{difference:+.2f}" for difference in differences)
        phase_rows.append([name, shown, float(np.mean(np.abs(differences))), chance])
    lock_rows.append(["mean", None, None, None, *_column_means(lock_rows, 4)])
    phase_rows.append(["mean", None, *_column_means(phase_rows, 2)])
    lock_note = (
        "Power of the mean joint speed at the pulse (1/3 cycle a true beat in a waltz, else 1/2) over its mean power "
        "5 to 30 % below and above; 1 = no lock, with a wide scatter for a single dance. A wrong song: same genre and "
        "seed, but the music of the song named, measured against the beats of the right one. The model is given "
        "neither tempo nor beats. Goal: right song at least as high as the real dances, wrong song below 2."
    )
    phase_note = (
        "How much later than the real dance the generated one is fastest in its cycle, in beats, one number a seed; "
        "then its mean size. Chance: mean size of a random phase."
    )
    kinds_columns = ["real dance", "right song", "wrong song"]
    return [
        Table(
            "Pulse lock", ["song", "true bpm", "estimated bpm", "wrong song is", *kinds_columns], lock_rows, lock_note
        ),
        Table("Phase against the real dance", ["song", "each seed", "size", "chance"], phase_rows, phase_note),
    ]


def _column_means(rows: list[list[Cell]], first: int) -> list[Cell]:
    columns = list(zip(*rows, strict=True))[first:]
    return [mean_with_interval(np.array(column, dtype=float)) for column in columns]


def _phase_difference(song: HeldOutSong, dance: CodedDance) -> float:
    rate = cycles_per_beat(song.clip.genre)
    beats = steady_beat_phase(song.num_frames, FRAME_RATE, song.bpm)
    phase, real_phase = (
        pulse_phase(speed_curve(each.positions, FRAME_RATE), beats, rate) for each in (dance, song.real)
    )
    return phase_difference_beats(phase, real_phase, rate)


def _tempo_change_table(data: ReportData) -> Table:
    extractor = data.pipeline.processor.feature_extractor
    songs = [extractor(tempo_change_song(genre), SAMPLING_RATE)["input_features"][0] for genre in data.genres]
    pairs = zip(data.genres, songs, strict=True)
    requests = [GenerationRequest(music, genre, seed) for genre, music in pairs for seed in data.seeds]
    half = round(CHANGE_BEATS[0] * 60 / CHANGE_TEMPOS_BPM[0] * FRAME_RATE)
    parts = (slice(0, half), slice(half, None))
    rows: list[list[Cell]] = []
    for genre, music, dances in zip(data.genres, songs, data.by_song(data.generate(requests)), strict=True):
        for part, tempo, other in zip(parts, CHANGE_TEMPOS_BPM, CHANGE_TEMPOS_BPM[::-1], strict=True):
            locks = [
                float(np.mean([_part_lock(dance, part, bpm, genre) for dance in dances])) for bpm in (tempo, other)
            ]
            rows.append([genre, tempo, tempo_bpm(music[part]), *locks])
    locks_by_genre = np.array([row[3:] for row in rows], dtype=float).reshape(len(songs), len(parts), 2).mean(axis=1)
    rows.append(["mean", None, None, *(mean_with_interval(column) for column in locks_by_genre.T)])
    note = (
        "A synthesized song (a waltz for a genre in three, else a rumba) of 40 s at 90 bpm and 40 s at 120 bpm; tempo "
        "estimated from the audio without the genre. Lock of the dance in each "
        "half to the tempo of that half and to that of the other."
    )
    columns = ["genre", "bpm of this half", "estimated bpm", "lock to it", "lock to the other"]
    return Table("A song that changes from 90 to 120 bpm", columns, rows, note)


def _part_lock(dance: CodedDance, part: slice, bpm: float, genre: str) -> float:
    speed = speed_curve(dance.positions[part], FRAME_RATE)
    return pulse_lock(speed, steady_beat_phase(len(speed), FRAME_RATE, bpm), cycles_per_beat(genre))
