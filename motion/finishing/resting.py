"""Poses to rest in: which moment of a dance is balanced, how it is stood on both feet, how a dancer gets into it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from ..kinematics import SIDES, root_drop, yaw_to_matrix
from ..motion import Motion
from ..skeleton import JOINT_INDEX
from .blending import (
    ANKLES,
    HIPS,
    LEAST_BEND,
    TOES,
    Feet,
    feet_of,
    hip_positions,
    joined,
    lead_over,
    smoothstep,
    take,
    with_feet,
)

# Winter, "Biomechanics and Motor Control of Human Movement": shares of the body's mass, of the part that begins at the
# first joint and ends at the second.
_MASSES = (
    ("pelvis", "neck", 0.497),
    ("neck", "head", 0.081),
    *((f"{side}_shoulder", f"{side}_elbow", 0.028) for side in SIDES),
    *((f"{side}_elbow", f"{side}_wrist", 0.022) for side in SIDES),
    *((f"{side}_hip", f"{side}_knee", 0.100) for side in SIDES),
    *((f"{side}_knee", f"{side}_ankle", 0.0465) for side in SIDES),
    *((f"{side}_ankle", f"{side}_foot", 0.0145) for side in SIDES),
)
_WRISTS = [JOINT_INDEX[f"{side}_wrist"] for side in SIDES]
_FOOT_CENTER = 0.6
"""Where the weight rests on a foot: share of the way from ankle to ball."""
_GROUNDED_METRES = 0.04
_LEG_SHARE = 0.985
"""How straight a leg is at most that stands at rest: 20 degrees in the knee."""
_MAX_DROP_METRES = 0.4
_MAX_HEEL_DEGREES = 40.0

# What a rest costs: one for each of these.
_OFF_BALANCE_METRES = 0.08
_FREE_FOOT_METRES = 0.10
_STRIDE_METRES = 0.20
_WIDE_STRIDE_METRES = 0.40
_CROSSED_METRES = 0.10
_LEAST_APART_METRES = 0.08
_LEAN = 0.35
"""Horizontal part of the trunk's direction."""

_BREATH_SECONDS = 4.2
_BREATH_DEGREES = 0.5
_SWAY_SECONDS = 6.5
_SWAY_DEGREES = 0.35
_BREATH_FADE_SECONDS = 1.5


@dataclass(frozen=True)
class PoseQualities:
    """How well each frame of a dance serves as a pose to rest in.

    Args:
        cost: Of standing there: out of balance, a foot in the air, a wide stride, crossed legs, a leaning
            trunk, `(frames,)`.
        speed: Mean of all joints, m/s, `(frames,)`.
        reach: Mean distance of the wrists from the middle of the trunk, as a share of an arm's length, `(frames,)`.
        support: Which foot carries more, `(frames,)`, 0 for the left.
    """

    cost: np.ndarray
    speed: np.ndarray
    reach: np.ndarray
    support: np.ndarray


def pose_qualities(motion: Motion) -> PoseQualities:
    """Judge every frame of a motion as a pose to rest in."""
    positions = motion.joint_positions().astype(np.float64)
    center = center_of_mass(positions)[:, [0, 2]]
    feet = foot_centers(positions)
    clearance = np.maximum(0, positions[:, TOES, 1] - motion.skeleton.contact_rest_heights[2:])
    distances = np.linalg.norm(feet - center[:, None], axis=-1)
    support = np.argmin(distances + 2 * clearance, axis=1)
    frames = np.arange(len(positions))
    grounded = clearance[frames, 1 - support] < clearance[frames, support] + _GROUNDED_METRES
    reach_over = np.where(grounded[:, None], feet[frames, 1 - support], feet[frames, support])
    off_balance = np.linalg.norm(center - _nearest_on_segment(center, feet[frames, support], reach_over, 1.0), axis=-1)
    stride = np.linalg.norm(feet[:, 0] - feet[:, 1], axis=-1)
    hips = positions[:, HIPS[0]] - positions[:, HIPS[1]]
    apart = ((feet[:, 0] - feet[:, 1]) * hips[:, [0, 2]]).sum(axis=-1) / np.linalg.norm(hips, axis=-1)
    trunk = positions[:, JOINT_INDEX["neck"]] - positions[:, 0]
    lean = np.linalg.norm(trunk[:, [0, 2]], axis=-1) / np.linalg.norm(trunk, axis=-1)
    cost = (
        off_balance / _OFF_BALANCE_METRES
        + clearance.max(axis=1) / _FREE_FOOT_METRES
        + np.maximum(0, stride - _WIDE_STRIDE_METRES) / _STRIDE_METRES
        + np.maximum(0, _LEAST_APART_METRES - apart) / _CROSSED_METRES
        + lean / _LEAN
    )
    chest = positions[:, [JOINT_INDEX["spine3"]]]
    bones = motion.skeleton.bone_lengths
    arm = sum(bones[JOINT_INDEX[f"left_{joint}"]] for joint in ("shoulder", "elbow", "wrist"))
    reach = np.linalg.norm(positions[:, _WRISTS] - chest, axis=-1).mean(axis=1) / arm
    return PoseQualities(cost, joint_speeds(positions, motion.frame_rate), reach, support)


def joint_speeds(positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the mean speed of all joints, `(frames,)`, m/s, of positions `(frames, joints, 3)` in metres."""
    if len(positions) == 1:
        return np.zeros(1)
    return np.linalg.norm(np.gradient(positions, axis=0), axis=-1).mean(axis=1) * frame_rate


def center_of_mass(positions: np.ndarray) -> np.ndarray:
    """Return the center of mass, `(frames, 3)`, of joint positions `(frames, 22, 3)`, metres."""
    parts = [
        mass * (positions[:, JOINT_INDEX[first]] + positions[:, JOINT_INDEX[second]]) / 2
        for first, second, mass in _MASSES
    ]
    return sum(parts) / sum(mass for _, _, mass in _MASSES)


def foot_centers(positions: np.ndarray) -> np.ndarray:
    """Return where both feet carry weight, `(frames, 2, 2)` over the floor, metres."""
    centers = positions[:, ANKLES] + _FOOT_CENTER * (positions[:, TOES] - positions[:, ANKLES])
    return centers[..., [0, 2]]


def _nearest_on_segment(points: np.ndarray, starts: np.ndarray, ends: np.ndarray, max_share: float) -> np.ndarray:
    """Return the nearest point of the first share of segments, all `(frames, 2)`."""
    ways = ends - starts
    squared = np.maximum((ways**2).sum(axis=-1), 1e-12)
    shares = np.clip(((points - starts) * ways).sum(axis=-1) / squared, 0, max_share)
    return starts + shares[:, None] * ways


def stand(pose: Motion) -> Motion:
    """Stand a pose on both feet, in balance.

    The foot that carries more is laid flat on its ball. The ball of the other one is put to the floor below it, one
    that comes from the air not further than a stride away. The body is moved so that its center of mass is above the
    line between the feet, not beyond its middle; it sinks as far as the legs need. Trunk and arms stay as they are.

    Args:
        pose: One frame.

    Returns:
        One frame.
    """
    support = int(pose_qualities(pose).support[0])
    feet = feet_of(pose)
    yaws = torch.from_numpy(feet.yaws()[0])
    pitches = torch.zeros(2, dtype=torch.float64)
    pitches[1 - support] = min(max(_heel_angle(feet, 1 - support), 0.0), np.radians(_MAX_HEEL_DEGREES))
    lateral = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    rotations = yaw_to_matrix(yaws) @ roma.rotvec_to_rotmat(pitches[:, None] * lateral)
    toes = feet.toes.copy()
    if toes[0, 1 - support, 1] - pose.skeleton.toe_rest_height > _GROUNDED_METRES:
        way = toes[0, 1 - support] - toes[0, support]
        toes[0, 1 - support] -= way * max(0.0, 1 - _WIDE_STRIDE_METRES / max(np.hypot(way[0], way[2]), 1e-9))
    toes[..., 1] = pose.skeleton.contact_rest_heights[2:]
    standing = Feet(toes, rotations.numpy()[None])
    root_positions = pose.root_positions.astype(np.float64)
    ankles = standing.ankles(pose.skeleton)
    for _ in range(2):  # the legs have mass and follow
        moved = with_feet(replace(pose, root_positions=root_positions), standing)
        positions = moved.joint_positions().astype(np.float64)
        centers = (ankles + _FOOT_CENTER * (toes - ankles))[..., [0, 2]]
        center = center_of_mass(positions)[:, [0, 2]]
        target = _nearest_on_segment(center, centers[:, support], centers[:, 1 - support], 0.5)
        root_positions[:, [0, 2]] += target - center
        root_positions[:, 1] -= _needed_drop(moved, root_positions, ankles)
    return with_feet(replace(pose, root_positions=root_positions), standing, LEAST_BEND)


def _needed_drop(pose: Motion, root_positions: np.ndarray, ankles: np.ndarray) -> np.ndarray:
    """Return by how much a body must sink so that both legs reach, `(frames,)`, metres."""
    hips = hip_positions(replace(pose, root_positions=root_positions))
    length = _LEG_SHARE * pose.skeleton.leg_length
    drops = [
        root_drop(torch.from_numpy(hips[:, side]), torch.from_numpy(ankles[:, side]), length, _MAX_DROP_METRES)
        for side in (0, 1)
    ]
    return torch.maximum(*drops).numpy()


def _heel_angle(feet: Feet, side: int) -> float:
    """Return by how much a foot points down from where it would lie flat, radians; one frame."""
    return float(np.arcsin(np.clip(-feet.rotations[0, side, 1, 2], -1, 1)))


def steadiest_foot(motion: Motion, start_frame: int, end_frame: int) -> int:
    """Return which foot stands, 0 for the left: the one that is lower and slower in these frames."""
    part = motion.cut(max(0, start_frame), min(motion.num_frames, max(start_frame + 1, end_frame)))
    toes = feet_of(part).toes
    heights = toes[..., 1].mean(axis=0)
    ways = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1).sum(axis=0)
    return int(np.argmin(ways + 2 * heights))


def slowed_frames(start_frame: float, stop_frame: float, num_frames: int) -> np.ndarray:
    """Return the moments of a dance that slows down to a stop, `(num_frames,)`, without the stop itself.

    It begins at full speed in `start_frame` and stands still in `stop_frame`, `num_frames` later. Speed falls all the
    way if `stop_frame` is a third to two thirds of them away.
    """
    shares = np.arange(num_frames) / max(1, num_frames)
    way = stop_frame - start_frame
    return start_frame + way * shares**2 * (3 - 2 * shares) + num_frames * shares * (1 - shares) ** 2


def settle(dance: Motion, pose: Motion, blend_frames: int) -> Motion:
    """Lead the last frames of a dance into a pose that stands on both feet.

    Args:
        dance: Slows down to a stop.
        pose: One frame: where it ends up in the frame after the last.
        blend_frames: How many of the last frames lead over.
    """
    kept = max(0, dance.num_frames - blend_frames)
    tail = take(dance, np.arange(kept, dance.num_frames))
    shares = np.arange(1, tail.num_frames + 1) / (tail.num_frames + 1)
    led = lead_over(tail, take(pose, [0] * tail.num_frames), smoothstep(shares))
    return joined([take(dance, np.arange(kept)), led]) if kept else led


def held(pose: Motion, num_frames: int, *, is_last: bool) -> Motion:
    """Hold a pose: nothing moves but the trunk, which breathes and sways by half a degree.

    Args:
        pose: One frame.
        num_frames: At least 1.
        is_last: Whether nothing follows; otherwise the breath ends in the pose.
    """
    still = take(pose, [0] * num_frames)
    seconds = np.arange(num_frames) / pose.frame_rate
    fades = smoothstep(seconds / _BREATH_FADE_SECONDS)
    if not is_last:
        fades *= fades[::-1]
    breath = fades * np.radians(_BREATH_DEGREES) * (1 - np.cos(2 * np.pi * seconds / _BREATH_SECONDS)) / 2
    sway = fades * np.radians(_SWAY_DEGREES) * np.sin(2 * np.pi * seconds / _SWAY_SECONDS)
    rotations = torch.from_numpy(still.joint_rotations).double()
    # The chest rises and the hips stay: backward in the upper spine, half of it forward again in the neck.
    for joint, pitch, roll in (
        ("spine1", 0 * breath, sway),
        ("spine3", -breath, -sway / 2),
        ("neck", breath / 2, 0 * sway),
    ):
        turns = roma.rotvec_to_unitquat(torch.from_numpy(np.stack([pitch, 0 * pitch, roll], axis=-1)))
        local = roma.quat_wxyz_to_xyzw(rotations[:, JOINT_INDEX[joint]])
        rotations[:, JOINT_INDEX[joint]] = roma.quat_xyzw_to_wxyz(roma.quat_product(local, turns))
    return replace(still, joint_rotations=rotations.numpy())
