"""Feet on the floor: rest heights, contacts, sliding, sinking and floating.

Feet are the joints left ankle, right ankle, left toe, right toe, in that order. Every threshold on a height means
nothing before the height of a *resting* joint is known: an ankle rests at 6 to 10 cm, depending on the skeleton.
`fit_rest_heights` finds it in the clip.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.ndimage import uniform_filter1d

from ...motion import skeleton
from ...motion.skeleton import CONTACT_HEIGHT_METRES, CONTACT_SPEED_METRES_PER_SECOND
from .checks import check_point_path, check_positions, check_positive_rate

SLOW_SHARE = 0.25
REST_QUANTILE = 0.1
LODGE_ANKLE_METRES = 0.08
LODGE_TOE_METRES = 0.05
LODGE_LEVEL_FEET_METRES = 0.02
LODGE_STEP_METRES = 0.01
LODGE_FRAME_RATE = 30.0
FITTED_HEIGHT_METRES = 0.03
GMD_HEIGHT_METRES = 0.05
GMD_SPEED_METRES_PER_SECOND = 0.5
GMD_MEAN_FRAMES = 5
HEEL_HEIGHT_METRES = 0.05
HEEL_SPEED_METRES_PER_SECOND = 0.075
PFC_FRAME_RATE = 30.0
PFC_FACTOR = 1e4


def fit_rest_heights(
    feet_positions: np.ndarray,
    *,
    slow_share: float = SLOW_SHARE,
    quantile: float = REST_QUANTILE,
) -> np.ndarray:
    """Find at which height each joint of the feet rests, from the clip alone.

    For each joint: of the quarter of the frames in which it is slowest (feet rest where they stand still; the longer
    of the steps before and after a frame counts), the 10th percentile of its height. Slow moments in the air (the top
    of a kick) and single bad frames so have no say, and a clip lifted or sunk as a whole gets rest heights that are
    lifted or sunk with it. The fit therefore cannot see a dance that hovers at one height all the time: for that,
    compare it with the rest heights of the skeleton. A joint that never rests, as the heel of a dancer on tiptoe, gets
    its low heights instead.

    Args:
        feet_positions: `(frames >= 2, feet, 3)`, metres, Y up; of one skeleton.
        slow_share: Share of frames that count as slow.
        quantile: Share of these frames that may lie below the rest height.

    Returns:
        `(feet,)`, metres.
    """
    check_positions(feet_positions, "feet_positions", min_frames=2)
    steps = np.linalg.norm(np.diff(feet_positions, axis=0), axis=-1)
    longer_steps = np.maximum(np.pad(steps, ((1, 0), (0, 0))), np.pad(steps, ((0, 1), (0, 0))))
    slow = longer_steps <= np.quantile(longer_steps, slow_share, axis=0)
    return np.nanquantile(np.where(slow, feet_positions[..., 1], np.nan), quantile, axis=0)


def detect_contacts(
    feet_positions: np.ndarray,
    frame_rate: float,
    rest_heights: np.ndarray,
    *,
    height_threshold: float = CONTACT_HEIGHT_METRES,
    speed_threshold: float = CONTACT_SPEED_METRES_PER_SECOND,
) -> np.ndarray:
    """Mark joints of the feet that are low and slow, for any skeleton: that of `motion.skeleton`, with checks.

    The detectors of `foot_skating_ratio`, `gmd_skating_ratio` and `heel_skating_ratio` are others: those are published
    with their measures, whose numbers could not be compared with any other.

    Args:
        feet_positions: `(frames >= 2, feet, 3)`, metres, Y up.
        frame_rate: Hz.
        rest_heights: `(feet,)`, metres, from `fit_rest_heights` or from the skeleton.
        height_threshold: Metres above the rest height.
        speed_threshold: Metres per second.

    Returns:
        `(frames, feet)` bool.
    """
    check_positions(feet_positions, "feet_positions", min_frames=2)
    check_positive_rate(frame_rate)
    _check_rest_heights(feet_positions, rest_heights)
    return skeleton.detect_contacts(feet_positions, frame_rate, rest_heights, height_threshold, speed_threshold)


def floor_penetration_mm(feet_positions: np.ndarray, rest_heights: np.ndarray) -> float:
    """Return how deep the lower foot is in the floor, in mm, as a mean over all frames.

    Args:
        feet_positions: `(frames, feet, 3)`, metres, the joints of the feet, Y up, the floor at y = 0.
        rest_heights: `(feet,)`, metres: height of each joint when its foot is flat on the floor.
    """
    clearance = _clearance(feet_positions, rest_heights).min(axis=1)
    return float(1000 * np.maximum(0, -clearance).mean())


def floor_float_mm(feet_positions: np.ndarray, rest_heights: np.ndarray, foot_contacts: np.ndarray) -> float:
    """Return how high the lower foot hovers in frames with a contact, in mm, as a mean over all frames.

    Args:
        feet_positions: As in `floor_penetration_mm`.
        rest_heights: As in `floor_penetration_mm`.
        foot_contacts: `(frames, feet)` bool.
    """
    clearance = _clearance(feet_positions, rest_heights).min(axis=1)
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


def foot_skating_ratio(
    feet_positions: np.ndarray,
    frame_rate: float,
    mode: Literal["corrected", "compat"] = "corrected",
    *,
    rest_heights: np.ndarray | None = None,
) -> float:
    """Return the foot-skating ratio of LODGE, the FSR of the paper: share of steps in contact that slide.

    A foot is in contact where its ankle is at most 8 cm and its toe at most 5 cm above the floor, which is the height
    of the lower toe in the first frame (the mean of both if they differ by less than 2 cm). It slides where its ankle
    or its toe moves more than 1 cm in the step to the next frame. The ratio is taken for each foot and averaged.

    `compat` measures the step as published: `|mean(vx, vz)|` in metres a frame, whatever the frame rate. A slide along
    (1, -1) then counts nothing, and any other too little. `corrected` takes the distance over the floor, in m/s (1 cm
    a frame at 30 Hz = 0.3 m/s). Deviation: LODGE divides by zero where a foot is never in contact; such a foot is left
    out.

    Args:
        feet_positions: `(frames >= 2, 4, 3)`, metres, Y up.
        frame_rate: Hz.
        mode: `corrected` or `compat`.
        rest_heights: `(4,)`, metres. If given, a foot is in contact where both of its joints are within 3 cm of these,
            instead: an ankle that rests at 10 cm, as Motorica's, is never below 8 cm.

    Returns:
        From 0 to 1; NaN where no foot is ever in contact.

    Raises:
        ValueError: If `mode` is another one, or the arrays are not clips of four joints.
    """
    if mode not in ("corrected", "compat"):
        raise ValueError(f"`mode` must be 'corrected' or 'compat', got {mode!r}.")
    check_positions(feet_positions, "feet_positions", min_frames=2, num_joints=4)
    check_positive_rate(frame_rate)
    steps = np.diff(feet_positions[..., [0, 2]], axis=0)
    if mode == "compat":
        slides = np.abs(steps.mean(axis=-1)) > LODGE_STEP_METRES
    else:
        slides = np.linalg.norm(steps, axis=-1) * frame_rate > LODGE_STEP_METRES * LODGE_FRAME_RATE
    low = _lodge_low(feet_positions, rest_heights)[:-1]
    touching = low[:, :2] & low[:, 2:]  # ankle and toe of the left, of the right foot
    num_touching = touching.sum(axis=0)
    if not num_touching.any():
        return float("nan")
    num_sliding = (touching & (slides[:, :2] | slides[:, 2:])).sum(axis=0)
    return float((num_sliding / np.maximum(num_touching, 1))[num_touching > 0].mean())


def gmd_skating_ratio(toe_positions: np.ndarray, frame_rate: float) -> float:
    """Return the skating ratio of GMD: share of steps in which a low toe of either foot moves fast over the floor.

    Low: under 5 cm in both frames of the step. Fast: over 0.5 m/s, in this step and in the mean of the five steps
    around it (steps beyond the ends count as 0). The constant is that of the released code; slow slides pass unseen,
    so do not use it alone.

    Args:
        toe_positions: `(frames >= 2, 2, 3)`, metres, Y up, the floor at y = 0.
        frame_rate: Hz.
    """
    check_positions(toe_positions, "toe_positions", min_frames=2, num_joints=2)
    check_positive_rate(frame_rate)
    low = toe_positions[..., 1] < GMD_HEIGHT_METRES
    speed = np.linalg.norm(np.diff(toe_positions[..., [0, 2]], axis=0), axis=-1) * frame_rate
    mean_speed = uniform_filter1d(speed, GMD_MEAN_FRAMES, axis=0, mode="constant")
    fast = (speed > GMD_SPEED_METRES_PER_SECOND) & (mean_speed > GMD_SPEED_METRES_PER_SECOND)
    return float((low[1:] & low[:-1] & fast).any(axis=1).mean())


def heel_skating_ratio(heel_positions: np.ndarray, frame_rate: float, rest_heights: np.ndarray) -> float:
    """Return the skating of MOJO and SAGA: share of steps in which a heel is low and faster than 75 mm/s.

    Theirs are markers within 5 cm of the floor; an ankle can stand in for its heel, since heights count from the rest
    height. Our reading: both frames of a step are low, the speed is three-dimensional, and both heels are averaged.

    Args:
        heel_positions: `(frames >= 2, 2, 3)`, metres, Y up.
        frame_rate: Hz.
        rest_heights: `(2,)`, metres.
    """
    check_positions(heel_positions, "heel_positions", min_frames=2, num_joints=2)
    check_positive_rate(frame_rate)
    low = _clearance(heel_positions, rest_heights) < HEEL_HEIGHT_METRES
    speed = np.linalg.norm(np.diff(heel_positions, axis=0), axis=-1) * frame_rate
    return float((low[1:] & low[:-1] & (speed > HEEL_SPEED_METRES_PER_SECOND)).mean())


def physical_foot_contact(root_positions: np.ndarray, feet_positions: np.ndarray, frame_rate: float) -> float:
    """Return the physical foot contact score (PFC) of EDGE: 0 if a foot stands whenever the root accelerates.

    `mean(min(left ankle, left toe) * min(right ankle, right toe) * a / max(a)) * 10^4`: the four are horizontal steps
    in metres per 1/30 s, `a` is the length of the root's acceleration with its downward part set to 0. Published
    numbers disagree by the reading (1.24 to 1.76 for the same dances); this one is that of the released script, on
    our Y axis instead of its Z: the step is the one that ends the three frames of the acceleration, and each clip is
    divided by its own largest acceleration, so that one violent frame lowers the score of all others. Steps are
    scaled from `frame_rate` to EDGE's 30 Hz.

    Args:
        root_positions: `(frames >= 3, 3)`, metres, Y up.
        feet_positions: `(frames, 4, 3)`, metres.
        frame_rate: Hz.

    Returns:
        The score; 0 if the root never accelerates.
    """
    check_point_path(root_positions, min_frames=3)
    check_positions(feet_positions, "feet_positions", min_frames=3, num_joints=4)
    check_positive_rate(frame_rate)
    if len(feet_positions) != len(root_positions):
        raise ValueError(
            f"`root_positions` and `feet_positions` must have equally many frames, got {len(root_positions)} and "
            f"{len(feet_positions)}."
        )
    acceleration = np.diff(root_positions, n=2, axis=0)
    acceleration[:, 1] = np.maximum(acceleration[:, 1], 0)
    push = np.linalg.norm(acceleration, axis=-1)
    if push.max() == 0:
        return 0.0
    steps = np.linalg.norm(np.diff(feet_positions[1:, :, [0, 2]], axis=0), axis=-1) * frame_rate / PFC_FRAME_RATE
    stillest = np.minimum(steps[:, :2], steps[:, 2:])  # of ankle and toe, for the left and the right foot
    return float((stillest.prod(axis=1) * push / push.max()).mean() * PFC_FACTOR)


def _lodge_low(feet_positions: np.ndarray, rest_heights: np.ndarray | None) -> np.ndarray:
    if rest_heights is not None:
        return _clearance(feet_positions, rest_heights) <= FITTED_HEIGHT_METRES
    toe_heights = feet_positions[0, 2:, 1]
    floor = toe_heights.mean() if np.ptp(toe_heights) < LODGE_LEVEL_FEET_METRES else toe_heights.min()
    limits = np.repeat([LODGE_ANKLE_METRES, LODGE_TOE_METRES], 2)
    return feet_positions[..., 1] - floor <= limits


def _clearance(feet_positions: np.ndarray, rest_heights: np.ndarray) -> np.ndarray:
    check_positions(feet_positions, "feet_positions")
    _check_rest_heights(feet_positions, rest_heights)
    return feet_positions[..., 1] - rest_heights


def _check_rest_heights(feet_positions: np.ndarray, rest_heights: np.ndarray) -> None:
    num_feet = feet_positions.shape[1]
    if np.shape(rest_heights) != (num_feet,):
        raise ValueError(f"`rest_heights` must have shape ({num_feet},) for these feet, got {np.shape(rest_heights)}.")
