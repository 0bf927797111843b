"""Motion files: BVH of any tool, SMPL, joint arrays of other systems, our own `.npz`, and clips of a data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..motion import Motion
from ..retargeting.retargeting import motion_from_positions, motion_from_rotations, retarget
from .bone_names import BONE_NAMES
from .bvh import BVHError, read_bvh, write_bvh
from .export import BODIES, EXPORT_FORMATS, check_export_path, export_motion
from .joint_arrays import array_of, joints_from_array, read_number_file, smpl_arrays_from_features
from .npz import DataClip, clip_from_arrays, load_motion, motion_from_arrays, read_arrays, read_data_npz, save_motion
from .pickles import RESTRICTED_PICKLE_NOTE, read_pickle
from .plausibility import check_frame_rate
from .smpl import is_smpl, motion_from_smpl

__all__ = [
    "BODIES",
    "BONE_NAMES",
    "EXPORT_FORMATS",
    "MOTION_SUFFIXES",
    "RESTRICTED_PICKLE_NOTE",
    "BVHError",
    "DataClip",
    "check_export_path",
    "export_motion",
    "load_motion",
    "motion_from_smpl",
    "read_bvh",
    "read_data_npz",
    "read_joint_positions",
    "read_motion",
    "read_motion_with_rotations",
    "read_pickle",
    "save_motion",
    "write_bvh",
]

MOTION_SUFFIXES = (".bvh", ".json", ".npy", ".npz", ".pickle", ".pkl")
"""Endings of the files that `read_motion` reads."""


def read_motion(
    path: str | os.PathLike,
    *,
    overrides: Mapping[str, str] | None = None,
    trust_pickle: bool = False,
    frame_rate: float | None = None,
    up_axis: str | None = None,
) -> Motion:
    """Read any motion file as a dance on our neutral body, at the file's own frame rate.

    Our own `.npz` is returned as it was saved. Everything else is brought onto our body: with the source's rotations
    where it has them (BVH, SMPL, LODGE's features), else by a fit to its joint positions; `provenance["rotations"]`
    says which. What is known of other systems' files stands in `smpl.py` and `joint_arrays.py`.

    Args:
        path: `.bvh`; `.npz` of ours, of a data folder or of AMASS; `.pkl` of EDGE, POPDG, AIST++ or InfiniteDance;
            `.npy` or `.json` arrays of joints or features.
        overrides: For BVH and data folders: our joint name to the file's, where `guess_joint_mapping` is wrong.
        trust_pickle: Read files that are pickles; they are refused otherwise.
        frame_rate: Hz, where the file does not say or is wrong.
        up_axis: `"y"` or `"z"`, where the file does not say and the guess from the body's stance is wrong.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another ending, is broken, is a pickle that is not trusted, is in another unit than
            metres, or does not say its frame rate.
        JointMappingError: If the file's joints cannot be mapped.
    """
    content = _read_content(Path(path), overrides, trust_pickle, frame_rate, up_axis)
    if isinstance(content, Motion):
        return content
    positions, rate = content
    return motion_from_positions(positions, rate, {"source": Path(path).name})


def read_joint_positions(
    path: str | os.PathLike,
    *,
    trust_pickle: bool = False,
    frame_rate: float | None = None,
    up_axis: str | None = None,
) -> tuple[np.ndarray, float]:
    """Read the 22 joints of any motion file for measuring: as the file has them where it holds positions only.

    A fit has constant bones and feet on the floor by construction; what another system got wrong there would be lost
    by `read_motion`. Files with rotations give the joints of `read_motion`.

    Args:
        path: As `read_motion`.
        trust_pickle: As `read_motion`.
        frame_rate: As `read_motion`.
        up_axis: As `read_motion`.

    Returns:
        Positions `(frames, 22, 3)`, metres, Y up, float64, and the frame rate in Hz. The floor is where the file has
        it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_motion`.
    """
    content = _read_content(Path(path), None, trust_pickle, frame_rate, up_axis)
    if isinstance(content, Motion):
        return content.joint_positions().astype(np.float64), content.frame_rate
    return content


def read_motion_with_rotations(
    path: str | os.PathLike, *, trust_pickle: bool = False, frame_rate: float | None = None
) -> Motion | None:
    """Read a motion file as `read_motion` does, or return `None` if its rotations are not its own but a fit.

    Args:
        path: As `read_motion`.
        trust_pickle: As `read_motion`.
        frame_rate: As `read_motion`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_motion`.
    """
    content = _read_content(Path(path), None, trust_pickle, frame_rate, None)
    if isinstance(content, Motion) and content.provenance.get("rotations") != "fitted":
        return content
    return None


def _read_content(
    path: Path,
    overrides: Mapping[str, str] | None,
    trust_pickle: bool,
    frame_rate: float | None,
    up_axis: str | None,
) -> Motion | tuple[np.ndarray, float]:
    """Return a dance where the file has rotations, else joint positions and their frame rate."""
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        source = read_bvh(path, up_axis=up_axis)
        positions, rotations, source_joints = source.to_body(overrides)
        rate = source.frame_rate if frame_rate is None else check_frame_rate(frame_rate, path)
        return _motion_of_rig(path, rotations, source_joints, positions, rate)
    if suffix == ".npz":
        return _read_npz(path, overrides, frame_rate, up_axis)
    if suffix in (".pkl", ".pickle"):
        value = read_pickle(path, trust_pickle)
        if isinstance(value, dict) and is_smpl(value):
            return motion_from_smpl(value, path, frame_rate=frame_rate, up_axis=up_axis)
    elif suffix in (".npy", ".json"):
        value = read_number_file(path, trust_pickle)
    else:
        raise ValueError(f"Cannot read {path}: a motion file must end in {', '.join(MOTION_SUFFIXES)}.")
    array, known_rate = array_of(value, path)
    smpl_arrays = smpl_arrays_from_features(array)
    if smpl_arrays is not None:
        return motion_from_smpl(smpl_arrays, path, frame_rate=frame_rate, up_axis=up_axis)
    return joints_from_array(array, path, frame_rate=known_rate if frame_rate is None else frame_rate, up_axis=up_axis)


def _read_npz(
    path: Path, overrides: Mapping[str, str] | None, frame_rate: float | None, up_axis: str | None
) -> Motion | tuple[np.ndarray, float]:
    arrays = read_arrays(path)
    if is_smpl(arrays):
        return motion_from_smpl(arrays, path, frame_rate=frame_rate, up_axis=up_axis)
    if up_axis == "z":
        raise ValueError(f"{path} has Y up, as all .npz of this package have, got `up_axis` = 'z'.")
    if "version" in arrays:
        motion = motion_from_arrays(arrays, path)
        return motion if frame_rate is None else replace(motion, frame_rate=check_frame_rate(frame_rate, path))
    clip = clip_from_arrays(arrays, path)
    rate = clip.frame_rate if frame_rate is None else check_frame_rate(frame_rate, path)
    if clip.source is None:
        return clip.joint_positions, rate
    _, rotations, source_joints = clip.source.to_body(overrides)
    return _motion_of_rig(path, rotations, source_joints, clip.joint_positions, rate)


def _motion_of_rig(
    path: Path, rotations: np.ndarray, source_joints: dict[str, int], positions: np.ndarray, frame_rate: float
) -> Motion:
    return retarget(
        motion_from_rotations(torch.from_numpy(rotations), source_joints, positions, frame_rate, {"source": path.name})
    )
