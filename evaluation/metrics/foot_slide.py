"""Sliding of all low feet, weighted by height: a detector of contacts, which asks for slow feet, hides the worst."""

from __future__ import annotations

import numpy as np

from .checks import check_positions, check_positive_rate

LOW_METRES = 0.05


def low_foot_slide(feet_positions: np.ndarray, frame_rate: float, rest_heights: np.ndarray) -> float:
    """Return the mean speed over the floor of the joints of low feet, in m/s, the lower the heavier.

    A joint at its rest height weighs 1, above it `2 - 2^(height / 5 cm)`, from 5 cm on 0: the weight of Zhang et al.,
    "Mode-Adaptive Neural Networks for Quadruped Motion Control", whose sum over the frames is here divided by that of
    the weights. A foot that is swung just above the floor counts a little: real dances are not at 0.

    Args:
        feet_positions: `(frames >= 2, feet, 3)`, metres, Y up.
        frame_rate: Hz.
        rest_heights: `(feet,)`, metres, from `foot_contact.fit_rest_heights` or from the skeleton.

    Returns:
        The speed; NaN if no foot is ever low.
    """
    check_positions(feet_positions, "feet_positions", min_frames=2)
    check_positive_rate(frame_rate)
    speed = np.linalg.norm(np.diff(feet_positions[..., [0, 2]], axis=0), axis=-1) * frame_rate
    height = np.maximum(feet_positions[..., 1] - rest_heights, 0)
    between = (height[1:] + height[:-1]) / 2
    weights = np.maximum(2 - 2 ** (between / LOW_METRES), 0)
    if weights.sum() == 0:
        return float("nan")
    return float((weights * speed).sum() / weights.sum())
