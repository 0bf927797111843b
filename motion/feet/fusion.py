"""Place root and feet so that they agree best with estimates of places, steps and contacts: linear least squares.

All unknowns of a clip are solved for at once. Equations join unknowns of neighboring frames only, so that the normal
equations are banded, and time and memory grow linearly with the length of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from ..skeleton import JOINT_INDEX, Skeleton

_NUM_UNKNOWNS = 3  # a frame: root, left ankle, right ankle
_LIFTING_ROUNDS = 4
_LEVEL_METRES = 0.02


@dataclass(frozen=True)
class FootEstimate:
    """Estimates of root and feet, in the world, metres, Y up, the floor at y = 0.

    Args:
        root_positions: Where the root was observed, `(frames, 3)`.
        root_heights: Its height, `(frames,)`.
        root_steps: Movement of the root to the next frame, `(frames - 1, 3)`.
        ankle_offsets: Left and right ankle from the root, `(frames, 2, 3)`.
        foot_steps: Movement of left ankle, right ankle, left toe, right toe to the next frame,
            `(frames - 1, 4, 3)`.
        foot_vectors: From ankle to toe, `(frames, 2, 3)`, any length but zero.
        foot_contacts: Probability that each joint of the feet touches the floor, `(frames, 4)`.
    """

    root_positions: np.ndarray
    root_heights: np.ndarray
    root_steps: np.ndarray
    ankle_offsets: np.ndarray
    foot_steps: np.ndarray
    foot_vectors: np.ndarray
    foot_contacts: np.ndarray


@dataclass(frozen=True)
class FusionWeights:
    """Weights of the estimates; 0 leaves one out.

    Weights are of squares of metres and metres a frame. `root_step` over `anchor` is the square of the time, in
    frames, over which the root's path follows the observed one; below it the estimated steps count.

    Args:
        anchor: The root is where it was observed, over the floor.
        root_height: The root is at its estimated height.
        root_step: The root moves by its estimated steps.
        ankle_offset: The ankles are where they are estimated from the root.
        foot_step: Ankles and toes move by their estimated steps.
        contact: Ankles and toes that touch the floor do not move over it.
        floor: A foot that touches the floor, or would be below it, rests on it with its lowest part.
    """

    anchor: float = 100.0
    root_height: float = 100.0
    root_step: float = 3600.0
    ankle_offset: float = 100.0
    foot_step: float = 400.0
    contact: float = 4000.0
    floor: float = 1000.0


@dataclass(frozen=True)
class FusedFeet:
    """Places of root and feet.

    Args:
        root_positions: `(frames, 3)`, metres.
        joint_positions: Left ankle, right ankle, left toe, right toe, `(frames, 4, 3)`, metres.
    """

    root_positions: np.ndarray
    joint_positions: np.ndarray


def fuse_feet(estimate: FootEstimate, weights: FusionWeights, skeleton: Skeleton) -> FusedFeet:
    """Find root path and feet that contradict the estimates least.

    First the feet are turned: flat where ankle and toe both touch. Then root and ankles are placed, over the floor and
    in height, with feet that are as long as the skeleton's.

    Args:
        estimate: Of root and feet.
        weights: How firmly.
        skeleton: Gives lengths and rest heights of the feet.
    """
    vectors = turn_feet(estimate, weights, skeleton)
    over_floor = _solve_over_floor(estimate, weights, vectors[..., [0, 2]])
    heights = _solve_heights(estimate, weights, vectors[..., 1], skeleton)
    solved = np.stack([over_floor[..., 0], heights, over_floor[..., 1]], axis=-1)
    return FusedFeet(solved[:, 0], np.concatenate([solved[:, 1:], solved[:, 1:] + vectors], axis=1))


def mix(first: FusedFeet, second: FusedFeet, share: float) -> FusedFeet:
    """Go the `share`, 0 to 1, of the way from one solution to another; feet keep their length."""
    root, feet = (
        (1 - share) * getattr(first, name) + share * getattr(second, name)
        for name in ("root_positions", "joint_positions")
    )
    vectors = feet[:, 2:] - feet[:, :2]
    lengths = np.linalg.norm(second.joint_positions[:, 2:] - second.joint_positions[:, :2], axis=-1, keepdims=True)
    feet[:, 2:] = feet[:, :2] + vectors * (lengths / np.linalg.norm(vectors, axis=-1, keepdims=True))
    return FusedFeet(root, feet)


def turn_feet(estimate: FootEstimate, weights: FusionWeights, skeleton: Skeleton) -> np.ndarray:
    """Return vectors from ankle to toe, `(frames, 2, 3)`: level and still where the whole foot touches."""
    offsets = skeleton.offsets[[JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]
    lengths = np.linalg.norm(offsets, axis=-1)[:, None]
    estimated = estimate.foot_vectors / np.linalg.norm(estimate.foot_vectors, axis=-1, keepdims=True) * lengths
    num_frames = len(estimated)
    frames = np.arange(num_frames)
    result = np.empty_like(estimated)
    for side in range(2):
        flat = estimate.foot_contacts[:, side] * estimate.foot_contacts[:, side + 2]
        system = BandedLeastSquares(num_frames, 2, 3)
        system.add([(frames, 1.0)], estimated[:, side], weights.ankle_offset)
        if num_frames > 2:
            bend = np.diff(estimated[:, side], 2, axis=0)
            columns = [(frames[:-2], 1.0), (frames[1:-1], -2.0), (frames[2:], 1.0)]
            system.add(columns, bend, weights.foot_step)
        still = weights.contact * flat[1:] * flat[:-1]
        system.add([(frames[1:], 1.0), (frames[:-1], -1.0)], np.zeros((num_frames - 1, 3)), still)
        # Only a foot that is nearly level touches with heel and toe; a raised heel may be low and still, too.
        nearness = np.exp(-(((estimated[:, side, 1] - offsets[side, 1]) / _LEVEL_METRES) ** 2))
        level = system.copy()
        level.add(
            [(frames, 1.0)],
            np.broadcast_to(offsets[side], estimated[:, side].shape),
            weights.floor * flat * nearness,
        )
        turned = system.solve()
        turned[:, 1] = level.solve()[:, 1]
        # The length is kept by the part over the floor, so that a level foot stays level.
        height = np.clip(turned[:, 1], -0.999 * lengths[side], 0.999 * lengths[side])
        horizontal = turned[:, [0, 2]] / np.maximum(np.linalg.norm(turned[:, [0, 2]], axis=-1, keepdims=True), 1e-9)
        horizontal *= np.sqrt(lengths[side] ** 2 - height**2)[:, None]
        result[:, side] = np.stack([horizontal[:, 0], height, horizontal[:, 1]], axis=-1)
    return result


def _solve_over_floor(estimate: FootEstimate, weights: FusionWeights, vectors: np.ndarray) -> np.ndarray:
    """Return x and z of root, left and right ankle, `(frames, 3, 2)`; `vectors` `(frames, 2, 2)` point to the toes."""
    system, frames = _root_and_steps(estimate, weights, vectors, [0, 2])
    system.add([(_at(frames, 0), 1.0)], estimate.root_positions[:, [0, 2]], weights.anchor)
    touching = estimate.foot_contacts[1:] * estimate.foot_contacts[:-1]
    turns = np.diff(vectors, axis=0)
    for side in range(2):
        step = [(_at(frames[1:], 1 + side), 1.0), (_at(frames[:-1], 1 + side), -1.0)]
        offset = [(_at(frames, 1 + side), 1.0), (_at(frames, 0), -1.0)]
        system.add(offset, estimate.ankle_offsets[:, side, [0, 2]], weights.ankle_offset)
        system.add(step, np.zeros_like(turns[:, side]), weights.contact * touching[:, side])
        system.add(step, -turns[:, side], weights.contact * touching[:, side + 2])
    return system.solve().reshape(-1, _NUM_UNKNOWNS, 2)


def _solve_heights(
    estimate: FootEstimate, weights: FusionWeights, vectors: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """Return heights of root, left and right ankle, `(frames, 3)`; `vectors` `(frames, 2)` rise to the toes."""
    system, frames = _root_and_steps(estimate, weights, vectors[..., None], [1])
    heights = estimate.root_heights
    system.add([(_at(frames, 0), 1.0)], heights[:, None], weights.root_height)
    rest_heights = skeleton.contact_rest_heights
    # Height of the ankle at which ankle or toe rest.
    wanted = np.stack([rest_heights[:2] + 0 * vectors, rest_heights[2:] - vectors], axis=1)  # (frames, part, side)
    lowest = wanted.max(axis=1)
    for side in range(2):
        ankle = [(_at(frames, 1 + side), 1.0)]
        estimated = heights + estimate.ankle_offsets[:, side, 1]
        system.add(ankle, estimated[:, None], weights.ankle_offset)
        standing = estimate.foot_contacts[:, [side, side + 2]].max(axis=1)
        system.add(ankle, lowest[:, side, None], weights.floor * standing)
    solved = system.solve().reshape(-1, _NUM_UNKNOWNS)
    below = np.zeros(lowest.shape, bool)
    for _ in range(_LIFTING_ROUNDS if weights.floor else 0):
        new = (solved[:, 1:] < lowest) & ~below
        if not new.any():
            break
        for side in range(2):
            system.add([(_at(frames, 1 + side), 1.0)], lowest[:, side, None], weights.floor * new[:, side])
        below |= new
        solved = system.solve().reshape(-1, _NUM_UNKNOWNS)
    if weights.floor:
        solved[:, 1:] = np.maximum(solved[:, 1:], lowest)
    return solved


def _root_and_steps(
    estimate: FootEstimate, weights: FusionWeights, vectors: np.ndarray, axes: list[int]
) -> tuple[BandedLeastSquares, np.ndarray]:
    """Begin a system along some axes with the estimated steps of root, ankles and toes; return it and all frames."""
    num_frames = len(estimate.root_positions)
    frames = np.arange(num_frames)
    system = BandedLeastSquares(_NUM_UNKNOWNS * num_frames, 2 * _NUM_UNKNOWNS - 1, len(axes))
    root_step = [(_at(frames[1:], 0), 1.0), (_at(frames[:-1], 0), -1.0)]
    system.add(root_step, estimate.root_steps[:, axes], weights.root_step)
    turns = np.diff(vectors, axis=0)
    for side in range(2):
        step = [(_at(frames[1:], 1 + side), 1.0), (_at(frames[:-1], 1 + side), -1.0)]
        system.add(step, estimate.foot_steps[:, side][:, axes], weights.foot_step)
        system.add(step, estimate.foot_steps[:, side + 2][:, axes] - turns[:, side], weights.foot_step)
    return system, frames


def _at(frames: np.ndarray, unknown: int) -> np.ndarray:
    return _NUM_UNKNOWNS * frames + unknown


class BandedLeastSquares:
    """Least squares with equations between near unknowns only.

    Args:
        num_unknowns: How many.
        bandwidth: Largest distance of two unknowns in one equation.
        num_sides: Right sides that are solved for with the same equations.
    """

    def __init__(self, num_unknowns: int, bandwidth: int, num_sides: int):
        self.bands = np.zeros((bandwidth + 1, num_unknowns))
        self.right_side = np.zeros((num_unknowns, num_sides))

    def copy(self) -> BandedLeastSquares:
        """Return a copy to which equations can be added."""
        new = BandedLeastSquares(self.bands.shape[1], len(self.bands) - 1, self.right_side.shape[1])
        new.bands[:], new.right_side[:] = self.bands, self.right_side
        return new

    def add(self, columns: list[tuple[np.ndarray, float]], target: np.ndarray, weight: float | np.ndarray) -> None:
        """Add equations `sum_k coefficient_k x[index_k] = target`.

        Args:
            columns: Indices `(equations,)`, each at most once, and their coefficient.
            target: `(equations, sides)`.
            weight: Of the squared error: one, or one for each equation.
        """
        weight = np.broadcast_to(weight, len(target))
        for index, coefficient in columns:
            self.right_side[index] += coefficient * weight[:, None] * target
            for other, other_coefficient in columns:
                if len(index) and other[0] >= index[0]:
                    self.bands[other[0] - index[0], index] += coefficient * other_coefficient * weight

    def solve(self) -> np.ndarray:
        """Return the unknowns, `(unknowns, sides)`."""
        return solveh_banded(self.bands, self.right_side, lower=True)
