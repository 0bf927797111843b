"""What the parts of the capture make of a video, from the estimator alone to the whole chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from infinitedance.capture.chain import clean_motion
from infinitedance.capture.fitting import FitSettings
from infinitedance.capture.landmarks import LandmarkTrack
from infinitedance.capture.lifting import LiftedMotion, lift, load_lifter
from infinitedance.capture.tools import CaptureTools
from infinitedance.dataset_builder.video_jobs import PERSON_FIRST
from infinitedance.motion.motion import Motion
from infinitedance.motion.physics.imitation import imitate
from infinitedance.restoration.restore import with_lower_body
from infinitedance.utils.atomic import atomic_path

from ..restoration.baselines import smooth_savgol
from .measures import MEASURES, estimator_joints, measure_capture, measure_pose, seen_from
from .videos import Recording

ESTIMATOR, LIFTER, FIT, FLOOR = "estimator, camera's tilt given", "lifter", "lifter, fit", "lifter, fit, floor"
PHYSICS, SMOOTH = f"{FLOOR}, physics", f"{FLOOR}, physics, smoothing"
PHYSICS_FRDM, FRDM, TRUTH = f"{FLOOR}, physics, FRDM", f"{FLOOR}, FRDM", "truth"
ROWS = (ESTIMATOR, LIFTER, FIT, FLOOR, PHYSICS, SMOOTH, PHYSICS_FRDM, FRDM, TRUTH)
_NEUTRAL_METRES = 1.70
_TRACK_NUMBERS = ("person", "shot", "first_frame")
_TRACK_ARRAYS = ("image_size", "image_points", "confidences", "world_points")


class Capturer(Protocol):
    """The parts that are measured."""

    def track(self, video: Path) -> LandmarkTrack:
        """Return the most prominent person of a video."""

    def lift(self, track: LandmarkTrack, height_metres: float, settings: FitSettings) -> LiftedMotion:
        """Return the dance of a track."""

    def restore(self, motion: Motion) -> Motion:
        """Return a dance with restored feet."""


class Networks:
    """The parts that ship, or others by their folders.

    Args:
        models: Folder of the landmark models; `None`: where `infinitedance capture --fetch-models` puts them.
        lifter: Folder of a lifter; `None`: the one that ships.
    """

    def __init__(self, models: str | None = None, lifter: str | None = None):
        self.models = models
        self._tools = CaptureTools(models, lifter)
        self._lifter = load_lifter(lifter)

    def track(self, video: Path) -> LandmarkTrack:
        """Return the most prominent person of a video."""
        return self._tools.track(video, PERSON_FIRST)[1][0]

    def lift(self, track: LandmarkTrack, height_metres: float, settings: FitSettings) -> LiftedMotion:
        """Return the dance of a track; the focal length is not known."""
        return lift(track, self._lifter, height_metres=height_metres, settings=settings)

    def restore(self, motion: Motion) -> Motion:
        """Return a dance with restored feet, by the model that ships."""
        return self._tools.restore(motion).motion


def track_of(recording: Recording, capturer: Capturer) -> LandmarkTrack:
    """Return the track of a recording; kept beside the video."""
    path = recording.path.with_suffix(".npz")
    if path.is_file():
        with np.load(path) as arrays:
            numbers = {name: int(arrays[name]) for name in _TRACK_NUMBERS}
            rest = {name: arrays[name] for name in _TRACK_ARRAYS[1:]}
            width, height = arrays["image_size"].tolist()
            return LandmarkTrack(**numbers, image_size=(width, height), **rest)
    track = capturer.track(recording.path)
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **{name: getattr(track, name) for name in _TRACK_NUMBERS + _TRACK_ARRAYS})
    return track


def measure_recording(recording: Recording, capturer: Capturer) -> dict[str, dict[str, float]]:
    """Return `MEASURES` of each of `ROWS`; NaN for what a row does not have, and `seen` of the estimator."""
    track = track_of(recording, capturer)
    last = min(track.num_frames, recording.truth.num_frames - track.first_frame)
    track = track.cut(0, last)
    span = (track.first_frame, track.first_frame + last)
    camera = recording.camera
    if len(camera.rotations) > 1:
        camera = replace(camera, rotations=camera.rotations[span[0] : span[1]])
    truth = seen_from(recording.truth.cut(*span), camera)
    measured = {ESTIMATOR: measure_pose(estimator_joints(track, camera), truth)}
    for row, motion in _stages(track, recording.stature_metres, capturer).items():
        positions = motion.joint_positions().astype(np.float64)
        if row not in (LIFTER, FIT):  # the chain works on the neutral body
            positions *= recording.stature_metres / _NEUTRAL_METRES
        measured[row] = measure_capture(positions, motion.foot_contacts, truth)
    true_positions = truth.joint_positions().astype(np.float64)
    contacts = truth.skeleton.detect_foot_contacts(true_positions, truth.frame_rate)
    measured[TRUTH] = measure_capture(true_positions, contacts, truth)
    return {row: {name: measured[row].get(name, np.nan) for name in MEASURES} for row in ROWS}


def _stages(track: LandmarkTrack, height_metres: float, capturer: Capturer) -> dict[str, Motion]:
    proposed = capturer.lift(track, height_metres, FitSettings(iterations=0))
    lifted = capturer.lift(track, height_metres, FitSettings())
    floor = clean_motion(lifted, track, None).motion
    physics = with_lower_body(floor, imitate(floor).motion)  # also where the capture would reject it
    return {
        LIFTER: replace(proposed.motion, foot_contacts=proposed.contact_probabilities > 0.5),
        FIT: lifted.motion,
        FLOOR: floor,
        PHYSICS: physics,
        SMOOTH: smooth_savgol(physics),
        PHYSICS_FRDM: capturer.restore(physics),
        FRDM: capturer.restore(floor),
    }
