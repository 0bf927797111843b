import numpy as np
import pytest

from infinitedance.evaluation.metrics.motion_quality import boundary_jumps, frozen_share, stage_radius, upright_share

FRAME_RATE = 30.0


def walking(num_frames: int, metres_per_second: float) -> np.ndarray:
    """Four stiff joints that travel along x."""
    positions = np.zeros((num_frames, 4, 3))
    positions[..., 0] = (np.arange(num_frames) * metres_per_second / FRAME_RATE)[:, None]
    return positions


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


def test_who_stands_still_has_no_seam_unless_he_is_moved_at_it():
    still = np.ones((60, 4, 3))
    assert [ratios.tolist() for ratios in boundary_jumps(still, [20, 40])] == [[0, 0], [0, 0]]
    still[20:] += 1
    assert [ratios.tolist() for ratios in boundary_jumps(still, [20, 40])] == [[np.inf, 0], [np.inf, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frozen_share(np.zeros((30, 4, 3)), 30.0, 1.0), "longer than 1 s = 30 frames, got 30"),
        (lambda: boundary_jumps(np.zeros((20, 4, 3)), [18]), r"must lie in \[3, 17\)"),
        (lambda: boundary_jumps(np.zeros((20, 4, 3)), range(3, 17)), "No frame is left"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
