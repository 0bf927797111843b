"""Bring any humanoid animation onto our body: true rotations where the source has them, fitted ones where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from ..kinematics import forward_kinematics, local_rotations, matrix_to_quaternion, reach_with_leg
from ..motion import Motion
from ..skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, Skeleton, neutral_skeleton
from .fitting import check_joint_positions, fit_positions
from .source_animation import SourceAnimation

OWN_BODY_METRES = 1e-4
"""Bones that differ from ours by no more are ours, as written in a text."""

# Joints at the end of a chain: no bone of theirs can be compared, so they share the calibration of their parent.
_END_JOINTS = ("head", "left_wrist", "right_wrist", "left_foot", "right_foot")


def motion_on_our_body(
    source: SourceAnimation, overrides: Mapping[str, str] | None = None, provenance: dict | None = None
) -> Motion | None:
    """Return the dance of a rig that is our neutral body, as our own BVH files are; `None` for any other rig.

    Args:
        source: The rig's animation.
        overrides: Our joint name to the rig's, where `guess_joint_mapping` is wrong.
        provenance: Copied into the result.
    """
    mapping = source.joint_mapping(overrides)
    if len(source.joint_names) != len(JOINT_NAMES) or set(mapping) != set(JOINT_NAMES) or source.joint_translations:
        return None
    joints = [source.joint_names.index(mapping[name]) for name in JOINT_NAMES]
    parents = [joints[parent] for parent in PARENTS[1:]]
    skeleton = neutral_skeleton()
    is_ours = joints[0] == 0 and [source.parents[joint] for joint in joints[1:]] == parents
    if not is_ours or np.abs(source.offsets[joints[1:]] - skeleton.offsets[1:]).max() > OWN_BODY_METRES:
        return None
    about = {**(provenance or {}), "rotations": "source"}
    return Motion(
        source.frame_rate, source.root_positions, source.local_rotations[:, joints], skeleton, provenance=about
    )


def motion_from_rotations(
    source_rotations: torch.Tensor,
    source_joints: dict[str, int],
    joint_positions: np.ndarray,
    frame_rate: float,
    provenance: dict | None = None,
) -> Motion:
    """Express a source's rotations in the rest pose of our skeleton.

    Rigs differ in their rest poses, so that a global rotation of the source and ours differ by a constant turn a
    joint. That constant is the mean (in the sense of Procrustes) of the difference to the rotations that are fitted to
    the joint positions: swing and bend planes fix it, while the twist over time stays the source's own.

    Args:
        source_rotations: Global rotations of the source's joints, `(frames, joints, 3, 3)`.
        source_joints: Index of the source's joint for our joint names; joints left out are fitted.
        joint_positions: Positions of our 22 joints in the source, `(frames, 22, 3)`, metres.
        frame_rate: Hz.
        provenance: Copied into the result.

    Returns:
        The dance on a skeleton with the source's bone lengths.
    """
    fitted = fit_positions(joint_positions, frame_rate, refinement_steps=0)
    _, fitted_global = forward_kinematics(
        fitted.joint_rotations_matrix(),
        torch.zeros(fitted.num_frames, 3, dtype=torch.float64),
        torch.zeros(len(JOINT_NAMES), 3, dtype=torch.float64),
        PARENTS,
    )
    result = fitted_global.clone()
    constants: dict[str, torch.Tensor] = {}
    for name in JOINT_NAMES:
        if name not in source_joints:
            continue
        own = source_rotations[:, source_joints[name]].double()
        parent_name = JOINT_NAMES[PARENTS[JOINT_INDEX[name]]]
        if name in _END_JOINTS and parent_name in constants:
            constants[name] = constants[parent_name]
        else:
            constants[name] = _mean_rotation(own.transpose(-1, -2) @ fitted_global[:, JOINT_INDEX[name]])
        result[:, JOINT_INDEX[name]] = own @ constants[name]
    return replace(
        fitted,
        joint_rotations=matrix_to_quaternion(local_rotations(result, PARENTS)).numpy(),
        provenance={**(provenance or {}), "rotations": "source"},
    )


def _mean_rotation(rotations: torch.Tensor) -> torch.Tensor:
    """Return the rotation nearest to the mean of `(frames, 3, 3)`."""
    left, _, right = torch.linalg.svd(rotations.mean(0))
    sign = torch.ones(3, dtype=rotations.dtype)
    sign[2] = torch.linalg.det(left @ right)
    return left @ torch.diag(sign) @ right


def retarget(motion: Motion, skeleton: Skeleton | None = None) -> Motion:
    """Move a dance to another body: copy rotations, scale the path by leg length, keep the feet where they step.

    Proportions of thigh and shank differ between bodies, so that copied rotations alone let planted feet slide. The
    scaled ankles of the source are therefore reached by a two-bone solution for hips and knees, and the floor is put
    where the feet rest.

    Args:
        motion: A dance on any proportions of our 22 joints.
        skeleton: The new body; our neutral one by default.

    Returns:
        The dance on `skeleton`, the floor at y = 0, contacts detected anew.
    """
    skeleton = skeleton or neutral_skeleton()
    scale = skeleton.leg_length / motion.skeleton.leg_length
    source_offsets, offsets = torch.from_numpy(motion.skeleton.offsets), torch.from_numpy(skeleton.offsets)
    source_positions, global_rotations = forward_kinematics(
        motion.joint_rotations_matrix(), torch.from_numpy(motion.root_positions).double(), source_offsets, PARENTS
    )
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    # Heights count from the rest height of the ankle, where bodies differ more than in proportion.
    raised = skeleton.contact_rest_heights[0] - scale * motion.skeleton.contact_rest_heights[0]
    target = source_positions * scale + torch.tensor([0.0, raised, 0.0])
    root_positions = target[:, hips].mean(1) - global_rotations[:, 0] @ offsets[hips].mean(0)
    global_rotations = global_rotations.clone()
    for side in ("left", "right"):
        reach_with_leg(side, root_positions, global_rotations, offsets, target[:, JOINT_INDEX[f"{side}_ankle"]])
    moved = replace(
        motion,
        skeleton=skeleton,
        root_positions=root_positions.numpy(),
        joint_rotations=matrix_to_quaternion(local_rotations(global_rotations, PARENTS)).numpy(),
        foot_contacts=None,
    )
    return put_on_floor(moved)


def put_on_floor(motion: Motion) -> Motion:
    """Shift a dance vertically so that the feet rest on y = 0, and detect foot contacts."""
    positions = motion.joint_positions()
    floor = motion.skeleton.fit_floor_height(positions)
    positions[..., 1] -= floor
    root_positions = motion.root_positions - np.array([0, floor, 0], dtype=np.float32)
    contacts = motion.skeleton.detect_foot_contacts(positions, motion.frame_rate)
    return replace(motion, root_positions=root_positions, foot_contacts=contacts)


def motion_from_positions(joint_positions: np.ndarray, frame_rate: float, provenance: dict | None = None) -> Motion:
    """Fit our neutral body to joint positions `(frames, 22, 3)`: `fit_positions`, then `retarget`."""
    return retarget(fit_positions(check_joint_positions(joint_positions), frame_rate, provenance=provenance))
