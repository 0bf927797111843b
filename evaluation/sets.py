"""Sets of dances: their features, for the distances between sets, and histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..motion.motion import FRAME_RATE
from ..motion.skeleton import PARENTS
from .measures import MeasuredDance
from .metrics.beats import nearest_beat_offsets
from .metrics.distribution import mean_pairwise_distance, measure_frechet, normalize_by_reference
from .metrics.geometric_features import geometric_features
from .metrics.kinetic_features import FeatureMode, kinetic_features
from .metrics.pulse import speed_curve
from .report.record import frechet_record, histogram

SAME_BODY_DIFFERENCE = 0.1
"""Sets of dances whose bones differ by more are on other bodies: within Dance with Melody it is 0.05, from us 0.17."""
HISTOGRAM_BINS = 30
BEAT_BINS = 20
MIN_GENERATED_CLIPS, MIN_REFERENCE_CLIPS = 2, 4
FEATURES = {"k": kinetic_features, "m": geometric_features}
MODES: tuple[FeatureMode, ...] = ("compat", "corrected")
FeatureKey = tuple[str, FeatureMode]
FEATURE_KEYS: tuple[FeatureKey, ...] = tuple((kind, mode) for kind in FEATURES for mode in MODES)


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Features of clips.

    Args:
        features: By kind (`"k"`, `"m"`) and mode, each `(clips, features)`.
        groups: `(clips,)`, what each clip belongs to: clips of one group are not independent.
    """

    features: dict[FeatureKey, np.ndarray]
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.groups)


def clip_set(positions: Sequence[np.ndarray], groups: Sequence[str], window_seconds: float | None = None) -> ClipSet:
    """Compute the features of dances, whole or in windows.

    Args:
        positions: `(frames, 22, 3)` of each dance, metres, at 30 Hz.
        groups: What each dance belongs to, such as its song.
        window_seconds: Dances are cut into windows of this length, one after the other, and what is left at the end
            is dropped; `None`: they stay whole.
    """
    clips, owners = [], []
    for dance, group in zip(positions, groups, strict=True):
        length = len(dance) if window_seconds is None else round(window_seconds * FRAME_RATE)
        parts = [dance[start : start + length] for start in range(0, len(dance) - length + 1, length)]
        clips += parts
        owners += [group] * len(parts)
    features = {
        (kind, mode): np.array([FEATURES[kind](clip, FRAME_RATE, mode=mode) for clip in clips])
        for kind, mode in FEATURE_KEYS
    }
    return ClipSet(features, np.array(owners))


def other_bodies(positions: Sequence[np.ndarray], other_sets: Mapping[str, Sequence[np.ndarray]]) -> dict[str, float]:
    """Find the sets of dances that are on another body than those that are measured.

    Args:
        positions: `(frames, 22, 3)` of each dance that is measured, metres.
        other_sets: The same of other sets, by name; empty ones are passed over.

    Returns:
        For each set on another body how far its bones differ in length, as a share of their length.
    """
    own = _mean_bone_lengths(positions)
    others = {name: _mean_bone_lengths(dances) for name, dances in other_sets.items() if len(dances)}
    differences = {name: float(2 * abs(own - each).sum() / (own + each).sum()) for name, each in others.items()}
    return {name: value for name, value in differences.items() if value > SAME_BODY_DIFFERENCE}


def _mean_bone_lengths(positions: Sequence[np.ndarray]) -> np.ndarray:
    bones = [np.linalg.norm(each[:, 1:] - each[:, list(PARENTS[1:])], axis=-1) for each in positions]
    return np.mean([np.median(lengths, axis=0) for lengths in bones], axis=0)


def check_size(clips: ClipSet, name: str, least: int) -> None:
    """Raise `ValueError` unless there are enough clips, of two groups or more, to measure a distribution."""
    num_groups = len(np.unique(clips.groups))
    if len(clips) < least or num_groups < 2:
        raise ValueError(
            f"Distances between sets of dances need at least {least} {name} clips of 2 songs, got {len(clips)} of "
            f"{num_groups}: give more dances, or cut them by --window-seconds."
        )


def measure_distributions(
    generated: ClipSet, references: Mapping[str, ClipSet], *, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure Fréchet distances from each reference, and the diversity beside that of the first reference.

    Args:
        generated: Dances to measure.
        references: Real ones, by name.
        seed: Of floors and intervals.

    Returns:
        The entries `frechet` and `diversity` of the report.

    Raises:
        ValueError: If there are too few clips.
    """
    check_size(generated, "generated", MIN_GENERATED_CLIPS)
    for name, reference in references.items():
        check_size(reference, name, MIN_REFERENCE_CLIPS)
    frechet = []
    for against, reference in references.items():
        for kind, mode in FEATURE_KEYS:
            result = measure_frechet(
                generated.features[kind, mode],
                reference.features[kind, mode],
                generated_groups=generated.groups,
                reference_groups=reference.groups,
                seed=seed,
            )
            frechet.append(frechet_record(f"FID_{kind}", mode, against, result))
    first = next(iter(references.values()))
    diversity = []
    for kind, mode in FEATURE_KEYS:
        real = first.features[kind, mode]
        varies = real.std(axis=0) > 0
        both = normalize_by_reference(generated.features[kind, mode][:, varies], real[:, varies])
        values = dict(zip(("generated", "reference"), map(mean_pairwise_distance, both), strict=True))
        diversity.append({"name": f"Div_{kind}", "mode": mode, **values})
    return frechet, diversity


def measure_histograms(sets: Mapping[str, Sequence[MeasuredDance]]) -> dict[str, dict[str, Any]]:
    """Return what the charts of the report show, see `evaluation.report.histogram`."""
    speeds = {name: np.concatenate([speed_curve(each.positions, FRAME_RATE) for each in sets[name]]) for name in sets}
    energies = {name: np.concatenate([_energies(each.positions) for each in sets[name]]) for name in sets}
    offsets = {
        name: np.concatenate(
            [
                nearest_beat_offsets(each.motion_beats, each.song.clock.beat_times_seconds)
                for each in dances
                if each.song is not None
            ]
            or [np.empty(0)]
        )
        for name, dances in sets.items()
    }
    return {
        "speed": histogram(speeds, 0, _upper_end(speeds), HISTOGRAM_BINS),
        "energy": histogram(energies, 0, _upper_end(energies), HISTOGRAM_BINS),
        "beat_offsets": histogram(offsets, -0.5, 0.5, BEAT_BINS),
    }


def _energies(positions: np.ndarray) -> np.ndarray:
    """Return the kinetic energy per kilogram of each second, `(seconds,)`, J/kg, all joints being of equal mass."""
    squared = (np.diff(positions, axis=0) ** 2).sum(axis=-1).mean(axis=1) * FRAME_RATE**2 / 2
    second = round(FRAME_RATE)
    return squared[: len(squared) // second * second].reshape(-1, second).mean(axis=1)


def _upper_end(values: Mapping[str, np.ndarray]) -> float:
    """Return a round number that few values of any group are above."""
    highest = max(float(np.quantile(each, 0.99)) for each in values.values())
    step = 10.0 ** np.floor(np.log10(max(highest, 1e-6)))
    return float(np.ceil(2 * highest / step) * step / 2)
