"""`SourceAnimation`: the animation of a foreign rig, as a file gave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from ..kinematics import quaternion_to_matrix
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS, neutral_skeleton
from .joint_mapping import OPTIONAL_JOINTS, guess_joint_mapping, path_to_root

ON_NEIGHBOR_METRES = 0.005
"""A joint nearer to the next one lies on it: no bone of a body is so short."""


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

    def joint_mapping(self, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return our joint name to the rig's; see `guess_joint_mapping`.

        Raises:
            JointMappingError: If the rig cannot be mapped.
        """
        on_parent = {
            joint
            for joint in range(1, len(self.parents))
            if np.linalg.norm(self.offsets[joint]) < ON_NEIGHBOR_METRES and joint not in self.joint_translations
        }
        return guess_joint_mapping(self.joint_names, self.parents, overrides, on_parent)

    def to_body(self, overrides: Mapping[str, str] | None = None) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Find our body in the posed rig.

        A joint of ours that the rig may lack and that lies on its neighbor is as good as absent: what it turns, turns
        with the next joint below it. Of a rig whose root is not above the pelvis (a headset, a foot) the joints
        between turn the bones above them, not those below: their positions are used, their rotations are not.

        Args:
            overrides: Our joint name to the rig's, where `guess_joint_mapping` is wrong.

        Returns:
            Positions of our 22 joints `(frames, 22, 3)` in metres (those that the rig lacks are placed by the
            proportions of our neutral body), global rotations of the rig's joints `(frames, joints, 3, 3)`, and the
            index of the rig's joint for each of ours that it has: what `motion_from_rotations` takes.

        Raises:
            JointMappingError: If the rig cannot be mapped.
        """
        mapping = self.joint_mapping(overrides)
        source_joints = {ours: self.joint_names.index(theirs) for ours, theirs in mapping.items()}
        positions, rotations = self.pose()
        body = {ours: positions[:, joint] for ours, joint in source_joints.items()}
        for name in joints_on_neighbors(body):
            del body[name], source_joints[name]
        self._spread_hips(body, rotations, source_joints)
        for side in ("left", "right"):
            if f"{side}_foot" not in body:
                ankle = source_joints[f"{side}_ankle"]
                toe = rotations[:, ankle] @ self._toe_offset(ankle, source_joints)
                body[f"{side}_foot"] = body[f"{side}_ankle"] + toe
        place_missing_trunk(body)
        reversed_joints = set(self.joints_above_pelvis(source_joints))
        kept = {ours: joint for ours, joint in source_joints.items() if ours not in reversed_joints}
        return np.stack([body[name] for name in JOINT_NAMES], axis=1), rotations, kept

    def joints_above_pelvis(self, source_joints: Mapping[str, int]) -> list[str]:
        """Return our joints that lie between the rig's root and its pelvis, but for a chest that carries arms."""
        above = set(path_to_root(source_joints["pelvis"], self.parents)[1:])
        arm = path_to_root(source_joints["left_shoulder"], self.parents)
        kept = {"head", *(("spine3",) if source_joints["spine3"] in arm else ())}
        return [ours for ours, joint in source_joints.items() if joint in above and ours not in kept]

    def rest_positions(self) -> np.ndarray:
        """Return where the joints are while nothing is rotated, `(joints, 3)`, the root at the origin."""
        rest = np.zeros((len(self.parents), 3))
        for joint, parent in enumerate(self.parents[1:], start=1):
            rest[joint] = rest[parent] + self.offsets[joint]
        return rest

    def _spread_hips(
        self, body: dict[str, np.ndarray], rotations: np.ndarray, source_joints: Mapping[str, int]
    ) -> None:
        """Move legs that begin in one point apart, as far as those of our neutral body."""
        if _apart(body["left_hip"], body["right_hip"]) > ON_NEIGHBOR_METRES:
            return
        rest = self.rest_positions()
        left = rest[source_joints["left_shoulder"]] - rest[source_joints["right_shoulder"]]
        neutral = neutral_skeleton()
        leg = _apart(body["left_hip"], body["left_knee"]) + _apart(body["left_knee"], body["left_ankle"])
        width = neutral.offsets[JOINT_INDEX["left_hip"], 0] * leg / neutral.leg_length
        shift = rotations[:, source_joints["pelvis"]] @ (width * left / max(np.linalg.norm(left), 1e-9))
        for side, sign in (("left", 1), ("right", -1)):
            for part in ("hip", "knee", "ankle", "foot"):
                if f"{side}_{part}" in body:
                    body[f"{side}_{part}"] = body[f"{side}_{part}"] + sign * shift

    def _toe_offset(self, ankle: int, source_joints: dict[str, int]) -> np.ndarray:
        """Return the toe in the frame of an ankle without toe joint: its tip, or a neutral foot that points ahead."""
        if ankle in self.end_sites and np.linalg.norm(self.end_sites[ankle][0]) > 0.03:
            return self.end_sites[ankle][0]
        rest = self.rest_positions()
        left, right, up = (rest[source_joints[name]] for name in ("left_hip", "right_hip", "spine3"))
        upward = up - (left + right) / 2
        forward = np.cross(left - right, upward)
        if np.linalg.norm(forward) < ON_NEIGHBOR_METRES**2:  # legs that begin in one point
            left, right = (rest[source_joints[f"{side}_shoulder"]] for side in ("left", "right"))
            forward = np.cross(left - right, upward)
        neutral = neutral_skeleton().offsets[JOINT_INDEX["left_foot"]]
        return neutral[1] * upward / np.linalg.norm(upward) + neutral[2] * forward / np.linalg.norm(forward)


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.median(np.linalg.norm(first - second, axis=-1)))


def joints_on_neighbors(body: Mapping[str, np.ndarray]) -> list[str]:
    """Return joints that a rig may lack and that lie on the next joint toward the pelvis or away from it.

    Args:
        body: Positions `(frames, 3)`, metres, by our joint names.
    """
    dropped: list[str] = []
    for child in JOINT_NAMES[1:]:
        if child not in body or child in dropped:
            continue
        parent = JOINT_NAMES[PARENTS[JOINT_INDEX[child]]]
        while parent not in body or parent in dropped:
            parent = JOINT_NAMES[PARENTS[JOINT_INDEX[parent]]]
        if _apart(body[child], body[parent]) < ON_NEIGHBOR_METRES:
            optional = (*OPTIONAL_JOINTS, *(("neck",) if "head" in body else ()))
            dropped += [name for name in (child, parent) if name in optional][:1]
    return dropped


def place_missing_trunk(body: dict[str, np.ndarray]) -> None:
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
