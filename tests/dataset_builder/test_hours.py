"""Unique minutes beside minutes, and what splits share."""

import random

import pytest

from infinitedance.dataset_builder.hours import shared_between_splits, unique_minutes_by_genre, unique_seconds


def test_a_unit_counts_once_by_the_median_of_its_lengths(built_clip):
    clips = [
        built_clip("a", num_frames=300, units=(("W-1", 2.0), ("W-2", 3.0), ("W-1", 5.0))),
        built_clip("b", num_frames=300, units=(("W-1", 2.5),)),
        built_clip("c", num_frames=90),
    ]
    assert unique_seconds(clips) == pytest.approx(2.5 + 3.0 + 3.0)
    assert unique_seconds([]) == 0


def test_mirrored_copies_and_the_order_of_clips_add_nothing(built_clip):
    clips = [
        built_clip(f"{number}", num_frames=60 + number, units=((f"W-{number % 3}", 1.0 + number),) * (number % 2))
        for number in range(20)
    ]
    mirrored = [built_clip(f"{clip.clip_id}_mirror", num_frames=clip.num_frames, units=clip.units) for clip in clips]
    shuffled = random.Random(0).sample([*clips, *mirrored], 40)
    assert unique_seconds(shuffled) == pytest.approx(unique_seconds(clips))


def test_unique_minutes_stand_beside_minutes_by_genre_and_split(built_clip):
    clips = [
        built_clip("a", num_frames=3600, units=(("W-1", 30.0), ("W-1", 30.0), ("W-2", 60.0))),
        built_clip("a_mirror", num_frames=3600, units=(("W-1", 30.0), ("W-1", 30.0), ("W-2", 60.0))),
        built_clip("b", num_frames=1800, units=(("W-3", 45.0),), split="test"),
        built_clip("c", num_frames=900, genre="rumba", coarse_genre="latin", split="validation"),
    ]
    table = unique_minutes_by_genre(clips)
    rows = {row[1] or row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert [row[0] for row in table.rows] == ["latin", "waltz", "all"]
    waltz = rows["waltz"]
    assert (waltz["units"], waltz["train min"], waltz["train unique min"]) == (3, "2.00", "1.50")
    assert (waltz["test min"], waltz["test unique min"]) == ("1.00", "0.75")
    assert (waltz["all min"], waltz["all unique min"]) == ("3.00", "2.25")
    rumba = rows["rumba"]
    assert (rumba["validation min"], rumba["validation unique min"], rumba["units"]) == ("0.50", "0.50", 0)
    assert (rows["all"]["all min"], rows["all"]["all unique min"]) == ("3.50", "2.75")


def test_shared_songs_units_and_performers_are_named_with_their_splits(built_clip):
    clips = [
        built_clip("a", song_id="blue", performer_id="anna", units=(("W-1", 1.0), ("W-2", 1.0))),
        built_clip("b", song_id="red", performer_id="anna", units=(("W-3", 1.0),), split="test"),
        built_clip("c", song_id="red", performer_id="", split="test"),
    ]
    rows = {row[0]: row[1:] for row in shared_between_splits(clips).rows}
    assert rows == {"songs": [2, 0, ""], "units": [3, 0, ""], "performers": [1, 1, "anna (train, test)"]}
    leaking = [*clips, built_clip("d", song_id="blue", units=(("W-2", 1.0),), split="validation")]
    rows = {row[0]: row[1:] for row in shared_between_splits(leaking).rows}
    assert rows["songs"][1:] == [1, "blue (train, validation)"] and rows["units"][1:] == [1, "W-2 (train, validation)"]


def test_a_long_list_of_shared_performers_is_cut(built_clip):
    clips = [
        built_clip(f"{number}{split}", song_id=f"{number}{split}", performer_id=f"{number:02d}", split=split)
        for number in range(15)
        for split in ("train", "test")
    ]
    row = shared_between_splits(clips).rows[2]
    assert row[1:3] == [15, 15] and row[3].endswith("11 (train, test); and 3 more")
