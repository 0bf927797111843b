"""Videos that are made in tests, what finds bright rectangles in them as if they were people, and made tracks."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infinitedance.capture.blazepose import BlazePose, Detection, Landmarks, Region
from infinitedance.capture.camera import Camera, camera_rotations
from infinitedance.capture.landmark_body import place_landmarks
from infinitedance.capture.landmarks import LANDMARK_NAMES, LandmarkTrack
from infinitedance.capture.models import find_models
from infinitedance.motion.motion import Motion

GRAY = 100
CLOCK = 90_000
HEIGHTS = {"shoulder": -0.3, "elbow": -0.15, "wrist": 0.0, "hip": 0.0, "knee": 0.25, "ankle": 0.45}


@pytest.fixture(scope="session")
def write_pictures() -> Callable[..., Path]:
    """Write pictures `(height, width, 3)` uint8 at times in seconds: `write_pictures(path, pictures, times)`."""
    import av

    def write(
        path: Path,
        pictures: Iterable[np.ndarray],
        times: Sequence[float],
        *,
        codec: str = "mpeg4",
        rotation: int = 0,
        aspect: Fraction | None = None,
        options: dict[str, str] | None = None,
        pixel_format: str = "yuv420p",
    ) -> Path:
        with av.open(str(path), "w") as container:
            stream: Any = None
            for picture, time in zip(pictures, times, strict=True):
                if stream is None:
                    stream = container.add_stream(codec, rate=30, options=options or {})
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = pixel_format
                    clock = 30 if path.suffix == ".avi" else 60_000 if codec == "mpeg4" else CLOCK
                    stream.codec_context.time_base = Fraction(1, clock)
                    if codec == "mpeg4":
                        stream.bit_rate = 4_000_000
                    if aspect is not None:
                        stream.codec_context.sample_aspect_ratio = aspect
                    if rotation:
                        stream.set_display_rotation(rotation)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.time_base = stream.codec_context.time_base
                frame.pts = round(time / frame.time_base)
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture(scope="session")
def picture_of() -> Callable[..., np.ndarray]:
    """Draw a room with people, who are rectangles: `picture_of((x, color), ..., size=(width, height))`.

    A person may have a third number, the height, 100 pixels otherwise; later ones stand in front.
    """

    def draw(*people: tuple[Any, ...], size: tuple[int, int] = (320, 180)) -> np.ndarray:
        picture = np.full((size[1], size[0], 3), GRAY, np.uint8)
        picture[:, : size[0] // 5] -= 30
        picture[: size[1] // 4] += 30
        for x, color, *rest in people:
            height = rest[0] if rest else 100
            left, right = round(max(x - height / 6, 0)), round(max(x + height / 6, 0))
            top, bottom = round(max(size[1] / 2 - height / 2, 0)), round(size[1] / 2 + height / 2)
            picture[top:bottom, left:right] = color
        return picture

    return draw


class RectangleFinder:
    """Finds rectangles of bright colors; hidden ones it takes for those in front, as networks do."""

    def __init__(self) -> None:
        self.num_looks = 0

    def detect(self, picture: np.ndarray) -> list[Detection]:
        return [Detection(0.9, np.zeros(4), landmarks.next_region) for landmarks in self._find(picture)]

    def landmarks(self, picture: np.ndarray, region: Region) -> Landmarks | None:
        self.num_looks += 1
        found = [
            (np.hypot(each.next_region.x - region.x, each.next_region.y - region.y), index, each)
            for index, each in enumerate(self._find(picture))
        ]
        near = [entry for entry in found if entry[0] < 0.3 * region.size]
        return min(near)[2] if near else None

    def _find(self, picture: np.ndarray) -> list[Landmarks]:
        from scipy.ndimage import find_objects, label

        step = 1 + picture.shape[1] // 600  # a pixel in so many is enough of a large picture
        channels = np.moveaxis(picture[::step, ::step].astype(np.int16), -1, 0)
        largest = np.maximum.reduce(channels)
        bright = largest - np.minimum.reduce(channels) > 90
        found = []
        for channel in channels:
            for rows, columns in find_objects(label(bright & (channel == largest))[0]):
                if step * (rows.stop - rows.start) > 20 and step * (columns.stop - columns.start) > 8:
                    sides = columns.start, columns.stop, rows.start, rows.stop
                    found.append(rectangle_landmarks(*(step * side for side in sides)))
        return found


def rectangle_landmarks(left: float, right: float, top: float, bottom: float) -> Landmarks:
    """Place 33 landmarks in a rectangle."""
    height, x, y = bottom - top, (left + right) / 2, (top + bottom) / 2
    points = np.zeros((33, 2), np.float32)
    for index, name in enumerate(LANDMARK_NAMES):
        side = 1 if "left" in name else -1 if "right" in name else 0
        part = next((HEIGHTS[part] for part in HEIGHTS if part in name), -0.45)
        points[index] = x + side * (right - left) * 0.3, y + part * height
    region = Region(x, y, 1.25 * height, 0.0)
    return Landmarks(points, np.ones(33, np.float32), np.ones((33, 3), np.float32), 1.0, region)


@pytest.fixture
def finder() -> RectangleFinder:
    return RectangleFinder()


@pytest.fixture(scope="session")
def landmarks_at() -> Callable[..., Landmarks]:
    """Place landmarks in a rectangle: `landmarks_at(left, right, top, bottom)`."""
    return rectangle_landmarks


@pytest.fixture(scope="session")
def blazepose() -> BlazePose:
    """The networks, where they were fetched."""
    pytest.importorskip("ai_edge_litert", reason="the extra `capture` is not installed")
    try:
        return BlazePose(find_models(network="full"))
    except FileNotFoundError:
        pytest.skip("the landmark models are absent: run `infinitedance capture --fetch-models --network full`")


@pytest.fixture(scope="session")
def front_camera() -> Camera:
    """A camera four metres in front of the origin, 1.4 m high, tilted down by 0.1."""
    return Camera(
        (640, 480),
        700.0,
        camera_rotations(torch.zeros(1).double(), *torch.tensor([0.1, 0.02]).double()).numpy(),
        np.array([0.0, 1.4, 4.0]),
    )


@pytest.fixture(scope="session")
def see() -> Callable[..., LandmarkTrack]:
    """Make the track of a dance that a camera sees without errors: `see(motion, camera)`."""

    def make(motion: Motion, camera: Camera) -> LandmarkTrack:
        positions, rotations = (torch.from_numpy(array) for array in motion.joint_frames())
        landmarks = place_landmarks(positions, rotations).numpy()
        seen = camera.to_camera(landmarks)
        return LandmarkTrack(
            person=0,
            shot=0,
            first_frame=0,
            image_size=camera.image_size,
            image_points=camera.project(landmarks),
            confidences=np.ones(landmarks.shape[:2]),
            world_points=seen - seen[:, [23, 24]].mean(axis=1, keepdims=True),
        )

    return make
