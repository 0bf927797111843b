"""How well the two towers find the dance that belongs to a window of music."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..evaluation.metrics.pulse import bootstrap_interval
from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder, info_nce
from ..retrieval.encoding import encode_windows
from ..retrieval.windows import WindowLayout
from .data_retrieval import PairedTake

RECALLS = (1, 5, 10)


@dataclass(frozen=True)
class EncodedWindows:
    """Windows of music and dance, row by row of the same seconds.

    Args:
        music: `(windows, embedding_size)`, of length 1.
        motion: `(windows, embedding_size)`, of length 1.
        songs: The song of each window, `(windows,)`.
        genres: The genre of each window, `(windows,)`.
    """

    music: np.ndarray
    motion: np.ndarray
    songs: np.ndarray
    genres: np.ndarray


def encode_takes(encoder: MusicDanceEncoder, takes: Sequence[PairedTake]) -> EncodedWindows:
    """Encode the windows of whole dances: every stride, and one that ends with the dance."""
    layout = WindowLayout.from_config(encoder.config)
    music, motion, songs, genres = [], [], [], []
    for take in takes:
        num_frames = min(len(take.music), len(take.motion))
        starts = layout.clip_starts(num_frames)
        music.append(encode_windows(encoder, take.music[:num_frames], starts, "music"))
        motion.append(encode_windows(encoder, take.motion[:num_frames], starts, "motion"))
        songs += [take.song_id] * len(starts)
        genres += [take.genre] * len(starts)
    return EncodedWindows(np.concatenate(music), np.concatenate(motion), np.array(songs), np.array(genres))


def partner_ranks(windows: EncodedWindows, within_genre: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rank each window of music's own dance among the windows of all other songs.

    Other windows of its own song stand aside: they are neither right nor wrong.

    Args:
        windows: The windows.
        within_genre: Rank among other songs of the same genre only, to see what is known beyond the genre.

    Returns:
        The rank of each window's own dance, 0 = nearest, and the number of windows that it was ranked against; both
        `(windows,)`. Of equal cosines half count as nearer, so that an encoder that sees nothing ranks at chance.
    """
    similarity = windows.music @ windows.motion.T
    own = np.diagonal(similarity)[:, None]
    others = windows.songs[:, None] != windows.songs[None, :]
    if within_genre:
        others &= windows.genres[:, None] == windows.genres[None, :]
    ranks = ((similarity > own) & others).sum(axis=1) + 0.5 * ((similarity == own) & others).sum(axis=1)
    return ranks, others.sum(axis=1)


def mean_over_songs(values: np.ndarray, songs: np.ndarray) -> dict[str, float]:
    """Return the `mean` over songs of each song's mean, and the ends of its bootstrap interval, `low` and `high`."""
    per_song = np.array([values[songs == song].mean() for song in np.unique(songs)])
    low, high = bootstrap_interval(per_song)
    return {"mean": float(per_song.mean()), "low": low, "high": high}


def recall_table(windows: EncodedWindows, within_genre: bool = False) -> dict[int, dict[str, float]]:
    """Return for k = 1, 5 and 10 the share of windows whose own dance is among the k nearest.

    Args:
        windows: The windows, of two songs at least.
        within_genre: As in `partner_ranks`; a song that is alone in its genre is left out.

    Returns:
        For each k the recall as in `mean_over_songs`, and `chance`, what random ranks give.

    Raises:
        ValueError: If no window has another song's to be ranked against.
    """
    ranks, num_others = partner_ranks(windows, within_genre)
    ranked = num_others > 0
    if not ranked.any():
        kind = "of one genre " if within_genre else ""
        raise ValueError(f"Recall needs windows of two songs {kind}at least, got none. Hold out more songs.")
    songs = windows.songs[ranked]
    table = {}
    for k in RECALLS:
        chance = mean_over_songs(np.minimum(1.0, k / (1 + num_others[ranked])), songs)["mean"]
        table[k] = mean_over_songs(ranks[ranked] < k, songs) | {"chance": chance}
    return table


def genre_table(queries: EncodedWindows, library: EncodedWindows) -> dict[int, dict[str, float]]:
    """Return for k = 1, 5 and 10 the share of the k nearest dances of a library that have the genre of the query.

    Args:
        queries: Windows of held-out songs.
        library: Windows of other songs.

    Returns:
        As `recall_table`; chance is the share of the genre in the library.
    """
    order = np.argsort(-(queries.music @ library.motion.T), axis=1, kind="stable")
    same = library.genres[order] == queries.genres[:, None]  # (queries, library)
    chance = mean_over_songs(same.mean(axis=1), queries.songs)["mean"]
    return {k: mean_over_songs(same[:, :k].mean(axis=1), queries.songs) | {"chance": chance} for k in RECALLS}


def evaluate_retrieval(
    encoder: MusicDanceEncoder, takes: Sequence[PairedTake], library: EncodedWindows | None = None
) -> dict[str, float]:
    """Name the numbers of an evaluation on held-out songs.

    Args:
        encoder: In evaluation mode.
        takes: Held-out dances.
        library: Training dances.

    Returns:
        `loss`, InfoNCE over all windows, and `log_windows`, that of an encoder that sees nothing; `recall_k`, and
        `genre_recall_k` among songs of one genre, with `_rank_share`, the mean rank over the number of others (chance
        1/2); `right_genre_10`, the share of the 10 nearest dances of the library that have the right genre.
    """
    windows = encode_takes(encoder, takes)
    scale = float(encoder.logit_scale.detach().exp())
    logits = torch.from_numpy(scale * windows.music @ windows.motion.T)
    song_ids = torch.from_numpy(np.unique(windows.songs, return_inverse=True)[1])
    numbers = {"loss": float(info_nce(logits, song_ids)), "log_windows": float(np.log(len(logits)))}
    for name, within_genre in (("recall", False), ("genre_recall", True)):
        ranks, num_others = partner_ranks(windows, within_genre)
        if num_others.any():
            table = recall_table(windows, within_genre)
            numbers |= {f"{name}_{k}": row["mean"] for k, row in table.items()}
            numbers[f"{name}_rank_share"] = float((ranks[num_others > 0] / num_others[num_others > 0]).mean())
    if library is not None:
        numbers["right_genre_10"] = genre_table(windows, library)[10]["mean"]
    return numbers
