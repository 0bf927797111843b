"""Training windows of the lifter: dances seen by random cameras, with the errors of the estimator, and rendered ones.

A window is either a dance whose landmarks are projected and disturbed as `training/estimator_errors.py` says, or a
dance that was rendered, with what the estimator found in the pictures (`benchmarks/capture/pairs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..capture.landmark_body import body_scale, place_landmarks
from ..capture.landmarks import MIRRORED_LANDMARKS
from ..modeling.lifter.landmark_view import view_landmarks
from ..modeling.lifter.losses_lifter import LifterLabels, pose_offsets
from ..modeling.lifter.modeling_lifter import ROOT_SCALE_METRES
from ..motion.files import read_arrays
from ..motion.kinematics import (
    forward_kinematics,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
    yaw_to_matrix,
)
from ..motion.motion import Motion
from ..motion.skeleton import JOINT_INDEX, MIRROR_ORDER, NUM_JOINTS, PARENTS, Skeleton, neutral_skeleton
from .estimator_errors import EstimatorErrors, disturb
from .random_cameras import RandomCamera, place_cameras

SPEEDS = (0.8, 1.25)
"""Dances are slowed and sped up by factors between these."""
MIXED_SHARE = 0.15
"""Of the windows: they have the trunk and the arms of another dance."""
LIMB_SCALES = (0.92, 1.08)
_UPPER_BODY = [
    JOINT_INDEX[name]
    for name in JOINT_INDEX
    if name.startswith(("spine", "neck", "head")) or name.endswith(("collar", "shoulder", "elbow", "wrist"))
]
_LIMBS: tuple[tuple[str, ...], ...] = (
    ("hip",),
    ("knee",),
    ("ankle", "foot"),
    ("spine1", "spine2", "spine3"),
    ("collar", "shoulder"),
    ("elbow",),
    ("wrist",),
)
_PICTURES = ((1280, 720), (720, 1280), (960, 960), (960, 720))


@dataclass(frozen=True, eq=False)
class Dance:
    """One dance of the training set.

    Args:
        rotations_6d: Local rotations, `(frames, 22, 6)` float32.
        root_positions: `(frames, 3)` float32, metres, the floor at y = 0.
        contacts: `(frames, 4)` float32.
    """

    rotations_6d: torch.Tensor
    root_positions: torch.Tensor
    contacts: torch.Tensor

    @classmethod
    def from_motion(cls, motion: Motion) -> Dance:
        """Take a dance on our neutral body."""
        contacts = motion.skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
        return cls(
            matrix_to_rotation_6d(motion.joint_rotations_matrix()).float(),
            torch.from_numpy(motion.root_positions).float(),
            torch.from_numpy(contacts).float(),
        )

    def window(self, start: float, speed: float, num_frames: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return rotations, root and contacts of `num_frames` frames from `start` on, at another speed."""
        frames = (start + speed * torch.arange(num_frames)).clamp(max=len(self.root_positions) - 1)
        before = frames.floor().long()
        after = (before + 1).clamp(max=len(self.root_positions) - 1)
        share = (frames - before).float()
        rotations = torch.lerp(self.rotations_6d[before], self.rotations_6d[after], share[:, None, None])
        root = torch.lerp(self.root_positions[before], self.root_positions[after], share[:, None])
        return rotations, root, self.contacts[frames.round().long()]


@dataclass(frozen=True, eq=False)
class RenderedPair:
    """A rendered dance and what the estimator found; arrays as `benchmarks/capture/pairs.py` writes them."""

    image_points: np.ndarray
    confidences: np.ndarray
    world_points: np.ndarray
    image_size: tuple[int, int]
    rotations: torch.Tensor
    root_positions: torch.Tensor
    skeleton_offsets: torch.Tensor
    contacts: torch.Tensor
    focal_length: float
    camera_rotations: torch.Tensor
    camera_position: torch.Tensor

    @classmethod
    def read(cls, path: Path) -> RenderedPair:
        """Read a file of `benchmarks/capture/pairs.py`."""
        arrays = read_arrays(path)
        skeleton = Skeleton(arrays["offsets"], float(arrays["toe_rest_height"]))
        quaternions = arrays["joint_rotations"].astype(np.float64)
        quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
        motion = Motion(30.0, arrays["root_positions"], quaternions, skeleton)
        rotations = torch.from_numpy(arrays["camera_rotations"]).float()
        contacts = skeleton.detect_foot_contacts(motion.joint_positions(), motion.frame_rate)
        width, height = arrays["image_size"].tolist()
        return cls(
            image_points=arrays["image_points"].astype(np.float32),
            confidences=arrays["confidences"].astype(np.float32),
            world_points=arrays["world_points"].astype(np.float32),
            image_size=(int(width), int(height)),
            rotations=global_rotations(motion.joint_rotations_matrix()).float(),
            root_positions=torch.from_numpy(motion.root_positions).float(),
            skeleton_offsets=torch.from_numpy(skeleton.offsets).float(),
            contacts=torch.from_numpy(contacts).float(),
            focal_length=float(arrays["focal_length"]),
            camera_rotations=rotations.expand(motion.num_frames, 3, 3),
            camera_position=torch.from_numpy(arrays["camera_position"]).float(),
        )

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.image_points)

    def mirror(self) -> RenderedPair:
        """Return the picture's mirror image: left and right of the dancer change places, and those of the room."""
        flip, joints, landmarks = torch.tensor([-1.0, 1.0, 1.0]), list(MIRROR_ORDER), list(MIRRORED_LANDMARKS)
        points = self.image_points[:, landmarks] * np.array([-1, 1]) + np.array([self.image_size[0], 0])
        return replace(
            self,
            image_points=points,
            confidences=self.confidences[:, landmarks],
            world_points=self.world_points[:, landmarks] * np.array([-1, 1, 1]),
            rotations=self.rotations[:, joints] * flip[:, None] * flip,
            root_positions=self.root_positions * flip,
            skeleton_offsets=self.skeleton_offsets[joints] * flip,
            contacts=self.contacts[:, [1, 0, 3, 2]],
            camera_rotations=self.camera_rotations * flip[:, None] * flip,
            camera_position=self.camera_position * flip,
        )


@dataclass(frozen=True, eq=False)
class Truth:
    """Windows of dances and the cameras that see them, in the world; lengths are true."""

    rotations: torch.Tensor
    root_positions: torch.Tensor
    skeleton_offsets: torch.Tensor
    contacts: torch.Tensor
    focal_lengths: torch.Tensor
    image_sizes: torch.Tensor
    camera_rotations: torch.Tensor
    camera_positions: torch.Tensor


class LifterSampler:
    """Sampler of training batches: the same ones for the same number of the batch.

    Args:
        dances: On our neutral body.
        pairs: Rendered ones; each is also taken as its mirror image.
        window_frames: Of a window.
        batch_size: Windows in a batch.
        rendered_share: Of the windows that are rendered ones.
        seed: Of the draws; processes that train together need different ones.
    """

    def __init__(
        self,
        dances: Sequence[Dance],
        pairs: Sequence[RenderedPair],
        *,
        window_frames: int,
        batch_size: int,
        rendered_share: float,
        seed: tuple[int, ...],
    ):
        self.dances = dances
        self.pairs = [either for pair in pairs if pair.num_frames >= window_frames for either in (pair, pair.mirror())]
        lengths = np.array([len(dance.root_positions) for dance in dances], dtype=float)
        self.probabilities = lengths / lengths.sum()
        self.window_frames, self.batch_size = window_frames, batch_size
        self.num_rendered = round(rendered_share * batch_size) if self.pairs else 0
        self.seed = seed

    def __call__(self, batch_index: int) -> dict[str, Any]:
        """Return the arguments of `LifterModel.forward` for one batch."""
        generator = np.random.default_rng((*self.seed, batch_index))
        parts = []
        if self.num_rendered < self.batch_size:
            parts.append(self.projected(generator, self.batch_size - self.num_rendered))
        if self.num_rendered:
            parts.append(self.rendered(generator, self.num_rendered))
        features = torch.cat([part[0] for part in parts])
        labels = {name: torch.cat([part[1][name] for part in parts]) for name in parts[0][1]}  # type: ignore[literal-required]
        return {"view_features": features, "labels": labels}

    def projected(self, generator: np.random.Generator, count: int) -> tuple[torch.Tensor, LifterLabels]:
        """Return views of `count` dances whose landmarks are projected and disturbed, and their labels."""
        truth = self._draw_dances(generator, count)
        positions = pose_offsets(truth.rotations, truth.skeleton_offsets)
        joints = (
            torch.cat([torch.zeros_like(positions[:, :, :1]), positions], dim=2) + truth.root_positions[:, :, None]
        )
        landmarks = place_landmarks(joints, truth.rotations)
        in_camera = _to_camera(truth, landmarks)
        pixels = truth.focal_lengths[:, None, None, None] * in_camera[..., :2] / in_camera[..., 2:].clamp(min=0.1)
        seen = disturb(pixels.numpy(), in_camera.numpy(), truth.image_sizes.numpy(), EstimatorErrors(), generator)
        middle = truth.image_sizes.numpy()[:, None, None] / 2
        return _views(
            truth, seen.image_points + middle, seen.confidences, seen.world_points, truth.image_sizes.tolist()
        )

    def rendered(self, generator: np.random.Generator, count: int) -> tuple[torch.Tensor, LifterLabels]:
        """Return views of `count` rendered windows and their labels."""
        windows = []
        for _ in range(count):
            pair = self.pairs[generator.integers(len(self.pairs))]
            while True:
                start = int(generator.integers(pair.num_frames - self.window_frames + 1))
                part = slice(start, start + self.window_frames)
                if (pair.confidences[part] > 0).any():
                    break
                pair = self.pairs[generator.integers(len(self.pairs))]
            windows.append((pair, part))
        return rendered_windows(windows)

    def _draw_dances(self, generator: np.random.Generator, count: int) -> Truth:
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        drawn = [self._draw_window(generator) for _ in range(count)]
        rotations, root, contacts = (torch.stack([window[part] for window in drawn]) for part in range(3))
        others = torch.stack([self._draw_window(generator)[0] for _ in range(count)])
        is_mixed = torch.rand(count, 1, 1, 1, generator=torch_generator) < MIXED_SHARE
        rotations[:, :, _UPPER_BODY] = torch.where(is_mixed, others, rotations)[:, :, _UPPER_BODY]
        matrices = rotation_6d_to_matrix(rotations)
        yaw = yaw_to_matrix(2 * torch.pi * torch.rand(count, generator=torch_generator))
        matrices[:, :, 0] = yaw[:, None] @ matrices[:, :, 0]
        matrices = global_rotations(matrices)
        offsets = random_bodies(count, torch_generator)
        neutral = neutral_skeleton().leg_length
        legs = offsets[:, [JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]]].norm(dim=-1).sum(dim=1) / neutral
        center = root[:, :1] * torch.tensor([1.0, 0.0, 1.0])
        root = ((root - center) @ yaw.transpose(-1, -2)) * legs[:, None, None]
        sizes = torch.tensor([_PICTURES[index] for index in generator.integers(len(_PICTURES), size=count)])
        focal, turned, placed = place_cameras(root, sizes.float(), RandomCamera(), torch_generator)
        return Truth(matrices, root, offsets, contacts, focal, sizes, turned, placed)

    def _draw_window(self, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        dance = self.dances[generator.choice(len(self.dances), p=self.probabilities)]
        speed = float(np.exp(generator.uniform(*np.log(SPEEDS))))
        last = max(0.0, len(dance.root_positions) - 1 - speed * self.window_frames)
        return dance.window(generator.uniform(0, last), speed, self.window_frames)


def rendered_windows(windows: Sequence[tuple[RenderedPair, slice]]) -> tuple[torch.Tensor, LifterLabels]:
    """Return views and labels of parts of rendered dances of one length."""

    def stacked(name: str) -> torch.Tensor:
        return torch.stack([getattr(pair, name)[part] for pair, part in windows])

    truth = Truth(
        stacked("rotations"),
        stacked("root_positions"),
        torch.stack([pair.skeleton_offsets for pair, _ in windows]),
        stacked("contacts"),
        torch.tensor([pair.focal_length for pair, _ in windows]),
        torch.tensor([pair.image_size for pair, _ in windows]),
        stacked("camera_rotations"),
        torch.stack([pair.camera_position for pair, _ in windows]),
    )
    seen = [
        np.stack([getattr(pair, name)[part] for pair, part in windows])
        for name in ("image_points", "confidences", "world_points")
    ]
    return _views(truth, seen[0], seen[1], seen[2], truth.image_sizes.tolist())


def _views(
    truth: Truth, image_points: np.ndarray, confidences: np.ndarray, world_points: np.ndarray, image_sizes: Any
) -> tuple[torch.Tensor, LifterLabels]:
    views = [
        view_landmarks(points, seen, world, tuple(size))
        for points, seen, world, size in zip(image_points, confidences, world_points, image_sizes, strict=True)
    ]
    centers = torch.from_numpy(np.stack([view.centers for view in views])).float()
    sizes = torch.tensor([view.size for view in views], dtype=torch.float32)
    features = torch.from_numpy(np.stack([view.features for view in views]))
    return features, make_labels(truth, centers, sizes)


def make_labels(truth: Truth, centers: torch.Tensor, sizes: torch.Tensor) -> LifterLabels:
    """Express windows in the space of a level camera, on a body of 1.70 m.

    Args:
        truth: Dances and cameras.
        centers: Of the views, `(batch, frames, 2)`, pixels from the middle.
        sizes: Of the views, `(batch,)`, pixels.
    """
    scales = torch.tensor([body_scale(Skeleton(offsets.numpy())) for offsets in truth.skeleton_offsets])
    level = level_rotations(truth.camera_rotations)
    rotations = level[:, :, None] @ truth.rotations
    offsets = truth.skeleton_offsets / scales[:, None, None]
    root = _to_camera(truth, truth.root_positions[:, :, None])[:, :, 0]
    pixels = truth.focal_lengths[:, None, None] * root[..., :2] / root[..., 2:]
    depth = root[..., 2] / scales[:, None] * (sizes / truth.focal_lengths)[:, None] / ROOT_SCALE_METRES
    axes = truth.camera_rotations.mean(dim=1)
    diagonals = truth.image_sizes.float().norm(dim=-1)
    camera = torch.stack(
        [
            torch.asin(-axes[:, 2, 1].clamp(-1, 1)),
            torch.atan2(-axes[:, 0, 1], -axes[:, 1, 1]),
            (truth.focal_lengths / diagonals).log(),
        ],
        dim=-1,
    )
    return LifterLabels(
        joint_rotations_matrix=rotations,
        skeleton_offsets=offsets,
        joint_offsets=pose_offsets(rotations, offsets),
        root_offset=(pixels - centers) / sizes[:, None, None],
        root_log_depth=depth.clamp(min=1e-3).log(),
        foot_contacts=truth.contacts,
        camera=camera,
    )


def level_rotations(camera_rotations: torch.Tensor) -> torch.Tensor:
    """Return turns from the world to the level cameras, `(..., 3, 3)`: x right, y up, z toward the viewer."""
    back = -camera_rotations[..., 2, :] * torch.tensor([1.0, 0.0, 1.0])
    back = torch.nn.functional.normalize(back, dim=-1)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(back)
    return torch.stack([torch.linalg.cross(up, back), up, back], dim=-2)


def global_rotations(rotations: torch.Tensor) -> torch.Tensor:
    """Chain local rotations `(..., 22, 3, 3)` of our joints to those in the world."""
    root, bones = rotations.new_zeros(*rotations.shape[:-3], 3), rotations.new_zeros(NUM_JOINTS, 3)
    return forward_kinematics(rotations, root, bones, PARENTS)[1]


def random_bodies(count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw the bones of bodies of 1.70 m with other proportions, `(count, 22, 3)`, metres."""
    offsets = torch.from_numpy(neutral_skeleton().offsets).float().repeat(count, 1, 1)
    low, high = LIMB_SCALES
    for parts in _LIMBS:
        joints = [index for name, index in JOINT_INDEX.items() if name.endswith(parts)]
        factors = low + (high - low) * torch.rand(count, 1, 1, generator=generator)
        offsets[:, joints] *= factors
    scales = torch.tensor([body_scale(Skeleton(body.numpy())) for body in offsets])
    return offsets / scales[:, None, None]


def _to_camera(truth: Truth, points: torch.Tensor) -> torch.Tensor:
    """Turn world points `(batch, frames, points, 3)` into camera coordinates, metres."""
    return (points - truth.camera_positions[:, None, None]) @ truth.camera_rotations.transpose(-1, -2)
