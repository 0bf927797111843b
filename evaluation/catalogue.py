"""The metrics of one dance: their names, units, and what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "real"]


@dataclass(frozen=True)
class Metric:
    """A number of one dance.

    Args:
        key: Its name in JSON.
        label: Its name for people.
        family: A key of `evaluation.report.FAMILIES`.
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
        "tempo_same", "tempo agrees, the song's own", "music", "", "real",
        "the same at the song's tempo alone",
    ),
    Metric(
        "tempo_half_double", "tempo agrees, half or double", "music", "", "real",
        "the same at half and at twice the song's tempo alone",
    ),
    Metric(
        "tempo_agrees_wrong_song", "tempo agrees, wrong song", "music", "", "lower",
        "the same with songs of another tempo: what chance gives",
    ),
    Metric(
        "alignment_music", "beat alignment over music beats", "music", "", "higher",
        "nearness of each music beat to a motion beat, sigma 100 ms; by chance 0.25 times the motion beats a second",
    ),
    Metric(
        "alignment_music_excess", "beat alignment over music beats, beyond chance", "music", "", "higher",
        "minus that of other songs of the same density, shifted",
    ),
    Metric(
        "alignment_motion", "beat alignment over motion beats", "music", "", "higher",
        "nearness of each motion beat to a music beat, sigma 100 ms",
    ),
    Metric(
        "alignment_motion_excess", "beat alignment over motion beats, beyond chance", "music", "", "higher",
        "minus that of other songs of the same density, shifted",
    ),
    Metric(
        "alignment_published", "beat alignment as published, over music beats", "music", "", "higher",
        "InfiniteDance's and Bailando's: smoothing of 5 frames, sigma of 3 frames, at 30 Hz",
    ),
    Metric(
        "alignment_published_motion", "beat alignment as published, over motion beats", "music", "", "higher",
        "FACT's: the same, averaged over motion beats",
    ),
    Metric("beat_precision", "beat precision", "music", "", "higher", "share of motion beats within 70 ms of a beat"),
    Metric("beat_recall", "beat recall", "music", "", "higher", "share of music beats within 70 ms of a motion beat"),
    Metric("beat_f1", "beat F1", "music", "", "higher", "harmonic mean of precision and recall"),
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
    Metric(
        "skating_heel", "skating of heels", "feet", "", "lower",
        "MOJO's and SAGA's: share of steps with a low ankle above 75 mm/s",
    ),
    Metric(
        "rest_height", "rest height", "feet", "mm", "real",
        "of the joint of the feet that rests lowest, over y = 0: shows a dance that hovers; differs by skeleton",
    ),
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
    Metric(
        "longest_copied", "longest copied stretch", "memory", "s", "real",
        "windows of 2 s, one after the other, within 20 mm of any training clip",
    ),
    Metric(
        "join_velocity", "jump of velocity at joins", "joins", "", "lower",
        "over the 95th percentile elsewhere in the dance; reference: at the same times, where it has no joins",
    ),
    Metric("join_acceleration", "jump of acceleration at joins", "joins", "", "lower", "likewise"),
    Metric("mpjpe", "MPJPE", "reconstruction", "mm", "lower", "distance of the joints, the pelvis on the true one"),
    Metric("pa_mpjpe", "PA-MPJPE", "reconstruction", "mm", "lower", "after a similarity for each frame"),
    Metric("wa_mpjpe", "WA-MPJPE", "reconstruction", "mm", "lower", "after one similarity for each 100 frames"),
    Metric("w_mpjpe", "W-MPJPE", "reconstruction", "mm", "lower", "the same, fitted to the first 2 frames only"),
    Metric(
        "rte", "RTE", "reconstruction", "%", "lower", "distance of the path of the root, aligned, over its length"
    ),
    Metric("acceleration_error", "acceleration error", "reconstruction", "m/s²", "lower", "of all joints"),
    Metric(
        "rotation_error", "rotation error", "reconstruction", "degrees", "lower",
        "of all joints, each against its parent; of files with rotations only",
    ),
)  # fmt: skip
METRIC: dict[str, Metric] = {metric.key: metric for metric in METRICS}
