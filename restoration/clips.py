"""Clips of any file that `restore` reads: its rig, and how it is written again."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..motion.files import ReadOptions, read_motion, save_motion, write_bvh
from ..motion.files.bvh import BvhRig, read_bvh_rig
from ..motion.files.estimates import read_estimates
from ..motion.files.limits import naming
from ..motion.files.npz import read_arrays
from ..motion.files.plausibility import check_path
from ..motion.files.smpl import is_smpl, motion_from_smpl
from ..motion.kinematics import SIDES
from ..motion.motion import FRAME_RATE, Motion
from ..motion.retargeting.joint_mapping import path_to_root
from .bvh_edit import moving_joint, write_changed_bvh
from .carry_back import LEG_PARTS, PlacedRig, RigChange, place_motion, place_rig
from .smpl_edit import write_changed_smpl

FLOOR_TOLERANCE_METRES = 0.05
"""A floor nearer to 0 is left where it is: no file states how high a joint of the foot rests."""
SMPL_FLOOR_TOLERANCE_METRES = 0.5
"""The pelvis of a body model lies off its translation by a way that only the licensed model knows."""
_WIDE_ENCODINGS = ("utf-16", "utf-32")
_ESTIMATE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".npy")


@dataclass
class Clip(ABC):
    """Clip of a file.

    Args:
        name: Of its output files, without suffix.
        rig: The file's own rig, and its dance on our body.
        suffixes: Of the files that are written.
        notes: Facts on the file, for the report.
        moved_joint: The rig's joint that carries the body.
        floor_tolerance: Metres: a floor nearer to 0 stays where it is.
    """

    name: str
    rig: PlacedRig
    suffixes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    moved_joint: int = 0
    floor_tolerance: float = FLOOR_TOLERANCE_METRES

    def __post_init__(self) -> None:
        if self.floor_shift:
            self.notes.append(
                f"The floor was at a height of {self.rig.floor_height:.2f} m; the dance was moved by "
                f"{self.floor_shift:+.2f} m, so that it is at 0."
            )
        rate = self.rig.source.frame_rate
        if abs(rate - FRAME_RATE) > 0.01:
            self.notes.append(f"{rate:g} Hz: repaired at {FRAME_RATE:g} Hz, and carried back to every frame.")

    @property
    def floor_shift(self) -> float:
        """Metres of the rig by which it is raised, so that its floor is at 0."""
        height = self.rig.floor_height
        return -height if abs(height) > self.floor_tolerance else 0.0

    @abstractmethod
    def write(self, change: RigChange, foot_contacts: np.ndarray, folder: Path) -> None:
        """Write the changed clip to `folder` under its name and its suffixes."""


@dataclass(kw_only=True)
class BvhClip(Clip):
    """BVH file, which is written with all but the changed channels byte by byte."""

    path: Path
    file: BvhRig

    def write(self, change: RigChange, foot_contacts: np.ndarray, folder: Path) -> None:
        """See `Clip`."""
        write_changed_bvh(self.file, change, self.path, folder / f"{self.name}.bvh")


@dataclass(kw_only=True)
class SmplClip(Clip):
    """SMPL `.npz`, which is written with the same arrays."""

    arrays: dict[str, np.ndarray]
    up_axis: str

    def write(self, change: RigChange, foot_contacts: np.ndarray, folder: Path) -> None:
        """See `Clip`."""
        write_changed_smpl(self.arrays, change, self.up_axis, folder / f"{self.name}.npz")


@dataclass(kw_only=True)
class MotionClip(Clip):
    """Dance on our body: our own `.npz`, or a file of another kind, which becomes our `.npz` and a BVH."""

    motion: Motion

    def write(self, change: RigChange, foot_contacts: np.ndarray, folder: Path) -> None:
        """See `Clip`."""
        changed = change.apply(self.rig.source)
        motion = replace(
            self.motion,
            root_positions=changed.root_positions,
            joint_rotations=changed.local_rotations,
            foot_contacts=foot_contacts,
            provenance={**self.motion.provenance, "feet": "restored"},
        )
        save_motion(motion, folder / f"{self.name}.npz")
        if ".bvh" in self.suffixes:
            write_bvh(motion, folder / f"{self.name}.bvh")


def open_clips(path: str | os.PathLike, options: ReadOptions | None = None, **settings: Any) -> list[Clip]:
    """Read the clips of a file: one, or one for each person of an estimator's result.

    Args:
        path: `.bvh`; `.npz` of ours or of SMPL; any other file of `read_motion`; a file or folder of
            `read_estimates`.
        options: How to read it.
        **settings: Fields of `ReadOptions` that differ from `options`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, has no feet, moves faster than people do, or cannot be written again.
    """
    path, options = Path(path), replace(options or ReadOptions(), **settings)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    with naming(path):
        return _open(path, options)


def _open(path: Path, options: ReadOptions) -> list[Clip]:
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return [_open_bvh(path, options)]
    if suffix == ".npz":
        return [_open_npz(path, options)]
    if path.is_dir() or suffix in _ESTIMATE_SUFFIXES:
        motions = read_estimates(path, options)
        if motions or path.is_dir() or suffix in (".pt", ".pth"):
            return _estimated_clips(path, motions)
    return [_motion_clip(path.stem, read_motion(path, options))]


def _open_bvh(path: Path, options: ReadOptions) -> Clip:
    file = read_bvh_rig(path, options)
    rig = place_rig(file.source, options.overrides)
    rate = file.source.frame_rate
    check_path(rig.joint_positions[:, 0], rate, path)
    notes = [f"Unit of the file: {file.unit_name}."]
    reason = _why_not_in_place(file, options)
    if reason:
        notes.append(f"{reason}: the dance moves to our body.")
        return _motion_clip(path.stem, replace(rig.motion, provenance={"source": path.name}), notes=tuple(notes))
    if file.up_axis == "z":
        notes.append("The file has Z up, and is written so.")
    rig = _with_turning_feet(file, rig, path)
    if "left_foot" not in rig.source_joints:
        notes.append("The rig has no toe joints: the tips of its feet stand in.")
    moved_joint = moving_joint(file, rig.source_joints["pelvis"], path)
    return BvhClip(path.stem, rig, (".bvh",), notes, moved_joint, path=path, file=file)


def _why_not_in_place(file: BvhRig, options: ReadOptions) -> str:
    """Return why a file is not written with a few changed channels; empty if it is."""
    mapping = file.source.joint_mapping(options.overrides)
    joints = {ours: file.source.joint_names.index(theirs) for ours, theirs in mapping.items()}
    above = set(path_to_root(joints["pelvis"], file.source.parents)[1:])
    if above & set(joints.values()):
        return f"The rig is rooted at {file.source.joint_names[0]}, not above its pelvis"
    if file.is_mirrored:
        return "The file is a mirror image, and x was negated"
    if file.up_axis not in ("y", "z"):
        return f"The file has {file.up_axis} up"
    if file.encoding.startswith(_WIDE_ENCODINGS):
        return f"The file is in {file.encoding.upper()}"
    return ""


def _with_turning_feet(file: BvhRig, rig: PlacedRig, path: Path) -> PlacedRig:
    """Return a rig whose legs can be turned: toes that cannot are no joints.

    Raises:
        ValueError: If another joint of the legs cannot turn about all axes.
    """
    fixed = []
    for side in SIDES:
        for part in LEG_PARTS:
            index = rig.source_joints.get(f"{side}_{part}")
            turning = [] if index is None else [name for name in file.joints[index].channels if name[1] == "r"]
            if index is None or {"xr", "yr", "zr"} <= set(turning):
                continue
            if part != "foot":
                axes = ", ".join(name[0] for name in turning) or "none"
                raise ValueError(
                    f"{path}: {file.joints[index].name} must have rotation channels on x, y and z to be repaired, got "
                    f"{axes}. Write the dance anew by `infinitedance convert`, and restore that."
                )
            fixed.append(f"{side}_{part}")
    joints = {name: joint for name, joint in rig.source_joints.items() if name not in fixed}
    return replace(rig, source_joints=joints)


def _open_npz(path: Path, options: ReadOptions) -> Clip:
    arrays = read_arrays(path)
    if not is_smpl(arrays) or "full_pose" in arrays:
        suffixes = (".npz",) if "version" in arrays else (".npz", ".bvh")
        return _motion_clip(path.stem, read_motion(path, options), suffixes)
    motion = motion_from_smpl(arrays, path, options)
    axis, height = motion.provenance["up_axis"], motion.provenance["floor_height"]
    if axis not in ("y", "z") or options.unit not in (None, "m"):
        return _motion_clip(path.stem, motion, notes=(f"The file has {axis} up: the dance moves to our body.",))
    lifted = replace(motion, root_positions=motion.root_positions + np.array([0, height, 0], dtype=np.float32))
    notes = ["The file does not hold the body's bones: feet are planted for a body of our proportions."]
    if axis == "z":
        notes.append("The file has Z up, and is written so.")
    plain, lost = {}, []
    for name in arrays:
        try:
            plain[name] = arrays[name]
        except ValueError:
            lost.append(name)
    if lost:
        notes.append(f"Not written: {', '.join(lost)}, no arrays of numbers.")
    rig = place_motion(lifted)
    return SmplClip(
        path.stem, rig, (".npz",), notes, floor_tolerance=SMPL_FLOOR_TOLERANCE_METRES, arrays=plain, up_axis=axis
    )


def _motion_clip(
    name: str, motion: Motion, suffixes: tuple[str, ...] = (".npz", ".bvh"), notes: tuple[str, ...] = ()
) -> MotionClip:
    if motion.provenance.get("rotations") == "fitted":
        notes += ("The file holds positions only: rotations were fitted to them.",)
    return MotionClip(name, place_motion(motion), suffixes, list(notes), motion=motion)


def _estimated_clips(path: Path, motions: list[Motion]) -> list[Clip]:
    if not motions:
        raise ValueError(f"{path} holds no person that is seen for two frames.")
    pieces = Counter(motion.provenance["person"] for motion in motions)
    clips: list[Clip] = []
    for motion in motions:
        person, first = motion.provenance["person"], motion.provenance["first_frame"]
        name = path.stem + (f"_person{person}" if len(pieces) > 1 else "")
        name += f"_from{first}" if pieces[person] > 1 else ""
        note = f"Result of {motion.provenance['tool']}, person {person}, from frame {first}."
        clips.append(_motion_clip(name, motion, notes=(note,)))
    return clips
