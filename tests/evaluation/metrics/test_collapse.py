import numpy as np
import pytest

from infinitedance.evaluation.metrics.collapse import code_perplexity, longest_run, loop_share, still_share

FRAME_RATE = 30.0


def wandering(seconds: float, seed: int = 0) -> np.ndarray:
    """Four joints that never come back: sums of sines whose periods have no common multiple in the clip."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * FRAME_RATE))[:, None, None, None] / FRAME_RATE
    rates, phases = random.uniform(1, 6, (1, 4, 3, 5)), random.uniform(0, 6, (1, 4, 3, 5))
    return 0.1 * np.sin(rates * times + phases).sum(axis=-1)


def test_a_statue_is_frozen_all_the_time_and_a_dancer_never():
    assert still_share(np.ones((90, 4, 3)), FRAME_RATE) == 1
    assert still_share(wandering(10), FRAME_RATE) == 0


def test_a_stop_of_three_seconds_is_found_and_one_of_half_a_second_is_none():
    motion = wandering(20)
    stopped = np.concatenate([motion[:150], np.repeat(motion[149:150], 90, axis=0), motion[150:360]])
    assert still_share(stopped, FRAME_RATE) == pytest.approx(90 / 450, abs=0.02)
    short = np.concatenate([motion[:150], np.repeat(motion[149:150], 15, axis=0), motion[150:360]])
    assert still_share(short, FRAME_RATE) == 0


@pytest.mark.parametrize(("noise_metres", "share"), [(0.005, 1.0), (0.007, 0.0)])
def test_a_trembling_statue_is_frozen_up_to_1_cm(noise_metres, share):
    trembling = np.random.default_rng(0).normal(0, noise_metres, (300, 200, 3))  # sqrt(3) times as much in space
    assert still_share(trembling, FRAME_RATE) == share


def test_a_loop_is_all_loop_at_its_period_and_a_dance_that_never_returns_is_none():
    loop = np.tile(wandering(1.4), (12, 1, 1))
    assert loop_share(loop, FRAME_RATE) == pytest.approx(1, abs=0.1)
    assert loop_share(loop, FRAME_RATE, max_period_seconds=1.3) < 0.2
    assert loop_share(wandering(17), FRAME_RATE) < 0.2


def test_a_dance_that_loops_in_its_second_half_is_half_a_loop():
    half = np.concatenate([wandering(16.8, seed=1), np.tile(wandering(1.4), (12, 1, 1))])
    assert loop_share(half, FRAME_RATE) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("variation", "low", "high"), [(0.1, 0.95, 1.05), (0.5, 0, 0.1)])
def test_a_loop_is_found_in_slightly_varied_repeats_and_not_in_free_ones(variation, low, high):
    varied = np.tile(wandering(2.0), (10, 1, 1)) + variation * wandering(20, seed=5)
    assert low <= loop_share(varied, FRAME_RATE) <= high


def test_standing_still_is_no_loop():
    assert loop_share(np.ones((300, 4, 3)), FRAME_RATE) == 0
    trembling = np.random.default_rng(0).normal(0, 0.002, (300, 4, 3))
    assert loop_share(trembling, FRAME_RATE) < 0.05
    motion = wandering(20)
    paused = np.concatenate([motion[:300], np.repeat(motion[299:300], 200, axis=0)])
    assert loop_share(paused, FRAME_RATE) < 0.2


@pytest.mark.parametrize(
    ("holds", "length"), [([], 0), ([0, 0], 0), ([1], 1), ([1, 1, 0, 1], 2), ([0, 1, 0, 1, 1, 1], 3)]
)
def test_the_longest_run_may_lie_anywhere(holds, length):
    assert longest_run(np.array(holds, bool)) == length


def test_perplexity_counts_codes_used_alike():
    codes = np.stack([np.zeros(40, int), np.arange(40) % 4, np.arange(40)])
    np.testing.assert_allclose(code_perplexity(codes), [1, 4, 40])
    assert 1 < code_perplexity(np.array([[0] * 9 + [1]]))[0] < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: still_share(np.zeros((20, 4, 3)), 30.0), "one window of 30 >= 2 frames long, got 20"),
        (lambda: still_share(np.zeros((20, 4, 3)), 30.0, window_seconds=0.01), "window of 0 >= 2 frames"),
        (lambda: still_share(np.zeros((60, 4, 2)), 30.0), r"got \(60, 4, 2\)"),
        (lambda: loop_share(np.zeros((3, 4, 3)), 30.0), "frames >= 4"),
        (lambda: loop_share(np.full((9, 4, 3), np.nan), 30.0), "must be finite"),
        (lambda: loop_share(np.zeros((9, 4, 3)), 0.0), "`frame_rate` must be positive"),
        (lambda: code_perplexity(np.zeros((3, 0), int)), r"tokens >= 1\), got \(3, 0\)"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
