"""A dance as a small picture: three of its poses as lines, which the page draws in its own colors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..motion.motion import Motion
from ..motion.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS

NUM_POSES = 3
_SPACING_CM, _HEIGHT_CM = 150, 220
_YAW = np.deg2rad(30)
_HEAD_CM = 13


def draw_poses(motion: Motion) -> dict[str, Any]:
    """Return the most outstretched pose of each third of a dance, seen from the front and a little from the side.

    Returns:
        `size`, width and height in centimetres; paths of SVG of the `left` and the `right` limbs and the `trunk`; and
        centers and radius of the `heads`.
    """
    positions = motion.joint_positions()
    from_root = positions - positions[:, :1]
    spread = np.linalg.norm(from_root, axis=-1).mean(axis=-1)
    paths: dict[str, list[str]] = {"left": [], "right": [], "trunk": []}
    heads = []
    for part, frames in enumerate(np.array_split(np.arange(motion.num_frames), NUM_POSES)):
        if not len(frames):
            continue
        pose = from_root[frames[spread[frames].argmax()]]
        floor = pose[:, 1].min()
        across = pose[JOINT_INDEX["left_hip"]] - pose[JOINT_INDEX["right_hip"]]
        facing = np.arctan2(-across[2], across[0]) + _YAW
        x = pose[:, 0] * np.cos(facing) - pose[:, 2] * np.sin(facing)
        places = np.stack([100 * x + _SPACING_CM * (part + 0.5), _HEIGHT_CM - 10 - 100 * (pose[:, 1] - floor)], axis=1)
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                (x0, y0), (x1, y1) = places[[parent, joint]].round().astype(int).tolist()
                paths[_side(JOINT_NAMES[joint])].append(f"M{x0} {y0}L{x1} {y1}")
        head = places[JOINT_INDEX["head"]].round().astype(int).tolist()
        heads.append({"x": head[0], "y": head[1] - _HEAD_CM // 2, "r": _HEAD_CM})
    return {
        "size": [NUM_POSES * _SPACING_CM, _HEIGHT_CM],
        **{side: "".join(lines) for side, lines in paths.items()},
        "heads": heads,
    }


def _side(joint: str) -> str:
    side = joint.split("_")[0]
    return side if side in ("left", "right") and not joint.endswith(("collar", "hip")) else "trunk"
