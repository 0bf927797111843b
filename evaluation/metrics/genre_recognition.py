"""Whether a dance is told as the genre that was asked for, by statistics of 10 s of movement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...motion.features import facing_heading
from ...motion.skeleton import JOINT_INDEX, JOINT_NAMES
from .checks import check_positions, check_positive_rate
from .range_of_motion import elevation

WINDOW_SECONDS = 10.0
SHRINKAGE = 0.1
"""Share by which correlations of the statistics are drawn to 0: they are estimated from a few hundred windows."""
RHYTHM_BANDS_HZ = (0.3, 0.8, 1.6, 3.2, 6.4)
_MIDDLE = [JOINT_INDEX[name] for name in JOINT_NAMES if not name.startswith(("left_", "right_"))]
_LEFT = [JOINT_INDEX[name] for name in JOINT_NAMES if name.startswith("left_")]
_RIGHT = [JOINT_INDEX[name] for name in JOINT_NAMES if name.startswith("right_")]
NUM_STATISTICS = len(_MIDDLE) + 2 * len(_LEFT) + 26


def describe_windows(joint_positions: np.ndarray, frame_rate: float) -> np.ndarray:
    """Describe each 10 s of a dance, one after the other, by numbers that the side, place and heading do not change.

    Args:
        joint_positions: `(frames, 22, 3)`, metres, Y up, the floor at y = 0.
        frame_rate: Hz.

    Returns:
        `(windows, 48)`; no row for a dance of less than 10 s. Speeds of the joints relative to the hips (of pairs:
        mean and difference), travel, turning, heights, arms, hands, feet, knees and trunk, and how the changes of
        speed are spread over slow and fast rhythms.
    """
    check_positions(joint_positions, num_joints=len(JOINT_NAMES))
    check_positive_rate(frame_rate)
    positions, window = joint_positions.astype(np.float64), round(WINDOW_SECONDS * frame_rate)
    starts = range(0, len(positions) - window + 1, window)
    rows = [_describe(positions[start : start + window], frame_rate) for start in starts]
    return np.array(rows).reshape(len(rows), NUM_STATISTICS)


class GenreClassifier:
    """Classifier of genres: the nearest mean of statistics, in units of what varies within a genre.

    Every genre counts equally, however many dances it has. Correlations within genres are shrunk.

    Args:
        dances: For each genre the statistics of its real dances, each `(windows, statistics)`.

    Raises:
        ValueError: If there are fewer than two genres, or one has no window.
    """

    def __init__(self, dances: Mapping[str, Sequence[np.ndarray]]):
        windows = {genre: np.concatenate(list(rows)) for genre, rows in dances.items() if len(rows)}
        empty = [genre for genre in dances if len(windows.get(genre, ())) == 0]
        if len(dances) < 2 or empty:
            raise ValueError(
                f"`dances` must hold two genres or more, each with a window of 10 s, got {len(dances)}, of which "
                f"{empty} have none."
            )
        self.genres = list(windows)
        means = np.stack([rows.mean(axis=0) for rows in windows.values()])
        within = np.mean([np.cov(rows.T) for rows in windows.values() if len(rows) > 1] or [np.eye(means.shape[1])], 0)
        self.center, self.deviation = means.mean(axis=0), np.sqrt(np.diag(within)) + 1e-9
        correlation = within / np.outer(self.deviation, self.deviation)
        shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
        self.whitening = np.linalg.cholesky(np.linalg.inv(shrunk))
        self.centroids = self.standardize(means)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` reads, beside the names of the genres."""
        return {name: getattr(self, name) for name in ("center", "deviation", "whitening", "centroids")}

    @classmethod
    def from_arrays(cls, genres: Sequence[str], arrays: Mapping[str, np.ndarray]) -> GenreClassifier:
        """Make a classifier that was fitted before.

        Args:
            genres: Its genres, in their order.
            arrays: Of `to_arrays`.

        Raises:
            ValueError: If the arrays do not fit each other.
        """
        size = NUM_STATISTICS
        shapes = {
            "center": (size,),
            "deviation": (size,),
            "whitening": (size, size),
            "centroids": (len(genres), size),
        }
        wrong = [name for name, shape in shapes.items() if name not in arrays or arrays[name].shape != shape]
        if wrong:
            raise ValueError(f"A classifier of {len(genres)} genres has arrays {shapes}, got others: {wrong}.")
        classifier = cls.__new__(cls)
        classifier.genres = list(genres)
        for name in shapes:
            setattr(classifier, name, np.asarray(arrays[name], np.float64))
        return classifier

    def standardize(self, statistics: np.ndarray) -> np.ndarray:
        """Return `(windows, statistics)` in units of the deviation within genres, uncorrelated there."""
        return (statistics - self.center) / self.deviation @ self.whitening

    def tell_windows(self, statistics: np.ndarray) -> list[str]:
        """Return as which genre each window `(windows, statistics)` is told."""
        return [self.genres[index] for index in self.distances(statistics).argmin(axis=1)]

    def tell_dance(self, statistics: np.ndarray) -> str:
        """Return as which genre a dance is told, by the mean distance of its windows `(windows >= 1, statistics)`."""
        if len(statistics) == 0:
            raise ValueError("A dance must have at least one window of 10 s.")
        return self.genres[self.distances(statistics).mean(axis=0).argmin()]

    def distances(self, statistics: np.ndarray) -> np.ndarray:
        """Return how far each window `(windows, statistics)` is from each genre, `(windows, genres)`."""
        return np.linalg.norm(self.standardize(statistics)[:, None] - self.centroids, axis=-1)


@dataclass(frozen=True)
class Recognition:
    """As what dances are told.

    Args:
        genres: Names, in the order of the matrices.
        windows: `(asked, told)` int, numbers of windows.
        dances: `(asked, told)` int, numbers of dances.
    """

    genres: list[str]
    windows: np.ndarray
    dances: np.ndarray

    @property
    def window_shares(self) -> dict[str, float]:
        """Share of the windows of each genre that are told as asked; genres without dances are left out."""
        return self._diagonal(self.windows)

    @property
    def dance_shares(self) -> dict[str, float]:
        """Share of the dances of each genre that are told as asked; genres without dances are left out."""
        return self._diagonal(self.dances)

    def _diagonal(self, counts: np.ndarray) -> dict[str, float]:
        totals = counts.sum(axis=1)
        return {
            genre: float(counts[index, index] / totals[index])
            for index, genre in enumerate(self.genres)
            if totals[index]
        }


def recognize(classifier: GenreClassifier, dances: Sequence[tuple[str, np.ndarray]]) -> Recognition:
    """Tell the genre of dances.

    Args:
        classifier: That knows all genres that were asked for.
        dances: Of each dance the genre that was asked for, and its `describe_windows`; those without a window are
            left out.
    """
    result = _empty_recognition(classifier.genres)
    for genre, statistics in dances:
        _count(result, classifier, genre, statistics)
    return result


def leave_one_out(dances: Mapping[str, Sequence[np.ndarray]]) -> Recognition:
    """Tell each real dance by the others: how far a recognition can be trusted.

    Args:
        dances: For each genre the statistics of its dances; those of a genre with one dance are not told.
    """
    result = _empty_recognition(list(dances))
    for genre, rows in dances.items():
        for index, statistics in enumerate(rows):
            others = {**dances, genre: [*rows[:index], *rows[index + 1 :]]}
            if len(statistics) and sum(map(len, others[genre])):
                _count(result, GenreClassifier(others), genre, statistics)
    return result


def _empty_recognition(genres: list[str]) -> Recognition:
    shape = (len(genres), len(genres))
    return Recognition(list(genres), np.zeros(shape, int), np.zeros(shape, int))


def _count(result: Recognition, classifier: GenreClassifier, genre: str, statistics: np.ndarray) -> None:
    if genre not in result.genres:
        raise ValueError(f"A dance must be of one of the genres {', '.join(result.genres)}, got {genre!r}.")
    if len(statistics) == 0:
        return
    row = result.genres.index(genre)
    for told in classifier.tell_windows(statistics):
        result.windows[row, result.genres.index(told)] += 1
    result.dances[row, result.genres.index(classifier.tell_dance(statistics))] += 1


def _describe(positions: np.ndarray, frame_rate: float) -> np.ndarray:
    hips = positions[:, [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]].mean(axis=1)
    speeds = np.linalg.norm(np.diff(positions - hips[:, None], axis=0), axis=-1) * frame_rate  # (frames - 1, joints)
    of_joints = speeds.mean(axis=0)
    statistics = [
        of_joints[_MIDDLE],
        (of_joints[_LEFT] + of_joints[_RIGHT]) / 2,
        np.abs(of_joints[_LEFT] - of_joints[_RIGHT]),
        _travel_statistics(positions, hips, frame_rate),
        _limb_statistics(positions),
        _rhythm_statistics(speeds.mean(axis=1), frame_rate),
    ]
    return np.concatenate(statistics)


def _travel_statistics(positions: np.ndarray, hips: np.ndarray, frame_rate: float) -> list[float]:
    """Return speed over the floor, spread and mean of the height, turning, and the spread of steps ahead and aside."""
    heading = facing_heading(positions, frame_rate)
    velocity = np.diff(hips[:, [0, 2]], axis=0) * frame_rate  # x and z, m/s
    sine, cosine = np.sin(heading[:-1]), np.cos(heading[:-1])
    ahead, aside = velocity[:, 0] * sine + velocity[:, 1] * cosine, velocity[:, 0] * cosine - velocity[:, 1] * sine
    height = positions[:, JOINT_INDEX["pelvis"], 1]
    turning = np.abs(np.diff(heading)).mean() * frame_rate
    return [
        np.linalg.norm(velocity, axis=-1).mean(), height.std(), height.mean(), turning, ahead.std(), aside.std(),
    ]  # fmt: skip


def _limb_statistics(positions: np.ndarray) -> list[float]:
    """Return elevations of arms and trunk (rad), and distances of hands, feet, hips and ankles (m)."""
    joint = {name: positions[:, index] for name, index in JOINT_INDEX.items()}
    upper, fore = (
        np.stack([elevation(joint[f"{side}_{first}"], joint[f"{side}_{last}"]) for side in ("left", "right")])
        for first, last in (("shoulder", "elbow"), ("elbow", "wrist"))
    )
    means = upper.mean(axis=1)
    hands = np.linalg.norm(joint["left_wrist"] - joint["right_wrist"], axis=-1)
    between_feet = joint["left_ankle"] - joint["right_ankle"]
    stance, lift = np.linalg.norm(between_feet[:, [0, 2]], axis=-1), np.abs(between_feet[:, 1])
    legs = np.stack(
        [np.linalg.norm(joint[f"{side}_hip"] - joint[f"{side}_ankle"], axis=-1) for side in ("left", "right")]
    )
    trunk = elevation(joint["pelvis"], joint["neck"])
    return [
        upper.mean(), abs(means[0] - means[1]), upper.std(axis=1).mean(), fore.mean(), fore.std(axis=1).mean(),
        hands.mean(), hands.std(), stance.mean(), stance.std(), lift.mean(), lift.std(),
        legs.mean(), legs.std(axis=1).mean(), trunk.mean(), trunk.std(),
    ]  # fmt: skip


def _rhythm_statistics(speed: np.ndarray, frame_rate: float) -> list[float]:
    """Return which share of the changes of speed lies in each band, and their size relative to the speed."""
    power = np.abs(np.fft.rfft((speed - speed.mean()) * np.hanning(len(speed)))) ** 2
    frequencies = np.fft.rfftfreq(len(speed), 1 / frame_rate)
    edges = np.searchsorted(frequencies, RHYTHM_BANDS_HZ)
    bands = np.array([power[first:end].sum() for first, end in zip(edges[:-1], edges[1:], strict=True)])
    if not bands.sum() > 1e-12:  # a dancer who never moves
        return [0.0] * (len(bands) + 1)
    return [*(bands / bands.sum()), speed.std() / speed.mean()]
