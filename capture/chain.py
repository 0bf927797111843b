"""From a lifted dance to a clean one: floor, physics, foot restoration, and what each stage does to the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..evaluation.metrics.foot_contact import floor_float_mm, floor_penetration_mm, foot_skating_ratio, foot_slide_mm
from ..evaluation.metrics.physics import jitter
from ..evaluation.metrics.reconstruction import mpjpe_mm
from ..evaluation.report.tables import without_nan
from ..motion.feet.grounding import Floor, find_floor
from ..motion.kinematics import shortest_rotation
from ..motion.motion import Motion
from ..motion.physics.imitation import imitate
from ..motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, Skeleton, neutral_skeleton
from ..restoration.restore import with_lower_body
from ..utils.extras import require_extra
from .camera import Camera
from .landmarks import LANDMARK_INDEX, LandmarkTrack
from .lifting import LiftedMotion

MEASURES = {
    "slide_mm": "slide of touching feet, mm a frame",
    "skating_ratio": "foot skating ratio (FSR)",
    "jitter": "jitter, 10 m/s³",
    "penetration_mm": "depth of the lower foot in the floor, mm",
    "float_mm": "height of the lower foot over the floor while it touches, mm",
    "moved_mm": "mean distance of the joints from the stage before, mm",
    "reprojection_percent": "distance of the joints from the landmarks in the picture, % of the person's height",
}
"""What every stage is measured by, the same contacts for all: those of the last stage."""
MIN_FRAMES = 4
"""Jitter needs third differences."""
MIN_CONFIDENCE = 0.5
"""Landmarks that are less sure are not compared with the dance."""
_LIMBS = {
    f"{side}_{joint}": (JOINT_INDEX[f"{side}_{joint}"], LANDMARK_INDEX[f"{side}_{joint}"])
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
"""Joints that a landmark marks, to a few centimetres."""


@dataclass(frozen=True, eq=False)
class Stage:
    """A dance after one stage.

    Args:
        name: `"lifted"`, `"floor"`, `"physics"` or `"feet"`.
        motion: On the body of the lifted dance, 30 Hz.
        is_used: Otherwise the stage did harm, and the next one begins with the dance before it.
        note: What there is to say of it, a sentence; empty: nothing.
        numbers: By the keys of `MEASURES`; `None` for what cannot be measured.
    """

    name: str
    motion: Motion
    is_used: bool = True
    note: str = ""
    numbers: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CleanedMotion:
    """Result of `clean_motion`.

    Args:
        stages: All of them, in their order.
        camera: In the room of the dance.
    """

    stages: tuple[Stage, ...]
    camera: Camera

    @property
    def motion(self) -> Motion:
        """The dance after the last stage that is used."""
        return [stage.motion for stage in self.stages if stage.is_used][-1]


def clean_motion(
    lifted: LiftedMotion,
    track: LandmarkTrack,
    restorer: Callable[..., Any] | None,
    *,
    physics: bool = False,
) -> CleanedMotion:
    """Put a lifted dance on the floor, let a simulated body imitate it, and restore its feet (paper section 3.1).

    The floor and the camera move together, so that the dance stays where it is in the picture. Physics moves root and
    legs; where its own report says that the body fell or went astray, its stage is shown and not used.

    Args:
        lifted: The dance as `lift` gives it, on our neutral body or one of another size: stages work in ours.
        track: The landmarks that it was lifted from.
        restorer: A `FrdmPipeline`, or any function of a motion whose result has a `motion`; `None` for no restoration.
        physics: Let a simulated body imitate the dance.

    Raises:
        ImportError: If physics is asked for and the extra `physics` is not installed.
        ValueError: If the dance has fewer than 4 frames, not as many as the track, or a body of other proportions.
    """
    if physics:
        require_extra("mujoco", "physics", "Physics")
    frames = lifted.motion.num_frames
    if frames < MIN_FRAMES or frames != track.num_frames:
        raise ValueError(
            f"The dance must have at least {MIN_FRAMES} frames and as many as its landmarks, got {frames} and "
            f"{track.num_frames}."
        )
    body, neutral = lifted.motion.skeleton, neutral_skeleton()
    scale = neutral.leg_length / body.leg_length
    motion = _resized(lifted.motion, neutral, scale)
    camera = replace(lifted.camera, position=lifted.camera.position * scale)
    floor = find_floor(motion)
    stages = [Stage("lifted", motion), Stage("floor", _with_contacts(floor.level(motion)), note=_floor_note(floor))]
    if physics:
        stages.append(_imitated(stages[-1].motion))
    observed = [stage.motion for stage in stages if stage.is_used][-1]
    if restorer is not None:
        stages.append(Stage("feet", restorer(observed).motion))
    stages = [replace(stage, motion=_resized(stage.motion, body, 1 / scale)) for stage in stages]
    camera = level_camera(floor, camera)
    camera = replace(camera, position=camera.position / scale)
    return CleanedMotion(_measured(stages, lifted.camera, camera, track), camera)


def level_camera(floor: Floor, camera: Camera) -> Camera:
    """Move a camera with the room whose floor is made level by `Floor.level`."""
    turn = np.eye(3)
    if floor.normal[1] < 1:
        up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        turn = shortest_rotation(torch.from_numpy(floor.normal), up).numpy()
    position = (camera.position - floor.point) @ turn.T + floor.point - np.array([0.0, floor.point[1], 0.0])
    return replace(camera, rotations=camera.rotations @ turn.T, position=position)


def reprojection_percent(motion: Motion, camera: Camera, track: LandmarkTrack) -> float:
    """Return how far shoulders, elbows, wrists, hips, knees and ankles are from their landmarks in the picture.

    Args:
        motion: The dance, in the room of the camera.
        camera: That saw it.
        track: What was seen.

    Returns:
        Percent of the person's height in the picture, a mean over landmarks of at least `MIN_CONFIDENCE`; NaN where
        there are none.
    """
    joints, landmarks = (list(indices) for indices in zip(*_LIMBS.values(), strict=True))
    positions = motion.joint_positions().astype(np.float64)
    depths = np.maximum(camera.to_camera(positions[:, :1])[..., 2], 1e-6)
    pixels = camera.focal_length * _stature(motion) / depths
    errors = np.linalg.norm(camera.project(positions[:, joints]) - track.image_points[:, landmarks], axis=-1) / pixels
    sure = track.confidences[:, landmarks] >= MIN_CONFIDENCE
    return 100 * float(errors[sure].mean()) if sure.any() else math.nan


def _stature(motion: Motion) -> float:
    """Return about how tall the body stands, metres: our neutral one of 1.70 m has legs of a known share of it."""
    return 1.70 * motion.skeleton.leg_length / neutral_skeleton().leg_length


def _resized(motion: Motion, skeleton: Skeleton, scale: float) -> Motion:
    """Return a dance, and the way that it takes, on a body that differs from its own in size only."""
    if not np.allclose(motion.skeleton.offsets * scale, skeleton.offsets, atol=1e-4):
        raise ValueError("A lifted dance must be on our neutral body, or on that body larger or smaller.")
    return replace(motion, skeleton=skeleton, root_positions=motion.root_positions * np.float32(scale))


def _with_contacts(motion: Motion) -> Motion:
    contacts = motion.skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
    return replace(motion, foot_contacts=contacts)


def _floor_note(floor: Floor) -> str:
    tilt = f" and turned level by {floor.slope_degrees:.1f} degrees" if floor.slope_degrees >= 0.05 else ""
    return f"Moved by {1000 * -floor.point[1]:+.0f} mm{tilt}."


def _imitated(motion: Motion) -> Stage:
    result = imitate(motion)
    report = result.report
    if report.rejected:
        why = "the simulated body fell" if report.fell else f"a joint went {report.max_error_metres:.2f} m astray"
        return Stage("physics", result.motion, False, f"Not used: {why}.")
    force = max(report.mean_residual_force)
    note = f"The root was pulled by {force:.2f} body weights on average along its worst axis."
    return Stage("physics", with_lower_body(motion, result.motion), True, note)


def _measured(stages: list[Stage], lifted_camera: Camera, camera: Camera, track: LandmarkTrack) -> tuple[Stage, ...]:
    """Measure each stage, and its distance from the one before that is used."""
    last = [stage.motion for stage in stages if stage.is_used][-1]
    contacts = last.foot_contacts if last.foot_contacts is not None else _with_contacts(last).foot_contacts
    assert contacts is not None
    done: list[Stage] = []
    for stage in stages:
        used = [each.motion for each in done if each.is_used]
        own_camera = camera if used else lifted_camera
        numbers = measure_stage(stage.motion, used[-1] if used else None, contacts)
        numbers["reprojection_percent"] = reprojection_percent(stage.motion, own_camera, track)
        done.append(replace(stage, numbers=without_nan(numbers)))
    return tuple(done)


def measure_stage(motion: Motion, before: Motion | None, foot_contacts: np.ndarray) -> dict[str, float | None]:
    """Measure feet, jitter and the distance from the stage before; NaN where something cannot be measured.

    Args:
        motion: The dance, the floor at y = 0.
        before: The dance before the stage; `None`: there is none.
        foot_contacts: `(frames, 4)` bool, the same for all stages.
    """
    positions = motion.joint_positions().astype(np.float64)
    feet, rest_heights = positions[:, list(CONTACT_JOINTS)], motion.skeleton.contact_rest_heights
    return {
        "slide_mm": foot_slide_mm(feet, foot_contacts),
        "skating_ratio": foot_skating_ratio(feet, motion.frame_rate, rest_heights=rest_heights),
        "jitter": jitter(positions, motion.frame_rate),
        "penetration_mm": floor_penetration_mm(feet, rest_heights),
        "float_mm": floor_float_mm(feet, rest_heights, foot_contacts),
        "moved_mm": None
        if before is None
        else mpjpe_mm(positions, before.joint_positions().astype(np.float64), align_joints=None),
    }
