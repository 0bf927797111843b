"""The 22-joint body that dances, and when its feet touch the floor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

Array = TypeVar("Array", bound=Any)
"""A numpy array or a tensor."""

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
NUM_JOINTS = len(JOINT_NAMES)
JOINT_INDEX: dict[str, int] = {name: index for index, name in enumerate(JOINT_NAMES)}

CONTACT_JOINTS: tuple[int, ...] = tuple(
    JOINT_INDEX[name] for name in ("left_ankle", "right_ankle", "left_foot", "right_foot")
)
"""Joints of the four `foot_contacts` columns, in that order."""

MIRROR_ORDER: tuple[int, ...] = tuple(
    JOINT_INDEX[name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_")]
    for name in JOINT_NAMES
)
"""Index of the joint on the other side of the body."""

CONTACT_HEIGHT_METRES = 0.05
CONTACT_SPEED_METRES_PER_SECOND = 0.35
TOE_REST_HEIGHT_METRES = 0.02

# Segment lengths as fractions of the body height: Drillis and Contini (1966), as printed in Winter, "Biomechanics and
# Motor Control of Human Movement": thigh .245, shank .246, ankle height .039, upper arm .186, forearm .146, shoulder
# height .818, half of the shoulder breadth .129 less the deltoid. The spine is divided at its lumbar part.
_NEUTRAL_OFFSETS: dict[str, tuple[float, float, float]] = {
    "pelvis": (0.0, 0.0, 0.0),
    "left_hip": (0.088, -0.07, 0.0),
    "spine1": (0.0, 0.10, 0.0),
    "left_knee": (0.0, -0.4165, 0.0),
    "spine2": (0.0, 0.13, 0.0),
    "left_ankle": (0.0, -0.4180, 0.0),
    "spine3": (0.0, 0.06, 0.0),
    "left_foot": (0.0, -0.046, 0.13),
    "neck": (0.0, 0.20, 0.0),
    "left_collar": (0.06, 0.12, 0.0),
    "head": (0.0, 0.09, 0.02),
    "left_shoulder": (0.12, 0.01, 0.0),
    "left_elbow": (0.316, 0.0, 0.0),
    "left_wrist": (0.248, 0.0, 0.0),
}


@dataclass(frozen=True)
class Skeleton:
    """Bones of fixed length in a rest pose (a T-pose that looks along +Z, Y up, the left arm along +X).

    Args:
        offsets: `(22, 3)`, metres. Position of each joint relative to its parent while nothing is rotated.
        toe_rest_height: Height of the toe joint above the floor in a standing pose, metres.

    Raises:
        ValueError: If `offsets` is not a finite `(22, 3)` array.
    """

    offsets: np.ndarray
    toe_rest_height: float = TOE_REST_HEIGHT_METRES
    joint_names: tuple[str, ...] = field(default=JOINT_NAMES, init=False)
    parents: tuple[int, ...] = field(default=PARENTS, init=False)

    def __post_init__(self) -> None:
        offsets = np.asarray(self.offsets, dtype=np.float64)
        if offsets.shape != (NUM_JOINTS, 3) or not np.isfinite(offsets).all():
            raise ValueError(f"`offsets` must be finite and have shape ({NUM_JOINTS}, 3), got {offsets.shape}.")
        object.__setattr__(self, "offsets", offsets)

    def __eq__(self, other: object) -> bool:
        """Compare by value."""
        return (
            isinstance(other, Skeleton)
            and np.array_equal(self.offsets, other.offsets)
            and self.toe_rest_height == other.toe_rest_height
        )

    @property
    def bone_lengths(self) -> np.ndarray:
        """Length of the bone that ends at each joint, `(22,)`, metres; 0 for the root."""
        return np.linalg.norm(self.offsets, axis=-1)

    @property
    def leg_length(self) -> float:
        """Mean length of thigh plus shank, metres."""
        lengths = self.bone_lengths
        return float(sum(lengths[JOINT_INDEX[name]] for name in JOINT_NAMES if name.endswith(("knee", "ankle"))) / 2)

    @property
    def contact_rest_heights(self) -> np.ndarray:
        """Height of the `CONTACT_JOINTS` above the floor on a flat foot, `(4,)`, metres."""
        toe_offsets = self.offsets[[JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 1]
        return np.concatenate([self.toe_rest_height - toe_offsets, np.full(2, self.toe_rest_height)])

    def fit_floor_height(self, joint_positions: np.ndarray, quantile: float = 0.05) -> float:
        """Estimate where the floor is: the height at which the lower of both feet rests in the lowest moments.

        A low quantile over time instead of the minimum keeps single bad frames from lifting the dancer off the floor.

        Args:
            joint_positions: `(frames, 22, 3)`, metres, Y up.
            quantile: Share of frames that may lie below the floor.

        Returns:
            Height of the floor in metres; subtract it from all heights.
        """
        clearance = joint_positions[:, list(CONTACT_JOINTS), 1] - self.contact_rest_heights
        return float(np.quantile(clearance.min(axis=1), quantile))

    def detect_foot_contacts(
        self,
        joint_positions: np.ndarray,
        frame_rate: float,
        height_threshold: float = CONTACT_HEIGHT_METRES,
        speed_threshold: float = CONTACT_SPEED_METRES_PER_SECOND,
    ) -> np.ndarray:
        """Mark joints of the feet that are low and slow: `detect_contacts` with the rest heights of this body.

        Args:
            joint_positions: `(frames, 22, 3)`, metres, the floor at y = 0.
            frame_rate: Hz.
            height_threshold: Metres above the rest height.
            speed_threshold: Metres per second.

        Returns:
            `(frames, 4)` bool in the order of `CONTACT_JOINTS`.
        """
        feet = joint_positions[:, list(CONTACT_JOINTS)]
        return detect_contacts(feet, frame_rate, self.contact_rest_heights, height_threshold, speed_threshold)

    def scaled(self, factor: float) -> Skeleton:
        """Return the same body `factor` times as large."""
        return replace(self, offsets=self.offsets * factor, toe_rest_height=self.toe_rest_height * factor)


def neutral_skeleton() -> Skeleton:
    """Return our neutral body of 1.70 m, made of published anthropometric proportions (docs/data_format.md)."""
    offsets = np.zeros((NUM_JOINTS, 3))
    for name, offset in _NEUTRAL_OFFSETS.items():
        offsets[JOINT_INDEX[name]] = offset
        if name.startswith("left_"):
            offsets[JOINT_INDEX[name.replace("left_", "right_")]] = (-offset[0], offset[1], offset[2])
    return Skeleton(offsets)


def detect_contacts(
    feet_positions: np.ndarray,
    frame_rate: float,
    rest_heights: np.ndarray,
    height_threshold: float = CONTACT_HEIGHT_METRES,
    speed_threshold: float = CONTACT_SPEED_METRES_PER_SECOND,
) -> np.ndarray:
    """Mark joints of the feet of any body that are low and slow; the speed is that of central differences.

    Args:
        feet_positions: `(frames, feet, 3)`, metres, Y up.
        frame_rate: Hz.
        rest_heights: Of each joint while its foot is flat on the floor, `(feet,)`, metres.
        height_threshold: Metres above the rest height.
        speed_threshold: Metres per second.

    Returns:
        `(frames, feet)` bool.
    """
    velocity = np.gradient(feet_positions, axis=0) if len(feet_positions) > 1 else np.zeros_like(feet_positions)
    speeds = np.linalg.norm(velocity, axis=-1) * frame_rate
    return is_low_and_slow(feet_positions[..., 1], speeds, rest_heights, height_threshold, speed_threshold)


def is_low_and_slow(
    heights: Array,
    speeds: Array,
    rest_heights: Array,
    height_threshold: float = CONTACT_HEIGHT_METRES,
    speed_threshold: float = CONTACT_SPEED_METRES_PER_SECOND,
) -> Array:
    """Return which joints touch the floor, by heights in metres and speeds in m/s; arrays or tensors of one shape."""
    return (heights < rest_heights + height_threshold) & (speeds < speed_threshold)
