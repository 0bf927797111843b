"""From a video file to the landmarks of the people in it, shot by shot, at 30 Hz."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from ..motion.motion import FRAME_RATE
from .blazepose import stack_landmarks
from .camera_motion import CameraMotion
from .landmarks import LandmarkTrack
from .shots import split_shots
from .tracking import Estimator, PeopleTracker, Person
from .video_reading import Picture, open_video

MOST_PROMINENT, EVERYBODY = "first", "all"
MIN_SECONDS = 1.0
"""Shorter tracks are dropped."""
MAX_STEP_SECONDS = 0.25
"""Between two pictures farther apart nothing is interpolated."""
MIN_SHARE_SEEN = 0.5
"""Of its frames: tracks that are seen in fewer are dropped."""
_ADVICE = "Film the whole body, upright and not too small, in good light."


@dataclass(frozen=True)
class VideoFacts:
    """What a video is.

    Args:
        image_size: Width and height of its upright picture, pixels.
        picture_rate: Pictures a second, the mean.
        seconds: Its length, from the first picture on.
        shot_starts: Frames at 30 Hz with which its shots begin; the first is 0.
        has_sound: Whether it has any.
        sound_offset_seconds: When the first picture is shown, in the sound as `media.decoding` reads it; may be
            negative: the sound begins later.
        notes: What a user should know about it, sentences.
    """

    image_size: tuple[int, int]
    picture_rate: float
    seconds: float
    shot_starts: tuple[int, ...]
    has_sound: bool
    sound_offset_seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Shot:
    """One shot while it is looked at.

    Args:
        tracker: Of the people in it.
        camera: By how much the background moves.
        seconds: Of its pictures.
    """

    tracker: PeopleTracker
    camera: CameraMotion
    seconds: list[float]

    def add(self, picture: Picture) -> None:
        """Look at the next picture."""
        self.tracker.add(picture.seconds, picture.pixels)
        self.camera.add(picture.pixels, [landmarks.image_points for landmarks in self.tracker.visible])
        self.seconds.append(picture.seconds)

    def with_camera(self, track: LandmarkTrack) -> LandmarkTrack:
        """Return a track of this shot with how far the background has moved since its frame 0."""
        frames = (track.first_frame + np.arange(track.num_frames)) / track.frame_rate
        moved = self.camera.shifts(track.image_size[0])
        shifts = np.stack([np.interp(frames, self.seconds, moved[:, axis]) for axis in (0, 1)], axis=1)
        return replace(track, camera_shifts=shifts - shifts[0])


def track_people(
    path: str | os.PathLike, estimator: Estimator, person: str = MOST_PROMINENT
) -> tuple[VideoFacts, list[LandmarkTrack]]:
    """Follow the people of a video.

    Args:
        path: The video.
        estimator: A `BlazePose`.
        person: Whom to keep of each shot: `"first"`, the most prominent one, `"all"`, or a number counted from 0, who
            is the most prominent one.

    Returns:
        What the video is, and a track for each person of each shot, in the order of shots and prominence.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video, nobody is in it long enough, or no shot has so many people.
    """
    shots: list[Shot] = []
    with open_video(path) as video:
        for picture, is_new in split_shots(video.pictures()):
            if is_new or not shots:
                shots.append(Shot(PeopleTracker(estimator), CameraMotion(), []))
            shots[-1].add(picture)
            scale = video.image_size[0] / picture.pixels.shape[1]
        facts = VideoFacts(
            image_size=video.image_size,
            picture_rate=video.num_pictures / video.seconds,
            seconds=video.seconds,
            shot_starts=tuple(first_frame(shot.seconds[0]) for shot in shots),
            has_sound=video.has_sound,
            sound_offset_seconds=video.sound_offset_seconds,
            notes=tuple(video.notes),
        )
    tracks = []
    for number, shot in enumerate(shots):
        found = [to_track(each, number, facts.image_size, scale) for each in shot.tracker.people]
        tracks += [shot.with_camera(track) for track in rank(found)]
    if not tracks and facts.seconds < MIN_SECONDS:
        raise ValueError(f"{os.fspath(path)} lasts {facts.seconds:.2f} s. Give a video of {MIN_SECONDS:g} s or more.")
    if not tracks:
        was_seen = any(shot.tracker.people for shot in shots)
        what = f"nobody is seen for {MIN_SECONDS:g} s in one shot" if was_seen else "nobody is seen"
        message = f"{os.fspath(path)}: {what} in its {facts.seconds:.1f} s. {_ADVICE}"
        raise ValueError(" ".join([message, *facts.notes]))
    return facts, choose(tracks, person, os.fspath(path))


def choose(tracks: list[LandmarkTrack], person: str, name: str) -> list[LandmarkTrack]:
    """Return the tracks of one person of each shot, or of all; see `track_people`.

    Raises:
        ValueError: If no shot has so many people, or `person` is something else.
    """
    if person == EVERYBODY:
        return tracks
    if person != MOST_PROMINENT and not person.isdecimal():
        raise ValueError(f"`person` must be {MOST_PROMINENT}, {EVERYBODY} or a number from 0, got {person!r}.")
    number = 0 if person == MOST_PROMINENT else int(person)
    chosen = [track for track in tracks if track.person == number]
    if not chosen:
        most = max(track.person for track in tracks)
        raise ValueError(
            f"{name}: no shot has a person {number}. They are counted from 0, the most prominent one, to {most}."
        )
    return chosen


def first_frame(seconds: float) -> int:
    """Return the first frame at 30 Hz that is not before a time."""
    return math.ceil(seconds * FRAME_RATE - 1e-6)


def to_track(person: Person, shot: int, image_size: tuple[int, int], scale: float) -> LandmarkTrack | None:
    """Return what was seen of a person, at 30 Hz; `None` if it is too little.

    Between pictures up to `MAX_STEP_SECONDS` apart landmarks are interpolated, by cubics where there are neighbors.
    Elsewhere the person was not found.

    Args:
        person: In pixels of pictures that are `scale` times smaller than `image_size`.
        shot: Its number.
        image_size: Width and height, pixels.
        scale: 1 or more.
    """
    times = np.array(person.seconds)
    start, end = first_frame(times[0]), math.floor(times[-1] * FRAME_RATE + 1e-6)
    if end - start + 1 < MIN_SECONDS * FRAME_RATE:
        return None
    seen = stack_landmarks([*person.found], 0, shot, 0, image_size)
    sources = [seen.image_points * scale, seen.confidences, seen.world_points]
    targets = [np.zeros((end - start + 1, *source.shape[1:]), np.float32) for source in sources]
    frames = np.arange(start, end + 1) / FRAME_RATE
    is_found = np.zeros(len(frames), bool)
    for run in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > MAX_STEP_SECONDS) + 1):
        inside = (frames >= times[run[0]] - 1e-6) & (frames <= times[run[-1]] + 1e-6)
        is_found |= inside
        for source, target in zip(sources, targets, strict=True):
            target[inside] = interpolate(times[run], source[run], frames[inside])
    if is_found.mean() < MIN_SHARE_SEEN:
        return None
    targets[1] = targets[1].clip(0, 1)
    return LandmarkTrack(0, shot, start, image_size, targets[0], targets[1], targets[2])


def interpolate(times: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate values `(times, ...)` by cubics with slopes of parabolas; two by a line, one by itself."""
    if len(times) == 1:
        return np.repeat(values, len(wanted), axis=0)
    slopes = np.gradient(values.astype(np.float64), times, axis=0, edge_order=2 if len(times) > 2 else 1)
    return CubicHermiteSpline(times, values, slopes)(wanted)


def rank(tracks: list[LandmarkTrack | None]) -> list[LandmarkTrack]:
    """Number the tracks of a shot: the larger, the longer and the nearer to the middle, the earlier."""
    ordered = sorted((track for track in tracks if track is not None), key=prominence, reverse=True)
    return [replace(track, person=number) for number, track in enumerate(ordered)]


def prominence(track: LandmarkTrack) -> float:
    """Return how prominent a person is: the sum over frames of size times centrality, both 0 to 1."""
    is_found = (track.confidences > 0).any(axis=1)
    points = track.image_points[is_found] / np.array(track.image_size)
    size = np.linalg.norm(np.ptp(points.clip(0, 1), axis=1), axis=-1)
    off = np.linalg.norm(points.mean(axis=1) - 0.5, axis=-1) / math.sqrt(0.5)
    return float((size * (1 - off.clip(0, 1))).sum())
