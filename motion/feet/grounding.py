"""Put a dance on a level floor: its height and slope are fitted to the feet that touch it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..kinematics import matrix_to_quaternion, quaternion_to_matrix, shortest_rotation
from ..motion import Motion
from ..skeleton import CONTACT_HEIGHT_METRES, CONTACT_JOINTS

MAX_SLOPE_DEGREES = 15.0
"""A fit that finds a steeper floor has followed something else, and only the height is corrected."""
MIN_SPREAD_METRES = 0.3
"""Standard deviation of the places that feet touch, across their narrower way, needed to measure a slope."""
MAX_DEPTH_METRES = 0.07
"""Feet sink no deeper in their lowest moments: where the capture drifts up and down, few feet share one floor."""
_MIN_TOUCHES = 30
_MAX_ROUNDS = 5


def level_floor(motion: Motion, *, fits_slope: bool = True) -> Motion:
    """Turn and shift a dance as a whole so that the floor under its feet is level and at y = 0.

    The floor is where most feet rest: steadier than `put_on_floor`, which goes by the lowest moments.

    The floor is the plane that feet in contact rest on, by least squares; what touches it is then found again, until
    nothing changes. Where the feet touch too few places to measure a slope, only the height is corrected.

    Args:
        motion: A dance over any floor that is less steep than 15 degrees.
        fits_slope: Otherwise only the height is corrected.

    Returns:
        The dance with another root path and root rotation; its contacts are detected anew.
    """
    grounded = _shifted(motion, motion.skeleton.fit_floor_height(motion.joint_positions()))
    contacts = _standing_feet(grounded)
    for _ in range(_MAX_ROUNDS):
        normal, height = _fit_plane(grounded, contacts, fits_slope)
        turned = _turned(grounded, normal)
        levelled = _shifted(turned, height)
        moved = np.abs(levelled.root_positions - grounded.root_positions).max()
        grounded = levelled
        contacts = grounded.skeleton.detect_foot_contacts(grounded.joint_positions(), grounded.frame_rate)
        if moved < 1e-3:
            break
    depth = -grounded.skeleton.fit_floor_height(grounded.joint_positions())
    if depth > MAX_DEPTH_METRES:
        grounded = _shifted(grounded, MAX_DEPTH_METRES - depth)
        contacts = grounded.skeleton.detect_foot_contacts(grounded.joint_positions(), grounded.frame_rate)
    return replace(grounded, foot_contacts=contacts)


def _rested_feet(motion: Motion) -> np.ndarray:
    """Return the places of the feet, `(frames, 4, 3)`, metres, less their rest heights."""
    feet = motion.joint_positions()[:, list(CONTACT_JOINTS)].astype(np.float64)
    feet[..., 1] -= motion.skeleton.contact_rest_heights
    return feet


def _standing_feet(motion: Motion) -> np.ndarray:
    """Mark feet that are slow and no higher than the other one, `(frames, 4)`: a slope is not known to be low yet."""
    slow = motion.skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate, height_threshold=np.inf)
    heights = _rested_feet(motion)[..., 1]
    return slow & (heights < heights.min(axis=1, keepdims=True) + CONTACT_HEIGHT_METRES)


def _fit_plane(motion: Motion, contacts: np.ndarray, fits_slope: bool) -> tuple[np.ndarray, float]:
    """Return the floor's normal `(3,)` and its height at the origin after it was turned level, metres."""
    touches = _rested_feet(motion)[contacts]
    up = np.array([0.0, 1.0, 0.0])
    if len(touches) < _MIN_TOUCHES:
        return up, 0.0
    center = touches.mean(axis=0)
    spread = np.sqrt(np.linalg.eigvalsh(np.cov((touches - center)[:, [0, 2]].T))[0])
    if spread < MIN_SPREAD_METRES or not fits_slope:
        return up, float(np.median(touches[:, 1]))
    slopes = np.linalg.lstsq((touches - center)[:, [0, 2]], touches[:, 1] - center[1], rcond=None)[0]
    normal = np.array([-slopes[0], 1.0, -slopes[1]]) / np.sqrt(1 + slopes @ slopes)
    if np.degrees(np.arccos(normal[1])) > MAX_SLOPE_DEGREES:
        return up, float(np.median(touches[:, 1]))
    turn = shortest_rotation(torch.from_numpy(normal), torch.from_numpy(up)).numpy()
    return normal, float((turn @ center)[1])


def _turned(motion: Motion, normal: np.ndarray) -> Motion:
    """Turn a dance about the origin so that `normal` points up."""
    turn = shortest_rotation(torch.from_numpy(normal), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    rotations = motion.joint_rotations.copy()
    root = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
    rotations[:, 0] = matrix_to_quaternion(turn @ root).numpy()
    return replace(
        motion,
        root_positions=motion.root_positions.astype(np.float64) @ turn.numpy().T,
        joint_rotations=rotations,
        foot_contacts=None,
    )


def _shifted(motion: Motion, floor_height: float) -> Motion:
    shift = np.array([0.0, floor_height, 0.0], dtype=np.float32)
    return replace(motion, root_positions=motion.root_positions - shift, foot_contacts=None)
