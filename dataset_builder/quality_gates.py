"""Quality gates: what is measured on every clip, and what a clip is rejected or flagged for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..audio.beats import BeatClock
from ..evaluation.metrics.collapse import longest_run
from ..evaluation.metrics.foot_contact import floor_penetration_mm, foot_skating_ratio
from ..evaluation.metrics.physics import bone_length_variation, jitter, step_lengths
from ..evaluation.metrics.pulse import MIN_CYCLES, pulse_lock, pulse_phase, speed_curve
from ..motion.motion import Motion
from ..motion.skeleton import CONTACT_JOINTS, PARENTS
from ..utils.mappings import read_mapping

ACTIONS = ("reject", "flag", "off")
GENRE_GUESSED = "genre_guessed"
"""Flag, beside those of the gates, of a clip whose genre nobody gave."""
MIN_MEASURED_FRAMES = 4  # jitter needs third differences
FROZEN_METRES_PER_SECOND = 0.005
"""A dancer who holds a pose sways more than this; a tracker that has lost its dancer repeats the last pose."""
FLOOR_WINDOW_SECONDS = 5.0
MIN_OFFSET_LOCK = 4.0
"""Least lock to the beat of a dance whose offset is reported: at a wrong tempo 2 of 390 real dances lock so."""


@dataclass(frozen=True)
class Gate:
    """How large a measure may be (of `duration_seconds`: how small), and what happens beyond.

    Args:
        limit: In the unit of the measure.
        action: `"reject"` leaves the clip out, `"flag"` keeps it with a remark, `"off"` only measures.

    Raises:
        ValueError: If the action is another word or the limit is no finite number.
    """

    limit: float
    action: str = "reject"

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"The action of a gate must be one of {', '.join(ACTIONS)}, got {self.action!r}.")
        if isinstance(self.limit, bool) or not isinstance(self.limit, int | float) or not math.isfinite(self.limit):
            raise ValueError(f"The limit of a gate must be a finite number, got {self.limit!r}.")


@dataclass(frozen=True)
class Verdict:
    """What the gates say of one clip.

    Args:
        reasons: Why it is rejected, empty if it is not.
        flags: Names of the gates that flag it.
    """

    reasons: tuple[str, ...]
    flags: tuple[str, ...]


def _gate(limit: float, action: str) -> Any:
    return field(default=Gate(limit, action))


@dataclass(frozen=True)
class QualityGates:
    """The gates, in the order in which they are reported.

    The limits were set on 224 clips of motion capture (docs/notes/data_sets.md): only two of 0.7 s are rejected, five
    flagged.

    Args:
        duration_seconds: Least length.
        bone_length_variation: Standard deviation over mean of the worst bone's length, in the source's own joint
            positions; not measured where a source gives rotations, which cannot stretch a bone.
        peak_root_speed: Fastest step of the pelvis, m/s: a teleport.
        peak_joint_speed: Fastest step of any joint, m/s: a limb that jumps.
        freeze_seconds: Longest time in which no joint moves.
        foot_skating: Share of steps in contact that slide (`foot_skating_ratio`, rest heights of the skeleton).
        jitter: Mean jerk, 10 m/s^3.
        floor_penetration_mm: Mean depth of the lower foot in the floor.
        floor_drift_mm: How far the floor under the feet rises or falls, over windows of 5 s: a tilted or drifting
            capture.
        music_shortfall_seconds: How much earlier the music ends than the dance.
        music_offset_seconds: How far from the beats the dance is slowest, before or after.
    """

    duration_seconds: Gate = _gate(1.0, "reject")
    bone_length_variation: Gate = _gate(0.2, "reject")
    peak_root_speed: Gate = _gate(8.0, "reject")
    peak_joint_speed: Gate = _gate(20.0, "flag")
    freeze_seconds: Gate = _gate(2.0, "reject")
    foot_skating: Gate = _gate(0.75, "flag")
    jitter: Gate = _gate(100.0, "flag")
    floor_penetration_mm: Gate = _gate(20.0, "flag")
    floor_drift_mm: Gate = _gate(150.0, "flag")
    music_shortfall_seconds: Gate = _gate(1.0, "reject")
    music_offset_seconds: Gate = _gate(0.2, "flag")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> QualityGates:
        """Change some gates: `{"jitter": {"limit": 40, "action": "reject"}}`; the others keep their defaults.

        Raises:
            ValueError: If a gate does not exist or is not a mapping with `limit`, `action` or both.
        """
        defaults = cls()
        names = [gate.name for gate in fields(cls)]
        gates = {}
        for name, value in values.items():
            if name not in names:
                raise ValueError(f"The quality gates are {', '.join(names)}, got {name!r}.")
            if not isinstance(value, Mapping) or not value or set(value) - {"limit", "action"}:
                raise ValueError(f"The gate {name!r} must be a mapping with `limit`, `action` or both, got {value!r}.")
            try:
                gates[name] = Gate(**{**asdict(getattr(defaults, name)), **value})
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return cls(**gates)

    @classmethod
    def from_file(cls, path: str | Path) -> QualityGates:
        """Read gates from a `.json` or `.yaml` file; see `from_mapping`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it cannot be read as a mapping of gates.
        """
        values = read_mapping(path)
        try:
            return cls.from_mapping(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_mapping(self) -> dict[str, dict[str, Any]]:
        """Return what `from_mapping` reads."""
        return asdict(self)

    def judge(self, measures: Mapping[str, float | None]) -> Verdict:
        """Compare the measures of a clip with the limits.

        Args:
            measures: Of `measure_motion` and `measure_music_fit`; `None` for what could not be measured, which passes.
        """
        reasons, flags = [], []
        for gate_field in fields(self):
            name, value = gate_field.name, measures.get(gate_field.name)
            gate: Gate = getattr(self, name)
            if value is None or gate.action == "off":
                continue
            too_small = name == "duration_seconds"
            if too_small and value < gate.limit or not too_small and abs(value) > gate.limit:
                if gate.action == "reject":
                    reasons.append(f"{name} {value:.4g} is {'below' if too_small else 'above'} {gate.limit:g}")
                else:
                    flags.append(name)
        return Verdict(tuple(reasons), tuple(flags))


def measure_motion(motion: Motion, source_positions: np.ndarray | None = None) -> dict[str, float | None]:
    """Measure what the gates of the motion judge.

    Args:
        motion: The dance, the floor at y = 0.
        source_positions: `(frames, 22, 3)`, the joint positions of a source without rotations: our body has bones of
            fixed length, so that only these can show a stretching one.

    Returns:
        One value a gate; `None` for what cannot be measured, as sliding where no foot touches the floor.
    """
    measures: dict[str, float | None] = {"duration_seconds": motion.duration_seconds}
    if source_positions is not None:
        measures["bone_length_variation"] = float(bone_length_variation(source_positions, PARENTS).max())
    if motion.num_frames >= MIN_MEASURED_FRAMES:
        positions = motion.joint_positions().astype(np.float64)
        speeds = step_lengths(positions) * motion.frame_rate
        feet, rest_heights = positions[:, list(CONTACT_JOINTS)], motion.skeleton.contact_rest_heights
        measures |= {
            "peak_root_speed": float(speeds[:, 0].max()),
            "peak_joint_speed": float(speeds.max()),
            "freeze_seconds": longest_run(speeds.max(axis=1) < FROZEN_METRES_PER_SECOND) / motion.frame_rate,
            "foot_skating": foot_skating_ratio(feet, motion.frame_rate, rest_heights=rest_heights),
            "jitter": jitter(positions, motion.frame_rate),
            "floor_penetration_mm": floor_penetration_mm(feet, rest_heights),
            "floor_drift_mm": _floor_drift_mm(motion, positions),
        }
    return {name: None if value is None or math.isnan(value) else value for name, value in measures.items()}


def measure_music_fit(motion: Motion, beat_clock: BeatClock, music_seconds: float) -> dict[str, float | None]:
    """Measure what the gates of the music judge.

    Args:
        motion: The dance.
        beat_clock: Beats of the music, counted from the first frame of the dance.
        music_seconds: How long the music goes on after the first frame of the dance.
    """
    return {
        "music_shortfall_seconds": max(0.0, motion.duration_seconds - music_seconds),
        "music_offset_seconds": music_offset_seconds(motion.joint_positions(), motion.frame_rate, beat_clock),
    }


def music_offset_seconds(joint_positions: np.ndarray, frame_rate: float, beat_clock: BeatClock) -> float | None:
    """Estimate how much later than the beats a dance is slowest.

    The offset is the phase of the dance's pulse at one cycle a beat (`pulse_lock`, `pulse_phase`). Dances need not be
    slowest on the beat: read the median of a source, and look at the clips far from it.

    Args:
        joint_positions: `(frames, joints, 3)`, metres.
        frame_rate: Hz.
        beat_clock: Beats of the music, counted from the first frame.

    Returns:
        Seconds within half a beat of 0, positive where the dance is late; `None` where the clip is shorter than 8
        beats or its pulse at the beat is too weak to tell.
    """
    frame_times = np.arange(len(joint_positions)) / frame_rate
    beat_phase, speed = beat_clock.phase(frame_times), speed_curve(joint_positions, frame_rate)
    if beat_phase[-1] - beat_phase[0] < MIN_CYCLES or np.ptp(speed) == 0:
        return None
    if pulse_lock(speed, beat_phase, 1.0) < MIN_OFFSET_LOCK:
        return None
    beat_seconds = 60 / float(np.median(beat_clock.bpm(frame_times)))
    return (pulse_phase(speed, beat_phase, 1.0) - 0.5) * beat_seconds  # slowest half a beat after it is fastest


def _floor_drift_mm(motion: Motion, positions: np.ndarray) -> float:
    window = round(FLOOR_WINDOW_SECONDS * motion.frame_rate)
    num_windows = max(1, len(positions) // window)
    heights = [motion.skeleton.fit_floor_height(part) for part in np.array_split(positions, num_windows)]
    return 1000 * (max(heights) - min(heights))
