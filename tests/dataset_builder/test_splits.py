import random
from dataclasses import replace
from pathlib import Path

import pytest

from infinitedance.dataset_builder.clip_folder import ClipRecord
from infinitedance.dataset_builder.splits import (
    SPLITS,
    song_groups,
    split_as_stated,
    split_by_name,
    split_by_song,
    unit_labels,
)


def make_records(songs_by_genre: dict[str, int], *, takes: int = 2, music: bool = True) -> list[ClipRecord]:
    return [
        ClipRecord(
            clip_id=f"{genre}_{song}_{take}",
            motion_path=Path("motion.npz"),
            audio_path=Path("song.ogg") if music else None,
            song_id=f"{genre}_{song}",
            genre=genre,
            source="",
            license="",
            bpm=None,
            aligned=music,
            duration_seconds=None,
        )
        for genre, count in songs_by_genre.items()
        for song in range(count)
        for take in range(takes)
    ]


def song_ids(records: list[ClipRecord]) -> set[str]:
    return {record.song_id for record in records}


def test_no_song_is_in_two_splits_and_no_clip_is_lost():
    records = make_records({"waltz": 20, "rumba": 8})
    records += [replace(record, clip_id=record.clip_id + "_mirror") for record in records]
    splits = split_by_song(records, validation_fraction=0.1)
    train, validation, test = (song_ids(splits[name]) for name in ("train", "validation", "test"))
    assert train and validation and test
    assert not (train & validation or train & test or validation & test)
    assert sorted(record.clip_id for part in splits.values() for record in part) == sorted(
        record.clip_id for record in records
    )


def test_the_order_of_the_records_does_not_matter():
    records = make_records({"waltz": 20, "rumba": 8})
    shuffled = random.Random(0).sample(records, len(records))
    assert split_by_song(shuffled) == split_by_song(records)


def test_another_seed_draws_other_songs():
    records = make_records({"waltz": 40})
    assert song_ids(split_by_song(records, seed=0)["test"]) != song_ids(split_by_song(records, seed=1)["test"])


def test_every_genre_with_five_songs_is_held_out_from_and_smaller_ones_together():
    splits = split_by_song(make_records({"waltz": 30, "rumba": 5, "tango": 4}), test_fraction=0.1)
    for name in ("validation", "test"):
        assert {record.genre for record in splits[name]} == {"waltz", "rumba"}
    pooled = split_by_song(make_records({"waltz": 4, "rumba": 4, "tango": 4}))
    assert {name: len(song_ids(part)) for name, part in pooled.items()} == {"train": 10, "validation": 1, "test": 1}


def test_songs_with_and_without_music_are_drawn_apart():
    records = make_records({"waltz": 6}) + make_records({"general": 40}, music=False)
    splits = split_by_song(records, test_fraction=0.1)
    for name, without in (("validation", 2), ("test", 4)):
        assert len(song_ids([record for record in splits[name] if record.audio_path])) == 1
        assert len(song_ids([record for record in splits[name] if not record.audio_path])) == without


@pytest.mark.parametrize(
    ("num_songs", "sizes"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (2, 1, 0)), (4, (2, 1, 1)), (5, (3, 1, 1))]
)
def test_few_songs_are_divided_too(num_songs, sizes):
    splits = split_by_song(make_records({"waltz": num_songs}))
    assert tuple(len(song_ids(splits[name])) for name in ("train", "validation", "test")) == sizes


def test_named_songs_are_the_splits():
    splits = split_by_name(make_records({"waltz": 20}), {"test": ["waltz_3", "waltz_5"], "validation": ["waltz_7"]})
    assert song_ids(splits["test"]) == {"waltz_3", "waltz_5"} and song_ids(splits["validation"]) == {"waltz_7"}
    assert len(song_ids(splits["train"])) == 17


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"test_fraction": 0.0}, "must be above 0"),
        ({"test_fraction": 0.6, "validation_fraction": 0.4}, "their sum below 1"),
        ({"validation_fraction": -0.1}, "must be above 0"),
    ],
)
def test_an_impossible_share_is_refused(fractions, message):
    with pytest.raises(ValueError, match=message):
        split_by_song(make_records({"waltz": 10}), **fractions)


@pytest.mark.parametrize(
    ("songs", "message"),
    [
        ({"test": ["polka_1"]}, "unknown polka_1"),
        ({"train": ["waltz_1"]}, "got train"),
        ({"test": ["waltz_1"], "validation": ["waltz_1"]}, "cannot be in two splits, got waltz_1"),
        ({"test": [f"waltz_{song}" for song in range(10)]}, "At least one song must remain"),
    ],
)
def test_impossible_names_are_refused_with_the_reason(songs, message):
    with pytest.raises(ValueError, match=message):
        split_by_name(make_records({"waltz": 10}), songs)


def with_units(record: ClipRecord, *labels: str) -> ClipRecord:
    return replace(record, units=tuple((label, 1.0) for label in labels))


def test_no_unit_is_in_two_splits():
    draw = random.Random(0)
    held_out = 0
    for _ in range(200):
        records = make_records({"waltz": draw.randint(5, 30)}, takes=1)
        labels = [f"W-{number}" for number in range(40)]
        records = [with_units(record, *draw.sample(labels, draw.randint(0, 2))) for record in records]
        splits = split_by_song(records, seed=draw.randrange(9))
        found = [{label for record in part for label in unit_labels(record)} for part in splits.values()]
        assert sum(map(len, found)) == len(set().union(*found))
        held_out += bool(splits["test"])
    assert held_out > 50


def test_songs_are_joined_by_a_chain_of_units_and_performers():
    a, b, c, d = make_records({"waltz": 4}, takes=1)
    records = [with_units(a, "W-1"), with_units(replace(b, performer_id="x"), "W-1"), replace(c, performer_id="x"), d]
    assert song_groups(records) == [("waltz_0", "waltz_1", "waltz_2"), ("waltz_3",)]


def test_without_statements_songs_are_drawn_as_always():
    records = make_records({"waltz": 20, "rumba": 8})
    for seed in (0, 3):
        assert split_as_stated(records, seed=seed) == split_by_song(records, seed=seed)


def test_stated_splits_are_kept_and_all_else_is_drawn():
    records = make_records({"waltz": 30})
    held = {"waltz_3": "test", "waltz_4": "validation", "waltz_5": "train"}
    stated = [replace(record, split=held.get(record.song_id, "")) for record in records]
    splits = split_as_stated(stated, seed=1)
    for song_id, name in held.items():
        assert song_id in song_ids(splits[name])
    free = [record for record in stated if not record.split]
    for name, members in split_by_song(free, seed=1).items():
        assert song_ids(members) == song_ids(splits[name]) - set(held)
    assert all(
        [record.clip_id for record in splits[name]] == sorted(r.clip_id for r in splits[name]) for name in SPLITS
    )


def test_all_may_be_stated_to_be_tested_on():
    records = [replace(record, split="test") for record in make_records({"waltz": 3})]
    assert [len(split_as_stated(records)[name]) for name in SPLITS] == [0, 0, 6]


@pytest.mark.parametrize("shared", ["song_id", "performer_id", "units"])
def test_a_clip_without_a_statement_goes_with_those_that_it_is_joined_to(shared):
    records = make_records({"waltz": 30}, takes=1)
    value = {"song_id": "blue", "performer_id": "anna", "units": (("W-1", 1.0),)}[shared]
    for name in SPLITS:
        first = replace(records[0], split=name, **{shared: value})
        joined = replace(records[1], **{shared: value})
        splits = split_as_stated([first, joined, *records[2:]])
        assert {first.clip_id, joined.clip_id} <= {record.clip_id for record in splits[name]}


def test_a_performer_may_be_in_two_splits_where_the_source_says_so():
    first, second = make_records({"waltz": 2}, takes=1)
    records = [
        replace(first, performer_id="anna", split="train"),
        replace(second, performer_id="anna", split="test"),
    ]
    splits = split_as_stated(records)
    assert (len(splits["train"]), len(splits["test"])) == (1, 1)


def test_leaks_between_stated_splits_are_refused_with_the_clip():
    first, second, third = (
        replace(record, split=split)
        for record, split in zip(make_records({"waltz": 3}, takes=1), ("train", "test", ""), strict=True)
    )
    for records, message in (
        (
            [with_units(first, "W-1"), with_units(second, "W-2", "W-1")],
            "No unit may be in two splits, got W-1 in train and, with clip waltz_1_0, in test",
        ),
        (
            [first, replace(second, song_id=first.song_id)],
            "No song may be in two splits, got waltz_0 in train and, with clip waltz_1_0, in test",
        ),
        (
            [*(replace(record, performer_id="anna") for record in (first, second, third))],
            "Clip waltz_2_0 states no split, and is joined to test, train by its song, performer or units",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            split_as_stated(records)
