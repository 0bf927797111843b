import numpy as np
import pytest

from infinitedance.evaluation.motion_quality import (
    boundary_jumps,
    code_ngrams,
    copied_ngram_share,
    distinct_ngram_share,
    floor_float_mm,
    floor_penetration_mm,
    foot_slide_mm,
    frozen_share,
    known_ngrams,
    mean_joint_speed,
    mean_local_speed,
    stage_radius,
    upright_share,
)

FRAME_RATE = 30.0
TOUCHING = np.ones((10, 1), bool)


def walking(num_frames: int, metres_per_second: float) -> np.ndarray:
    """Four stiff joints that travel along x."""
    positions = np.zeros((num_frames, 4, 3))
    positions[..., 0] = (np.arange(num_frames) * metres_per_second / FRAME_RATE)[:, None]
    return positions


def sliding(step: tuple[float, float, float]) -> np.ndarray:
    """One foot that moves by the same step in each of 10 frames."""
    return np.arange(10)[:, None, None] * np.array(step)


def test_a_stiff_walk_has_the_speed_of_the_walk_and_no_local_speed():
    positions = walking(60, 1.2)
    assert mean_joint_speed(positions, FRAME_RATE) == pytest.approx(1.2)
    assert mean_local_speed(positions, FRAME_RATE, (1, 2)) == pytest.approx(0.0)


def test_a_waving_hand_is_local_speed():
    positions = walking(60, 1.2)
    positions[:, 3, 1] += np.arange(60) * 0.5 / FRAME_RATE
    assert mean_local_speed(positions, FRAME_RATE, (1, 2)) == pytest.approx(0.5 / 4)


def test_a_dancer_who_stops_for_half_the_time_is_frozen_half_the_time():
    positions = np.concatenate([walking(151, 1.0), np.repeat(walking(151, 1.0)[-1:], 150, axis=0)])
    assert frozen_share(positions, FRAME_RATE, reference_speed=1.0) == 0.5
    assert frozen_share(np.zeros((90, 4, 3)), FRAME_RATE, reference_speed=1.0) == 1


@pytest.mark.parametrize(("speed", "expected"), [(0.24, 1.0), (0.26, 0.0)])
def test_frozen_begins_at_a_quarter_of_the_reference_speed(speed, expected):
    assert frozen_share(walking(121, speed), FRAME_RATE, reference_speed=1.0) == expected


def test_the_radius_of_a_circle_is_the_stage_and_height_does_not_count():
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    circle = np.stack([5 + 2 * np.sin(angle), 10 * angle, 2 * np.cos(angle)], axis=-1)
    assert stage_radius(circle) == pytest.approx(2.0)


def test_a_dancer_who_lies_down_for_a_quarter_of_the_time_is_upright_for_the_rest():
    positions = np.zeros((80, 4, 3))
    positions[:60, 3, 1] = 0.6
    positions[60:, 3, 1] = 0.29
    assert upright_share(positions, head_joint=3, pelvis_joint=0) == 0.75


def test_a_foot_on_the_floor_neither_sinks_nor_floats():
    feet = np.full((10, 1, 3), 0.02)
    assert floor_penetration_mm(feet, np.array([0.02])) == 0
    assert floor_float_mm(feet, np.array([0.02]), TOUCHING) == 0


def test_penetration_is_of_the_lower_foot_and_a_mean_over_all_frames():
    feet = np.zeros((10, 2, 3))
    feet[:, 0, 1] = 0.5
    feet[:5, 1, 1] = -0.008
    assert floor_penetration_mm(feet, np.zeros(2)) == pytest.approx(4.0)


def test_a_dancer_who_claims_contact_in_the_air_floats_and_one_who_jumps_does_not():
    feet = np.full((10, 1, 3), 0.05)
    assert floor_float_mm(feet, np.array([0.02]), TOUCHING) == pytest.approx(30.0)
    assert floor_float_mm(feet, np.array([0.02]), ~TOUCHING) == 0


def test_a_planted_foot_has_no_slide():
    assert foot_slide_mm(sliding((0, 0, 0)), TOUCHING) == 0


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1)])
def test_a_diagonal_slide_counts_in_full(signs):
    diagonal = 0.07 / np.sqrt(2)
    slide = foot_slide_mm(sliding((signs[0] * diagonal, 0, signs[1] * diagonal)), TOUCHING)
    assert slide == pytest.approx(70.0)


def test_a_foot_that_rises_or_flies_does_not_slide():
    assert foot_slide_mm(sliding((0, 0.07, 0)), TOUCHING) == 0
    lands = TOUCHING.copy()
    lands[:5] = False
    steps = np.concatenate([sliding((0.07, 0, 0))[:6], np.repeat(sliding((0.07, 0, 0))[5:6], 4, axis=0)])
    assert foot_slide_mm(steps, lands) == 0
    assert np.isnan(foot_slide_mm(steps, ~TOUCHING))


def test_a_cut_between_two_dances_is_a_jump_and_a_smooth_dance_has_none():
    smooth = np.sin(np.arange(300) / 20)[:, None, None] * np.ones((1, 4, 3))
    boundaries = [64, 128, 192, 256]
    velocity, acceleration = boundary_jumps(smooth, boundaries)
    assert velocity.shape == acceleration.shape == (4,)
    assert velocity.max() < 1.01 and acceleration.max() < 1.01
    cut = smooth.copy()
    cut[128:] += 0.1
    velocity, acceleration = boundary_jumps(cut, boundaries)
    assert velocity[1] > 10 and acceleration[1] > 10
    assert velocity[[0, 2, 3]].max() < 1.01


def test_a_jump_is_seen_at_its_own_boundary_and_not_at_one_three_frames_away():
    cut = np.random.default_rng(0).normal(size=(200, 4, 3)) * 1e-3
    cut[100:] += 1.0
    assert [boundary_jumps(cut, [frame])[0][0] > 10 for frame in (97, 100, 103)] == [False, True, False]


def test_one_frame_in_twenty_of_an_even_dance_is_above_one():
    noise = np.random.default_rng(0).normal(size=(4000, 1, 3))
    velocity, acceleration = boundary_jumps(noise, range(10, 3990, 8))
    assert (velocity > 1).mean() == pytest.approx(0.05, abs=0.03)
    assert (acceleration > 1).mean() == pytest.approx(0.05, abs=0.03)


def test_no_boundary_has_no_jump():
    assert boundary_jumps(walking(60, 1.0), [])[0].shape == (0,)


def test_a_loop_has_few_distinct_runs_and_a_count_none_twice():
    loop = np.tile(np.arange(5), 21)[None, :103]
    assert distinct_ngram_share(loop, 4) == 5 / 100
    assert distinct_ngram_share(np.arange(50)[None], 4) == 1
    assert distinct_ngram_share(np.zeros((3, 23), int), 4) == 1 / 20


def test_runs_hold_all_levels():
    codes = np.array([[1, 2, 3], [4, 5, 6]])
    assert code_ngrams(codes, 2).tolist() == [[1, 2, 4, 5], [2, 3, 5, 6]]


@pytest.mark.parametrize("length", [8, 16])
def test_an_exact_repeat_is_copied_and_a_change_at_one_level_is_not(length):
    random = np.random.default_rng(0)
    training = [random.integers(512, size=(3, 200)) for _ in range(2)]
    known = known_ngrams(training, length)
    assert copied_ngram_share(training[1][:, 50:100], known, length) == 1
    changed = training[1][:, 50:100].copy()
    changed[2, ::8] += 1
    assert copied_ngram_share(changed, known, length) == 0
    half = np.concatenate([training[0][:, :50], random.integers(512, size=(3, 50))], axis=1)
    assert copied_ngram_share(half, known, length) == (51 - length) / (101 - length)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_joint_speed(np.zeros((1, 4, 3)), 30.0), "frames >= 2"),
        (lambda: frozen_share(np.zeros((30, 4, 3)), 30.0, 1.0), "longer than 1 s = 30 frames, got 30"),
        (lambda: foot_slide_mm(np.zeros((10, 2, 3)), TOUCHING), r"shape \(10, 2\) for these feet, got \(10, 1\)"),
        (lambda: boundary_jumps(np.zeros((20, 4, 3)), [18]), r"must lie in \[3, 17\)"),
        (lambda: boundary_jumps(np.zeros((20, 4, 3)), range(3, 17)), "No frame is left"),
        (lambda: code_ngrams(np.zeros(5, int), 2), r"shape \(levels, tokens\), got \(5,\)"),
        (lambda: distinct_ngram_share(np.zeros((1, 3), int), 4), "at least 4 tokens, got 3"),
        (lambda: copied_ngram_share(np.zeros((3, 7), int), set(), 8), "at least 8 tokens, got 7"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
