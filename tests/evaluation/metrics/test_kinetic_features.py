import numpy as np
import pytest

from infinitedance.evaluation.metrics.kinetic_features import kinetic_features

FRAME_RATE = 30.0
MODES = ("compat", "compat_world", "corrected")
GOLDEN_CLIPS = ("synthetic", "random_walk", "static_then_move")


def by_joint(features: np.ndarray) -> np.ndarray:
    """Columns: squared horizontal speed, squared vertical speed, acceleration."""
    return features.reshape(-1, 3)


def turning(radius: float, turns_per_second: float, frame_rate: float = FRAME_RATE, seconds: float = 10.0):
    """A still root and a joint that circles it on a level."""
    angle = 2 * np.pi * turns_per_second * np.arange(round(seconds * frame_rate)) / frame_rate
    positions = np.zeros((len(angle), 2, 3))
    positions[:, 1] = np.stack([radius * np.cos(angle), np.ones_like(angle), radius * np.sin(angle)], axis=-1)
    return positions


def swinging(frame_rate: float) -> np.ndarray:
    """Ten seconds of 22 joints that sway about, none of them faster than 2 Hz."""
    random = np.random.default_rng(3)
    seconds = np.arange(round(10 * frame_rate))[:, None, None] / frame_rate
    hertz, start = random.uniform(0.2, 2, (22, 3)), random.uniform(0, 6, (22, 3))
    return random.normal(size=(22, 3)) + 0.3 * np.sin(2 * np.pi * hertz * seconds + start)


@pytest.mark.shared_data
@pytest.mark.parametrize("clip", GOLDEN_CLIPS)
@pytest.mark.parametrize(("mode", "suffix"), [("compat", ""), ("compat_world", "_on_world_joints")])
def test_compat_equals_the_published_values(golden, clip, mode, suffix):
    features = kinetic_features(golden[f"{clip}_joints"], FRAME_RATE, mode=mode)
    np.testing.assert_allclose(features, golden[f"{clip}_kinetic{suffix}"], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_frames", [3, 4, 6, 60])
def test_the_vectorized_features_equal_the_loop(loops, mode, num_frames):
    clip = loops["walking_clip"](num_frames, seed=1)
    features = kinetic_features(clip, FRAME_RATE, mode=mode)
    np.testing.assert_allclose(features, loops["kinetic_by_loop"](clip, mode), rtol=1e-9)


def test_a_frozen_dancer_has_no_kinetics_but_for_the_published_bracket():
    frozen = np.tile([[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]], (50, 1, 1))
    assert (kinetic_features(frozen, FRAME_RATE, mode="corrected") == 0).all()
    published = by_joint(kinetic_features(frozen, FRAME_RATE))
    assert (published[:, :2] == 0).all()
    assert published[1, 2] == pytest.approx(3540 * np.sqrt(14))


@pytest.mark.parametrize("frame_rate", [24.0, 30.0, 60.0, 120.0])
def test_a_turn_has_the_speed_and_the_acceleration_of_a_circle(frame_rate):
    radius, omega = 0.7, 2 * np.pi * 0.5
    still, horizontal = by_joint(kinetic_features(turning(radius, 0.5, frame_rate), frame_rate, mode="corrected"))
    assert (still == 0).all()
    assert horizontal == pytest.approx([(radius * omega) ** 2, 0, radius * omega**2], rel=0.01)


def test_a_fast_turn_is_damped_as_differences_over_a_thirtieth_of_a_second_are():
    radius, omega = 0.7, 2 * np.pi * 3
    span = omega / 30
    expected = [
        (radius * omega * np.sin(span) / span) ** 2,
        0,
        radius * omega**2 * (np.sin(span / 2) / (span / 2)) ** 2,
    ]
    for frame_rate in (30.0, 60.0):
        features = kinetic_features(turning(radius, 3, frame_rate), frame_rate, mode="corrected")
        assert by_joint(features)[1] == pytest.approx(expected)


def test_a_bounce_is_vertical():
    positions = np.zeros((3000, 1, 3))
    positions[:, 0, 1] = 0.1 * np.sin(2 * np.pi * 0.5 * np.arange(3000) / FRAME_RATE)
    omega = np.pi
    expected = [0, (0.1 * omega) ** 2 / 2, 0.1 * omega**2 * 2 / np.pi]
    assert kinetic_features(positions, FRAME_RATE, mode="corrected") == pytest.approx(expected, rel=0.01)


def test_noise_has_the_speed_and_the_acceleration_of_noise():
    sigma = 0.01
    positions = np.zeros((20_000, 2, 3))
    positions[:, 1] = np.random.default_rng(0).normal(0, sigma, (20_000, 3))
    speed_sigma, acceleration_sigma = sigma * FRAME_RATE / np.sqrt(2), sigma * FRAME_RATE**2 * np.sqrt(6)
    expected = [2 * speed_sigma**2, speed_sigma**2, acceleration_sigma * np.sqrt(8 / np.pi)]
    features = kinetic_features(positions, FRAME_RATE, mode="corrected")
    assert by_joint(features)[1] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("mode", ["compat", "corrected"])
def test_a_stiff_walk_is_kinetics_of_the_root_alone(mode):
    walk = np.tile(np.random.default_rng(0).normal(size=(1, 22, 3)), (60, 1, 1))
    walk[..., 0] += np.arange(60)[:, None] * 1.5 / FRAME_RATE
    features = by_joint(kinetic_features(walk, FRAME_RATE, mode=mode))
    speed = 1.5 * (2 if mode == "compat" else 1)  # 60 frames a second instead of 30
    assert features[0, 0] == pytest.approx(speed**2)
    assert features[1:, :2] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("mode", "is_invariant"), [("compat_world", False), ("corrected", True)])
def test_only_corrected_features_are_the_same_everywhere_on_the_stage(mode, is_invariant):
    dance = swinging(FRAME_RATE)
    cos, sin = np.cos(0.7), np.sin(0.7)
    elsewhere = dance @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + [3.0, 0.5, -2.0]
    here, there = (kinetic_features(clip, FRAME_RATE, mode=mode) for clip in (dance, elsewhere))
    assert np.allclose(here, there, rtol=1e-6) == is_invariant


@pytest.mark.parametrize(("mode", "is_invariant"), [("compat", False), ("corrected", True)])
@pytest.mark.parametrize("frame_rate", [60.0, 120.0])
def test_only_corrected_features_are_the_same_at_each_frame_rate(mode, is_invariant, frame_rate):
    slow, fast = (kinetic_features(swinging(rate), rate, mode=mode) for rate in (FRAME_RATE, frame_rate))
    assert np.allclose(slow, fast, rtol=0.02) == is_invariant


@pytest.mark.parametrize(("mode", "is_cut"), [("compat", True), ("compat_world", True), ("corrected", False)])
def test_the_published_features_end_after_1024_frames(mode, is_cut):
    longer = np.random.default_rng(0).normal(size=(1100, 2, 3))
    features, of_longer = (kinetic_features(clip, FRAME_RATE, mode=mode) for clip in (longer[:1024], longer))
    assert np.array_equal(features, of_longer) == is_cut


def test_single_precision_positions_are_enough():
    dance = swinging(FRAME_RATE).astype(np.float32)
    features = kinetic_features(dance, FRAME_RATE, mode="corrected")
    np.testing.assert_allclose(features, kinetic_features(dance.astype(np.float64), FRAME_RATE, mode="corrected"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"joint_positions": np.zeros((2, 22, 3))}, r"frames >= 3, joints, 3\), got \(2, 22, 3\)"),
        ({"joint_positions": np.zeros((4, 22, 3)), "frame_rate": 60.0, "mode": "corrected"}, "frames >= 5"),
        ({"joint_positions": np.zeros((30, 66))}, r"got \(30, 66\)"),
        ({"joint_positions": np.full((30, 22, 3), np.nan)}, "must be finite"),
        ({"frame_rate": 0.0}, "`frame_rate` must be positive"),
        ({"mode": "right"}, "`mode` must be one of .*corrected.*, got 'right'"),
    ],
)
def test_wrong_inputs_are_refused(arguments, message):
    arguments = {"joint_positions": np.zeros((30, 22, 3)), "frame_rate": FRAME_RATE} | arguments
    with pytest.raises(ValueError, match=message):
        kinetic_features(**arguments)
