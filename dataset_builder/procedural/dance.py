"""Dances by rule: stepping patterns with planted feet, bounce and arm swings as smooth functions of the beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch

from ...motion.kinematics import matrix_to_quaternion, yaw_to_matrix
from ...motion.motion import FRAME_RATE, Motion
from ...motion.skeleton import JOINT_INDEX, NUM_JOINTS, Skeleton, neutral_skeleton

LEFT, RIGHT = 0, 1


@dataclass(frozen=True)
class DancePattern:
    """A stepping pattern and how the body moves above it.

    Args:
        cycle_beats: Length of the pattern.
        steps: `(beat, foot, x, z)`: on which beat which foot lands where, metres, the dancer looks along +Z. The last
            place of each foot is where the next cycle begins.
        swing_beats: How long a foot is in the air before it lands.
        turn_degrees: How far the pattern turns about its middle in one cycle.
        bounce_metres: Depth of the knee bend.
        bounce_beats: Period of the knee bend, deepest on the beat.
        sway_degrees: Roll of the hips to the side, with a period of two bounces.
        arm_drop_degrees: How far the upper arms hang below the horizontal.
        arm_swing_degrees: Swing of the upper arms to the front and back, with a period of two beats.
        elbow_degrees: Bend of the elbows.
    """

    cycle_beats: int
    steps: tuple[tuple[float, int, float, float], ...]
    swing_beats: float
    turn_degrees: float
    bounce_metres: float
    bounce_beats: float
    sway_degrees: float
    arm_drop_degrees: float
    arm_swing_degrees: float
    elbow_degrees: float


DANCE_PATTERNS: dict[str, DancePattern] = {
    "waltz": DancePattern(
        cycle_beats=6,
        steps=(
            (0, LEFT, 0.10, 0.25),
            (1, RIGHT, -0.30, 0.25),
            (2, LEFT, -0.10, 0.25),
            (3, RIGHT, -0.30, 0.0),
            (4, LEFT, 0.10, 0.0),
            (5, RIGHT, -0.10, 0.0),
        ),
        swing_beats=0.6,
        turn_degrees=90,
        bounce_metres=0.06,
        bounce_beats=3,
        sway_degrees=3,
        arm_drop_degrees=15,
        arm_swing_degrees=4,
        elbow_degrees=80,
    ),
    "rumba": DancePattern(
        cycle_beats=8,
        steps=(
            (0, LEFT, 0.30, 0.0),
            (1, RIGHT, 0.10, 0.0),
            (2, LEFT, 0.30, 0.25),
            (4, RIGHT, -0.10, 0.25),
            (5, LEFT, 0.10, 0.25),
            (6, RIGHT, -0.10, 0.0),
        ),
        swing_beats=0.7,
        turn_degrees=45,
        bounce_metres=0.02,
        bounce_beats=1,
        sway_degrees=9,
        arm_drop_degrees=55,
        arm_swing_degrees=20,
        elbow_degrees=60,
    ),
    "cha-cha": DancePattern(
        cycle_beats=8,
        steps=(
            (0, LEFT, 0.10, 0.25),
            (1, RIGHT, -0.10, 0.05),
            (2, LEFT, 0.25, 0.0),
            (2.5, RIGHT, 0.05, 0.0),
            (3, LEFT, 0.35, 0.0),
            (4, RIGHT, 0.05, -0.25),
            (5, LEFT, 0.30, -0.05),
            (6, RIGHT, -0.05, 0.0),
            (6.5, LEFT, 0.15, 0.0),
            (7, RIGHT, -0.15, 0.0),
        ),
        swing_beats=0.45,
        turn_degrees=30,
        bounce_metres=0.025,
        bounce_beats=1,
        sway_degrees=8,
        arm_drop_degrees=50,
        arm_swing_degrees=25,
        elbow_degrees=75,
    ),
    "hip-hop": DancePattern(
        cycle_beats=4,
        steps=((0, RIGHT, -0.30, 0.0), (1, LEFT, -0.10, 0.05), (2, LEFT, 0.12, 0.0), (3, RIGHT, -0.10, 0.05)),
        swing_beats=0.5,
        turn_degrees=10,
        bounce_metres=0.08,
        bounce_beats=1,
        sway_degrees=4,
        arm_drop_degrees=65,
        arm_swing_degrees=45,
        elbow_degrees=50,
    ),
}
PELVIS_HEIGHT_METRES = 0.93
"""Highest place of the pelvis: 4 cm under standing straight, so that the widest step is still in reach."""
STEP_LIFT_METRES = 0.08


def synthesize_dance(genre: str, bpm: float, seconds: float, *, seed: int) -> Motion:
    """Dance the pattern of a genre at a steady tempo; frame 0 is the first beat of a bar.

    Every step lands on its beat, and a foot that is marked as planted does not move at all.

    Args:
        genre: A key of `DANCE_PATTERNS`.
        bpm: Beats per minute.
        seconds: Length.
        seed: Chooses the sense of turning, the first heading and the size of the movements.

    Returns:
        A motion of `round(30 * seconds)` frames on the neutral body.
    """
    pattern = DANCE_PATTERNS[genre]
    random = np.random.default_rng(seed)
    size = random.uniform(0.85, 1.1)
    turn = np.deg2rad(pattern.turn_degrees) * random.choice((-1, 1))
    first_yaw = random.uniform(-np.pi, np.pi)
    beats = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE * (bpm / 60)

    skeleton = neutral_skeleton()
    feet = [_foot_path(pattern, foot, beats, size, turn, first_yaw) for foot in (LEFT, RIGHT)]
    ankles = np.stack([path for path, _, _ in feet], axis=1)  # (frames, 2, 3)
    foot_yaws = np.stack([yaw for _, yaw, _ in feet], axis=1)  # (frames, 2)
    planted = np.stack([on_floor for _, _, on_floor in feet], axis=1)
    ankles[..., 1] += skeleton.contact_rest_heights[:2]

    root_positions = ankles.mean(axis=1)
    bend = 0.5 * (1 + np.cos(2 * np.pi * beats / pattern.bounce_beats))
    root_positions[:, 1] = PELVIS_HEIGHT_METRES - size * pattern.bounce_metres * bend
    rotations = _upper_body(pattern, beats, size)
    rotations[:, 0] = yaw_to_matrix(torch.from_numpy(foot_yaws.mean(axis=1))) @ rotations[:, 0]
    for foot, side in enumerate(("left", "right")):
        _place_leg(rotations, side, skeleton, root_positions, ankles[:, foot], foot_yaws[:, foot])
    return Motion(
        frame_rate=FRAME_RATE,
        root_positions=root_positions,
        joint_rotations=matrix_to_quaternion(rotations).numpy(),
        skeleton=skeleton,
        foot_contacts=np.concatenate([planted, planted], axis=1),
        provenance={"source": "procedural", "genre": genre, "bpm": bpm, "seed": seed},
    )


def _foot_path(
    pattern: DancePattern, foot: int, beats: np.ndarray, size: float, turn: float, first_yaw: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a foot's path above the floor `(frames, 3)`, its yaw `(frames,)`, where it is planted `(frames,)`."""
    landings = []
    num_cycles = int(np.ceil(beats[-1] / pattern.cycle_beats)) + 1
    for cycle in range(-1, num_cycles):  # the cycle before the first says where the feet stand
        for beat, step_foot, x, z in pattern.steps:
            if step_foot == foot:
                time = cycle * pattern.cycle_beats + beat
                yaw = first_yaw + turn * time / pattern.cycle_beats
                place = size * np.array([x, z])
                turned = (
                    place[0] * np.cos(yaw) + place[1] * np.sin(yaw),
                    place[1] * np.cos(yaw) - place[0] * np.sin(yaw),
                )
                landings.append((time, *turned, yaw))
    _, x, z, yaw = landings[0]
    path = np.tile([x, 0.0, z], (len(beats), 1))
    yaws = np.full(len(beats), yaw)
    planted = np.ones(len(beats), dtype=bool)
    for (_, *start), (time, *end) in zip(landings[:-1], landings[1:], strict=True):
        progress = np.clip((beats - time) / pattern.swing_beats + 1, 0, 1)
        eased = progress**3 * (10 - 15 * progress + 6 * progress**2)  # starts and ends without speed or acceleration
        path[:, 0] += (end[0] - start[0]) * eased
        path[:, 2] += (end[1] - start[1]) * eased
        path[:, 1] += STEP_LIFT_METRES * (4 * progress * (1 - progress)) ** 2
        yaws += (end[2] - start[2]) * eased
        planted &= (progress == 0) | (progress == 1)
    return path, yaws, planted


def _about(axis: int, degrees: np.ndarray) -> torch.Tensor:
    """Rotate about one axis (0 X, 1 Y, 2 Z): `(frames,)` degrees to `(frames, 3, 3)`."""
    return roma.rotvec_to_rotmat(torch.from_numpy(np.deg2rad(degrees)[:, None] * np.eye(3)[axis]))


def _upper_body(pattern: DancePattern, beats: np.ndarray, size: float) -> torch.Tensor:
    """Return local rotations `(frames, 22, 3, 3)` of all but the legs; the pelvis without its heading."""
    rotations = torch.eye(3, dtype=torch.float64).expand(len(beats), NUM_JOINTS, 3, 3).clone()
    still = np.zeros(len(beats))
    sway = size * pattern.sway_degrees * np.sin(np.pi * beats / pattern.bounce_beats)
    swing = size * pattern.arm_swing_degrees * np.cos(np.pi * beats)
    rotations[:, 0] = _about(2, sway)
    for name in ("spine1", "spine2", "spine3"):
        rotations[:, JOINT_INDEX[name]] = _about(1, swing / 9) @ _about(2, -sway / 3)
    rotations[:, JOINT_INDEX["neck"]] = _about(0, 4 * size * np.cos(2 * np.pi * beats))
    for side, sign in (("left", 1), ("right", -1)):
        drop = _about(2, still - sign * pattern.arm_drop_degrees)
        rotations[:, JOINT_INDEX[f"{side}_shoulder"]] = _about(0, -sign * swing) @ drop
        elbow = pattern.elbow_degrees + 0.4 * sign * swing
        rotations[:, JOINT_INDEX[f"{side}_elbow"]] = _about(1, -sign * elbow)
    return rotations


def _place_leg(
    rotations: torch.Tensor,
    side: str,
    skeleton: Skeleton,
    root_positions: np.ndarray,
    ankle: np.ndarray,
    foot_yaw: np.ndarray,
) -> None:
    """Write the rotations of hip, knee and ankle that put a flat foot exactly where it belongs.

    With thigh `a`, shank `b` and `d` from hip to ankle, the knee bends by `pi - acos((a^2 + b^2 - d^2) / (2ab))`. The
    leg bends in the plane that holds the line from hip to ankle and the direction in which the foot points.
    """
    hip_index, knee_index, ankle_index = (JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    offsets = torch.from_numpy(skeleton.offsets)
    thigh, shank = skeleton.bone_lengths[[knee_index, ankle_index]]
    hip = torch.from_numpy(root_positions) + rotations[:, 0] @ offsets[hip_index]
    leg = torch.from_numpy(ankle) - hip
    distance = leg.norm(dim=-1)
    assert distance.max() < thigh + shank, "a step of the pattern is out of reach"
    knee_bend = np.pi - torch.acos((thigh**2 + shank**2 - distance**2) / (2 * thigh * shank))
    foot_rotation = yaw_to_matrix(torch.from_numpy(foot_yaw))

    def frame(down: torch.Tensor, forward: torch.Tensor) -> torch.Tensor:
        """Columns: to the left, along the leg, across both."""
        down = torch.nn.functional.normalize(down, dim=-1)
        left = torch.nn.functional.normalize(torch.linalg.cross(-down, forward), dim=-1)
        return torch.stack([left, down, torch.linalg.cross(left, down)], dim=-1)

    zero = torch.zeros_like(knee_bend)
    bent_leg = torch.stack([zero, -thigh - shank * torch.cos(knee_bend), -shank * torch.sin(knee_bend)], dim=-1)
    forward = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(leg)
    global_hip = frame(leg, foot_rotation[..., 2]) @ frame(bent_leg, forward).transpose(-1, -2)
    knee = _about(0, np.rad2deg(knee_bend.numpy()))
    rotations[:, hip_index] = rotations[:, 0].transpose(-1, -2) @ global_hip
    rotations[:, knee_index] = knee
    rotations[:, ankle_index] = (global_hip @ knee).transpose(-1, -2) @ foot_rotation
