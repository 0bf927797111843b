"""The 264 motion channels of the authors' release, from joints and back to joints and to a dance on our body.

| channels | content |
|---|---|
| 0 | height of the root, m |
| 1 | heading since the first frame, as half of the angle |
| 2 | turn of the heading to the next frame, as half of the angle |
| 3, 4 | step of the root over the floor to the next frame, x and z in the heading frame of that frame, m |
| 5 to 67 | 21 joints, relative to the root's floor point in the heading frame, m |
| 68 to 193 | 21 joints x 6: turn of each bone from its raw axis, without twist, relative to the bone before it |
| 194 to 259 | step of 22 joints to the next frame in the heading frame, m |
| 260 to 263 | whether left ankle, left toe, right ankle and right toe are slow |

30 rows a second. The convention is HumanML3D's with other contacts; a heading here is the angle that turns the dancer
to +Z, so it has the other sign of ours. What the body looks like is not published: joints are brought to the bone
lengths that are given.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from .files.joint_arrays import joints_from_root_and_ric
from .kinematics import matrix_to_rotation_6d, shortest_rotation, yaw_to_matrix
from .motion import FRAME_RATE, Motion
from .retargeting.fitting import check_joint_positions, fit_positions
from .retargeting.retargeting import retarget
from .skeleton import NUM_JOINTS, neutral_skeleton

NUM_RELEASE_FEATURES = 264
HEADING_SMOOTHING_FRAMES = 20
CONTACT_SQUARED_METRES = 0.002
"""A foot that moves by less to the next frame, squared, is taken to stand: 1.34 m/s, at any height."""

_CHAINS = ((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20))
_RAW_AXES = ("", *"+x -x +y -y -y +y -y -y +y +z +z +y +x -x +z -y -y -y -y -y -y".split())
_FEET = (7, 10, 8, 11)


def raw_offsets() -> np.ndarray:
    """Return the axis along which each bone lies in the raw pose, `(22, 3)`; zero for the root."""
    offsets = np.zeros((NUM_JOINTS, 3))
    for joint, axis in enumerate(_RAW_AXES):
        if axis:
            offsets[joint, "xyz".index(axis[1])] = 1.0 if axis[0] == "+" else -1.0
    return offsets


def joints_to_features264(joint_positions: np.ndarray, bone_lengths: np.ndarray | None = None) -> np.ndarray:
    """Convert joints to the release's 264 channels.

    A heading that passes half a turn goes on, where the original's turns back by twice the step.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up, 30 frames a second.
        bone_lengths: Of the bone that ends at each joint, `(22,)`, metres; those of our neutral body by default, as
            the original's are not published.

    Returns:
        `(frames - 1, 264)` float32: a row needs the frame after it.

    Raises:
        ValueError: If the shape is wrong, a value is not finite, or there is only one frame.
    """
    positions = check_joint_positions(joint_positions)
    if len(positions) < 2:
        raise ValueError("`joint_positions` must have at least 2 frames, as a row needs the frame after it, got 1.")
    lengths = neutral_skeleton().bone_lengths if bone_lengths is None else np.asarray(bone_lengths, np.float64)
    if lengths.shape != (NUM_JOINTS,):
        raise ValueError(f"`bone_lengths` must have shape ({NUM_JOINTS},), got {lengths.shape}.")
    positions = _standing_at_origin(_with_bone_lengths(positions, lengths))
    heading = _smooth_heading(positions)
    to_heading = yaw_to_matrix(torch.from_numpy(-heading))
    joints = torch.from_numpy(positions)
    steps = joints.diff(dim=0)
    root_steps = torch.einsum("tij,tj->ti", to_heading[1:], steps[:, 0])
    local = joints[:, 1:] - joints[:, :1] * torch.tensor([1.0, 0.0, 1.0])
    bones = _bone_rotations(joints, to_heading)[:, 1:]
    half_turn = torch.from_numpy(-np.diff(heading) / 2)
    is_slow = steps[:, list(_FEET)].square().sum(-1) < CONTACT_SQUARED_METRES
    blocks = [
        joints[:-1, 0, 1:2],
        torch.nn.functional.pad(half_turn[:-1].cumsum(0), (1, 0))[:, None],
        half_turn[:, None],
        root_steps[:, [0, 2]],
        torch.einsum("tij,tkj->tki", to_heading, local)[:-1].flatten(1),
        matrix_to_rotation_6d(bones)[:-1].flatten(1),
        torch.einsum("tij,tkj->tki", to_heading[:-1], steps).flatten(1),
        is_slow.double(),
    ]
    return torch.cat(blocks, dim=-1).float().numpy()


def features264_to_joints(features: np.ndarray) -> np.ndarray:
    """Recover joints from the release's channels, which must not be normalized.

    Args:
        features: `(frames, 264)`; only height, turn, step and relative positions are read.

    Returns:
        `(frames, 22, 3)`, metres, Y up; the first frame stands at x = z = 0.

    Raises:
        ValueError: If the shape is wrong or a value is not finite.
    """
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] != NUM_RELEASE_FEATURES or not len(features):
        raise ValueError(f"`features` must have shape (frames, {NUM_RELEASE_FEATURES}), got {features.shape}.")
    if not np.isfinite(features).all():
        raise ValueError("`features` must be finite, they hold NaN or infinity.")
    return joints_from_root_and_ric(features)


def features264_to_motion(features: np.ndarray) -> Motion:
    """Fit our neutral body to the joints of the release's channels.

    Args:
        features: As of `features264_to_joints`.

    Returns:
        The dance at 30 frames a second, one frame a row, with rotations that are fitted.

    Raises:
        ValueError: As `features264_to_joints`, or if joints lie on each other.
    """
    motion = retarget(fit_positions(features264_to_joints(features), FRAME_RATE))
    return replace(motion, provenance={"rotations": "fitted"})


def _with_bone_lengths(positions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Give a body bones of other lengths along the same directions; its path is scaled by the length of its legs."""
    own = [np.linalg.norm(positions[0, child] - positions[0, parent]) for parent, child in ((2, 5), (5, 8))]
    scale = (lengths[5] + lengths[8]) / sum(own)
    result = np.zeros_like(positions)
    result[:, 0] = scale * positions[:, 0]
    for chain in _CHAINS:
        for parent, child in zip(chain[:-1], chain[1:], strict=True):
            bone = positions[:, child] - positions[:, parent]
            length = np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-12)
            result[:, child] = result[:, parent] + lengths[child] * bone / length
    return result


def _standing_at_origin(positions: np.ndarray) -> np.ndarray:
    """Put the lowest joint of the clip on the floor and the first root over the origin, and face +Z at first."""
    origin = positions[0, 0] * np.array([1.0, 0.0, 1.0])
    origin[1] = positions[..., 1].min()
    hips, shoulders = _across(positions[0])
    turn = yaw_to_matrix(torch.tensor(-_heading(hips + shoulders))).numpy()
    return (positions - origin) @ turn.T


def _smooth_heading(positions: np.ndarray) -> np.ndarray:
    """Return the heading that features are relative to, `(frames,)`, radians; 0 at first.

    It is that of the shoulders *less* the hips, which stand the wrong way round in the original.
    """
    hips, shoulders = _across(positions)
    across = shoulders - hips
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    heading = _heading(gaussian_filter1d(across, HEADING_SMOOTHING_FRAMES, axis=0, mode="nearest"))
    heading[0] = 0.0
    return np.unwrap(heading)


def _across(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ways from right to left hip and shoulder, `(..., 3)` each."""
    return positions[..., 1, :] - positions[..., 2, :], positions[..., 16, :] - positions[..., 17, :]


def _heading(across: np.ndarray) -> np.ndarray:
    """Return where a body faces whose left is along `across (..., 3)`: radians about +Y, 0 along +Z."""
    return np.arctan2(-across[..., 2], across[..., 0])


def _bone_rotations(joints: torch.Tensor, to_heading: torch.Tensor) -> torch.Tensor:
    """Return the least rotation of each bone from its raw axis, relative to the one before it in its chain.

    Every chain begins with the heading, also those of the arms, which leave the spine.

    Args:
        joints: `(frames, 22, 3)`.
        to_heading: `(frames, 3, 3)`.

    Returns:
        `(frames, 22, 3, 3)`; identity for the root.
    """
    axes = torch.from_numpy(raw_offsets())
    local = torch.eye(3, dtype=joints.dtype).expand(*joints.shape[:2], 3, 3).clone()
    for chain in _CHAINS:
        before = to_heading
        for parent, child in zip(chain[:-1], chain[1:], strict=True):
            turn = shortest_rotation(axes[child], joints[:, child] - joints[:, parent])
            local[:, child] = before.transpose(-1, -2) @ turn
            before = turn
    return local
