"""A dancer whose feet slide though they should stand, and a restorer that knows where they should."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.kinematics import forward_kinematics, local_rotations, matrix_to_quaternion, reach_with_leg
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import JOINT_INDEX, PARENTS, neutral_skeleton
from infinitedance.restoration.pipeline_frdm import RestoredMotion

SIDES = ("left", "right")


def make_sliding(num_frames: int = 60, frame_rate: float = 30.0, scale: float = 1.0) -> Motion:
    """Return a dancer with bent knees who sways, turns the hips, and waves: stiff legs drag both feet along."""
    seconds = np.arange(num_frames) / frame_rate
    vectors = np.zeros((num_frames, 22, 3))
    for side in SIDES:
        vectors[:, JOINT_INDEX[f"{side}_hip"], 0] = -0.5
        vectors[:, JOINT_INDEX[f"{side}_knee"], 0] = 1.0
        vectors[:, JOINT_INDEX[f"{side}_ankle"], 0] = -0.5
    vectors[:, 0, 1] = 0.1 * np.sin(4 * seconds)
    vectors[:, JOINT_INDEX["left_shoulder"], 2] = np.sin(3 * seconds)
    vectors[:, JOINT_INDEX["neck"], 1] = 0.5 * np.cos(2 * seconds)
    root = np.stack([0.05 * np.sin(2 * seconds), 0.9 + 0 * seconds, 0.04 * np.cos(3 * seconds)], axis=1)
    rotations = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(torch.from_numpy(vectors))).numpy()
    return put_on_floor(Motion(frame_rate, scale * root, rotations, neutral_skeleton().scaled(scale)))


def hold_feet(motion: Motion, **options) -> RestoredMotion:
    """Raise the root by 1 cm and let both feet stand where they are in the first frame."""
    offsets = torch.from_numpy(motion.skeleton.offsets)
    root = torch.from_numpy(motion.root_positions).double()
    positions, rotations = forward_kinematics(motion.joint_rotations_matrix(), root, offsets, PARENTS)
    root = root + torch.tensor([0.0, 0.01, 0.0])
    rotations = rotations.clone()
    for side in SIDES:
        for part in ("ankle", "foot"):
            joint = JOINT_INDEX[f"{side}_{part}"]
            rotations[:, joint] = rotations[0, joint]
        ankle = positions[:1, JOINT_INDEX[f"{side}_ankle"]].expand(len(root), 3)
        reach_with_leg(side, root, rotations, offsets, ankle)
    local = local_rotations(rotations, PARENTS)
    contacts = (
        np.ones((motion.num_frames, 4), bool) if options.get("foot_contacts") is None else options["foot_contacts"]
    )
    return RestoredMotion(
        replace(
            motion,
            root_positions=root.numpy(),
            joint_rotations=matrix_to_quaternion(local).numpy(),
            foot_contacts=contacts,
        ),
        None,
    )


@pytest.fixture
def sliding() -> Motion:
    return make_sliding()
