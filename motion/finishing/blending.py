"""Tools of this folder: slow a dance down, move it over the floor, lead one pose into another on standing feet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from torch.nn.functional import normalize

from ..features import facing_heading
from ..fingers import flat_fingers
from ..kinematics import (
    SIDES,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    quaternion_to_matrix,
    reach_with_leg,
    shortest_rotation,
    yaw_to_matrix,
)
from ..motion import Motion
from ..skeleton import JOINT_INDEX, PARENTS, Skeleton

HIPS = [JOINT_INDEX[f"{side}_hip"] for side in SIDES]
KNEES = [JOINT_INDEX[f"{side}_knee"] for side in SIDES]
ANKLES = [JOINT_INDEX[f"{side}_ankle"] for side in SIDES]
TOES = [JOINT_INDEX[f"{side}_foot"] for side in SIDES]
LEAST_BEND = 0.06
"""Sine of the angle between thigh and leg."""
_MAX_TWIST_RADIANS = np.radians(45)
_LEAST_STEP_METRES = 0.02
_STEP_HEIGHT_SHARE = 0.3
_STEP_HEIGHT_METRES = 0.07


@dataclass(frozen=True)
class Feet:
    """Where both feet are.

    Args:
        toes: Of the balls of the left and the right foot, `(frames, 2, 3)`, metres.
        rotations: Of the feet in the world, `(frames, 2, 3, 3)`.
    """

    toes: np.ndarray
    rotations: np.ndarray

    def at(self, frame: int) -> Feet:
        """Return one frame, with the frames' axis."""
        return Feet(self.toes[frame : frame + 1], self.rotations[frame : frame + 1])

    def ankles(self, skeleton: Skeleton) -> np.ndarray:
        """Return where the ankles are, `(frames, 2, 3)`, metres."""
        return self.toes - (self.rotations @ skeleton.offsets[TOES][..., None])[..., 0]

    def yaws(self) -> np.ndarray:
        """Return where the feet point, `(frames, 2)`, radians about +Y: what is left when they are laid flat."""
        quaternions = matrix_to_quaternion(torch.from_numpy(self.rotations)).numpy()
        return 2 * np.arctan2(quaternions[..., 2], quaternions[..., 0])


@dataclass(frozen=True)
class FloorMove:
    """Rigid move over the floor: a turn about +Y at the origin, then a shift.

    Args:
        yaw: Radians, +Z turns toward +X.
        shift: `(3,)`, metres; its height is 0.
    """

    yaw: float
    shift: np.ndarray

    def __call__(self, motion: Motion) -> Motion:
        """Return the motion as a whole moved."""
        if self.yaw == 0 and not self.shift.any():
            return motion
        turn = self._matrix()
        rotations = motion.joint_rotations.copy()
        root = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
        rotations[:, 0] = matrix_to_quaternion(torch.from_numpy(turn) @ root).numpy()
        root_positions = motion.root_positions.astype(np.float64) @ turn.T + self.shift
        return replace(motion, root_positions=root_positions, joint_rotations=rotations)

    def _matrix(self) -> np.ndarray:
        return yaw_to_matrix(torch.tensor(self.yaw, dtype=torch.float64)).numpy()

    @classmethod
    def onto(cls, yaw: float, source: np.ndarray, target: np.ndarray) -> FloorMove:
        """Return the move that turns by `yaw`, radians, and brings point `source` over `target`, `(3,)` each."""
        shift = target - yaw_to_matrix(torch.tensor(yaw, dtype=torch.float64)).numpy() @ source
        return cls(float(yaw), shift * np.array([1.0, 0.0, 1.0]))


STAYS = FloorMove(0.0, np.zeros(3))


def feet_of(motion: Motion) -> Feet:
    """Return where the feet of a motion are."""
    positions, rotations = motion.joint_frames()
    return Feet(positions[:, TOES], rotations[:, ANKLES])


def hip_positions(motion: Motion) -> np.ndarray:
    """Return where both hips are, `(frames, 2, 3)`, metres."""
    pelvis = quaternion_to_matrix(torch.from_numpy(motion.joint_rotations[:, 0]).double()).numpy()
    return motion.root_positions[:, None] + motion.skeleton.offsets[HIPS] @ pelvis.transpose(0, 2, 1)


def with_feet(motion: Motion, feet: Feet, least_bend: float | np.ndarray = 0.0) -> Motion:
    """Return the motion with its feet put to other places; hips and knees follow, toes keep their bend.

    Args:
        motion: Any motion.
        feet: Where its feet are to be; beyond the legs' reach they get as near as they can.
        least_bend: How far knees are in front of the line from hip to ankle at least: the sine of the angle between
            thigh and leg, one or `(frames,)`. `LEAST_BEND` where feet move much: a generated leg that looks straight
            often is bent backward by a degree or two, and a shorter step would show it.
    """
    offsets = torch.from_numpy(motion.skeleton.offsets)
    root_positions = torch.from_numpy(motion.root_positions).double()
    local = motion.joint_rotations_matrix()
    positions, rotations = forward_kinematics(local, root_positions, offsets, PARENTS)
    rotations = rotations.clone()
    ankles = torch.from_numpy(feet.ankles(motion.skeleton))
    bends = torch.from_numpy(np.broadcast_to(least_bend, motion.num_frames).astype(np.float64))
    for index, side in enumerate(SIDES):
        foot = torch.from_numpy(np.ascontiguousarray(feet.rotations[:, index]))
        aims = ankles[:, index] - positions[:, HIPS[index]]
        _aim_leg(positions, rotations, (HIPS[index], KNEES[index], ANKLES[index]), aims, bends)
        rotations[:, ANKLES[index]] = foot
        rotations[:, TOES[index]] = foot @ local[:, TOES[index]]
        reach_with_leg(side, root_positions, rotations, offsets, ankles[:, index])
    return replace(motion, joint_rotations=matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy())


def _aim_leg(
    positions: torch.Tensor,
    rotations: torch.Tensor,
    leg_joints: tuple[int, int, int],
    aims: torch.Tensor,
    least_bend: torch.Tensor,
) -> None:
    """Turn a leg as a whole toward where its ankle is to be, so that its knee stays bent to the same side.

    Args:
        positions: `(frames, 22, 3)`, metres, as they were.
        rotations: Global, `(frames, 22, 3, 3)`; changed in place.
        leg_joints: Hip, knee and ankle.
        aims: From hip to ankle, `(frames, 3)`, metres.
        least_bend: See `with_feet`, `(frames,)`.
    """
    hip, knee, ankle = leg_joints
    turns = shortest_rotation(positions[:, ankle] - positions[:, hip], aims)
    rotations[:, hip], rotations[:, knee] = turns @ rotations[:, hip], turns @ rotations[:, knee]
    thigh = normalize((turns @ (positions[:, knee] - positions[:, hip])[..., None])[..., 0], dim=-1)
    leg, forward = normalize(aims, dim=-1), rotations[:, hip, :, 2]
    forward = normalize(forward - (forward * leg).sum(-1, keepdim=True) * leg, dim=-1)
    missing = (least_bend - (thigh * forward).sum(-1)).clamp_min(0) * (least_bend > 0)
    rotations[:, hip] = shortest_rotation(thigh, thigh + missing[:, None] * forward) @ rotations[:, hip]


def sample_at(motion: Motion, source_frames: np.ndarray) -> Motion:
    """Return the poses at fractional frames, `(frames,)`; contacts are dropped."""
    source_frames = np.clip(source_frames, 0, motion.num_frames - 1)
    before = np.floor(source_frames).astype(int)
    after = np.minimum(before + 1, motion.num_frames - 1)
    return blend(take(motion, before), take(motion, after), source_frames - before)


def take(motion: Motion, frames: np.ndarray | list[int]) -> Motion:
    """Return the poses of some frames, in their order; contacts are dropped."""
    return replace(
        motion,
        root_positions=motion.root_positions[frames],
        joint_rotations=motion.joint_rotations[frames],
        foot_contacts=None,
        finger_rotations=None if motion.finger_rotations is None else motion.finger_rotations[frames],
    )


def blend(first: Motion, second: Motion, weights: np.ndarray) -> Motion:
    """Blend two motions frame by frame: roots on a line, rotations on the shortest way.

    Args:
        first: At weight 0.
        second: At weight 1, with as many frames.
        weights: `(frames,)`.
    """
    weights = np.asarray(weights, dtype=np.float64)
    rotations = _between(first.joint_rotations, second.joint_rotations, weights)
    root_positions = first.root_positions + (second.root_positions - first.root_positions) * weights[:, None]
    fingers = _fingers_of([first, second])
    return replace(
        first,
        root_positions=root_positions,
        joint_rotations=rotations,
        finger_rotations=None if fingers is None else _between(fingers[0], fingers[1], weights),
    )


def lead_over(first: Motion, second: Motion, weights: np.ndarray, second_feet: Feet | None = None) -> Motion:
    """Blend two motions so that a foot which stands in the same place in both does not move.

    A foot that has to go elsewhere makes a step there, raised on its way.

    Args:
        first: At weight 0.
        second: At weight 1, with as many frames.
        weights: `(frames,)`, rising.
        second_feet: Where the feet of `second` are meant to be, if not where they are.
    """
    feet = feet_of(first)
    targets = feet_of(second) if second_feet is None else second_feet
    ways = np.linalg.norm((targets.toes[-1] - feet.toes[-1])[:, [0, 2]], axis=-1)
    heights = np.where(ways > _LEAST_STEP_METRES, np.minimum(_STEP_HEIGHT_SHARE * ways, _STEP_HEIGHT_METRES), 0)
    toes = feet.toes + (targets.toes - feet.toes) * weights[:, None, None]
    toes[..., 1] += heights * (4 * weights * (1 - weights))[:, None]
    quaternions = [matrix_to_quaternion(torch.from_numpy(foot.rotations)).numpy() for foot in (feet, targets)]
    rotations = quaternion_to_matrix(torch.from_numpy(_between(quaternions[0], quaternions[1], weights)))
    bends = LEAST_BEND * np.minimum(1, 8 * weights * (1 - weights))
    return with_feet(blend(first, second, weights), Feet(toes, rotations.numpy()), bends)


def _between(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return quaternions on the way between two, `(frames, joints, 4)` wxyz, by weights `(frames,)`.

    It is the shortest one in the middle frame, and does not change to the other way round before or after it.
    """
    starts, ends = (roma.quat_wxyz_to_xyzw(torch.from_numpy(array).double()) for array in (first, second))
    way = _without_flips(roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(starts), ends)))
    steps = roma.rotvec_to_unitquat(way * torch.from_numpy(weights)[:, None, None])
    return roma.quat_xyzw_to_wxyz(roma.quat_product(starts, steps)).numpy()


def _without_flips(ways: torch.Tensor) -> torch.Tensor:
    """Return turns, `(frames, joints, 3)` rotation vectors, each on the way round that is next to its neighbor's."""
    if ((ways[1:] - ways[:-1]).norm(dim=-1) <= torch.pi).all():
        return ways
    ways = ways.clone()
    middle = len(ways) // 2
    neighbors = [(frame, frame - 1) for frame in range(middle + 1, len(ways))]
    neighbors += [(frame, frame + 1) for frame in range(middle - 1, -1, -1)]
    for frame, neighbor in neighbors:
        rounds = normalize(ways[frame], dim=-1) * 2 * torch.pi
        choices = torch.stack([ways[frame], ways[frame] - rounds, ways[frame] + rounds])
        nearest = (choices - ways[neighbor]).norm(dim=-1).argmin(dim=0)
        ways[frame] = choices[nearest, torch.arange(ways.shape[1])]
    return ways


def joined(pieces: list[Motion]) -> Motion:
    """Return motions one after the other; contacts are dropped."""
    fingers = _fingers_of(pieces)
    return replace(
        pieces[0],
        root_positions=np.concatenate([piece.root_positions for piece in pieces]),
        joint_rotations=np.concatenate([piece.joint_rotations for piece in pieces]),
        foot_contacts=None,
        finger_rotations=None if fingers is None else np.concatenate(fingers),
    )


def _fingers_of(pieces: list[Motion]) -> list[np.ndarray] | None:
    """Return the fingers of motions that become one, flat where one has none; `None` if none has any."""
    if all(piece.finger_rotations is None for piece in pieces):
        return None
    return [
        flat_fingers(piece.num_frames) if piece.finger_rotations is None else piece.finger_rotations
        for piece in pieces
    ]


def move_to_go_on(pose: Motion, goal: Motion, foot: int) -> FloorMove:
    """Return the move of a dance that lets it go on from a pose.

    Args:
        pose: One frame: where the dancer is.
        goal: One frame of the dance.
        foot: 0 for the left one, which then stands where it stands in the pose.

    Returns:
        The foot keeps its direction, too, unless the body had to turn by more than 45 degrees above it.
    """
    feet, goal_feet = feet_of(pose), feet_of(goal)
    headings = [facing_heading(frame.joint_positions(), frame.frame_rate)[0] for frame in (pose, goal)]
    turn = wrapped(headings[0] - headings[1])
    twist = wrapped(feet.yaws()[0, foot] - goal_feet.yaws()[0, foot] - turn)
    yaw = turn + np.clip(twist, -_MAX_TWIST_RADIANS, _MAX_TWIST_RADIANS)
    return FloorMove.onto(yaw, goal_feet.toes[0, foot], feet.toes[0, foot])


def with_contacts_like(motion: Motion, original: Motion) -> Motion:
    """Detect the contacts of a motion if the original had contacts."""
    if original.foot_contacts is None:
        return replace(motion, foot_contacts=None)
    contacts = motion.skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
    return replace(motion, foot_contacts=contacts)


def smoothstep(values: np.ndarray) -> np.ndarray:
    """Rise smoothly from 0 at 0 to 1 at 1, and stay there."""
    values = np.clip(values, 0, 1)
    return values * values * (3 - 2 * values)


def wrapped(angles: np.ndarray | float) -> np.ndarray:
    """Return angles, radians, as their equals from -pi to pi."""
    return (np.asarray(angles) + np.pi) % (2 * np.pi) - np.pi
