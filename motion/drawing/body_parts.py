"""The figure of balls and hulls that videos and the viewer show: what it is made of."""

from __future__ import annotations

import numpy as np

# The body is made of convex pieces: hulls of balls, each given by joint, position in the joint's frame and radius, in
# metres for a body of our neutral size.
_Ball = tuple[str, tuple[float, float, float], float]
_TRUNK: tuple[tuple[str, tuple[_Ball, ...]], ...] = (
    (
        "trunk",  # pelvis
        (
            ("left_hip", (-0.005, 0.01, 0.0), 0.088),
            ("right_hip", (0.005, 0.01, 0.0), 0.088),
            ("spine1", (0.05, 0.0, 0.0), 0.078),
            ("spine1", (-0.05, 0.0, 0.0), 0.078),
        ),
    ),
    (
        "trunk",  # belly
        (
            ("spine1", (0.045, 0.02, 0.0), 0.078),
            ("spine1", (-0.045, 0.02, 0.0), 0.078),
            ("spine2", (0.05, 0.05, 0.0), 0.085),
            ("spine2", (-0.05, 0.05, 0.0), 0.085),
        ),
    ),
    (
        "trunk",  # chest
        (
            ("spine2", (0.055, 0.0, 0.01), 0.085),
            ("spine2", (-0.055, 0.0, 0.01), 0.085),
            ("left_collar", (0.06, -0.025, 0.0), 0.07),
            ("right_collar", (-0.06, -0.025, 0.0), 0.07),
        ),
    ),
    ("trunk", (("neck", (0.0, -0.03, 0.0), 0.054), ("head", (0.0, 0.02, 0.0), 0.05))),
    ("trunk", (("head", (0.0, 0.06, 0.012), 0.084), ("head", (0.0, 0.105, -0.004), 0.1))),
    # The visor shows where the head looks.
    ("visor", (("head", (0.05, 0.095, 0.08), 0.025), ("head", (-0.05, 0.095, 0.08), 0.025))),
)
_LEFT_LIMBS: tuple[tuple[_Ball, ...], ...] = (
    (("left_hip", (0.0, 0.0, 0.0), 0.082), ("left_knee", (0.0, 0.02, 0.0), 0.058)),
    (
        ("left_knee", (0.0, -0.01, 0.0), 0.057),
        ("left_knee", (0.0, -0.14, -0.012), 0.055),
        ("left_ankle", (0.0, 0.02, 0.0), 0.036),
    ),
    (
        ("left_ankle", (0.0, -0.005, 0.0), 0.037),
        ("left_ankle", (0.0, -0.045, -0.05), 0.03),
        ("left_foot", (0.0, 0.012, 0.0), 0.037),
        ("left_foot", (0.0, 0.0, 0.06), 0.024),
    ),
    (("left_shoulder", (0.0, 0.0, 0.0), 0.059), ("left_elbow", (0.0, 0.0, 0.0), 0.042)),
    (
        ("left_elbow", (0.0, 0.0, 0.0), 0.042),
        ("left_elbow", (0.07, 0.0, 0.0), 0.042),
        ("left_wrist", (-0.01, 0.0, 0.0), 0.028),
    ),
    (
        ("left_wrist", (0.02, 0.0, 0.0), 0.027),
        ("left_wrist", (0.075, 0.0, 0.0), 0.036),
        ("left_wrist", (0.15, 0.0, 0.0), 0.02),
    ),
)
BODY_PARTS = (
    *_TRUNK,
    *(("left", limb) for limb in _LEFT_LIMBS),
    *(
        ("right", tuple((joint.replace("left", "right"), (-x, y, z), radius) for joint, (x, y, z), radius in limb))
        for limb in _LEFT_LIMBS
    ),
)
BALLS = [ball for _, balls in BODY_PARTS for ball in balls]
"""Of one body; of several dancers, one body's after the other's."""
_ENDS = np.cumsum([len(balls) for _, balls in BODY_PARTS]).tolist()
_PART_SLICES = [slice(end - len(balls), end) for end, (_, balls) in zip(_ENDS, BODY_PARTS, strict=True)]
_BALLS_OF_PARTS = np.array([len(balls) for _, balls in BODY_PARTS])


def part_slices(num_dancers: int) -> list[slice]:
    """Return which balls make each part of each dancer."""
    starts = len(BALLS) * np.arange(num_dancers)
    return [slice(start + part.start, start + part.stop) for start in starts.tolist() for part in _PART_SLICES]


def mean_of_parts(values: np.ndarray) -> np.ndarray:
    """Average `(balls, ...)` over the balls of each part, `(parts, ...)`, of any number of dancers."""
    counts = np.tile(_BALLS_OF_PARTS, len(values) // len(BALLS))
    sums = np.add.reduceat(values, np.cumsum(counts) - counts)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))


def of_balls(values: np.ndarray) -> np.ndarray:
    """Repeat `(parts, ...)` for each ball of a part."""
    return np.repeat(values, np.tile(_BALLS_OF_PARTS, len(values) // len(BODY_PARTS)), axis=0)
