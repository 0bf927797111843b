"""Dance with Melody: cha-cha, rumba, tango and waltz by motion capture with 23 points on the body.

Layout, a folder a dance; there is no written specification, so all of it is checked:

```
DANCE_C_2/config.json       start_position, end_position: the part of the song that is danced to, in frames of 25 Hz
DANCE_C_2/skeletons.json    25 Hz; skeletons: (frames, 23, 3); length; center: (frames, 3), added to relative points
DANCE_C_2/audio.mp3         or any other sound file, the whole song
```

The letter is the dance. The dances are stored as the left-right mirror of what was danced, so that their `side` is
`"mirrored"`: each of the 81 units that are also in the optical recordings which they were assembled from (data/raw_c3d
of ChoreoNet) lies nearest to the same unit there only once it is mirrored. Unit, up axis and handedness of the points
are found from the body (legs of an adult, a head above its feet, toes before heels).

The dances run a little faster or slower than their songs: their duration must be stretched by about 1 % (`retime`).
Without a table, `retime` is the length of the song's part over that of the motion. Some ends in `config.json` are
wrong: where the ratio is not within 0.98 to 1.04 the motion keeps its own time, and the clip does not count as
aligned. `timing` names a table made by beats instead: the columns `clip` (the folder's name in lower case),
`t_audio_start` (seconds into the song at the first frame) and `retime`; `bpm`, `aligned` and `t_motion_start` (seconds
of the file's motion that are left out before the first frame) if there. A row without times is a dance that is not
aligned.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.loading import AUDIO_SUFFIXES
from ...motion.files.plausibility import check_body, finite_array
from ...motion.motion import Motion
from ...motion.retargeting.retargeting import motion_from_positions
from ...motion.skeleton import JOINT_NAMES
from ..clip_folder import MIRRORED
from .base import MotionSource, SourceRecord

FRAME_RATE = 25.0
GENRES = {"c": "cha-cha", "r": "rumba", "t": "tango", "w": "waltz"}
POINTS = (
    "head_right", "head_left", "waist", "right_shoulder", "right_elbow", "right_forearm", "right_wrist",
    "right_hip", "right_knee", "right_ankle", "right_heel", "right_toe", "left_shoulder", "left_elbow",
    "left_forearm", "left_wrist", "left_hip", "left_knee", "left_ankle", "left_heel", "left_toe",
    "left_elbow_outer", "right_wrist_outer",
)  # fmt: skip
_POINT = {name: index for index, name in enumerate(POINTS)}
_NAME = re.compile(r"dance_(?P<genre>[a-z])_\d+")
_LENGTH = re.compile(rb'"length"\s*:\s*(\d+)')
_PLAUSIBLE_RETIME = (0.98, 1.04)
_UNITS_METRES = (1.0, 0.01, 0.001, 0.0254)
_LEG_METRES = 0.8


@dataclass(frozen=True)
class _Timing:
    start_seconds: float
    retime: float = 1.0
    bpm: float | None = None
    aligned: bool = False
    motion_start_seconds: float = 0.0


class DanceWithMelodySource(MotionSource):
    """Dance with Melody; see the module for its layout.

    Args:
        folder: The folder that holds one folder a dance.
        trust_pickle: Not needed.
        timing: Table of the re-timing by beats, `None` to take `config.json` at its word.
    """

    name = "dance_with_melody"
    license = "none stated; songs are copyrighted: do not redistribute"
    homepage_citation = (
        "Tang, Jia and Mao, Dance with Melody: An LSTM-autoencoder Approach to Music-oriented Dance Synthesis, ACM "
        "Multimedia 2018. github.com/Music-to-dance-motion-synthesis/dataset"
    )

    def __init__(
        self, folder: str | os.PathLike, *, trust_pickle: bool = False, timing: str | os.PathLike | None = None
    ) -> None:
        super().__init__(folder, trust_pickle=trust_pickle)
        self._timings = None if timing is None else _read_timings(Path(timing))

    def records(self) -> Iterator[SourceRecord]:
        """List the dances by folder."""
        folders = sorted(path.parent for path in self.folder.glob("*/skeletons.json"))
        if not folders:
            raise self.missing_layout("folders such as DANCE_C_2 with skeletons.json, config.json and a song")
        for folder in folders:
            yield self._record(folder)

    def _record(self, folder: Path) -> SourceRecord:
        clip_id = folder.name.lower()
        name = _NAME.fullmatch(clip_id)
        songs = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        timing, problem = _Timing(0.0), ""
        try:
            timing = self._timing(clip_id, folder)
        except (OSError, ValueError) as error:
            problem = str(error)
        if name is None or name["genre"] not in GENRES:
            problem = f"its folder must be DANCE_C_1 or alike with one of {', '.join(GENRES)}, got {folder.name!r}"
        elif len(songs) != 1:
            problem = f"there must be one song in {folder}, got {', '.join(song.name for song in songs) or 'none'}"
        return self.make_record(
            folder / "skeletons.json",
            clip_id=clip_id,
            genre=GENRES.get(name["genre"], "") if name else "",
            audio_path=songs[0] if songs else None,
            bpm=timing.bpm,
            aligned=timing.aligned,
            start_seconds=timing.start_seconds,
            retime=timing.retime,
            side=MIRRORED,
            problem=problem,
        )

    def _timing(self, clip_id: str, folder: Path) -> _Timing:
        if self._timings is None:
            return _timing_from_config(folder)
        if clip_id not in self._timings:
            raise ValueError("the table of `timing` does not list it")
        return self._timings[clip_id]

    def read(self, record: SourceRecord) -> Motion:
        """Fit the body to the points."""
        points = read_points(record.motion_path)
        start = 0.0 if self._timings is None else self._timings[record.clip_id].motion_start_seconds
        points = points[round(start * FRAME_RATE) :]
        joints = joints_from_points(upright_points(points, record.motion_path))
        check_body(joints, record.motion_path)
        return motion_from_positions(joints, FRAME_RATE)


def _timing_from_config(folder: Path) -> _Timing:
    """Take the song's part from `config.json`, and the re-timing from how long it is against the motion."""
    config = _read_object(folder / "config.json")
    start, end = config.get("start_position"), config.get("end_position")
    if not (isinstance(start, int | float) and isinstance(end, int | float) and 0 <= start < end):
        raise ValueError(
            "config.json must hold 0 <= start_position < end_position, got "
            f"{ {key: value for key, value in list(config.items())[:6]} }"
        )
    # The file holds megabytes of points; its length can be found without parsing them.
    length = _LENGTH.search((folder / "skeletons.json").read_bytes())
    retime = (end - start) / int(length[1]) if length and int(length[1]) else 0.0
    if _PLAUSIBLE_RETIME[0] <= retime <= _PLAUSIBLE_RETIME[1]:
        return _Timing(start / FRAME_RATE, retime, aligned=True)
    return _Timing(start / FRAME_RATE)


def _read_timings(path: Path) -> dict[str, _Timing]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    missing = [name for name in ("clip", "t_audio_start", "retime") if rows and name not in rows[0]]
    if not rows or missing:
        raise ValueError(
            f"{path} must have rows with the columns clip, t_audio_start and retime, got none of {missing}."
        )
    timings = {}
    for row in rows:
        if not row["t_audio_start"] or not row["retime"]:
            timings[row["clip"].lower()] = _Timing(0.0)
            continue
        timings[row["clip"].lower()] = _Timing(
            float(row["t_audio_start"]),
            float(row["retime"]),
            float(row["bpm"]) if row.get("bpm") else None,
            (row.get("aligned") or "1") == "1",
            float(row.get("t_motion_start") or 0.0),
        )
    return timings


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold an object, got {type(value).__name__}.")
    return value


def read_points(path: Path) -> np.ndarray:
    """Read the points of `skeletons.json`, `(frames, 23, 3)`, in the world, in the file's unit and axes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    content = _read_object(path)
    if "skeletons" not in content:
        raise ValueError(f"{path} must hold `skeletons`, got the keys {', '.join(content)}.")
    points = finite_array(content["skeletons"], "skeletons", path)
    if points.ndim != 3 or points.shape[1:] != (len(POINTS), 3):
        raise ValueError(f"{path}: `skeletons` must have shape (frames, {len(POINTS)}, 3), got {points.shape}.")
    if "center" in content:
        center = finite_array(content["center"], "center", path)
        if center.shape != (len(points), 3):
            raise ValueError(f"{path}: `center` must have shape ({len(points)}, 3), got {center.shape}.")
        middle = points.mean(axis=1)
        # Points in the world lie about the center, relative ones about the origin.
        if np.median(np.linalg.norm(middle, axis=-1)) < np.median(np.linalg.norm(middle - center, axis=-1)):
            points = points + center[:, None]
    return points


def upright_points(points: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Bring points `(frames, 23, 3)` to metres, Y up, right-handed, by what is known of bodies.

    Raises:
        ValueError: If no unit gives an adult, or the head is above the feet along no axis.
    """
    leg = np.median(
        [
            np.linalg.norm(points[:, _POINT[f"{side}_{upper}"]] - points[:, _POINT[f"{side}_{lower}"]], axis=-1)
            for side in ("left", "right")
            for upper, lower in (("hip", "knee"), ("knee", "ankle"))
        ],
        axis=1,
    ).sum() / 2  # fmt: skip
    if not leg > 0:
        raise ValueError(f"{path}: the legs have no length.")
    points = points * min(_UNITS_METRES, key=lambda unit: abs(np.log(unit * leg / _LEG_METRES)))

    head, feet = (_middle(points, name) for name in ("head", "ankle"))
    up = np.median(head - feet, axis=0)
    axis = int(np.abs(up).argmax())
    order = [(axis + 2) % 3, axis, (axis + 1) % 3]
    points = points[..., order] * np.array([1.0, np.sign(up[axis]), 1.0])
    # Left, up and forward are x, y and z of a right-handed system; the toes say where forward is.
    left = points[:, _POINT["left_hip"]] - points[:, _POINT["right_hip"]]
    forward = _middle(points, "toe") - _middle(points, "heel")
    if np.median(left[:, 2] * forward[:, 0] - left[:, 0] * forward[:, 2]) > 0:
        points = points * np.array([-1.0, 1.0, 1.0])
    return points


def _middle(points: np.ndarray, name: str) -> np.ndarray:
    names = ("head_left", "head_right") if name == "head" else (f"left_{name}", f"right_{name}")
    return points[:, [_POINT[name] for name in names]].mean(axis=1)


def joints_from_points(points: np.ndarray) -> np.ndarray:
    """Place our 22 joints among the 23 points: `(frames, 23, 3)` to `(frames, 22, 3)`.

    The body has no points on neck, chest and collar bones: they are placed between those that it has.
    """
    joints = {name: points[:, _POINT[name]] for name in JOINT_NAMES if name in _POINT}
    joints["pelvis"], joints["head"] = _middle(points, "hip"), _middle(points, "head")
    joints["spine2"] = points[:, _POINT["waist"]]
    joints["spine1"] = (joints["pelvis"] + joints["spine2"]) / 2
    joints["neck"] = 0.75 * _middle(points, "shoulder") + 0.25 * joints["head"]
    joints["spine3"] = (joints["spine2"] + joints["neck"]) / 2
    chest = 0.15 * joints["spine2"] + 0.85 * joints["neck"]
    for side in ("left", "right"):
        joints[f"{side}_foot"] = points[:, _POINT[f"{side}_toe"]]
        joints[f"{side}_collar"] = 0.65 * chest + 0.35 * joints[f"{side}_shoulder"]
    return np.stack([joints[name] for name in JOINT_NAMES], axis=1)
