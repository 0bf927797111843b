"""Fit a body of fixed bones, standing on a floor, to the landmarks that were seen (Adam over whole stretches)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import roma
import torch

from ..motion.kinematics import forward_kinematics
from ..motion.skeleton import CONTACT_JOINTS, PARENTS, neutral_skeleton
from .camera import camera_rotations
from .landmark_body import NEUTRAL_HEIGHT_METRES, place_landmarks
from .landmarks import NUM_LANDMARKS, LandmarkTrack

CHUNK_FRAMES, OVERLAP_FRAMES = 600, 30
"""Long tracks are fitted in stretches that overlap and are mixed: memory does not grow with them."""
CAMERA_STRETCHES, CAMERA_STRETCH_FRAMES = 6, 120
"""Of a long track, spread over it: the camera is fitted to these, and holds for all of it."""


@dataclass(frozen=True, eq=False)
class Lifted:
    """Poses and a camera, in the space of its first, level view: x right, y up, z toward the viewer, the camera at 0.

    Lengths are those of a body of 1.70 m.

    Args:
        rotations: Local, `(frames, 22, 3, 3)`; the root's in space.
        joint_offsets: Joints but the root relative to it, `(frames, 21, 3)`, metres.
        root_positions: `(frames, 3)`, metres.
        contact_probabilities: `(frames, 4)`.
        pitch: Of the camera, down, radians.
        roll: Of the camera, clockwise, radians.
        focal_length: Pixels.
        is_focal_length_known: Whether somebody gave it.
        headings: How far the camera has turned to the right since the first frame, `(frames,)`, radians.
        floor_height: In this space, metres: minus the height of the camera.
        reprojection_error: `(frames,)`, see `LiftedMotion`; empty before the fit.
    """

    rotations: torch.Tensor
    joint_offsets: torch.Tensor
    root_positions: torch.Tensor
    contact_probabilities: torch.Tensor
    pitch: float
    roll: float
    focal_length: float
    is_focal_length_known: bool
    headings: torch.Tensor
    floor_height: float = 0.0
    reprojection_error: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


@dataclass(frozen=True)
class FitSettings:
    """Weights of the fit; each term is a mean over frames.

    Args:
        iterations: Steps of Adam of each stretch.
        image: Of landmarks from where they were seen, in shares of the dancer's size.
        space: Of joints from where the lifter has them, metres.
        pose: Of rotations from the lifter's, radians.
        smoothness: Of the acceleration of joints, metres a frame squared.
        depth_smoothness: Of the acceleration of the root along the camera's axis.
        contact: Of the speed of feet on the floor, metres a frame.
        floor: Of the height of feet on the floor, metres.
        camera: Of the camera from the lifter's.
    """

    iterations: int = 150
    image: float = 4.0
    space: float = 1.0
    pose: float = 0.005
    smoothness: float = 3.0
    depth_smoothness: float = 10.0
    contact: float = 20.0
    floor: float = 2.0
    camera: float = 0.02


_IMAGE_SCALE, _SPACE_SCALE = 0.04, 0.08
"""Where the penalty of a distance turns from squared to linear, in sizes of the dancer and in metres."""
_UNSURE = 0.02


def fit(track: LandmarkTrack, lifted: Lifted, settings: FitSettings) -> Lifted:
    """Move poses, path and camera of a proposal toward what was seen.

    Args:
        track: What was seen.
        lifted: The proposal, of the same frames.
        settings: Weights.
    """
    stretches = _camera_stretches(track.num_frames)
    fitted = _Fit(track, lifted, stretches, settings, fits_camera=True)
    fitted.run()
    if len(stretches) == 1:
        return fitted.result()
    lifted = fitted.with_camera(lifted)
    parts, starts = [], _chunk_starts(track.num_frames)
    for start in starts:
        part = _Fit(track, lifted, [range(start, min(start + CHUNK_FRAMES, track.num_frames))], settings, False)
        part.run()
        parts.append(part.result())
    return _join(lifted, parts, starts)


def _camera_stretches(num_frames: int) -> list[range]:
    if num_frames <= CHUNK_FRAMES:
        return [range(num_frames)]
    last = num_frames - CAMERA_STRETCH_FRAMES
    starts = [last * index // (CAMERA_STRETCHES - 1) for index in range(CAMERA_STRETCHES)]
    return [range(start, start + CAMERA_STRETCH_FRAMES) for start in starts]


def _chunk_starts(num_frames: int) -> list[int]:
    stride = CHUNK_FRAMES - OVERLAP_FRAMES
    return list(range(0, max(1, num_frames - OVERLAP_FRAMES), stride))


def _join(lifted: Lifted, parts: list[Lifted], starts: list[int]) -> Lifted:
    """Cross-fade stretches that overlap; the joints are where the cross-faded rotations have them."""
    joined = parts[0]
    for part, start in zip(parts[1:], starts[1:], strict=True):
        shared = len(joined.root_positions) - start
        weight = (torch.arange(shared) + 1) / (shared + 1)
        root = torch.lerp(joined.root_positions[start:], part.root_positions[:shared], weight[:, None])
        first, second = (roma.rotmat_to_unitquat(x) for x in (joined.rotations[start:], part.rotations[:shared]))
        relative = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(first), second))
        turned = roma.quat_product(first, roma.rotvec_to_unitquat(relative * weight[:, None, None]))
        errors = (joined.reprojection_error, part.reprojection_error)
        joined = replace(
            lifted,
            floor_height=joined.floor_height,
            rotations=torch.cat([joined.rotations[:start], roma.unitquat_to_rotmat(turned), part.rotations[shared:]]),
            root_positions=torch.cat([joined.root_positions[:start], root, part.root_positions[shared:]]),
            reprojection_error=torch.cat([errors[0], errors[1][shared:]]),
        )
    bones = torch.from_numpy(neutral_skeleton().offsets).float()
    joints, _ = forward_kinematics(joined.rotations, torch.zeros_like(joined.root_positions), bones, PARENTS)
    return replace(joined, joint_offsets=joints[:, 1:])


class _Fit:
    """One fit: stretches of equal length, that share a camera."""

    def __init__(
        self, track: LandmarkTrack, lifted: Lifted, stretches: list[range], settings: FitSettings, fits_camera: bool
    ):
        index = torch.tensor([list(stretch) for stretch in stretches])
        self.lifted, self.settings, self.fits_camera = lifted, settings, fits_camera
        middle = torch.tensor(track.image_size) / 2
        self.points = torch.from_numpy(track.image_points)[index] - middle
        self.confidences = torch.from_numpy(track.confidences)[index]
        self.headings = lifted.headings[index].float()
        self.base, self.root = lifted.rotations[index].float(), lifted.root_positions[index].float()
        self.targets, self.contacts = lifted.joint_offsets[index].float(), lifted.contact_probabilities[index].float()
        self.bones = torch.from_numpy(neutral_skeleton().offsets).float()
        self.rest_heights = torch.tensor(neutral_skeleton().contact_rest_heights).float()
        self.sizes = self._sizes()
        self.turn = torch.zeros(*self.base.shape[:3], 3, requires_grad=True)
        self.shift = torch.zeros_like(self.root, requires_grad=True)
        self.camera = torch.zeros(3, requires_grad=fits_camera)  # pitch, roll, logarithm of the focal length
        self.floor = torch.tensor(self._first_floor(), requires_grad=fits_camera)

    def _sizes(self) -> torch.Tensor:
        """Return how large the dancer is in each picture, `(stretches, frames, 1)`, pixels: by the proposed depth."""
        angles = torch.tensor([self.lifted.pitch, self.lifted.roll])
        ahead = camera_rotations(self.headings, *angles)[..., 2, :]
        return self.lifted.focal_length / (self.root * ahead).sum(dim=-1, keepdim=True).clamp(min=0.2)

    def _first_floor(self) -> float:
        if not self.fits_camera:
            return self.lifted.floor_height
        feet = self._feet(self.root, self.targets)
        weights = self.contacts.flatten()
        heights = (feet[..., 1] - self.rest_heights).flatten()
        if float(weights.sum()) < 1:
            return float(heights.min())
        order = heights.argsort()
        cumulated = weights[order].cumsum(0)
        return float(heights[order][int((cumulated < cumulated[-1] / 2).sum())])

    @staticmethod
    def _feet(root: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return root[..., None, :] + offsets[..., [joint - 1 for joint in CONTACT_JOINTS], :]

    def pose(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return local rotations, offsets of joints from the root, root positions, and landmarks."""
        rotations = self.base @ roma.rotvec_to_rotmat(self.turn)
        root = self.root + self.shift * (self.root.norm(dim=-1, keepdim=True) / 4)
        joints, turned = forward_kinematics(rotations, root, self.bones, PARENTS)
        return rotations, joints[..., 1:, :] - root[..., None, :], root, place_landmarks(joints, turned)

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Project points `(stretches, frames, points, 3)` to pixels from the middle of the picture."""
        angles = torch.stack([self.lifted.pitch + self.camera[0], self.lifted.roll + self.camera[1]])
        seen = points @ camera_rotations(self.headings, *angles).transpose(-1, -2)
        stretch = torch.ones(()) if self.lifted.is_focal_length_known else self.camera[2].exp()
        focal = self.lifted.focal_length * stretch
        return focal * seen[..., :2] / seen[..., 2:].clamp(min=0.1)

    def run(self) -> None:
        """Run Adam."""
        groups = [{"params": [self.turn], "lr": 0.02}, {"params": [self.shift], "lr": 0.01}]
        if self.fits_camera:
            groups.append({"params": [self.camera, self.floor], "lr": 0.005})
        optimizer = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.settings.iterations)
        for _ in range(self.settings.iterations):
            loss = self.loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def loss(self) -> torch.Tensor:
        """Return the weighted sum of all terms."""
        settings = self.settings
        _, offsets, root, landmarks = self.pose()
        distances = (self.project(landmarks) - self.points).norm(dim=-1) / self.sizes
        weights = self.confidences.square()
        image = (weights * _penalty(distances, _IMAGE_SCALE)).sum(dim=-1) / (
            weights.sum(dim=-1) + _UNSURE * NUM_LANDMARKS
        )
        space = _penalty((offsets - self.targets).norm(dim=-1), _SPACE_SCALE).mean(dim=-1)
        loss = settings.image * image.mean() + settings.space * space.mean()
        loss = loss + settings.pose * self.turn.square().sum(dim=-1).mean()
        feet = self._feet(root, offsets)
        low = feet[..., 1] - self.rest_heights - self.floor
        loss = loss + settings.floor * (self.contacts * low.square() + low.clamp(max=0).square()).mean()
        loss = loss + settings.camera * self.camera.square().sum()
        if feet.shape[1] > 2:
            both = self.contacts[:, 1:] * self.contacts[:, :-1]
            loss = loss + settings.contact * (both * feet.diff(dim=1).square().sum(dim=-1)).mean()
            joints = torch.cat([root[..., None, :], root[..., None, :] + offsets], dim=-2)
            loss = loss + settings.smoothness * joints.diff(n=2, dim=1).square().sum(dim=-1).mean()
            loss = loss + settings.depth_smoothness * root[..., 2].diff(n=2, dim=1).square().mean()
        return loss

    @torch.no_grad()
    def result(self) -> Lifted:
        """Return the fitted poses of all stretches, one after the other."""
        rotations, offsets, root, landmarks = self.pose()
        distances = (self.project(landmarks) - self.points).norm(dim=-1) / (NEUTRAL_HEIGHT_METRES * self.sizes)
        weights = self.confidences
        error = (weights * distances).sum(dim=-1) / weights.sum(dim=-1)  # NaN where nobody was found
        return replace(
            self.with_camera(self.lifted),
            rotations=rotations.flatten(0, 1),
            joint_offsets=offsets.flatten(0, 1),
            root_positions=root.flatten(0, 1),
            contact_probabilities=self.contacts.flatten(0, 1),
            reprojection_error=error.flatten(),
        )

    def with_camera(self, lifted: Lifted) -> Lifted:
        """Return a proposal with the camera of this fit."""
        pitch, roll, log_stretch = self.camera.tolist()
        stretch = 1.0 if lifted.is_focal_length_known else math.exp(log_stretch)
        return replace(
            lifted,
            pitch=lifted.pitch + pitch,
            roll=lifted.roll + roll,
            focal_length=lifted.focal_length * stretch,
            is_focal_length_known=True,
            floor_height=self.floor.detach().item(),
        )


def _penalty(distances: torch.Tensor, scale: float) -> torch.Tensor:
    """Return squared distances that turn linear beyond `scale` (pseudo-Huber)."""
    return scale**2 * ((1 + (distances / scale).square()).sqrt() - 1)
