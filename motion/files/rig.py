"""The bones of an exported dance, as formats with a skeleton (glTF, USD, FBX) want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..drawing.body_mesh import rest_positions
from ..fingers import PARENT_JOINTS, finger_offsets
from ..motion import Motion
from ..skeleton import PARENTS
from .bone_names import FINGER_BONE_NAMES, bone_names


@dataclass(frozen=True)
class Rig:
    """Bones in a T-pose without rotations that looks along +Z, Y up, with the toes on the floor, and their keys.

    Args:
        names: Of the bones, parents before children.
        parents: Index of each bone's parent, -1 for the first.
        offsets: `(bones, 3)`, metres, from the parent in the rest pose; of the first bone from the origin.
        rotations: `(frames, bones, 4)`, quaternions wxyz local to the parent, of neighboring frames the nearer sign.
        paths: Bones that move in their parent: `(frames, 3)` each, metres, in place of the offset.
        first_joint: Index of our pelvis; our other joints follow in our order, then those of the fingers.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    paths: dict[int, np.ndarray]
    first_joint: int = 0

    @property
    def rest_positions(self) -> np.ndarray:
        """Where the bones are in the rest pose, `(bones, 3)`, metres."""
        positions = self.offsets.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                positions[bone] += positions[parent]
        return positions

    def children(self, bone: int) -> list[int]:
        """Return the bones that hang on a bone."""
        return [child for child, parent in enumerate(self.parents) if parent == bone]


def export_rig(motion: Motion, preset: str) -> Rig:
    """Return the bones of a dance under the names of a preset of `BONE_NAMES`.

    The pelvis carries the path. Unreal's mannequin has a bone `root` on the floor, from which the engine takes root
    motion: under the preset `unreal` it stands above the pelvis and carries the path over the floor. A dance with
    fingers has their bones after the others.

    Raises:
        ValueError: If there is no such preset.
    """
    names, parents = bone_names(preset), PARENTS
    offsets = motion.skeleton.offsets.copy()
    offsets[0] = [0, motion.skeleton.toe_rest_height - rest_positions(motion.skeleton)[:, 1].min(), 0]
    rotations = _continuous_quaternions(motion.joint_rotations)
    if motion.finger_rotations is not None:
        names, parents = (*names, *FINGER_BONE_NAMES[preset]), (*PARENTS, *PARENT_JOINTS)
        offsets = np.concatenate([offsets, finger_offsets(motion.skeleton)])
        rotations = np.concatenate([rotations, _continuous_quaternions(motion.finger_rotations)], axis=1)
    if preset != "unreal":
        return Rig(names, parents, offsets, rotations, {0: motion.root_positions})
    still = np.zeros((motion.num_frames, 1, 4), dtype=rotations.dtype)
    still[..., 0] = 1
    over_floor = motion.root_positions * np.array([1, 0, 1], dtype=np.float32)
    return Rig(
        ("root", *names),
        (-1, *(parent + 1 for parent in parents)),
        np.concatenate([np.zeros((1, 3)), offsets]),
        np.concatenate([still, rotations], axis=1),
        {0: over_floor, 1: motion.root_positions - over_floor},
        first_joint=1,
    )


def _continuous_quaternions(joint_rotations: np.ndarray) -> np.ndarray:
    """Choose of each quaternion and its negative, which are one rotation, the nearer to the frame before."""
    dots = (joint_rotations[1:] * joint_rotations[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(dots < 0, np.float32(-1), np.float32(1)), axis=0)
    return np.concatenate([joint_rotations[:1], joint_rotations[1:] * signs[..., None]])
