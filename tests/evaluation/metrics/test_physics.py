import numpy as np
import pytest

from infinitedance.evaluation.metrics.physics import (
    bone_length_variation,
    jitter,
    mean_acceleration,
    mean_joint_speed,
    mean_local_speed,
    root_speed,
)

FRAME_RATE = 30.0


def drifting(velocity: tuple[float, float, float], num_frames: int = 60) -> np.ndarray:
    """Four stiff joints that move at one velocity, in m/s."""
    return np.zeros((1, 4, 3)) + np.arange(num_frames)[:, None, None] * np.array(velocity) / FRAME_RATE


def ball(frame_rate: float, seconds: float = 2.0) -> np.ndarray:
    """Two joints on a path with a jerk of 6 m/s^3 along x and a constant acceleration of 9.81 m/s^2 along -y."""
    times = np.arange(round(seconds * frame_rate)) / frame_rate
    return np.stack([times**3, -9.81 / 2 * times**2, 0 * times], axis=-1)[:, None].repeat(2, axis=1)


def test_a_stiff_walk_has_the_speed_of_the_walk_and_no_local_speed():
    positions = drifting((1.2, 0, 0))
    assert mean_joint_speed(positions, FRAME_RATE) == pytest.approx(1.2)
    assert mean_local_speed(positions, FRAME_RATE, (1, 2)) == pytest.approx(0.0)


def test_a_waving_hand_is_local_speed():
    positions = drifting((1.2, 0, 0))
    positions[:, 3, 1] += np.arange(60) * 0.5 / FRAME_RATE
    assert mean_local_speed(positions, FRAME_RATE, (1, 2)) == pytest.approx(0.5 / 4)


def test_the_root_travels_over_the_floor_and_bounces_for_nothing():
    root = drifting((0.72, 0, 0.96))[:, 0]
    root[:, 1] = np.random.default_rng(0).normal(size=60)
    assert root_speed(root, FRAME_RATE) == pytest.approx(1.2)


@pytest.mark.parametrize("frame_rate", [30.0, 60.0])
def test_a_ball_has_the_jerk_of_its_path_at_any_frame_rate(frame_rate):
    assert jitter(ball(frame_rate), frame_rate) == pytest.approx(6 / 10)


@pytest.mark.parametrize("frame_rate", [30.0, 60.0])
def test_a_falling_ball_has_the_acceleration_of_gravity(frame_rate):
    assert mean_acceleration(ball(frame_rate) * [0, 1, 1], frame_rate) == pytest.approx(9.81)
    assert jitter(ball(frame_rate) * [0, 1, 1], frame_rate) == pytest.approx(0, abs=1e-6)


def test_a_bounce_has_the_mean_acceleration_and_jerk_of_its_sine():
    angular = 2 * np.pi * 2.0  # 2 Hz
    bounce = np.zeros((6000, 1, 3))
    bounce[:, 0, 1] = 0.1 * np.sin(angular * np.arange(6000) / 600 + 0.1)
    assert mean_acceleration(bounce, 600.0) == pytest.approx(0.1 * angular**2 * 2 / np.pi, rel=1e-3)
    assert jitter(bounce, 600.0) == pytest.approx(0.1 * angular**3 * 2 / np.pi / 10, rel=1e-3)


def test_a_frozen_and_a_steady_dancer_have_neither_acceleration_nor_jitter():
    for positions in (np.ones((50, 4, 3)), drifting((0.5, 1.2, 0), 50)):
        assert mean_acceleration(positions, FRAME_RATE) == pytest.approx(0, abs=1e-9)
        assert jitter(positions, FRAME_RATE) == pytest.approx(0, abs=1e-9)
    assert mean_joint_speed(np.ones((50, 4, 3)), FRAME_RATE) == 0


def test_a_bone_that_breathes_by_a_tenth_varies_by_a_tenth_and_turning_does_not_count():
    angle = np.linspace(0, 7, 1000)
    positions = np.zeros((1000, 4, 3))
    positions[:, 1, 1] = 0.4
    positions[:, 2] = positions[:, 1] + 0.5 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    positions[:, 3, 2] = np.where(np.arange(1000) % 2, 0.9, 1.1)
    variation = bone_length_variation(positions, (-1, 0, 1, 0))
    np.testing.assert_allclose(variation, [0, 0, 0.1], atol=1e-9)


def test_a_bone_without_length_does_not_vary():
    assert bone_length_variation(np.zeros((5, 2, 3)), (-1, 0)).tolist() == [0]


HOLED = drifting((1, 0, 0), 9)
HOLED[4:6, 2] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_joint_speed(np.zeros((1, 4, 3)), 30.0), r"frames >= 2, joints, 3\), got \(1, 4, 3\)"),
        (lambda: mean_acceleration(np.zeros((2, 4, 3)), 30.0), "frames >= 3"),
        (lambda: jitter(np.zeros((3, 4, 3)), 30.0), "frames >= 4"),
        (lambda: jitter(np.zeros((9, 12)), 30.0), r"got \(9, 12\)"),
        (lambda: jitter(np.zeros((9, 0, 3)), 30.0), r"got \(9, 0, 3\)"),
        (lambda: jitter(HOLED, 30.0), "must be finite, got NaN or infinity in 2 frames, first in frame 4"),
        (lambda: jitter(np.zeros((9, 4, 3)), -30.0), "`frame_rate` must be positive, in Hz, got -30.0"),
        (lambda: jitter(np.zeros((9, 4, 3)), float("nan")), "`frame_rate` must be positive"),
        (lambda: root_speed(np.zeros((9, 1, 3)), 30.0), r"`root_positions` must have shape \(frames >= 2, 3\)"),
        (lambda: bone_length_variation(np.zeros((9, 4, 3)), (-1, 0, 1)), "parent of each of the 4 joints"),
        (lambda: bone_length_variation(np.zeros((9, 2, 3)), (-1, 2)), "parent of each of the 2 joints"),
        (lambda: bone_length_variation(np.zeros((9, 2, 3)), (-1, -1)), "parent of each of the 2 joints"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
