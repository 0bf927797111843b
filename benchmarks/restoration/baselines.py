"""Baselines of foot restoration: smoothing, and the foot lock of animation tools."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.signal import savgol_filter

from infinitedance.motion.kinematics import (
    SIDES,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    reach_with_leg,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, PARENTS
from infinitedance.restoration.carry_back import fade_corrections, runs

SAVGOL_FRAMES, SAVGOL_ORDER = 7, 2
FADE_SECONDS = 0.2


def smooth_savgol(motion: Motion) -> Motion:
    """Smooth root path and all rotations by a Savitzky-Golay filter of 7 frames, and detect contacts anew."""
    if motion.num_frames < SAVGOL_FRAMES:
        return motion
    rotations = motion.joint_rotations.astype(np.float64)
    agrees = (rotations[1:] * rotations[:-1]).sum(axis=-1, keepdims=True) >= 0
    rotations[1:] *= np.cumprod(np.where(agrees, 1.0, -1.0), axis=0)  # q and -q are one rotation
    rotations = savgol_filter(rotations, SAVGOL_FRAMES, SAVGOL_ORDER, axis=0)
    root_positions = savgol_filter(motion.root_positions.astype(np.float64), SAVGOL_FRAMES, SAVGOL_ORDER, axis=0)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    smooth = replace(motion, root_positions=root_positions, joint_rotations=rotations, foot_contacts=None)
    contacts = motion.skeleton.detect_foot_contacts(smooth.joint_positions(), motion.frame_rate)
    return replace(smooth, foot_contacts=contacts)


def lock_feet(motion: Motion) -> Motion:
    """Hold each foot at its median place through each run of detected contact, on the floor; fade in between.

    As Holden's and LODGE's post-processing: contacts by height and speed, two-bone inverse kinematics.

    Args:
        motion: A dance on the floor with contacts, as `level_floor` returns it.
    """
    offsets = torch.from_numpy(motion.skeleton.offsets)
    root_positions = torch.from_numpy(motion.root_positions).double()
    positions, rotations = forward_kinematics(motion.joint_rotations_matrix(), root_positions, offsets, PARENTS)
    rotations = rotations.clone()
    contacts = motion.foot_contacts
    if contacts is None:
        raise ValueError("`motion` must have `foot_contacts`: `level_floor` detects them.")
    for index, side in enumerate(SIDES):
        ankle = positions[:, CONTACT_JOINTS[index]].numpy()
        toe_height = positions[:, CONTACT_JOINTS[index + 2], 1].numpy()
        rest_ankle, rest_toe = motion.skeleton.contact_rest_heights[[index, index + 2]]
        corrections = np.zeros_like(ankle)
        standing = contacts[:, index] | contacts[:, index + 2]
        for start, end in runs(standing):
            run = slice(start, end)
            corrections[run] = np.median(ankle[run], axis=0) - ankle[run]
            # The heel rests where it touches, else the toe does.
            on_toes = rest_toe - toe_height[run]
            corrections[run, 1] = np.where(contacts[run, index], rest_ankle - ankle[run, 1], on_toes)
        fade_corrections(corrections, standing, FADE_SECONDS * motion.frame_rate)
        reach_with_leg(side, root_positions, rotations, offsets, torch.from_numpy(ankle + corrections))
    local = local_rotations(rotations, PARENTS)
    return replace(motion, joint_rotations=matrix_to_quaternion(local).numpy())
