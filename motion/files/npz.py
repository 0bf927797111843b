"""Our own motion file, and the neutral clips of a data folder: both plain NumPy archives without pickles."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...utils.atomic import atomic_path
from ..motion import Motion
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import JOINT_NAMES, PARENTS, Skeleton

FORMAT_VERSION = 1
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
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def load_motion(path: str | os.PathLike) -> Motion:
    """Read a `Motion` that `save_motion` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file, or of a newer version of this package, or its values are invalid.
    """
    return motion_from_arrays(read_arrays(path), path)


def motion_from_arrays(arrays: dict[str, np.ndarray], path: str | os.PathLike) -> Motion:
    """Build a `Motion` from the arrays of a motion file; see `load_motion`."""
    _require_keys(arrays, _MOTION_KEYS, path, "a motion file of this package")
    version = int(arrays["version"])
    if version != FORMAT_VERSION:
        raise ValueError(f"{path} has format version {version}, expected {FORMAT_VERSION}: update this package.")
    if tuple(arrays["joint_names"].tolist()) != JOINT_NAMES:
        raise ValueError(f"{path} holds the joints {arrays['joint_names'].tolist()}, expected {list(JOINT_NAMES)}.")
    try:
        return Motion(
            float(arrays["frame_rate"]),
            arrays["root_positions"],
            arrays["joint_rotations"],
            Skeleton(arrays["offsets"], float(arrays["toe_rest_height"])),
            arrays.get("foot_contacts"),
            json.loads(str(arrays["provenance"])),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_data_npz(path: str | os.PathLike) -> DataClip:
    """Read a clip of a data folder: positions of our joints, and the source's rotations where it has them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file or its values are invalid.
    """
    return clip_from_arrays(read_arrays(path), path)


def clip_from_arrays(arrays: dict[str, np.ndarray], path: str | os.PathLike) -> DataClip:
    """Build a `DataClip` from the arrays of a file; see `read_data_npz`."""
    _require_keys(arrays, ("joints22", "joint22_names", "fps"), path, "a clip of a data folder")
    if tuple(arrays["joint22_names"].tolist()) != JOINT_NAMES:
        raise ValueError(f"{path} holds the joints {arrays['joint22_names'].tolist()}, expected {list(JOINT_NAMES)}.")
    positions = arrays["joints22"].astype(np.float64)
    if positions.ndim != 3 or len(positions) == 0 or positions.shape[1:] != (len(JOINT_NAMES), 3):
        raise ValueError(f"{path}: `joints22` must have shape (frames, {len(JOINT_NAMES)}, 3), got {positions.shape}.")
    if not np.isfinite(positions).all():
        raise ValueError(f"{path}: `joints22` holds NaN or infinity.")
    frame_rate = float(arrays["fps"])
    source = None
    if "local_quat_wxyz" in arrays:
        _require_keys(arrays, ("joint_names", "parents", "offsets", "root_pos"), path, "a clip with rotations")
        try:
            source = SourceAnimation(
                frame_rate,
                tuple(arrays["joint_names"].tolist()),
                tuple(arrays["parents"].tolist()),
                arrays["offsets"].astype(np.float64),
                arrays["root_pos"].astype(np.float64),
                arrays["local_quat_wxyz"].astype(np.float64),
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return DataClip(positions, frame_rate, source, arrays.get("audio29"))


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read all arrays of an `.npz`, or say why it cannot be read. Pickles are refused."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    try:
        archive: Any = np.load(path, allow_pickle=False)
        return {name: archive[name] for name in archive.files}
    except (ValueError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz archive without pickles: {error}") from error


def _require_keys(arrays: dict[str, np.ndarray], keys: tuple[str, ...], path: str | os.PathLike, what: str) -> None:
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"{path} is not {what}: it lacks {', '.join(missing)} and holds {', '.join(arrays)}.")
