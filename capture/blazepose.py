"""BlazePose: people in a picture, and the 33 landmarks of one of them, on the CPU (Bazarevsky et al., 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.extras import require_extra
from .landmarks import NUM_LANDMARKS, LandmarkTrack

FETCH_COMMAND = "`infinitedance capture --fetch-models`"
DETECTOR_SIZE, LANDMARK_SIZE = 224, 256
"""Width and height of what the two networks see, pixels."""
HEATMAP_SIZE = 64
NUM_OUTPUTS = 39
"""Landmarks of the network: the 33, then two that the next region is made of, then four that nothing uses."""
NUM_USED = NUM_LANDMARKS + 2
MIN_DETECTION_SCORE = 0.5
MIN_OVERLAP = 0.3
"""Of two boxes that show the same person, as intersection over union."""
MIN_PRESENCE = 0.5
"""Below it the landmark network sees nobody."""
REGION_SCALE = 1.25
"""The side of a region in diameters of the circle around the person."""
HEATMAP_REACH, MIN_HEAT = 3, 0.5
"""Landmarks are refined within 7 x 7 cells of a heat map, where one of them has at least this probability."""
_ANCHOR_LAYERS = ((28, 2), (14, 2), (7, 6))
"""Cells a side and anchors a cell."""


@dataclass(frozen=True)
class LandmarkModels:
    """Files of the two networks.

    Args:
        detector: `pose_detection.tflite`.
        landmarks: `pose_landmark_heavy.tflite`, `full` or `lite`.
    """

    detector: Path
    landmarks: Path


@dataclass(frozen=True)
class Region:
    """A turned square of a picture, in which a person stands upright.

    Args:
        x: Of the center, pixels.
        y: Of the center, pixels.
        size: Of a side, pixels.
        angle: Radians, clockwise in the picture; 0 where the person stands upright in it.
    """

    x: float
    y: float
    size: float
    angle: float

    @classmethod
    def around(cls, center: np.ndarray, rim: np.ndarray) -> Region:
        """Return the region of a person from the middle of the hips and a point on the circle around the body, above.

        Args:
            center: `(2,)`, pixels.
            rim: `(2,)`, pixels.
        """
        x, y = float(rim[0] - center[0]), float(rim[1] - center[1])
        angle = math.pi / 2 - math.atan2(-y, x)
        angle -= 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
        return cls(float(center[0]), float(center[1]), 2 * REGION_SCALE * math.hypot(x, y), angle)

    @property
    def axes(self) -> np.ndarray:
        """The turn `(2, 2)` from the region's axes to the picture's."""
        return _turn(self.angle)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Turn points `(..., 2)`, 0 to 1 across the region, into pixels of the picture."""
        return (points - 0.5) * self.size @ self.axes.T + np.array([self.x, self.y])

    def corners(self) -> np.ndarray:
        """Return the corners `(4, 2)`, pixels, clockwise from the upper left of the person."""
        return self.to_picture(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))


@dataclass(frozen=True, eq=False)
class Detection:
    """A person that the detector found.

    Args:
        score: From 0 to 1.
        box: `(4,)`, left, top, right, bottom of the face, pixels.
        region: Of the whole body.
    """

    score: float
    box: np.ndarray
    region: Region


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What the landmark network sees in a region.

    Args:
        image_points: `(33, 2)`, pixels.
        confidences: `(33,)` from 0 to 1, that a landmark is in the picture and not hidden.
        world_points: `(33, 3)`, metres, the middle of the hips at the origin; x right, y down, z away.
        presence: From 0 to 1, that the region shows a person.
        next_region: Where to look for the person in the next picture.
    """

    image_points: np.ndarray
    confidences: np.ndarray
    world_points: np.ndarray
    presence: float
    next_region: Region


class BlazePose:
    """Both networks.

    Args:
        models: Their files.
        num_threads: Of each network; with any number the same pictures give the same landmarks.

    Raises:
        ImportError: If the extra `capture` is not installed.
        ValueError: If a file is no network of its kind.
    """

    def __init__(self, models: LandmarkModels, num_threads: int = 1):
        for package in ("ai_edge_litert", "cv2"):
            require_extra(package, "capture", "Reading landmarks from a video")
        self._detector = _Network(models.detector, DETECTOR_SIZE, ((2254, 12), (2254, 1)), num_threads)
        heat = (HEATMAP_SIZE, HEATMAP_SIZE, NUM_OUTPUTS)
        shapes = ((NUM_OUTPUTS * 5,), (1,), (LANDMARK_SIZE, LANDMARK_SIZE, 1), heat, (NUM_OUTPUTS * 3,))
        self._landmarks = _Network(models.landmarks, LANDMARK_SIZE, shapes, num_threads)
        self._anchors = anchor_centers()

    def detect(self, picture: np.ndarray) -> list[Detection]:
        """Find people, the surest first.

        Args:
            picture: `(height, width, 3)` uint8, red, green, blue.
        """
        height, width = picture.shape[:2]
        whole = Region(width / 2, height / 2, max(height, width), 0.0)
        crop = _crop(picture, whole, DETECTOR_SIZE, repeat_edge=False)
        raw, logits = self._detector.run(crop * np.float32(2 / 255) - np.float32(1))
        scores = _sigmoid(logits[:, 0])
        kept = scores >= MIN_DETECTION_SCORE
        boxes = decode_boxes(raw[kept], self._anchors[kept])
        found = []
        for score, points in merge_overlapping(scores[kept], boxes):
            points = whole.to_picture(points)
            found.append(Detection(float(score), points[:2].reshape(4), Region.around(points[2], points[3])))
        return found

    def landmarks(self, picture: np.ndarray, region: Region) -> Landmarks | None:
        """Find the landmarks of the person in a region; `None` where there is nobody.

        Args:
            picture: `(height, width, 3)` uint8, red, green, blue.
            region: From `detect`, or from `Landmarks.next_region` of the picture before.
        """
        crop = _crop(picture, region, LANDMARK_SIZE, repeat_edge=True)
        raw, presence, _, heat, world = self._landmarks.run(crop * np.float32(1 / 255))
        if not presence[0] >= MIN_PRESENCE:
            return None
        raw, world = raw.reshape(NUM_OUTPUTS, 5), world.reshape(NUM_OUTPUTS, 3)[:NUM_LANDMARKS].copy()
        points = refine_from_heat(raw[:, :2] / LANDMARK_SIZE, heat)
        world[:, :2] = world[:, :2] @ region.axes.T
        image_points = region.to_picture(points)
        if not (np.isfinite(image_points).all() and np.isfinite(world).all()):
            return None
        next_region = Region.around(*image_points[NUM_LANDMARKS : NUM_LANDMARKS + 2])
        if not 1 <= next_region.size <= 100 * max(picture.shape):
            return None
        confidences = np.prod(_sigmoid(raw[:NUM_LANDMARKS, 3:]), axis=1)
        image_points = image_points[:NUM_LANDMARKS].astype(np.float32)
        return Landmarks(image_points, confidences.astype(np.float32), world, float(presence[0]), next_region)

    def track_single(self, pictures: Iterable[np.ndarray]) -> LandmarkTrack:
        """Follow one person through the 30 Hz pictures of one shot; detect where the person is lost.

        Raises:
            ValueError: If nobody is in any picture.
        """
        region: Region | None = None
        found: list[Landmarks | None] = []
        size = (0, 0)
        for picture in pictures:
            size = (picture.shape[1], picture.shape[0])
            landmarks = None if region is None else self.landmarks(picture, region)
            if landmarks is None:
                detections = self.detect(picture)
                landmarks = self.landmarks(picture, detections[0].region) if detections else None
            region = None if landmarks is None else landmarks.next_region
            found.append(landmarks)
        seen = [frame for frame, landmarks in enumerate(found) if landmarks is not None]
        if not seen:
            raise ValueError("Nobody is in the pictures. Pass pictures that show a person.")
        return stack_landmarks(found[seen[0] : seen[-1] + 1], 0, 0, seen[0], size)


def stack_landmarks(
    found: Sequence[Landmarks | None], person: int, shot: int, first_frame: int, image_size: tuple[int, int]
) -> LandmarkTrack:
    """Return the track of one person; frames with `None` are 0."""
    image_points = np.zeros((len(found), NUM_LANDMARKS, 2), np.float32)
    confidences = np.zeros((len(found), NUM_LANDMARKS), np.float32)
    world_points = np.zeros((len(found), NUM_LANDMARKS, 3), np.float32)
    for frame, landmarks in enumerate(found):
        if landmarks is not None:
            image_points[frame] = landmarks.image_points
            confidences[frame] = landmarks.confidences
            world_points[frame] = landmarks.world_points
    return LandmarkTrack(person, shot, first_frame, image_size, image_points, confidences, world_points)


def anchor_centers() -> np.ndarray:
    """Return the centers `(2254, 2)` of the detector's anchors, x and y from 0 to 1; their size is the picture's."""
    layers = []
    for cells, copies in _ANCHOR_LAYERS:
        steps = (np.arange(cells) + 0.5) / cells
        centers = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(centers, copies, axis=0))
    return np.concatenate(layers)


def decode_boxes(raw: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Turn outputs `(boxes, 12)` of the detector into points.

    Returns:
        `(boxes, 6, 2)`, x and y from 0 to 1: the upper left and the lower right corner of the face, the middle of the
        hips, a point on the circle around the body, the middle of the shoulders, a point on the circle around the
        upper body.
    """
    pairs = raw.reshape(-1, 6, 2) / DETECTOR_SIZE
    centers, sizes = pairs[:, 0] + anchors, pairs[:, 1]
    corners = np.stack([centers - sizes / 2, centers + sizes / 2], axis=1)
    return np.concatenate([corners, pairs[:, 2:] + anchors[:, None]], axis=1)


def merge_overlapping(scores: np.ndarray, boxes: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Merge boxes of the same person to their mean, weighted by the scores: weighted non-maximum suppression.

    Args:
        scores: `(boxes,)`.
        boxes: `(boxes, points, 2)`; the first two points are the corners.

    Returns:
        The score and the points `(points, 2)` of each person, the surest first.
    """
    left = np.argsort(-scores, kind="stable")
    merged = []
    while len(left):
        best = left[0]
        same = np.array([overlap(boxes[best, :2], boxes[index, :2]) for index in left]) > MIN_OVERLAP
        same[0] = True
        members = left[same]
        merged.append((float(scores[best]), np.average(boxes[members], axis=0, weights=scores[members])))
        left = left[~same]
    return merged


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the intersection over union of two boxes `(2, 2)`, upper left and lower right corner."""
    inner = np.prod(np.maximum(np.minimum(first[1], second[1]) - np.maximum(first[0], second[0]), 0))
    union = np.prod(first[1] - first[0]) + np.prod(second[1] - second[0]) - inner
    return float(inner / union) if union > 0 else 0.0


def refine_from_heat(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Move landmarks to the weighted middle of their heat map around them, where it is sure, as MediaPipe does.

    Args:
        points: `(landmarks, 2)`, x and y from 0 to 1.
        heat: `(64, 64, landmarks)`, logits.
    """
    refined = points.astype(np.float64)
    cells = np.floor(points * HEATMAP_SIZE).astype(int)
    for index, (column, row) in enumerate(cells[:NUM_USED]):
        if not (0 <= column < HEATMAP_SIZE and 0 <= row < HEATMAP_SIZE):
            continue
        top, left = max(row - HEATMAP_REACH, 0), max(column - HEATMAP_REACH, 0)
        part = _sigmoid(heat[top : row + HEATMAP_REACH + 1, left : column + HEATMAP_REACH + 1, index])
        if part.max() >= MIN_HEAT:
            rows, columns = np.arange(top, top + part.shape[0]), np.arange(left, left + part.shape[1])
            middle = np.array([(part.sum(axis=0) * columns).sum(), (part.sum(axis=1) * rows).sum()])
            refined[index] = middle / part.sum() / HEATMAP_SIZE
    return refined


class _Network:
    """A network of one picture in, `(1, ...)` tensors out."""

    def __init__(self, path: Path, size: int, shapes: tuple[tuple[int, ...], ...], num_threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        try:
            self._interpreter: Any = Interpreter(str(path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"{path} is no network that LiteRT reads. Fetch it again: {FETCH_COMMAND}.") from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        found = tuple(tuple(each["shape"][1:].tolist()) for each in (*inputs, *outputs))
        if found != ((size, size, 3), *shapes):
            raise ValueError(f"{path} is another network than {FETCH_COMMAND} brings: its shapes are {found}.")
        self._input = inputs[0]["index"]
        self._outputs = [each["index"] for each in outputs]

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, picture[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def _crop(picture: np.ndarray, region: Region, size: int, repeat_edge: bool) -> np.ndarray:
    """Return a region as a float32 picture `(size, size, 3)` from 0 to 255; outside the picture edge or black."""
    import cv2

    # Pixels are squares: the middle of the first is at 0.5 in `Region`, at 0 in OpenCV.
    step = region.size / size
    matrix = np.empty((2, 3))
    matrix[:, :2] = region.axes * step
    matrix[:, 2] = region.to_picture(np.zeros(2)) + matrix[:, :2] @ [0.5, 0.5] - 0.5
    border = cv2.BORDER_REPLICATE if repeat_edge else cv2.BORDER_CONSTANT
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=border).astype(np.float32)


def _turn(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
