"""Sections of the report on the codec and on whether a generated dance is a dance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.measures import HIPS
from infinitedance.evaluation.metrics import memory, physics
from infinitedance.evaluation.metrics import motion_quality as quality
from infinitedance.evaluation.metrics.foot_contact import floor_float_mm, floor_penetration_mm, foot_slide_mm
from infinitedance.evaluation.report.tables import Cell, Table
from infinitedance.motion.motion import FRAME_RATE
from infinitedance.motion.skeleton import CONTACT_HEIGHT_METRES, CONTACT_JOINTS, JOINT_INDEX
from infinitedance.training.evaluation_motion_codec import evaluate_codec
from infinitedance.training.takes import load_takes

from ..held_out import CodedDance, ReportData

WITH_VALIDATION = "all, validation too"
REFINEMENT_STEPS = 60
CODEC_ERRORS = ("mpjpe_mm", "root_drift_cm", "speed_ratio")
COPY_LENGTHS = (8, 16)

GenreNumbers = dict[str, tuple[dict[str, float], dict[str, float]]]


def codec_section(data: ReportData) -> list[Table]:
    """Measure what the codec loses on the test clips of each source, by the encoder's codes and by refined ones."""
    note = (
        "MPJPE: joints posed by the decoded rotations, hip- and heading-aligned. Speed: of joints relative to the "
        "hips. Codes used: share of each codebook that occurs, the larger the more clips there are; clips for "
        "validation chose settings, none was trained on. Goal: Dance with Melody under 20 mm, Bandai under 30 "
        "mm, Motorica (a genre never seen) under 50 mm, drift under 8 cm, speed 0.9 to 1.1, every codebook above "
        "0.8."
    )
    refined_note = (
        f"`MotionTokenizer.encode(motion, refinement_steps={REFINEMENT_STEPS})`: the same codebooks and decoder, the "
        "codes chosen by what they decode to. The generator is trained with the encoder's codes."
    )
    return [
        _codec_table(data, "Codec on held-out clips, codes of the encoder", 0, note),
        _codec_table(
            data, "Codec on held-out clips, codes refined by analysis by synthesis", REFINEMENT_STEPS, refined_note
        ),
    ]


def _codec_table(data: ReportData, title: str, refinement_steps: int, note: str) -> Table:
    clips = data.clips.split("test", mirrored=False)
    both = [clip for clip in data.clips.clips if clip.split != "train" and not clip.is_mirrored]

    def evaluate(chosen: list[BuiltClip]) -> dict[str, dict[str, float | list[float]]]:
        features = ((clip.source, torch.from_numpy(np.array(data.clips.motion_features(clip)))) for clip in chosen)
        return evaluate_codec(data.codec, features, refinement_steps)

    numbers = sorted(evaluate(clips).items(), key=lambda item: item[0] == "all")
    if not refinement_steps:  # more clips only tell how many codes the encoder uses
        numbers.append((WITH_VALIDATION, evaluate(both)["all"]))
    rows: list[list[Cell]] = []
    for source, measured in numbers:
        counted = both if source == WITH_VALIDATION else clips
        num_frames = sum(clip.num_frames for clip in counted if source in (clip.source, "all", WITH_VALIDATION))
        errors = (measured[name] if name in measured else None for name in CODEC_ERRORS)
        usage = (share for name in ("code_use", "perplexity") for share in measured[name])  # type: ignore[union-attr]
        rows.append([source, num_frames / FRAME_RATE, *errors, *usage])
    levels = range(data.model.config.num_quantizers)
    columns = ["source", "seconds", "MPJPE, mm", "drift after 2 s, cm", "speed, decoded/real"]
    columns += [f"{name} {level}" for name in ("codes used,", "perplexity") for level in levels]
    return Table(title, columns, rows, note)


def quality_section(data: ReportData) -> list[Table]:
    """Compare generated with real dances: speed, stage, floor, repetition, seams, copying."""
    numbers = _genre_numbers(data)
    return [_body_table(data, numbers), _ratio_table(numbers), _seam_table(data), _copying_table(data)]


def real_speed(data: ReportData, genre: str) -> float:
    """Return the mean joint speed of the real test dances of a genre, in m/s."""
    return _mean(lambda dance: physics.mean_joint_speed(dance.positions, FRAME_RATE), _real(data, genre))


def body_numbers(dance: CodedDance, reference_speed: float) -> dict[str, float]:
    """Measure one dance.

    Args:
        dance: Real or generated.
        reference_speed: Mean joint speed of the real dances of its genre, m/s.

    Returns:
        The numbers, by the name and unit of their column.
    """
    positions, motion = dance.positions, dance.motion
    feet, rest_heights = positions[:, CONTACT_JOINTS], motion.skeleton.contact_rest_heights
    assert motion.foot_contacts is not None  # `put_on_floor` detects them
    low = feet[..., 1] < rest_heights + CONTACT_HEIGHT_METRES
    return {
        "joint speed, m/s": physics.mean_joint_speed(positions, FRAME_RATE),
        "relative to hips, m/s": physics.mean_local_speed(positions, FRAME_RATE, HIPS),
        "frozen seconds": quality.frozen_share(positions, FRAME_RATE, reference_speed),
        "upright": quality.upright_share(positions, JOINT_INDEX["head"], JOINT_INDEX["pelvis"]),
        "stage radius, m": quality.stage_radius(motion.root_positions),
        "distinct 4-grams": memory.distinct_ngram_share(dance.codes[:1], 4),
        "penetration, mm": floor_penetration_mm(feet, rest_heights),
        "float, mm": floor_float_mm(feet, rest_heights, motion.foot_contacts),
        "slide in contact, mm/frame": foot_slide_mm(feet, motion.foot_contacts),
        "slide of low feet, mm/frame": foot_slide_mm(feet, low),
    }


def window_boundaries(num_tokens: int, window_tokens: int, frames_per_token: int) -> list[int]:
    """Return the first frame of each window of generation after the first one: where a seam would be."""
    return [
        token * frames_per_token for token in range(window_tokens, num_tokens - 1, window_tokens - window_tokens // 2)
    ]


def _genre_numbers(data: ReportData) -> GenreNumbers:
    """Return, for each genre with a test song, the mean numbers of its real and of its generated dances."""
    numbers = {}
    for genre in dict.fromkeys(song.clip.genre for song in data.songs):
        speed = real_speed(data, genre)
        both = []
        for dances in (_real(data, genre), _generated(data, genre)):
            measured = [body_numbers(dance, speed) for dance in dances]
            both.append({name: float(np.nanmean([row[name] for row in measured])) for name in measured[0]})
        numbers[genre] = (both[0], both[1])
    return numbers


def _body_table(data: ReportData, genre_numbers: GenreNumbers) -> Table:
    rows: list[list[Cell]] = []
    names: list[str] = []
    for genre, both in genre_numbers.items():
        for kind, numbers, dances in zip(("real", "generated"), both, (_real, _generated), strict=True):
            names = list(numbers)
            rows.append([genre, kind, len(dances(data, genre)), *numbers.values()])
    note = (
        "Frozen: share of seconds slower than a quarter of the real mean speed of the genre. Upright: head more than "
        "0.3 m above the pelvis. 4-grams: of level-0 codes. Penetration and float: of the lower foot, against the "
        "height of its joint on a flat foot. Contacts are detected (low and slow feet); a low foot is within 5 cm of "
        "its rest height, whatever its speed. Real dances are those of the test split, cut to the same lengths."
    )
    return Table("Body and floor", ["genre", "dances", "number", *names], rows, note)


def _ratio_table(genre_numbers: GenreNumbers) -> Table:
    columns = {
        "joint speed, m/s": "speed (goal 0.6 to 1.5)",
        "stage radius, m": "stage radius",
        "distinct 4-grams": "distinct 4-grams",
        "penetration, mm": "penetration (goal up to 1.5)",
        "slide in contact, mm/frame": "slide in contact (goal up to 1.5)",
        "slide of low feet, mm/frame": "slide of low feet (goal up to 1.5)",
    }
    rows: list[list[Cell]] = [
        [genre, *(generated[name] / real[name] if real[name] else float("nan") for name in columns)]
        for genre, (real, generated) in genre_numbers.items()
    ]
    return Table("Generated over real", ["genre", *columns.values()], rows)


def _seam_table(data: ReportData) -> Table:
    config = data.model.config
    rows: list[list[Cell]] = []
    for kind, dances in (("real", _real(data)), ("generated", _generated(data))):
        velocity, acceleration = [], []
        for dance in dances:
            boundaries = window_boundaries(dance.codes.shape[1], config.max_window_tokens, config.frames_per_token)
            jumps = quality.boundary_jumps(dance.positions, boundaries)
            velocity.append(jumps[0])
            acceleration.append(jumps[1])
        row: list[Cell] = [kind, sum(map(len, velocity))]
        for ratios in (np.concatenate(velocity), np.concatenate(acceleration)):
            measured = [np.mean(ratios > 1), np.median(ratios), ratios.max()] if len(ratios) else [np.nan] * 3
            row += map(float, measured)
        rows.append(row)
    note = (
        "At the first frame of every window of generation after the first: the jump of velocity and of acceleration "
        "over the 95th percentile of the same dance elsewhere. Where there is no seam, 0.05 of them are above 1; real "
        "dances, which have no windows, are measured at the same frames."
    )
    columns = ["above 1", "median", "largest"]
    columns = [f"{quantity}, {column}" for quantity in ("velocity", "acceleration") for column in columns]
    return Table("Seams between windows", ["dances", "boundaries", *columns], rows, note)


def _copying_table(data: ReportData) -> Table:
    takes = load_takes(data.clips, data.training_clips, data.codec, offsets=range(data.codec.config.frames_per_token))
    training_codes = [codes for take in takes for codes in take.codes]
    known = {length: memory.known_ngrams(training_codes, length) for length in COPY_LENGTHS}
    rows: list[list[Cell]] = []
    for kind, dances in (("real", _real(data)), ("generated", _generated(data))):
        shares = [
            np.mean([memory.copied_ngram_share(dance.codes, known[length], length) for dance in dances])
            for length in COPY_LENGTHS
        ]
        rows.append([kind, *map(float, shares)])
    note = (
        "Share of runs of tokens that occur, in all levels, in the codes of a training dance (at natural speed, "
        "mirrored or not, at each frame offset). The real dances of the test split show what a shared choreography "
        "alone gives."
    )
    return Table("Copying", ["dances", *(f"{length} tokens" for length in COPY_LENGTHS)], rows, note)


def _real(data: ReportData, genre: str | None = None) -> list[CodedDance]:
    return [song.real for song in data.songs if genre in (None, song.clip.genre)]


def _generated(data: ReportData, genre: str | None = None) -> list[CodedDance]:
    pairs = zip(data.songs, data.dances, strict=True)
    return [dance for song, dances in pairs if genre in (None, song.clip.genre) for dance in dances]


def _mean(measure: Callable[[CodedDance], float], dances: Sequence[CodedDance]) -> float:
    return float(np.mean([measure(dance) for dance in dances]))
