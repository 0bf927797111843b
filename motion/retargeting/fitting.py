"""Fit a body with fixed bones to joint positions: swing exact, twist from the bend planes of knees and elbows.

Positions alone say where a bone points (its swing) but not how it is turned about itself (its twist). Limbs bend in a
plane, and that plane is the twist of thigh and upper arm; the trunk is turned by its triangles of hips and shoulders.
Dances made this way are marked `rotations="fitted"` in their provenance.
"""

from __future__ import annotations

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d

from ..kinematics import forward_kinematics, local_rotations, matrix_to_quaternion, shortest_rotation
from ..motion import Motion
from ..skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS, Skeleton, neutral_skeleton

_BEND_SMOOTHING_SECONDS = 2 / 30
_STRAIGHT_LIMB_PRIOR = 0.15
"""Weight of the neutral twist against the sine of the bend: a straight limb has no bend plane."""

# Joints with several children get their offsets from the data; the others keep our rest direction.
_TRUNK_CHILDREN = {
    "pelvis": ("left_hip", "right_hip", "spine1"),
    "spine3": ("neck", "left_collar", "right_collar"),
}


def check_joint_positions(joint_positions: np.ndarray) -> np.ndarray:
    """Return positions as float64, or raise an error that names what is wrong.

    Raises:
        ValueError: If the shape is not `(frames, 22, 3)` or a value is not finite.
    """
    joint_positions = np.asarray(joint_positions, dtype=np.float64)
    if joint_positions.ndim != 3 or joint_positions.shape[1:] != (NUM_JOINTS, 3) or len(joint_positions) == 0:
        raise ValueError(
            f"`joint_positions` must have shape (frames, {NUM_JOINTS}, 3) in the order of JOINT_NAMES, got "
            f"{joint_positions.shape}."
        )
    if not np.isfinite(joint_positions).all():
        bad = np.flatnonzero(~np.isfinite(joint_positions).all(axis=(1, 2)))
        raise ValueError(f"`joint_positions` holds NaN or infinity in {len(bad)} frames, the first is {bad[0]}.")
    return joint_positions


def fit_positions(
    joint_positions: np.ndarray,
    frame_rate: float,
    *,
    refinement_steps: int = 100,
    provenance: dict | None = None,
) -> Motion:
    """Fit a body with the clip's own bone lengths to joint positions.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up.
        frame_rate: Hz.
        refinement_steps: Steps of Adam over the whole clip after the analytic fit. They share the error that noisy
            bones leave at hands and feet among all joints. 0 keeps the analytic fit, which is exact for the legs of
            rigid bodies; a bent spine leaves some 10 mm above, as two of its joints together turn the pelvis.
        provenance: Copied into the result.

    Returns:
        The dance on a skeleton with the median bone lengths of the clip; bone lengths are constant by construction.

    Raises:
        ValueError: If the positions are not finite, of the wrong shape, or a bone has no length.
    """
    joint_positions = check_joint_positions(joint_positions)
    positions = torch.from_numpy(joint_positions)
    rest_offsets = _rest_offsets(joint_positions)
    global_rotations = estimate_global_rotations(positions, frame_rate, rest_offsets)
    skeleton = measure_skeleton(joint_positions, global_rotations, rest_offsets)
    offsets = torch.from_numpy(skeleton.offsets)
    root_positions = _place_root(positions, global_rotations, offsets)
    rotations = local_rotations(global_rotations, PARENTS)
    if refinement_steps:
        root_positions, rotations = _refine(positions, root_positions, rotations, offsets, refinement_steps)
    return Motion(
        frame_rate=frame_rate,
        root_positions=root_positions.numpy(),
        joint_rotations=matrix_to_quaternion(rotations).numpy(),
        skeleton=skeleton,
        provenance={**(provenance or {}), "rotations": "fitted"},
    )


def _rest_offsets(joint_positions: np.ndarray) -> np.ndarray:
    """Return our neutral offsets with feet that are flat where the clip's are: ankles lie higher in some rigs.

    The slope from ankle to toe is measured in the frames in which the ankle is lowest.
    """
    offsets = neutral_skeleton().offsets.copy()
    slopes = []
    for side in ("left", "right"):
        ankle, toe = joint_positions[:, JOINT_INDEX[f"{side}_ankle"]], joint_positions[:, JOINT_INDEX[f"{side}_foot"]]
        flat = ankle[:, 1] <= np.quantile(ankle[:, 1], 0.25)
        sole = (toe - ankle)[flat]
        slopes.append(np.median(np.arctan2(sole[:, 1], np.linalg.norm(sole[:, [0, 2]], axis=-1))))
    slope = float(np.mean(slopes))
    for side in ("left", "right"):
        foot = JOINT_INDEX[f"{side}_foot"]
        offsets[foot] = np.linalg.norm(offsets[foot]) * np.array([0.0, np.sin(slope), np.cos(slope)])
    return offsets


def estimate_global_rotations(positions: torch.Tensor, frame_rate: float, rest_offsets: np.ndarray) -> torch.Tensor:
    """Read global joint rotations off joint positions, joint by joint.

    Args:
        positions: `(frames, 22, 3)`, float64, metres.
        frame_rate: Hz, for the smoothing of bend planes.
        rest_offsets: `(22, 3)`; only the directions count.

    Returns:
        `(frames, 22, 3, 3)` relative to our rest pose.
    """
    rest = torch.from_numpy(rest_offsets)
    result: dict[str, torch.Tensor] = {}

    def vector(start: str, end: str) -> torch.Tensor:
        return positions[:, JOINT_INDEX[end]] - positions[:, JOINT_INDEX[start]]

    def swing(joint: str, child: str, guess: torch.Tensor) -> torch.Tensor:
        """Turn `guess` by the smallest rotation that makes the bone from `joint` to `child` point as observed."""
        observed = vector(joint, child)
        pointed = guess @ rest[JOINT_INDEX[child]]
        moved = observed.norm(dim=-1, keepdim=True) > 1e-6
        return shortest_rotation(pointed, torch.where(moved, observed, pointed)) @ guess

    hips_up = vector("pelvis", "spine1") + vector("pelvis", "spine2")
    result["pelvis"] = _frame(x=vector("right_hip", "left_hip"), y=hips_up, exact="x")
    shoulders = vector("right_shoulder", "left_shoulder") + vector("right_collar", "left_collar")
    result["spine3"] = _frame(x=shoulders, y=vector("spine2", "neck"), exact="y")
    steps = torch.tensor([1 / 3, 2 / 3], dtype=positions.dtype)
    between = roma.rotmat_slerp(result["pelvis"], result["spine3"], steps)
    result["spine1"] = swing("spine1", "spine2", between[0])
    result["spine2"] = swing("spine2", "spine3", between[1])
    result["neck"] = swing("neck", "head", result["spine3"])
    result["head"] = result["neck"]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        collar, shoulder, elbow, wrist = (f"{side}_{part}" for part in ("collar", "shoulder", "elbow", "wrist"))
        result[collar] = swing(collar, shoulder, result["spine3"])
        upper, lower = vector(shoulder, elbow), vector(elbow, wrist)
        # In the T-pose an elbow bends forward: left +X toward +Z, about -Y; the right one is its mirror image.
        neutral_axis = swing(shoulder, elbow, result["spine3"])[..., 1]
        axis = _bend_axis(upper, lower, -sign * neutral_axis, frame_rate)
        result[shoulder] = _frame(x=sign * upper, y=-sign * axis, exact="x")
        result[elbow] = _frame(x=sign * lower, y=-sign * axis, exact="x")
        result[wrist] = result[elbow]

        hip, knee, ankle, foot = (f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot"))
        thigh, shank, sole = vector(hip, knee), vector(knee, ankle), vector(ankle, foot)
        # A knee bends backward about +X, which is also at right angles to the foot.
        neutral_axis = torch.nn.functional.normalize(
            result["pelvis"][..., 0] + torch.nn.functional.normalize(torch.linalg.cross(-shank, sole), dim=-1), dim=-1
        )
        axis = _bend_axis(thigh, shank, neutral_axis, frame_rate)
        result[hip] = _frame(x=axis, y=-thigh, exact="y")
        result[knee] = _frame(x=axis, y=-shank, exact="y")
        result[ankle] = swing(ankle, foot, result[knee])
        result[foot] = result[ankle]
    return torch.stack([result[name] for name in JOINT_NAMES], dim=1)


def _frame(*, x: torch.Tensor, y: torch.Tensor, exact: str) -> torch.Tensor:
    """Build rotations from two rough axes `(frames, 3)`; the one named by `exact` is kept, the other turned."""
    if exact == "x":
        x = torch.nn.functional.normalize(x, dim=-1)
        z = torch.nn.functional.normalize(torch.linalg.cross(x, y), dim=-1)
        y = torch.linalg.cross(z, x)
    else:
        y = torch.nn.functional.normalize(y, dim=-1)
        z = torch.nn.functional.normalize(torch.linalg.cross(x, y), dim=-1)
        x = torch.linalg.cross(y, z)
    return torch.stack([x, y, z], dim=-1)


def _bend_axis(
    upper: torch.Tensor, lower: torch.Tensor, neutral_axis: torch.Tensor, frame_rate: float
) -> torch.Tensor:
    """Find the axis about which a limb bends; a straight limb falls back to `neutral_axis`, `(frames, 3)`."""
    unit_upper = torch.nn.functional.normalize(upper, dim=-1)
    bend = torch.linalg.cross(unit_upper, torch.nn.functional.normalize(lower, dim=-1))
    across = neutral_axis - (neutral_axis * unit_upper).sum(-1, keepdim=True) * unit_upper
    axis = bend + _STRAIGHT_LIMB_PRIOR * torch.nn.functional.normalize(across, dim=-1)
    smooth = gaussian_filter1d(axis.numpy(), _BEND_SMOOTHING_SECONDS * frame_rate, axis=0, mode="nearest")
    return torch.from_numpy(smooth)


def measure_skeleton(
    joint_positions: np.ndarray, global_rotations: torch.Tensor, rest_offsets: np.ndarray
) -> Skeleton:
    """Measure bone lengths (medians over time) and the triangles of hips and chest in their own frames.

    Args:
        joint_positions: `(frames, 22, 3)`, metres.
        global_rotations: `(frames, 22, 3, 3)` of the same frames.
        rest_offsets: `(22, 3)`; directions of the bones that are not measured.

    Returns:
        A skeleton with our rest pose and the clip's own proportions.

    Raises:
        ValueError: If a bone has no length.
    """
    neutral = neutral_skeleton()
    bones = joint_positions[:, 1:] - joint_positions[:, list(PARENTS[1:])]
    lengths = np.median(np.linalg.norm(bones, axis=-1), axis=0)
    if (lengths < 1e-3).any():
        raise ValueError(
            f"The bone that ends at `{JOINT_NAMES[1 + int(lengths.argmin())]}` has no length: joints of a body must "
            "lie apart."
        )
    offsets = np.zeros((NUM_JOINTS, 3))
    offsets[1:] = rest_offsets[1:] / np.linalg.norm(rest_offsets[1:], axis=-1, keepdims=True) * lengths[:, None]
    for parent, children in _TRUNK_CHILDREN.items():
        rotations = global_rotations[:, JOINT_INDEX[parent]].numpy()
        for child in children:
            bone = bones[:, JOINT_INDEX[child] - 1]
            direction = np.median(np.einsum("tji,tj->ti", rotations, bone), axis=0)
            offsets[JOINT_INDEX[child]] = direction / np.linalg.norm(direction) * lengths[JOINT_INDEX[child] - 1]
    factor = Skeleton(offsets).leg_length / neutral.leg_length
    return Skeleton(offsets, toe_rest_height=neutral.toe_rest_height * factor)


def _place_root(positions: torch.Tensor, global_rotations: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Put the root where the middle of both hips is as observed: that is steadier than one noisy pelvis point."""
    hips = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
    return positions[:, hips].mean(1) - global_rotations[:, 0] @ offsets[hips].mean(0)


def _refine(
    positions: torch.Tensor, root_positions: torch.Tensor, rotations: torch.Tensor, offsets: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move root and rotations of the whole clip toward the observed positions by Adam."""
    target, base_root, base_rotations, offsets = (
        value.float() for value in (positions, root_positions, rotations, offsets)
    )
    turn = torch.zeros(*base_rotations.shape[:2], 3, requires_grad=True)
    shift = torch.zeros_like(base_root, requires_grad=True)
    optimizer = torch.optim.Adam([{"params": [turn], "lr": 0.02}, {"params": [shift], "lr": 0.005}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        fitted, _ = forward_kinematics(
            base_rotations @ roma.rotvec_to_rotmat(turn), base_root + shift, offsets, PARENTS
        )
        loss = (fitted - target).square().sum(-1).mean() + 1e-4 * turn.square().sum(-1).mean()
        if len(target) > 2:
            # Noise of single frames is not motion: the fitted path may not shake more than the observed one must.
            loss = loss + 0.3 * fitted.diff(n=2, dim=0).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        refined = base_rotations @ roma.rotvec_to_rotmat(turn)
        return (base_root + shift).double(), refined.double()
