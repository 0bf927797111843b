"""The errors of the pose estimator, for landmarks that are projected instead of seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from ..capture.landmarks import LANDMARK_INDEX, LANDMARK_NAMES, MIRRORED_LANDMARKS, NUM_LANDMARKS

SLOW_FRAMES = 5.0


@dataclass(frozen=True)
class EstimatorErrors:
    """Sizes of the errors, in sizes of the dancer in the picture or metres in space.

    Args:
        bias: Standard deviation of a landmark's own offset, the same in a whole window.
        slow: Of errors that last `slow_frames`.
        fast: Of errors that last a frame.
        slow_frames: Frames.
        hidden_factor: How much larger errors of hidden landmarks are.
        depth_scale: Range of the factor by which the guess in space is flattened along the camera's axis.
        space_bias: As `bias`, in metres, of the guess in space.
        space_slow: As `slow`, in metres.
        depth_slow: Of the guess in space along the camera's axis, metres.
        tilt: Standard deviation of how far the guess in space is tilted about the camera's x axis, radians.
        swap_share: Of windows in which left and right change places for a while.
        lost_share: Of windows in which the person is lost for a while.
        limb_share: Of windows in which a limb is misplaced for a while.
    """

    bias: float = 0.035
    slow: float = 0.04
    fast: float = 0.01
    slow_frames: float = SLOW_FRAMES
    hidden_factor: float = 2.5
    depth_scale: tuple[float, float] = (0.7, 1.1)
    space_bias: float = 0.015
    space_slow: float = 0.02
    depth_slow: float = 0.05
    tilt: float = 0.15
    swap_share: float = 0.25
    lost_share: float = 0.15
    limb_share: float = 0.6


@dataclass(frozen=True, eq=False)
class SeenLandmarks:
    """What an estimator would have found; arrays as in `LandmarkTrack`, with a batch in front."""

    image_points: np.ndarray
    confidences: np.ndarray
    world_points: np.ndarray


_LIMBS = (
    ("left_elbow", "left_wrist", "left_pinky", "left_index", "left_thumb"),
    ("right_elbow", "right_wrist", "right_pinky", "right_index", "right_thumb"),
    ("left_knee", "left_ankle", "left_heel", "left_foot_index"),
    ("right_knee", "right_ankle", "right_heel", "right_foot_index"),
)
_LEGS = [index for index, name in enumerate(LANDMARK_NAMES) if name.endswith(("knee", "ankle", "heel", "foot_index"))]
_HIPS = [LANDMARK_INDEX["left_hip"], LANDMARK_INDEX["right_hip"]]
_LONGEST_FAULT_FRAMES = 30


def disturb(
    pixels: np.ndarray,
    in_camera: np.ndarray,
    image_sizes: np.ndarray,
    errors: EstimatorErrors,
    generator: np.random.Generator,
) -> SeenLandmarks:
    """Turn true landmarks into what the estimator would find.

    Args:
        pixels: `(batch, frames, 33, 2)`, from the middle of the picture.
        in_camera: `(batch, frames, 33, 3)`, metres, in camera coordinates.
        image_sizes: `(batch, 2)`, pixels.
        errors: Their sizes.
        generator: Of the draws.
    """
    batch, frames = pixels.shape[:2]
    shape = (batch, frames, NUM_LANDMARKS)
    sizes = sizes_in_picture(pixels)[:, None, None, None]
    hidden = _hidden(in_camera)
    factor = (1 + (errors.hidden_factor - 1) * hidden) * generator.lognormal(0, 0.4, (batch, 1, 1))
    points = pixels + sizes * (
        errors.bias * generator.standard_normal((batch, 1, NUM_LANDMARKS, 2))
        + factor[..., None]
        * (
            errors.slow * slow_noise(generator, (*shape, 2), errors.slow_frames)
            + errors.fast * generator.standard_normal((*shape, 2))
        )
    )
    world = _tilt(true_world_points(in_camera), errors.tilt * generator.standard_normal((batch, 1, 1)))
    world = world * generator.uniform(0.85, 1.1, (batch, 1, 1, 1))
    world[..., 2] *= generator.uniform(*errors.depth_scale, (batch, 1, 1))
    spreads = np.array([errors.space_slow, errors.space_slow, errors.depth_slow])
    world = world + factor[..., None] * spreads * slow_noise(generator, (*shape, 3), errors.slow_frames)
    world += errors.space_bias * generator.standard_normal((batch, 1, NUM_LANDMARKS, 3))
    inside = (np.abs(pixels) < image_sizes[:, None, None] / 2).all(axis=-1)
    confidences = np.clip(0.98 - 0.35 * hidden - 0.08 * np.abs(slow_noise(generator, shape, 10.0)), 0.02, 1.0)
    confidences = np.where(inside, confidences, 0.1 * confidences)
    for row in range(batch):
        _add_faults(points[row], confidences[row], world[row], float(sizes[row, 0, 0, 0]), errors, generator)
    return SeenLandmarks(points.astype(np.float32), confidences.astype(np.float32), world.astype(np.float32))


def _hidden(in_camera: np.ndarray) -> np.ndarray:
    """Return from 0 to 1 how far landmarks are behind the trunk, `(batch, frames, 33)`."""
    trunk = in_camera[:, :, [11, 12, 23, 24]]
    center, depth = trunk.mean(axis=2, keepdims=True), in_camera[..., 2] - trunk[..., 2].mean(axis=2)[..., None]
    aside = np.abs(in_camera[..., 0] - center[..., 0])
    return np.clip(depth / 0.15, 0, 1) * np.clip(1.5 - aside / 0.2, 0, 1)


def slow_noise(generator: np.random.Generator, shape: tuple[int, ...], frames: float) -> np.ndarray:
    """Return noise along the second axis that lasts some frames, of standard deviation 1."""
    decay = np.exp(-1 / frames)
    white = generator.standard_normal(shape)
    white[:, 0] /= np.sqrt(1 - decay**2)
    return lfilter([np.sqrt(1 - decay**2)], [1, -decay], white, axis=1)


def sizes_in_picture(pixels: np.ndarray) -> np.ndarray:
    """Return the mean distance of landmarks `(batch, frames, 33, 2)` from their middle, `(batch,)`, pixels."""
    middle = pixels.mean(axis=2, keepdims=True)
    return np.sqrt(((pixels - middle) ** 2).sum(axis=-1).mean(axis=(1, 2)))


def true_world_points(in_camera: np.ndarray) -> np.ndarray:
    """Return what an estimator without errors guesses in space, `(batch, frames, 33, 3)`, metres.

    It sees a square that is cut out of the picture, and takes the camera to look straight at the hips.
    """
    hips = in_camera[:, :, _HIPS].mean(axis=2)
    ahead = hips / np.linalg.norm(hips, axis=-1, keepdims=True)
    right = np.stack([ahead[..., 2], np.zeros_like(ahead[..., 0]), -ahead[..., 0]], axis=-1)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    axes = np.stack([right, np.cross(ahead, right), ahead], axis=-2)
    return np.einsum("bfij,bfpj->bfpi", axes, in_camera - hips[:, :, None])


def _tilt(world: np.ndarray, angles: np.ndarray) -> np.ndarray:
    y, z = world[..., 1], world[..., 2]
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([world[..., 0], cosine * y - sine * z, sine * y + cosine * z], axis=-1)


def _add_faults(
    points: np.ndarray,
    confidences: np.ndarray,
    world: np.ndarray,
    size: float,
    errors: EstimatorErrors,
    generator: np.random.Generator,
) -> None:
    """Swap sides, misplace a limb, lose the person: in place, in one window, each for a while."""
    if generator.random() < errors.swap_share:
        part, landmarks = _stretch(generator, len(points)), _LEGS if generator.random() < 0.6 else range(NUM_LANDMARKS)
        source = [MIRRORED_LANDMARKS[index] for index in landmarks]
        for array in (points, world):
            array[part, list(landmarks)] = array[part][:, source]
        confidences[part, list(landmarks)] *= 0.9
    if generator.random() < errors.limb_share:
        part = _stretch(generator, len(points))
        limb = [LANDMARK_INDEX[name] for name in _LIMBS[generator.integers(len(_LIMBS))]]
        points[part, limb] += size * 0.35 * generator.standard_normal(2)
        world[part, limb] += 0.15 * generator.standard_normal(3)
        confidences[part, limb] *= generator.uniform(0.1, 0.7)
    if generator.random() < errors.lost_share:
        part = _stretch(generator, len(points))
        for array in (points, confidences, world):
            array[part] = 0


def _stretch(generator: np.random.Generator, num_frames: int) -> slice:
    length = int(generator.integers(2, min(_LONGEST_FAULT_FRAMES, num_frames // 2)))
    start = int(generator.integers(num_frames - length + 1))
    return slice(start, start + length)
