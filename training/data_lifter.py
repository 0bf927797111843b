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
from ..motion.motion import FRAME_RATE, Motion
from ..motion.skeleton import JOINT_INDEX, MIRROR_ORDER, NUM_JOINTS, PARENTS, Skeleton, neutral_skeleton
from .estimator_errors import (
    SLOW_FRAMES,
    EstimatorErrors,
    SeenLandmarks,
    disturb,
    sizes_in_picture,
    slow_noise,
    true_world_points,
)
from .random_cameras import RandomCamera, place_cameras
from .varied_dances import vary_dances

SPEEDS = (0.8, 1.25)
"""Dances are slowed and sped up by factors between these."""
BORROWED_SHARE = 0.7
"""Of the projected windows: they have the errors of a rendered one that faces the camera alike, if there are any."""
_FACING_DRAWS = 6
LIMB_SCALES = (0.92, 1.08)
ROLL_RADIANS = 0.12
"""Standard deviation of how far rendered pictures are turned, each with the camera that sees it."""
BACKWARD_SHARE = 0.25
"""Of the rendered windows: they are played backward."""
RENDERED_ERRORS = (0.012, 0.008)
"""What landmarks of rendered windows are moved by: standard deviation of an offset that lasts and of one that goes, in
sizes of the dancer or in metres."""
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

    @property
    def is_found(self) -> np.ndarray:
        """Whether somebody was found, `(frames,)` bool."""
        return np.asarray((self.confidences > 0).any(axis=1))

    def play(self, frames: np.ndarray) -> RenderedPair:
        """Return the dance at other times, `(frames,)`, between which is interpolated; nobody is seen beside a gap."""
        before = np.floor(frames).astype(int)
        after = np.minimum(before + 1, self.num_frames - 1)
        share = (frames - before).astype(np.float32)

        def between(array: Any) -> Any:
            weights = share.reshape(-1, *[1] * (array.ndim - 1))
            weights = torch.from_numpy(weights) if isinstance(array, torch.Tensor) else weights
            return array[before] * (1 - weights) + array[after] * weights

        def orthonormal(matrices: torch.Tensor) -> torch.Tensor:
            return rotation_6d_to_matrix(matrix_to_rotation_6d(between(matrices)))

        found = self.is_found
        seen = (found[before] & (found[after] | (share == 0)))[:, None, None]
        return replace(
            self,
            image_points=between(self.image_points) * seen,
            confidences=between(self.confidences) * seen[:, 0],
            world_points=between(self.world_points) * seen,
            rotations=orthonormal(self.rotations),
            root_positions=between(self.root_positions),
            contacts=self.contacts[frames.round().astype(int)],
            camera_rotations=orthonormal(self.camera_rotations),
        )

    def roll(self, angle: float) -> RenderedPair:
        """Return the picture turned about its middle, clockwise, radians: the camera is turned the other way."""
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
        middle, found = np.array(self.image_size, np.float32) / 2, self.is_found[:, None, None]
        return replace(
            self,
            image_points=((self.image_points - middle) @ turn[:2, :2].T + middle) * found,
            world_points=self.world_points @ turn.T,
            camera_rotations=torch.from_numpy(turn) @ self.camera_rotations,
        )

    def disturb(self, generator: np.random.Generator) -> RenderedPair:
        """Return the dance with landmarks that are a little off."""
        found = self.is_found
        size = float(np.median(np.ptp(self.image_points[found], axis=1).max(axis=1))) / 3

        def off(points: np.ndarray, unit: float) -> np.ndarray:
            lasting, passing = (unit * error for error in RENDERED_ERRORS)
            noise = lasting * generator.standard_normal((1, *points.shape[1:]))
            noise = noise + passing * slow_noise(generator, (1, *points.shape), SLOW_FRAMES)[0]
            return (points + noise * found[:, None, None]).astype(np.float32)

        return replace(self, image_points=off(self.image_points, size), world_points=off(self.world_points, 1.0))

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


@dataclass(frozen=True, eq=False)
class RenderedErrors:
    """What the estimator had wrong in a rendered dance.

    Args:
        image_points: `(frames, 33, 2)`, in sizes of the dancer.
        world_points: `(frames, 33, 3)`, metres.
        confidences: `(frames, 33)`.
        facing: Direction of the dancer as the camera sees it, `(frames, 2)`.
    """

    image_points: np.ndarray
    world_points: np.ndarray
    confidences: np.ndarray
    facing: np.ndarray

    @classmethod
    def of(cls, pair: RenderedPair) -> RenderedErrors:
        """Compare a rendered dance with its truth."""
        truth = _stack_truth([pair])
        in_camera = _to_camera(truth, _true_landmarks(truth))
        pixels = (truth.focal_lengths[:, None, None, None] * in_camera[..., :2] / in_camera[..., 2:]).numpy()
        size, middle = sizes_in_picture(pixels)[0], np.array(pair.image_size) / 2
        return cls(
            ((pair.image_points - middle - pixels[0]) / size).astype(np.float32),
            (pair.world_points - true_world_points(in_camera.numpy())[0]).astype(np.float32),
            pair.confidences,
            _facing(truth)[0],
        )


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
        self.errors = [RenderedErrors.of(pair) for pair in self.pairs]
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
        in_camera = _to_camera(truth, _true_landmarks(truth))
        pixels = truth.focal_lengths[:, None, None, None] * in_camera[..., :2] / in_camera[..., 2:].clamp(min=0.1)
        seen = disturb(pixels.numpy(), in_camera.numpy(), truth.image_sizes.numpy(), EstimatorErrors(), generator)
        if self.errors:
            facing = _facing(truth)
            for row in np.flatnonzero(generator.random(count) < BORROWED_SHARE).tolist():
                self._borrow(row, facing[row], seen, pixels.numpy(), in_camera.numpy(), generator)
        middle = truth.image_sizes.numpy()[:, None, None] / 2
        return _views(
            truth, seen.image_points + middle, seen.confidences, seen.world_points, truth.image_sizes.tolist()
        )

    def rendered(self, generator: np.random.Generator, count: int) -> tuple[torch.Tensor, LifterLabels]:
        """Return views of `count` rendered windows, each changed by chance, and their labels."""
        windows: list[RenderedPair] = []
        while len(windows) < count:
            pair = self.pairs[generator.integers(len(self.pairs))]
            fastest = min(SPEEDS[1], (pair.num_frames - 1) / (self.window_frames - 1))
            speed = float(np.exp(generator.uniform(np.log(SPEEDS[0]), np.log(fastest))))
            last = pair.num_frames - 1 - speed * (self.window_frames - 1)
            frames = generator.uniform(0, max(last, 0.0)) + speed * np.arange(self.window_frames)
            frames = frames[::-1] if generator.random() < BACKWARD_SHARE else frames
            window = pair.play(np.clip(frames, 0, pair.num_frames - 1))
            if window.is_found.any():
                windows.append(window.roll(ROLL_RADIANS * generator.standard_normal()).disturb(generator))
        return rendered_windows(windows)

    def _borrow(
        self,
        row: int,
        facing: np.ndarray,
        seen: SeenLandmarks,
        pixels: np.ndarray,
        in_camera: np.ndarray,
        generator: np.random.Generator,
    ) -> None:
        """Give a projected window the errors of a rendered one, in place."""
        drawn = [self.errors[index] for index in generator.integers(len(self.errors), size=_FACING_DRAWS)]
        starts = [int(generator.integers(len(errors.facing) - self.window_frames + 1)) for errors in drawn]
        parts = [slice(start, start + self.window_frames) for start in starts]
        likeness = [(errors.facing[part] * facing).sum() for errors, part in zip(drawn, parts, strict=True)]
        best = int(np.argmax(likeness))
        errors, part = drawn[best], parts[best]
        found = np.asarray((errors.confidences[part] > 0).any(axis=1))[:, None, None]
        size = sizes_in_picture(pixels[row : row + 1])[0]
        seen.image_points[row] = (pixels[row] + size * errors.image_points[part]) * found
        seen.world_points[row] = (true_world_points(in_camera[row : row + 1])[0] + errors.world_points[part]) * found
        seen.confidences[row] = errors.confidences[part]

    def _draw_dances(self, generator: np.random.Generator, count: int) -> Truth:
        torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
        drawn = [self._draw_window(generator) for _ in range(count)]
        rotations, root, contacts = (torch.stack([window[part] for window in drawn]) for part in range(3))
        others = torch.stack([self._draw_window(generator)[0] for _ in range(count)])
        matrices = vary_dances(
            rotation_6d_to_matrix(rotations), rotation_6d_to_matrix(others), FRAME_RATE, torch_generator
        )
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


def rendered_windows(windows: Sequence[RenderedPair]) -> tuple[torch.Tensor, LifterLabels]:
    """Return views and labels of rendered dances of one length."""
    truth = _stack_truth(windows)
    seen = [
        np.stack([getattr(window, name) for window in windows])
        for name in ("image_points", "confidences", "world_points")
    ]
    return _views(truth, seen[0], seen[1], seen[2], truth.image_sizes.tolist())


def _stack_truth(windows: Sequence[RenderedPair]) -> Truth:
    def stacked(name: str) -> torch.Tensor:
        return torch.stack([getattr(window, name) for window in windows])

    return Truth(
        stacked("rotations"),
        stacked("root_positions"),
        stacked("skeleton_offsets"),
        stacked("contacts"),
        torch.tensor([window.focal_length for window in windows]),
        torch.tensor([window.image_size for window in windows]),
        stacked("camera_rotations"),
        stacked("camera_position"),
    )


def _true_landmarks(truth: Truth) -> torch.Tensor:
    """Return where the 33 landmarks are in the world, `(batch, frames, 33, 3)`, metres."""
    positions = pose_offsets(truth.rotations, truth.skeleton_offsets)
    joints = torch.cat([torch.zeros_like(positions[:, :, :1]), positions], dim=2) + truth.root_positions[:, :, None]
    return place_landmarks(joints, truth.rotations)


def _facing(truth: Truth) -> np.ndarray:
    """Return where the dancers look, seen from the cameras, `(batch, frames, 2)`."""
    ahead = (level_rotations(truth.camera_rotations) @ truth.rotations[:, :, 0])[..., [0, 2], 2]
    return torch.nn.functional.normalize(ahead, dim=-1).numpy()


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
