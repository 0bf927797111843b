import json
from dataclasses import replace

import numpy as np
import pytest

from infinitedance.audio.beats import BeatClock
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.dataset_builder.quality_gates import (
    Gate,
    QualityGates,
    measure_motion,
    measure_music_fit,
    music_offset_seconds,
)


@pytest.fixture(scope="module")
def dance():
    return synthesize_dance("waltz", 90, 24.0, seed=0)


def moved(motion, offset):
    """Shift the root by `(frames, 3)`, in metres."""
    return replace(motion, root_positions=motion.root_positions + offset, foot_contacts=None)


def judged(motion, source_positions=None):
    verdict = QualityGates().judge(measure_motion(motion, source_positions))
    return {reason.split(" ")[0] for reason in verdict.reasons} | set(verdict.flags)


def test_a_clean_dance_passes_every_gate(dance):
    measures = measure_motion(dance, dance.joint_positions())
    assert judged(dance) == set()
    assert measures["bone_length_variation"] < 1e-5 and measures["freeze_seconds"] < 0.2


def test_a_teleport_is_found(dance):
    offset = np.zeros((dance.num_frames, 3))
    offset[300:, 0] = 2.0
    jumped = moved(dance, offset)
    assert {"peak_root_speed", "peak_joint_speed"} <= judged(jumped)
    assert measure_motion(jumped)["peak_root_speed"] == pytest.approx(60, rel=0.05)


def test_a_limb_that_jumps_for_one_frame_is_found(dance):
    rotations = dance.joint_rotations.copy()
    rotations[100, 16] = [0, 0, 0, 1]  # the left shoulder, by half a turn
    assert "peak_joint_speed" in judged(replace(dance, joint_rotations=rotations))


def test_frozen_frames_are_counted_in_seconds(dance):
    frames = np.concatenate([np.arange(200), np.full(90, 199), np.arange(200, 400)])
    frozen = replace(
        dance,
        root_positions=dance.root_positions[frames],
        joint_rotations=dance.joint_rotations[frames],
        foot_contacts=None,
    )
    assert measure_motion(frozen)["freeze_seconds"] == pytest.approx(3.0, abs=0.05)
    assert "freeze_seconds" in judged(frozen)


def test_sliding_feet_are_found(dance):
    offset = np.zeros((dance.num_frames, 3))
    offset[:, 0] = np.arange(dance.num_frames) / 30  # 1 m/s
    assert measure_motion(moved(dance, offset))["foot_skating"] > 0.9
    assert "foot_skating" in judged(moved(dance, offset))


def test_noise_is_jitter(dance):
    noise = np.random.default_rng(0).normal(scale=0.01, size=(dance.num_frames, 3))
    assert "jitter" in judged(moved(dance, noise))


def test_a_body_in_the_floor_and_a_tilted_floor_are_found(dance):
    sunk = moved(dance, np.array([0, -0.1, 0]))
    assert measure_motion(sunk)["floor_penetration_mm"] == pytest.approx(100, abs=10)
    ramp = np.zeros((dance.num_frames, 3))
    ramp[:, 1] = np.linspace(0, 0.5, dance.num_frames)
    assert "floor_drift_mm" in judged(moved(dance, ramp)) and "floor_drift_mm" not in judged(sunk)


def test_bones_that_stretch_are_found_in_the_positions_of_the_source(dance):
    positions = dance.joint_positions()
    positions[::2, 21] += 0.2 * (positions[::2, 21] - positions[::2, 19])
    measures = measure_motion(dance, positions)
    assert measures["bone_length_variation"] == pytest.approx(0.1 / 1.1, rel=0.01)
    assert "bone_length_variation" not in measure_motion(dance)
    positions[::2, 21] += 1.0 * (positions[::2, 21] - positions[::2, 19])
    assert "bone_length_variation" in judged(dance, positions)


def test_a_clip_that_is_too_short_is_rejected_without_a_crash(dance):
    for frames in (1, 2, 5):
        assert judged(dance.cut(0, frames)) == {"duration_seconds"}


@pytest.mark.parametrize("late_seconds", [-0.2, -0.05, 0.0, 0.12, 0.25])
def test_the_offset_between_dance_and_music_is_estimated(dance, late_seconds):
    on_time = music_offset_seconds(dance.joint_positions(), 30, BeatClock.steady(90, 24.0))
    beats = BeatClock.steady(90, 24.0)
    early_music = replace(beats, beat_times_seconds=beats.beat_times_seconds - late_seconds)
    offset = music_offset_seconds(dance.joint_positions(), 30, early_music)
    difference = (offset - on_time - late_seconds + 1 / 3) % (2 / 3) - 1 / 3
    assert difference == pytest.approx(0, abs=0.01)


def test_no_offset_is_given_for_a_dance_to_another_tempo(dance):
    assert music_offset_seconds(dance.joint_positions(), 30, BeatClock.steady(101, 24.0)) is None


def test_music_that_ends_before_the_dance_is_measured(dance):
    measures = measure_music_fit(dance, BeatClock.steady(90, 24.0), 21.5)
    assert measures["music_shortfall_seconds"] == pytest.approx(2.5)
    assert measure_music_fit(dance, BeatClock.steady(90, 24.0), 30.0)["music_shortfall_seconds"] == 0


def test_a_gate_rejects_flags_or_only_measures():
    measures = {"jitter": 50.0}
    for action, reasons, flags in (
        ("reject", ("jitter 50 is above 40",), ()),
        ("flag", (), ("jitter",)),
        ("off", (), ()),
    ):
        verdict = QualityGates(jitter=Gate(40.0, action)).judge(measures)
        assert (verdict.reasons, verdict.flags) == (reasons, flags)


def test_a_measure_at_the_limit_or_missing_passes():
    assert QualityGates(jitter=Gate(40.0)).judge({"jitter": 40.0, "foot_skating": None}).reasons == ()


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_gates_are_read_from_a_file(tmp_path, suffix):
    path = tmp_path / f"gates{suffix}"
    path.write_text(json.dumps({"jitter": {"limit": 40, "action": "reject"}, "foot_skating": {"action": "off"}}))
    gates = QualityGates.from_file(path)
    assert gates.jitter == Gate(40, "reject") and gates.foot_skating == Gate(QualityGates().foot_skating.limit, "off")
    assert gates.freeze_seconds == QualityGates().freeze_seconds
    assert QualityGates.from_mapping(gates.to_mapping()) == gates


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"jiter": {"limit": 3}}', "got 'jiter'"),
        ('{"jitter": 3}', "must be a mapping with `limit`"),
        ('{"jitter": {"limit": "3"}}', "jitter: The limit of a gate must be a finite number, got '3'"),
        ('{"jitter": {"limit": NaN}}', "finite number, got nan"),
        ('{"jitter": {"action": "warn"}}', "one of reject, flag, off, got 'warn'"),
        ("[1]", "must hold a mapping"),
        ("{", "gates.json cannot be read"),
    ],
)
def test_a_wrong_file_of_gates_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "gates.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        QualityGates.from_file(path)


def test_a_missing_file_of_gates_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gates\.yaml"):
        QualityGates.from_file(tmp_path / "gates.yaml")
