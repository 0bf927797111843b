"""What the parts of the capture make of a video, from the estimator alone to the whole chain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from infinitedance.capture.chain import clean_motion
from infinitedance.capture.fitting import FitSettings
from infinitedance.capture.landmark_files import load_landmarks
from infinitedance.capture.landmarks import LandmarkTrack
from infinitedance.capture.lifting import LiftedMotion, lift, load_lifter
from infinitedance.capture.people import VideoFacts
from infinitedance.capture.tools import CaptureTools, models_digest
from infinitedance.dataset_builder.video_clips import capture_videos
from infinitedance.dataset_builder.video_jobs import CaptureOptions
from infinitedance.motion.files import load_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.physics.imitation import imitate
from infinitedance.motion.retargeting.retargeting import retarget
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
_TRACK_NUMBERS = ("person", "shot", "first_frame", "image_size")
_ARRAYS = ("image_points", "confidences", "world_points", "camera_shifts")


@dataclass(frozen=True, eq=False)
class Captured:
    """What `infinitedance capture` makes of a video.

    Args:
        track: The landmarks, from `first_frame` of the video on.
        motion: The dance, on our neutral body at the size of the dancer, of the same frames.
    """

    track: LandmarkTrack
    motion: Motion


class Capturer(Protocol):
    """What is measured."""

    def capture(self, video: Path, height_metres: float) -> Captured:
        """Return the whole capture's dance of a video; of several clips the longest."""

    def lift(self, track: LandmarkTrack, height_metres: float, settings: FitSettings) -> LiftedMotion:
        """Return the dance of a track."""

    def restore(self, motion: Motion) -> Motion:
        """Return a dance with restored feet."""


class Networks:
    """The capture that ships, or with other networks by their folders.

    Args:
        work_dir: Where captured clip folders go, one for each set of networks; finished clips are kept.
        models: Folder of the landmark models; `None`: where `infinitedance capture --fetch-models` puts them.
        lifter: Folder of a lifter; `None`: the one that ships.
        network: See `CaptureTools`.
    """

    def __init__(self, work_dir: Path, models: str | None = None, lifter: str | None = None, network: str = "heavy"):
        self.command_options = ["--network", network, *(["--models", models] if models else [])]
        self._work_dir, self._lifter = work_dir, load_lifter(lifter)
        self._tools = KeptTracks(models, lifter, network=network)

    def capture(self, video: Path, height_metres: float) -> Captured:
        """Return the whole capture's dance of a video; of several clips the longest."""
        digest = hashlib.sha256(json.dumps(self._tools.digests(), sort_keys=True).encode()).hexdigest()
        folder = self._work_dir / f"captured-{digest[:12]}"
        made = capture_videos([video], folder, CaptureOptions(height_metres=height_metres), self._tools)
        if made["left_out"]:
            raise ValueError(made["left_out"][0]["reason"])
        files = max(made["clips"], key=lambda clip: clip["num_frames"])["files"]
        track, _ = load_landmarks(folder / files["landmarks"])
        return Captured(track, load_motion(folder / files["motion"]))

    def lift(self, track: LandmarkTrack, height_metres: float, settings: FitSettings) -> LiftedMotion:
        """Return the dance of a track; the focal length is not known."""
        return lift(track, self._lifter, height_metres=height_metres, settings=settings)

    def restore(self, motion: Motion) -> Motion:
        """Return a dance with restored feet, by the model that ships."""
        return self._tools.restore(motion).motion


class KeptTracks(CaptureTools):
    """Tools that keep what the estimator saw beside the video: another lifter is measured faster."""

    def track(self, video: Path, person: str) -> tuple[VideoFacts, list[LandmarkTrack]]:
        """Return facts on a video and the people in it."""
        digest = hashlib.sha256(models_digest(self.models, self.network).encode()).hexdigest()
        path = video.with_suffix(f".{digest[:8]}.npz")
        if not path.is_file():
            facts, tracks = super().track(video, person)
            numbers = [{name: getattr(track, name) for name in _TRACK_NUMBERS} for track in tracks]
            note = json.dumps({"facts": asdict(facts), "tracks": numbers})
            arrays = {f"{name}{index}": getattr(each, name) for index, each in enumerate(tracks) for name in _ARRAYS}
            with atomic_path(path) as partial, partial.open("wb") as file:
                np.savez_compressed(file, note=np.array(note), **arrays)
        with np.load(path) as arrays:
            note = json.loads(str(arrays["note"]))
            tracks = [
                LandmarkTrack(
                    **numbers | {"image_size": tuple(numbers["image_size"])},
                    **{name: arrays[f"{name}{index}"] for name in _ARRAYS},
                )
                for index, numbers in enumerate(note["tracks"])
            ]
        return VideoFacts(**{name: _as_tuple(value) for name, value in note["facts"].items()}), tracks


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def measure_recording(recording: Recording, capturer: Capturer) -> dict[str, dict[str, float]]:
    """Return `MEASURES` of each of `ROWS`; NaN for what a row does not have."""
    captured = capturer.capture(recording.path, recording.stature_metres)
    track = captured.track
    frames = min(track.num_frames, recording.truth.num_frames - track.first_frame)
    track, span = track.cut(0, frames), (track.first_frame, track.first_frame + frames)
    camera = recording.camera
    if len(camera.rotations) > 1:
        camera = replace(camera, rotations=camera.rotations[span[0] : span[1]])
    truth = seen_from(recording.truth.cut(*span), camera)
    measured = {ESTIMATOR: measure_pose(estimator_joints(track, camera), truth)}
    stages = _stages(track, recording.stature_metres, capturer)
    for row, motion in {**stages, FRDM: captured.motion.cut(0, frames)}.items():
        positions = motion.joint_positions().astype(np.float64)
        if row not in (LIFTER, FIT, FRDM):  # physics and foot restoration work on the neutral body
            positions *= recording.stature_metres / _NEUTRAL_METRES
        measured[row] = measure_capture(positions, motion.foot_contacts, truth)
    true_positions = truth.joint_positions().astype(np.float64)
    contacts = truth.skeleton.detect_foot_contacts(true_positions, truth.frame_rate)
    measured[TRUTH] = measure_capture(true_positions, contacts, truth)
    measured[FRDM]["covered"] = frames / recording.truth.num_frames
    return {row: {name: measured[row].get(name, np.nan) for name in MEASURES} for row in ROWS}


def _stages(track: LandmarkTrack, height_metres: float, capturer: Capturer) -> dict[str, Motion]:
    proposed = capturer.lift(track, height_metres, FitSettings(iterations=0))
    lifted = capturer.lift(track, height_metres, FitSettings())
    floor = retarget(clean_motion(lifted, track, None).motion)
    physics = with_lower_body(floor, imitate(floor).motion)  # also where the capture would reject it
    return {
        LIFTER: replace(proposed.motion, foot_contacts=proposed.contact_probabilities > 0.5),
        FIT: lifted.motion,
        FLOOR: floor,
        PHYSICS: physics,
        SMOOTH: smooth_savgol(physics),
        PHYSICS_FRDM: capturer.restore(physics),
    }
