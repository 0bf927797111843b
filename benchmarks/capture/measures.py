"""How far a captured dance is from the one that was drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from infinitedance.capture.camera import Camera
from infinitedance.capture.landmarks import LANDMARK_INDEX, LandmarkTrack
from infinitedance.evaluation.metrics.foot_contact import (
    floor_float_mm,
    floor_penetration_mm,
    foot_skating_ratio,
    foot_slide_mm,
)
from infinitedance.evaluation.metrics.physics import jitter
from infinitedance.evaluation.metrics.reconstruction import mpjpe_mm, pa_mpjpe_mm, rte_percent
from infinitedance.motion.features import facing_heading
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES

MEASURES = {
    "mpjpe": "hip-aligned MPJPE, mm",
    "limbs_mpjpe": "of 12 limb joints, mm",
    "pa_mpjpe": "PA-MPJPE, mm",
    "root": "root error, % of the path",
    "facing": "faces right, share",
    "contact_f1": "contact F1",
    "slide": "foot slide, mm/frame",
    "skating": "FSR",
    "jitter": "jitter, 10 m/s³",
    "penetration": "penetration, mm",
    "float": "float, mm",
    "covered": "captured, share of the video",
}
FACING_DEGREES = 45.0
_SIDES = ("left", "right")
_HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
_LIMB_PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
LIMB_JOINTS = [JOINT_INDEX[f"{side}_{part}"] for part in _LIMB_PARTS for side in _SIDES]


def seen_from(motion: Motion, camera: Camera) -> Motion:
    """Turn a dance about the vertical so that the camera of frame 0 looks along -z, as captured dances have it."""
    ahead = camera.rotations[0, 2]
    angle = math.atan2(-ahead[0], -ahead[2])  # of the way to the viewer; it becomes +z
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    half = np.array([math.cos(angle / 2), 0, -math.sin(angle / 2), 0])
    rotations = motion.joint_rotations.astype(np.float64)
    rotations[:, 0] = _multiply(half, rotations[:, 0])
    return replace(motion, root_positions=motion.root_positions @ turn.T, joint_rotations=rotations)


def _multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return products of quaternions wxyz."""
    w, vector = first[..., :1], first[..., 1:]
    other_w, other = second[..., :1], second[..., 1:]
    real = w * other_w - (vector * other).sum(axis=-1, keepdims=True)
    return np.concatenate([real, w * other + other_w * vector + np.cross(vector, other)], axis=-1)


def measure_capture(positions: np.ndarray, contacts: np.ndarray | None, truth: Motion) -> dict[str, float]:
    """Return all of `MEASURES` but the raw estimator's.

    Args:
        positions: `(frames, 22, 3)`, metres, of the size of the performer, seen from the camera, the floor at y = 0.
        contacts: `(frames, 4)` bool, as captured; `None` where the stage knows none.
        truth: What was drawn, of the same frames, seen from the camera.
    """
    true = truth.joint_positions().astype(np.float64)
    true_contacts = truth.skeleton.detect_foot_contacts(true, truth.frame_rate)
    feet, rest_heights = positions[:, list(CONTACT_JOINTS)], truth.skeleton.contact_rest_heights
    return measure_pose(positions, truth) | {
        "root": rte_percent(positions[:, 0], true[:, 0]),
        "contact_f1": math.nan if contacts is None else contact_f1(contacts, true_contacts),
        "slide": foot_slide_mm(feet, true_contacts),
        "skating": foot_skating_ratio(feet, truth.frame_rate, rest_heights=rest_heights),
        "jitter": jitter(positions, truth.frame_rate),
        "penetration": floor_penetration_mm(feet, rest_heights),
        "float": floor_float_mm(feet, rest_heights, true_contacts),
    }


def measure_pose(positions: np.ndarray, truth: Motion) -> dict[str, float]:
    """Return what can be measured of poses without a path: all of them relative to the hips.

    Args:
        positions: `(frames, 22, 3)`, metres, seen from the camera.
        truth: Likewise.
    """
    true = truth.joint_positions().astype(np.float64)
    limbs = [LIMB_JOINTS.index(hip) for hip in _HIPS]
    return {
        "mpjpe": mpjpe_mm(positions, true, align_joints=_HIPS),
        "limbs_mpjpe": mpjpe_mm(positions[:, LIMB_JOINTS], true[:, LIMB_JOINTS], align_joints=limbs),
        "pa_mpjpe": pa_mpjpe_mm(positions, true),
        "facing": facing_share(positions, true, truth.frame_rate),
    }


def facing_share(positions: np.ndarray, true: np.ndarray, frame_rate: float) -> float:
    """Return in which share of the frames hips and shoulders face the right way, to `FACING_DEGREES`."""
    difference = facing_heading(positions, frame_rate) - facing_heading(true, frame_rate)
    return float((np.cos(difference) > math.cos(math.radians(FACING_DEGREES))).mean())


def contact_f1(contacts: np.ndarray, true_contacts: np.ndarray) -> float:
    """Return the F1 of contacts, `(frames, 4)` bool; 1 where there are none in both."""
    total = contacts.sum() + true_contacts.sum()
    return 1.0 if total == 0 else float(2 * (contacts & true_contacts).sum() / total)


def estimator_joints(track: LandmarkTrack, camera: Camera) -> np.ndarray:
    """Return our joints as the estimator's own landmarks in space have them, `(frames, 22, 3)`, seen from the camera.

    The estimator knows no gravity: the true tilt of the camera is given to it. Of the joints that it does not mark,
    spine, neck and collars lie on the line between the middles of hips and shoulders and toward the shoulders, and the
    head is the middle of the ears.
    """
    rotations = camera.rotations if len(camera.rotations) == track.num_frames else camera.rotations[:1]
    points = np.einsum("fji,fpj->fpi", np.broadcast_to(rotations, (track.num_frames, 3, 3)), track.world_points)
    ahead = camera.rotations[0, 2]
    angle = math.atan2(-ahead[0], -ahead[2])
    cosine, sine = math.cos(angle), math.sin(angle)
    points = points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]).T

    def of(part: str) -> dict[str, np.ndarray]:
        return {side: points[:, LANDMARK_INDEX[f"{side}_{part}"]] for side in _SIDES}

    joints = np.zeros((track.num_frames, len(JOINT_NAMES), 3))
    hips, shoulders, ears = (sum(of(part).values()) / 2 for part in ("hip", "shoulder", "ear"))
    trunk = {"pelvis": 0.14, "spine1": 0.35, "spine2": 0.61, "spine3": 0.73, "neck": 1.14}
    for name, share in trunk.items():
        joints[:, JOINT_INDEX[name]] = hips + share * (shoulders - hips)
    joints[:, JOINT_INDEX["head"]] = 0.6 * ears + 0.4 * joints[:, JOINT_INDEX["neck"]]
    for side in _SIDES:
        for part in _LIMB_PARTS:
            joints[:, JOINT_INDEX[f"{side}_{part}"]] = of(part)[side]
        joints[:, JOINT_INDEX[f"{side}_foot"]] = 0.3 * of("ankle")[side] + 0.7 * of("foot_index")[side]
        collar = hips + 0.98 * (shoulders - hips)
        joints[:, JOINT_INDEX[f"{side}_collar"]] = collar + 0.33 * (of("shoulder")[side] - shoulders)
    return joints
