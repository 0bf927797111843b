"""What an estimator sees of one person in a video: 33 landmarks in each picture, at 30 Hz."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..motion.motion import FRAME_RATE

LANDMARK_NAMES: tuple[str, ...] = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
"""In the order of BlazePose (Bazarevsky et al., 2020); left and right are the person's own."""
NUM_LANDMARKS = len(LANDMARK_NAMES)
LANDMARK_INDEX: dict[str, int] = {name: index for index, name in enumerate(LANDMARK_NAMES)}

MIRRORED_LANDMARKS = tuple(
    LANDMARK_INDEX[name.replace("left", "right") if "left" in name else name.replace("right", "left")]
    for name in LANDMARK_NAMES
)
"""Index of the landmark on the other side of the body."""


@dataclass(frozen=True, eq=False)
class LandmarkTrack:
    """One person in one shot of a video; frame 0 is the first in which the person is seen.

    Args:
        person: Counted from 0 within the shot, the most prominent person first.
        shot: Counted from 0 within the video.
        first_frame: Of the video at 30 Hz: `first_frame / 30` seconds after the first picture.
        image_size: Width and height of the upright picture, pixels.
        image_points: `(frames, 33, 2)` float32, pixels, x to the right and y down; 0 where nobody was found.
        confidences: `(frames, 33)` float32 from 0 to 1, that a landmark is in the picture and not hidden; 0 in a frame
            in which the person was not found.
        world_points: `(frames, 33, 3)` float32, the estimator's own guess in metres, the middle of the hips at the
            origin, along the camera's axes: x right, y down, z away; 0 where nobody was found.
        frame_rate: Hz.
        camera_shifts: `(frames, 2)` float32, pixels, how far the background has moved in the picture since frame 0,
            because the camera turned; 0 for a camera that stands still, which is the default.

    Raises:
        ValueError: If shapes do not fit or a value is not finite.
    """

    person: int
    shot: int
    first_frame: int
    image_size: tuple[int, int]
    image_points: np.ndarray
    confidences: np.ndarray
    world_points: np.ndarray
    frame_rate: float = FRAME_RATE
    camera_shifts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    def __post_init__(self) -> None:
        frames = len(self.image_points)
        shapes = {"image_points": (frames, NUM_LANDMARKS, 2), "confidences": (frames, NUM_LANDMARKS)}
        shapes["world_points"] = (frames, NUM_LANDMARKS, 3)
        if len(self.camera_shifts) == 0:
            object.__setattr__(self, "camera_shifts", np.zeros((frames, 2), np.float32))
        shapes["camera_shifts"] = (frames, 2)
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name), dtype=np.float32)
            if array.shape != shape or frames == 0 or not np.isfinite(array).all():
                raise ValueError(f"`{name}` must be finite and have shape {shape}, got {array.shape}.")
            object.__setattr__(self, name, array)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.image_points)

    def mirror(self) -> LandmarkTrack:
        """Return the track of the picture's mirror image: left and right of the person change places."""
        landmarks = list(MIRRORED_LANDMARKS)
        found = np.asarray((self.confidences > 0).any(axis=1))[:, None, None]
        points = self.image_points[:, landmarks] * np.array([-1, 1]) + np.array([self.image_size[0], 0])
        return replace(
            self,
            image_points=np.where(found, points, 0),
            confidences=self.confidences[:, landmarks],
            world_points=self.world_points[:, landmarks] * np.array([-1, 1, 1]),
            camera_shifts=self.camera_shifts * np.array([-1, 1]),
        )

    def cut(self, start_frame: int, end_frame: int) -> LandmarkTrack:
        """Return frames `start_frame` to `end_frame` (exclusive)."""
        if not 0 <= start_frame < end_frame <= self.num_frames:
            raise ValueError(
                f"Frames must satisfy 0 <= start < end <= {self.num_frames}, got {start_frame} to {end_frame}."
            )
        part = slice(start_frame, end_frame)
        return replace(
            self,
            first_frame=self.first_frame + start_frame,
            image_points=self.image_points[part],
            confidences=self.confidences[part],
            world_points=self.world_points[part],
            camera_shifts=self.camera_shifts[part] - self.camera_shifts[start_frame],
        )
