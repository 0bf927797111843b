"""Our own motion file, and the neutral clips of a data folder: both plain NumPy archives without pickles."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...utils.atomic import atomic_path
from ..motion import Motion
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import JOINT_NAMES, PARENTS, Skeleton
from .limits import MAX_RIG_JOINTS, check_file, check_frames, check_size, naming, parse_json
from .notes import check_provenance
from .plausibility import check_frame_rate, finite_array, key_list

FORMAT_VERSION = 1
_MAX_BONE_METRES = 3.0
_MOTION_KEYS = (
    "version",
    "frame_rate",
    "root_positions",
    "joint_rotations",
    "offsets",
    "toe_rest_height",
    "joint_names",
    "parents",
    "provenance",
)


@dataclass(frozen=True)
class DataClip:
    """A clip in the neutral format of a data folder (docs/data_format.md).

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up, in our order of joints.
        frame_rate: Hz.
        source: The source's own rig with rotations; `None` if the source has positions only.
        music_features: `(frames, 29)` features that came with the clip instead of audio; `None` if there are none.
    """

    joint_positions: np.ndarray
    frame_rate: float
    source: SourceAnimation | None = None
    music_features: np.ndarray | None = None


def save_motion(motion: Motion, path: str | os.PathLike) -> None:
    """Write a `Motion` as `.npz`; equal motions give equal bytes.

    Args:
        motion: The dance.
        path: Must end in `.npz`.

    Raises:
        ValueError: If `path` has another ending, or the provenance holds what JSON cannot.
        OSError: As `atomic_path`.
    """
    if Path(path).suffix.lower() != ".npz":
        raise ValueError(f"A motion file must end in .npz, got {path}.")
    try:
        provenance = json.dumps(motion.provenance, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"`provenance` must hold only what JSON can, got {motion.provenance}: {error}.") from error
    arrays: dict[str, Any] = {
        "version": np.array(FORMAT_VERSION),
        "frame_rate": np.array(motion.frame_rate),
        "root_positions": motion.root_positions,
        "joint_rotations": motion.joint_rotations,
        "offsets": motion.skeleton.offsets,
        "toe_rest_height": np.array(motion.skeleton.toe_rest_height),
        "joint_names": np.array(JOINT_NAMES),
        "parents": np.array(PARENTS),
        "provenance": np.array(provenance),
    }
    if motion.foot_contacts is not None:
        arrays["foot_contacts"] = motion.foot_contacts
    if motion.finger_rotations is not None:
        arrays["finger_rotations"] = motion.finger_rotations
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_motion(path: str | os.PathLike) -> Motion:
    """Read a `Motion` that `save_motion` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or of a newer version of this package, or its values are invalid.
    """
    with naming(path):
        return motion_from_arrays(read_arrays(path), path)


def motion_from_arrays(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> Motion:
    """Build a `Motion` from the arrays of a motion file; see `load_motion`."""
    _require_keys(arrays, _MOTION_KEYS, path, "a motion file of this package")
    version = int(arrays["version"].reshape(()))
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}, expected {FORMAT_VERSION}: update this package.")
    if tuple(arrays["joint_names"].tolist()) != JOINT_NAMES:
        raise ValueError(f"{path} holds the joints {arrays['joint_names'].tolist()}, expected {list(JOINT_NAMES)}.")
    check_frames(len(np.atleast_1d(arrays["root_positions"])), path)
    offsets = finite_array(arrays["offsets"], "offsets", path)
    lengths = np.linalg.norm(offsets, axis=-1)
    if offsets.shape != (len(JOINT_NAMES), 3) or lengths[1:].min() <= 0 or lengths.max() > _MAX_BONE_METRES:
        raise ValueError(
            f"{path}: `offsets` must have shape ({len(JOINT_NAMES)}, 3) and bones of more than 0 and at most "
            f"{_MAX_BONE_METRES:g} m, got shape {offsets.shape}, {lengths.min():.3g} to {lengths.max():.3g} m."
        )
    return Motion(
        check_frame_rate(arrays["frame_rate"], path),
        finite_array(arrays["root_positions"], "root_positions", path),
        finite_array(arrays["joint_rotations"], "joint_rotations", path),
        Skeleton(offsets, float(finite_array(arrays["toe_rest_height"].reshape(1), "toe_rest_height", path)[0])),
        arrays["foot_contacts"] if "foot_contacts" in arrays else None,
        check_provenance(parse_json(str(arrays["provenance"])), path),
        finite_array(arrays["finger_rotations"], "finger_rotations", path) if "finger_rotations" in arrays else None,
    )


def read_data_npz(path: str | os.PathLike) -> DataClip:
    """Read a clip of a data folder: positions of our joints, and the source's rotations where it has them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file or its values are invalid.
    """
    with naming(path):
        return clip_from_arrays(read_arrays(path), path)


def clip_from_arrays(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> DataClip:
    """Build a `DataClip` from the arrays of a file; see `read_data_npz`."""
    _require_keys(arrays, ("joints22", "joint22_names", "fps"), path, "a clip of a data folder")
    if tuple(arrays["joint22_names"].tolist()) != JOINT_NAMES:
        raise ValueError(f"{path} holds the joints {arrays['joint22_names'].tolist()}, expected {list(JOINT_NAMES)}.")
    positions = arrays["joints22"].astype(np.float64)
    if positions.ndim != 3 or len(positions) == 0 or positions.shape[1:] != (len(JOINT_NAMES), 3):
        raise ValueError(f"{path}: `joints22` must have shape (frames, {len(JOINT_NAMES)}, 3), got {positions.shape}.")
    if not np.isfinite(positions).all():
        raise ValueError(f"{path}: `joints22` holds NaN or infinity.")
    check_frames(len(positions), path)
    frame_rate = check_frame_rate(arrays["fps"], path)
    source = None
    if "local_quat_wxyz" in arrays:
        _require_keys(arrays, ("joint_names", "parents", "offsets", "root_pos"), path, "a clip with rotations")
        names = tuple(map(str, arrays["joint_names"].tolist()))
        if len(names) > MAX_RIG_JOINTS:
            raise ValueError(f"{path} must have at most {MAX_RIG_JOINTS} joints, got {len(names)}.")
        check_frames(len(positions), path, len(names) or 1)
        source = SourceAnimation(
            frame_rate,
            names,
            tuple(arrays["parents"].tolist()),
            arrays["offsets"].astype(np.float64),
            arrays["root_pos"].astype(np.float64),
            arrays["local_quat_wxyz"].astype(np.float64),
        )
    return DataClip(positions, frame_rate, source, arrays["audio29"] if "audio29" in arrays else None)


class ArchivedArrays(Mapping[str, np.ndarray]):
    """Arrays of an `.npz` by name, each read when it is asked for: one that is not needed costs and spoils nothing.

    Args:
        path: The archive.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no archive.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = check_file(path)
        self._arrays: dict[str, np.ndarray] = {}
        try:
            with zipfile.ZipFile(self._path) as archive:
                members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        except Exception as error:  # zipfile raises all kinds on broken archives
            raise ValueError(f"{path} is not a readable .npz archive: {error}") from error
        self._members = {member.filename.removesuffix(".npy"): member for member in members}

    def __getitem__(self, name: str) -> np.ndarray:
        """Return an array.

        Raises:
            KeyError: If there is none of that name.
            ValueError: If it is broken, too large or a pickle.
        """
        if name in self._arrays:
            return self._arrays[name]
        member = self._members[name]
        check_size(member.file_size, f"{self._path}: `{name}`")
        with naming(self._path), zipfile.ZipFile(self._path) as archive, archive.open(member) as file:
            array = read_npy(file, member.file_size)  # type: ignore[arg-type]
            if array is None:
                raise ValueError(
                    f"`{name}` is a Python object, a pickle, which is not read: archives are read without."
                )
        self._arrays[name] = array
        return array

    def __contains__(self, name: object) -> bool:
        """Tell whether there is an array of that name."""
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self._members)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self._members)


def read_npy(file: BinaryIO, num_bytes: int) -> np.ndarray | None:
    """Read an array in NumPy's format.

    Args:
        file: At its first byte.
        num_bytes: Of header and array together: memory is taken for no more.

    Returns:
        The array; `None` for one of Python objects, with the file at its pickle.

    Raises:
        ValueError: If it is broken or its header announces more than there is.
    """
    major, _ = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        return None
    announced, held = math.prod(shape) * dtype.itemsize, num_bytes - file.tell()
    if min(shape, default=0) < 0 or announced > held:
        raise ValueError(f"its header announces an array of {announced} bytes, and {held} are there.")
    content = bytearray(file.read(announced))
    if len(content) != announced:
        raise ValueError(f"an array of {announced} bytes is cut off after {len(content)}.")
    if announced == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if is_fortran else "C")


def read_arrays(path: str | os.PathLike) -> ArchivedArrays:
    """Open an `.npz`, or say why it cannot be read. Arrays that are pickles are refused when they are asked for."""
    return ArchivedArrays(path)


def _require_keys(arrays: Mapping[str, np.ndarray], keys: tuple[str, ...], path: str | os.PathLike, what: str) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"{path} is not {what}: it lacks {', '.join(missing)} and holds {key_list(arrays)}.")
