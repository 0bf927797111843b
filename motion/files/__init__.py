"""Motion files: BVH, SMPL, joint arrays, estimators' results, our own `.npz`, and clips of a data folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..motion import Motion
from ..retargeting.retargeting import (
    motion_from_positions,
    motion_from_rotations,
    motion_on_our_body,
    retarget,
)
from .anatomy import (
    find_up_axis_of_body,
    is_mirrored,
    mirrored_motion,
    mirrored_rig,
    turned_motion,
    warn_of_mirror,
    with_left_on_the_left,
)
from .bone_names import BONE_NAMES
from .bvh import BVHError, read_bvh, read_bvh_rig, write_bvh
from .estimates import choose_dance, load_value, read_estimates, read_estimates_of
from .export import BODIES, EXPORT_FORMATS, check_export_path, export_motion
from .finger_bones import without_fingers
from .joint_arrays import array_of, joints_from_array, smpl_arrays_from_features
from .limits import naming
from .npz import DataClip, clip_from_arrays, load_motion, motion_from_arrays, read_arrays, read_data_npz, save_motion
from .pickles import RESTRICTED_PICKLE_NOTE, read_pickle
from .plausibility import check_body
from .read_options import UNITS, UP_AXES, ReadOptions
from .smpl import is_smpl, motion_from_smpl

__all__ = [
    "BODIES",
    "BONE_NAMES",
    "EXPORT_FORMATS",
    "MOTION_SUFFIXES",
    "RESTRICTED_PICKLE_NOTE",
    "UNITS",
    "UP_AXES",
    "BVHError",
    "DataClip",
    "ReadOptions",
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

MOTION_SUFFIXES = (".bvh", ".json", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of the files that `read_motion` reads."""


def read_motion(path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any) -> Motion:
    """Read any motion file as a dance on our neutral body, at the file's own frame rate.

    Our own `.npz` is returned as it was saved. Everything else is brought onto our body: with the source's rotations
    where it has them (BVH, SMPL, LODGE's features, estimators), else by a fit to its joint positions;
    `provenance["rotations"]` says which. What is known of other systems' files stands in `smpl.py`, `joint_arrays.py`
    and `estimates.py`. What a file does not say is guessed from the body, with a warning where that is unusual.

    Args:
        path: `.bvh`; `.npz` of ours, of a data folder or of AMASS; `.pkl` of EDGE, POPDG, AIST++ or InfiniteDance;
            `.npy` or `.json` arrays of joints or features; a result file (or, of SMPLer-X, a folder) of an estimator
            of people in video.
        options: How to read it.
        **settings: Fields of `ReadOptions` that differ from `options`, such as `trust_pickle=True`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another ending, is broken, is a pickle that is not trusted, is in another unit than
            metres, or does not say its frame rate.
        JointMappingError: If the file's joints cannot be mapped.
    """
    content = _read_content(Path(path), replace(options or ReadOptions(), **settings))
    if isinstance(content, Motion):
        return content
    positions, rate = content
    with naming(path):
        return motion_from_positions(positions, rate, {"source": Path(path).name})


def read_joint_positions(
    path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any
) -> tuple[np.ndarray, float]:
    """Read the 22 joints of any motion file for measuring: as the file has them where it holds positions only.

    A fit has constant bones and feet on the floor by construction; what another system got wrong there would be lost
    by `read_motion`. Files with rotations give the joints of `read_motion`.

    Args:
        path: As `read_motion`.
        options: As `read_motion`.
        **settings: As `read_motion`.

    Returns:
        Positions `(frames, 22, 3)`, metres, Y up, float64, and the frame rate in Hz. The floor is where the file has
        it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_motion`.
    """
    content = _read_content(Path(path), replace(options or ReadOptions(), **settings))
    if isinstance(content, Motion):
        return content.joint_positions().astype(np.float64), content.frame_rate
    return content


def read_motion_with_rotations(
    path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any
) -> Motion | None:
    """Read a motion file as `read_motion` does, or return `None` if its rotations are not its own but a fit.

    Args:
        path: As `read_motion`.
        options: As `read_motion`.
        **settings: As `read_motion`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As `read_motion`.
    """
    content = _read_content(Path(path), replace(options or ReadOptions(), **settings))
    if isinstance(content, Motion) and content.provenance.get("rotations") != "fitted":
        return content
    return None


def _read_content(path: Path, options: ReadOptions) -> Motion | tuple[np.ndarray, float]:
    """Return a dance where the file has rotations, else joint positions and their frame rate."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return choose_dance(read_estimates(path, options), path)
    if suffix not in MOTION_SUFFIXES:
        raise ValueError(f"Cannot read {path}: a motion file must end in {', '.join(MOTION_SUFFIXES)}.")
    with naming(path):
        if suffix == ".bvh":
            source, fingers = without_fingers(read_bvh_rig(path, options).source)
            if (own := motion_on_our_body(source, options.overrides, {"source": path.name})) is not None:
                return replace(own, finger_rotations=fingers)
            positions, rotations, source_joints = source.to_body(options.overrides)
            motion = _motion_of_rig(path, rotations, source_joints, positions, source.frame_rate)
            return replace(motion, finger_rotations=fingers)
        if suffix == ".npz":
            return _read_npz(path, options)
        value = load_value(path, options)
        if isinstance(value, dict) and is_smpl(value):
            return motion_from_smpl(value, path, options)
        if estimated := read_estimates_of(value, path, options):
            return choose_dance(estimated, path)
        array, known_rate = array_of(value, path, options.person)
        smpl_arrays = smpl_arrays_from_features(array)
        if smpl_arrays is not None:
            return motion_from_smpl(smpl_arrays, path, options)
        return joints_from_array(array, path, options, known_rate=known_rate)


def _read_npz(path: Path, options: ReadOptions) -> Motion | tuple[np.ndarray, float]:
    arrays = read_arrays(path)
    if is_smpl(arrays):
        return motion_from_smpl(arrays, path, options)
    if "version" in arrays:
        return _checked_motion(motion_from_arrays(arrays, path), path, options)
    clip = clip_from_arrays(arrays, path)
    rate = options.frame_rate or clip.frame_rate
    metres = options.metres_per_unit or 1.0
    if options.up_axis not in (None, "y"):
        raise ValueError(f"{path} has Y up, as all .npz of a data folder have, got `--up-axis {options.up_axis}`.")
    if clip.source is None:
        check_body(metres * clip.joint_positions, path)
        return with_left_on_the_left(metres * clip.joint_positions, path), rate
    source, positions = clip.source, clip.joint_positions
    if is_mirrored(positions):
        source = mirrored_rig(source)
        positions = with_left_on_the_left(positions, path)
    _, rotations, source_joints = source.to_body(options.overrides)
    return _motion_of_rig(path, rotations, source_joints, positions, rate)


def _checked_motion(motion: Motion, path: Path, options: ReadOptions) -> Motion:
    """Return a dance of our own file format, which has Y up; what contradicts it is turned with a warning."""
    if options.unit not in (None, "m"):
        raise ValueError(f"{path} is in metres, as all .npz of this package are, got `--unit {options.unit}`.")
    if options.frame_rate is not None:
        motion = replace(motion, frame_rate=options.frame_rate)
    positions = motion.joint_positions().astype(np.float64)
    up_axis = options.up_axis or find_up_axis_of_body(positions, path, usual=("y",))
    if up_axis != "y":
        motion = turned_motion(motion, up_axis)
    if is_mirrored(positions):
        warn_of_mirror(path)
        motion = mirrored_motion(motion)
    return motion


def _motion_of_rig(
    path: Path, rotations: np.ndarray, source_joints: dict[str, int], positions: np.ndarray, frame_rate: float
) -> Motion:
    return retarget(
        motion_from_rotations(torch.from_numpy(rotations), source_joints, positions, frame_rate, {"source": path.name})
    )
