"""Motion files: BVH of any tool, our own `.npz`, and clips of a data folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from ..motion import Motion
from ..retargeting import motion_from_positions, motion_from_rotations, retarget
from .atomic import atomic_path
from .bvh import BVHError, read_bvh, write_bvh
from .npz import DataClip, clip_from_arrays, load_motion, motion_from_arrays, read_arrays, read_data_npz, save_motion

__all__ = [
    "BVHError",
    "DataClip",
    "atomic_path",
    "load_motion",
    "read_bvh",
    "read_data_npz",
    "read_motion",
    "save_motion",
    "write_bvh",
]


def read_motion(path: str | os.PathLike, *, overrides: Mapping[str, str] | None = None) -> Motion:
    """Read any motion file as a dance on our neutral body, at the file's own frame rate.

    Our own `.npz` is returned as it was saved. Clips of a data folder and BVH are brought onto our body: with the
    source's rotations where it has them, else by a fit to its positions (`provenance["rotations"]` says which).

    Args:
        path: `.bvh`, our `.npz`, or an `.npz` of a data folder.
        overrides: Our joint name to the file's, where `guess_joint_mapping` is wrong.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another ending or is broken.
        JointMappingError: If the file's joints cannot be mapped.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        source = read_bvh(path)
        positions, rotations, source_joints = source.to_body(overrides)
        frame_rate = source.frame_rate
    elif suffix == ".npz":
        arrays = read_arrays(path)
        if "version" in arrays:
            return motion_from_arrays(arrays, path)
        clip = clip_from_arrays(arrays, path)
        if clip.source is None:
            return motion_from_positions(clip.joint_positions, clip.frame_rate, {"source": path.name})
        _, rotations, source_joints = clip.source.to_body(overrides)
        positions, frame_rate = clip.joint_positions, clip.frame_rate
    else:
        raise ValueError(f"Cannot read {path}: a motion file must end in .bvh or .npz.")
    return retarget(
        motion_from_rotations(torch.from_numpy(rotations), source_joints, positions, frame_rate, {"source": path.name})
    )
