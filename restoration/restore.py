"""`restore_files`: motion files in, the same files with restored feet and a report on each out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.report.tables import without_nan
from ..motion.drawing.rendering import render_video
from ..motion.motion import FRAME_RATE, Motion
from ..motion.physics.imitation import PhysicsReport, imitate
from ..motion.skeleton import CONTACT_JOINTS, JOINT_NAMES
from ..utils.atomic import atomic_path
from ..utils.extras import require_extra
from .carry_back import RigChange, at_frame_rate, carry_back
from .clips import Clip, open_clips
from .contact_files import read_contacts, write_contacts
from .foot_comparison import MIN_FRAMES, compare_feet
from .report_page import render_restoration_page

if TYPE_CHECKING:
    from .pipeline_frdm import RestoredMotion

LOCKING_MODES = ("auto", "always")
"""Modes of `foot_lock` in which feet are held; the others only move them."""
_VIDEO_SIZE = (640, 540)
_PACKAGES = ("infinitedance", "numpy", "scipy", "torch")
_LOWER_BODY = [
    joint for joint, name in enumerate(JOINT_NAMES) if name.endswith(("pelvis", "hip", "knee", "ankle", "foot"))
]


@dataclass(frozen=True)
class RestoreOptions:
    """Options of how files are read, repaired and shown.

    Args:
        sampler: Of the restorer: `"default"`, `"paper"` or `"paper_corrected"`.
        foot_lock: `"auto"`, `"always"`, `"never"` or `"grounding"`, see docs/restoring.md.
        strength: From 0, nothing is held, to 1.
        contacts: CSV with contacts of the only clip that is restored; `None`: they are found.
        physics: Let a simulated body imitate the dance first.
        side_by_side: Write an mp4 of both dances.
        trust_pickle: Read files that are pickles.
        frame_rate: Hz, of files that do not say theirs.
        up_axis: One of `UP_AXES`, where the guess is wrong.
        unit: One of `UNITS`, likewise.
        overrides: Our joint name to the file's, likewise.
        person: Of a result of an estimator; `None`: all.
        seed: Of the sampler.
    """

    sampler: str = "default"
    foot_lock: str = "auto"
    strength: float = 1.0
    contacts: Path | None = None
    physics: bool = False
    side_by_side: bool = False
    trust_pickle: bool = False
    frame_rate: float | None = None
    up_axis: str | None = None
    unit: str | None = None
    overrides: Mapping[str, str] | None = None
    person: str | None = None
    seed: int = 0


def restore_with_model(
    files: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    options: RestoreOptions,
    model: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Restore files with a trained restorer, the one that ships by default; see `restore_files`."""
    from .pipeline_frdm import FrdmPipeline

    restorer = FrdmPipeline.from_pretrained() if model is None else FrdmPipeline.from_pretrained(model)
    return restore_files(files, output_dir, restorer, options, show_progress=True)


def restore_files(
    files: Sequence[str | os.PathLike],
    output_dir: str | os.PathLike,
    restorer: Callable[..., RestoredMotion],
    options: RestoreOptions | None = None,
    *,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Restore the feet of motion files and write them, with their contacts and a report, under the same names.

    Nothing is written before all files were read. A file that cannot be read is left out with its reason.

    Args:
        files: Paths of files that `open_clips` reads.
        output_dir: Created if it does not exist.
        restorer: A `FrdmPipeline`, or any function with its arguments.
        options: See `RestoreOptions`.
        show_progress: Show progress bars.

    Returns:
        `clips`: the report of each; `left_out`: `file` and `reason` of the others.

    Raises:
        FileExistsError: If an output exists already.
        ImportError: If an extra is needed that is not installed.
        ValueError: If two clips have the same name, or `options.contacts` do not fit the clip.
    """
    options = options or RestoreOptions()
    if options.physics:
        require_extra("mujoco", "physics", "`--physics`")
    if options.side_by_side:
        require_extra("av", "video", "`--side-by-side`")
    clips, left_out = _open_all(files, options)
    _check_outputs(clips, Path(output_dir), options)
    if options.contacts is not None and len(clips) != 1:
        raise ValueError(
            f"`contacts` must go with a single clip, got {len(clips)} clips: restore the others separately."
        )
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    records = [_restore_clip(clip, Path(output_dir), restorer, options, show_progress) for clip in clips]
    return {"clips": records, "left_out": left_out}


def _open_all(files: Sequence[str | os.PathLike], options: RestoreOptions) -> tuple[list[Clip], list[dict[str, str]]]:
    clips: list[Clip] = []
    left_out = []
    for file in files:
        try:
            opened = open_clips(
                file,
                trust_pickle=options.trust_pickle,
                frame_rate=options.frame_rate,
                up_axis=options.up_axis,
                unit=options.unit,
                overrides=options.overrides,
                person=options.person,
            )
            for clip in opened:
                _check_length(clip, file)
        except (ValueError, OSError) as error:
            left_out.append({"file": os.fspath(file), "reason": str(error)})
        else:
            clips += opened
    return clips, left_out


def _check_length(clip: Clip, file: str | os.PathLike) -> None:
    source = clip.rig.source
    frames, rate = len(source.root_positions), source.frame_rate
    if frames < MIN_FRAMES or frames / rate < MIN_FRAMES / FRAME_RATE:
        raise ValueError(
            f"{file}: a clip must have at least {MIN_FRAMES} frames at {FRAME_RATE:g} Hz "
            f"({MIN_FRAMES / FRAME_RATE:.2f} s), else standing and sliding look alike; got {frames} at {rate:g} Hz."
        )


def _outputs(clip: Clip, options: RestoreOptions) -> list[str]:
    endings = [*clip.suffixes, "_contacts.csv", "_report.json", "_report.html"]
    return [clip.name + ending for ending in endings + ["_side_by_side.mp4"] * options.side_by_side]


def _check_outputs(clips: Sequence[Clip], folder: Path, options: RestoreOptions) -> None:
    counts = Counter(name for clip in clips for name in _outputs(clip, options))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"Two inputs would be written as {twice[0]}: restore them to folders of their own.")
    existing = [name for name in counts if (folder / name).exists()]
    if existing:
        raise FileExistsError(f"{folder / existing[0]} exists already: remove it, or give another `--output`.")


def _restore_clip(
    clip: Clip, folder: Path, restorer: Callable[..., RestoredMotion], options: RestoreOptions, show_progress: bool
) -> dict[str, Any]:
    """Repair, write and report one clip."""
    rig = clip.rig
    rate, num_frames = rig.source.frame_rate, len(rig.source.root_positions)
    before = rig.motion.resample(FRAME_RATE)
    given = None if options.contacts is None else read_contacts(options.contacts, num_frames)
    observed, physics = _imitated(before) if options.physics else (before, None)
    after = restorer(
        observed,
        sampler=options.sampler,
        foot_lock=options.foot_lock,
        strength=options.strength,
        foot_contacts=None if given is None else at_frame_rate(given, rate, FRAME_RATE, before.num_frames),
        seed=options.seed,
        show_progress=show_progress,
    ).motion
    used = np.zeros((before.num_frames, 4), bool) if after.foot_contacts is None else after.foot_contacts
    held = at_frame_rate(used, FRAME_RATE, rate, num_frames) if given is None else given
    change = carry_back(
        rig,
        before,
        after,
        held,
        moved_joint=clip.moved_joint,
        lock_strength=options.strength if options.foot_lock in LOCKING_MODES else 0.0,
        floor_shift=clip.floor_shift,
    )
    clip.write(change, held, folder)
    write_contacts(held, folder / f"{clip.name}_contacts.csv")
    if options.side_by_side:
        render_video(before, folder / f"{clip.name}_side_by_side.mp4", size=_VIDEO_SIZE, beside=after)
    return _report(clip, change, held, physics, folder, options)


def _imitated(before: Motion) -> tuple[Motion, PhysicsReport]:
    """Return the dance with root and legs of an imitation, or as it is if the imitation is rejected."""
    result = imitate(before)
    if result.report.rejected:
        return before, result.report
    return with_lower_body(before, result.motion), result.report


def with_lower_body(motion: Motion, other: Motion) -> Motion:
    """Return the trunk and arms of a dance on root and legs of another one of the same length."""
    rotations = motion.joint_rotations.copy()
    rotations[:, _LOWER_BODY] = other.joint_rotations[:, _LOWER_BODY]
    return replace(other, joint_rotations=rotations)


def _report(
    clip: Clip,
    change: RigChange,
    foot_contacts: np.ndarray,
    physics: PhysicsReport | None,
    folder: Path,
    options: RestoreOptions,
) -> dict[str, Any]:
    """Measure the rig before and after, both on the floor, and write the report."""
    rig = clip.rig
    names = {ours: rig.source.joint_names[joint] for ours, joint in rig.source_joints.items()}
    changed, _, _ = change.apply(rig.source).to_body(names)
    shift = np.array([0.0, clip.floor_shift, 0.0])
    feet = compare_feet(rig.joint_positions + shift, changed, rig.source.frame_rate, foot_contacts, CONTACT_JOINTS)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    record = without_nan(
        {
            "name": clip.name,
            "notes": clip.notes,
            "files": _outputs(clip, options),
            "feet": feet,
            "physics": None if physics is None else {**_plain(physics), "rejected": physics.rejected},
            "settings": settings,
            "versions": {name: version(name) for name in _PACKAGES},
        }
    )
    texts = {
        ".json": json.dumps(record, indent=1, allow_nan=False) + "\n",
        ".html": render_restoration_page(record),
    }
    for suffix, text in texts.items():
        with atomic_path(folder / f"{clip.name}_report{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return record


def _plain(report: PhysicsReport) -> dict[str, Any]:
    return {**asdict(report), "mean_residual_force": list(report.mean_residual_force)}
