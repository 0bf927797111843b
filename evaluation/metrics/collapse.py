"""Whether a dance has stopped or runs in circles: still stretches, one cycle over and over, few codes."""

from __future__ import annotations

import numpy as np

from .checks import check_positions, check_positive_rate

FREEZE_WINDOW_SECONDS = 1.0
FREEZE_METRES = 0.01
MAX_PERIOD_SECONDS = 10.0
BACK_SHARE = 0.2
AWAY_SHARE = 0.5


def still_share(
    joint_positions: np.ndarray,
    frame_rate: float,
    *,
    window_seconds: float = FREEZE_WINDOW_SECONDS,
    threshold_metres: float = FREEZE_METRES,
) -> float:
    """Return the share of frames that lie in a stretch in which the dancer stands still.

    A second is still if the joints stay within 1 cm of their mean places (root mean square over joints and frames): a
    trembling statue is frozen, a breathing dancer is not. Still stretches are all frames of still seconds, which may
    begin at any frame. Real dances pause: what counts is the difference from real ones, which in Dance with Melody
    rarely fall below 2 cm. To find a frozen pose that glides, pass `hip_aligned_poses`.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, at least one window.
        frame_rate: Hz.
        window_seconds: Shortest stretch that counts.
        threshold_metres: Largest root mean square distance of a still window.
    """
    check_positions(joint_positions)
    check_positive_rate(frame_rate)
    window = round(window_seconds * frame_rate)
    if not 2 <= window <= len(joint_positions):
        raise ValueError(
            f"The clip must be at least one window of {window} >= 2 frames long, got {len(joint_positions)} frames."
        )
    windows = np.lib.stride_tricks.sliding_window_view(joint_positions, window, axis=0)
    is_still = np.sqrt(windows.var(axis=-1).sum(axis=-1).mean(axis=1)) <= threshold_metres
    # A frame is still if any window that holds it is.
    in_still = np.convolve(is_still, np.ones(window, int)) > 0
    return float(in_still.mean())


def loop_share(poses: np.ndarray, frame_rate: float, *, max_period_seconds: float = MAX_PERIOD_SECONDS) -> float:
    """Return the share of poses that are left and come back one period later: 1 is nothing but a loop.

    The period is the one at which most poses come back; a dance that has collapsed repeats one short cycle.

    Distances are means over joints, in units of the mean distance of two poses of the dance drawn at random. A pose
    comes back after a period if the dance was farther from it than 0.5 in between and is within 0.2 at the end: a
    pause is no loop. Real dances have a share as well, that of their basic step: at most 0.35 in Dance with Melody
    and Motorica (rumba is highest), most below 0.15.

    Args:
        poses: `(frames, joints, 3)`, metres, from `hip_aligned_poses`: a loop may travel and turn.
        frame_rate: Hz.
        max_period_seconds: Longest period looked for; never more than half the clip.

    Returns:
        From 0 to 1; 0 for a dancer who never moves.
    """
    check_positions(poses, "poses", min_frames=4)
    check_positive_rate(frame_rate)
    shuffled = poses[np.random.default_rng(0).permutation(len(poses))]
    spread = _pose_distances(poses, shuffled).mean()
    farthest = np.zeros(len(poses))
    best = 0.0
    for lag in range(1, min(round(max_period_seconds * frame_rate), len(poses) // 2) + 1):
        distances = _pose_distances(poses[lag:], poses[:-lag])
        farthest = np.maximum(farthest[: len(distances)], distances)
        share = float(((distances < BACK_SHARE * spread) & (farthest > AWAY_SHARE * spread)).mean())
        best = max(best, share)
    return best


def longest_run(holds: np.ndarray) -> int:
    """Return the length of the longest run of True in `(values,)` bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def code_perplexity(codes: np.ndarray) -> np.ndarray:
    """Return how many codes a dance uses at each level, as the exponential of the entropy: 1 = always the same.

    Args:
        codes: `(levels, tokens >= 1)` int.

    Returns:
        `(levels,)`, from 1 to the number of different codes.
    """
    if codes.ndim != 2 or codes.size == 0:
        raise ValueError(f"`codes` must have shape (levels, tokens >= 1), got {codes.shape}.")
    perplexities = []
    for level in codes:
        shares = np.unique(level, return_counts=True)[1] / codes.shape[1]
        perplexities.append(np.exp(-(shares * np.log(shares)).sum()))
    return np.array(perplexities)


def _pose_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.norm(first - second, axis=-1).mean(axis=1)
