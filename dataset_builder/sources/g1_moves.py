"""G1 Moves: popular dances that were retargeted to the robot Unitree G1, put back on a human body; without music.

Layout, of the public repository; a folder of the files alone serves, too:

```
dance/J_Dance2_Salsa/retarget/J_Dance2_Salsa.csv        or .csv.gz; 36 columns, 60 Hz, no header
```

A row is the pelvis' position (m) and quaternion xyzw in a system with z up, x forward and y left, then 29 joint angles
(rad). The letter is the dancer; the title says the genre where it names one, else the dance counts as `pop`.

The robot has no neck, a torso of one piece, wide hips and a short leg. Its links turn the bones of our body by what
they are turned against a stance with hanging, straight arms; spine joints share the turn between pelvis and torso in
thirds, neck and head follow the torso. Path and feet are scaled by the length of the legs, the feet are moved inwards,
and legs reach them with the knees bent as the robot's are. The stance stays wide and the knees bent: it is a robot's
dance.

The table of links holds facts of g1_mocap_29dof.xml, github.com/YanjieZe/GMR, under this license:

MIT License. Copyright (c) 2025 Yanjie Ze. Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following
conditions: The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING
BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT
SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN
THE SOFTWARE.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from ...motion.kinematics import local_rotations, matrix_to_quaternion, quaternion_to_matrix, reach_with_leg
from ...motion.motion import Motion
from ...motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, neutral_skeleton
from .base import MotionSource, SourceRecord

FRAME_RATE = 60.0
NUM_COLUMNS = 36
DANCERS = {"J": "Jasmine Coro", "M": "Mitch Chaiet"}
GENRES = {"Modern": "modern", "Salsa": "salsa", "Hype": "hip-hop", "WestCoast": "swing", "JazzWalk": "jazz"}
OTHER_GENRE = "pop"

MAX_RADIANS_PER_SECOND = 25.0
"""A joint that turns faster was not tracked: what lies between is bridged."""
LOW_PASS_HZ = 12.0
INWARDS_METRES = 0.055
"""By which each foot of the robot, whose hips are wide, is moved towards the other after scaling."""
AXIS_SMOOTHING_SECONDS = 0.25

# Link, parent, position and rest rotation wxyz in the parent, axis of its joint; in the order of the columns.
LINKS = (
    ("left_hip_pitch", "pelvis", (0.0, 0.064452, -0.1027), (1.0, 0.0, 0.0, 0.0), "y"),
    ("left_hip_roll", "left_hip_pitch", (0.0, 0.052, -0.030465), (0.996179, 0.0, -0.087339, 0.0), "x"),
    ("left_hip_yaw", "left_hip_roll", (0.025001, 0.0, -0.12412), (1.0, 0.0, 0.0, 0.0), "z"),
    ("left_knee", "left_hip_yaw", (-0.078273, 0.002149, -0.17734), (0.996179, 0.0, 0.087339, 0.0), "y"),
    ("left_ankle_pitch", "left_knee", (0.0, -9.4e-05, -0.30001), (1.0, 0.0, 0.0, 0.0), "y"),
    ("left_ankle_roll", "left_ankle_pitch", (0.0, 0.0, -0.017558), (1.0, 0.0, 0.0, 0.0), "x"),
    ("right_hip_pitch", "pelvis", (0.0, -0.064452, -0.1027), (1.0, 0.0, 0.0, 0.0), "y"),
    ("right_hip_roll", "right_hip_pitch", (0.0, -0.052, -0.030465), (0.996179, 0.0, -0.087339, 0.0), "x"),
    ("right_hip_yaw", "right_hip_roll", (0.025001, 0.0, -0.12412), (1.0, 0.0, 0.0, 0.0), "z"),
    ("right_knee", "right_hip_yaw", (-0.078273, -0.002149, -0.17734), (0.996179, 0.0, 0.087339, 0.0), "y"),
    ("right_ankle_pitch", "right_knee", (0.0, 9.4e-05, -0.30001), (1.0, 0.0, 0.0, 0.0), "y"),
    ("right_ankle_roll", "right_ankle_pitch", (0.0, 0.0, -0.017558), (1.0, 0.0, 0.0, 0.0), "x"),
    ("waist_yaw", "pelvis", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "z"),
    ("waist_roll", "waist_yaw", (-0.003964, 0.0, 0.044), (1.0, 0.0, 0.0, 0.0), "x"),
    ("torso", "waist_roll", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "y"),
    ("left_shoulder_pitch", "torso", (0.003956, 0.10022, 0.24778), (0.990264, 0.139201, 1.4e-05, -9.9e-05), "y"),
    ("left_shoulder_roll", "left_shoulder_pitch", (0.0, 0.038, -0.013831), (0.990268, -0.139172, 0.0, 0.0), "x"),
    ("left_shoulder_yaw", "left_shoulder_roll", (0.0, 0.00624, -0.1032), (1.0, 0.0, 0.0, 0.0), "z"),
    ("left_elbow", "left_shoulder_yaw", (0.015783, 0.0, -0.080518), (1.0, 0.0, 0.0, 0.0), "y"),
    ("left_wrist_roll", "left_elbow", (0.1, 0.001888, -0.01), (1.0, 0.0, 0.0, 0.0), "x"),
    ("left_wrist_pitch", "left_wrist_roll", (0.038, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "y"),
    ("left_wrist_yaw", "left_wrist_pitch", (0.046, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "z"),
    ("right_shoulder_pitch", "torso", (0.003956, -0.10021, 0.24778), (0.990264, -0.139201, 1.4e-05, 9.9e-05), "y"),
    ("right_shoulder_roll", "right_shoulder_pitch", (0.0, -0.038, -0.013831), (0.990268, 0.139172, 0.0, 0.0), "x"),
    ("right_shoulder_yaw", "right_shoulder_roll", (0.0, -0.00624, -0.1032), (1.0, 0.0, 0.0, 0.0), "z"),
    ("right_elbow", "right_shoulder_yaw", (0.015783, 0.0, -0.080518), (1.0, 0.0, 0.0, 0.0), "y"),
    ("right_wrist_roll", "right_elbow", (0.1, -0.001888, -0.01), (1.0, 0.0, 0.0, 0.0), "x"),
    ("right_wrist_pitch", "right_wrist_roll", (0.038, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "y"),
    ("right_wrist_yaw", "right_wrist_pitch", (0.046, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), "z"),
)  # fmt: skip
LINK_INDEX = {name: index for index, (name, *_) in enumerate(LINKS)}

_TO_OURS = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
"""From x forward, y left, z up to x left, y up, z forward."""
_BONES = {
    "hip": "hip_yaw",
    "knee": "knee",
    "ankle": "ankle_roll",
    "foot": "ankle_roll",
    "shoulder": "shoulder_yaw",
    "elbow": "elbow",
    "wrist": "wrist_yaw",
}
"""Our joint and the robot's link that turns its bone, on each side."""


class G1MovesSource(MotionSource):
    """G1 Moves; see the module for its layout."""

    name = "g1_moves"
    license = "CC BY 4.0"
    homepage_citation = (
        "Contains motion from G1 Moves (Experiential Technologies, Jasmine Coro, Mitch Chaiet), CC BY 4.0, converted "
        "to a human skeleton. github.com/experientialtech/g1-moves. Links of the robot: YanjieZe/GMR, MIT"
    )

    def records(self) -> Iterator[SourceRecord]:
        """List the dances by name."""
        for pattern in ("dance/*/retarget/*.csv*", "*.csv*"):
            paths = sorted(path for path in self.folder.glob(pattern) if path.name.endswith((".csv", ".csv.gz")))
            if paths:
                break
        else:
            raise self.missing_layout("files such as dance/J_Dance2_Salsa/retarget/J_Dance2_Salsa.csv")
        for path in paths:
            clip_id = path.name.split(".")[0]
            yield self.make_record(
                path,
                clip_id=clip_id,
                performer_id=DANCERS.get(clip_id.split("_")[0], ""),
                genre=GENRES.get(clip_id.split("_")[-1], OTHER_GENRE),
            )

    def read(self, record: SourceRecord) -> Motion:
        """Read the table and put the robot's dance on our body."""
        return motion_from_robot(read_robot_table(record.motion_path))


def read_robot_table(path: Path) -> np.ndarray:
    """Read a table of the robot, `(frames, 36)`.

    Raises:
        ValueError: If it is no table of finite numbers with 36 columns, or a quaternion has no length.
    """
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} must be a table of numbers, divided by commas: {error}.") from error
    if table.shape[1:] != (NUM_COLUMNS,) or not len(table) or not np.isfinite(table).all():
        raise ValueError(
            f"{path} must hold finite numbers in {NUM_COLUMNS} columns (position, quaternion, 29 joint angles), got "
            f"shape {table.shape}."
        )
    if (np.linalg.norm(table[:, 3:7], axis=1) < 0.5).any():
        raise ValueError(f"{path} must hold unit quaternions in the columns 3 to 6.")
    return table


def clean_robot_table(table: np.ndarray) -> np.ndarray:
    """Bridge joints that turn too fast, make the quaternions continuous, and take out what is above 12 Hz.

    Args:
        table: `(frames, 36)`, 60 Hz.
    """
    table = table.copy()
    frames = np.arange(len(table))
    for column in range(7, NUM_COLUMNS):
        steps = np.abs(np.diff(table[:, column])) * FRAME_RATE > MAX_RADIANS_PER_SECOND
        is_bad = np.zeros(len(table), bool)
        is_bad[1:] |= steps
        is_bad[:-1] |= steps
        if is_bad.any() and not is_bad.all():
            table[is_bad, column] = np.interp(frames[is_bad], frames[~is_bad], table[~is_bad, column])
    flips = np.cumprod(np.where((table[1:, 3:7] * table[:-1, 3:7]).sum(axis=1) < 0, -1.0, 1.0))
    table[1:, 3:7] *= flips[:, None]
    low_pass = butter(2, LOW_PASS_HZ, fs=FRAME_RATE, output="sos")
    if len(table) > 12:  # `sosfiltfilt` pads by nine frames
        table = sosfiltfilt(low_pass, table, axis=0)
    table[:, 3:7] /= np.linalg.norm(table[:, 3:7], axis=1, keepdims=True)
    return table


def robot_kinematics(table: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Pose the robot.

    Args:
        table: `(frames, 36)`.

    Returns:
        Positions `(frames, 30, 3)` in metres and rotations `(frames, 30, 3, 3)` of the 29 links and, last, the pelvis,
        in our axes: x left, y up, z forward.
    """
    values = torch.from_numpy(np.ascontiguousarray(table, dtype=np.float64))
    quaternion = torch.nn.functional.normalize(values[:, 3:7], dim=-1)
    placed = {"pelvis": (values[:, :3], roma.unitquat_to_rotmat(quaternion))}
    for column, (link, parent, position, rest, axis) in enumerate(LINKS, start=7):
        origin, turn = placed[parent]
        rest_rotation = quaternion_to_matrix(torch.nn.functional.normalize(torch.tensor(rest).double(), dim=0))
        vector = torch.zeros(len(values), 3, dtype=torch.float64)
        vector[:, "xyz".index(axis)] = values[:, column]
        offset = torch.tensor(position, dtype=torch.float64)
        placed[link] = (origin + turn @ offset, turn @ rest_rotation @ roma.rotvec_to_rotmat(vector))
    order = [*LINK_INDEX, "pelvis"]
    positions = torch.stack([placed[link][0] for link in order], dim=1) @ _TO_OURS.T
    rotations = torch.stack([placed[link][1] for link in order], dim=1)
    return positions, _TO_OURS @ rotations @ _TO_OURS.T


def stance() -> np.ndarray:
    """Return the table of the robot standing straight with hanging, straight arms, `(1, 36)`."""
    table = np.zeros((1, NUM_COLUMNS))
    table[0, 6] = 1.0
    for side in ("left", "right"):
        table[0, 7 + LINK_INDEX[f"{side}_elbow"]] = np.pi / 2
    return table


def motion_from_robot(table: np.ndarray) -> Motion:
    """Put a dance of the robot on our body; see the module.

    Args:
        table: `(frames, 36)`, 60 Hz.

    Returns:
        The dance at 60 Hz, without contacts; the floor is where the robot's is, scaled.
    """
    skeleton = neutral_skeleton()
    offsets = torch.from_numpy(skeleton.offsets)
    positions, turns = robot_kinematics(clean_robot_table(table))
    rest_positions, rest_turns = robot_kinematics(stance())
    turned = turns @ rest_turns.transpose(-1, -2)  # of each link against the stance, in the world

    # Our rest pose has its arms to the sides: hanging, they are turned down by a quarter.
    hanging = {
        side: roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, sign * np.pi / 2], dtype=torch.float64))
        for side, sign in (("left", -1), ("right", 1))
    }
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(table), len(JOINT_NAMES), 1, 1)
    pelvis, torso = turned[:, -1], turned[:, LINK_INDEX["torso"]]
    bend = roma.rotmat_to_rotvec(pelvis.transpose(-1, -2) @ torso)
    for joint, share in (("pelvis", 0.0), ("spine1", 1 / 3), ("spine2", 2 / 3)):
        rotations[:, JOINT_INDEX[joint]] = pelvis @ roma.rotvec_to_rotmat(share * bend)
    for joint in ("spine3", "neck", "head", "left_collar", "right_collar"):
        rotations[:, JOINT_INDEX[joint]] = torso
    for side in ("left", "right"):
        for part, link in _BONES.items():
            turn = turned[:, LINK_INDEX[f"{side}_{link}"]]
            is_arm = part in ("shoulder", "elbow", "wrist")
            rotations[:, JOINT_INDEX[f"{side}_{part}"]] = turn @ hanging[side] if is_arm else turn

    hips, ankles = (
        [LINK_INDEX[f"{side}_{link}"] for side in ("left", "right")] for link in ("hip_roll", "ankle_roll")
    )
    robot_leg = (rest_positions[0, hips, 1] - rest_positions[0, ankles, 1]).mean()
    scale = skeleton.leg_length / robot_leg
    our_hips = offsets[[JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(0)
    root = scale * positions[:, hips].mean(1) - rotations[:, 0] @ our_hips
    axis = positions[:, hips[0]] - positions[:, hips[1]]
    axis[:, 1] = 0
    smooth = gaussian_filter1d(axis.numpy(), AXIS_SMOOTHING_SECONDS * FRAME_RATE, axis=0, mode="nearest")
    inwards = -INWARDS_METRES * torch.nn.functional.normalize(torch.from_numpy(smooth), dim=-1)
    for side, ankle, sign in (("left", ankles[0], 1), ("right", ankles[1], -1)):
        reach_with_leg(side, root, rotations, offsets, scale * positions[:, ankle] + sign * inwards)
    return Motion(
        FRAME_RATE,
        root.numpy(),
        matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy(),
        skeleton,
        provenance={"rotations": "source"},
    )
