"""From the landmarks of a track to a dance in the room, and to the camera that saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..motion.motion import Motion
from .camera import Camera


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
