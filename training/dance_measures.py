"""Every metric of one dance, by name: what `infinitedance evaluate` and docs/metrics.md report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..audio.beats import BeatClock
from ..evaluation import beats, collapse, foot_contact, memory, motion_quality, physics, pulse
from ..evaluation.self_penetration import body_capsules, self_penetration
from ..motion.motion import FRAME_RATE
from ..motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, PARENTS

HIPS = (JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"])
MIN_TEMPO_DIFFERENCE = 0.1
"""Two tempos nearer than this make no wrong song."""
MIN_TEMPO_SECONDS = 2 * 60 / beats.TEMPO_RANGE_BPM[0]

COPY_MILLIMETRES = 20.0
MIN_DANCE_SECONDS = memory.WINDOW_SECONDS

Better = Literal["higher", "lower", "real"]


@dataclass(frozen=True)
class Metric:
    """A number of one dance.

    Args:
        key: Its name in JSON.
        label: Its name for people.
        family: `"music"`, `"movement"`, `"feet"` or `"memory"`.
        unit: Empty for shares and ratios.
        better: Whether more or less of it is better, or what is nearest to real dances.
        note: What it says, in a sentence.
    """

    key: str
    label: str
    family: str
    unit: str
    better: Better
    note: str


METRICS: tuple[Metric, ...] = (
    Metric(
        "pulse_lock", "pulse lock", "music", "", "higher",
        "power of the speed at the song's pulse (once a bar in three, else every second beat) over the power around "
        "it: 1 by chance",
    ),
    Metric(
        "pulse_lock_wrong_song", "pulse lock, wrong song", "music", "", "lower",
        "the same with the beats of songs of another tempo: about 1",
    ),
    Metric(
        "phase_error_beats", "phase error", "music", "beats", "lower",
        "how far the dance's pulse lies from that of the real dance to the same song",
    ),
    Metric(
        "tempo_agrees", "tempo agrees", "music", "", "higher",
        "1 if the strongest frequency of the speed is 1/4, 1/3, 1/2, 1 or 2 times the song's tempo, within 4 %",
    ),
    Metric(
        "tempo_agrees_wrong_song", "tempo agrees, wrong song", "music", "", "lower",
        "the same with songs of another tempo: what chance gives",
    ),
    Metric(
        "alignment_music", "beat alignment over music beats", "music", "", "higher",
        "nearness of each music beat to a motion beat, sigma 0.1 s; by chance 0.25 times the motion beats a second",
    ),
    Metric(
        "alignment_music_excess", "beat alignment over music beats, beyond chance", "music", "", "higher",
        "minus that of other songs of the same density, shifted",
    ),
    Metric(
        "alignment_motion", "beat alignment over motion beats", "music", "", "higher",
        "nearness of each motion beat to a music beat, sigma 0.1 s",
    ),
    Metric(
        "alignment_motion_excess", "beat alignment over motion beats, beyond chance", "music", "", "higher",
        "minus that of other songs of the same density, shifted",
    ),
    Metric(
        "alignment_published", "beat alignment as published", "music", "", "higher",
        "over music beats, smoothing of 5 frames, sigma of 3 frames, at 30 Hz",
    ),
    Metric("beat_precision", "beat precision", "music", "", "higher", "share of motion beats within 70 ms of a beat"),
    Metric("beat_recall", "beat recall", "music", "", "higher", "share of music beats within 70 ms of a motion beat"),
    Metric("beat_f1", "beat F1", "music", "", "higher", "of both"),
    Metric(
        "beat_f1_excess", "beat F1, beyond chance", "music", "", "higher",
        "minus that of other songs of the same density, shifted",
    ),
    Metric("joint_speed", "joint speed", "movement", "m/s", "real", "mean over joints and frames"),
    Metric("local_speed", "joint speed relative to hips", "movement", "m/s", "real", "dance without travel"),
    Metric("root_speed", "root speed", "movement", "m/s", "real", "travel over the floor"),
    Metric("acceleration", "acceleration", "movement", "m/s²", "real", "mean over joints and frames"),
    Metric("jitter", "jitter", "movement", "10 m/s³", "real", "third difference, in GVHMR's unit"),
    Metric(
        "frozen", "frozen seconds", "movement", "", "lower",
        "share of seconds slower than a quarter of the reference's mean speed",
    ),
    Metric("still", "still", "movement", "", "real", "share of time in which the body stays within 1 cm"),
    Metric("loop", "loop", "movement", "", "real", "share of poses that are left and come back after one period"),
    Metric("upright", "upright", "movement", "", "real", "share of frames with the head 0.3 m above the pelvis"),
    Metric("stage_radius", "stage radius", "movement", "m", "real", "farthest from the middle of the path"),
    Metric("bone_variation", "bone length variation", "movement", "", "lower", "of the worst bone: 0 is rigid"),
    Metric("self_penetration", "self-penetration", "movement", "", "lower", "share of frames with a limb in another"),
    Metric("skating", "foot skating", "feet", "", "lower", "share of steps in contact longer than 1 cm in 1/30 s"),
    Metric(
        "skating_published", "foot skating as published", "feet", "", "lower",
        "LODGE's: fixed heights, and a diagonal slide counts nothing",
    ),
    Metric("slide", "slide", "feet", "mm/frame", "lower", "distance of touching feet in 1/30 s"),
    Metric("slide_low_feet", "slide of low feet", "feet", "mm/frame", "lower", "of feet within 5 cm of their rest"),
    Metric("skating_gmd", "skating of GMD", "feet", "", "lower", "share of steps with a low toe above 0.5 m/s"),
    Metric("pfc", "PFC", "feet", "", "lower", "EDGE's physical foot contact"),
    Metric("penetration", "floor penetration", "feet", "mm", "lower", "depth of the lower foot under its rest height"),
    Metric("float", "float", "feet", "mm", "lower", "height of the lower foot over its rest height, while in contact"),
    Metric(
        "nearest_training", "distance from the nearest training clip", "memory", "mm", "real",
        "mean distance of the joints in windows of 2 s, hips and heading aligned: 0 is a copy",
    ),
    Metric(
        "copied", "copied seconds", "memory", "", "real",
        "share of windows of 2 s within 20 mm of a training clip",
    ),
)  # fmt: skip
METRIC: dict[str, Metric] = {metric.key: metric for metric in METRICS}


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
class Dance:
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
    dance: Dance, songs: Sequence[Song], real: Dance | None = None, *, seed: int = 0
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
    matches = beats.beat_matches(dance.motion_beats, music_beats)
    chance = [beats.beat_matches(dance.motion_beats, each)["f1"] for each in unrelated]
    values |= {f"beat_{name}": value for name, value in matches.items()}
    values["beat_f1_excess"] = matches["f1"] - float(np.mean(chance))
    return values


def _pulse_measures(dance: Dance, song: Song, others: Sequence[Song], real: Dance | None) -> dict[str, float]:
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


def _lock(dance: Dance, song: Song, cycles_per_beat: float) -> float:
    """Return the lock to a song; NaN for a dance that is too short, 0 for one that never moves."""
    phase = _beat_phase(dance, song)
    if (phase[-1] - phase[0]) * cycles_per_beat < pulse.MIN_CYCLES:
        return float("nan")
    if np.ptp(dance.speed) == 0:
        return 0.0
    return pulse.pulse_lock(dance.speed, phase, cycles_per_beat)


def _beat_phase(dance: Dance, song: Song) -> np.ndarray:
    return song.clock.phase(np.arange(len(dance.speed)) / FRAME_RATE)


def _is_another_tempo(song: Song, other: Song) -> bool:
    return abs(other.bpm / song.bpm - 1) >= MIN_TEMPO_DIFFERENCE


def _tempo_measures(dance: Dance, song: Song, others: Sequence[Song]) -> dict[str, float]:
    if len(dance.speed) < MIN_TEMPO_SECONDS * FRAME_RATE:
        return {"tempo_agrees": float("nan"), "tempo_agrees_wrong_song": float("nan")}
    tempo = beats.dance_tempo_bpm(dance.speed, FRAME_RATE)
    wrong = [beats.tempo_relation(tempo, other.bpm) is not None for other in others if _is_another_tempo(song, other)]
    return {
        "tempo_agrees": float(beats.tempo_relation(tempo, song.bpm) is not None),
        "tempo_agrees_wrong_song": float(np.mean(wrong)) if wrong else float("nan"),
    }


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
        "still": collapse.find_freeze(positions, FRAME_RATE).share,
        "loop": collapse.find_loop(memory.hip_aligned_poses(positions, *HIPS), FRAME_RATE).share,
        "upright": motion_quality.upright_share(positions, JOINT_INDEX["head"], JOINT_INDEX["pelvis"]),
        "stage_radius": motion_quality.stage_radius(root),
        "bone_variation": float(physics.bone_length_variation(positions, PARENTS).max()),
        "skating": foot_contact.foot_skating_ratio(feet, FRAME_RATE, rest_heights=rest_heights),
        "skating_published": foot_contact.foot_skating_ratio(feet, FRAME_RATE, "compat"),
        "slide": foot_contact.foot_slide_mm(feet, contacts),
        "slide_low_feet": foot_contact.foot_slide_mm(feet, low),
        "skating_gmd": foot_contact.gmd_skating_ratio(feet[:, 2:] - [0, rest_heights[2:].min(), 0], FRAME_RATE),
        "pfc": foot_contact.physical_foot_contact(root, feet, FRAME_RATE),
        "penetration": foot_contact.floor_penetration_mm(feet, rest_heights),
        "float": foot_contact.floor_float_mm(feet, rest_heights, contacts),
        "self_penetration": self_penetration(positions, body_capsules(positions, JOINT_INDEX)).frame_share,
    }


def training_poses(dances: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Align the poses of training dances `(frames, 22, 3)` at 30 Hz for `measure_memory`, in float32."""
    return {name: memory.hip_aligned_poses(each, *HIPS).astype(np.float32) for name, each in dances.items()}


def measure_memory(positions: np.ndarray, library: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Measure how near a dance is to the training dances.

    Args:
        positions: `(frames, 22, 3)`, metres, at 30 Hz, at least 2 s.
        library: From `training_poses`.

    Returns:
        The metrics of the family `memory`, from windows of 2 s, one after the other.
    """
    poses = memory.hip_aligned_poses(positions, *HIPS).astype(np.float32)
    nearest = memory.nearest_windows(poses, library, FRAME_RATE, hop_seconds=memory.WINDOW_SECONDS)
    return {
        "nearest_training": float(nearest.distances_mm.mean()),
        "copied": float((nearest.distances_mm < COPY_MILLIMETRES).mean()),
    }
