"""From the landmarks of a track to a dance in the room, and to the camera that saw it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from ..assets import DEFAULT_LIFTER
from ..modeling.lifter.landmark_view import view_landmarks
from ..modeling.lifter.modeling_lifter import ROOT_SCALE_METRES, LifterModel
from ..motion.kinematics import local_rotations, matrix_to_quaternion, rotation_6d_to_matrix, yaw_to_matrix
from ..motion.motion import Motion
from ..motion.skeleton import MIRROR_ORDER, PARENTS, neutral_skeleton
from ..restoration.pipeline_frdm import ClipWindows
from ..utils.checkpoints import load_model
from .camera import Camera, camera_rotations, default_focal_length
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


def load_lifter(path: str | os.PathLike | None = None) -> LifterModel:
    """Load a lifter, by default the one that ships.

    Args:
        path: Folder, or name on the Hub.

    Raises:
        FileNotFoundError: As `load_model`.
        OSError: As `load_model`.
        ValueError: As `load_model`.
    """
    return load_model(DEFAULT_LIFTER if path is None else path, LifterModel)


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
    what was seen (`fit`). The camera stands in one place; where the track says how the background moves in the
    picture, it turns.

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
    headings = fitted.headings if fitted.headings.any() else fitted.headings[:1]
    angles = torch.tensor([fitted.pitch, fitted.roll]).double()
    rotations = camera_rotations(headings.double(), *angles).numpy()
    return LiftedMotion(
        motion=replace(motion, foot_contacts=contacts),
        camera=Camera(track.image_size, fitted.focal_length, rotations, (-floor * scale).numpy().astype(float)),
        contact_probabilities=fitted.contact_probabilities.numpy(),
        reprojection_error=fitted.reprojection_error.numpy(),
    )


@torch.no_grad()
def propose(track: LandmarkTrack, lifter: LifterModel, focal_length_pixels: float | None = None) -> Lifted:
    """Run the lifter over a track and over its mirror image, in windows that overlap; everything is averaged.

    Args:
        track: At least two frames.
        lifter: In evaluation mode.
        focal_length_pixels: Of the camera; `None`: the lifter's estimate.

    Raises:
        ValueError: If the track shows nobody for as long as a window.
    """
    seen, mirrored = _run_lifter(track, lifter), _run_lifter(track.mirror(), lifter).mirror()
    both = _Proposal(*(torch.stack(parts).mean(dim=0) for parts in zip(seen, mirrored, strict=True)))
    pitch, roll, log_focal = both.camera.tolist()
    focal = focal_length_pixels or default_focal_length(track.image_size) * math.exp(log_focal)
    depth = focal * both.log_depth.exp()
    in_camera = torch.cat([both.root_pixels / focal * depth, depth], dim=-1)
    headings = _headings(track, focal)
    turns = camera_rotations(headings, *torch.tensor([pitch, roll]))
    views = yaw_to_matrix(-headings)  # from the level view of a frame to that of the first
    return Lifted(
        rotations=local_rotations(views[:, None] @ rotation_6d_to_matrix(both.rotations_6d), PARENTS),
        joint_offsets=both.joint_offsets @ views.transpose(-1, -2),
        root_positions=(in_camera[:, None] @ turns)[:, 0],
        contact_probabilities=both.contact_logits.sigmoid(),
        pitch=pitch,
        roll=roll,
        focal_length=focal,
        is_focal_length_known=focal_length_pixels is not None,
        headings=headings,
    )


def _headings(track: LandmarkTrack, focal_length: float) -> torch.Tensor:
    """Return how far the camera has turned to the right since the first frame, `(frames,)`, radians.

    The background moves to the left in the picture of a camera that turns to the right.
    """
    return -torch.from_numpy(track.camera_shifts[:, 0]) / focal_length


class _Proposal(NamedTuple):
    """What the lifter says of a track, in terms of the picture.

    Args:
        rotations_6d: `(frames, 22, 6)`.
        joint_offsets: `(frames, 21, 3)`, metres.
        root_pixels: `(frames, 2)`, from the middle of the picture.
        log_depth: Logarithm of the root's depth over the focal length, `(frames, 1)`.
        contact_logits: `(frames, 4)`.
        camera: `(3,)`, see `LifterOutput`.
    """

    rotations_6d: torch.Tensor
    joint_offsets: torch.Tensor
    root_pixels: torch.Tensor
    log_depth: torch.Tensor
    contact_logits: torch.Tensor
    camera: torch.Tensor

    def mirror(self) -> _Proposal:
        """Return the proposal of the picture's mirror image."""
        flip, joints = torch.tensor([-1.0, 1.0, 1.0]), list(MIRROR_ORDER)
        # Columns of the mirrored rotation: both axes are mirrored, and the first one turns round.
        columns = torch.cat([-flip, flip])
        return _Proposal(
            self.rotations_6d[:, joints] * columns,
            self.joint_offsets[:, [joint - 1 for joint in joints[1:]]] * flip,
            self.root_pixels * flip[:2],
            self.log_depth,
            self.contact_logits[:, [1, 0, 3, 2]],
            self.camera * torch.tensor([1.0, -1.0, 1.0]),
        )


def _run_lifter(track: LandmarkTrack, lifter: LifterModel) -> _Proposal:
    windows = ClipWindows(track.num_frames, lifter.config.window_frames, lifter.config.overlap_frames)
    parts = [_propose_window(track, lifter, start) for start in windows.starts]
    rotations, offsets, pixels, log_depth, contacts = (
        windows.mix(torch.stack([part[index].flatten(1) for part in parts])) for index in range(5)
    )
    camera = torch.stack([part.camera for part in parts]).mean(dim=0)
    offsets, rotations = offsets.unflatten(-1, (-1, 3)), rotations.unflatten(-1, (-1, 6))
    return _Proposal(rotations, offsets, pixels, log_depth, contacts, camera)


def _propose_window(track: LandmarkTrack, lifter: LifterModel, start: int) -> _Proposal:
    frames = np.minimum(start + np.arange(lifter.config.window_frames), track.num_frames - 1)
    view = view_landmarks(
        track.image_points[frames], track.confidences[frames], track.world_points[frames], track.image_size
    )
    mask = torch.arange(len(frames))[None] < track.num_frames - start
    output = lifter(torch.from_numpy(view.features)[None], frame_mask=mask)
    return _Proposal(
        output.joint_rotations_6d[0],
        output.joint_offsets[0],
        torch.from_numpy(view.centers).float() + output.root_offset[0] * view.size,
        output.root_log_depth[0, :, None] + math.log(ROOT_SCALE_METRES / view.size),
        output.contact_logits[0],
        output.camera[0],
    )
