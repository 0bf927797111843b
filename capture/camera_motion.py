"""How a camera turns with the dancer: by how much the background moves in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .landmarks import NUM_LANDMARKS

WIDTH = 320
"""Of the gray pictures that are compared, pixels."""
NUM_CORNERS, MIN_CORNERS = 160, 24
"""Of the background that are followed at most; fewer say nothing."""
CORNER_QUALITY, CORNER_DISTANCE = 0.01, 8
"""Of the sharpest corner's sharpness; pixels between two corners."""
MIN_SHARE_LEFT = 0.5
"""Of the corners: where fewer are left, new ones are followed."""
WINDOW, NUM_LEVELS = 15, 3
"""Side of what is compared around a corner, pixels, and halvings of the picture: movements of up to 60 pixels."""
MARGIN = 0.25
"""Around a person, in the person's height: what is inside is not the background."""
MIN_SHIFT = 0.004
"""Of the picture's width; a background that never moves further stands still."""


class CameraMotion:
    """Follows the background of one shot.

    Corners of a reference picture are followed from picture to picture, and the background has moved by the median of
    how far they have; so a camera that stands still does not drift. When too few are left, the last picture is the new
    reference.
    """

    def __init__(self) -> None:
        self._shifts: list[np.ndarray] = []
        self._last: np.ndarray | None = None
        self._origin = np.zeros(2)
        self._starts = self._corners = np.zeros((0, 2), np.float32)
        self._num_started = 0

    def add(self, picture: np.ndarray, people: Sequence[np.ndarray]) -> None:
        """Look at the next picture.

        Args:
            picture: `(height, width, 3)` uint8; all of a shot have one size.
            people: Landmarks of each person in it, `(33, 2)`, pixels.
        """
        import cv2

        scale = WIDTH / picture.shape[1]
        small = cv2.resize(picture, (WIDTH, max(1, round(picture.shape[0] * scale))), interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        background = _background(gray.shape, [points * scale for points in people])
        shift = self._shifts[-1] if self._shifts else np.zeros(2)
        if self._last is not None and len(self._corners):
            self._follow(self._last, gray, background)
            if len(self._corners) >= MIN_CORNERS:
                shift = self._origin + np.median(self._corners - self._starts, axis=0)
        if len(self._corners) < max(MIN_CORNERS, MIN_SHARE_LEFT * self._num_started):
            found: Any = cv2.goodFeaturesToTrack(
                gray, NUM_CORNERS, CORNER_QUALITY, CORNER_DISTANCE, mask=background.astype(np.uint8)
            )
            self._starts = self._corners = np.zeros((0, 2), np.float32) if found is None else found[:, 0]
            self._origin, self._num_started = shift, len(self._corners)
        self._last = gray
        self._shifts.append(shift)

    def shifts(self, width: int) -> np.ndarray:
        """Return how far the background has moved since the first picture, `(pictures, 2)`, 0 where it stands still.

        Args:
            width: Of the picture in whose pixels it is wanted.
        """
        shifts = np.array(self._shifts).reshape(-1, 2)
        if len(shifts) == 0 or np.ptp(shifts, axis=0).max() < MIN_SHIFT * WIDTH:
            return np.zeros_like(shifts)
        return shifts * (width / WIDTH)

    def _follow(self, last: np.ndarray, gray: np.ndarray, background: np.ndarray) -> None:
        """Find the corners in the next picture; those that are lost or hidden by a person are given up."""
        import cv2

        options: Any = {"winSize": (WINDOW, WINDOW), "maxLevel": NUM_LEVELS}
        moved, is_found, _ = cv2.calcOpticalFlowPyrLK(last, gray, self._corners, None, **options)  # type: ignore[call-overload]
        places = np.floor(moved).astype(int)
        inside = ((places >= 0) & (places < gray.shape[::-1])).all(axis=1)
        kept = (is_found[:, 0] > 0) & inside
        kept[kept] = background[places[kept, 1], places[kept, 0]]
        self._starts, self._corners = self._starts[kept], moved[kept]


def _background(shape: tuple[int, ...], people: Sequence[np.ndarray]) -> np.ndarray:
    """Return where nobody is, `(height, width)` bool."""
    is_background = np.ones(shape, bool)
    for points in people:
        assert points.shape == (NUM_LANDMARKS, 2)
        margin = MARGIN * np.ptp(points[:, 1])
        left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
        right, bottom = np.maximum(points.max(axis=0) + margin, 0).astype(int)
        is_background[top:bottom, left:right] = False
    return is_background
