"""Hold feet in contact where they are: less slide, nothing below the floor, by moving legs only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from ..kinematics import forward_kinematics, local_rotations, matrix_to_quaternion, reach_with_leg
from ..motion import Motion
from ..skeleton import CONTACT_JOINTS, PARENTS

# A foot's way is changed so that the sum of these is least: squares of its steps in contact, of the change itself and
# of the change's second difference. Between contacts the change then dies away within some 6 frames.
_SLIDE_WEIGHT = 3.0
_CHANGE_WEIGHT = 0.01
_BEND_WEIGHT = 1.0
_LIFT_RADIUS_FRAMES = 4


def plant_feet(motion: Motion) -> Motion:
    """Hold feet in contact and lift feet out of the floor.

    Each foot is moved as a whole, as little and as smoothly as possible; hip and knee follow by a two-bone solution.
    Root, trunk, arms and the direction of the feet stay as they are. What the dancer means as a glide is fast, hence
    no contact, and stays a glide.

    Args:
        motion: A dance on the floor y = 0 with contacts, as `put_on_floor` returns it.

    Returns:
        The dance with changed legs and its contacts detected anew.

    Raises:
        ValueError: If the motion has no contacts.
    """
    if motion.foot_contacts is None:
        raise ValueError("`motion` must have `foot_contacts`: `put_on_floor` detects them.")
    offsets = torch.from_numpy(motion.skeleton.offsets)
    root_positions = torch.from_numpy(motion.root_positions).double()
    positions, rotations = forward_kinematics(motion.joint_rotations_matrix(), root_positions, offsets, PARENTS)
    rotations = rotations.clone()
    rest_heights = motion.skeleton.contact_rest_heights
    for side, pair in (("left", [0, 2]), ("right", [1, 3])):  # ankle and toe in the order of `CONTACT_JOINTS`
        ankle_and_toe = positions[:, [CONTACT_JOINTS[index] for index in pair]].numpy()
        change = np.zeros_like(ankle_and_toe[:, 0])
        change[:, [0, 2]] = _hold(ankle_and_toe[..., [0, 2]], motion.foot_contacts[:, pair])
        change[:, 1] = _lift(ankle_and_toe[..., 1] - rest_heights[pair])
        target = torch.from_numpy(ankle_and_toe[:, 0] + change)
        reach_with_leg(side, root_positions, rotations, offsets, target)
    local = local_rotations(rotations, PARENTS)
    planted = replace(motion, joint_rotations=matrix_to_quaternion(local).numpy())
    contacts = motion.skeleton.detect_foot_contacts(planted.joint_positions(), motion.frame_rate)
    return replace(planted, foot_contacts=contacts)


def _hold(positions: np.ndarray, contacts: np.ndarray) -> np.ndarray:
    """Return by how much to move a foot over the floor so that it slides less.

    Args:
        positions: Of ankle and toe over the floor, `(frames, 2, 2)`.
        contacts: `(frames, 2)` bool.

    Returns:
        `(frames, 2)`, metres.
    """
    num_frames = len(positions)
    standing = (contacts[1:] & contacts[:-1]).astype(float)
    steps = (np.diff(positions, axis=0) * standing[..., None]).sum(axis=1)
    weights = _SLIDE_WEIGHT * standing.sum(axis=1)
    # The normal equations, as the diagonals of a symmetric band matrix, and their right side.
    bands, right_side = np.zeros((3, num_frames)), np.zeros((num_frames, 2))
    bands[0] += _CHANGE_WEIGHT
    bands[0, :-1] += weights
    bands[0, 1:] += weights
    bands[1, :-1] -= weights
    for shift, factor in enumerate((1.0, -2.0, 1.0)):
        bands[0, shift : shift + num_frames - 2] += _BEND_WEIGHT * factor**2
    bands[1, : num_frames - 2] -= 2 * _BEND_WEIGHT
    bands[1, 1 : num_frames - 1] -= 2 * _BEND_WEIGHT
    bands[2, : num_frames - 2] += _BEND_WEIGHT
    right_side[:-1] += _SLIDE_WEIGHT * steps
    right_side[1:] -= _SLIDE_WEIGHT * steps
    return solveh_banded(bands, right_side, lower=True)


def _lift(clearance: np.ndarray) -> np.ndarray:
    """Return by how much to raise a foot, `(frames,)`: smooth, and nowhere less than it is below the floor.

    Args:
        clearance: Of ankle and toe, `(frames, 2)`, metres above their rest heights.
    """
    depth = np.maximum(0, -clearance.min(axis=1))
    highest = maximum_filter1d(depth, 2 * _LIFT_RADIUS_FRAMES + 1, mode="nearest")
    return gaussian_filter1d(highest, _LIFT_RADIUS_FRAMES / 2, mode="nearest", radius=_LIFT_RADIUS_FRAMES)
