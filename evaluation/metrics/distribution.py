"""How far generated dances are from real ones as a set, never without the distance of real ones from each other.

Two samples of one distribution have a Fréchet distance above 0, the more the fewer clips and the more features there
are. A number is therefore read beside its floor: real clips against other real clips, at the same two sizes. Windows
of one dance are alike: a split that puts them on both sides halves the floor. *Groups* keep them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

LEVEL = 0.95
PUBLISHED_EPSILON = 1e-10
CONSTANT_STD = 1e-8

Groups = Sequence[str] | Sequence[int] | np.ndarray | None
"""A label for each clip: clips of one dance, or of one song, share it. `None`: all clips are independent."""


def normalize_by_reference(generated: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale both sets by the mean and the (population) standard deviation of the reference, plus 1e-10, as published.

    A feature that never varies in the reference is thereby multiplied by 1e10; `measure_frechet` leaves it out.

    Args:
        generated: `(clips, features)`.
        reference: `(clips >= 2, features)`.

    Returns:
        Generated and reference, scaled, float64.
    """
    _check_features(generated, "generated", min_clips=1)
    _check_features(reference, "reference")
    _check_same_width(generated, reference)
    generated, reference = generated.astype(np.float64), reference.astype(np.float64)
    mean, scale = reference.mean(axis=0), reference.std(axis=0) + PUBLISHED_EPSILON
    return (generated - mean) / scale, (reference - mean) / scale


def frechet_distance(features: np.ndarray, other_features: np.ndarray) -> float:
    """Return the Fréchet distance of the Gaussians of two sets: `|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))`.

    With `S = R^T R` from a QR decomposition of the centered clips, the last trace is the sum of the singular values of
    `R R'^T`. It is real and exact for singular covariances (fewer clips than features, constant features) as well: no
    matrix square root, no imaginary part to drop, nothing added to the diagonal. A result that rounding brought below
    0 is 0. This number alone says little: see `measure_frechet`.

    Args:
        features: `(clips >= 2, features)`, normalized.
        other_features: `(clips >= 2, features)`, normalized in the same way.
    """
    _check_features(features, "features")
    _check_features(other_features, "other_features")
    _check_same_width(features, other_features)
    (mean, root), (other_mean, other_root) = _fit_gaussian(features), _fit_gaussian(other_features)
    overlap = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    distance = ((mean - other_mean) ** 2).sum() + (root**2).sum() + (other_root**2).sum() - 2 * overlap
    return max(0.0, float(distance))


def mean_pairwise_distance(features: np.ndarray) -> float:
    """Return the mean Euclidean distance over all pairs of clips: Div_k, Div_m. More is not better: compare with real.

    Args:
        features: `(clips >= 2, features)`, normalized.
    """
    _check_features(features, "features")
    return float(pdist(features).mean())


@dataclass(frozen=True)
class FrechetFloor:
    """Distance of real clips from other real clips.

    Args:
        value: Mean over the splits.
        interval: Ends between which 95 % of the splits lie.
        sample_size: Clips that stand for the generated ones.
        reference_size: Clips they are compared with.
        num_splits: Random splits.
    """

    value: float
    interval: tuple[float, float]
    sample_size: int
    reference_size: int
    num_splits: int


def frechet_floor(
    reference: np.ndarray, sample_size: int, num_splits: int = 100, seed: int = 0, *, groups: Groups = None
) -> FrechetFloor:
    """Measure how far real clips are from real clips: a random sample of the reference against others of it.

    Sample and rest share no clip and no group.

    Args:
        reference: `(clips, features)`, normalized once as a whole.
        sample_size: Clips in the sample, at least 2: the number of generated clips.
        num_splits: Random splits.
        seed: Of the splits.
        groups: One label for each clip of the reference.

    Raises:
        ValueError: If the rest would have fewer clips than the sample.
    """
    _check_features(reference, "reference")
    members = _members(groups, len(reference), "groups")
    largest_sample = _largest_sample(members)
    if not 2 <= sample_size <= largest_sample:
        raise ValueError(
            f"`sample_size` must be from 2 to {largest_sample}, for a rest as large as the sample, of these "
            f"{len(reference)} reference clips in {len(members)} groups, got {sample_size}: take a larger reference, "
            "or fewer generated clips."
        )
    splits = list(_splits(members, sample_size, num_splits, seed))
    distances = [frechet_distance(reference[sample], reference[rest]) for sample, rest in splits]
    return FrechetFloor(
        float(np.mean(distances)), _central_interval(distances), sample_size, len(splits[0][1]), num_splits
    )


def bootstrap_frechet_interval(
    generated: np.ndarray,
    reference: np.ndarray,
    num_resamples: int = 200,
    seed: int = 0,
    *,
    generated_groups: Groups = None,
    reference_groups: Groups = None,
) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of a Fréchet distance: what other clips of the same sources would have given.

    Both sets are drawn again with replacement, in whole groups. As a resample holds fewer different clips, its
    distance is too large: the interval has the spread of the resampled distances, around the distance that was
    measured. It errs on the wide side: by 1.2 times for sets that differ, by 2 for samples of one distribution. What
    both sets lack in size stays in it, as it does in the floor at the same sizes.

    Args:
        generated: `(clips >= 2, features)`, normalized.
        reference: `(clips >= 2, features)`, normalized.
        num_resamples: Resamples.
        seed: Of the resamples.
        generated_groups: One label for each generated clip.
        reference_groups: One label for each clip of the reference.

    Returns:
        Lower and upper end, at least 0.
    """
    value = frechet_distance(generated, reference)
    generated_members = _members(generated_groups, len(generated), "generated_groups")
    reference_members = _members(reference_groups, len(reference), "reference_groups")
    random = np.random.default_rng(seed)

    def resample(clips: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
        return clips[np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])]

    resampled = np.array(
        [
            frechet_distance(resample(generated, generated_members), resample(reference, reference_members))
            for _ in range(num_resamples)
        ]
    )
    low, high = _central_interval(resampled - resampled.mean() + value)
    return max(0.0, low), high


@dataclass(frozen=True)
class FrechetResult:
    """A Fréchet distance with all that is needed to read it; `str` prints all of it.

    Args:
        value: Distance of all generated clips from the whole reference: the published number.
        interval: 95 % bootstrap interval of `value`.
        num_generated: Clips.
        num_reference: Clips.
        num_features: Features that were compared.
        floor: Distance of real clips from real clips.
        matched_value: Distance of generated clips from real clips at the two sizes of the floor, a mean over splits.
        warnings: What makes the number hard to trust, in sentences.
    """

    value: float
    interval: tuple[float, float]
    num_generated: int
    num_reference: int
    num_features: int
    floor: FrechetFloor
    matched_value: float
    warnings: tuple[str, ...] = ()

    @property
    def is_distinguishable_from_real(self) -> bool:
        """Whether the distance at the floor's sizes lies above the floor's interval; copies of real dances do not."""
        return self.matched_value > self.floor.interval[1]

    def __str__(self) -> str:
        low, high = self.interval
        floor_low, floor_high = self.floor.interval
        verdict = "distinguishable" if self.is_distinguishable_from_real else "not distinguishable"
        return (
            f"{self.value:.2f} [{low:.2f}, {high:.2f}] ({self.num_generated} generated, {self.num_reference} real "
            f"clips); {self.matched_value:.2f} at {self.floor.sample_size} against {self.floor.reference_size} clips, "
            f"where real against real is {self.floor.value:.2f} [{floor_low:.2f}, {floor_high:.2f}]: {verdict} from "
            "real"
        ) + "".join(f". {warning}" for warning in self.warnings)


def measure_frechet(
    generated: np.ndarray,
    reference: np.ndarray,
    *,
    generated_groups: Groups = None,
    reference_groups: Groups = None,
    num_splits: int = 100,
    num_resamples: int = 200,
    seed: int = 0,
) -> FrechetResult:
    """Normalize by the reference, measure the Fréchet distance, and add its floor, interval and warnings.

    The floor needs the reference split: at N generated and M real clips it is measured with n = min(N, M / 2) clips
    against M - n; with groups, both are smaller by up to the largest group. Generated clips are measured at the same
    two sizes, so that both can be compared even where there are as many generated as real clips. Features that never
    vary in the reference are left out, with a warning.

    Args:
        generated: `(clips >= 2, features)`, as they come from `kinetic_features` or `geometric_features`.
        reference: `(clips >= 4, features)`, real dances in the same mode.
        generated_groups: One label for each generated clip: its dance, or its song.
        reference_groups: One label for each clip of the reference.
        num_splits: Random splits of the reference.
        num_resamples: Resamples of the bootstrap.
        seed: Of splits and resamples.
    """
    _check_features(generated, "generated")
    _check_features(reference, "reference", min_clips=4)
    _check_same_width(generated, reference)
    varies = reference.std(axis=0) > CONSTANT_STD
    if not varies.any():
        raise ValueError("`reference` must hold clips that differ from each other, got the same clip only.")
    warnings = _warnings(generated, reference, varies)
    generated, reference = normalize_by_reference(generated[:, varies], reference[:, varies])
    generated_members = _members(generated_groups, len(generated), "generated_groups")
    members = _members(reference_groups, len(reference), "reference_groups")
    sample_size = min(len(generated), _largest_sample(members))
    random = np.random.default_rng(seed)
    floor = frechet_floor(reference, sample_size, num_splits, seed, groups=reference_groups)
    matched = [
        frechet_distance(generated[_shuffle_groups(generated_members, random)[:sample_size]], reference[rest])
        for _, rest in _splits(members, sample_size, num_splits, seed)
    ]
    return FrechetResult(
        value=frechet_distance(generated, reference),
        interval=bootstrap_frechet_interval(
            generated,
            reference,
            num_resamples,
            seed,
            generated_groups=generated_groups,
            reference_groups=reference_groups,
        ),
        num_generated=len(generated),
        num_reference=len(reference),
        num_features=generated.shape[1],
        floor=floor,
        matched_value=float(np.mean(matched)),
        warnings=warnings,
    )


def _warnings(generated: np.ndarray, reference: np.ndarray, varies: np.ndarray) -> tuple[str, ...]:
    warnings = []
    fewest = min(len(generated), len(reference))
    if fewest <= varies.sum():
        warnings.append(
            f"{fewest} clips cannot span {varies.sum()} features: a covariance is singular and the distance is mostly "
            f"its floor; take more than {varies.sum()} clips."
        )
    if not varies.all():
        numbers = ", ".join(str(number) for number in np.flatnonzero(~varies))
        warnings.append(f"Features {numbers} (from 0) never vary in the reference and are left out.")
    return tuple(warnings)


def _fit_gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and a matrix `R` with `R^T R` = the (unbiased) covariance."""
    mean = features.mean(axis=0, dtype=np.float64)
    return mean, np.asarray(np.linalg.qr((features - mean) / np.sqrt(len(features) - 1), mode="r"))


def _members(groups: Groups, num_clips: int, name: str) -> list[np.ndarray]:
    """Return the indices of the clips of each group."""
    if groups is None:
        return list(np.arange(num_clips)[:, None])
    labels, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)[1:]
    if labels.shape != (num_clips,) or len(sizes) < 2:
        raise ValueError(
            f"`{name}` must hold a label for each of the {num_clips} clips, of at least 2 groups, got "
            f"{labels.size} labels of {len(sizes)} groups."
        )
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])


def _largest_sample(members: list[np.ndarray]) -> int:
    """Return the largest sample that leaves a rest of its size, whichever group it cuts through."""
    sizes = [len(clips) for clips in members]
    return (sum(sizes) - max(sizes) + 1) // 2


def _shuffle_groups(members: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    return np.concatenate([members[i] for i in random.permutation(len(members))])


def _splits(
    members: list[np.ndarray], sample_size: int, num_splits: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw samples and rests without a common group, of the same two sizes each time."""
    random = np.random.default_rng(seed)
    sizes = np.array([len(clips) for clips in members])
    rest_size = sizes.sum() - sample_size - (sizes.max() - 1)
    for _ in range(num_splits):
        order = random.permutation(len(members))
        clips, ends = np.concatenate([members[i] for i in order]), np.cumsum(sizes[order])
        # What the sample leaves of its last group belongs to neither side.
        start = ends[np.searchsorted(ends, sample_size)]
        yield clips[:sample_size], clips[start : start + rest_size]


def _central_interval(values: list[float] | np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _check_features(features: np.ndarray, name: str, min_clips: int = 2) -> None:
    if features.ndim != 2 or len(features) < min_clips or features.shape[1] == 0:
        raise ValueError(f"`{name}` must have shape (clips >= {min_clips}, features), got {features.shape}.")
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise ValueError(
            f"`{name}` must be finite, got NaN or infinity in {bad.sum()} clips, first in {bad.argmax()}."
        )


def _check_same_width(features: np.ndarray, other_features: np.ndarray) -> None:
    if features.shape[1] != other_features.shape[1]:
        raise ValueError(
            f"Both sets must have the same features, got {features.shape[1]} and {other_features.shape[1]}."
        )
