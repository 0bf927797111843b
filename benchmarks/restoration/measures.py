"""Measures of restored feet: against the truth where there is one, else of the feet themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinitedance.dataset_builder.augmentation.faults import Corruption
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.metrics.foot_contact import (
    floor_float_mm,
    floor_penetration_mm,
    foot_skating_ratio,
    foot_slide_mm,
    gmd_skating_ratio,
)
from infinitedance.evaluation.metrics.physics import jitter
from infinitedance.evaluation.metrics.reconstruction import mpjpe_mm
from infinitedance.motion.feet.grounding import level_floor
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_HEIGHT_METRES, CONTACT_JOINTS
from infinitedance.restoration.pipeline_frdm import FrdmPipeline
from infinitedance.training.data_frdm import EVAL_SEED, clean_dance, corrupt_at_random

SEGMENT_FRAMES = 300
"""Clips are measured in pieces of 10 s; a piece of less than half of it is left out, unless it is the whole clip."""
TOE_SPEED = 0.1
TRUTH_MEASURES = {
    "mpjpe": "MPJPE, mm",
    "hip_aligned": "hip-aligned, mm",
    "slide": "slide, mm/frame",
    "toes": "toes > 10 cm/s",
    "penetration": "penetration, mm",
    "float": "float, mm",
    "jitter": "jitter, 10 m/s³",
    "contact_f1": "contact F1",
}
OWN_MEASURES = {
    "to_input": "MPJPE to input, mm",
    "low_slide": "slide of low feet, mm/frame",
    "skating": "FSR",
    "gmd": "GMD skating",
    "penetration": "penetration, mm",
    "jitter": "jitter, 10 m/s³",
}

Method = Callable[[Motion], Motion]


def restorer(pipeline: FrdmPipeline, **options: Any) -> Method:
    """Return a pipeline with some options as a function of one dance."""
    return lambda motion: pipeline(motion, **options).motion


@dataclass(frozen=True)
class Case:
    """Dance to restore.

    Args:
        observed: With its faults, put on the floor.
        truth: Without them, if that is known.
    """

    observed: Motion
    truth: Motion | None = None


def synthetic_cases(data: BuiltDataset, clips: Sequence[BuiltClip]) -> list[Case]:
    """Put synthetic faults into clean clips; always the same ones."""
    cases = []
    for index, clip in enumerate(clips):
        generator = np.random.default_rng((EVAL_SEED, index))
        truth = clean_dance(data, clip)
        corrupted = corrupt_at_random(truth, Corruption(), generator)
        cases.append(Case(level_floor(corrupted, fits_slope=False), truth))
    return cases


def measure_method(method: Method, cases: Sequence[Case]) -> tuple[dict[str, np.ndarray], float]:
    """Restore all cases; return each measure, `(pieces,)`, and how many times faster than real time it went."""
    started = time.perf_counter()
    restored = [method(case.observed) for case in cases]
    elapsed = time.perf_counter() - started
    pieces = [
        measure_against_truth(dance.cut(*span), case.truth.cut(*span))
        if case.truth is not None
        else measure_feet(dance.cut(*span), case.observed.cut(*span))
        for dance, case in zip(restored, cases, strict=True)
        for span in segments(case.observed.num_frames)
    ]
    seconds = sum(case.observed.duration_seconds for case in cases)
    return {name: np.array([piece[name] for piece in pieces]) for name in pieces[0]}, seconds / elapsed


def segments(num_frames: int) -> list[tuple[int, int]]:
    """Return start and end of the pieces in which a clip is measured."""
    starts = range(0, max(1, num_frames - SEGMENT_FRAMES // 2), SEGMENT_FRAMES)
    return [(start, min(start + SEGMENT_FRAMES, num_frames)) for start in starts]


def measure_against_truth(motion: Motion, truth: Motion) -> dict[str, float]:
    """Return `TRUTH_MEASURES`; slide, toes and float count where the feet of the truth touch the floor."""
    contacts = truth.foot_contacts
    assert contacts is not None and motion.foot_contacts is not None  # both come from functions that set them
    positions, feet = motion.joint_positions(), _feet(motion)
    rest_heights = motion.skeleton.contact_rest_heights
    standing = contacts[1:, 2:] & contacts[:-1, 2:]
    toe_speed = np.linalg.norm(np.diff(feet[:, 2:, [0, 2]], axis=0), axis=-1) * motion.frame_rate
    hits = (motion.foot_contacts & contacts).sum()
    true_positions = truth.joint_positions()
    return {
        "mpjpe": mpjpe_mm(positions, true_positions, align_joints=None),
        "hip_aligned": mpjpe_mm(positions, true_positions, align_joints=[0]),
        "slide": foot_slide_mm(feet, contacts),
        "toes": float((toe_speed > TOE_SPEED)[standing].mean()) if standing.any() else np.nan,
        "penetration": floor_penetration_mm(feet, rest_heights),
        "float": floor_float_mm(feet, rest_heights, contacts),
        "jitter": jitter(positions, motion.frame_rate),
        "contact_f1": float(2 * hits / max(1, motion.foot_contacts.sum() + contacts.sum())),
    }


def measure_feet(motion: Motion, observed: Motion) -> dict[str, float]:
    """Return `OWN_MEASURES`; a low foot is within 5 cm of its rest height, whatever its speed."""
    feet, rest_heights = _feet(motion), motion.skeleton.contact_rest_heights
    toes_on_floor = feet[:, 2:] - np.stack([[0.0, height, 0.0] for height in rest_heights[2:]])
    return {
        "to_input": mpjpe_mm(motion.joint_positions(), observed.joint_positions(), align_joints=None),
        "low_slide": foot_slide_mm(feet, feet[..., 1] < rest_heights + CONTACT_HEIGHT_METRES),
        "skating": foot_skating_ratio(feet, motion.frame_rate, rest_heights=rest_heights),
        "gmd": gmd_skating_ratio(toes_on_floor, motion.frame_rate),
        "penetration": floor_penetration_mm(feet, rest_heights),
        "jitter": jitter(motion.joint_positions(), motion.frame_rate),
    }


def _feet(motion: Motion) -> np.ndarray:
    return motion.joint_positions()[:, list(CONTACT_JOINTS)]
