"""Remove the jitter of a motion and keep its accents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from .motion import Motion


def smooth_motion(motion: Motion, deviation_seconds: float) -> Motion:
    """Filter the root's path and all rotations with a Gaussian in time.

    Quaternions are averaged as vectors of one hemisphere and normalized: for rotations as near to each other as those
    of neighboring frames that is the mean rotation.

    Args:
        motion: Any motion.
        deviation_seconds: Standard deviation of the Gaussian. With 0.02 s at 30 frames a second a movement of 2 Hz
            keeps 0.97 of its size, one of 10 Hz 0.50.

    Returns:
        The motion with the same contacts, so that these may want detecting anew.

    Raises:
        ValueError: If `deviation_seconds` is not positive.
    """
    if deviation_seconds <= 0:
        raise ValueError(f"`deviation_seconds` must be positive, got {deviation_seconds}.")
    rotations = motion.joint_rotations.astype(np.float64)
    agrees = (rotations[1:] * rotations[:-1]).sum(axis=-1, keepdims=True) >= 0
    rotations[1:] *= np.cumprod(np.where(agrees, 1.0, -1.0), axis=0)  # q and -q are one rotation
    filtered = [
        gaussian_filter1d(values, deviation_seconds * motion.frame_rate, axis=0, mode="nearest")
        for values in (motion.root_positions.astype(np.float64), rotations)
    ]
    quaternions = filtered[1] / np.linalg.norm(filtered[1], axis=-1, keepdims=True)
    return replace(
        motion, root_positions=filtered[0].astype(np.float32), joint_rotations=quaternions.astype(np.float32)
    )
