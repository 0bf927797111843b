"""The videos of the benchmark: dances of people that nothing of the capture was trained on, each drawn once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from infinitedance.capture.camera import Camera
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import retarget
from infinitedance.utils.atomic import atomic_path

from .cameras import CameraKind, random_camera
from .clothes import random_skeleton, stature_metres
from .scenes import Look, render_pictures

SEED = 17
CASE_FRAMES = 240
SHORT_SIDE_PIXELS = 720
_QUALITY = "21"
"""Constant rate factor of H.264: about what telephones keep."""
CAMERAS = (
    CameraKind("in front, wide", ((16 / 9, 1.0),), (0.0, 0.5), (1.2, 1.7), (0.5, 0.8), (0.7, 1.1)),
    CameraKind("low, upright", ((1.0, 16 / 9),), (0.2, 1.0), (0.5, 0.9), (0.35, 0.6), (0.8, 1.2)),
    CameraKind(
        "high, from the side or behind", ((16 / 9, 1.0),), (1.2, math.pi), (1.8, 2.4), (0.45, 0.75), (0.8, 1.5)
    ),
    CameraKind("far, turning after the dancer", ((1.0, 1.0),), (0.0, 1.2), (1.2, 1.8), (0.4, 0.6), (1.2, 1.6), 1.0),
)
_MOTORICA_KRUMP = "kthstreet_gKR_sFM_cAll_d01_mKR_ch01_chargedcableupyour_001_00~177"
_MOTORICA_POP = "kthstreet_gPO_sFM_cAll_d01_mPO_ch01_bombom_002_00~306"
NEW, LEANING, KNOWN = "new performers", "a leaning body", "other takes of known performers"
"""What the dancers of the videos have to do with those who were trained on. Our conversion of CMU's subject 5, on whom
nothing was trained either, turns the pelvis forward by 33 to 42 degrees and leans the trunk by 15 to 23: a posture
that no dancer has."""
_DANCES: tuple[tuple[str, str, int], ...] = (
    *((NEW, _MOTORICA_KRUMP, start) for start in (300, 1000, 1700, 2400)),
    *((NEW, _MOTORICA_POP, start) for start in (300, 1000, 1700, 2400)),
    *((LEANING, f"cmu_05_{take}", 0) for take in ("02~65", "04~53", "05", "07~0", "12", "13~45", "18", "20")),
    (NEW, "dance1", 100),
    (NEW, "dance1", 450),
    (NEW, "dance2", 200),
    (NEW, "jesse_dance", 30),
    (KNOWN, "cmu_60_12", 200),
    (KNOWN, "cmu_61_13~65", 300),
    (KNOWN, "g1_J_Dance8_WestCoast~118", 300),
    (KNOWN, "dance_r_7~unit0", 0),
    *((NEW, clip, start) for clip in (_MOTORICA_KRUMP, _MOTORICA_POP) for start in (650, 1350)),
)


@dataclass(frozen=True)
class Case:
    """One video.

    Args:
        index: Counted from 0; seed of all that is drawn by chance.
        clip: Name of the dance.
        start: First frame of it.
        camera: What kind of camera sees it.
        dancer: `NEW`, `LEANING` or `KNOWN`.
    """

    index: int
    clip: str
    start: int
    camera: CameraKind
    dancer: str


CASES = tuple(
    Case(index, clip, start, CAMERAS[index % len(CAMERAS)], dancer)
    for index, (dancer, clip, start) in enumerate(_DANCES)
)


@dataclass(frozen=True, eq=False)
class Recording:
    """A video and what is true of it.

    Args:
        case: Which one.
        path: The video; may not have been written yet.
        truth: The dance, on the body of the performer.
        camera: That sees it.
        look: How it looks.
    """

    case: Case
    path: Path
    truth: Motion
    camera: Camera
    look: Look

    @property
    def stature_metres(self) -> float:
        """How tall the performer stands."""
        return stature_metres(self.truth.skeleton)


def draw_case(case: Case, data: BuiltDataset, folder: Path) -> Recording:
    """Draw body, camera and look of a video by its seed.

    Raises:
        ValueError: If the data have no such clip.
    """
    clips = [clip for clip in data.clips if clip.clip_id.split("/")[-1] == case.clip and not clip.is_mirrored]
    if not clips:
        raise ValueError(f"{data.folder} has no clip {case.clip}. Build the dances of `curate_dances` into it.")
    features = np.array(data.motion_features(clips[0])[case.start : case.start + CASE_FRAMES])
    rng = np.random.default_rng([SEED, case.index])
    dance = replace(features_to_motion(torch.from_numpy(features), frame_rate=FRAME_RATE), provenance={})
    truth = retarget(dance, random_skeleton(rng))
    camera = random_camera(truth, rng, case.camera, SHORT_SIDE_PIXELS)
    return Recording(case, folder / f"dance{case.index:02d}.mp4", truth, camera, Look.random(rng))


def record(recordings: Sequence[Recording]) -> None:
    """Write the videos that are not there yet."""
    for recording in tqdm(recordings, desc="drawing", unit="video", disable=None):
        if not recording.path.is_file():
            pictures = render_pictures(recording.truth, recording.camera, recording.look)
            write_video(recording.path, pictures, recording.camera.image_size)


def write_video(path: Path, pictures: Iterable[np.ndarray], image_size: tuple[int, int]) -> None:
    """Encode pictures as H.264, without sound.

    Args:
        path: Ends in `.mp4`.
        pictures: `(height, width, 3)` uint8, red, green, blue, 30 a second.
        image_size: Width and height, even numbers.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial, av.open(str(partial), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=int(FRAME_RATE))
        stream.width, stream.height = image_size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": _QUALITY, "preset": "veryfast"}
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
