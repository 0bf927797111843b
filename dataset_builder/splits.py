"""Song-disjoint splits: no song that is trained on is ever tested on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from .clip_folder import ClipRecord

TRAIN, VALIDATION, TEST = "train", "validation", "test"
MIN_SONGS_TO_HOLD_OUT = 5
"""A genre with fewer songs than this gives none away: it would lose too much of what there is to learn from."""


def split_by_song(
    records: Sequence[ClipRecord],
    *,
    test_fraction: float = 0.15,
    validation_fraction: float = 0.0,
    min_test_songs: int = 4,
    seed: int = 0,
    test_song_ids: Collection[str] | None = None,
) -> dict[str, list[ClipRecord]]:
    """Divide clips by their songs, so that all takes and mirrored copies of a song are in one split.

    Songs are drawn in the order of a hash of seed and song id, within each genre and apart for songs with and without
    aligned music; so the result does not depend on the order of the records. Of every genre with at least
    `MIN_SONGS_TO_HOLD_OUT` songs each asked-for split gets one or more. Divide a folder once and filter afterwards:
    dividing a part of it draws other songs.

    Args:
        records: The clips.
        test_fraction: Share of each genre's songs to test on.
        validation_fraction: Share of each genre's songs to choose settings by; 0 for none.
        min_test_songs: Least number of songs with aligned music in the test split, if any clip has aligned music.
        seed: Another seed draws other songs.
        test_song_ids: Names the songs of the test split instead of drawing them.

    Returns:
        The keys `train`, `validation` and `test`; each list is sorted by `clip_id`.

    Raises:
        ValueError: If a fraction is out of range, a named song does not exist, or there are too few songs.
    """
    if not (0 < test_fraction < 1 and 0 <= validation_fraction < 1 and test_fraction + validation_fraction < 1):
        raise ValueError(
            "`test_fraction` must be above 0, `validation_fraction` at least 0 and their sum below 1, got "
            f"{test_fraction} and {validation_fraction}."
        )
    strata = _songs_by_stratum(records, seed)
    if test_song_ids is None:
        test_songs = _draw_test_songs(strata, test_fraction, min_test_songs)
    else:
        test_songs = set(test_song_ids)
        unknown = sorted(test_songs - {record.song_id for record in records})
        if unknown:
            raise ValueError(f"`test_song_ids` must name songs of the records, got unknown {', '.join(unknown)}.")
    validation_songs: set[str] = set()
    if validation_fraction:
        for songs in strata.values():
            rest = [song for song in songs if song not in test_songs]
            validation_songs.update(rest[: _held_out_count(len(songs), validation_fraction)])

    splits: dict[str, list[ClipRecord]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for record in sorted(records, key=lambda record: record.clip_id):
        held_out = VALIDATION if record.song_id in validation_songs else TRAIN
        splits[TEST if record.song_id in test_songs else held_out].append(record)
    if not splits[TRAIN]:
        raise ValueError(f"At least one song must remain to train on; all {len(records)} clips are held out.")
    return splits


def _songs_by_stratum(records: Iterable[ClipRecord], seed: int) -> dict[tuple[bool, str], list[str]]:
    """List the songs by (has aligned music, genre), each list in the order in which songs are drawn."""
    takes: dict[str, list[ClipRecord]] = defaultdict(list)
    for record in records:
        takes[record.song_id].append(record)
    strata: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for song_id, clips in takes.items():
        has_music = any(clip.audio_path is not None and clip.aligned for clip in clips)
        strata[has_music, min(clip.genre for clip in clips)].append(song_id)
    return {
        stratum: sorted(strata[stratum], key=lambda song_id: hashlib.sha256(f"{seed}/{song_id}".encode()).digest())
        for stratum in sorted(strata)
    }


def _held_out_count(num_songs: int, fraction: float) -> int:
    return max(1, round(fraction * num_songs)) if num_songs >= MIN_SONGS_TO_HOLD_OUT else 0


def _draw_test_songs(strata: dict[tuple[bool, str], list[str]], test_fraction: float, min_test_songs: int) -> set[str]:
    counts = {stratum: _held_out_count(len(songs), test_fraction) for stratum, songs in strata.items()}
    with_music = [stratum for stratum in strata if stratum[0]]
    if with_music:
        num_songs = sum(len(strata[stratum]) for stratum in with_music)
        if num_songs <= min_test_songs:
            raise ValueError(
                f"There must be more than `min_test_songs` = {min_test_songs} songs with aligned music, "
                f"got {num_songs}. Lower `min_test_songs` or add songs."
            )
        while sum(counts[stratum] for stratum in with_music) < min_test_songs:
            richest = max(with_music, key=lambda stratum: len(strata[stratum]) - counts[stratum])
            counts[richest] += 1
    return {song for stratum, songs in strata.items() for song in songs[: counts[stratum]]}
