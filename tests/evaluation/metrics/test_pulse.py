import numpy as np
import pytest

from infinitedance.evaluation.metrics.beats import alignment
from infinitedance.evaluation.metrics.pulse import (
    bootstrap_interval,
    phase_difference_beats,
    pulse_lock,
    pulse_phase,
    slow_times_seconds,
    speed_curve,
    steady_beat_phase,
)

FRAME_RATE = 30.0


def lock(positions, bpm, cycles_per_beat=1.0):
    speed = speed_curve(positions, FRAME_RATE)
    return pulse_lock(speed, steady_beat_phase(len(speed), FRAME_RATE, bpm), cycles_per_beat)


def test_the_speed_of_a_steady_walk_is_its_speed_at_every_frame():
    positions = np.zeros((10, 3, 3))
    positions[..., 0] = np.arange(10)[:, None] * 0.05
    np.testing.assert_allclose(speed_curve(positions, FRAME_RATE), 1.5)


def test_a_bounce_twice_a_second_locks_to_120_bpm_and_not_to_97(bouncing):
    positions = bouncing(2.0)
    assert lock(positions, 120) > 100
    assert lock(positions, 97) < 0.1


def test_a_pulse_on_every_third_beat_locks_at_a_third_of_a_cycle_and_not_at_a_half(bouncing):
    positions = bouncing(84 / 60 / 3)
    assert lock(positions, 84, 1 / 3) > 100
    assert lock(positions, 84, 1 / 2) < 1


def test_noise_has_a_mean_lock_of_one():
    random = np.random.default_rng(0)
    phase = steady_beat_phase(1200, FRAME_RATE, 90)
    locks = [pulse_lock(random.normal(size=1200), phase, 0.5) for _ in range(200)]
    assert np.mean(locks) == pytest.approx(1.0, abs=0.2)  # each is about exponential: deviation 1 / sqrt(200) = 0.07


def test_a_dance_that_follows_a_change_of_tempo_locks_to_the_changing_beats_only():
    bpm = np.repeat([90.0, 120.0], 900)
    phase = np.cumsum(bpm / 60 / FRAME_RATE)
    speed = 1 + np.cos(2 * np.pi * phase)
    assert pulse_lock(speed, phase, 1.0) > 100
    assert pulse_lock(speed, steady_beat_phase(1800, FRAME_RATE, 105), 1.0) < 1


def test_lock_ignores_how_fast_the_dance_is_and_where_its_beat_begins(bouncing):
    speed = speed_curve(bouncing(1.9), FRAME_RATE) + np.random.default_rng(0).normal(size=1800) * 0.3
    phase = steady_beat_phase(1800, FRAME_RATE, 120)
    assert pulse_lock(5 * speed + 3, phase + 0.3, 1.0) == pytest.approx(pulse_lock(speed, phase, 1.0))


@pytest.mark.parametrize("cycles_per_beat", [1.0, 1 / 2, 1 / 3])
@pytest.mark.parametrize("peak", [0.0, 0.25, 0.9])
def test_phase_is_the_beat_on_which_the_dance_is_fastest(cycles_per_beat, peak):
    phase = steady_beat_phase(2000, FRAME_RATE, 84)
    speed = 1 + np.cos(2 * np.pi * cycles_per_beat * (phase - peak))
    found = pulse_phase(speed, phase, cycles_per_beat)
    assert 0 <= found < 1 / cycles_per_beat
    assert phase_difference_beats(found, peak, cycles_per_beat) == pytest.approx(0, abs=0.02)


def test_phase_differences_take_the_short_way_round():
    assert phase_difference_beats(2.9, 0.1, 1 / 3) == pytest.approx(-0.2)
    assert phase_difference_beats(0.1, 2.9, 1 / 3) == pytest.approx(0.2)
    assert phase_difference_beats(1.6, 0.0, 1 / 2) == pytest.approx(-0.4)


@pytest.mark.parametrize("frame_rate", [30.0, 60.0])
def test_standing_still_on_every_beat_is_perfect_alignment_at_any_frame_rate(bouncing, frame_rate):
    positions = bouncing(2.0, 20.0, frame_rate)
    beats = np.arange(1, 39) * 0.5
    slow_times = slow_times_seconds(positions, frame_rate)
    np.testing.assert_allclose(slow_times[:10], beats[:10], atol=1 / frame_rate)
    assert alignment(slow_times, beats) > 0.98
    late = alignment(slow_times_seconds(bouncing(2.0, 20.0, frame_rate, delay=0.1), frame_rate), beats)
    assert late == pytest.approx(np.exp(-0.5), abs=0.03)


def test_a_dancer_who_never_slows_down_is_aligned_with_nothing():
    positions = np.zeros((60, 2, 3))
    positions[..., 0] = np.arange(60)[:, None] * 0.25
    slow_times = slow_times_seconds(positions, FRAME_RATE)
    assert len(slow_times) == 0 and alignment(slow_times, np.array([0.5, 1.0])) == 0


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error_and_is_reproducible():
    values = np.random.default_rng(0).normal(3.0, 1.0, 400)
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_interval([2.0, 2.0]) == (2.0, 2.0)


FLAT, RISING = np.ones(600), np.arange(600) / 20


@pytest.mark.parametrize(
    ("speed", "beat_phase", "cycles_per_beat", "message"),
    [
        (FLAT, RISING, 1.0, "never moves"),
        (np.full(600, np.nan), RISING, 1.0, "must be finite"),
        (RISING, RISING[:-1], 1.0, "must both have shape"),
        (RISING[None], RISING[None], 1.0, "must both have shape"),
        (RISING, RISING[::-1], 1.0, "must rise"),
        (RISING, RISING, 0.0, "must be positive"),
        (RISING, RISING, 0.25, "at least 8 cycles of the pulse, got 7.5"),
    ],
)
def test_curves_without_a_measurable_pulse_are_refused(speed, beat_phase, cycles_per_beat, message):
    for measure in (pulse_lock, pulse_phase):
        with pytest.raises(ValueError, match=message):
            measure(speed, beat_phase, cycles_per_beat)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speed_curve(np.zeros((1, 4, 3)), 30.0), r"frames >= 2, joints, 3\), got \(1, 4, 3\)"),
        (lambda: speed_curve(np.zeros((5, 12)), 30.0), "frames >= 2"),
        (lambda: bootstrap_interval([]), "one or more finite numbers"),
        (lambda: bootstrap_interval([1.0, np.nan]), "one or more finite numbers"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
