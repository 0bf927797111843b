"""New bodies of movement out of known ones: legs of one dance under the arms of another, larger and smaller poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch

from ...motion.motion import Motion
from ...motion.skeleton import JOINT_NAMES, PARENTS


def _descendants(name: str) -> list[int]:
    """Return a joint and all that hang on it."""
    joints = [JOINT_NAMES.index(name)]
    for joint, parent in enumerate(PARENTS):
        if parent in joints and joint not in joints:
            joints.append(joint)
    return joints


UPPER_BODY = tuple(_descendants("spine1"))


def recombine(lower: Motion, upper: Motion) -> Motion:
    """Put the spine, arms and head of one dance on the pelvis and legs of another.

    Args:
        lower: Gives root, legs and length.
        upper: Gives the local rotations from the lowest spine joint up; repeated there and back if it is shorter.

    Returns:
        A dance of the length of `lower`, without contacts.

    Raises:
        ValueError: If the two have other bodies or frame rates.
    """
    if lower.skeleton != upper.skeleton or lower.frame_rate != upper.frame_rate:
        raise ValueError(
            "`lower` and `upper` must have one skeleton and frame rate: `retarget` and `resample` bring them there."
        )
    there_and_back = np.concatenate([np.arange(upper.num_frames), np.arange(upper.num_frames)[::-1]])
    frames = np.resize(there_and_back, lower.num_frames)
    rotations = lower.joint_rotations.copy()
    rotations[:, UPPER_BODY] = upper.joint_rotations[frames][:, UPPER_BODY]
    fingers = None if upper.finger_rotations is None else upper.finger_rotations[frames]
    return replace(lower, joint_rotations=rotations, foot_contacts=None, finger_rotations=fingers)


def scale_poses(motion: Motion, joints: tuple[int, ...], factor: float) -> Motion:
    """Enlarge or reduce how far some joints turn away from their mean rotation.

    Args:
        motion: A dance.
        joints: Indices of joints.
        factor: 1 changes nothing, 0 holds the mean.

    Returns:
        The dance, without contacts.
    """
    quaternions = roma.quat_wxyz_to_xyzw(torch.from_numpy(motion.joint_rotations[:, joints]).double())
    # The mean of rotations that are not far apart: the first eigenvector of their outer products.
    products = torch.einsum("tja,tjb->jab", quaternions, quaternions)
    mean = torch.linalg.eigh(products)[1][..., -1].expand_as(quaternions)
    away = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(mean), quaternions))
    scaled = roma.quat_product(mean, roma.rotvec_to_unitquat(factor * away))
    rotations = motion.joint_rotations.copy()
    rotations[:, joints] = roma.quat_xyzw_to_wxyz(scaled).float().numpy()
    return replace(motion, joint_rotations=rotations, foot_contacts=None)
