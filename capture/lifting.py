"""From the landmarks of a track to a dance in the room, and to the camera that saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..modeling.lifter.landmark_view import view_landmarks
from ..modeling.lifter.modeling_lifter import ROOT_SCALE_METRES, LifterModel
from ..motion.kinematics import local_rotations, matrix_to_quaternion, rotation_6d_to_matrix
from ..motion.motion import Motion
from ..motion.skeleton import PARENTS, neutral_skeleton
from ..restoration.pipeline_frdm import ClipWindows
from .camera import Camera, default_focal_length, level_camera_rotation
from .fitting import FitSettings, Lifted, fit
from .landmark_body import NEUTRAL_HEIGHT_METRES
from .landmarks import LandmarkTrack

HEIGHT_RANGE_METRES = (0.5, 2.5)


@dataclass(frozen=True, eq=False)
class LiftedMotion:
    """A dance that was seen by a camera.

    Args:
        motion: 30 Hz, the floor at y = 0, with `foot_contacts`; frame 0 is the track's.
        camera: In the same room.
        contact_probabilities: `(frames, 4)`, of left ankle, right ankle, left foot, right foot on the floor.
        reprojection_error: `(frames,)`, mean distance of the posed landmarks from those that were seen, in shares of
            the person's height in the picture; NaN where nobody was found.
    """

    motion: Motion
    camera: Camera
    contact_probabilities: np.ndarray
    reprojection_error: np.ndarray


def lift(
    track: LandmarkTrack,
    lifter: LifterModel,
    *,
    height_metres: float = NEUTRAL_HEIGHT_METRES,
    focal_length_pixels: float | None = None,
    settings: FitSettings | None = None,
) -> LiftedMotion:
    """Find the dance and the camera that explain a track.

    The lifter proposes poses, the root's path, contacts and the camera's tilt; a body of fixed bones is then fitted to
    what was seen (`fit`). The camera is taken to stand still.

    Args:
        track: At least two frames.
        lifter: In evaluation mode.
        height_metres: Of the dancer: a video alone does not tell how large it is.
        focal_length_pixels: Of the camera; `None`: the lifter's estimate.
        settings: Of the fit.

    Raises:
        ValueError: If the height is not between 0.5 and 2.5 m, a focal length is not positive, or the track is of one
            frame or shows nobody.
    """
    low, high = HEIGHT_RANGE_METRES
    if not low <= height_metres <= high:
        raise ValueError(f"`height_metres` must be between {low} and {high}, got {height_metres}.")
    if focal_length_pixels is not None and not 0 < focal_length_pixels < np.inf:
        raise ValueError(f"`focal_length_pixels` must be a positive number of pixels, got {focal_length_pixels}.")
    if track.num_frames < 2:
        raise ValueError(f"A track must have at least two frames, got {track.num_frames}.")
    fitted = fit(track, propose(track, lifter, focal_length_pixels), settings or FitSettings())
    scale = height_metres / NEUTRAL_HEIGHT_METRES
    floor = torch.tensor([fitted.root_positions[0, 0], fitted.floor_height, fitted.root_positions[0, 2]])
    skeleton = neutral_skeleton().scaled(scale)
    motion = Motion(
        frame_rate=track.frame_rate,
        root_positions=((fitted.root_positions - floor) * scale).numpy(),
        joint_rotations=matrix_to_quaternion(fitted.rotations.double()).numpy(),
        skeleton=skeleton,
        provenance={"rotations": "fitted"},
    )
    contacts = skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
    rotation = level_camera_rotation(fitted.pitch, fitted.roll)
    return LiftedMotion(
        motion=Motion(
            motion.frame_rate, motion.root_positions, motion.joint_rotations, skeleton, contacts, motion.provenance
        ),
        camera=Camera(track.image_size, fitted.focal_length, rotation[None], (-floor * scale).numpy().astype(float)),
        contact_probabilities=fitted.contact_probabilities.numpy(),
        reprojection_error=fitted.reprojection_error.numpy(),
    )


@torch.no_grad()
def propose(track: LandmarkTrack, lifter: LifterModel, focal_length_pixels: float | None = None) -> Lifted:
    """Run the lifter over a track in windows that overlap and are mixed.

    Args:
        track: At least two frames.
        lifter: In evaluation mode.
        focal_length_pixels: Of the camera; `None`: the lifter's estimate.

    Raises:
        ValueError: If the track shows nobody for as long as a window.
    """
    windows = ClipWindows(track.num_frames, lifter.config.window_frames, lifter.config.overlap_frames)
    parts = [_propose_window(track, lifter, start) for start in windows.starts]
    camera = torch.stack([camera for _, camera in parts]).mean(dim=0)
    mixed = windows.mix(torch.stack([frames for frames, _ in parts]))
    rotations, offsets, root, contacts = mixed.split([132, 63, 3, 4], dim=-1)
    focal = focal_length_pixels or default_focal_length(track.image_size) * float(camera[2].exp())
    depth = focal * root[:, 2].exp()
    in_camera = torch.cat([root[:, :2] / focal * depth[:, None], depth[:, None]], dim=-1)
    turn = torch.from_numpy(level_camera_rotation(float(camera[0]), float(camera[1]))).float()
    return Lifted(
        rotations=local_rotations(rotation_6d_to_matrix(rotations.unflatten(-1, (22, 6))), PARENTS),
        joint_offsets=offsets.unflatten(-1, (21, 3)),
        root_positions=in_camera @ turn,
        contact_probabilities=contacts.sigmoid(),
        pitch=float(camera[0]),
        roll=float(camera[1]),
        focal_length=focal,
        is_focal_length_known=focal_length_pixels is not None,
    )


def _propose_window(track: LandmarkTrack, lifter: LifterModel, start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the lifter says of one window, in terms of the picture, `(window_frames, 202)`, and the camera."""
    frames = np.minimum(start + np.arange(lifter.config.window_frames), track.num_frames - 1)
    num_real = min(track.num_frames - start, len(frames))
    view = view_landmarks(
        track.image_points[frames], track.confidences[frames], track.world_points[frames], track.image_size
    )
    mask = torch.arange(len(frames))[None] < num_real
    output = lifter(torch.from_numpy(view.features)[None], frame_mask=mask)
    pixels = torch.from_numpy(view.centers).float() + output.root_offset[0] * view.size
    log_depth = output.root_log_depth[0] + float(np.log(ROOT_SCALE_METRES / view.size))
    values = [
        output.joint_rotations_6d[0].flatten(1),
        output.joint_offsets[0].flatten(1),
        pixels,
        log_depth[:, None],
        output.contact_logits[0],
    ]
    return torch.cat(values, dim=-1), output.camera[0]
