"""Let a simulated body imitate a dance: the feet then obey a floor that pushes and rubs (extra `physics`).

No policy is trained: every joint is a spring with damper toward the dance, and the root may be pulled by a bounded
force and torque, without which a dancer who does not plan ahead falls. The paper's pipeline uses PHC here, a trained
policy whose weights are not ours to give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..motion import FRAME_RATE, Motion
from ..skeleton import CONTACT_JOINTS, NUM_JOINTS
from .body import (
    BODY_MASS_KILOGRAMS,
    DAMPING_SECONDS,
    GRAVITY,
    SIMULATED_ORDER,
    TIME_STEP_SECONDS,
    build_body,
    joint_stiffness,
)

MAX_JOINT_ERROR_METRES = 0.25
"""PHC ends an episode at this distance."""
_FALL_METRES = 0.3
_MAX_ROOT_FORCE, _MAX_ROOT_TORQUE = 600.0, 400.0
_ROOT_STIFFNESS, _ROOT_DAMPING = 12000.0, 1400.0
_ROOT_TURN_STIFFNESS, _ROOT_TURN_DAMPING = 6000.0, 600.0


@dataclass(frozen=True)
class PhysicsReport:
    """Quality of the imitation of a dance by a simulated body.

    Args:
        mpjpe_to_input_mm: Mean distance of the joints from the dance, in the world, after it was put on the floor.
        max_error_metres: Largest distance of any joint in any frame.
        mean_residual_force: Of the force that pulls the root, along x, y, z, in body weights.
        fell: Whether the root was ever 0.3 m lower than in the dance.
        raised_metres: By how much the dance was raised to put the median of its lowest foot on the floor.
    """

    mpjpe_to_input_mm: float
    max_error_metres: float
    mean_residual_force: tuple[float, float, float]
    fell: bool
    raised_metres: float

    @property
    def rejected(self) -> bool:
        """Whether the imitation is too far from the dance to be used."""
        return self.fell or self.max_error_metres > MAX_JOINT_ERROR_METRES


@dataclass(frozen=True)
class PhysicsResult:
    """Result of `imitate`.

    Args:
        motion: The imitation at 30 Hz, contacts detected anew.
        report: How far it is from the dance.
    """

    motion: Motion
    report: PhysicsReport


def imitate(
    motion: Motion, *, max_root_force: float = _MAX_ROOT_FORCE, max_root_torque: float = _MAX_ROOT_TORQUE
) -> PhysicsResult:
    """Simulate a body with the dancer's bones that follows a dance.

    Args:
        motion: A dance on a floor near y = 0; another frame rate than 30 Hz is resampled.
        max_root_force: Newtons along each axis; 600 are one body weight. With 120 a body falls.
        max_root_torque: Newton metres about each axis.

    Returns:
        The imitation and its report; read `report.rejected` before you use it.

    Raises:
        ImportError: If the extra `physics` is not installed.
        ValueError: If a bound is negative, or the motion is a single frame.
    """
    if max_root_force < 0 or max_root_torque < 0:
        raise ValueError(f"Bounds of force and torque must not be negative, got {max_root_force}, {max_root_torque}.")
    if motion.num_frames < 2:
        raise ValueError("Physics needs at least 2 frames, got 1.")
    model = build_body(motion.skeleton)
    reference, raised = _on_the_floor(motion.resample(FRAME_RATE))
    rotations = reference.joint_rotations[:, SIMULATED_ORDER].reshape(reference.num_frames, -1)
    poses = np.concatenate([reference.root_positions, rotations], axis=1).astype(np.float64)
    simulated, forces = _simulate(model, poses, max_root_force, max_root_torque)

    ours = np.argsort(SIMULATED_ORDER)
    result = replace(
        reference,
        root_positions=simulated[:, :3],
        joint_rotations=simulated[:, 3:].reshape(-1, NUM_JOINTS, 4)[:, ours],
        foot_contacts=None,
    )
    positions, wanted = result.joint_positions(), reference.joint_positions()
    errors = np.linalg.norm(positions - wanted, axis=-1)
    residual = np.abs(forces).mean(axis=0) / (BODY_MASS_KILOGRAMS * GRAVITY)
    report = PhysicsReport(
        float(1000 * errors.mean()),
        float(errors.max()),
        (float(residual[0]), float(residual[1]), float(residual[2])),
        bool((wanted[:, 0, 1] - positions[:, 0, 1]).max() > _FALL_METRES),
        raised,
    )
    contacts = motion.skeleton.detect_foot_contacts(positions, FRAME_RATE)
    return PhysicsResult(replace(result, foot_contacts=contacts), report)


def _on_the_floor(motion: Motion) -> tuple[Motion, float]:
    """Raise a dance so that the lowest foot is on the floor in the median frame; return by how much."""
    heights = motion.joint_positions()[:, list(CONTACT_JOINTS), 1] - motion.skeleton.contact_rest_heights
    raised = -float(np.median(heights.min(axis=1)))
    return replace(motion, root_positions=motion.root_positions + np.array([0, raised, 0], dtype=np.float32)), raised


def _simulate(
    model: Any, poses: np.ndarray, max_root_force: float, max_root_torque: float
) -> tuple[np.ndarray, np.ndarray]:
    """Follow `(frames, 3 + 88)` poses; return those of the simulation, and the force on the root, `(frames, 3)`."""
    import mujoco

    data = mujoco.MjData(model)
    stiffness = np.repeat(joint_stiffness(), 3)
    bounds = np.repeat([max_root_force, max_root_torque], 3)
    root_stiffness = np.repeat([_ROOT_STIFFNESS, _ROOT_TURN_STIFFNESS], 3)
    root_damping = np.repeat([_ROOT_DAMPING, _ROOT_TURN_DAMPING], 3)
    steps = round(1 / FRAME_RATE / TIME_STEP_SECONDS)
    velocity, error = np.zeros(model.nv), np.zeros(model.nv)
    forces = np.zeros((len(poses), 3))
    simulated = poses.copy()
    data.qpos[:] = poses[0]
    mujoco.mj_differentiatePos(model, data.qvel, 1 / FRAME_RATE, poses[0], poses[1])
    for frame in range(1, len(poses)):
        target = poses[frame - 1].copy()
        mujoco.mj_differentiatePos(model, velocity, 1 / FRAME_RATE, poses[frame - 1], poses[frame])
        # The damper of a joint acts on its own speed, implicitly; the speed of the reference undoes that.
        feed = DAMPING_SECONDS * stiffness * velocity[6:]
        for _ in range(steps):
            mujoco.mj_integratePos(model, target, velocity, TIME_STEP_SECONDS)
            mujoco.mj_differentiatePos(model, error, 1.0, data.qpos, target)
            pull = root_stiffness * error[:6] + root_damping * (velocity[:6] - data.qvel[:6])
            data.qfrc_applied[:6] = np.clip(pull, -bounds, bounds)
            data.qfrc_applied[6:] = stiffness * error[6:] + feed
            mujoco.mj_step(model, data)
            forces[frame] += data.qfrc_applied[:3] / steps
        simulated[frame] = data.qpos
    return simulated, forces[1:]
