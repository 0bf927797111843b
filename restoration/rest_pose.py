"""Find the rest pose that many files show before the dance begins."""

from __future__ import annotations

import numpy as np

from ..motion.kinematics import SIDES
from ..motion.skeleton import JOINT_INDEX

_STILL_METRES, _LEAP_METRES, _LEAP_RATIO, _COMPARED_STEPS = 1e-3, 0.03, 3.0, 10
"""Mean steps of all joints from frame to frame, around the pelvis: of a pose that stays, and of a leap out of it."""
_T_POSE_COSINE = 0.94
"""Of 20 degrees."""
_AT_REST = 1e-5
"""How far the real parts of quaternions are from 1."""


def count_bind_frames(joint_positions: np.ndarray, local_rotations: np.ndarray) -> int:
    """Count the leading frames that show a T-pose, or the rig's own rest pose, and leap from there into the dance.

    Args:
        joint_positions: Of our joints, `(frames, 22, 3)`, metres.
        local_rotations: Of the rig, `(frames, joints, 4)`, wxyz.
    """
    pose = joint_positions[:, 1:] - joint_positions[:, :1]
    steps = np.linalg.norm(np.diff(pose, axis=0), axis=-1).mean(axis=-1)
    leaps = np.flatnonzero(steps > _STILL_METRES)
    if len(leaps) == 0 or leaps[0] + 2 >= len(pose):
        return 0
    leap = int(leaps[0])
    following = steps[leap + 1 : leap + 1 + _COMPARED_STEPS].max()
    is_leap = steps[leap] > max(_LEAP_METRES, _LEAP_RATIO * following)
    is_at_rest = np.abs(local_rotations[leap, 1:, 0]).min() > 1 - _AT_REST
    return leap + 1 if is_leap and (is_at_rest or _is_t_pose(joint_positions[leap])) else 0


def _is_t_pose(joint_positions: np.ndarray) -> bool:
    """Return whether straight arms point to the sides and straight legs down, `(22, 3)`."""

    def direction(start: str, end: str) -> np.ndarray:
        vector = joint_positions[JOINT_INDEX[end]] - joint_positions[JOINT_INDEX[start]]
        return vector / max(np.linalg.norm(vector), 1e-9)

    left, down = direction("right_hip", "left_hip"), np.array([0.0, -1.0, 0.0])
    bones = [
        (direction(f"{side}_{start}", f"{side}_{end}"), axis)
        for side, sign in zip(SIDES, (1.0, -1.0), strict=True)
        for start, end, axis in (
            ("shoulder", "elbow", sign * left),
            ("elbow", "wrist", sign * left),
            ("hip", "knee", down),
            ("knee", "ankle", down),
        )
    ]
    return all(bone @ axis > _T_POSE_COSINE for bone, axis in bones)
