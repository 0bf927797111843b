import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from infinitedance.evaluation.metrics.reconstruction import (
    acceleration_error,
    fit_similarity,
    mpjpe_mm,
    pa_mpjpe_mm,
    rotation_error_degrees,
    rte_percent,
    w_mpjpe_mm,
    wa_mpjpe_mm,
)

FRAME_RATE = 30.0
TURN = Rotation.from_euler("xyz", [20, -35, 110], degrees=True).as_matrix()


@pytest.fixture
def dance() -> np.ndarray:
    """Fifteen joints on smooth random paths over 250 frames."""
    random = np.random.default_rng(0)
    angle = np.arange(250)[:, None, None] / 20 * random.uniform(0.5, 1.5, (1, 15, 3))
    return random.normal(size=(1, 15, 3)) + 0.3 * np.sin(angle + random.uniform(0, 6, (1, 15, 3)))


def rotations(degrees: np.ndarray, axis: tuple[float, float, float] = (0, 1, 0)) -> np.ndarray:
    return (
        Rotation.from_rotvec(np.radians(degrees)[..., None].reshape(-1, 1) * axis)
        .as_matrix()
        .reshape(*np.shape(degrees), 3, 3)
    )


def test_a_known_similarity_is_found_and_leaves_no_error(dance):
    moved = 1.7 * dance @ TURN.T + [3, -1, 2]
    found = fit_similarity(moved, dance)
    np.testing.assert_allclose(found.scale, 1 / 1.7)
    np.testing.assert_allclose(found.rotation, np.broadcast_to(TURN.T, (250, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(found.apply(moved), dance, atol=1e-9)
    for measure in (pa_mpjpe_mm, wa_mpjpe_mm, w_mpjpe_mm):
        assert measure(moved, dance) == pytest.approx(0, abs=1e-6)
    assert mpjpe_mm(moved, dance) > 500


def test_each_frame_has_its_own_similarity_in_pa_mpjpe_only(dance):
    half_turned = dance.copy()
    half_turned[125:] = 0.8 * half_turned[125:] @ TURN.T
    assert pa_mpjpe_mm(half_turned, dance) == pytest.approx(0, abs=1e-6)
    assert wa_mpjpe_mm(half_turned, dance) > 50


def test_a_mirrored_dance_is_not_turned_into_the_true_one(dance):
    mirrored = dance * [-1, 1, 1]
    assert pa_mpjpe_mm(mirrored, dance) > 50
    np.testing.assert_allclose(np.linalg.det(fit_similarity(mirrored, dance).rotation), 1)


def test_flat_poses_are_aligned_by_a_proper_rotation(dance):
    flat = dance * [1, 1, 0]
    moved = 0.5 * flat @ TURN.T + 1
    found = fit_similarity(moved, flat)
    np.testing.assert_allclose(np.linalg.det(found.rotation), 1)
    np.testing.assert_allclose(found.apply(moved), flat, atol=1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_the_fit_is_the_best_of_all_similarities(dance, side):
    random = np.random.default_rng(1)
    source = dance[0] * [side, 1, 1] @ TURN.T + 0.1 * random.normal(size=(15, 3))
    fitted = ((fit_similarity(source, dance[0]).apply(source) - dance[0]) ** 2).sum()
    for _ in range(200):
        nearby = source @ Rotation.from_rotvec(0.05 * random.normal(size=3)).as_matrix()
        nearby = nearby * random.normal(1, 0.03) + 0.01 * random.normal(size=3)
        moved = fit_similarity(source, dance[0]).apply(nearby)
        assert ((moved - dance[0]) ** 2).sum() >= fitted


def test_a_rigid_fit_keeps_the_scale(dance):
    found = fit_similarity(2 * dance, dance, with_scale=False)
    np.testing.assert_array_equal(found.scale, 1)
    assert fit_similarity(np.ones((4, 3)), dance[0, :4]).scale == 1


def test_a_constant_offset_is_no_error_of_the_pose_but_one_in_the_world(dance):
    offset = dance + [0.03, 0, 0.04]
    assert mpjpe_mm(offset, dance) == pytest.approx(0, abs=1e-9)
    assert mpjpe_mm(offset, dance, (1, 2)) == pytest.approx(0, abs=1e-9)
    assert mpjpe_mm(offset, dance, None) == pytest.approx(50)
    assert acceleration_error(offset, dance, FRAME_RATE) == pytest.approx(0, abs=1e-9)
    assert rte_percent(offset[:, 0], dance[:, 0]) == pytest.approx(0, abs=1e-9)


def test_an_error_of_the_root_joint_is_an_error_of_all_others(dance):
    predicted = dance.copy()
    predicted[:, 0] += [0, 0.03, 0]
    assert mpjpe_mm(predicted, dance, (0,)) == pytest.approx(30 * 14 / 15)
    assert mpjpe_mm(predicted, dance, (1, 2)) == pytest.approx(30 / 15)


def test_drift_within_a_chunk_counts_less_after_alignment_of_the_whole_than_of_its_start(dance):
    still = np.repeat(dance[:1], 200, axis=0)
    drifting = still + np.arange(200)[:, None, None] * [0.01, 0, 0]
    start = w_mpjpe_mm(drifting, still)
    # Aligned at frames 0 and 1, each chunk of 100 drifts from -5 mm to 985 mm.
    assert start == pytest.approx(np.abs(np.arange(100) * 10 - 5).mean(), rel=0.01)
    assert wa_mpjpe_mm(drifting, still) < 0.6 * start
    assert w_mpjpe_mm(drifting, still, chunk_frames=10) == pytest.approx(
        np.abs(np.arange(10) * 10 - 5).mean(), rel=0.01
    )


def test_chunks_are_aligned_one_by_one_and_the_last_may_be_short(dance):
    jumps = dance + np.repeat([0.0, 5.0, 9.0], 100)[:250, None, None]
    assert wa_mpjpe_mm(jumps, dance) == pytest.approx(0, abs=1e-6)
    assert w_mpjpe_mm(jumps, dance) == pytest.approx(0, abs=1e-6)
    assert wa_mpjpe_mm(jumps, dance, chunk_frames=60) > 100


def test_rte_is_the_mean_distance_over_the_length_of_the_true_path():
    path = np.zeros((101, 3))
    path[:, 0] = np.arange(101) * 0.1
    predicted = path @ TURN.T + 5
    assert rte_percent(predicted, path) == pytest.approx(0, abs=1e-6)
    longer = 1.2 * path  # no scale: 2 m too long, up to 1 m at both ends, 0.5 m in the mean
    assert rte_percent(longer, path) == pytest.approx(5, rel=0.02)
    assert np.isnan(rte_percent(path, np.ones((101, 3))))


def test_the_acceleration_error_is_in_metres_per_second_squared():
    times = np.arange(60)[:, None, None] / FRAME_RATE
    falling = np.zeros((60, 3, 3)) + [0, -0.5, 0] * times**2 * 9.81
    assert acceleration_error(falling, np.zeros((60, 3, 3)), FRAME_RATE) == pytest.approx(9.81)


@pytest.mark.parametrize("degrees", [0.001, 10.0, 179.99])
def test_a_rotation_by_an_angle_is_an_error_of_that_angle(degrees):
    random = Rotation.random(24, random_state=0).as_matrix().reshape(6, 4, 3, 3)
    turned = random @ rotations(np.full((6, 4), degrees), (0.6, 0, 0.8))
    assert rotation_error_degrees(turned, random) == pytest.approx(degrees, rel=1e-6)
    assert rotation_error_degrees(random, random) == pytest.approx(0, abs=1e-5)


def test_an_error_at_the_root_counts_once():
    true = Rotation.random(20, random_state=1).as_matrix().reshape(5, 4, 3, 3)
    predicted = true.copy()
    predicted[:, 0] = rotations(np.full(5, 10.0)) @ predicted[:, 0]
    assert rotation_error_degrees(predicted, true) == pytest.approx(10 / 4)


CLIP, EYES = np.zeros((5, 4, 3)), np.broadcast_to(np.eye(3), (5, 4, 3, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mpjpe_mm(CLIP, CLIP[:3]), r"same shape, got \(5, 4, 3\) and \(3, 4, 3\)"),
        (lambda: mpjpe_mm(CLIP[0], CLIP[0]), r"`predicted` must have shape \(frames >= 1, joints, 3\)"),
        (lambda: mpjpe_mm(CLIP, CLIP + np.nan), "`true` must be finite"),
        (lambda: mpjpe_mm(CLIP, CLIP, (4,)), r"some of the 4 joints, got \(4,\)"),
        (lambda: mpjpe_mm(CLIP, CLIP, ()), "some of the 4 joints"),
        (lambda: wa_mpjpe_mm(CLIP, CLIP, chunk_frames=1), "at least 2, got 1"),
        (lambda: acceleration_error(CLIP[:2], CLIP[:2], 30.0), "frames >= 3"),
        (lambda: acceleration_error(CLIP, CLIP, 0), "`frame_rate` must be positive"),
        (lambda: rte_percent(CLIP, CLIP), r"`predicted_root` must have shape \(frames >= 2, 3\)"),
        (lambda: rotation_error_degrees(EYES, EYES[:3]), "same shape"),
        (lambda: rotation_error_degrees(CLIP, CLIP), r"shape \(..., 3, 3\), got \(5, 4, 3\)"),
        (lambda: rotation_error_degrees(EYES, 2 * EYES), "proper rotation matrices"),
        (lambda: rotation_error_degrees(-EYES, EYES), "proper rotation matrices"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
