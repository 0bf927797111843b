"""Song- and performer-disjoint splits: no song or dancer that is trained on is ever tested on."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from ..utils.mappings import read_mapping

SPLITS = TRAIN, VALIDATION, TEST = "train", "validation", "test"
TEST_FRACTION, VALIDATION_FRACTION = 0.10, 0.05
"""The paper's 85/5/10 (section 3.1)."""
MIN_SONGS_TO_HOLD_OUT = 5
"""A genre with fewer songs than this gives none away by itself: it would lose too much of what there is to learn."""
POOLED = ""
"""Genre under which small genres are drawn together."""
MIN_SONGS_FOR_VALIDATION, MIN_SONGS_FOR_TEST = 2, 4
"""From so many groups of songs on each has at least one."""
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
    test_fraction: float = TEST_FRACTION,
    validation_fraction: float = VALIDATION_FRACTION,
    seed: int = 0,
) -> dict[str, list[Record]]:
    """Draw which songs are trained on, so that all takes and mirrored copies of a song are in one split.

    Songs are drawn in the order of a hash of seed and song id, within each genre and apart for songs with and without
    aligned music; so the result does not depend on the order of the records. Genres with fewer than
    `MIN_SONGS_TO_HOLD_OUT` songs are drawn from together. Divide a folder once and filter afterwards: dividing a part
    of it draws other songs.

    Where the records name performers, songs that share one are drawn together (`song_groups`), under the first of
    their names and with most songs' genre. A group that would take more than its split's share of the genre is passed
    over; if none fits, the smallest is chosen, unless it holds more than half of the genre's songs.

    Few songs are divided too: of those with music, and of those without, one is held out for validation from
    `MIN_SONGS_FOR_VALIDATION` groups on, and one for test from `MIN_SONGS_FOR_TEST` on.

    Args:
        records: The clips.
        test_fraction: Share of each genre's songs to test on.
        validation_fraction: Share of each genre's songs to choose settings by.
        seed: Another seed draws other songs.

    Returns:
        The keys `train`, `validation` and `test`; each list is sorted by `clip_id`.

    Raises:
        ValueError: If a fraction is out of range.
    """
    if not (0 < test_fraction < 1 and 0 < validation_fraction < 1 and test_fraction + validation_fraction < 1):
        raise ValueError(
            "`test_fraction` and `validation_fraction` must be above 0 and their sum below 1, got "
            f"{test_fraction} and {validation_fraction}."
        )
    strata = _groups_by_stratum(records, seed)
    songs: dict[str, set[str]] = {TEST: set(), VALIDATION: set()}
    for name, fraction in ((TEST, test_fraction), (VALIDATION, validation_fraction)):
        for groups in strata.values():
            free = [group for group in groups if not songs[TEST].intersection(group)]
            songs[name] |= _draw(free, _held_out_count(_num_songs(groups), fraction), _num_songs(groups))
    for has_music in (True, False):
        groups = [group for stratum, groups in strata.items() if stratum[0] == has_music for group in groups]
        for name, least in ((VALIDATION, MIN_SONGS_FOR_VALIDATION), (TEST, MIN_SONGS_FOR_TEST)):
            if len(groups) >= least and not any(songs[name].intersection(group) for group in groups):
                free = [group for group in groups if not (songs[TEST] | songs[VALIDATION]).intersection(group)]
                if len(free) > 1:
                    smallest: tuple[str, ...] = min(free, key=len)
                    songs[name].update(smallest)
    return _divide(records, songs)


def split_by_name(records: Sequence[Record], songs: Mapping[str, Collection[str]]) -> dict[str, list[Record]]:
    """Divide clips by songs that are named.

    Args:
        records: The clips.
        songs: Song ids by split, `validation` and `test`; all other songs are trained on.

    Returns:
        As `split_by_song`.

    Raises:
        ValueError: If there is no such split or song, a song is named twice, a song shares a performer with one of
            another split, or nothing remains to train on.
    """
    unknown = sorted(set(songs) - {VALIDATION, TEST})
    if unknown:
        raise ValueError(f"Songs can be named for {VALIDATION} and {TEST}, got {', '.join(unknown)}.")
    named = {name: set(songs.get(name, ())) for name in (VALIDATION, TEST)}
    twice = sorted(named[VALIDATION] & named[TEST])
    if twice:
        raise ValueError(f"A song cannot be in two splits, got {', '.join(twice)}.")
    absent = sorted((named[VALIDATION] | named[TEST]) - {record.song_id for record in records})
    if absent:
        raise ValueError(f"Splits must name songs of the data, got unknown {', '.join(absent)}.")
    for group in song_groups(records):
        for name in (VALIDATION, TEST):
            if named[name].intersection(group) and not named[name].issuperset(group):
                missing = ", ".join(sorted(set(group) - named[name]))
                raise ValueError(f"Songs that share a performer must be in one split: name also {missing} for {name}.")
    return _divide(records, named)


def read_split_songs(path: str | os.PathLike) -> dict[str, list[str]]:
    """Read the songs of each split, for `split_by_name`, from a YAML or JSON file.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If a YAML file is given without the extra `data`.
        ValueError: If the file is not a mapping of splits to lists of song ids.
    """
    content = read_mapping(path)
    lists = content.values()
    if not all(isinstance(songs, list) and all(isinstance(song, str) for song in songs) for songs in lists):
        raise ValueError(f"{path} must map `validation` and `test` to lists of song ids.")
    return content


def split_as_stated(records: Sequence[Record], *, seed: int = 0) -> dict[str, list[Record]]:
    """Divide clips as their source states it, and draw the songs of which it states nothing.

    A clip without a statement goes with those that it is joined to by songs, performers and units (`song_groups`).

    Args:
        records: The clips; the `split` of some is `"train"`, `"validation"` or `"test"`.
        seed: Of the draw, see `split_by_song`.

    Returns:
        As `split_by_song`; what is not held out may be nothing, where the source says so.

    Raises:
        ValueError: If two splits share a song or a choreographic unit, or a clip without a statement is joined to
            several splits. A performer may be in two splits where the source says so: what is tested then is new
            takes of a known dancer.
    """
    group_of = {song_id: number for number, songs in enumerate(song_groups(records)) for song_id in songs}
    stated: dict[int, set[str]] = defaultdict(set)
    for record in records:
        if _stated_split(record):
            stated[group_of[record.song_id]].add(_stated_split(record))
    free = [record for record in records if group_of[record.song_id] not in stated]
    splits = split_by_song(free, seed=seed) if free else {name: [] for name in SPLITS}
    for record in records:
        names = stated.get(group_of[record.song_id])
        if names is None:
            continue
        name = _stated_split(record) or ", ".join(sorted(names))
        if name not in SPLITS:
            raise ValueError(
                f"Clip {record.clip_id} states no split, and is joined to {name} by its song, performer or units: "
                "state the split of it, too."
            )
        splits[name].append(record)
    _check_apart(splits)
    return {name: sorted(members, key=lambda record: record.clip_id) for name, members in splits.items()}


def _stated_split(record: object) -> str:
    return getattr(record, "split", "")


def _check_apart(splits: Mapping[str, Sequence[SplitRecord]]) -> None:
    """Raise `ValueError` if two splits share a song or a choreographic unit."""
    for what in ("song", "unit"):
        places: dict[str, str] = {}
        for name, members in splits.items():
            for record in members:
                for label in [record.song_id] if what == "song" else sorted(unit_labels(record)):
                    if places.setdefault(label, name) != name:
                        raise ValueError(
                            f"No {what} may be in two splits, got {label} in {places[label]} and, with clip "
                            f"{record.clip_id}, in {name}: state one split for all clips of it."
                        )


def unit_labels(record: object) -> set[str]:
    """Return the labels of the choreographic units of a clip, none where they are not known."""
    return {label for label, _ in getattr(record, "units", ())}


def _divide(records: Sequence[Record], songs: Mapping[str, Collection[str]]) -> dict[str, list[Record]]:
    """Put each clip into the split of its song."""
    splits: dict[str, list[Record]] = {name: [] for name in SPLITS}
    for record in sorted(records, key=lambda record: record.clip_id):
        name = next((name for name in (VALIDATION, TEST) if record.song_id in songs[name]), TRAIN)
        splits[name].append(record)
    if not splits[TRAIN]:
        raise ValueError(f"At least one song must remain to train on; all {len(records)} clips are held out.")
    return splits


def song_groups(records: Iterable[SplitRecord]) -> list[tuple[str, ...]]:
    """Group the songs that no split may part: joined by a chain of shared performers and choreographic units.

    Args:
        records: The clips; those without a `performer_id` and `units` join nothing.

    Returns:
        Each group as its sorted song ids; the groups in the order of their first song.
    """
    leader: dict[str, str] = {}

    def find(song_id: str) -> str:
        while leader[song_id] != song_id:
            leader[song_id] = leader[leader[song_id]]
            song_id = leader[song_id]
        return song_id

    first_song: dict[tuple[str, str], str] = {}
    for record in records:
        leader.setdefault(record.song_id, record.song_id)
        performer = getattr(record, "performer_id", "")
        links = [("performer", performer)] if performer else []
        for link in [*links, *(("unit", label) for label in sorted(unit_labels(record)))]:
            leader[find(record.song_id)] = find(first_song.setdefault(link, record.song_id))
    groups: dict[str, list[str]] = defaultdict(list)
    for song_id in sorted(leader):
        groups[find(song_id)].append(song_id)
    return [tuple(songs) for songs in groups.values()]


def _groups_by_stratum(records: Sequence[SplitRecord], seed: int) -> dict[tuple[bool, str], list[tuple[str, ...]]]:
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


def _draw(groups: Sequence[tuple[str, ...]], count: int, num_songs: int) -> set[str]:
    """Take groups in their order while they fit into `count` songs, or the smallest where none fits."""
    drawn: set[str] = set()
    for group in groups:
        if len(drawn) + len(group) <= count:
            drawn.update(group)
    if count and groups and not drawn:
        smallest = min(groups, key=len)
        drawn.update(smallest if len(smallest) <= MAX_HELD_OUT_SHARE * num_songs else ())
    return drawn
