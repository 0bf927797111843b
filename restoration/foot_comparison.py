"""Effect of a repair on the feet of a clip, and its cost: the same measures before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.metrics.checks import check_positions, check_same_shape
from ..evaluation.metrics.foot_contact import (
    detect_contacts,
    fit_rest_heights,
    floor_float_mm,
    floor_penetration_mm,
    foot_skating_ratio,
    foot_slide_mm,
    gmd_skating_ratio,
)
from ..evaluation.metrics.physics import jitter
from ..evaluation.metrics.reconstruction import mpjpe_mm
from .carry_back import runs

MEASURED_FRAME_RATE = 30.0
"""Hz; faster clips are sampled at this rate, so that a millimetre a frame means the same in each."""
MIN_FRAMES = 4
FOOT_LABELS = ("left ankle", "right ankle", "left toe", "right toe")
MEASURES = {
    "slide_mm": ("Slide of touching feet, mm a frame at 30 Hz", "lower"),
    "skating_ratio": ("Foot skating ratio (LODGE, the paper's FSR)", "lower"),
    "gmd_skating_ratio": ("Skating ratio of GMD, over 0.5 m/s", "lower"),
    "penetration_mm": ("Depth of the lower foot in the floor, mm", "lower"),
    "float_mm": ("Height of the lower foot over the floor while it touches, mm", "lower"),
    "jitter": ("Jitter, 10 m/s³", "lower"),
}
"""Label and better direction of each measure."""


def compare_feet(
    before: np.ndarray, after: np.ndarray, frame_rate: float, foot_contacts: np.ndarray, foot_joints: Sequence[int]
) -> dict[str, Any]:
    """Measure a clip before and after a repair.

    Both are measured on the contacts that the repair used, against the rest heights of the feet after it.

    Args:
        before: `(frames, joints, 3)`, metres, Y up.
        after: Likewise, the same frames.
        frame_rate: Hz.
        foot_contacts: `(frames, 4)` bool: left ankle, right ankle, left toe, right toe.
        foot_joints: Their indices.

    Returns:
        `before` and `after` by the keys of `MEASURES`; `mpjpe_to_input_mm`, `largest_move_mm` and `root_move_mm`, the
        distance between both; `contacts`: spans in seconds for each of `FOOT_LABELS`, before (detected) and after.

    Raises:
        ValueError: If the clips have different shapes or fewer than 4 frames.
    """
    check_positions(before, "before", MIN_FRAMES)
    check_positions(after, "after", MIN_FRAMES)
    check_same_shape(after, before)
    moves = np.linalg.norm(after - before, axis=-1)
    rate = min(frame_rate, MEASURED_FRAME_RATE)
    times = np.arange(len(before)) / frame_rate
    sampled = np.arange(int(times[-1] * rate + 1e-6) + 1) / rate
    contacts = foot_contacts[np.round(sampled * frame_rate).astype(int)]
    feet = {name: _sample(clip[:, list(foot_joints)], times, sampled) for name, clip in _named(before, after)}
    rest_heights = fit_rest_heights(feet["after"])
    measured = {
        name: {
            "slide_mm": foot_slide_mm(feet[name], contacts) * rate / MEASURED_FRAME_RATE,
            "skating_ratio": foot_skating_ratio(feet[name], rate, rest_heights=rest_heights),
            "gmd_skating_ratio": gmd_skating_ratio(feet[name][:, 2:] - _floor(rest_heights), rate),
            "penetration_mm": floor_penetration_mm(feet[name], rest_heights),
            "float_mm": floor_float_mm(feet[name], rest_heights, contacts),
            "jitter": jitter(_sample(clip, times, sampled), rate),
        }
        for name, clip in _named(before, after)
    }
    own = {"before": detect_contacts(feet["before"], rate, rest_heights), "after": contacts}
    return {
        **measured,
        "mpjpe_to_input_mm": mpjpe_mm(after, before, align_joints=None),
        "largest_move_mm": float(1000 * moves.max()),
        "root_move_mm": float(1000 * moves[:, 0].mean()),
        "contacts": {
            label: {name: _spans(flags[:, column], rate) for name, flags in own.items()}
            for column, label in enumerate(FOOT_LABELS)
        },
        "contact_share": float(contacts.mean()),
        "duration_seconds": len(before) / frame_rate,
    }


def _named(before: np.ndarray, after: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    return (("before", before), ("after", after))


def _sample(values: np.ndarray, times: np.ndarray, sampled: np.ndarray) -> np.ndarray:
    """Interpolate `(frames, ...)` linearly at other times."""
    flat = values.reshape(len(values), -1)
    return np.stack([np.interp(sampled, times, column) for column in flat.T], axis=1).reshape(-1, *values.shape[1:])


def _floor(rest_heights: np.ndarray) -> np.ndarray:
    """Return what brings resting toes to the height of 0, `(2, 3)`."""
    return np.stack([[0.0, height, 0.0] for height in rest_heights[2:]])


def _spans(flags: np.ndarray, frame_rate: float) -> list[list[float]]:
    return [[start / frame_rate, end / frame_rate] for start, end in runs(flags)]
