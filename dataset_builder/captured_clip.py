"""One clip of a captured video: dance, sound, beats and landmarks as bytes of files, and what is known of it."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture.chain import CleanedMotion, clean_motion
from ..capture.finger_fitting import fit_fingers
from ..capture.genre_guess import guess_genre
from ..capture.hand_landmarks import HandTrack
from ..capture.landmark_files import save_landmarks
from ..capture.landmarks import LandmarkTrack
from ..capture.sound import CLEAR_BEAT_CONFIDENCE, VideoSound
from ..capture.stills import still_frames
from ..motion.files import save_motion
from ..motion.motion import FRAME_RATE, Motion
from .clip_folder import GIVEN, GUESSED
from .quality_gates import QualityGates, measure_motion
from .stages import MEASURE_DECIMALS, flac_bytes

SOURCE = "video"


@dataclass(frozen=True)
class ClipPlace:
    """Where a clip comes from.

    Args:
        clip_id: Its name.
        key: That of the video, and of the song in it.
        video: Name of the file.
        video_sha256: Of its content.
        options: `CaptureOptions`.
    """

    clip_id: str
    key: str
    video: str
    video_sha256: str
    options: Any


@dataclass(eq=False)
class CapturedClip:
    """A clip in memory.

    Args:
        place: Where it comes from.
        track: What was seen.
        cleaned: Its dance.
        record: What is known of it, of values that JSON can hold.
        contents: Of its files, by their paths in the clip folder.
    """

    place: ClipPlace
    track: LandmarkTrack
    cleaned: CleanedMotion
    record: dict[str, Any]
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def still_frames(self) -> list[int]:
        """Frames of the clip that are shown in the report."""
        return still_frames(self.track.num_frames)

    def joints_in_picture(self, frame: int) -> np.ndarray:
        """Return where the joints of the dance are in the picture of a frame, `(22, 2)`, pixels of the track."""
        camera = self.cleaned.camera
        if len(camera.rotations) > 1:
            camera = replace(camera, rotations=camera.rotations[frame : frame + 1])
        return camera.project(self.cleaned.motion.cut(frame, frame + 1).joint_positions().astype(np.float64))[0]

    def add_file(self, folder: str, suffix: str, content: bytes) -> str:
        """Keep the content of a file; return its path in the clip folder."""
        name = f"{folder}/{self.place.clip_id}{suffix}"
        self.contents[name] = content
        self.record["files"][folder] = name
        return name


def make_clip(
    place: ClipPlace, track: LandmarkTrack, sound: VideoSound | None, tools: Any, hands: HandTrack | None = None
) -> CapturedClip:
    """Lift and clean the dance of a track, judge it, and make all of its files but the stills.

    Args:
        place: Where it comes from.
        track: What was seen.
        sound: Of the video; `None` if it has none.
        tools: `CaptureTools`, or what has its methods.
        hands: Of the same person; `None`: the dance has no fingers.

    Raises:
        ImportError: If physics is asked for and not installed.
        ValueError: If the track is too short, or a stage cannot use it.
    """
    options = place.options
    lifted = tools.lift(track, height_metres=options.height_metres, focal_length_pixels=options.focal_length_pixels)
    fingers = None if hands is None else fit_fingers(hands)
    lifted = replace(lifted, motion=replace(lifted.motion, finger_rotations=fingers))
    cleaned = clean_motion(lifted, track, tools.restore, physics=options.physics)
    clip = CapturedClip(place, track, cleaned, {"clip": place.clip_id, "files": {}, "notes": []})
    if hands is not None:
        clip.record["hands_seen_share"] = round(float((hands.confidences > 0).mean()), 4)
        if fingers is None:
            clip.record["notes"].append("No hand was found: the dance has no fingers.")
    measures = measure_motion(cleaned.motion)
    verdict = QualityGates().judge(measures)
    genre, source, confidence = _genre(options.genre, cleaned.motion)
    clip.record |= {
        "shot": track.shot,
        "person": track.person,
        "first_frame": track.first_frame,
        "num_frames": track.num_frames,
        "stages": [
            {"name": stage.name, "is_used": stage.is_used, "note": stage.note, "numbers": stage.numbers}
            for stage in cleaned.stages
        ],
        "gates": {
            "reasons": list(verdict.reasons),
            "flags": list(verdict.flags),
            "measures": {
                name: None if value is None else round(value, MEASURE_DECIMALS) for name, value in measures.items()
            },
        },
        "seen_share": round(float((track.confidences.max(axis=1) > 0).mean()), 4),
    }
    _add_motion(clip, genre, source, tools.licenses())
    content = _file_bytes(".npz", lambda path: save_landmarks(track, cleaned.camera, path))
    clip.add_file("landmarks", ".npz", content)
    bpm = None if sound is None else _add_sound(clip, sound)
    clip.record["row"] = _row(clip, genre, source, confidence, bpm)
    return clip


def _genre(given: str, motion: Motion) -> tuple[str, str, float | None]:
    """Return the genre, whether it is given or guessed, and how sure the guess is."""
    if given:
        return given, GIVEN, None
    guess = guess_genre(motion)
    return guess.genre, GUESSED, round(guess.confidence, 3)


def _add_motion(clip: CapturedClip, genre: str, genre_source: str, model_licenses: dict[str, str | None]) -> None:
    place, track = clip.place, clip.track
    provenance = {
        "source": SOURCE,
        "tool": "infinitedance capture",
        "version": importlib.metadata.version("infinitedance"),
        "clip": place.clip_id,
        "video": place.video,
        "video_sha256": place.video_sha256,
        "shot": track.shot,
        "person": track.person,
        "first_frame": track.first_frame,
        "height_metres": place.options.height_metres,
        "focal_length_pixels": float(clip.cleaned.camera.focal_length),
        "focal_length": "guessed" if place.options.focal_length_pixels is None else "given",
        "stages": [stage.name for stage in clip.cleaned.stages if stage.is_used],
        "genre": genre,
        "genre_source": genre_source,
        "license": place.options.license,
        "model_licenses": model_licenses,
        "performer": place.options.performer,
    }
    motion = replace(clip.cleaned.motion, provenance=provenance)
    clip.add_file("motion", ".npz", _file_bytes(".npz", lambda path: save_motion(motion, path)))


def _add_sound(clip: CapturedClip, sound: VideoSound) -> float | None:
    """Add the sound and its beats; return the tempo, `None` if there is nothing to hear."""
    first, length = clip.track.first_frame, clip.track.num_frames
    waveform = sound.cut(first, length)
    if waveform is None:
        clip.record["notes"].append("The video is silent while this person dances: the clip has no sound.")
        return None
    clip.add_file("sound", ".flac", flac_bytes(waveform))
    clip.add_file("beats", ".txt", ("\n".join(sound.beat_lines(first, length)) + "\n").encode())
    if sound.beats.confidence < CLEAR_BEAT_CONFIDENCE:
        clip.record["notes"].append("The sound has no clear beat: tempo and beats may be wrong.")
    return round(sound.bpm(first, length), 2)


def _row(
    clip: CapturedClip, genre: str, genre_source: str, confidence: float | None, bpm: float | None
) -> dict[str, Any]:
    """Return the clip's row of the table, see docs/data_format.md; the last columns are for those who look at it."""
    files, gates = clip.record["files"], clip.record["gates"]
    return {
        "clip": clip.place.clip_id,
        "file": files["motion"],
        "audio": files.get("sound", ""),
        "song_id": clip.place.key,
        "genre": genre,
        "genre_source": genre_source,
        "genre_confidence": "" if confidence is None else confidence,
        "bpm": "" if bpm is None else bpm,
        "beats": files.get("beats", ""),
        "aligned": int("sound" in files),
        "seconds": round(clip.track.num_frames / FRAME_RATE, 3),
        "performer": clip.place.options.performer,
        "source": SOURCE,
        "license": clip.place.options.license,
        "video": clip.place.video,
        "video_start_seconds": round(clip.track.first_frame / FRAME_RATE, 3),
        "video_shot": clip.track.shot,
        "video_person": clip.track.person,
        "landmarks": files["landmarks"],
        "gates": "rejected" if gates["reasons"] else "flagged" if gates["flags"] else "passed",
    }


def _file_bytes(suffix: str, write: Callable[[Path], None]) -> bytes:
    """Return what a function writes to a file that ends in `suffix`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"content{suffix}"
        write(path)
        return path.read_bytes()
