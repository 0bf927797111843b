"""Whether a dance is new: the nearest training clip, and runs of codes that it shares with training dances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .checks import check_positions, check_positive_rate

WINDOW_SECONDS = 2.0
HOP_SECONDS = 0.5
COPY_MILLIMETRES = 20.0
"""Windows whose joints are on average nearer than this to a known dance count as copied from it."""
_SEPARATOR = -1


@dataclass(frozen=True)
class NearestWindows:
    """The most similar piece of a library for each window of a dance.

    Args:
        starts: `(windows,)` int, first frame of each window.
        clip_ids: The clip of the library in which each one's nearest piece lies.
        clip_starts: `(windows,)` int, first frame of that piece in its clip.
        distances_mm: `(windows,)`, mean distance of the joints.
    """

    starts: np.ndarray
    clip_ids: list[str]
    clip_starts: np.ndarray
    distances_mm: np.ndarray


def hip_aligned_poses(joint_positions: np.ndarray, left_hip: int, right_hip: int) -> np.ndarray:
    """Put the middle of the hips at the origin and turn the dancer to look along +Z, in every frame.

    The heading is at right angles to the line of the hips, seen from above.

    Args:
        joint_positions: `(frames, joints, 3)`, metres, Y up.
        left_hip: Index of the left hip.
        right_hip: Index of the right hip.

    Returns:
        Of the same shape, metres.
    """
    check_positions(joint_positions)
    hips = joint_positions[:, [left_hip, right_hip]]
    across = hips[:, 0] - hips[:, 1]
    heading = np.arctan2(-across[:, 2], across[:, 0])  # 0 where the left hip is at +X, as it is for a look along +Z
    cosine, sine = np.cos(heading)[:, None], np.sin(heading)[:, None]
    local = joint_positions - hips.mean(axis=1, keepdims=True)
    x, y, z = np.moveaxis(local, -1, 0)
    return np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=-1)


def nearest_windows(
    poses: np.ndarray,
    library: Mapping[str, np.ndarray],
    frame_rate: float,
    *,
    window_seconds: float = WINDOW_SECONDS,
    hop_seconds: float = HOP_SECONDS,
) -> NearestWindows:
    """Find, for each window of a dance, the piece of the training clips that is most like it.

    Windows begin every half second, pieces of the library at every frame. The piece is found by the root mean square
    of the joints' distances, which is a matrix product; its mean distance is then computed exactly. A window that was
    copied has distance 0. What a dance that copies nothing has depends on the library: compare with the distances of
    real held-out dances (medians of 5 to 30 mm among the rumbas and cha-chas of Dance with Melody, which share takes).
    A mirrored or slowed copy is only found if the library holds it mirrored or slowed.

    Args:
        poses: `(frames, joints, 3)`, metres, from `hip_aligned_poses`.
        library: Poses of each training clip `(frames, joints, 3)`, aligned likewise, at the same frame rate; clips
            shorter than a window are passed over.
        frame_rate: Hz.
        window_seconds: Length of a window.
        hop_seconds: Time between the starts of two windows.

    Raises:
        ValueError: If the dance or all clips are shorter than a window, or joints differ.
    """
    check_positions(poses, "poses")
    check_positive_rate(frame_rate)
    window, hop = round(window_seconds * frame_rate), max(1, round(hop_seconds * frame_rate))
    if window < 1 or len(poses) < window:
        raise ValueError(f"`poses` must last at least one window of {window} >= 1 frames, got {len(poses)} frames.")
    long_enough = {clip_id: clip for clip_id, clip in library.items() if len(clip) >= window}
    if not long_enough:
        raise ValueError(f"`library` must hold a clip of at least {window} frames, got {len(library)} shorter ones.")
    starts = np.arange(0, len(poses) - window + 1, hop)
    best = np.full(len(starts), np.inf)
    best_starts = np.zeros(len(starts), int)
    best_ids = [""] * len(starts)
    for clip_id, clip in long_enough.items():
        check_positions(clip, f"library[{clip_id!r}]", num_joints=poses.shape[1])
        distances = _window_distances(poses, clip, starts, window)
        nearest = distances.argmin(axis=1)
        values = distances[np.arange(len(starts)), nearest]
        for index in np.flatnonzero(values < best):
            best[index], best_starts[index], best_ids[index] = values[index], nearest[index], clip_id
    exact = [
        np.linalg.norm(poses[start : start + window] - library[clip_id][found : found + window], axis=-1).mean()
        for start, clip_id, found in zip(starts, best_ids, best_starts, strict=True)
    ]
    return NearestWindows(starts, best_ids, best_starts, 1000 * np.array(exact))


@dataclass(frozen=True)
class SharedRuns:
    """Runs of tokens that a dance shares with training dances.

    Args:
        run_lengths: `(tokens,)` int: for each token of the dance, the length of the longest shared run that holds it;
            0 where not even the token alone occurs.
    """

    run_lengths: np.ndarray

    @property
    def longest(self) -> int:
        """Tokens in the longest shared run."""
        return int(self.run_lengths.max())

    def copied_share(self, min_tokens: int) -> float:
        """Return the share of the dance's time that shared runs of at least `min_tokens` cover."""
        if min_tokens < 1:
            raise ValueError(f"`min_tokens` must be at least 1, got {min_tokens}.")
        return float((self.run_lengths >= min_tokens).mean())


class CodeLibrary:
    """The codes of the training dances, ready to be searched for runs of any length.

    Args:
        codes: Each `(levels, tokens)` int, by clip; every version that was trained on, also mirrored and offset ones.
        num_levels: Levels that must agree, from the first: 1 finds copies that differ in detail. All by default.

    Raises:
        ValueError: If there is no clip, or one has no codes of so many levels.
    """

    def __init__(self, codes: Mapping[str, np.ndarray], num_levels: int | None = None):
        if not codes:
            raise ValueError("`codes` must hold at least one training dance.")
        self.num_levels = len(next(iter(codes.values()))) if num_levels is None else num_levels
        # A separator before each clip ends every run there.
        separator = np.full((self.num_levels, 1), _SEPARATOR)
        parts = []
        for clip_id, of_clip in codes.items():
            parts += [separator, _first_levels(of_clip, self.num_levels, f"codes[{clip_id!r}]")]
        self._codes = np.concatenate(parts, axis=1)
        self._order = np.argsort(self._codes[0], kind="stable")
        self._sorted = self._codes[0][self._order]

    def shared_runs(self, codes: np.ndarray) -> SharedRuns:
        """Find the longest runs of tokens of a dance that also occur in a training dance.

        Args:
            codes: `(levels, tokens)` int, at least `num_levels` levels and a token.
        """
        codes = _first_levels(codes, self.num_levels, "codes")
        # For each token, the longest shared run that ends with it: one longer than the run that ended before it.
        running = np.zeros(self._codes.shape[1], int)  # by the token of the library that the run ends with
        previous = np.empty(0, int)
        ending = np.zeros(codes.shape[1], int)
        for index, token in enumerate(codes.T):
            places = self._places(token)
            lengths = running[places - 1] + 1
            running[previous] = 0
            running[places] = lengths
            if len(places):
                ending[index] = lengths.max()
            previous = places
        return SharedRuns(_longest_holding(ending))

    def _places(self, token: np.ndarray) -> np.ndarray:
        """Return where a token `(levels,)` stands in the library."""
        low, high = np.searchsorted(self._sorted, [token[0], token[0] + 1])
        places = self._order[low:high]
        return places[(self._codes[1:, places] == token[1:, None]).all(axis=0)]


def code_ngrams(codes: np.ndarray, length: int) -> np.ndarray:
    """Cut codes into all their runs of some length.

    Args:
        codes: `(levels, tokens)`, integers.
        length: Tokens in a run.

    Returns:
        `(tokens - length + 1, levels * length)` int64; no row if there are too few tokens.
    """
    if codes.ndim != 2:
        raise ValueError(f"`codes` must have shape (levels, tokens), got {codes.shape}.")
    if codes.shape[1] < length:
        return np.empty((0, codes.shape[0] * length), np.int64)
    runs = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int64), length, axis=1)
    return runs.transpose(1, 0, 2).reshape(runs.shape[1], -1)


def distinct_ngram_share(codes: np.ndarray, length: int) -> float:
    """Return the number of different runs over the number of runs: 1 = nothing repeats, near 0 = a loop.

    Args:
        codes: `(levels, tokens)`, at least `length` tokens.
        length: Tokens in a run.
    """
    runs = code_ngrams(codes, length)
    if len(runs) == 0:
        raise ValueError(f"There must be at least {length} tokens, got {codes.shape[1]}.")
    return len(np.unique(runs, axis=0)) / len(runs)


def known_ngrams(training_codes: Iterable[np.ndarray], length: int) -> set[bytes]:
    """Collect all runs of some length of the training dances, for `copied_ngram_share`.

    Args:
        training_codes: Each `(levels, tokens)`; every version that was trained on, also mirrored and offset ones.
        length: Tokens in a run.
    """
    return {run.tobytes() for codes in training_codes for run in code_ngrams(codes, length)}


def copied_ngram_share(codes: np.ndarray, known: set[bytes], length: int) -> float:
    """Return the share of runs of a dance that occur, code by code at all levels, in any training dance.

    Args:
        codes: `(levels, tokens)`, at least `length` tokens.
        known: From `known_ngrams`, with the same length.
        length: Tokens in a run.
    """
    runs = code_ngrams(codes, length)
    if len(runs) == 0:
        raise ValueError(f"There must be at least {length} tokens, got {codes.shape[1]}.")
    return float(np.mean([run.tobytes() in known for run in runs]))


def _window_distances(poses: np.ndarray, clip: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Return the mean squared distance of windows of a dance from all windows of a clip, `(windows, clip windows)`."""
    ours = poses.reshape(len(poses), -1).astype(np.float32)
    theirs = clip.reshape(len(clip), -1).astype(np.float32)
    frames = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T
    num_places = len(clip) - window + 1
    total = np.zeros((len(starts), num_places), np.float32)
    for offset in range(window):
        total += frames[starts + offset, offset : offset + num_places]
    return total / (window * poses.shape[1])


def _longest_holding(ending: np.ndarray) -> np.ndarray:
    """Turn the length of the run that ends with each token into that of the longest run that holds it."""
    holding = np.zeros_like(ending)
    for last in np.argsort(ending, kind="stable"):  # longer runs overwrite shorter ones
        holding[last - ending[last] + 1 : last + 1] = ending[last]
    return holding


def _first_levels(codes: np.ndarray, num_levels: int, name: str) -> np.ndarray:
    if codes.ndim != 2 or not 1 <= num_levels <= len(codes) or codes.shape[1] == 0:
        raise ValueError(f"`{name}` must have shape (levels >= {num_levels} >= 1, tokens >= 1), got {codes.shape}.")
    if not np.issubdtype(codes.dtype, np.integer) or codes.min() < 0:
        raise ValueError(f"`{name}` must be integers from 0, got {codes.dtype} from {codes.min()}.")
    return codes[:num_levels].astype(int)
