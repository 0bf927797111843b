"""`Motion`: a dance, as all parts of this package exchange it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import roma
import torch

from .fingers import FINGER_MIRROR_ORDER, NUM_FINGER_JOINTS, WRISTS, pose_fingers
from .kinematics import forward_kinematics, quaternion_to_matrix
from .skeleton import MIRROR_ORDER, NUM_JOINTS, Skeleton, neutral_skeleton

FRAME_RATE = 30.0
"""Frame rate of features, codes and models, Hz."""
_UNIT_ROUNDING = 1e-6
_STEP_ROUNDING = 1e-6
"""Of a number of frames: 119.9999999 are 120."""


@dataclass(frozen=True)
class Motion:
    """Dance of one person: true joint rotations on a skeleton with bones of fixed length.

    Args:
        frame_rate: Frames per second.
        root_positions: `(frames, 3)`, metres, Y up, the floor at y = 0.
        joint_rotations: `(frames, 22, 4)`, unit quaternions wxyz, local to the parent.
        skeleton: The body that dances.
        foot_contacts: `(frames, 4)` bool, left ankle, right ankle, left foot, right foot; `None` if not known.
        provenance: Where the motion comes from (source, model, seed, license ...), of values that JSON can hold.
        finger_rotations: `(frames, 30, 4)`, unit quaternions wxyz of `fingers.FINGER_JOINT_NAMES`, local to the
            parent, no rotation being a flat hand; `None` if not known.

    Raises:
        ValueError: If shapes do not fit each other, a value is not finite, or a quaternion is not of unit length.
    """

    frame_rate: float
    root_positions: np.ndarray
    joint_rotations: np.ndarray
    skeleton: Skeleton = field(default_factory=neutral_skeleton)
    foot_contacts: np.ndarray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    finger_rotations: np.ndarray | None = None

    def __post_init__(self) -> None:
        root_positions = np.asarray(self.root_positions, dtype=np.float32)
        joint_rotations = np.asarray(self.joint_rotations, dtype=np.float32)
        frames = len(root_positions)
        if not (np.isfinite(self.frame_rate) and self.frame_rate > 0):
            raise ValueError(f"`frame_rate` must be a positive number of frames per second, got {self.frame_rate}.")
        if frames == 0 or root_positions.shape != (frames, 3):
            raise ValueError(f"`root_positions` must have shape (frames >= 1, 3), got {root_positions.shape}.")
        if joint_rotations.shape != (frames, NUM_JOINTS, 4):
            raise ValueError(
                f"`joint_rotations` must have shape ({frames}, {NUM_JOINTS}, 4) for {frames} frames of our 22-joint "
                f"skeleton, got {joint_rotations.shape}. Other skeletons are converted by `retarget`."
            )
        _check_finite("root_positions", root_positions)
        object.__setattr__(self, "root_positions", root_positions)
        object.__setattr__(self, "joint_rotations", _unit_quaternions("joint_rotations", joint_rotations))
        if self.finger_rotations is not None:
            fingers = np.asarray(self.finger_rotations, dtype=np.float32)
            if fingers.shape != (frames, NUM_FINGER_JOINTS, 4):
                raise ValueError(
                    f"`finger_rotations` must have shape ({frames}, {NUM_FINGER_JOINTS}, 4) for {frames} frames of "
                    f"both hands' joints, got {fingers.shape}. Pass `None` for a dance without fingers."
                )
            object.__setattr__(self, "finger_rotations", _unit_quaternions("finger_rotations", fingers))
        if self.foot_contacts is not None:
            contacts = np.asarray(self.foot_contacts, dtype=bool)
            if contacts.shape != (frames, 4):
                raise ValueError(f"`foot_contacts` must have shape ({frames}, 4), got {contacts.shape}.")
            object.__setattr__(self, "foot_contacts", contacts)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.root_positions)

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.frame_rate

    @property
    def is_loop(self) -> bool:
        """Whether the last pose is the first again."""
        cosines = np.abs((self.joint_rotations[0] * self.joint_rotations[-1]).sum(axis=-1))
        return self.num_frames > 2 and bool(cosines.min() > 1 - _UNIT_ROUNDING)

    def joint_rotations_matrix(self) -> torch.Tensor:
        """Return local rotations as matrices, `(frames, 22, 3, 3)`, float64."""
        return quaternion_to_matrix(torch.from_numpy(self.joint_rotations).double())

    def joint_frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Return world positions `(frames, 22, 3)` in metres and rotations `(frames, 22, 3, 3)` of all joints."""
        positions, rotations = forward_kinematics(
            self.joint_rotations_matrix(),
            torch.from_numpy(self.root_positions).double(),
            torch.from_numpy(self.skeleton.offsets),
            self.skeleton.parents,
        )
        return positions.numpy(), rotations.numpy()

    def joint_positions(self) -> np.ndarray:
        """Return world positions of all joints by forward kinematics, `(frames, 22, 3)`, metres, float32."""
        return self.joint_frames()[0].astype(np.float32)

    def finger_positions(self) -> np.ndarray | None:
        """Return world positions of the finger joints and then the fingertips, `(frames, 40, 3)`, metres, float32.

        `None` for a dance without fingers.
        """
        if self.finger_rotations is None:
            return None
        positions, rotations = (values[:, list(WRISTS)] for values in self.joint_frames())
        return pose_fingers(self.finger_rotations, positions, rotations, self.skeleton)[0].astype(np.float32)

    def cut(self, start_frame: int, end_frame: int) -> Motion:
        """Return frames `start_frame` to `end_frame` (exclusive)."""
        if not 0 <= start_frame < end_frame <= self.num_frames:
            raise ValueError(
                f"Frames must satisfy 0 <= start < end <= {self.num_frames}, got {start_frame} to {end_frame}."
            )
        part = slice(start_frame, end_frame)
        return replace(
            self,
            root_positions=self.root_positions[part],
            joint_rotations=self.joint_rotations[part],
            foot_contacts=None if self.foot_contacts is None else self.foot_contacts[part],
            finger_rotations=None if self.finger_rotations is None else self.finger_rotations[part],
        )

    def mirror(self) -> Motion:
        """Return the dance as seen in a mirror: left and right change places."""
        order = list(MIRROR_ORDER)
        flip = np.array([1, 1, -1, -1], dtype=np.float32)
        rotations = self.joint_rotations[:, order] * flip
        fingers = self.finger_rotations
        return replace(
            self,
            root_positions=self.root_positions * np.array([-1, 1, 1], dtype=np.float32),
            joint_rotations=rotations,
            skeleton=replace(self.skeleton, offsets=self.skeleton.offsets[order] * np.array([-1, 1, 1])),
            foot_contacts=None if self.foot_contacts is None else self.foot_contacts[:, [1, 0, 3, 2]],
            finger_rotations=None if fingers is None else fingers[:, list(FINGER_MIRROR_ORDER)] * flip,
        )

    def resample(self, frame_rate: float) -> Motion:
        """Return the motion at another frame rate: slerp for rotations, linear for the root, nearest for contacts.

        The time from the first key to the last one stays, to less than a frame: there is no key after the last one. A
        loop, whose last pose is its first, stays one: where its time is no whole number of frames, it is stretched by
        half a frame at most.
        """
        if frame_rate == self.frame_rate:
            return self
        last = self.num_frames - 1
        num_steps = last * frame_rate / self.frame_rate
        if self.is_loop:
            source_frames: np.ndarray = np.linspace(0, last, max(round(num_steps), 1) + 1)
        else:
            source_frames = np.arange(int(num_steps + _STEP_ROUNDING) + 1) * (self.frame_rate / frame_rate)
            source_frames = np.minimum(source_frames, last)
        before = np.floor(source_frames).astype(int)
        after = np.minimum(before + 1, self.num_frames - 1)
        weight = (source_frames - before).astype(np.float32)
        root = self.root_positions[before] * (1 - weight)[:, None] + self.root_positions[after] * weight[:, None]
        fingers = self.finger_rotations
        return replace(
            self,
            frame_rate=frame_rate,
            root_positions=root,
            joint_rotations=_between(self.joint_rotations, before, after, weight),
            foot_contacts=None
            if self.foot_contacts is None
            else self.foot_contacts[np.round(source_frames).astype(int)],
            finger_rotations=None if fingers is None else _between(fingers, before, after, weight),
        )


def _check_finite(name: str, array: np.ndarray) -> None:
    frames = len(array)
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(frames, -1)).all(1))
        raise ValueError(f"`{name}` holds NaN or infinity in {len(bad)} of {frames} frames, first in {bad[0]}.")


def _unit_quaternions(name: str, quaternions: np.ndarray) -> np.ndarray:
    """Return quaternions `(frames, joints, 4)` of length 1; those that are of unit length stay to the bit."""
    _check_finite(name, quaternions)
    norms = np.linalg.norm(quaternions, axis=-1)
    if np.abs(norms - 1).max() > 1e-3:
        raise ValueError(f"`{name}` must be unit quaternions, got lengths {norms.min()} to {norms.max()}.")
    scale = np.where(np.abs(norms - 1) < _UNIT_ROUNDING, np.float32(1), norms)
    return quaternions / scale[..., None]


def _between(quaternions: np.ndarray, before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate quaternions `(frames, joints, 4)` wxyz between frames `before` and `after` at their own weights."""
    # roma interpolates xyzw; `unitquat_slerp` wants equal hemispheres, which `shortest_arc` sees to.
    first, second = (roma.quat_wxyz_to_xyzw(torch.from_numpy(quaternions[index])) for index in (before, after))
    # One step for each frame: interpolate all pairs at their own weight by scaling the relative rotation vector.
    relative = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(first), second))
    steps = torch.from_numpy(weight)[:, None, None]
    return roma.quat_xyzw_to_wxyz(roma.quat_product(first, roma.rotvec_to_unitquat(relative * steps))).numpy()
