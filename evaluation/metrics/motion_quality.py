"""Whether a motion is a dance: lively, upright, on its stage, without seams."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .physics import step_lengths

UPRIGHT_METRES = 0.3
FROZEN_SPEED_SHARE = 0.25
JUMP_QUANTILE = 0.95
JUMP_MARGIN_FRAMES = 3


def frozen_share(joint_positions: np.ndarray, frame_rate: float, reference_speed: float) -> float:
    """Return the share of 1 s windows, one after the other, that are slower than a quarter of a reference speed.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, at least 1 s.
        frame_rate: Hz.
        reference_speed: Mean joint speed of real dances, m/s.
    """
    window = round(frame_rate)
    steps = step_lengths(joint_positions).mean(axis=1) * frame_rate
    num_windows = len(steps) // window
    if num_windows == 0:
        raise ValueError(f"The clip must be longer than 1 s = {window} frames, got {len(joint_positions)} frames.")
    speeds = steps[: num_windows * window].reshape(num_windows, window).mean(axis=1)
    return float((speeds < FROZEN_SPEED_SHARE * reference_speed).mean())


def stage_radius(root_positions: np.ndarray) -> float:
    """Return the largest horizontal distance of the root from its mean place, in metres.

    Args:
        root_positions: `(frames, 3)`, metres, Y up.
    """
    floor_points = root_positions[:, [0, 2]]
    return float(np.linalg.norm(floor_points - floor_points.mean(axis=0), axis=-1).max())


def upright_share(joint_positions: np.ndarray, head_joint: int, pelvis_joint: int) -> float:
    """Return the share of frames in which the head is more than 0.3 m above the pelvis.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, Y up.
        head_joint: Index of the head.
        pelvis_joint: Index of the pelvis.
    """
    return float((joint_positions[:, head_joint, 1] - joint_positions[:, pelvis_joint, 1] > UPRIGHT_METRES).mean())


def boundary_jumps(joint_positions: np.ndarray, boundary_frames: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Compare jumps of velocity and acceleration at given frames with those everywhere else.

    The jump at a frame is the largest change of velocity (of acceleration) in the differences that span the step into
    it, averaged over joints. It is divided by the 95th percentile of the same quantity at all other frames: at a frame
    like any other, one jump in twenty is above 1.

    Args:
        joint_positions: `(frames, joints, 3)`, metres.
        boundary_frames: First frames of what is joined.

    Returns:
        The ratios of velocity and of acceleration, each `(boundaries,)`; 0 for a dancer who never moves.

    Raises:
        ValueError: If a boundary lies within 3 frames of an end, or no other frame is left.
    """
    boundaries = np.asarray(list(boundary_frames), dtype=int)
    num_frames = len(joint_positions)
    inner = np.arange(JUMP_MARGIN_FRAMES, num_frames - JUMP_MARGIN_FRAMES)
    if not np.isin(boundaries, inner).all():
        raise ValueError(
            f"`boundary_frames` must lie in [{JUMP_MARGIN_FRAMES}, {num_frames - JUMP_MARGIN_FRAMES}), got "
            f"{boundaries}."
        )
    near = np.abs(inner[:, None] - boundaries).min(axis=1, initial=num_frames) < JUMP_MARGIN_FRAMES
    elsewhere = inner[~near]
    if len(elsewhere) == 0:
        raise ValueError(f"No frame is left to compare {len(boundaries)} boundaries of {num_frames} frames with.")
    ratios = []
    for order in (2, 3):
        change = np.linalg.norm(np.diff(joint_positions, n=order, axis=0), axis=-1).mean(axis=1)
        # Difference k spans frames k to k + order; those that hold the step from frame - 1 to frame.
        jumps = {frame: change[frame - order : frame].max() for frame in inner}
        usual = np.quantile([jumps[frame] for frame in elsewhere], JUMP_QUANTILE)
        at_boundaries = np.array([jumps[frame] for frame in boundaries])
        beside_stillness = np.where(at_boundaries > 0, np.inf, 0.0)
        ratios.append(np.divide(at_boundaries, usual, out=beside_stillness, where=usual > 0))
    return ratios[0], ratios[1]
