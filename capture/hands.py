"""MediaPipe Hands: the 21 landmarks of both hands of a tracked person, on the CPU (Zhang et al., 2020)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..utils.extras import require_extra
from .blazepose import Region, _crop, _Network
from .hand_landmarks import FIRST_LANDMARK, NUM_HAND_LANDMARKS, HandTrack
from .landmarks import LANDMARK_INDEX, LandmarkTrack
from .models import HandModels
from .video_reading import read_pictures

RECROP_SIZE, HAND_SIZE = 256, 224
"""Width and height of what the two networks see, pixels."""
MIN_PRESENCE = 0.5
MIN_WRIST_CONFIDENCE = 0.3
"""Of the body's landmark, below which no hand is looked for."""
BODY_SCALE, BODY_SHIFT = 2.7, 0.1
"""The side of the region that is made of the body's landmarks, in twice the distance of the wrist from the middle
finger's knuckle, and by how much of it the region lies toward the fingers."""
HAND_SCALE, HAND_SHIFT = 2.0, 0.1
"""The same for the region of the next picture, in the longer side of the box around the palm."""
MAX_WRIST_DISTANCE = 0.5
"""Of the hand's wrist from the body's, in sides of the region: farther off it is another hand."""
MIN_REGION_PIXELS = 12
SIDES = ("left", "right")
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Landmarks in the box of the palm: those that the fingers' bends move least."""


@dataclass(frozen=True, eq=False)
class Hand:
    """What the landmark network sees in a region.

    Args:
        image_points: `(21, 2)`, pixels.
        world_points: `(21, 3)`, metres, along the camera's axes.
        presence: From 0 to 1, that the region shows a hand.
        next_region: Where to look for the hand in the next picture.
    """

    image_points: np.ndarray
    world_points: np.ndarray
    presence: float
    next_region: Region


class HandReader:
    """Both networks, each on one thread: the same pictures give the same landmarks.

    Which hand it is, the body's landmarks say: the network's own opinion is wrong too often on small hands.

    Args:
        models: Their files.

    Raises:
        ImportError: If the extra `capture` is not installed.
        ValueError: If a file is no network of its kind.
    """

    def __init__(self, models: HandModels):
        for package in ("ai_edge_litert", "cv2"):
            require_extra(package, "capture", "Reading landmarks of hands from a video")
        points = 3 * NUM_HAND_LANDMARKS
        self._recrop = _Network(models.recrop, RECROP_SIZE, ((1, 1, 4),))
        self._landmarks = _Network(models.landmarks, HAND_SIZE, ((points,), (1,), (1,), (points,)))

    def refine(self, picture: np.ndarray, region: Region) -> Region | None:
        """Find the region of the hand in a wider one that is made of the body's landmarks.

        Args:
            picture: `(height, width, 3)` uint8, red, green, blue.
            region: From `region_of_body`.
        """
        crop = _crop(picture, region, RECROP_SIZE, repeat_edge=True)
        (output,) = self._recrop.run(crop * np.float32(1 / 255))
        center, rim = region.to_picture(output.reshape(2, 2).astype(np.float64) / RECROP_SIZE)
        # The network's second point lies toward the arm.
        return _region(center, center - rim, 2 * float(np.linalg.norm(center - rim)))

    def landmarks(self, picture: np.ndarray, region: Region) -> Hand | None:
        """Find the landmarks of the hand in a region; `None` where there is none.

        Args:
            picture: `(height, width, 3)` uint8, red, green, blue.
            region: From `refine`, or from `Hand.next_region` of the picture before.
        """
        crop = _crop(picture, region, HAND_SIZE, repeat_edge=True)
        raw, presence, _, world = self._landmarks.run(crop * np.float32(1 / 255))
        if not presence[0] >= MIN_PRESENCE:
            return None
        points = region.to_picture(raw.reshape(-1, 3)[:, :2].astype(np.float64) / HAND_SIZE)
        world = world.reshape(-1, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ region.axes.T
        if not (np.isfinite(points).all() and np.isfinite(world).all()):
            return None
        next_region = region_of_hand(points)
        if next_region is None:
            return None
        return Hand(points, world, float(presence[0]), next_region)

    def follow(self, pictures: Iterable[np.ndarray], track: LandmarkTrack) -> HandTrack:
        """Follow both hands of a person.

        Args:
            pictures: One for each frame of the track, `(height, width, 3)` uint8, as large as its `image_size`.
            track: The person's landmarks.

        Raises:
            ValueError: If there is another number of pictures than frames.
        """
        shape = (track.num_frames, len(SIDES), NUM_HAND_LANDMARKS)
        image_points, world_points = np.zeros((*shape, 2), np.float32), np.zeros((*shape, 3), np.float32)
        confidences = np.zeros(shape[:2], np.float32)
        regions: list[Region | None] = [None, None]
        for frame, picture in zip(range(track.num_frames), pictures, strict=True):
            for index, side in enumerate(SIDES):
                hand = self._find(picture, track, frame, side, regions[index])
                regions[index] = None if hand is None else hand.next_region
                if hand is not None:
                    image_points[frame, index], world_points[frame, index] = hand.image_points, hand.world_points
                    confidences[frame, index] = hand.presence
        return HandTrack(image_points, world_points, confidences, track.frame_rate)

    def _find(
        self, picture: np.ndarray, track: LandmarkTrack, frame: int, side: str, before: Region | None
    ) -> Hand | None:
        """Look where the hand was before, and then where the body's landmarks say."""
        if track.confidences[frame, LANDMARK_INDEX[f"{side}_wrist"]] < MIN_WRIST_CONFIDENCE:
            return None
        points = track.image_points[frame].astype(np.float64)
        hand = None if before is None else self.landmarks(picture, before)
        if hand is not None and is_of_body(hand, points, side):
            return hand
        wide = region_of_body(points, side)
        region = None if wide is None else self.refine(picture, wide)
        hand = None if region is None else self.landmarks(picture, region)
        return hand if hand is not None and is_of_body(hand, points, side) else None


def read_hands(path: str | os.PathLike, track: LandmarkTrack, reader: HandReader) -> HandTrack:
    """Read the hands of a tracked person from the video again.

    Args:
        path: The video.
        track: A person in it.
        reader: The networks.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video.
    """
    frames = range(track.first_frame, track.first_frame + track.num_frames)
    return reader.follow((picture for _, picture in read_pictures(path, frames)), track)


def region_of_body(image_points: np.ndarray, side: str) -> Region | None:
    """Return where a hand is by landmarks `(33, 2)` of the body, its fingers upward; `None` if it is too small."""
    wrist, index, pinky = (image_points[LANDMARK_INDEX[f"{side}_{part}"]] for part in ("wrist", "index", "pinky"))
    middle = (2 * index + pinky) / 3
    size = 2 * BODY_SCALE * float(np.linalg.norm(middle - wrist))
    return _region(middle, middle - wrist, size, BODY_SHIFT)


def region_of_hand(image_points: np.ndarray) -> Region | None:
    """Return the region of a hand with landmarks `(21, 2)`, its fingers upward."""
    knuckles = image_points[[FIRST_LANDMARK[finger] for finger in ("index", "middle", "ring")]]
    target = (knuckles[0] + knuckles[2]) / 4 + knuckles[1] / 2
    upward = target - image_points[0]
    length = float(np.linalg.norm(upward))
    if length == 0:
        return None
    axes = np.stack([[-upward[1], upward[0]], upward]) / length
    places = image_points[_PALM] @ axes.T
    low, high = places.min(axis=0), places.max(axis=0)
    return _region((low + high) / 2 @ axes, upward, HAND_SCALE * float((high - low).max()), HAND_SHIFT)


def is_of_body(hand: Hand, image_points: np.ndarray, side: str) -> bool:
    """Return whether a hand is nearer to its own wrist than to the other one, and not far from it.

    Args:
        hand: That was found.
        image_points: Of the body, `(33, 2)`, pixels.
        side: `"left"` or `"right"`.
    """
    own, other = (image_points[LANDMARK_INDEX[f"{name}_wrist"]] for name in (side, SIDES[side == "left"]))
    distance = np.linalg.norm(hand.image_points[0] - own)
    limit = MAX_WRIST_DISTANCE * hand.next_region.size
    return bool(distance < limit and distance <= np.linalg.norm(hand.image_points[0] - other) + limit / 2)


def _region(center: np.ndarray, upward: np.ndarray, size: float, shift: float = 0.0) -> Region | None:
    """Return a square whose upper side lies in a direction `(2,)`, moved there by a share of its side."""
    length = float(np.linalg.norm(upward))
    if not (MIN_REGION_PIXELS <= size < 1e5 and length > 0):
        return None
    x, y = center + shift * size * upward / length
    return Region(float(x), float(y), size, float(np.arctan2(upward[0], -upward[1])))
