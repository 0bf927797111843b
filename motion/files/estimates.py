"""Read what public estimators of people in video write: one dance for each person and each gap-free stretch.

| tool | file | keys | world |
|---|---|---|---|
| GVHMR | `hmr4d_results.pt` | `smpl_params_global`: `body_pose`, `global_orient`, `transl` | y up, 30 Hz |
| GENMO | `smpl_params.pt` | `body_params_global`, likewise | y up, 30 Hz |
| WHAM | `wham_output.pkl` | by person: `pose_world`, `trans_world`, `frame_ids` | y up, the video's rate |
| PromptHMR | `results.pkl` | `people`, by person: `frames`, `smplx_world`: `pose`, `trans` | the video's rate |
| TRAM | `hps_track_<k>.npy` | `pred_rotmat`, `pred_trans`, `frame` | camera, the video's rate |
| 4D-Humans, PHALP | `demo_<video>.pkl` | by picture: `tid`, `smpl`, `camera` | camera, the video's rate |
| VIBE, PARE | `vibe_output.pkl` | by person: `pose`, `frame_ids`; no path through the room | camera, as TRAM |
| SAM 3D Body | `.pkl`, `.npy` of people or of pictures | `pred_keypoints_3d`, `pred_cam_t` | camera, as TRAM |
| SMPLer-X | folder of `<frame>_<person>.npz` | `global_orient`, `body_pose`, `transl` | camera, the video's rate |

Camera coordinates (x right, y down, z ahead) are turned by 180 degrees about x, which is upright for a level camera
only. TRAM's `camera.npy` is used where it lies beside the folder of the tracks. Frames that a tracker lost are filled
where no more than 10 are missing; on a longer gap a clip ends. Keys are those of the tools' code in 2025; no file of
theirs was at hand to try. A rate that is not in the file is taken for 30 Hz, with a warning.
"""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch
from scipy.spatial.transform import Rotation, Slerp

from ..fingers import NUM_FINGER_JOINTS
from ..motion import Motion
from ..retargeting.retargeting import motion_from_positions, put_on_floor
from ..skeleton import CONTACT_JOINTS, NUM_JOINTS
from .joint_arrays import joints_from_array, read_number_file
from .keypoints import joints_of_keypoints
from .limits import MAX_FRAMES, check_file, naming, printable
from .npz import read_arrays
from .pickle_objects import load_tensors
from .pickles import read_pickle
from .plausibility import finite_array, key_list
from .read_options import FRAME_RATE_OPTION, PERSON_OPTION, ReadOptions
from .smpl import HAND_KEYS, HANDS_NOTE, motion_from_smpl

MAX_FILLED_FRAMES = 10
MAX_ROTATION_ERROR = 0.1
"""So far the product of a rotation matrix and its transpose may be from the unit matrix."""
ESTIMATE_FRAME_RATE = 30.0
"""GVHMR and GENMO bring every video to 30 Hz."""
_MIN_FRAMES = 2
_CAMERA_TO_WORLD = np.diag([1.0, -1.0, -1.0])
_HEAD_DOWN = -0.3
"""Cosine of the trunk's direction to y below which a body is upside down."""
_GVHMR_KEYS = {"GVHMR": "smpl_params_global", "GENMO": "body_params_global"}
_SAM_KEY = "pred_keypoints_3d"
_MIN_PICTURES = 10
"""Of a person; there are hardly so many people in one picture."""
_SMPLERX_NAME = re.compile(r"(\d+)_(\d+)\.npz")


@dataclass(frozen=True)
class Estimate:
    """One person of a video.

    Args:
        tool: What wrote it.
        person: Of the file.
        rotations: Local rotations of our 22 joints, the root's in the world, `(frames, 22, 3, 3)`.
        translations: `(frames, 3)`, metres; `None` where the tool places a body in its picture only.
        frame_indices: Of the video, `(frames,)`, rising.
        frame_rate: Hz; `None` where the file does not say.
        keypoints: Joints instead of rotations, `(frames, 22, 3)`, metres.
        fingers: Local rotations of the 30 finger joints, `(frames, 30, 3, 3)`.
    """

    tool: str
    person: str
    rotations: np.ndarray
    translations: np.ndarray | None
    frame_indices: np.ndarray
    frame_rate: float | None = None
    keypoints: np.ndarray | None = None
    fingers: np.ndarray | None = None


def read_estimates(path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any) -> list[Motion]:
    """Read a result file of an estimator as dances on our body.

    Args:
        path: A file or, for SMPLer-X, a folder; the module lists what is known.
        options: `trust_pickle` for files that are pickles (`.pkl`, `.npy`), which are refused otherwise; `.pt` files
            are opened by torch with `weights_only=True`. The `frame_rate` of the video where the file does not say;
            `person` to read one of several.
        **settings: Fields of `ReadOptions` that differ from `options`.

    Returns:
        A dance for each person and each stretch without long gaps; none if it is no such file. `provenance` says
        `tool`, `person` and `first_frame`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is broken, a pickle that is not trusted, or has no such person.
    """
    path, options = Path(path), replace(options or ReadOptions(), **settings)
    with naming(path):
        if path.is_dir():
            return dances_of(_smplerx(path), path, options)
        return read_estimates_of(load_value(path, options), path, options)


def load_value(path: Path, options: ReadOptions) -> Any:
    """Return what a `.pt`, `.pth`, `.pkl`, `.pickle`, `.npy` or `.json` file holds; `None` for other endings."""
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth"):
        content = check_file(path).read_bytes()
        try:
            return load_tensors(io.BytesIO(content))
        except Exception as error:  # torch raises all kinds on broken files
            # Torch says first what its own options are, then what it found.
            reason = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
            line = printable(reason.splitlines()[0])
            raise ValueError(f"{path} is not a torch file of tensors only: {line[:200]}") from error
    if suffix in (".pkl", ".pickle"):
        return read_pickle(path, options.trust_pickle)
    return read_number_file(path, options.trust_pickle) if suffix in (".npy", ".json") else None


def read_estimates_of(value: Any, path: Path, options: ReadOptions) -> list[Motion]:
    """Return the dances of `read_estimates` from what the file holds."""
    return dances_of(_estimates(value, path, options.trust_pickle), path, options)


def choose_dance(motions: Sequence[Motion], path: str | os.PathLike) -> Motion:
    """Return the longest of the dances of a file; warn if there are others.

    Raises:
        ValueError: If there is none.
    """
    if not motions:
        raise ValueError(f"{path} holds no person that is seen for two frames.")
    chosen = max(motions, key=lambda motion: motion.num_frames)
    if len(motions) > 1:
        people = list(dict.fromkeys(motion.provenance["person"] for motion in motions))
        person, first = chosen.provenance["person"], chosen.provenance["first_frame"]
        warnings.warn(
            f"{path} holds {len(motions)} stretches of the people {key_list(people)}: the longest is read, person "
            f"{person} from frame {first} on. Pass {PERSON_OPTION} for another person.",
            stacklevel=2,
        )
    return chosen


def dances_of(estimates: Sequence[Estimate], path: Path, options: ReadOptions) -> list[Motion]:
    """Return a dance for each person that is asked for and each stretch without long gaps."""
    people = [estimate.person for estimate in estimates]
    if estimates and options.person is not None:
        estimates = [estimate for estimate in estimates if estimate.person == options.person]
        if not estimates:
            raise ValueError(f"{path} holds the people {key_list(people)}, got {options.person!r} as {PERSON_OPTION}.")
    motions: list[Motion] = []
    for estimate in estimates:
        rate = options.frame_rate or estimate.frame_rate
        if rate is None:
            rate = ESTIMATE_FRAME_RATE
            if estimate is estimates[0]:
                warnings.warn(
                    f"{path}: a result of {estimate.tool} does not say the frame rate of its video, which is taken "
                    f"for {rate:g} Hz. Pass {FRAME_RATE_OPTION}.",
                    stacklevel=2,
                )
        if estimate.keypoints is None:
            _check_rotations(estimate, path)
        for piece in split_at_gaps(estimate):
            motion = _dance_of(piece, path, replace(options, frame_rate=rate))
            own = {"tool": piece.tool, "person": piece.person, "first_frame": int(piece.frame_indices[0])}
            own |= {} if motion.finger_rotations is None else {"hands": HANDS_NOTE}
            motions.append(replace(motion, provenance={**motion.provenance, **own}))
    if estimates and not motions:
        raise ValueError(f"{path} holds no person that is seen for two frames.")
    return motions


def _check_rotations(estimate: Estimate, path: Path) -> None:
    products = np.einsum("...ij,...kj->...ik", estimate.rotations, estimate.rotations)
    if np.abs(products - np.eye(3)).max() > MAX_ROTATION_ERROR or (np.linalg.det(estimate.rotations) < 0).any():
        raise ValueError(f"{path}: the rotations of person {estimate.person} are no rotation matrices.")


def _dance_of(estimate: Estimate, path: Path, options: ReadOptions) -> Motion:
    if estimate.keypoints is not None:
        joints, rate = joints_from_array(estimate.keypoints, path, options)
        return motion_from_positions(joints, rate, {"source": path.name})
    matrices = [estimate.rotations] if estimate.fingers is None else [estimate.rotations, estimate.fingers]
    poses = roma.rotmat_to_rotvec(torch.from_numpy(np.concatenate(matrices, axis=1))).numpy()
    if estimate.translations is not None:
        return motion_from_smpl({"poses": poses, "trans": estimate.translations}, path, options)
    warnings.warn(
        f"{path}: {estimate.tool} does not say where people are in the room: person {estimate.person} dances on the "
        "spot, with a foot on the floor in every frame.",
        stacklevel=2,
    )
    motion = motion_from_smpl({"poses": poses, "trans": np.zeros((len(poses), 3))}, path, options)
    heights = motion.joint_positions()[:, list(CONTACT_JOINTS), 1] - motion.skeleton.contact_rest_heights
    root_positions = motion.root_positions.copy()
    root_positions[:, 1] -= heights.min(axis=1)
    return put_on_floor(replace(motion, root_positions=root_positions))


def split_at_gaps(estimate: Estimate) -> list[Estimate]:
    """Fill gaps of up to `MAX_FILLED_FRAMES` by interpolation and cut at longer ones."""
    indices = estimate.frame_indices
    if len(indices) == 0 or (np.diff(indices) <= 0).any():
        raise ValueError(f"The frames of {estimate.tool}'s person {estimate.person} must rise, got {indices[:10]}.")
    if indices[0] < 0 or indices[-1] > 100 * MAX_FRAMES:
        raise ValueError(f"The frames of {estimate.tool}'s person {estimate.person} must count from 0, got {indices}.")
    cuts = np.flatnonzero(np.diff(indices) > MAX_FILLED_FRAMES + 1) + 1
    pieces = []
    for part in np.split(np.arange(len(indices)), cuts):
        if len(part) < _MIN_FRAMES:
            continue
        known = indices[part]
        wanted = np.arange(known[0], known[-1] + 1)
        rotations = _interpolated_rotations(wanted, known, estimate.rotations[part])
        fingers = None if estimate.fingers is None else _interpolated_rotations(wanted, known, estimate.fingers[part])
        translations, keypoints = (
            None if values is None else _interpolated(wanted, known, values[part])
            for values in (estimate.translations, estimate.keypoints)
        )
        pieces.append(
            replace(
                estimate,
                rotations=rotations,
                translations=translations,
                frame_indices=wanted,
                keypoints=keypoints,
                fingers=fingers,
            )
        )
    return pieces


def _interpolated_rotations(wanted: np.ndarray, known: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    joints = [Slerp(known, Rotation.from_matrix(joint))(wanted).as_matrix() for joint in rotations.swapaxes(0, 1)]
    return np.stack(joints, axis=1)


def _interpolated(wanted: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    columns = [np.interp(wanted, known, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(-1, *values.shape[1:])


def _estimates(value: Any, path: Path, trust_pickle: bool) -> list[Estimate]:
    if path.suffix.lower() in (".pt", ".pth"):
        return _gvhmr(value, path)
    if isinstance(value, Mapping) and any(key in value for key in _GVHMR_KEYS.values()):
        return _gvhmr(value, path)
    if isinstance(value, Mapping) and "pred_rotmat" in value:
        return [_tram(value, path, trust_pickle)]
    people = value.get("people", value) if isinstance(value, Mapping) else value
    if isinstance(people, (list, tuple)) and people and not isinstance(people[0], (Mapping, list, tuple)):
        return []  # numbers, which may be many
    if isinstance(people, Mapping):
        named = {str(name): person for name, person in people.items()}
    else:
        named = {str(name): person for name, person in enumerate(people)} if isinstance(people, (list, tuple)) else {}
    if isinstance(value, Mapping) and _SAM_KEY in value:
        named = {"0": value}
    first = next(iter(named.values()), None)
    if _is_sam(first):
        return _sam_3d_body(named, path)
    if not named or not all(isinstance(person, Mapping) for person in named.values()):
        return []
    for keys, read in _READERS.items():
        if all(set(keys) <= set(person) for person in named.values()):
            return [read(name, person, path) for name, person in named.items()]
    if all({"smpl", "camera"} <= set(person) for person in named.values()):
        return _phalp(named, path)
    return []


def _gvhmr(value: Any, path: Path) -> list[Estimate]:
    for tool, key in _GVHMR_KEYS.items():
        if isinstance(value, Mapping) and key in value:
            return [_from_axis_angles(tool, "0", value[key], path, ESTIMATE_FRAME_RATE)]
    keys = key_list(value) if isinstance(value, Mapping) else type(value).__name__
    raise ValueError(f"{path} must hold `smpl_params_global` (GVHMR) or `body_params_global` (GENMO), got {keys}.")


def _from_axis_angles(
    tool: str, person: str, arrays: Mapping[str, Any], path: Path, frame_rate: float | None = None
) -> Estimate:
    parts = {}
    for key, width in (("global_orient", 3), ("body_pose", 63), ("transl", 3)):
        if key not in arrays:
            raise ValueError(f"{path}: a result of {tool} must hold `{key}`, got {key_list(arrays)}.")
        values = finite_array(arrays[key], key, path)
        values = values.reshape(len(values), -1)
        if values.shape[1] < width:
            raise ValueError(f"{path}: `{key}` must have {width} numbers a frame, got {values.shape[1]}.")
        parts[key] = values[:, :width]
    if len({len(values) for values in parts.values()}) != 1:
        raise ValueError(f"{path}: arrays of a result of {tool} must have the same number of frames.")
    vectors = np.concatenate([parts["global_orient"], parts["body_pose"]], axis=1)
    frames = len(vectors)
    body = Estimate(tool, person, _matrices(vectors), parts["transl"], np.arange(frames), frame_rate)
    if not all(key in arrays for key in HAND_KEYS):
        return body
    hands = np.concatenate([finite_array(arrays[key], key, path).reshape(frames, -1) for key in HAND_KEYS], axis=1)
    if hands.shape[1] != 3 * NUM_FINGER_JOINTS:
        return body
    return replace(body, fingers=_matrices(hands, NUM_FINGER_JOINTS))


def _matrices(rotation_vectors: np.ndarray, num_joints: int = NUM_JOINTS) -> np.ndarray:
    """Turn axis-angle numbers, at least 3 a joint in each frame, into `(frames, num_joints, 3, 3)`."""
    vectors = rotation_vectors.reshape(len(rotation_vectors), -1)[:, : 3 * num_joints]
    if vectors.shape[1] != 3 * num_joints:
        raise ValueError(f"a pose must have at least {3 * num_joints} numbers a frame, got {vectors.shape[1]}.")
    vectors = vectors.reshape(len(vectors), num_joints, 3)
    return roma.rotvec_to_rotmat(torch.from_numpy(np.ascontiguousarray(vectors))).numpy()


def _frame_indices(person: Mapping[str, Any], key: str, num_frames: int, path: Path) -> np.ndarray:
    """Return the frames of the video in which a person is seen, `(frames,)`."""
    if key not in person:
        return np.arange(num_frames)
    indices = finite_array(person[key], key, path).ravel().astype(int)
    if len(indices) != num_frames:
        raise ValueError(f"{path}: `{key}` must have {num_frames} numbers as there are poses, got {len(indices)}.")
    return indices


def _path_of(value: Any, key: str, num_frames: int, path: Path) -> np.ndarray:
    places = finite_array(value, key, path).reshape(-1, 3)
    if len(places) != num_frames:
        raise ValueError(f"{path}: `{key}` must have shape ({num_frames}, 3) as there are poses, got {len(places)}.")
    return places


def _wham(name: str, person: Mapping[str, Any], path: Path) -> Estimate:
    rotations = _matrices(finite_array(person["pose_world"], "pose_world", path))
    places = _path_of(person["trans_world"], "trans_world", len(rotations), path)
    return Estimate("WHAM", name, rotations, places, _frame_indices(person, "frame_ids", len(rotations), path))


def _prompt_hmr(name: str, person: Mapping[str, Any], path: Path) -> Estimate:
    world = person["smplx_world"]
    if not isinstance(world, Mapping) or not {"pose", "trans"} <= set(world):
        raise ValueError(f"{path}: `smplx_world` of a result of PromptHMR must hold `pose` and `trans`.")
    rotations = _matrices(finite_array(world["pose"], "pose", path))
    places = _path_of(world["trans"], "trans", len(rotations), path)
    frames = _frame_indices(person, "frames", len(rotations), path)
    return _upright(Estimate("PromptHMR", name, rotations, places, frames))


def _vibe(name: str, person: Mapping[str, Any], path: Path) -> Estimate:
    pose = finite_array(person["pose"], "pose", path)
    is_matrix = pose.ndim == 4 and pose.shape[2:] == (3, 3) and pose.shape[1] >= NUM_JOINTS
    rotations = pose[:, :NUM_JOINTS] if is_matrix else _matrices(pose)
    frames = _frame_indices(person, "frame_ids", len(rotations), path)
    return _upright(Estimate("PARE" if is_matrix else "VIBE or PARE", name, rotations, None, frames))


_READERS = {
    ("pose_world", "trans_world"): _wham,
    ("smplx_world",): _prompt_hmr,
    ("pose", "frame_ids"): _vibe,
    ("pose", "orig_cam"): _vibe,
}
"""Readers of a person, by keys that only that tool's have."""


def _is_sam(value: Any) -> bool:
    """Tell whether this is a person of SAM 3D Body, or the people of a picture."""
    if isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, Mapping) and _SAM_KEY in value


def _sam_3d_body(named: Mapping[str, Any], path: Path) -> list[Estimate]:
    """Read people with all their frames, or pictures with all their people, which are told apart by their order."""
    lengths = [len(entry) if isinstance(entry, (list, tuple)) else 0 for entry in named.values()]
    if min(lengths) > max(len(named), _MIN_PICTURES):  # people with lists of their pictures
        named = {name: {key: [each[key] for each in entry] for key in entry[0]} for name, entry in named.items()}
    people: dict[str, list[tuple[int, np.ndarray]]] = {}
    for index, (name, entry) in enumerate(named.items()):
        pictures = entry if isinstance(entry, (list, tuple)) else [entry]
        for number, person in enumerate(pictures):
            if not _is_sam(person) or not isinstance(person, Mapping):
                raise ValueError(f"{path}: every person of a result of SAM 3D Body must hold `{_SAM_KEY}`.")
            keypoints = finite_array(person[_SAM_KEY], _SAM_KEY, path)
            keypoints = keypoints[None] if keypoints.ndim == 2 else keypoints
            places = person.get("pred_cam_t")
            shift = 0.0 if places is None else _path_of(places, "pred_cam_t", len(keypoints), path)[:, None]
            joints = joints_of_keypoints(keypoints + shift, path)
            is_clip = len(keypoints) > 1
            frames = range(len(keypoints)) if is_clip else [index]
            own = people.setdefault(name if is_clip else str(number), [])
            own += zip(frames, joints, strict=True)
    return [
        Estimate(
            "SAM 3D Body",
            name,
            np.tile(np.eye(3), (len(frames), NUM_JOINTS, 1, 1)),
            None,
            np.array([index for index, _ in frames]),
            keypoints=np.stack([joints for _, joints in frames]) @ _CAMERA_TO_WORLD,
        )
        for name, frames in people.items()
    ]


def _tram(value: Mapping[str, Any], path: Path, trust_pickle: bool) -> Estimate:
    rotations = finite_array(value["pred_rotmat"], "pred_rotmat", path)[:, :NUM_JOINTS].copy()
    if rotations.shape[1:] != (NUM_JOINTS, 3, 3):
        raise ValueError(f"{path}: `pred_rotmat` must have shape (frames, 24, 3, 3), got {rotations.shape}.")
    path_in_camera = _path_of(value.get("pred_trans"), "pred_trans", len(rotations), path)
    frames = _frame_indices(value, "frame", len(rotations), path)
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
    places = None if estimate.translations is None else estimate.translations @ _CAMERA_TO_WORLD
    return replace(estimate, rotations=rotations, translations=places)


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
                    fingers=_fingers_of_all(frames),
                    translations=np.concatenate([np.asarray(frame.translations) for frame in frames]),
                    frame_indices=np.array([index for index, _ in files]),
                )
            )
        )
    return estimates


def _fingers_of_all(frames: Sequence[Estimate]) -> np.ndarray | None:
    fingers = [frame.fingers for frame in frames if frame.fingers is not None]
    return np.concatenate(fingers) if len(fingers) == len(frames) else None


def _one_frame(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Flatten `(21, 3)` to `(1, 63)`, for files of one frame."""
    return {key: np.reshape(value, (1, -1)) for key, value in arrays.items()}
