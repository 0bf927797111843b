"""`SourceAnimation`: the animation of a foreign rig, as a file gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ..kinematics import quaternion_to_matrix
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS, neutral_skeleton
from .joint_mapping import guess_joint_mapping


@dataclass(frozen=True)
class SourceAnimation:
    """Animation on any rig.

    Args:
        frame_rate: Hz.
        joint_names: Names of the joints, parents before children.
        parents: Index of each joint's parent, -1 for the root, which is joint 0.
        offsets: `(joints, 3)`, metres. Position of each joint in its parent's frame.
        root_positions: `(frames, 3)`, metres, Y up.
        local_rotations: `(frames, joints, 4)`, unit quaternions wxyz, local to the parent.
        joint_translations: For joints that slide in their parent's frame: `(frames, 3)`, metres, instead of an offset.
        end_sites: For joints with tips: `(tips, 3)`, metres, in the joint's frame.

    Raises:
        ValueError: If shapes do not fit each other or a value is not finite.
    """

    frame_rate: float
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    root_positions: np.ndarray
    local_rotations: np.ndarray
    joint_translations: dict[int, np.ndarray] = field(default_factory=dict)
    end_sites: dict[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frames, joints = len(self.root_positions), len(self.joint_names)
        for name, shape in (
            ("offsets", (joints, 3)),
            ("root_positions", (frames, 3)),
            ("local_rotations", (frames, joints, 4)),
        ):
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"`{name}` must have shape {shape}, got {array.shape}.")
            if not np.isfinite(array).all():
                raise ValueError(f"`{name}` holds NaN or infinity.")
        if (
            len(self.parents) != joints
            or self.parents[0] != -1
            or any(not 0 <= parent < joint for joint, parent in enumerate(self.parents) if joint)
        ):
            raise ValueError(f"`parents` must be -1 for joint 0 and point back for all others, got {self.parents}.")
        if frames == 0:
            raise ValueError("An animation needs at least one frame.")

    def pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Pose the rig by forward kinematics.

        Returns:
            World positions `(frames, joints, 3)` in metres and global rotations `(frames, joints, 3, 3)`.
        """
        local = quaternion_to_matrix(torch.from_numpy(self.local_rotations)).numpy()
        positions = np.empty((*local.shape[:2], 3))
        rotations = np.empty_like(local)
        for joint, parent in enumerate(self.parents):
            if parent < 0:
                positions[:, joint], rotations[:, joint] = self.root_positions, local[:, joint]
                continue
            offset = self.joint_translations.get(joint, self.offsets[joint])
            positions[:, joint] = positions[:, parent] + np.einsum(
                "tij,tj->ti", rotations[:, parent], np.broadcast_to(offset, self.root_positions.shape)
            )
            rotations[:, joint] = rotations[:, parent] @ local[:, joint]
        return positions, rotations

    def to_body(self, overrides: Mapping[str, str] | None = None) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Find our body in the posed rig.

        Args:
            overrides: Our joint name to the rig's, where `guess_joint_mapping` is wrong.

        Returns:
            Positions of our 22 joints `(frames, 22, 3)` in metres (those that the rig lacks are placed by the
            proportions of our neutral body), global rotations of the rig's joints `(frames, joints, 3, 3)`, and the
            index of the rig's joint for each of ours that it has: what `motion_from_rotations` takes.

        Raises:
            JointMappingError: If the rig cannot be mapped.
        """
        mapping = guess_joint_mapping(self.joint_names, self.parents, overrides)
        source_joints = {ours: self.joint_names.index(theirs) for ours, theirs in mapping.items()}
        positions, rotations = self.pose()
        body = {ours: positions[:, joint] for ours, joint in source_joints.items()}
        for side in ("left", "right"):
            if f"{side}_foot" not in body:
                ankle = source_joints[f"{side}_ankle"]
                toe = rotations[:, ankle] @ self._toe_offset(ankle, source_joints)
                body[f"{side}_foot"] = body[f"{side}_ankle"] + toe
        _place_missing_trunk(body)
        return np.stack([body[name] for name in JOINT_NAMES], axis=1), rotations, source_joints

    def _toe_offset(self, ankle: int, source_joints: dict[str, int]) -> np.ndarray:
        """Return the toe in the frame of an ankle without toe joint: its tip, or a neutral foot that points ahead."""
        if ankle in self.end_sites and np.linalg.norm(self.end_sites[ankle][0]) > 0.03:
            return self.end_sites[ankle][0]
        rest = np.zeros((len(self.parents), 3))
        for joint, parent in enumerate(self.parents[1:], start=1):
            rest[joint] = rest[parent] + self.offsets[joint]
        left, right, up = (rest[source_joints[name]] for name in ("left_hip", "right_hip", "spine3"))
        upward = up - (left + right) / 2
        forward = np.cross(left - right, upward)
        neutral = neutral_skeleton().offsets[JOINT_INDEX["left_foot"]]
        return neutral[1] * upward / np.linalg.norm(upward) + neutral[2] * forward / np.linalg.norm(forward)


def _place_missing_trunk(body: dict[str, np.ndarray]) -> None:
    """Place trunk joints that a rig lacks between those that it has, in the proportions of our neutral body."""
    rest = np.zeros((NUM_JOINTS, 3))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        rest[joint] = rest[parent] + neutral_skeleton().offsets[joint]
    height = {name: rest[JOINT_INDEX[name], 1] for name in JOINT_NAMES}

    def place(name: str, below: str, above: str) -> None:
        if name not in body:
            share = (height[name] - height[below]) / (height[above] - height[below])
            body[name] = (1 - share) * body[below] + share * body[above]

    place("spine1", "pelvis", "spine3")
    place("spine2", "spine1", "spine3")
    place("neck", "spine3", "head") if "head" in body else place("head", "spine3", "neck")
    for side in ("left", "right"):
        if f"{side}_collar" not in body:
            # A third of the way from the breast bone to the shoulder, as in our neutral body.
            chest = 0.4 * body["spine3"] + 0.6 * body["neck"]
            body[f"{side}_collar"] = (2 * chest + body[f"{side}_shoulder"]) / 3
