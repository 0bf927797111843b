"""`restore_files`: motion files in, the same files with restored feet and a report on each out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.report.tables import without_nan
from ..motion.drawing.rendering import render_video
from ..motion.feet.grounding import MAX_UNEVEN_SHARE, UNEVEN_METRES
from ..motion.files.read_options import ReadOptions
from ..motion.motion import FRAME_RATE, Motion
from ..motion.physics.imitation import PhysicsReport, imitate
from ..motion.skeleton import CONTACT_JOINTS, JOINT_NAMES
from ..utils.atomic import atomic_path
from ..utils.extras import require_extra
from .carry_back import PlacedRig, RigChange, at_frame_rate, carry_back
from .clips import FLOOR_TOLERANCE_METRES, Clip, open_clips
from .contact_files import read_contacts, write_contacts
from .foot_comparison import MIN_FRAMES, compare_feet
from .foot_placer import FOOT_LOCKS
from .report_page import render_restoration_page
from .results import REPORT_SUFFIX, input_digest, read_finished, weights_digest

if TYPE_CHECKING:
    from .pipeline_frdm import RestoredMotion

LOCKING_MODES = ("auto", "always")
"""Modes of `foot_lock` in which feet are held; the others only move them."""
FLOOR_DOUBT_METRES = (-0.03, 0.02)
"""Heights of the floor that are believed to be 0: the joint of rigs' toes lies at their tip, or in the ball."""
MAX_SECONDS = 1200.0
"""Of a clip: memory grows with it."""
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
        reading: How the files are read.
        seed: Of the sampler.
    """

    sampler: str = "default"
    foot_lock: str = "auto"
    strength: float = 1.0
    contacts: Path | None = None
    physics: bool = False
    side_by_side: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what is known before a file is read."""
        from .pipeline_frdm import SAMPLERS

        for name, known in (("sampler", SAMPLERS), ("foot_lock", FOOT_LOCKS)):
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"`strength` must be between 0 and 1, got {self.strength}.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"`seed` must be between 0 and 2**63 - 1, got {self.seed}.")

    def to_settings(self) -> dict[str, Any]:
        """Return all options by their names, of values that JSON can hold."""
        values = asdict(self)
        values |= values.pop("reading")
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


@dataclass(frozen=True)
class _Job:
    """Clip to restore, the file that it is from, and all that its result depends on, as the report holds it."""

    clip: Clip
    file: str
    made_from: dict[str, Any]


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

    Nothing is written before all files were read. A file that cannot be read, restored or written is left out with its
    reason. What an earlier run with the same inputs and options has finished is kept; what it has not is made again.

    Args:
        files: Paths of files that `open_clips` reads.
        output_dir: Created if it does not exist.
        restorer: A `FrdmPipeline`, or any function with its arguments.
        options: See `RestoreOptions`.
        show_progress: Show progress bars.

    Returns:
        `clips`: the report of each; `kept`: the names of those that were there already; `left_out`: `file` and
        `reason` of the others.

    Raises:
        FileExistsError: If an output exists already that was not made from the same inputs and options.
        ImportError: If an extra is needed that is not installed.
        ValueError: If two clips have the same name, or `options.contacts` do not fit the clip.
    """
    options = options or RestoreOptions()
    if options.physics:
        require_extra("mujoco", "physics", "`--physics`")
    if options.side_by_side:
        require_extra("av", "video", "`--side-by-side`")
    folder = Path(output_dir)
    jobs, left_out = _open_all(files, options, weights_digest(restorer))
    _check_names(jobs, options)
    given = _given_contacts(jobs, options)
    finished = [read_finished(folder, _outputs(job.clip, options), job.made_from) for job in jobs]
    folder.mkdir(parents=True, exist_ok=True)
    clips, kept = [], []
    for job, record in zip(jobs, finished, strict=True):
        if record is not None:
            clips.append(record)
            kept.append(job.clip.name)
            continue
        try:
            clips.append(_restore_clip(job, folder, restorer, options, given, show_progress))
        except Exception as error:  # whatever is wrong with one file, the others are restored
            for name in _outputs(job.clip, options):
                (folder / name).unlink(missing_ok=True)
            left_out.append(_left_out(job.file, error))
    return {"clips": clips, "kept": kept, "left_out": left_out}


def _open_all(
    files: Sequence[str | os.PathLike], options: RestoreOptions, weights: str | None
) -> tuple[list[_Job], list[dict[str, str]]]:
    jobs: list[_Job] = []
    left_out = []
    settings = {**options.to_settings(), "contacts": None}
    for file in files:
        try:
            made_from = {
                "input_sha256": input_digest(_existing(file)),
                "contacts_sha256": _digest_of_contacts(options.contacts),
                "weights_sha256": weights,
                **settings,
            }
            opened = open_clips(file, options.reading)
            for clip in opened:
                _check_length(clip, file)
        except Exception as error:  # whatever is wrong with one file, the others are restored
            left_out.append(_left_out(file, error))
        else:
            jobs += [_Job(clip, os.fspath(file), made_from) for clip in opened]
    return jobs, left_out


def _digest_of_contacts(path: Path | None) -> str | None:
    return input_digest(path) if path is not None and path.is_file() else None


def _existing(path: str | os.PathLike) -> Path:
    if not Path(path).exists():
        raise FileNotFoundError(f"There is no file {os.fspath(path)}.")
    return Path(path)


def _left_out(file: str | os.PathLike, error: Exception) -> dict[str, str]:
    """Return the file and its reason, in which it is named."""
    reason = (
        str(error) if isinstance(error, ValueError | OSError | ImportError) else f"{type(error).__name__}: {error}"
    )
    named = os.fspath(file) in reason or Path(file).name in reason
    return {"file": os.fspath(file), "reason": reason if named else f"{os.fspath(file)}: {reason}"}


def _check_length(clip: Clip, file: str | os.PathLike) -> None:
    source = clip.rig.source
    frames, rate = len(source.root_positions) - clip.rig.bind_frames, source.frame_rate
    if frames < MIN_FRAMES or frames / rate < MIN_FRAMES / FRAME_RATE:
        raise ValueError(
            f"{file}: a clip must have at least {MIN_FRAMES} frames at {FRAME_RATE:g} Hz "
            f"({MIN_FRAMES / FRAME_RATE:.2f} s), else standing and sliding look alike; got {frames} at {rate:g} Hz."
        )
    if frames / rate > MAX_SECONDS:
        raise ValueError(
            f"{file}: a clip must be no longer than {MAX_SECONDS / 60:g} minutes, got {frames / rate / 60:.0f}: cut "
            "it into pieces."
        )


def _outputs(clip: Clip, options: RestoreOptions) -> list[str]:
    endings = [*clip.suffixes, "_contacts.csv", REPORT_SUFFIX, "_report.html"]
    return [clip.name + ending for ending in endings + ["_side_by_side.mp4"] * options.side_by_side]


def _check_names(jobs: Sequence[_Job], options: RestoreOptions) -> None:
    counts = Counter(name for job in jobs for name in _outputs(job.clip, options))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"Two inputs would be written as {twice[0]}: restore them to folders of their own.")


def _given_contacts(jobs: Sequence[_Job], options: RestoreOptions) -> np.ndarray | None:
    """Read the contacts of the only clip, `(frames, 4)` at its frame rate."""
    if options.contacts is None:
        return None
    if len(jobs) != 1:
        raise ValueError(
            f"`contacts` must go with a single clip, got {len(jobs)} clips: restore the others separately."
        )
    return read_contacts(options.contacts, len(jobs[0].clip.rig.source.root_positions))


def _restore_clip(
    job: _Job,
    folder: Path,
    restorer: Callable[..., RestoredMotion],
    options: RestoreOptions,
    given: np.ndarray | None,
    show_progress: bool,
) -> dict[str, Any]:
    """Repair, report and write one clip."""
    clip = job.clip
    rig = clip.rig.without_bind_frames()
    rate, num_frames = rig.source.frame_rate, len(rig.source.root_positions)
    before = rig.motion.resample(FRAME_RATE)
    given = None if given is None else given[clip.rig.bind_frames :]
    level = rig.floor.level(before)
    observed, physics = _imitated(level) if options.physics else (level, None)
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
        floor_shift=floor_shift(clip),
    )
    record = _report(clip, rig, change, held, physics, options) | {"made_from": job.made_from}
    _write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", folder / f"{clip.name}{REPORT_SUFFIX}")
    _write_text(render_restoration_page(record), folder / f"{clip.name}_report.html")
    change, held = change.after_bind_frames(clip.rig), np.pad(held, ((clip.rig.bind_frames, 0), (0, 0)))
    clip.write(change, held, folder)
    write_contacts(held, folder / f"{clip.name}_contacts.csv")
    if options.side_by_side:
        render_video(before, folder / f"{clip.name}_side_by_side.mp4", size=_VIDEO_SIZE, beside=after)
    return record


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
    rig: PlacedRig,
    change: RigChange,
    foot_contacts: np.ndarray,
    physics: PhysicsReport | None,
    options: RestoreOptions,
) -> dict[str, Any]:
    """Measure the rig before and after, both on the floor."""
    names = {ours: rig.source.joint_names[joint] for ours, joint in rig.source_joints.items()}
    changed, _, _ = change.apply(rig.source).to_body(names)
    shift = np.array([0.0, floor_shift(clip), 0.0])
    feet = compare_feet(rig.joint_positions + shift, changed, rig.source.frame_rate, foot_contacts, CONTACT_JOINTS)
    return without_nan(
        {
            "name": clip.name,
            "notes": clip.notes + _floor_notes(clip),
            "files": _outputs(clip, options),
            "feet": feet,
            "physics": None if physics is None else {**_plain(physics), "rejected": physics.rejected},
            "settings": options.to_settings(),
            "versions": {name: version(name) for name in _PACKAGES},
        }
    )


def floor_shift(clip: Clip) -> float:
    """Return by how many metres of the rig a dance is raised, so that its floor is where files have it.

    A floor that is clearly elsewhere is brought to 0. No file states how high a joint of the foot rests: within that
    doubt the floor stays, and from a little more it is brought to the edge of the doubt, no farther.
    """
    height = clip.rig.floor_height
    if clip.floor_shift or clip.floor_tolerance > FLOOR_TOLERANCE_METRES:
        return clip.floor_shift
    return float(np.clip(height, *FLOOR_DOUBT_METRES)) - height


def _floor_notes(clip: Clip) -> list[str]:
    """Tell what was found out on the floor and the first frames."""
    rig, notes = clip.rig, []
    shift = floor_shift(clip)
    if round(shift, 3) and not clip.floor_shift:
        notes.append(f"Feet stand at a height of {rig.floor_height:.2f} m; the dance was moved by {shift:+.3f} m.")
    if rig.bind_frames:
        first = "Frame 0 shows" if rig.bind_frames == 1 else f"Frames 0 to {rig.bind_frames - 1} show"
        notes.append(f"{first} a T-pose that is no part of the dance: left as in the file.")
    if rig.floor.slope_degrees:
        notes.append(f"The floor was tilted by {rig.floor.slope_degrees:.1f} degrees; the dance was turned level.")
    if rig.floor.uneven_share > MAX_UNEVEN_SHARE:
        notes.append(
            f"{rig.floor.uneven_share:.0%} of the standing feet are more than {100 * UNEVEN_METRES:.0f} cm off the "
            "floor (stairs, a stage, or a capture that drifts): it is one plane, feet on other levels are not held."
        )
    return notes


def _write_text(text: str, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(report: PhysicsReport) -> dict[str, Any]:
    return {**asdict(report), "mean_residual_force": list(report.mean_residual_force)}
