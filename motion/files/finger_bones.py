"""Fingers of rigs whose hands are ours, as in the BVH files of this package: found by name, and taken as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..fingers import PARENT_JOINTS, finger_offsets
from ..retargeting.source_animation import SourceAnimation
from ..skeleton import NUM_JOINTS, neutral_skeleton
from .bone_names import FINGER_BONE_NAMES

_SHAPE_TOLERANCE = 2e-3
"""Of offsets, as shares of the length of all finger bones of a rig together."""


def without_fingers(source: SourceAnimation) -> tuple[SourceAnimation, np.ndarray | None]:
    """Take the fingers off a rig whose hands are ours.

    A finger of another rig has other axes and another rest pose, which nothing in its file tells: it is left alone.

    Args:
        source: The rig's animation.

    Returns:
        The rig without its 30 finger joints, and their rotations `(frames, 30, 4)`; the rig as it is and `None` if its
        hands are not ours.
    """
    joints = _finger_joints(source)
    if joints is None:
        return source, None
    kept = [joint for joint in range(len(source.joint_names)) if joint not in joints]
    places = {joint: place for place, joint in enumerate(kept)}
    rest = replace(
        source,
        joint_names=tuple(source.joint_names[joint] for joint in kept),
        parents=tuple(places.get(source.parents[joint], -1) for joint in kept),
        offsets=source.offsets[kept],
        local_rotations=source.local_rotations[:, kept],
        joint_translations={places[joint]: value for joint, value in source.joint_translations.items()},
        end_sites={places[joint]: value for joint, value in source.end_sites.items() if joint in places},
    )
    return rest, source.local_rotations[:, joints]


def _finger_joints(source: SourceAnimation) -> list[int] | None:
    """Return the rig's joint for each of our finger joints; `None` if its hands are not ours."""
    index = {name: joint for joint, name in enumerate(source.joint_names)}
    names = next((names for names in FINGER_BONE_NAMES.values() if set(names) <= set(index)), None)
    if names is None:
        return None
    joints = [index[name] for name in names]
    parents = [source.parents[joint] for joint in joints]
    first = [own for own, parent in zip(parents, PARENT_JOINTS, strict=True) if parent < NUM_JOINTS]
    later = [
        own == joints[parent - NUM_JOINTS]
        for own, parent in zip(parents, PARENT_JOINTS, strict=True)
        if parent >= NUM_JOINTS
    ]
    carries_more = any(parent in joints for joint, parent in enumerate(source.parents) if joint not in joints)
    if len(set(first)) != 2 or not all(later) or carries_more or set(joints) & set(source.joint_translations):
        return None
    ours = finger_offsets(neutral_skeleton())
    shape = source.offsets[joints] / max(float(np.linalg.norm(source.offsets[joints])), 1e-9)
    return joints if np.abs(shape - ours / np.linalg.norm(ours)).max() < _SHAPE_TOLERANCE else None
