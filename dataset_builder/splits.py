"""Song- and performer-disjoint splits: no song or dancer that is trained on is ever tested on."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

TRAIN, VALIDATION, TEST = "train", "validation", "test"
MIN_SONGS_TO_HOLD_OUT = 5
"""A genre with fewer songs than this gives none away: it would lose too much of what there is to learn from."""
POOLED = ""
"""Genre under which small genres are drawn together."""
MAX_HELD_OUT_SHARE = 0.5
"""Of the songs of a genre at most this share goes with one group of songs that cannot be parted."""


class SplitRecord(Protocol):
    """What a split needs to know of a clip; a `performer_id` is heeded where there is one."""

    @property
    def clip_id(self) -> str:
        """Unique name of the clip."""

    @property
    def song_id(self) -> str:
        """Names the song."""

    @property
    def genre(self) -> str:
        """Genre of the dance."""

    @property
    def audio_path(self) -> Path | None:
        """The song, `None` where there is none."""

    @property
    def aligned(self) -> bool:
        """Whether motion and song run together."""


Record = TypeVar("Record", bound=SplitRecord)


def split_by_song(
    records: Sequence[Record],
    *,
    test_fraction: float = 0.15,
    validation_fraction: float = 0.0,
    min_test_songs: int = 4,
    seed: int = 0,
    test_song_ids: Collection[str] | None = None,
    pool_small_genres: bool = False,
) -> dict[str, list[Record]]:
    """Divide clips by their songs, so that all takes and mirrored copies of a song are in one split.

    Songs are drawn in the order of a hash of seed and song id, within each genre and apart for songs with and without
    aligned music; so the result does not depend on the order of the records. Of every genre with at least
    `MIN_SONGS_TO_HOLD_OUT` songs each asked-for split gets one or more. Divide a folder once and filter afterwards:
    dividing a part of it draws other songs.

    Where the records name performers, songs that share one are drawn together (`song_groups`), under the first of
    their names and with most songs' genre. A group that would take more than its split's share of the genre is passed
    over; if none fits, the smallest is taken, unless it holds more than half of the genre's songs.

    Args:
        records: The clips.
        test_fraction: Share of each genre's songs to test on.
        validation_fraction: Share of each genre's songs to choose settings by; 0 for none.
        min_test_songs: Least number of songs with aligned music in the test split, if any clip has aligned music.
        seed: Another seed draws other songs.
        test_song_ids: Names the songs of the test split instead of drawing them.
        pool_small_genres: Draw from all genres with fewer than `MIN_SONGS_TO_HOLD_OUT` songs as if they were one.

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
    strata = _groups_by_stratum(records, seed, pool_small_genres)
    if test_song_ids is None:
        test_songs = _draw_test_songs(strata, test_fraction, min_test_songs)
    else:
        test_songs = set(test_song_ids)
        _check_named_songs(test_songs, strata)
    validation_songs: set[str] = set()
    if validation_fraction:
        for groups in strata.values():
            rest = [group for group in groups if not test_songs.intersection(group)]
            validation_songs |= _draw(rest, _held_out_count(_num_songs(groups), validation_fraction))

    splits: dict[str, list[Record]] = {TRAIN: [], VALIDATION: [], TEST: []}
    for record in sorted(records, key=lambda record: record.clip_id):
        held_out = VALIDATION if record.song_id in validation_songs else TRAIN
        splits[TEST if record.song_id in test_songs else held_out].append(record)
    if not splits[TRAIN]:
        raise ValueError(f"At least one song must remain to train on; all {len(records)} clips are held out.")
    return splits


def song_groups(records: Iterable[SplitRecord]) -> list[tuple[str, ...]]:
    """Group the songs that no split may part: those that are joined by a chain of shared performers.

    Args:
        records: The clips; those without a `performer_id` join nothing.

    Returns:
        Each group as its sorted song ids; the groups in the order of their first song.
    """
    leader: dict[str, str] = {}

    def find(song_id: str) -> str:
        while leader[song_id] != song_id:
            leader[song_id] = leader[leader[song_id]]
            song_id = leader[song_id]
        return song_id

    first_song: dict[str, str] = {}
    for record in records:
        leader.setdefault(record.song_id, record.song_id)
        performer = getattr(record, "performer_id", "")
        if performer:
            leader[find(record.song_id)] = find(first_song.setdefault(performer, record.song_id))
    groups: dict[str, list[str]] = defaultdict(list)
    for song_id in sorted(leader):
        groups[find(song_id)].append(song_id)
    return [tuple(songs) for songs in groups.values()]


def _groups_by_stratum(
    records: Sequence[SplitRecord], seed: int, pool_small_genres: bool
) -> dict[tuple[bool, str], list[tuple[str, ...]]]:
    """List the groups by (has aligned music, genre), each list in the order in which groups are drawn."""
    takes: dict[str, list[SplitRecord]] = defaultdict(list)
    for record in records:
        takes[record.song_id].append(record)
    strata: dict[tuple[bool, str], list[tuple[str, ...]]] = defaultdict(list)
    for group in song_groups(records):
        clips = [clip for song_id in group for clip in takes[song_id]]
        has_music = any(clip.audio_path is not None and clip.aligned for clip in clips)
        counts = Counter(min(clip.genre for clip in takes[song_id]) for song_id in group)
        strata[has_music, min(counts, key=lambda genre: (-counts[genre], genre))].append(group)
    if pool_small_genres:
        small = [stratum for stratum, groups in strata.items() if _num_songs(groups) < MIN_SONGS_TO_HOLD_OUT]
        for stratum in small:
            strata[stratum[0], POOLED].extend(strata.pop(stratum))
    return {
        stratum: sorted(strata[stratum], key=lambda group: hashlib.sha256(f"{seed}/{group[0]}".encode()).digest())
        for stratum in sorted(strata)
    }


def _num_songs(groups: Iterable[tuple[str, ...]]) -> int:
    return sum(map(len, groups))


def _held_out_count(num_songs: int, fraction: float) -> int:
    return max(1, round(fraction * num_songs)) if num_songs >= MIN_SONGS_TO_HOLD_OUT else 0


def _draw(groups: Sequence[tuple[str, ...]], count: int) -> set[str]:
    """Take groups in their order while they fit into `count` songs, or the smallest where none fits."""
    drawn: set[str] = set()
    for group in groups:
        if len(drawn) + len(group) <= count:
            drawn.update(group)
    if count and groups and not drawn:
        smallest = min(groups, key=len)
        drawn.update(smallest if len(smallest) <= MAX_HELD_OUT_SHARE * _num_songs(groups) else ())
    return drawn


def _draw_test_songs(
    strata: dict[tuple[bool, str], list[tuple[str, ...]]], test_fraction: float, min_test_songs: int
) -> set[str]:
    counts = {stratum: _held_out_count(_num_songs(groups), test_fraction) for stratum, groups in strata.items()}
    with_music = [stratum for stratum in strata if stratum[0]]
    if with_music:
        num_songs = sum(_num_songs(strata[stratum]) for stratum in with_music)
        if num_songs <= min_test_songs:
            raise ValueError(
                f"There must be more than `min_test_songs` = {min_test_songs} songs with aligned music, "
                f"got {num_songs}. Lower `min_test_songs` or add songs."
            )
        while sum(counts[stratum] for stratum in with_music) < min_test_songs:
            richest = max(with_music, key=lambda stratum: _num_songs(strata[stratum]) - counts[stratum])
            counts[richest] += 1
    return {song for stratum, groups in strata.items() for song in _draw(groups, counts[stratum])}


def _check_named_songs(test_songs: set[str], strata: dict[tuple[bool, str], list[tuple[str, ...]]]) -> None:
    groups = [group for groups in strata.values() for group in groups]
    unknown = sorted(test_songs.difference(*groups))
    if unknown:
        raise ValueError(f"`test_song_ids` must name songs of the records, got unknown {', '.join(unknown)}.")
    missing = sorted(
        song for group in groups if test_songs.intersection(group) for song in group if song not in test_songs
    )
    if missing:
        raise ValueError(
            "`test_song_ids` must name all songs that share a performer with a named one, got no "
            f"{', '.join(missing)}."
        )
