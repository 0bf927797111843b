"""Measure one dance by every metric of `metric_catalogue`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..audio.beats import BeatClock
from ..motion.motion import FRAME_RATE
from ..motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, PARENTS
from .metrics import beats, collapse, foot_contact, memory, motion_quality, physics, pulse, reconstruction
from .metrics.self_penetration import body_capsules, self_penetration

HIPS = (JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"])
MIN_TEMPO_DIFFERENCE = 0.1
"""Two tempos nearer than this make no wrong song."""
TEMPO_METRICS = ("tempo_agrees", "tempo_same", "tempo_half_double", "tempo_agrees_wrong_song")
MIN_TEMPO_SECONDS = 2 * 60 / beats.TEMPO_RANGE_BPM[0]
MIN_DANCE_SECONDS = memory.WINDOW_SECONDS
MAX_LENGTH_DIFFERENCE_FRAMES = 3
"""A reconstruction may be this much shorter or longer than the true dance."""


@dataclass(frozen=True, eq=False)
class Song:
    """A song that is danced to.

    Args:
        name: Its name.
        clock: Its beats, from the start of the dance.
        duration_seconds: Its length; what is danced after its end is not measured against it.
    """

    name: str
    clock: BeatClock
    duration_seconds: float

    @property
    def bpm(self) -> float:
        """Median tempo in beats per minute."""
        return float(60 / np.median(np.diff(self.clock.beat_times_seconds)))

    @property
    def cycles_per_beat(self) -> float:
        """Frequency of the pulse: once a bar in triple meter, else every second beat."""
        return 1 / 3 if self.clock.beats_per_bar == 3 else 1 / 2

    def beats_within(self, duration_seconds: float) -> np.ndarray:
        """Return the times of its beats within a dance of some length, seconds."""
        times = self.clock.beat_times_seconds
        return times[(times >= 0) & (times < min(duration_seconds, self.duration_seconds))]


@dataclass(frozen=True, eq=False)
class MeasuredDance:
    """A dance to measure.

    Args:
        name: Its name.
        positions: `(frames, 22, 3)`, metres, at 30 Hz, Y up.
        song: What it is danced to, `None` if not known.
        genre: Empty if not known.
    """

    name: str
    positions: np.ndarray
    song: Song | None = None
    genre: str = ""

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self.positions) / FRAME_RATE

    @cached_property
    def heard(self) -> np.ndarray:
        """The part of `positions` that has music."""
        if self.song is None:
            raise ValueError(f"The dance {self.name} has no song.")
        return self.positions[: round(self.song.duration_seconds * FRAME_RATE)]

    @cached_property
    def motion_beats(self) -> np.ndarray:
        """Its beats while there is music, seconds."""
        return pulse.slow_times_seconds(self.heard, FRAME_RATE)

    @cached_property
    def speed(self) -> np.ndarray:
        """Its speed at each frame that has music, m/s."""
        return pulse.speed_curve(self.heard, FRAME_RATE)


def measure_music(
    dance: MeasuredDance, songs: Sequence[Song], real: MeasuredDance | None = None, *, seed: int = 0
) -> dict[str, float]:
    """Measure a dance against its song, and against others.

    Args:
        dance: With its song.
        songs: The songs of the collection; the dance's own is left out by its name.
        real: The real dance to the same song, which gives the phase to compare with.
        seed: Of the shifts of chance.

    Returns:
        The metrics of the family `music`; NaN where the dance is too short, or there is no song of another tempo.
    """
    song = dance.song
    if song is None:
        raise ValueError(f"The dance {dance.name} has no song.")
    duration = len(dance.heard) / FRAME_RATE
    music_beats = song.beats_within(duration)
    others = [other for other in songs if other.name != song.name]
    unrelated = beats.unrelated_beats(
        music_beats, duration, [other.clock.beat_times_seconds for other in others], seed=seed
    )
    values = _pulse_measures(dance, song, others, real) | _tempo_measures(dance, song, others)
    for over in ("music", "motion"):
        values[f"alignment_{over}"] = beats.alignment(dance.motion_beats, music_beats, over=over)
        values[f"alignment_{over}_excess"] = beats.alignment_excess(
            dance.motion_beats, music_beats, unrelated, over=over
        )
    beat_frames = np.round(music_beats * FRAME_RATE).astype(int)
    values["alignment_published"] = beats.published_beat_alignment(dance.heard, beat_frames)
    values["alignment_published_motion"] = beats.published_beat_alignment(dance.heard, beat_frames, over="motion")
    matches = beats.beat_matches(dance.motion_beats, music_beats)
    chance = [beats.beat_matches(dance.motion_beats, each)["f1"] for each in unrelated]
    values |= {f"beat_{name}": value for name, value in matches.items()}
    values["beat_f1_excess"] = matches["f1"] - float(np.mean(chance))
    return values


def _pulse_measures(
    dance: MeasuredDance, song: Song, others: Sequence[Song], real: MeasuredDance | None
) -> dict[str, float]:
    wrong = [other for other in others if _is_another_tempo(song, other)]
    locks = [_lock(dance, other, song.cycles_per_beat) for other in wrong]
    lock = _lock(dance, song, song.cycles_per_beat)
    error = float("nan")
    if real is not None and lock > 0 and _lock(real, song, song.cycles_per_beat) > 0:
        phases = [
            pulse.pulse_phase(each.speed, _beat_phase(each, song), song.cycles_per_beat) for each in (dance, real)
        ]
        error = abs(pulse.phase_difference_beats(phases[0], phases[1], song.cycles_per_beat))
    return {
        "pulse_lock": lock,
        "pulse_lock_wrong_song": float(np.mean(locks)) if locks else float("nan"),
        "phase_error_beats": error,
    }


def _lock(dance: MeasuredDance, song: Song, cycles_per_beat: float) -> float:
    """Return the lock to a song; NaN for a dance that is too short, 0 for one that never moves."""
    phase = _beat_phase(dance, song)
    if (phase[-1] - phase[0]) * cycles_per_beat < pulse.MIN_CYCLES:
        return float("nan")
    if np.ptp(dance.speed) == 0:
        return 0.0
    return pulse.pulse_lock(dance.speed, phase, cycles_per_beat)


def _beat_phase(dance: MeasuredDance, song: Song) -> np.ndarray:
    return song.clock.phase(np.arange(len(dance.speed)) / FRAME_RATE)


def _is_another_tempo(song: Song, other: Song) -> bool:
    return abs(other.bpm / song.bpm - 1) >= MIN_TEMPO_DIFFERENCE


def _tempo_measures(dance: MeasuredDance, song: Song, others: Sequence[Song]) -> dict[str, float]:
    if len(dance.speed) < MIN_TEMPO_SECONDS * FRAME_RATE:
        return dict.fromkeys(TEMPO_METRICS, float("nan"))
    tempo = beats.dance_tempo_bpm(dance.speed, FRAME_RATE)
    relation = beats.tempo_relation(tempo, song.bpm)
    wrong = [beats.tempo_relation(tempo, other.bpm) is not None for other in others if _is_another_tempo(song, other)]
    own = [relation is not None, relation == "same", relation in ("half", "double")]
    by_chance = float(np.mean(wrong)) if wrong else float("nan")
    return dict(zip(TEMPO_METRICS, [*map(float, own), by_chance], strict=True))


def measure_body(positions: np.ndarray, reference_speed: float) -> dict[str, float]:
    """Measure how a dance moves and stands.

    Args:
        positions: `(frames, 22, 3)`, metres, at 30 Hz, at least 1 s.
        reference_speed: Mean joint speed of real dances, m/s.

    Returns:
        The metrics of the families `movement` and `feet`. The rest heights of the feet are fitted to the clip.
    """
    positions = positions.astype(np.float64)
    root, feet = positions[:, 0], positions[:, list(CONTACT_JOINTS)]
    rest_heights = foot_contact.fit_rest_heights(feet)
    contacts = foot_contact.detect_contacts(feet, FRAME_RATE, rest_heights)
    low = feet[..., 1] < rest_heights + foot_contact.CONTACT_HEIGHT_METRES
    return {
        "joint_speed": physics.mean_joint_speed(positions, FRAME_RATE),
        "local_speed": physics.mean_local_speed(positions, FRAME_RATE, HIPS),
        "root_speed": physics.root_speed(root, FRAME_RATE),
        "acceleration": physics.mean_acceleration(positions, FRAME_RATE),
        "jitter": physics.jitter(positions, FRAME_RATE),
        "frozen": motion_quality.frozen_share(positions, FRAME_RATE, reference_speed),
        "still": collapse.still_share(positions, FRAME_RATE),
        "loop": collapse.loop_share(memory.hip_aligned_poses(positions, *HIPS), FRAME_RATE),
        "upright": motion_quality.upright_share(positions, JOINT_INDEX["head"], JOINT_INDEX["pelvis"]),
        "stage_radius": motion_quality.stage_radius(root),
        "bone_variation": float(physics.bone_length_variation(positions, PARENTS).max()),
        "skating": foot_contact.foot_skating_ratio(feet, FRAME_RATE, rest_heights=rest_heights),
        "skating_published": foot_contact.foot_skating_ratio(feet, FRAME_RATE, "compat"),
        "slide": foot_contact.foot_slide_mm(feet, contacts),
        "slide_low_feet": foot_contact.foot_slide_mm(feet, low),
        "skating_gmd": foot_contact.gmd_skating_ratio(feet[:, 2:] - [0, rest_heights[2:].min(), 0], FRAME_RATE),
        "skating_heel": foot_contact.heel_skating_ratio(feet[:, :2], FRAME_RATE, rest_heights[:2]),
        "rest_height": 1000 * float(rest_heights.min()),
        "pfc": foot_contact.physical_foot_contact(root, feet, FRAME_RATE),
        "penetration": foot_contact.floor_penetration_mm(feet, rest_heights),
        "float": foot_contact.floor_float_mm(feet, rest_heights, contacts),
        "self_penetration": self_penetration(positions, body_capsules(positions, JOINT_INDEX)),
    }


def training_poses(dances: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Align the poses of training dances `(frames, 22, 3)` at 30 Hz for `measure_memory`, in float32."""
    return {name: memory.hip_aligned_poses(each, *HIPS).astype(np.float32) for name, each in dances.items()}


def measure_memory(positions: np.ndarray, library: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Measure how near a dance is to the training dances: the metrics of the family `memory`.

    Args:
        positions: `(frames, 22, 3)`, metres, at 30 Hz, at least 2 s.
        library: From `training_poses`.
    """
    return memory_values(nearest_training(positions, library))


def nearest_training(positions: np.ndarray, library: Mapping[str, np.ndarray]) -> memory.NearestWindows:
    """Find the nearest piece of the training dances for each 2 s of a dance, one after the other.

    Args:
        positions: See `measure_memory`.
        library: See `measure_memory`.
    """
    poses = memory.hip_aligned_poses(positions, *HIPS).astype(np.float32)
    return memory.nearest_windows(poses, library, FRAME_RATE, hop_seconds=memory.WINDOW_SECONDS)


def memory_values(nearest: memory.NearestWindows) -> dict[str, float]:
    """Return the metrics of the family `memory` from what `nearest_training` found."""
    is_copied = nearest.distances_mm < memory.COPY_MILLIMETRES
    return {
        "nearest_training": float(nearest.distances_mm.mean()),
        "copied": float(is_copied.mean()),
        "longest_copied": memory.WINDOW_SECONDS * collapse.longest_run(is_copied),
    }


def measure_joins(positions: np.ndarray, join_frames: Sequence[int]) -> dict[str, float]:
    """Measure whether a dance jumps where it was put together: the metrics of the family `joins`.

    Args:
        positions: `(frames, 22, 3)`, metres.
        join_frames: First frames of its pieces but the first; none makes NaN.
    """
    jumps = motion_quality.boundary_jumps(positions, join_frames)
    means = [float(each.mean()) if len(each) else float("nan") for each in jumps]
    return {"join_velocity": means[0], "join_acceleration": means[1]}


def measure_reconstruction(
    positions: np.ndarray, true: np.ndarray, rotations: tuple[np.ndarray, np.ndarray] | None = None
) -> dict[str, float]:
    """Measure how far a reconstructed dance is from the true one: the metrics of the family `reconstruction`.

    Args:
        positions: `(frames, 22, 3)`, metres, at 30 Hz.
        true: Likewise; what one is longer by, up to 3 frames, is cut off.
        rotations: Local rotation matrices of both, each `(frames, 22, 3, 3)`, where both are known.

    Raises:
        ValueError: If the lengths differ by more than 3 frames.
    """
    if abs(len(positions) - len(true)) > MAX_LENGTH_DIFFERENCE_FRAMES:
        raise ValueError(
            f"A reconstruction must be as long as the true dance, got {len(positions)} and {len(true)} frames at "
            f"{FRAME_RATE:g} Hz."
        )
    length = min(len(positions), len(true))
    ours, theirs = positions[:length], true[:length]
    angle = float("nan")
    if rotations is not None:
        angle = reconstruction.rotation_error_degrees(rotations[0][:length], rotations[1][:length])
    return {
        "mpjpe": reconstruction.mpjpe_mm(ours, theirs),
        "pa_mpjpe": reconstruction.pa_mpjpe_mm(ours, theirs),
        "wa_mpjpe": reconstruction.wa_mpjpe_mm(ours, theirs),
        "w_mpjpe": reconstruction.w_mpjpe_mm(ours, theirs),
        "rte": reconstruction.rte_percent(ours[:, 0], theirs[:, 0]),
        "acceleration_error": reconstruction.acceleration_error(ours, theirs, FRAME_RATE),
        "rotation_error": angle,
    }
