"""Find the floor under a dance from the feet that stand on it, and put the dance on a level floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from ..kinematics import matrix_to_quaternion, quaternion_to_matrix, shortest_rotation
from ..motion import Motion
from ..skeleton import CONTACT_JOINTS, CONTACT_SPEED_METRES_PER_SECOND

MIN_SLOPE_DEGREES, MAX_SLOPE_DEGREES = 1.5, 15.0
"""Less is within the errors of captures of level floors, more is no floor: only the height is corrected then."""
MIN_SPREAD_METRES = 0.3
"""Standard deviation, along a direction, of the places where feet stand, needed to measure a slope along it."""
MIN_SIGNIFICANCE, MIN_STANDS = 5.0, 4
"""A slope must be as many times as large as its error, which the differences of so many stands from it show."""
_SLOPE_ERROR = 1e-3
"""No slope is known better than by 1 mm a metre."""
MAX_DEPTH_METRES = 0.07
"""Feet sink no deeper in their lowest moments: where the capture drifts up and down, few feet share one floor."""
UNEVEN_METRES, MAX_UNEVEN_SHARE = 0.08, 0.1
"""A foot that stands farther from the floor stands on something else, a stair, a stage; and how many such feet a plane
may leave out."""
BEARING_METRES = 0.01
"""A foot that is higher than the other one by more may hover."""
_UPRIGHT_SHARE = 0.5
"""Of the length of a leg: the pelvis of a dancer who stands is at least so far above the foot."""
_MIN_TOUCH_SECONDS = 0.5
"""Of both feet together; if they stand for less, the lowest moments tell the height."""
_SCALES_METRES = (0.4, 0.2, *[0.1] * 8)
"""Of Tukey's weights, from round to round: a stand that is farther from the plane does not count."""
_SMOOTHING_SECONDS = 0.033


@dataclass(frozen=True)
class Floor:
    """Plane on which a dancer stands.

    Args:
        point: Of the plane, in the middle of the places where feet stand, `(3,)`, metres.
        normal: `(3,)`, of unit length; it points up.
        uneven_share: Share of the standing feet that are more than `UNEVEN_METRES` off the plane, 0 to 1.
        is_stood_on: Otherwise the dancer is never upright, and feet that lie tell its height to some centimetres only.
    """

    point: np.ndarray
    normal: np.ndarray
    uneven_share: float = 0.0
    is_stood_on: bool = True

    @property
    def slope_degrees(self) -> float:
        """Angle between the plane and a level one."""
        return float(np.degrees(np.arccos(np.clip(self.normal[1], -1.0, 1.0))))

    def level(self, motion: Motion) -> Motion:
        """Return the dance, turned about the point and shifted, so that this floor is level and at y = 0."""
        root_positions, rotations = motion.root_positions.astype(np.float64), motion.joint_rotations
        if self.normal[1] < 1:
            up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
            turn = shortest_rotation(torch.from_numpy(self.normal), up)
            root = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
            rotations = rotations.copy()
            rotations[:, 0] = matrix_to_quaternion(turn @ root).numpy()
            root_positions = (root_positions - self.point) @ turn.numpy().T + self.point
        root_positions = root_positions - np.array([0.0, self.point[1], 0.0])
        return replace(motion, root_positions=root_positions, joint_rotations=rotations, foot_contacts=None)


def level_floor(motion: Motion, *, fits_slope: bool = True) -> Motion:
    """Turn and shift a dance as a whole so that the floor under its feet is level and at y = 0.

    Args:
        motion: A dance over any floor that is less steep than 15 degrees.
        fits_slope: Otherwise only the height is corrected.

    Returns:
        The dance with another root path and root rotation; its contacts are detected anew.
    """
    levelled = find_floor(motion, fits_slope=fits_slope).level(motion)
    contacts = levelled.skeleton.detect_foot_contacts(levelled.joint_positions(), levelled.frame_rate)
    return replace(levelled, foot_contacts=contacts)


def find_floor(motion: Motion, *, fits_slope: bool = True) -> Floor:
    """Find the plane that standing feet share: steadier than `put_on_floor`, which goes by the lowest moments.

    A foot stands where its lower part, heel or toe, is slow, no higher than the other's, and far below the pelvis:
    the feet of dancers who lie, and of those who stand on their hands, do not count; in a dance that is never upright,
    all slow feet do. The plane is fitted by iteratively reweighted least squares with Tukey's weights, so that jumps
    and steps onto something else do not lift it. Its slope is fitted only along directions in which feet stand in
    places that are far from each other. Of several levels, such as stairs, the lowest is the floor.

    Args:
        motion: A dance over any floor that is less steep than 15 degrees.
        fits_slope: Otherwise the floor is level.
    """
    places, stands, is_upright = _standing_feet(motion)
    lowest = motion.skeleton.fit_floor_height(motion.joint_positions())
    up = np.array([0.0, 1.0, 0.0])
    enough = _MIN_TOUCH_SECONDS * motion.frame_rate
    if len(places) < enough:
        return Floor(np.array([0.0, lowest, 0.0]), up)
    middle = places.mean(axis=0)
    middle[1] = _fit_height(places[:, 1], lowest, enough)
    sloped = _fit_slope(places, stands) if fits_slope and is_upright else None
    if sloped is not None:
        # On a slope toes and heels look lower than they are, so that the height is found on the level floor.
        height = find_floor(sloped.level(motion), fits_slope=False).point[1]
        return replace(sloped, point=sloped.point + height * sloped.normal)
    return Floor(middle, up, float((np.abs(places[:, 1] - middle[1]) > UNEVEN_METRES).mean()), is_upright)


def _standing_feet(motion: Motion) -> tuple[np.ndarray, np.ndarray, bool]:
    """Find where feet stand, or, in a dance that is never upright, where they are slow.

    Returns:
        Their places `(n, 3)`, less their rest heights; the number of each stand, `(n,)`; whether the dancer stands.
    """
    positions, frame_rate = motion.joint_positions().astype(np.float64), motion.frame_rate
    feet = gaussian_filter1d(
        positions[:, list(CONTACT_JOINTS)], _SMOOTHING_SECONDS * frame_rate, axis=0, mode="nearest"
    )
    velocity = np.gradient(feet, axis=0) if len(feet) > 1 else np.zeros_like(feet)
    slow = np.linalg.norm(velocity, axis=-1) * frame_rate < CONTACT_SPEED_METRES_PER_SECOND
    heights = feet[..., 1]
    feet[..., 1] = heights - motion.skeleton.contact_rest_heights
    pairs = feet.reshape(len(feet), 2, 2, 3)  # (frames, part, side, axis)
    part = pairs[..., 1].argmin(axis=1)[:, None]  # (frames, 1, side)
    places = np.take_along_axis(pairs, part[..., None], axis=1)[:, 0]
    lower = np.take_along_axis(slow.reshape(-1, 2, 2), part, axis=1)[:, 0]
    lower &= places[..., 1] < places[..., 1].min(axis=1, keepdims=True) + BEARING_METRES
    upright = positions[:, :1, 1] - places[..., 1] > _UPRIGHT_SHARE * motion.skeleton.leg_length
    is_upright = bool((lower & upright).sum() >= _MIN_TOUCH_SECONDS * frame_rate)
    by_side = (lower & upright if is_upright else lower).T
    stands = np.cumsum(np.diff(by_side, axis=1, prepend=False) & by_side).reshape(by_side.shape)
    return places.swapaxes(0, 1)[by_side], stands[by_side] - 1, is_upright


def _fit_height(heights: np.ndarray, lowest: float, enough: float) -> float:
    """Return the height that most standing feet share, but not so high that the lowest feet sink too deep."""
    height = _fit(np.ones((len(heights), 1)), heights, np.array([np.median(heights)]))[0][0]
    if height > lowest + MAX_DEPTH_METRES:
        near = heights[heights < lowest + MAX_DEPTH_METRES]
        height = float(np.median(near)) if len(near) >= enough else lowest + MAX_DEPTH_METRES
    return float(height)


def _fit_slope(places: np.ndarray, stands: np.ndarray) -> Floor | None:
    """Return the plane through the places where feet stand, or `None` where they do not show a slope."""
    middle = places.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((places - middle)[:, [0, 2]].T))
    known = directions[:, np.sqrt(np.maximum(variances, 0)) > MIN_SPREAD_METRES]
    if known.shape[1] == 0 or stands.max() + 1 < MIN_STANDS:
        return None
    along = (places - middle)[:, [0, 2]] @ known
    columns = np.concatenate([along, np.ones((len(places), 1))], axis=1)
    start = np.concatenate([np.zeros(known.shape[1]), [np.median(places[:, 1])]])
    fitted, weights = _fit(columns, places[:, 1], start)
    errors = places[:, 1] - columns @ fitted
    # The frames of one stand are no independent witnesses: errors are summed over each before they are squared.
    influence = np.zeros((stands.max() + 1, columns.shape[1]))
    np.add.at(influence, stands, columns * (weights * errors)[:, None])
    inverse = np.linalg.pinv((columns * weights[:, None]).T @ columns)
    slopes = fitted[:-1]
    covariance = (inverse @ (influence.T @ influence) @ inverse)[:-1, :-1] + _SLOPE_ERROR**2 * np.eye(len(slopes))
    x, z = known @ slopes
    floor = Floor(
        np.array([middle[0], fitted[-1], middle[2]]),
        np.array([-x, 1.0, -z]) / np.sqrt(1 + x**2 + z**2),
        float((np.abs(errors) > UNEVEN_METRES).mean()),
    )
    significant = slopes @ np.linalg.solve(covariance, slopes) >= MIN_SIGNIFICANCE**2
    is_plane = significant and floor.uneven_share <= MAX_UNEVEN_SHARE
    return floor if is_plane and MIN_SLOPE_DEGREES <= floor.slope_degrees <= MAX_SLOPE_DEGREES else None


def _fit(columns: np.ndarray, heights: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit `columns @ solution = heights` by reweighted least squares; return the solution and the last weights."""
    solution = start
    for scale in _SCALES_METRES:
        weights = np.maximum(0, 1 - ((heights - columns @ solution) / scale) ** 2) ** 2
        if weights.sum() < 1:
            break
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(columns * root[:, None], heights * root, rcond=None)[0]
    return solution, weights
