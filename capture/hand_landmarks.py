"""What an estimator sees of both hands of one person: 21 landmarks each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.motion import FRAME_RATE

NUM_HAND_LANDMARKS = 21
FIRST_LANDMARK: dict[str, int] = {"thumb": 1, "index": 5, "middle": 9, "ring": 13, "pinky": 17}
"""Of each finger the first of four: three joints and the tip, in the order of MediaPipe Hands (Zhang et al., 2020);
landmark 0 is the wrist."""


@dataclass(frozen=True, eq=False)
class HandTrack:
    """Hands of the person of a `LandmarkTrack`, left and right as the person's own.

    Args:
        image_points: `(frames, 2, 21, 2)` float32, pixels of the picture; 0 where a hand was not found.
        world_points: `(frames, 2, 21, 3)` float32, the estimator's own guess in metres, around the middle of the hand,
            along the camera's axes: x right, y down, z away; 0 where a hand was not found.
        confidences: `(frames, 2)` float32 from 0 to 1, that the hand was found.
        frame_rate: Hz.

    Raises:
        ValueError: If shapes do not fit or a value is not finite.
    """

    image_points: np.ndarray
    world_points: np.ndarray
    confidences: np.ndarray
    frame_rate: float = FRAME_RATE

    def __post_init__(self) -> None:
        frames = len(self.confidences)
        points = (frames, 2, NUM_HAND_LANDMARKS)
        for name, shape in (
            ("image_points", (*points, 2)),
            ("world_points", (*points, 3)),
            ("confidences", (frames, 2)),
        ):
            array = np.asarray(getattr(self, name), dtype=np.float32)
            if array.shape != shape or frames == 0 or not np.isfinite(array).all():
                raise ValueError(f"`{name}` must be finite and have shape {shape}, got {array.shape}.")
            object.__setattr__(self, name, array)
