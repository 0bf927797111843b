"""Whether a motion is a dance by a body: lively, upright, on its stage, on the floor, without seams, not copied."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

UPRIGHT_METRES = 0.3
FROZEN_SPEED_SHARE = 0.25
JUMP_QUANTILE = 0.95
JUMP_MARGIN_FRAMES = 3


def mean_joint_speed(joint_positions: np.ndarray, frame_rate: float) -> float:
    """Return the mean speed of all joints over all frames, in m/s.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres.
        frame_rate: Hz.
    """
    return float(_step_lengths(joint_positions).mean() * frame_rate)


def mean_local_speed(joint_positions: np.ndarray, frame_rate: float, hip_joints: tuple[int, int]) -> float:
    """Return the mean speed of all joints relative to the middle of the hips, in m/s: dance without travel.

    Args:
        joint_positions: `(frames >= 2, joints, 3)`, metres.
        frame_rate: Hz.
        hip_joints: Indices of both hips.
    """
    hips = joint_positions[:, list(hip_joints)].mean(axis=1, keepdims=True)
    return mean_joint_speed(joint_positions - hips, frame_rate)


def frozen_share(joint_positions: np.ndarray, frame_rate: float, reference_speed: float) -> float:
    """Return the share of 1 s windows, one after the other, that are slower than a quarter of a reference speed.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, at least 1 s.
        frame_rate: Hz.
        reference_speed: Mean joint speed of real dances, m/s.
    """
    window = round(frame_rate)
    steps = _step_lengths(joint_positions).mean(axis=1) * frame_rate
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


def floor_penetration_mm(feet_positions: np.ndarray, rest_heights: np.ndarray) -> float:
    """Return how deep the lower foot is in the floor, in mm, as a mean over all frames.

    Args:
        feet_positions: `(frames, feet, 3)`, metres, the joints of the feet, Y up, the floor at y = 0.
        rest_heights: `(feet,)`, metres: height of each joint when its foot is flat on the floor.
    """
    clearance = (feet_positions[..., 1] - rest_heights).min(axis=1)
    return float(1000 * np.maximum(0, -clearance).mean())


def floor_float_mm(feet_positions: np.ndarray, rest_heights: np.ndarray, foot_contacts: np.ndarray) -> float:
    """Return how high the lower foot hovers in frames with a contact, in mm, as a mean over all frames.

    Args:
        feet_positions: As in `floor_penetration_mm`.
        rest_heights: As in `floor_penetration_mm`.
        foot_contacts: `(frames, feet)` bool.
    """
    clearance = (feet_positions[..., 1] - rest_heights).min(axis=1)
    return float(1000 * (np.maximum(0, clearance) * foot_contacts.any(axis=1)).mean())


def foot_slide_mm(feet_positions: np.ndarray, foot_contacts: np.ndarray) -> float:
    """Return how far feet in contact slide, in mm a frame: mean horizontal distance over steps of touching joints.

    The distance is that of the floor point, not of its coordinates: a diagonal slide counts in full. A detector that
    asks for slow feet hides the worst slides; for an upper bound, pass every foot that is low.

    Args:
        feet_positions: `(frames, feet, 3)`, metres, Y up.
        foot_contacts: `(frames, feet)` bool; a step counts where both of its frames touch.

    Returns:
        The mean; NaN where no foot touches the floor for two frames.
    """
    if foot_contacts.shape != feet_positions.shape[:2]:
        raise ValueError(
            f"`foot_contacts` must have shape {feet_positions.shape[:2]} for these feet, got {foot_contacts.shape}."
        )
    touching = foot_contacts[1:] & foot_contacts[:-1]
    if not touching.any():
        return float("nan")
    return float(1000 * np.linalg.norm(np.diff(feet_positions[..., [0, 2]], axis=0), axis=-1)[touching].mean())


def boundary_jumps(joint_positions: np.ndarray, boundary_frames: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Compare jumps of velocity and acceleration at given frames with those everywhere else.

    The jump at a frame is the largest change of velocity (of acceleration) in the differences that span the step into
    it, averaged over joints. It is divided by the 95th percentile of the same quantity at all other frames: at a frame
    like any other, one jump in twenty is above 1.

    Args:
        joint_positions: `(frames, joints, 3)`, metres.
        boundary_frames: First frames of what is joined.

    Returns:
        The ratios of velocity and of acceleration, each `(boundaries,)`.

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
        ratios.append(np.array([jumps[frame] for frame in boundaries]) / usual)
    return ratios[0], ratios[1]


def code_ngrams(codes: np.ndarray, length: int) -> np.ndarray:
    """Cut codes into all their runs of some length.

    Args:
        codes: `(levels, tokens)`, integers.
        length: Tokens in a run.

    Returns:
        `(tokens - length + 1, levels * length)` int64; no row if there are too few tokens.
    """
    if codes.ndim != 2:
        raise ValueError(f"`codes` must have shape (levels, tokens), got {codes.shape}.")
    if codes.shape[1] < length:
        return np.empty((0, codes.shape[0] * length), np.int64)
    runs = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), length, axis=1)
    return runs.transpose(1, 0, 2).reshape(runs.shape[1], -1)


def distinct_ngram_share(codes: np.ndarray, length: int) -> float:
    """Return the number of different runs over the number of runs: 1 = nothing repeats, near 0 = a loop.

    Args:
        codes: `(levels, tokens)`, at least `length` tokens.
        length: Tokens in a run.
    """
    runs = code_ngrams(codes, length)
    if len(runs) == 0:
        raise ValueError(f"There must be at least {length} tokens, got {codes.shape[1]}.")
    return len(np.unique(runs, axis=0)) / len(runs)


def known_ngrams(training_codes: Iterable[np.ndarray], length: int) -> set[bytes]:
    """Collect all runs of some length of the training dances, for `copied_ngram_share`.

    Args:
        training_codes: Each `(levels, tokens)`; every version that was trained on, also mirrored and offset ones.
        length: Tokens in a run.
    """
    return {run.tobytes() for codes in training_codes for run in code_ngrams(codes, length)}


def copied_ngram_share(codes: np.ndarray, known: set[bytes], length: int) -> float:
    """Return the share of runs of a dance that occur, code by code at all levels, in any training dance.

    Args:
        codes: `(levels, tokens)`, at least `length` tokens.
        known: From `known_ngrams`, with the same length.
        length: Tokens in a run.
    """
    runs = code_ngrams(codes, length)
    if len(runs) == 0:
        raise ValueError(f"There must be at least {length} tokens, got {codes.shape[1]}.")
    return float(np.mean([run.tobytes() in known for run in runs]))


def _step_lengths(joint_positions: np.ndarray) -> np.ndarray:
    if joint_positions.ndim != 3 or len(joint_positions) < 2 or joint_positions.shape[2] != 3:
        raise ValueError(f"`joint_positions` must have shape (frames >= 2, joints, 3), got {joint_positions.shape}.")
    return np.linalg.norm(np.diff(joint_positions, axis=0), axis=-1)
