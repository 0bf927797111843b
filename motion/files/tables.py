"""Write dances as tables of numbers: AMASS's SMPL-X `.npz` and CSV of joint positions."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import roma
import torch

from ...utils.atomic import atomic_path
from ..kinematics import quaternion_to_matrix
from ..motion import Motion
from ..skeleton import NUM_JOINTS
from .bone_names import bone_names
from .notes import export_notes
from .plausibility import y_up_to_z_up

_SMPLX_JOINTS, _SMPLX_BETAS = 55, 16


def write_smplx(motion: Motion, path: str | os.PathLike) -> None:
    """Write a dance as AMASS does for SMPL-X: axis-angle poses, metres, Z up; jaw and eyes at rest, hands flat.

    The hands of a dance with fingers are theirs, as rotations from the flat hand (`flat_hand_mean=True` of `smplx`).

    `trans` is where the pelvis is. SMPL-X adds the pelvis of its rest body to it, which lies in its licensed file:
    who poses that body subtracts it, `trans - J[0]`. Notes stand as JSON in `infinitedance`.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.

    Raises:
        OSError: As `atomic_path`.
    """
    to_z_up = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    matrices = motion.joint_rotations_matrix()
    matrices[:, 0] = to_z_up @ matrices[:, 0]
    vectors = roma.rotmat_to_rotvec(matrices).reshape(motion.num_frames, 3 * NUM_JOINTS).numpy()
    poses = np.zeros((motion.num_frames, 3 * _SMPLX_JOINTS))
    poses[:, : vectors.shape[1]] = vectors
    if motion.finger_rotations is not None:
        fingers = quaternion_to_matrix(torch.from_numpy(motion.finger_rotations).double())
        poses[:, 75:] = roma.rotmat_to_rotvec(fingers).flatten(1).numpy()
    arrays = {
        "poses": poses,
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3 : 3 * NUM_JOINTS],
        "pose_jaw": poses[:, 66:69],
        "pose_eye": poses[:, 69:75],
        "pose_hand": poses[:, 75:],
        "trans": y_up_to_z_up(motion.root_positions.astype(np.float64)),
        "betas": np.zeros(_SMPLX_BETAS),
        "num_betas": np.array(_SMPLX_BETAS),
        "gender": np.array("neutral"),
        "surface_model_type": np.array("smplx"),
        "mocap_frame_rate": np.array(motion.frame_rate),
        "mocap_time_length": np.array(motion.duration_seconds),
        "infinitedance": np.array(json.dumps(export_notes(motion, up_axis="Z"))),
    }
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def write_csv(motion: Motion, path: str | os.PathLike, *, names: str = "smpl") -> None:
    """Write the positions of the joints, a row a frame: `frame`, `time_seconds`, then x, y, z of each joint, metres.

    The notes come first, as one line of JSON after `#`; `beat` is 2 in the frame nearest to the first beat of a bar,
    1 in that of another beat, else 0.

    Args:
        motion: The dance.
        path: The file, written in full or not at all.
        names: Preset of `BONE_NAMES`.

    Raises:
        ValueError: If there is no such preset.
        OSError: As `atomic_path`.
    """
    notes = export_notes(motion)
    beats = np.zeros(motion.num_frames, dtype=int)
    for key, mark in (("beat_times_seconds", 1), ("downbeat_times_seconds", 2)):
        frames = np.round(np.asarray(notes[key]) * motion.frame_rate).astype(int)
        beats[frames[(frames >= 0) & (frames < motion.num_frames)]] = mark
    columns = [f"{name}_{axis}" for name in bone_names(names) for axis in "xyz"]
    positions = motion.joint_positions().reshape(motion.num_frames, -1)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {json.dumps(notes)}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", "time_seconds", "beat", *columns])
        for frame, (beat, row) in enumerate(zip(beats.tolist(), positions, strict=True)):
            writer.writerow([frame, f"{frame / motion.frame_rate:.6f}", beat, *(f"{value:.6f}" for value in row)])
