"""The bones of an exported dance, as formats with a skeleton (glTF, USD, FBX) want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch

from ..drawing.body_mesh import rest_positions
from ..fingers import BONES_OF_FINGER, PARENT_JOINTS, finger_offsets, fingertip_offsets
from ..kinematics import matrix_to_quaternion
from ..motion import Motion
from ..skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS, Skeleton
from .bone_names import FINGER_BONE_NAMES, bone_names

# Of joints with several children the one that their bone ends at, and where the ends of the body point.
_BONE_ENDS = {"pelvis": "spine1", "spine3": "neck"}
_END_DIRECTIONS = {"head": (0.0, 1.0, 0.0), "foot": (0.0, 0.0, 1.0)}
_FORWARD, _UP = np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
_NO_TURN = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Rig:
    """Bones in a T-pose that looks along +Z, Y up, with the toes on the floor, and their keys.

    Args:
        names: Of the bones, parents before children.
        parents: Index of each bone's parent, -1 for the first.
        rest_positions: `(bones, 3)`, metres, where the bones begin in the rest pose.
        rest_rotations: `(bones, 4)`, quaternions wxyz in the world, how the bones' axes lie there.
        rotations: `(frames, bones, 4)`, quaternions wxyz local to the parent, of neighboring frames the nearer sign.
        paths: Bones that move: where they are in their parent, `(frames, 3)` each, metres.
        first_joint: Index of our pelvis; our other joints follow in our order, then those of the fingers.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest_positions: np.ndarray
    rest_rotations: np.ndarray
    rotations: np.ndarray
    paths: dict[int, np.ndarray]
    first_joint: int = 0

    @property
    def local_rest(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions `(bones, 3)` in metres and rotations `(bones, 4)` wxyz of the bones at rest in their parents."""
        parents = np.array(self.parents[1:])
        positions, rotations = self.rest_positions.copy(), self.rest_rotations.copy()
        inverse = _inverse(rotations[parents])
        rotations[1:] = _product(inverse, rotations[1:])
        positions[1:] = _turned(inverse, positions[1:] - positions[parents])
        return positions, rotations

    @property
    def bind_matrices(self) -> np.ndarray:
        """Where the bones are at rest, `(bones, 4, 4)`, their axes and their beginnings in metres as columns."""
        matrices = np.tile(np.eye(4), (len(self.names), 1, 1))
        matrices[:, :3, :3] = roma.unitquat_to_rotmat(_xyzw(self.rest_rotations)).numpy()
        matrices[:, :3, 3] = self.rest_positions
        return matrices

    def children(self, bone: int) -> list[int]:
        """Return the bones that hang on a bone."""
        return [child for child, parent in enumerate(self.parents) if parent == bone]


def export_rig(motion: Motion, preset: str, *, along_limbs: bool = True) -> Rig:
    """Return the bones of a dance under the names of a preset of `BONE_NAMES`.

    The pelvis carries the path. Unreal's mannequin has a bone `root` on the floor, from which the engine takes root
    motion: under the preset `unreal` it stands above the pelvis and carries the path over the floor. A dance with
    fingers has their bones after the others.

    Args:
        motion: The dance.
        preset: Of names.
        along_limbs: Turn the axes of each bone so that it points to the next one along its own +Y, which is what
            Blender takes for its direction; elbows, knees and fingers bend about X. Otherwise no bone is turned at
            rest.

    Raises:
        ValueError: If there is no such preset.
    """
    names, parents = bone_names(preset), PARENTS
    rest = rest_positions(motion.skeleton)
    rest[:, 1] += standing_height(motion.skeleton)
    rotations = continuous_quaternions(motion.joint_rotations)
    if motion.finger_rotations is not None:
        names, parents = (*names, *FINGER_BONE_NAMES[preset]), (*PARENTS, *PARENT_JOINTS)
        for offset, parent in zip(finger_offsets(motion.skeleton), PARENT_JOINTS, strict=True):
            rest = np.concatenate([rest, [rest[parent] + offset]])
        rotations = np.concatenate([rotations, continuous_quaternions(motion.finger_rotations)], axis=1)
    axes = np.tile(_NO_TURN, (len(names), 1))
    if along_limbs:
        axes = _axes_along(_bone_directions(motion.skeleton, rest))
    paths = {0: motion.root_positions}
    has_root = preset == "unreal"
    if has_root:
        # Its bone points forward: where it pointed at the pelvis, Blender would connect the two in an FBX, and take
        # no path of the pelvis.
        names, parents = ("root", *names), (-1, *(parent + 1 for parent in parents))
        rest, axes = np.concatenate([np.zeros((1, 3)), rest]), np.concatenate([_axes_along(_FORWARD[None]), axes])
        rotations = np.concatenate([np.broadcast_to(_NO_TURN, (motion.num_frames, 1, 4)), rotations], axis=1)
        over_floor = motion.root_positions * np.array([1, 0, 1], dtype=np.float32)
        paths = {0: over_floor, 1: _turned(_inverse(axes[:1]), motion.root_positions - over_floor)}
    before = np.concatenate([_NO_TURN[None], axes[list(parents[1:])]])
    keys = _product(_product(_inverse(before), rotations), axes).astype(np.float32)
    return Rig(names, parents, rest, axes, keys, paths, first_joint=int(has_root))


def standing_height(skeleton: Skeleton) -> float:
    """Return the height of the pelvis above the floor in the rest pose, metres."""
    return float(skeleton.toe_rest_height - rest_positions(skeleton)[:, 1].min())


def _bone_directions(skeleton: Skeleton, rest: np.ndarray) -> np.ndarray:
    """Return where the bones of the rest pose `(bones, 3)` point, `(bones, 3)`, of any length."""
    directions = np.zeros_like(rest)
    for joint, name in enumerate(skeleton.joint_names):
        children = [child for child in range(1, NUM_JOINTS) if PARENTS[child] == joint]
        if children:
            directions[joint] = rest[JOINT_INDEX.get(_BONE_ENDS.get(name, ""), children[0])] - rest[joint]
        else:  # a hand goes on along the forearm
            end = _END_DIRECTIONS.get(name.rpartition("_")[2])
            directions[joint] = rest[joint] - rest[PARENTS[joint]] if end is None else end
    for joint in range(len(rest) - NUM_JOINTS):
        finger, bone = divmod(joint, BONES_OF_FINGER)
        place = NUM_JOINTS + joint
        is_last = bone == BONES_OF_FINGER - 1
        directions[place] = fingertip_offsets(skeleton)[finger] if is_last else rest[place + 1] - rest[place]
    return directions


def _axes_along(directions: np.ndarray) -> np.ndarray:
    """Return rotations `(bones, 4)` wxyz whose +Y points along directions `(bones, 3)`, and +Z forward or up.

    Fingers bend toward the palm and feet toward the shin, so that their +Z is the one that was up.
    """
    y = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    is_finger = np.arange(len(y)) >= NUM_JOINTS
    z = np.where((is_finger | (np.abs(y @ _FORWARD) > 0.7))[:, None], _UP, _FORWARD)
    z = z - (z * y).sum(axis=-1, keepdims=True) * y
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    return matrix_to_quaternion(torch.from_numpy(np.stack([np.cross(y, z), y, z], axis=-1))).numpy()


def _xyzw(quaternions: np.ndarray) -> torch.Tensor:
    return roma.quat_wxyz_to_xyzw(torch.from_numpy(np.asarray(quaternions, dtype=np.float64)))


def _inverse(quaternions: np.ndarray) -> np.ndarray:
    return quaternions * np.array([1.0, -1.0, -1.0, -1.0])


def _turned(quaternions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Turn vectors `(..., 3)` by quaternions `(..., 4)` wxyz."""
    turns = torch.broadcast_to(_xyzw(quaternions), (*vectors.shape[:-1], 4))
    return roma.quat_action(turns, torch.from_numpy(np.asarray(vectors, dtype=np.float64))).numpy()


def _product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Multiply quaternions `(..., 4)` wxyz."""
    left, right = torch.broadcast_tensors(_xyzw(first), _xyzw(second))
    return roma.quat_xyzw_to_wxyz(roma.quat_product(left, right)).numpy()


def continuous_quaternions(rotations: np.ndarray) -> np.ndarray:
    """Choose of each of `(frames, ..., 4)` and its negative, one rotation, the nearer to the frame before."""
    dots = (rotations[1:] * rotations[:-1]).sum(axis=-1)
    signs = np.cumprod(np.where(dots < 0, np.float32(-1), np.float32(1)), axis=0)
    return np.concatenate([rotations[:1], rotations[1:] * signs[..., None]])
