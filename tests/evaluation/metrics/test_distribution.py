import itertools

import numpy as np
import pytest

from infinitedance.evaluation.metrics.distribution import (
    FrechetFloor,
    FrechetResult,
    bootstrap_frechet_interval,
    frechet_distance,
    frechet_floor,
    mean_pairwise_distance,
    measure_frechet,
    normalize_by_reference,
)


def gaussian(num_clips: int, num_features: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, (num_clips, num_features))


def with_moments(mean: np.ndarray, covariance: np.ndarray, num_clips: int = 50, seed: int = 0) -> np.ndarray:
    """A set whose mean and (unbiased) covariance are exactly these."""
    noise = gaussian(num_clips, len(mean), seed)
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise, rowvar=False))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def published_frechet(features: np.ndarray, other: np.ndarray) -> float:
    """The printed formula, with the eigenvalues of the product of the covariances."""
    covariance, other_covariance = np.cov(features, rowvar=False), np.cov(other, rowvar=False)
    eigenvalues = np.linalg.eigvals(covariance @ other_covariance).astype(complex)
    overlap = np.sqrt(eigenvalues).sum().real
    difference = features.mean(axis=0) - other.mean(axis=0)
    return float(difference @ difference + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap)


@pytest.mark.shared_data
@pytest.mark.parametrize("kind", ["k", "m"])
def test_distance_and_diversity_equal_the_published_values(golden, kind):
    generated, reference = normalize_by_reference(golden[f"pr_{kind}"], golden[f"gt_{kind}"])
    assert frechet_distance(generated, reference) == pytest.approx(float(golden[f"fid_{kind}"]), rel=1e-6)
    assert mean_pairwise_distance(generated) == pytest.approx(float(golden[f"div_{kind}"]), rel=1e-6)
    result = measure_frechet(golden[f"pr_{kind}"], golden[f"gt_{kind}"], num_splits=2, num_resamples=2)
    assert result.value == pytest.approx(float(golden[f"fid_{kind}"]), rel=1e-6)


def test_the_distance_equals_the_printed_formula_where_covariances_are_regular():
    features, other = gaussian(300, 12) @ gaussian(12, 12, seed=1), gaussian(200, 12, seed=2, mean=0.4)
    assert frechet_distance(features, other) == pytest.approx(published_frechet(features, other), rel=1e-9)


def test_the_distance_of_axis_aligned_gaussians_is_that_of_their_means_and_deviations():
    means, deviations = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 0.0]]), np.array([[1.0, 2.0, 3.0], [2.0, 0.5, 3.0]])
    sets = [
        with_moments(mean, np.diag(std**2), seed=seed)
        for seed, (mean, std) in enumerate(zip(means, deviations, strict=True))
    ]
    expected = ((means[0] - means[1]) ** 2).sum() + ((deviations[0] - deviations[1]) ** 2).sum()
    assert frechet_distance(*sets) == pytest.approx(expected)


def test_the_distance_of_gaussians_that_lean_differently_has_its_closed_form():
    covariances = np.array([[[2.0, 1.2], [1.2, 1.0]], [[1.0, -0.6], [-0.6, 3.0]]])
    sets = [with_moments(np.zeros(2), covariance, seed=seed) for seed, covariance in enumerate(covariances)]
    product = covariances[0] @ covariances[1]
    overlap = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))  # of 2 x 2 matrices
    expected = np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * overlap
    assert frechet_distance(*sets) == pytest.approx(expected)


def test_flat_gaussians_on_two_axes_share_nothing_and_on_one_axis_all_but_the_deviation():
    line = np.array([-1.0, 0.0, 1.0])  # variance 1
    zeros = np.zeros(3)
    along_x, along_y = np.stack([2 * line, zeros], axis=-1), np.stack([zeros, 3 * line], axis=-1)
    assert frechet_distance(along_x, along_y) == pytest.approx(4 + 9)
    assert frechet_distance(along_x, 5 * along_x) == pytest.approx((10 - 2) ** 2)


@pytest.mark.parametrize("num_clips", [2, 10, 65, 500])
def test_a_set_has_no_distance_from_itself_with_fewer_clips_than_features_as_well(num_clips):
    features = gaussian(num_clips, 66)
    assert 0 <= frechet_distance(features, features) < 1e-11
    assert 0 <= frechet_distance(features, features[::-1]) < 1e-11
    assert frechet_distance(features, features + 0.5) == pytest.approx(66 * 0.25)


def test_the_distance_does_not_depend_on_order_or_on_the_axes():
    features, other = gaussian(20, 30), 2 * gaussian(40, 30, seed=1)
    rotation = np.linalg.qr(gaussian(30, 30, seed=2))[0]
    distance = frechet_distance(features, other)
    assert frechet_distance(other[::-1], features) == pytest.approx(distance)
    assert frechet_distance(features @ rotation, other @ rotation) == pytest.approx(distance)


def test_normalized_features_of_the_reference_have_mean_0_and_deviation_1():
    generated, reference = normalize_by_reference(np.array([[7.0, 5.0]]), np.array([[1.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_allclose(reference, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(generated, [[5, 0]])


def test_a_feature_that_never_varies_in_the_reference_explodes_as_published():
    generated, _ = normalize_by_reference(np.array([[1.0]]), np.zeros((3, 1)))
    assert generated == pytest.approx(1e10)


def test_diversity_is_the_mean_side_of_a_triangle():
    assert mean_pairwise_distance(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])) == pytest.approx(4.0)
    assert mean_pairwise_distance(np.ones((5, 3))) == 0


def test_the_floor_falls_with_the_number_of_clips():
    reference = gaussian(400, 20)
    floors = [frechet_floor(reference, size, num_splits=20) for size in (10, 20, 40, 100)]
    values = [floor.value for floor in floors]
    assert values == sorted(values, reverse=True)
    assert values[0] > 5 * values[-1] > 0
    for floor, size in zip(floors, (10, 20, 40, 100), strict=True):
        assert (floor.sample_size, floor.reference_size, floor.num_splits) == (size, 400 - size, 20)
        assert floor.interval[0] < floor.value < floor.interval[1]


def test_the_floor_compares_clips_with_the_other_clips():
    reference = gaussian(4, 3)
    halves = [(list(half), [i for i in range(4) if i not in half]) for half in itertools.combinations(range(4), 2)]
    possible = [frechet_distance(reference[half], reference[other]) for half, other in halves]
    values = [frechet_floor(reference, 2, num_splits=1, seed=seed).value for seed in range(20)]
    assert set(np.round(values, 9)) == set(np.round(possible, 9))


def test_the_floor_compares_whole_groups_with_other_groups():
    reference = gaussian(9, 3)
    a, b, c = [0, 1, 2], [3, 4, 5], [6, 7, 8]
    # A sample of 2 leaves a clip of its group, which the rest does not get; that keeps 5 of 6 in each split.
    splits = [(sample[:2], (one + other)[:5]) for sample, one, other in itertools.permutations([a, b, c])]
    possible = [frechet_distance(reference[sample], reference[rest]) for sample, rest in splits]
    groups = ["first"] * 3 + ["second"] * 3 + ["third"] * 3
    floors = [frechet_floor(reference, 2, num_splits=1, seed=seed, groups=groups) for seed in range(40)]
    assert {(floor.sample_size, floor.reference_size) for floor in floors} == {(2, 5)}
    assert set(np.round([floor.value for floor in floors], 9)) == set(np.round(possible, 9))


def windows_of_dances(num_dances: int, num_windows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows that are much more alike within a dance than between dances, and the dance of each."""
    dances = np.repeat(gaussian(num_dances, 6, seed), num_windows, axis=0)
    return dances + 0.3 * gaussian(len(dances), 6, seed + 1000), np.repeat(np.arange(num_dances), num_windows)


def test_windows_of_other_real_dances_are_told_from_real_unless_the_dances_are_kept_together():
    alarms = np.zeros(2, int)
    for seed in range(12):
        (generated, dances), (reference, others) = (
            windows_of_dances(number, 5, 2 * seed + part) for part, number in enumerate((8, 40))
        )
        options = {"num_splits": 40, "num_resamples": 2}
        apart = measure_frechet(generated, reference, **options)
        together = measure_frechet(
            generated, reference, generated_groups=dances, reference_groups=others.astype(str), **options
        )
        assert together.floor.value > 1.5 * apart.floor.value
        alarms += apart.is_distinguishable_from_real, together.is_distinguishable_from_real
    assert alarms[0] >= 8
    assert alarms[1] <= 2


def test_the_bootstrap_draws_whole_groups():
    generated, dances = windows_of_dances(20, 5, seed=0)
    reference, others = windows_of_dances(40, 5, seed=1)
    apart = bootstrap_frechet_interval(generated, reference)
    together = bootstrap_frechet_interval(generated, reference, generated_groups=dances, reference_groups=others)
    assert np.diff(together) > 1.3 * np.diff(apart)


def test_the_same_seed_gives_the_same_floor_and_interval():
    reference, generated = gaussian(60, 5), gaussian(30, 5, seed=1)
    first, again, other = (measure_frechet(generated, reference, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.floor != other.floor and first.interval != other.interval


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_the_bootstrap_interval_holds_the_distance_and_narrows_with_more_clips(mean):
    widths = []
    for num_clips in (30, 120, 480):
        generated, reference = gaussian(num_clips, 5, mean=mean), gaussian(num_clips, 5, seed=1)
        low, high = bootstrap_frechet_interval(generated, reference, num_resamples=60)
        assert low < frechet_distance(generated, reference) < high
        widths.append(high - low)
    assert widths[0] > 1.3 * widths[1] > 1.3**2 * widths[2]


def test_the_bootstrap_interval_is_as_wide_as_repeated_draws_scatter():
    def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
        return gaussian(60, 4, seed=2 * seed, mean=1.0), gaussian(100, 4, seed=2 * seed + 1)

    scatter = np.quantile([frechet_distance(*draw(seed)) for seed in range(200)], [0.025, 0.975])
    intervals = np.array([bootstrap_frechet_interval(*draw(seed), num_resamples=100) for seed in range(8)])
    assert np.diff(intervals).mean() / np.diff(scatter)[0] == pytest.approx(1.15, abs=0.25)


@pytest.mark.parametrize(("num_generated", "num_reference"), [(20, 80), (40, 40), (60, 40)])
def test_other_real_clips_are_rarely_told_from_real_and_shifted_ones_always(num_generated, num_reference):
    false_alarms = 0
    for seed in range(20):
        everything = gaussian(num_generated + num_reference, 8, seed)
        generated, reference = everything[:num_generated], everything[num_generated:]
        options = {"num_splits": 40, "num_resamples": 2, "seed": seed}
        false_alarms += measure_frechet(generated, reference, **options).is_distinguishable_from_real
        assert measure_frechet(generated + 1.5, reference, **options).is_distinguishable_from_real
    assert false_alarms <= 2


def test_value_and_floor_are_measured_at_sizes_that_are_printed():
    result = measure_frechet(gaussian(60, 8), gaussian(50, 8, seed=1))
    assert (result.num_generated, result.num_reference, result.num_features) == (60, 50, 8)
    assert (result.floor.sample_size, result.floor.reference_size) == (25, 25)
    assert result.warnings == ()
    assert result.matched_value > 1.2 * result.value  # fewer clips on both sides
    line = str(result)
    for number in (result.value, *result.interval, result.matched_value, result.floor.value, *result.floor.interval):
        assert f"{number:.2f}" in line
    assert "60 generated, 50 real clips" in line and "25 against 25" in line
    assert line.endswith("not distinguishable from real")


@pytest.mark.parametrize(
    ("value", "matched_value", "expected"), [(1.0, 3.0, True), (3.0, 1.0, False), (0.0, 2.0, False)]
)
def test_only_a_distance_at_the_sizes_of_the_floor_is_compared_with_it(value, matched_value, expected):
    floor = FrechetFloor(1.5, (1.0, 2.0), sample_size=10, reference_size=20, num_splits=5)
    result = FrechetResult(value, (0.0, 5.0), 30, 30, 4, floor, matched_value)
    assert result.is_distinguishable_from_real == expected
    assert ("not distinguishable" in str(result)) != expected


def test_copies_of_the_reference_have_no_distance_and_are_not_told_from_real():
    reference = gaussian(80, 8)
    result = measure_frechet(reference, reference)
    assert result.value == pytest.approx(0, abs=1e-9)
    assert not result.is_distinguishable_from_real


@pytest.mark.parametrize(
    ("num_generated", "num_reference", "warns"), [(66, 200, True), (200, 66, True), (67, 67, False)]
)
def test_too_few_clips_for_the_features_bring_a_warning(num_generated, num_reference, warns):
    result = measure_frechet(
        gaussian(num_generated, 66), gaussian(num_reference, 66, seed=1), num_splits=2, num_resamples=2
    )
    assert ["66 clips cannot span 66 features" in warning for warning in result.warnings] == [True] * warns
    assert ("cannot span" in str(result)) == warns


def test_a_feature_that_never_varies_in_the_reference_is_left_out_with_a_warning():
    generated, reference = gaussian(30, 4), gaussian(40, 4, seed=1)
    reference[:, 2] = 0.25
    result, without = (
        measure_frechet(generated[:, columns], reference[:, columns]) for columns in ([0, 1, 2, 3], [0, 1, 3])
    )
    assert (result.value, result.floor, result.num_features) == (without.value, without.floor, 3)
    assert result.warnings == ("Features 2 (from 0) never vary in the reference and are left out.",)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(gaussian(5, 3), gaussian(5, 4)), "same features, got 3 and 4"),
        (lambda: frechet_distance(gaussian(1, 3), gaussian(5, 3)), r"`features` must have shape \(clips >= 2"),
        (
            lambda: frechet_distance(gaussian(5, 3), np.full((5, 3), np.nan)),
            "`other_features` must be finite.* 5 clips",
        ),
        (lambda: normalize_by_reference(gaussian(5, 3)[0], gaussian(5, 3)), "`generated` must have shape"),
        (lambda: mean_pairwise_distance(gaussian(1, 3)), r"clips >= 2, features\), got \(1, 3\)"),
        (
            lambda: frechet_floor(gaussian(39, 3), 20),
            "from 2 to 19, .* of these 39 reference clips in 39 groups, got 20",
        ),
        (lambda: frechet_floor(gaussian(39, 3), 1), "got 1"),
        (lambda: frechet_floor(gaussian(9, 3), 4, groups=list("aaabbbccc")), "from 2 to 3, .* in 3 groups, got 4"),
        (
            lambda: frechet_floor(gaussian(9, 3), 2, groups=list("ab")),
            "each of the 9 clips.* got 2 labels of 2 groups",
        ),
        (
            lambda: frechet_floor(gaussian(9, 3), 2, groups=["a"] * 9),
            "`groups` .* at least 2 groups, got 9 labels of 1",
        ),
        (lambda: bootstrap_frechet_interval(gaussian(5, 3), gaussian(5, 4)), "same features"),
        (lambda: measure_frechet(gaussian(5, 3), gaussian(3, 3)), r"`reference` must have shape \(clips >= 4"),
        (lambda: measure_frechet(gaussian(5, 3), np.ones((5, 3))), "clips that differ from each other"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
