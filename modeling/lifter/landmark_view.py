"""How the lifter looks at landmarks: centered and scaled, so that neither the picture's size nor the place matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_LANDMARKS = 33
NUM_VIEW_FEATURES = 6 * NUM_LANDMARKS + 5
"""A landmark: its place in the picture (2), its confidence, the estimator's own guess in space (3). A frame: where its
middle is in the window (2), where the window's is in the picture (2), and how large the dancer is in it."""
_TRUNK = (11, 12, 23, 24)  # both shoulders, both hips
_MIN_CONFIDENCE = 0.05
_WORLD_SCALE = 2.0


@dataclass(frozen=True, eq=False)
class LandmarkView:
    """Landmarks of a window as the lifter takes them, and what leads back to the picture.

    Args:
        features: `(frames, 203)` float32.
        centers: Middle of the trunk, `(frames, 2)`, pixels from the middle of the picture.
        size: Of the dancer, pixels: the root of the mean squared distance of landmarks from the middle.
    """

    features: np.ndarray
    centers: np.ndarray
    size: float


def view_landmarks(
    image_points: np.ndarray, confidences: np.ndarray, world_points: np.ndarray, image_size: tuple[int, int]
) -> LandmarkView:
    """Center and scale a window of landmarks.

    Args:
        image_points: `(frames, 33, 2)`, pixels.
        confidences: `(frames, 33)`; 0 in frames in which nobody was found.
        world_points: `(frames, 33, 3)`, metres, as the estimator gives them.
        image_size: Width and height, pixels.

    Raises:
        ValueError: If nobody was found in any frame.
    """
    found = np.asarray((confidences > 0).any(axis=1))
    if not found.any():
        raise ValueError("A window of landmarks must show a person in at least one frame.")
    points = image_points - np.array(image_size, dtype=np.float32) / 2
    weights = confidences[:, _TRUNK, None] + _MIN_CONFIDENCE
    centers = (points[:, _TRUNK] * weights).sum(axis=1) / weights.sum(axis=1)
    frames = np.arange(len(points))
    centers = np.stack([np.interp(frames, frames[found], centers[found, axis]) for axis in range(2)], axis=1)
    weights = confidences[found] + _MIN_CONFIDENCE
    distances = ((points[found] - centers[found, None]) ** 2).sum(axis=-1)
    size = float(np.median(np.sqrt((distances * weights).sum(axis=1) / weights.sum(axis=1)))) + 1e-3
    middle = np.median(centers, axis=0)
    diagonal = float(np.hypot(*image_size))
    seen = found[:, None, None]
    whole = np.concatenate([middle / diagonal, [np.log(size / diagonal) + 2.0]])
    features = np.concatenate(
        [
            np.where(seen, (points - centers[:, None]) / size, 0).reshape(len(points), -1),
            confidences,
            np.where(seen, world_points * _WORLD_SCALE, 0).reshape(len(points), -1),
            (centers - middle) / size,
            np.broadcast_to(whole, (len(points), 3)),
        ],
        axis=1,
    )
    return LandmarkView(features.astype(np.float32), centers, size)
