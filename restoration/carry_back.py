"""Carry repaired legs from our body at 30 Hz back onto the rig they came from, at its own frame rate.

The root is shifted, and each ankle is moved, by what the repair moved them on our body, scaled by the length of the
legs; hip and knee follow by a two-bone solution on the rig's own bones, whose lengths never change. Feet in contact
are then held on the rig itself, since its feet have other proportions than ours. Nothing above the hips is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch
from scipy.interpolate import PchipInterpolator

from ..motion.feet.grounding import Floor, find_floor
from ..motion.kinematics import SIDES, matrix_to_quaternion, shortest_rotation, solve_two_bones
from ..motion.motion import FRAME_RATE, Motion
from ..motion.retargeting.retargeting import motion_from_rotations, retarget
from ..motion.retargeting.source_animation import SourceAnimation
from ..motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, neutral_skeleton
from .rest_pose import count_bind_frames

LEG_PARTS = ("hip", "knee", "ankle", "foot")
_FADE_SECONDS = 0.2
"""Time in which what holds a foot in contact dies away before and after it."""
STANDING_METRES = 0.01
"""Height of standing feet over their rest heights in captures whose floor is at 0: heels rise, feet are not flat."""
LYING_METRES = 0.3
"""The floor of a file is believed if the dancer is never upright and the feet are no farther from it."""
_STRAIGHT_METRES = 1e-3
"""A knee nearer to the line from hip to ankle does not show to which side it bends."""
_SAME_ROTATION = 1e-5
"""Radians, and entries of a matrix: less is the rounding of single precision."""


@dataclass(frozen=True)
class PlacedRig:
    """Rig, and its dance on our body with the floor at y = 0.

    Args:
        source: The rig as its file has it, metres, Y up.
        source_joints: Index of the rig's joint for our joint names.
        joint_positions: Of our joints in the rig, `(frames, 22, 3)`, metres of the rig.
        motion: The dance on our neutral body at the rig's frame rate.
        metres_per_source_metre: Ratio of the leg lengths.
        floor_height: Of the rig's floor, metres of the rig; 0 where only the file can tell.
        floor: Under `motion`: at a height of 0 in its middle, and level or not.
        bind_frames: Leading frames that show the rest pose of the rig and are no part of the dance.
    """

    source: SourceAnimation
    source_joints: dict[str, int]
    joint_positions: np.ndarray
    motion: Motion
    metres_per_source_metre: float
    floor_height: float
    floor: Floor
    bind_frames: int = 0

    def without_bind_frames(self) -> PlacedRig:
        """Return the rig with its dance alone."""
        if not self.bind_frames:
            return self
        source, dance = self.source, slice(self.bind_frames, None)
        cut = replace(
            source,
            root_positions=source.root_positions[dance],
            local_rotations=source.local_rotations[dance],
            joint_translations={joint: moves[dance] for joint, moves in source.joint_translations.items()},
        )
        motion = self.motion.cut(self.bind_frames, self.motion.num_frames)
        return replace(self, source=cut, joint_positions=self.joint_positions[dance], motion=motion, bind_frames=0)


@dataclass(frozen=True)
class RigChange:
    """Change of a rig by a repair; every other value of it stays.

    Args:
        moved_joint: The joint whose translation carries the body.
        translation: `(frames, 3)`, metres in the frame of that joint's parent, to be added.
        rotations: New local rotations, `(frames, 4)` wxyz, for each joint that turns otherwise than before.
        first_frame: Frames before it are as they were.
    """

    moved_joint: int
    translation: np.ndarray
    rotations: dict[int, np.ndarray]
    first_frame: int = 0

    def after_bind_frames(self, rig: PlacedRig) -> RigChange:
        """Return this change of `rig.without_bind_frames()` as one of the whole rig, whose first frames stay."""
        first = rig.bind_frames
        own = rig.source.local_rotations[:first]
        rotations = {joint: np.concatenate([own[:, joint], new]) for joint, new in self.rotations.items()}
        return RigChange(self.moved_joint, np.pad(self.translation, ((first, 0), (0, 0))), rotations, first)

    def apply(self, source: SourceAnimation) -> SourceAnimation:
        """Return the changed rig."""
        local = source.local_rotations.copy()
        for joint, rotations in self.rotations.items():
            local[:, joint] = rotations
        if self.moved_joint == 0:
            return replace(source, local_rotations=local, root_positions=source.root_positions + self.translation)
        own = source.joint_translations.get(self.moved_joint, source.offsets[self.moved_joint])
        moved = {**source.joint_translations, self.moved_joint: own + self.translation}
        return replace(source, local_rotations=local, joint_translations=moved)


def place_rig(source: SourceAnimation, overrides: Mapping[str, str] | None = None) -> PlacedRig:
    """Bring a foreign rig onto our body and find its floor.

    Args:
        source: The rig.
        overrides: Our joint name to the rig's, where `guess_joint_mapping` is wrong.

    Raises:
        JointMappingError: If the rig has no feet, or another joint cannot be found.
    """
    positions, rotations, source_joints = source.to_body(overrides)
    body = motion_from_rotations(torch.from_numpy(rotations), source_joints, positions, source.frame_rate)
    return _placed(source, source_joints, positions, body)


def place_motion(motion: Motion) -> PlacedRig:
    """Bring a dance on any proportions of our joints onto our body and find its floor."""
    source = SourceAnimation(
        motion.frame_rate,
        JOINT_NAMES,
        PARENTS,
        motion.skeleton.offsets,
        motion.root_positions.astype(np.float64),
        motion.joint_rotations.astype(np.float64),
    )
    return _placed(source, dict(JOINT_INDEX), motion.joint_positions().astype(np.float64), motion)


def _placed(source: SourceAnimation, source_joints: dict[str, int], positions: np.ndarray, body: Motion) -> PlacedRig:
    neutral = neutral_skeleton()
    scale = neutral.leg_length / body.skeleton.leg_length
    moved = body if body.skeleton == neutral else retarget(body)
    bind_frames = count_bind_frames(positions, source.local_rotations)
    floor = find_floor(moved.cut(bind_frames, moved.num_frames))
    height = np.array([0.0, floor.point[1], 0.0])
    motion = replace(moved, root_positions=moved.root_positions - height, foot_contacts=None)
    ankles = [JOINT_INDEX[f"{side}_ankle"] for side in SIDES]
    shift = np.median(motion.joint_positions()[:, ankles, 1] - scale * positions[:, ankles, 1])
    raised = neutral.contact_rest_heights[0] - scale * body.skeleton.contact_rest_heights[0]
    floor_height = float(raised - shift - STANDING_METRES) / scale
    if not floor.is_stood_on and abs(floor_height) < LYING_METRES:
        floor_height = 0.0
    floor = replace(floor, point=floor.point - height)
    return PlacedRig(source, source_joints, positions, motion, scale, floor_height, floor, bind_frames)


def carry_back(
    rig: PlacedRig,
    before: Motion,
    after: Motion,
    foot_contacts: np.ndarray,
    *,
    moved_joint: int = 0,
    lock_strength: float = 1.0,
    floor_shift: float = 0.0,
) -> RigChange:
    """Find what a repair on our body changes in the rig.

    Args:
        rig: From `place_rig` or `place_motion`.
        before: `rig.motion` at 30 Hz.
        after: The same, repaired.
        foot_contacts: `(frames, 4)` bool at the rig's frame rate, in the order of `CONTACT_JOINTS`.
        moved_joint: The rig's joint that carries the body: the pelvis or one above it.
        lock_strength: From 0 to 1: how firmly feet are held where they touch.
        floor_shift: Metres of the rig by which the whole body is raised.

    Raises:
        ValueError: If both motions are not of the same length at 30 Hz.
    """
    if before.num_frames != after.num_frames or {before.frame_rate, after.frame_rate} != {FRAME_RATE}:
        raise ValueError(
            f"Both motions must have the same frames at {FRAME_RATE:g} Hz, got {before.num_frames} at "
            f"{before.frame_rate:g} Hz and {after.num_frames} at {after.frame_rate:g} Hz."
        )
    change = _BodyChange(rig, before, after)
    _, rotations = rig.source.pose()
    raised = np.array([0.0, floor_shift, 0.0])
    root_shift = change.positions[:, 0] + raised
    new = dict[int, np.ndarray]()  # global rotations of the joints that turn
    pelvis = rig.source_joints["pelvis"]
    if change.turns("pelvis"):
        new[pelvis] = change.rotations[:, 0] @ rotations[:, pelvis]
    for side in SIDES:
        new |= _leg_rotations(rig, side, change, rotations, root_shift, raised, foot_contacts, lock_strength)
    return RigChange(moved_joint, _in_parent(rig.source, rotations, moved_joint, root_shift), _local(rig, new))


def at_frame_rate(labels: np.ndarray, frame_rate: float, new_frame_rate: float, num_frames: int) -> np.ndarray:
    """Return the labels `(frames, ...)` that are nearest in time to each of `num_frames` frames at another rate."""
    frames = np.round(np.arange(num_frames) * (frame_rate / new_frame_rate)).astype(int)
    return labels[np.minimum(frames, len(labels) - 1)]


class _BodyChange:
    """Movement and turn of our joints by a repair, at the rig's frame rate and scale.

    Attributes:
        positions: `(frames, 22, 3)`, metres of the rig.
        repaired: Where our joints are after the repair, likewise; the origin is not the rig's.
        rotations: Global turns to be put before the old ones, `(frames, 22, 3, 3)`.
        knee_forward: For each side the direction to which a stretched knee bends, `(frames, 3)`.
    """

    def __init__(self, rig: PlacedRig, before: Motion, after: Motion) -> None:
        num_frames, rate = len(rig.source.root_positions), rig.source.frame_rate
        wanted = np.arange(num_frames) / rate
        known, first = np.unique(np.minimum(np.arange(before.num_frames) / FRAME_RATE, wanted[-1]), return_index=True)
        (old_positions, old_rotations), (new_positions, new_rotations) = before.joint_frames(), after.joint_frames()
        turns = roma.rotmat_to_rotvec(torch.from_numpy(new_rotations @ old_rotations.swapaxes(-1, -2))).numpy()

        def at_rig_rate(values: np.ndarray) -> np.ndarray:
            return PchipInterpolator(known, values[first])(np.minimum(wanted, known[-1]))

        self.positions = at_rig_rate(new_positions - old_positions) / rig.metres_per_source_metre
        self.repaired = at_rig_rate(new_positions) / rig.metres_per_source_metre
        self.angles = np.linalg.norm(turns, axis=-1).max(axis=0)
        self.rotations = roma.rotvec_to_rotmat(torch.from_numpy(at_rig_rate(turns))).numpy()
        globals_at_rig_rate = rig.motion.joint_frames()[1]
        self.knee_forward = {side: globals_at_rig_rate[:, JOINT_INDEX[f"{side}_hip"], :, 2] for side in SIDES}

    def turns(self, joint: str) -> bool:
        """Return whether a joint turns at all."""
        return bool(self.angles[JOINT_INDEX[joint]] > _SAME_ROTATION)


def _leg_rotations(
    rig: PlacedRig,
    side: str,
    change: _BodyChange,
    rotations: np.ndarray,
    root_shift: np.ndarray,
    raised: np.ndarray,
    foot_contacts: np.ndarray,
    lock_strength: float,
) -> dict[int, np.ndarray]:
    """Return new global rotations of the joints of one leg, `(frames, 3, 3)` each."""
    names = {part: f"{side}_{part}" for part in LEG_PARTS}
    joints = {part: rig.source_joints[name] for part, name in names.items() if name in rig.source_joints}
    moved = {part: change.positions[:, JOINT_INDEX[name]] + raised for part, name in names.items()}
    turn = {part: change.rotations[:, JOINT_INDEX[name]] for part, name in names.items()}
    hip, knee, ankle, old_toe = (rig.joint_positions[:, JOINT_INDEX[name]] for name in names.values())
    toe_offset = _times(turn["ankle"], old_toe - ankle)
    # The hip is carried by the pelvis, wherever the repair put our own hip.
    pelvis = rig.joint_positions[:, 0]
    new_hip = pelvis + root_shift + _times(change.rotations[:, 0], hip - pelvis)
    target = ankle + moved["ankle"]
    toe = target + toe_offset
    columns = [SIDES.index(side), 2 + SIDES.index(side)]
    repaired = change.repaired[:, [JOINT_INDEX[names["ankle"]], JOINT_INDEX[names["foot"]]]]
    held, held_toe = hold_foot(target, toe, repaired, foot_contacts[:, columns], rig.source.frame_rate)
    target = target + lock_strength * (held - target)
    toe = toe + lock_strength * (held_toe - toe)

    new_knee, new_ankle = bend_leg(
        new_hip,
        target,
        np.linalg.norm(knee - hip, axis=-1),
        np.linalg.norm(ankle - knee, axis=-1),
        knee + moved["knee"],
        change.knee_forward[side],
    )
    swing = _shortest(toe_offset, toe - new_ankle)
    result = {
        joints["hip"]: _shortest(knee - hip, new_knee - new_hip) @ rotations[:, joints["hip"]],
        joints["knee"]: _shortest(ankle - knee, new_ankle - new_knee) @ rotations[:, joints["knee"]],
        joints["ankle"]: swing @ turn["ankle"] @ rotations[:, joints["ankle"]],
    }
    if "foot" in joints:
        result[joints["foot"]] = swing @ turn["foot"] @ rotations[:, joints["foot"]]
    return result


def bend_leg(
    hip: np.ndarray,
    target: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    knee_hint: np.ndarray,
    forward: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Place knee and ankle of a leg so that the ankle reaches a target, or comes as near as the bones allow.

    Args:
        hip: `(frames, 3)`.
        target: For the ankle, `(frames, 3)`.
        upper: Lengths of the thigh, `(frames,)`.
        lower: Lengths of the shank, `(frames,)`.
        knee_hint: A point on the side to which the knee bends, `(frames, 3)`.
        forward: The direction to which it bends where that point is on the line from hip to target, `(frames, 3)`.

    Returns:
        Knee and ankle, `(frames, 3)` each.
    """
    reach = target - hip
    distance = np.maximum(np.linalg.norm(reach, axis=-1, keepdims=True), 1e-9)
    direction = reach / distance
    bend = knee_hint - hip
    off_line = np.linalg.norm(np.cross(bend, direction), axis=-1, keepdims=True)
    bend = bend + np.maximum(0, _STRAIGHT_METRES - off_line) * forward
    values = (direction, distance, upper[:, None], lower[:, None], bend)
    new_knee, new_ankle = solve_two_bones(*map(torch.from_numpy, values))
    return hip + new_knee.numpy(), hip + new_ankle.numpy()


def hold_foot(
    ankle: np.ndarray, toe: np.ndarray, repaired: np.ndarray, contacts: np.ndarray, frame_rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """Let ankle and toe move as those of the repaired body while they touch, and fade to their own way in between.

    A foot of other proportions that is turned like the repaired one slides where that one stands.

    Args:
        ankle: `(frames, 3)`, metres.
        toe: `(frames, 3)`, metres.
        repaired: Ankle and toe of the repaired body at the same scale, `(frames, 2, 3)`, metres.
        contacts: Of ankle and toe, `(frames, 2)` bool.
        frame_rate: Hz.

    Returns:
        New ankle and toe; in frames with contact of the toe only, the foot is moved as a whole.
    """
    flat = np.asarray(contacts.all(axis=1))
    corrections = np.zeros((len(ankle), 2, 3))
    for column, points in enumerate((ankle, toe)):
        for start, end in runs(contacts[:, column]):
            # The place of the foot while all of it touches counts, if it ever does: a toe alone may roll.
            chosen = flat[start:end] if flat[start:end].any() else np.ones(end - start, bool)
            apart = (repaired[:, column] - points)[start:end]
            corrections[start:end, column] = apart - np.median(apart[chosen], axis=0)
    whole = np.where(contacts[:, :1], corrections[:, 0], corrections[:, 1])
    fade_corrections(whole, np.asarray(contacts.any(axis=1)), _FADE_SECONDS * frame_rate)
    return ankle + whole, toe + np.where(contacts[:, 1:], corrections[:, 1], whole)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end (exclusive) of each run of true in `(frames,)`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def fade_corrections(corrections: np.ndarray, known: np.ndarray, fade_frames: float) -> None:
    """Fill `(frames, 3)` where it is not known, in place: from both neighbors down to 0 within `fade_frames`."""
    for start, end in runs(~known):
        radius = min(fade_frames, end - start + 1)
        frames = np.arange(start, end)
        for edge in (start - 1, end):
            if 0 <= edge < len(known):
                share = np.clip(np.abs(frames - edge) / radius, 0, 1)
                corrections[start:end] += (1 - share**2 * (3 - 2 * share))[:, None] * corrections[edge]


def _in_parent(source: SourceAnimation, rotations: np.ndarray, joint: int, vectors: np.ndarray) -> np.ndarray:
    """Express world vectors `(frames, 3)` in the frame of a joint's parent."""
    parent = source.parents[joint]
    return vectors if parent < 0 else _times(rotations[:, parent].swapaxes(-1, -2), vectors)


def _local(rig: PlacedRig, new: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Turn global rotations of some joints into local ones; all other joints keep their local rotation."""
    source = rig.source
    local = roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(torch.from_numpy(source.local_rotations))).numpy()
    posed: list[np.ndarray] = []
    result = {}
    for joint, parent in enumerate(source.parents):
        above = np.eye(3) if parent < 0 else posed[parent]
        posed.append(new[joint] if joint in new else above @ local[:, joint])
        if joint in new:
            turned = above.swapaxes(-1, -2) @ new[joint]
            if np.abs(turned - local[:, joint]).max() > _SAME_ROTATION:
                result[joint] = matrix_to_quaternion(torch.from_numpy(turned)).numpy()
    return result


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("tij,tj->ti", matrices, vectors)


def _shortest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return shortest_rotation(torch.from_numpy(source), torch.from_numpy(target)).numpy()
