"""Read what public estimators of people in video write: one dance for each person and each gap-free stretch.

| tool | file | keys | world |
|---|---|---|---|
| GVHMR | `hmr4d_results.pt` | `smpl_params_global`: `body_pose`, `global_orient`, `transl` | y up, 30 Hz |
| GENMO | `smpl_params.pt` | `body_params_global`, likewise | y up, 30 Hz |
| WHAM | `wham_output.pkl` | by person: `pose_world`, `trans_world`, `frame_ids` | y up, the video's rate |
| TRAM | `hps_track_<k>.npy` | `pred_rotmat`, `pred_trans`, `frame` | camera (see below), the video's rate |
| 4D-Humans, PHALP | `demo_<video>.pkl` | by picture: `tracked_ids`, `smpl`, `camera` | camera, the video's rate |
| SMPLer-X | folder of `<frame>_<person>.npz` | `global_orient`, `body_pose`, `transl` | camera, the video's rate |

Camera coordinates (x right, y down, z ahead) are turned by 180 degrees about x, which is upright for a level camera
only. TRAM's `camera.npy` is used where it lies beside the folder of the tracks. Frames that a tracker lost are filled
where no more than 10 are missing; on a longer gap a clip ends. Keys are those of the tools' code in 2025; no file of
theirs was at hand to try.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from scipy.spatial.transform import Rotation, Slerp

from ..motion import Motion
from ..skeleton import NUM_JOINTS
from .joint_arrays import read_number_file
from .npz import read_arrays
from .pickles import read_pickle
from .plausibility import finite_array
from .smpl import motion_from_smpl

MAX_FILLED_FRAMES = 10
ESTIMATE_FRAME_RATE = 30.0
"""GVHMR and GENMO bring every video to 30 Hz."""
_MIN_FRAMES = 2
_CAMERA_TO_WORLD = np.diag([1.0, -1.0, -1.0])
_HEAD_DOWN = -0.3
"""Cosine of the trunk's direction to y below which a body is upside down."""
_SMPLERX_NAME = re.compile(r"(\d+)_(\d+)\.npz")


@dataclass(frozen=True)
class Estimate:
    """One person of a video.

    Args:
        tool: What wrote it.
        person: Of the file.
        rotations: Local rotations of our 22 joints, the root's in the world, `(frames, 22, 3, 3)`.
        translations: `(frames, 3)`, metres.
        frame_indices: Of the video, `(frames,)`, rising.
        frame_rate: Hz; `None` where the file does not say.
    """

    tool: str
    person: str
    rotations: np.ndarray
    translations: np.ndarray
    frame_indices: np.ndarray
    frame_rate: float | None = None


def read_estimates(
    path: str | os.PathLike, *, trust_pickle: bool = False, frame_rate: float | None = None, up_axis: str | None = None
) -> list[Motion]:
    """Read a result file of an estimator as dances on our body.

    Args:
        path: A file or, for SMPLer-X, a folder; the module lists what is known.
        trust_pickle: Read files that are pickles (`.pkl`, `.npy`); they are refused otherwise. `.pt` files are opened
            by torch with `weights_only=True`.
        frame_rate: Of the video, Hz; needed where the file does not say.
        up_axis: `"y"` or `"z"`, where the guess from the body's stance is wrong.

    Returns:
        A dance for each person and each stretch without long gaps; none if it is no such file. `provenance` says
        `tool`, `person` and `first_frame`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, a pickle that is not trusted, or does not say its frame rate.
    """
    path = Path(path)
    motions = []
    for estimate in _estimates(path, trust_pickle):
        rate = frame_rate or estimate.frame_rate
        if rate is None:
            raise ValueError(
                f"{path}: a result of {estimate.tool} does not say the frame rate of its video. Pass `frame_rate` "
                "(`--frame-rate` on the command line)."
            )
        for piece in split_at_gaps(estimate):
            arrays = {
                "poses": roma.rotmat_to_rotvec(torch.from_numpy(piece.rotations)).numpy(),
                "trans": piece.translations,
            }
            motion = motion_from_smpl(arrays, path, frame_rate=rate, up_axis=up_axis)
            own = {"tool": piece.tool, "person": piece.person, "first_frame": int(piece.frame_indices[0])}
            motions.append(replace(motion, provenance={**motion.provenance, **own}))
    return motions


def split_at_gaps(estimate: Estimate) -> list[Estimate]:
    """Fill gaps of up to `MAX_FILLED_FRAMES` by interpolation and cut at longer ones."""
    indices = estimate.frame_indices
    if len(indices) == 0 or (np.diff(indices) <= 0).any():
        raise ValueError(f"The frames of {estimate.tool}'s person {estimate.person} must rise, got {indices[:10]}.")
    cuts = np.flatnonzero(np.diff(indices) > MAX_FILLED_FRAMES + 1) + 1
    pieces = []
    for part in np.split(np.arange(len(indices)), cuts):
        if len(part) < _MIN_FRAMES:
            continue
        known = indices[part]
        wanted = np.arange(known[0], known[-1] + 1)
        joints = [
            Slerp(known, Rotation.from_matrix(estimate.rotations[part, joint]))(wanted).as_matrix()
            for joint in range(NUM_JOINTS)
        ]
        path = np.stack([np.interp(wanted, known, values) for values in estimate.translations[part].T], axis=1)
        pieces.append(replace(estimate, rotations=np.stack(joints, axis=1), translations=path, frame_indices=wanted))
    return pieces


def _estimates(path: Path, trust_pickle: bool) -> list[Estimate]:
    if path.is_dir():
        return _smplerx(path)
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth"):
        return _gvhmr(_load_torch(path), path)
    if suffix in (".pkl", ".pickle"):
        value = read_pickle(path, trust_pickle)
        people = list(value.values()) if isinstance(value, dict) else []
        if people and all(isinstance(person, dict) for person in people):
            if all("pose_world" in person for person in people):
                return [_wham(str(name), person, path) for name, person in value.items()]
            if all({"smpl", "camera"} <= set(person) for person in people):
                return _phalp(value, path)
    if suffix == ".npy" and path.is_file():
        value = read_number_file(path, trust_pickle)
        if isinstance(value, dict) and "pred_rotmat" in value:
            return [_tram(value, path, trust_pickle)]
    return []


def _load_torch(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a torch file of tensors only: {str(error).splitlines()[0]}") from error


def _gvhmr(value: Any, path: Path) -> list[Estimate]:
    for tool, key in (("GVHMR", "smpl_params_global"), ("GENMO", "body_params_global")):
        if isinstance(value, Mapping) and key in value:
            return [_from_axis_angles(tool, "0", value[key], path, ESTIMATE_FRAME_RATE)]
    keys = ", ".join(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
    raise ValueError(f"{path} must hold `smpl_params_global` (GVHMR) or `body_params_global` (GENMO), got {keys}.")


def _from_axis_angles(
    tool: str, person: str, arrays: Mapping[str, Any], path: Path, frame_rate: float | None = None
) -> Estimate:
    parts = {}
    for key, width in (("global_orient", 3), ("body_pose", 63), ("transl", 3)):
        if key not in arrays:
            raise ValueError(f"{path}: a result of {tool} must hold `{key}`, got {', '.join(map(str, arrays))}.")
        values = finite_array(arrays[key], key, path).reshape(len(arrays[key]), -1)
        if values.shape[1] < width:
            raise ValueError(f"{path}: `{key}` must have {width} numbers a frame, got {values.shape[1]}.")
        parts[key] = values[:, :width]
    vectors = np.concatenate([parts["global_orient"], parts["body_pose"]], axis=1)
    return Estimate(tool, person, _matrices(vectors), parts["transl"], np.arange(len(vectors)), frame_rate)


def _matrices(rotation_vectors: np.ndarray) -> np.ndarray:
    """Turn `(frames, at least 66)` axis-angle numbers into `(frames, 22, 3, 3)`."""
    vectors = rotation_vectors[:, : 3 * NUM_JOINTS].reshape(len(rotation_vectors), NUM_JOINTS, 3)
    return roma.rotvec_to_rotmat(torch.from_numpy(np.ascontiguousarray(vectors))).numpy()


def _wham(name: str, person: Mapping[str, Any], path: Path) -> Estimate:
    poses = finite_array(person["pose_world"], "pose_world", path)
    frames = np.asarray(person.get("frame_ids", np.arange(len(poses)))).astype(int)
    return Estimate("WHAM", name, _matrices(poses), finite_array(person["trans_world"], "trans_world", path), frames)


def _tram(value: Mapping[str, Any], path: Path, trust_pickle: bool) -> Estimate:
    rotations = finite_array(value["pred_rotmat"], "pred_rotmat", path)[:, :NUM_JOINTS].copy()
    path_in_camera = finite_array(value["pred_trans"], "pred_trans", path).reshape(len(rotations), 3)
    frames = np.asarray(value["frame"]).astype(int).ravel()
    camera_file = path.parent.parent / "camera.npy"
    if not camera_file.is_file():
        return _upright(Estimate("TRAM", path.stem, rotations, path_in_camera, frames))
    camera = read_number_file(camera_file, trust_pickle)
    turn = finite_array(camera["world_cam_R"], "world_cam_R", camera_file)[frames]
    shift = finite_array(camera["world_cam_T"], "world_cam_T", camera_file)[frames]
    rotations[:, 0] = turn @ rotations[:, 0]
    world = np.einsum("tij,tj->ti", turn, path_in_camera) + shift
    return _upright(Estimate("TRAM", path.stem, rotations, world, frames))


def _upright(estimate: Estimate) -> Estimate:
    """Turn an estimate whose bodies stand along -y, as in camera coordinates, by 180 degrees about x."""
    if np.median(estimate.rotations[:, 0, 1, 1]) > _HEAD_DOWN:
        return estimate
    rotations = estimate.rotations.copy()
    rotations[:, 0] = _CAMERA_TO_WORLD @ rotations[:, 0]
    return replace(estimate, rotations=rotations, translations=estimate.translations @ _CAMERA_TO_WORLD)


def _phalp(value: Mapping[str, Any], path: Path) -> list[Estimate]:
    tracks: dict[str, list[tuple[int, np.ndarray, np.ndarray]]] = {}
    for frame, picture in enumerate(value[name] for name in sorted(value, key=str)):
        people = picture.get("tid", picture.get("tracked_ids", []))
        for person, smpl, camera in zip(people, picture["smpl"], picture["camera"], strict=False):
            root = finite_array(smpl["global_orient"], "global_orient", path).reshape(1, 3, 3)
            body = finite_array(smpl["body_pose"], "body_pose", path).reshape(-1, 3, 3)
            rotations = np.concatenate([root, body])[:NUM_JOINTS]
            tracks.setdefault(str(int(person)), []).append((frame, rotations, finite_array(camera, "camera", path)))
    return [
        _upright(
            Estimate(
                "4D-Humans",
                person,
                np.stack([rotations for _, rotations, _ in track]),
                np.stack([camera for _, _, camera in track]),
                np.array([frame for frame, _, _ in track]),
            )
        )
        for person, track in tracks.items()
    ]


def _smplerx(folder: Path) -> list[Estimate]:
    folder = folder / "smplx" if (folder / "smplx").is_dir() else folder
    people: dict[str, list[tuple[int, Path]]] = {}
    for file in sorted(folder.glob("*.npz")):
        match = _SMPLERX_NAME.fullmatch(file.name)
        if match:
            people.setdefault(str(int(match[2])), []).append((int(match[1]), file))
    if not people:
        raise ValueError(f"{folder} is a folder without files <frame>_<person>.npz, as SMPLer-X writes them.")
    estimates = []
    for person, files in people.items():
        frames = [_from_axis_angles("SMPLer-X", person, _one_frame(read_arrays(file)), file) for _, file in files]
        estimates.append(
            _upright(
                replace(
                    frames[0],
                    rotations=np.concatenate([frame.rotations for frame in frames]),
                    translations=np.concatenate([frame.translations for frame in frames]),
                    frame_indices=np.array([index for index, _ in files]),
                )
            )
        )
    return estimates


def _one_frame(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Flatten `(21, 3)` to `(1, 63)`, for files of one frame."""
    return {key: np.reshape(value, (1, -1)) for key, value in arrays.items()}
