"""A MuJoCo body from the bones of a skeleton: ball joints, capsules for limbs, boxes for feet, a floor at y = 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...utils.extras import require_extra
from ..skeleton import JOINT_NAMES, PARENTS, Skeleton

BODY_MASS_KILOGRAMS = 60.0
TIME_STEP_SECONDS = 1 / 480
GRAVITY = 9.81
_FRICTION = 1.2

# Stiffness of a joint in N m / rad. Ball joints track rotations without the flips of Euler angles.
_STIFFNESS = {
    "hip": 2000.0,
    "knee": 2000.0,
    "ankle": 600.0,
    "foot": 60.0,
    "spine1": 3000.0,
    "spine2": 3000.0,
    "spine3": 3000.0,
    "neck": 300.0,
    "head": 150.0,
    "collar": 3000.0,
    "shoulder": 3000.0,
    "elbow": 2000.0,
    "wrist": 300.0,
}
DAMPING_SECONDS = 0.05
"""Damping over stiffness."""
_ARMATURE = 0.1

# Radius of the capsule from a joint to the child named, metres on a leg of the neutral body's length.
_CAPSULES = {
    "hip": (("knee", 0.07),),
    "knee": (("ankle", 0.05),),
    "spine1": (("spine2", 0.11),),
    "spine2": (("spine3", 0.11),),
    "spine3": (("neck", 0.11),),
    "neck": (("head", 0.05),),
    "collar": (("shoulder", 0.05),),
    "shoulder": (("elbow", 0.045),),
    "elbow": (("wrist", 0.035),),
}
_HEAD_RADIUS, _HAND_RADIUS, _PELVIS_RADIUS = 0.10, 0.04, 0.11
_HEEL_METRES, _TOE_METRES, _SOLE_HALF_WIDTH = 0.06, 0.06, 0.045


def part_of(joint: str) -> str:
    """Return a joint's name without its side."""
    return joint.removeprefix("left_").removeprefix("right_")


def _depth_first(joint: int) -> list[int]:
    children = [child for child, parent in enumerate(PARENTS) if parent == joint]
    return [joint, *(descendant for child in children for descendant in _depth_first(child))]


SIMULATED_ORDER = tuple(_depth_first(0))
"""Our joints in the order of the simulation."""


def joint_stiffness() -> np.ndarray:
    """Return the stiffness of the 21 joints below the pelvis in `SIMULATED_ORDER`, `(21,)`, N m / rad."""
    return np.array([_STIFFNESS[part_of(JOINT_NAMES[joint])] for joint in SIMULATED_ORDER[1:]])


def build_body(skeleton: Skeleton) -> Any:
    """Return an `mujoco.MjModel` of a skeleton, Y up, on a floor at y = 0.

    Its `qpos` is the root's position, then the 22 quaternions wxyz in `SIMULATED_ORDER`.

    Args:
        skeleton: Bones and the height of the toes over the floor.

    Raises:
        ImportError: If the extra `physics` is not installed.
    """
    require_extra("mujoco", "physics", "Physics imitation")
    import mujoco

    model = mujoco.MjModel.from_xml_string(_model_xml(skeleton))
    data = mujoco.MjData(model)
    mujoco.mj_setTotalmass(model, BODY_MASS_KILOGRAMS)
    mujoco.mj_setConst(model, data)
    return model


def _model_xml(skeleton: Skeleton) -> str:
    return f"""<mujoco>
  <compiler angle="radian"/>
  <option timestep="{TIME_STEP_SECONDS}" gravity="0 {-GRAVITY} 0" integrator="implicitfast"
          cone="elliptic" impratio="20"/>
  <default>
    <geom contype="0" conaffinity="1" condim="4" friction="{_FRICTION} 0.02 0.001"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1" zaxis="0 1 0" contype="1" conaffinity="0"/>
    {_body_xml(skeleton, 0)}
  </worldbody>
</mujoco>"""


def _body_xml(skeleton: Skeleton, joint: int) -> str:
    """Write a joint's body and, inside it, those of its children."""
    name, part = JOINT_NAMES[joint], part_of(JOINT_NAMES[joint])
    if joint == 0:
        hinge = "<freejoint/>"
    else:
        stiffness = _STIFFNESS[part]
        hinge = f'<joint type="ball" damping="{DAMPING_SECONDS * stiffness:g}" armature="{_ARMATURE}"/>'
    children = "".join(_body_xml(skeleton, child) for child, parent in enumerate(PARENTS) if parent == joint)
    geoms = "".join(_geoms(skeleton, joint))
    return f'<body name="{name}" pos="{_numbers(skeleton.offsets[joint])}">{hinge}{geoms}{children}</body>'


def _geoms(skeleton: Skeleton, joint: int) -> list[str]:
    part, size = part_of(JOINT_NAMES[joint]), skeleton.leg_length / 0.8345
    offsets = {part_of(JOINT_NAMES[child]): skeleton.offsets[child] for child, p in enumerate(PARENTS) if p == joint}
    geoms = [
        f'<geom type="capsule" fromto="0 0 0 {_numbers(offsets[child])}" size="{radius * size:.4f}"/>'
        for child, radius in _CAPSULES.get(part, ())
    ]
    if part == "pelvis":
        geoms.append(f'<geom type="sphere" size="{_PELVIS_RADIUS * size:.4f}"/>')
    elif part == "head":
        geoms.append(f'<geom type="sphere" pos="0 {0.08 * size:.4f} 0" size="{_HEAD_RADIUS * size:.4f}"/>')
    elif part == "wrist":
        geoms.append(f'<geom type="sphere" size="{_HAND_RADIUS * size:.4f}"/>')
    elif part == "ankle":
        toe = offsets["foot"]
        geoms.append(_sole(-_HEEL_METRES * size, toe[2], toe[1] - skeleton.toe_rest_height, size))
    elif part == "foot":
        geoms.append(_sole(0.0, _TOE_METRES * size, -skeleton.toe_rest_height, size))
    return geoms


def _sole(back: float, front: float, bottom: float, size: float) -> str:
    """Write the box between `back` and `front` (z) over `bottom` (y), half as high as the joint above it."""
    half_height = -bottom / 4
    center = np.array([0.0, bottom + half_height, (back + front) / 2])
    half = np.array([_SOLE_HALF_WIDTH * size, half_height, (front - back) / 2])
    return f'<geom type="box" pos="{_numbers(center)}" size="{_numbers(half)}"/>'


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
