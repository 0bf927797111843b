"""Landmarks of a clip and the camera that saw it, as one `.npz` beside the dance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..motion.files.limits import naming
from ..motion.files.npz import read_arrays
from ..utils.atomic import atomic_path
from .camera import Camera
from .landmarks import LANDMARK_NAMES, LandmarkTrack

FORMAT_VERSION = 1
_NUMBERS = ("person", "shot", "first_frame", "frame_rate", "focal_length")
_ARRAYS = (
    *("image_size", "image_points", "confidences", "world_points", "camera_shifts"),
    *("camera_image_size", "camera_rotations", "camera_position"),
)


def save_landmarks(track: LandmarkTrack, camera: Camera, path: str | os.PathLike) -> None:
    """Write the landmarks of a clip and its camera; equal ones give equal bytes.

    Args:
        track: What was seen; its first frame is that of the dance.
        camera: In the room of the dance.
        path: Must end in `.npz`.

    Raises:
        ValueError: If `path` has another ending.
        OSError: As `atomic_path`.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"A file of landmarks must end in .npz, got {path}.")
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            version=np.array(FORMAT_VERSION),
            landmark_names=np.array(LANDMARK_NAMES),
            person=np.array(track.person),
            shot=np.array(track.shot),
            first_frame=np.array(track.first_frame),
            frame_rate=np.array(track.frame_rate),
            image_size=np.array(track.image_size),
            image_points=track.image_points,
            confidences=track.confidences,
            world_points=track.world_points,
            camera_shifts=track.camera_shifts,
            focal_length=np.array(float(camera.focal_length)),
            camera_image_size=np.array(camera.image_size),
            camera_rotations=np.asarray(camera.rotations, np.float64),
            camera_position=np.asarray(camera.position, np.float64),
        )


def load_landmarks(path: str | os.PathLike) -> tuple[LandmarkTrack, Camera]:
    """Read what `save_landmarks` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is another file, of a newer version, or its values do not fit each other.
    """
    with naming(path):
        arrays = read_arrays(path)
        missing = [name for name in ("version", "landmark_names", *_NUMBERS, *_ARRAYS) if name not in arrays]
        if missing:
            raise ValueError(f"{path} is no file of landmarks: {', '.join(missing)} missing. Capture the video again.")
        if int(arrays["version"].reshape(())) != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {arrays['version']}, expected {FORMAT_VERSION}: update this package."
            )
        if tuple(arrays["landmark_names"].tolist()) != LANDMARK_NAMES:
            raise ValueError(f"{path} holds other landmarks than the 33 of BlazePose. Capture the video again.")
        numbers: dict[str, Any] = {name: arrays[name].reshape(()).item() for name in _NUMBERS}
        focal_length = numbers.pop("focal_length")
        track = LandmarkTrack(
            image_size=_size(arrays["image_size"]),
            image_points=arrays["image_points"],
            confidences=arrays["confidences"],
            world_points=arrays["world_points"],
            camera_shifts=arrays["camera_shifts"],
            **numbers,
        )
        camera = Camera(
            _size(arrays["camera_image_size"]), focal_length, arrays["camera_rotations"], arrays["camera_position"]
        )
        if camera.rotations.shape not in ((1, 3, 3), (track.num_frames, 3, 3)) or camera.position.shape != (3,):
            raise ValueError(f"{path}: the camera has other frames than the landmarks. Capture the video again.")
    return track, camera


def _size(values: np.ndarray) -> tuple[int, int]:
    width, height = (int(value) for value in values)
    return width, height
