import random
from dataclasses import replace
from pathlib import Path

import pytest

from infinitedance.dataset_builder.clip_folder import ClipRecord, read_clip_folder
from infinitedance.dataset_builder.splits import split_by_song


def make_records(songs_by_genre: dict[str, int], *, takes: int = 2, music: bool = True) -> list[ClipRecord]:
    return [
        ClipRecord(
            clip_id=f"{genre}_{song}_{take}",
            motion_path=Path("motion.npz"),
            audio_path=Path("song.ogg") if music else None,
            song_id=f"{genre}_{song}",
            genre=genre,
            source="",
            licence="",
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


def test_every_genre_with_five_songs_is_tested_and_smaller_ones_are_kept_for_training():
    records = make_records({"waltz": 30, "rumba": 5, "tango": 4})
    splits = split_by_song(records, test_fraction=0.1, validation_fraction=0.1)
    for name in ("validation", "test"):
        assert {record.genre for record in splits[name]} == {"waltz", "rumba"}


def test_the_least_number_of_test_songs_is_reached():
    records = make_records({"waltz": 6, "rumba": 5})
    assert len(song_ids(split_by_song(records, test_fraction=0.01)["test"])) == 4


def test_songs_with_and_without_music_are_drawn_apart():
    records = make_records({"waltz": 6}) + make_records({"general": 40}, music=False)
    test = split_by_song(records, test_fraction=0.1)["test"]
    assert len(song_ids([record for record in test if record.audio_path])) == 4
    assert len(song_ids([record for record in test if not record.audio_path])) == 4


def test_clips_without_music_need_no_least_number_of_songs():
    records = make_records({"general": 10}, music=False)
    assert len(song_ids(split_by_song(records, test_fraction=0.1)["test"])) == 1


def test_named_songs_are_the_test_split():
    records = make_records({"waltz": 20})
    splits = split_by_song(records, test_song_ids=["waltz_3", "waltz_5"], validation_fraction=0.1)
    assert song_ids(splits["test"]) == {"waltz_3", "waltz_5"}
    assert len(song_ids(splits["validation"])) == 2 and not song_ids(splits["validation"]) & {"waltz_3", "waltz_5"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test_fraction": 0.0}, "`test_fraction` must be above 0"),
        ({"test_fraction": 0.6, "validation_fraction": 0.4}, "their sum below 1"),
        ({"validation_fraction": -0.1}, "`validation_fraction` at least 0"),
        ({"min_test_songs": 10}, "more than `min_test_songs` = 10 songs with aligned music, got 10"),
        ({"test_song_ids": ["polka_1"]}, "unknown polka_1"),
        ({"test_song_ids": [f"waltz_{song}" for song in range(10)]}, "At least one song must remain"),
    ],
)
def test_an_impossible_split_is_refused_with_the_reason(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_by_song(make_records({"waltz": 10}), **arguments)


@pytest.mark.shared_data
def test_the_real_data_holds_out_songs_of_waltz_and_rumba(shared_data_dir):
    test = split_by_song(read_clip_folder(shared_data_dir))["test"]
    with_music = [record for record in test if record.audio_path and record.aligned]
    assert {record.genre for record in with_music} == {"waltz", "rumba"}
    assert len(song_ids(with_music)) >= 4
