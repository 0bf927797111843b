"""Which parts of which files the shipped models learn from, and how they are counted."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from infinitedance.dataset_builder.clip_folder import read_clip_folder
from infinitedance.dataset_builder.splits import split_as_stated, unit_labels
from infinitedance.training.release import curate_dances, describe_dances
from infinitedance.training.release.curate_dances import (
    JOIN_FRAMES,
    bow_spans,
    fast_spans,
    parts_without,
    read_units,
    trimmed,
    write_units,
)

COLUMNS = (
    "clip", "file", "source", "genre", "seconds", "fps", "frames", "aligned", "audio", "bpm", "licence", "dancer",
    "units", "pulse_per_min",
)  # fmt: skip
MOVING = 0.02
"""Metres that every joint of a moving dancer goes from frame to frame: 0.6 m/s."""


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [(0, 100)]),
        ([(40, 60)], [(0, 40), (60, 100)]),
        ([(0, 30)], [(30, 100)]),
        ([(70, 100)], [(0, 70)]),
        ([(60, 80), (20, 40)], [(0, 20), (40, 60), (80, 100)]),
        ([(20, 60), (30, 40), (50, 70)], [(0, 20), (70, 100)]),  # overlapping, one inside another
        ([(0, 100)], []),
        ([(5, 95)], []),  # what is left is too short
    ],
)
def test_parts_are_what_lies_outside_the_spans(spans, expected):
    assert parts_without(100, spans, least_frames=20) == expected


def test_units_are_written_in_the_frames_of_their_part_and_read_back():
    units = [("W-1", 0, 45), ("W-2", 45, 90), ("W-3", 90, 180)]
    assert read_units(write_units(units, 0, 180)) == units
    assert read_units(write_units(units, 70, 180)) == [("W-2", 0, 20), ("W-3", 20, 110)]  # a part of W-2 is learned
    assert read_units(write_units(units, 80, 160)) == [("W-3", 10, 80)]  # of less than half a second nothing is
    assert write_units(units, 0, 10) == "" and read_units("") == []


def test_bows_are_cut_out_of_the_units_in_which_dancers_bow():
    low, high = curate_dances.BOWS["R-22-3"]
    ((first, end),) = bow_spans([("R-1-1", 0, 100), ("R-22-3", 100, 300)])
    assert (first, end) == (100 + round(200 * low), 100 + round(200 * high))


def test_steps_that_no_dancer_takes_are_cut_with_their_surroundings():
    positions = np.zeros((100, 22, 3))
    positions[50:, 7, 0] = 0.3  # 9 m/s
    positions[70:, 8, 0] = 0.25  # 7.5 m/s
    ((first, end),) = fast_spans(positions)
    assert first == 49 - JOIN_FRAMES and end == 49 + JOIN_FRAMES
    assert not fast_spans(np.zeros((100, 22, 3)))


def test_standing_before_and_after_a_dance_is_left_out_and_pauses_in_it_are_not():
    speed = np.zeros(300)
    speed[100:140], speed[180:220] = MOVING, MOVING
    positions = np.cumsum(speed)[:, None, None] * np.array([1.0, 0.0, 0.0]) + np.zeros((300, 22, 3))
    first, end = trimmed(positions, 0, 300)
    assert 60 < first < 100 and 220 < end < 260
    assert trimmed(positions, 110, 130) == (110, 130)
    assert trimmed(np.zeros((300, 22, 3)), 10, 200) == (10, 200)


def write_data(folder: Path) -> Path:
    """Make data of the layout that is curated: units, assembled and mirrored dances, and clips without units."""
    rows = [
        {
            "clip": "dance_w_1", "file": "paired/dwm/dance_w_1.npz", "genre": "waltz",
            "audio": "paired/dwm/dance_w_1.ogg",
        },
        {
            "clip": "dance_w_5", "file": "paired/dwm/dance_w_5.npz", "genre": "waltz",
            "audio": "paired/dwm/dance_w_5.ogg",
        },
        {"clip": "dance_r_1", "file": "motion/dwm/dance_r_1.npz", "genre": "rumba"},
        {
            "clip": "choreonet_rumba_1a", "file": "paired/choreonet/rumba_1a.npz", "genre": "rumba",
            "units": "R-1-1:0-300 R-22-3:300-600 R-2-1:600-900", "audio": "paired/choreonet/rumba_1.ogg",
        },
        {"clip": "unit_R-3-1", "file": "units/choreonet/R-3-1.npz", "genre": "rumba", "dancer": "LL"},
        {"clip": "cmu_60_10", "file": "motion/cmu_salsa/60_10.npz", "genre": "salsa"},
        {"clip": "cmu_60_12", "file": "motion/cmu_salsa/60_12.npz", "genre": "salsa", "dancer": "60"},
        {"clip": "g1_a", "file": "motion/g1_moves/a.npz", "genre": "disco", "pulse_per_min": "110.5"},
        {"clip": "mc_1", "file": "motion/mocaptoolbox/1.npz", "genre": "free dance"},
        {"clip": "a song", "file": "", "genre": "pop"},
    ]  # fmt: skip
    walk = np.zeros((900, 22, 3), np.float32) + MOVING * np.arange(900)[:, None, None] * np.array([1, 0, 0])
    for row in rows:
        defaults = {"source": row["file"].split("/")[-2] if row["file"] else "", "seconds": "30", "fps": "30"}
        row |= {**defaults, "frames": "900", "licence": "none", "aligned": "1", "bpm": "90", **row}
        for file in (row["file"], row.get("audio", "")):
            if file:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
        if row["file"]:
            np.savez(folder / row["file"], joints22=walk, fps=30.0)
    units = [
        {"clip": "dance_w_1", "unit": "W-1-1", "start_frame": 0, "end_frame": 300, "held_unit": 0},
        {"clip": "dance_w_1", "unit": "W-2-1", "start_frame": 300, "end_frame": 450, "held_unit": 1},
        {"clip": "dance_w_1", "unit": "W-1-1", "start_frame": 450, "end_frame": 750, "held_unit": 0},
        {"clip": "dance_w_1", "unit": "W-3-1", "start_frame": 750, "end_frame": 900, "held_unit": 1},
        {"clip": "dance_w_5", "unit": "W-1-1", "start_frame": 0, "end_frame": 900, "held_unit": 0},
        {"clip": "dance_r_1", "unit": "R-9-1", "start_frame": 100, "end_frame": 250, "held_unit": 1},
        {"clip": "dance_r_1", "unit": "R-1-1", "start_frame": "", "end_frame": "", "held_unit": 0},
    ]
    for path, columns, table in (
        (folder / "metadata.csv", COLUMNS, rows),
        (folder / "units" / "dwm_units.csv", tuple(units[0]), units),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(table)
    return folder


@pytest.fixture
def curated(tmp_path):
    curate_dances.main([str(write_data(tmp_path / "data")), str(tmp_path / "curated")])
    return {name: read_clip_folder(tmp_path / "curated" / name) for name in ("dances", "songs")}


def test_every_listed_clip_can_be_read_and_no_song_or_unit_is_in_two_splits(curated):
    records = curated["dances"]
    splits = split_as_stated(records)
    assert all(splits.values()) and all(record.split for record in records)
    held = {label for name in ("validation", "test") for record in splits[name] for label in unit_labels(record)}
    assert held == {"W-2-1", "W-3-1", "R-9-1"}
    assert not held & {label for record in splits["train"] for label in unit_labels(record)}


def test_training_has_no_frame_of_a_held_unit_and_no_bow(curated):
    spans = {
        record.clip_id: (record.motion_path.stem, record.start_seconds * 30, (record.end_seconds or 30.0) * 30)
        for record in curated["dances"]
        if record.split == "train"
    }
    waltz = sorted(span[1:] for span in spans.values() if span[0] == "dance_w_1")
    assert waltz == [pytest.approx((0, 300), abs=0.1), pytest.approx((450, 750), abs=0.1)]
    low, high = curate_dances.BOWS["R-22-3"]
    bow = (300 + round(300 * low), 300 + round(300 * high))
    rumba = sorted(span[1:] for span in spans.values() if span[0] == "rumba_1a")
    assert rumba == [pytest.approx((0, bow[0]), abs=0.1), pytest.approx((bow[1], 900), abs=0.1)]
    parts = [record for record in curated["dances"] if record.motion_path.stem == "rumba_1a"]
    assert [unit_labels(record) for record in parts] == [{"R-1-1", "R-22-3"}, {"R-22-3", "R-2-1"}]
    assert "dance_r_1" not in {span[0] for span in spans.values()}  # the optical rumbas take its place


def test_clips_are_what_they_are_said_to_be(curated):
    records = {record.clip_id: record for record in curated["dances"]}
    assert not {"cmu_60_10", "dance_w_5", "a song"} & set(records)
    assert (records["cmu_60_12"].split, records["mc_1"].split, records["g1_a"].split) == ("test", "test", "train")
    assert (records["g1_a"].genre, records["g1_a"].pulse_bpm) == ("pop", 110.5)
    assert unit_labels(records["unit_R-3-1"]) == {"R-3-1"} and records["unit_R-3-1"].performer_id == "LL"
    sides = {record.side for record in records.values() if record.source == "dwm"}
    assert sides == {"mirrored"} and records["g1_a"].side == "natural"
    held = [record for record in records.values() if record.split != "train" and record.source == "dwm"]
    assert all(record.audio_path is None and record.pulse_bpm == 90 for record in held)
    assert [record.clip_id for record in curated["songs"]] == ["dance_w_5"]
    assert curated["songs"][0].audio_path.name == "dance_w_5.ogg"


def test_the_tables_of_the_page_count_what_was_built(tmp_path, write_built):
    for name, rows in (
        (
            "built",
            {
                "x/a": {"units": (("x/W-1", 20.0), ("x/W-1", 20.0)), "music_file": "m"},
                "x/b": {"genre": "salsa", "clock_file": "c"},
                "x/c": {"split": "test", "units": (("x/W-2", 20.0),), "license": "CC0"},
            },
        ),
        ("songs", {"x/d": {"split": "test", "units": (("x/W-1", 30.0), ("x/W-3", 10.0))}}),
    ):
        (tmp_path / name / "x").mkdir(parents=True)
        features = {clip_id: np.zeros((1800, 269), np.float32) for clip_id in rows}
        write_built(tmp_path / name, features, rows)
    left_out = {"clip_id": "x/e", "reasons": ["duration_seconds 0.5 is below 1"]}
    (tmp_path / "built" / "report.json").write_text(json.dumps({"left_out": [left_out]}))
    output = tmp_path / "data.json"
    describe_dances.main([str(tmp_path / "built"), str(tmp_path / "songs"), "--output", str(output)])
    sections = json.loads(output.read_text())
    tables = {table["title"]: table["rows"] for section in sections.values() for table in section["tables"]}
    assert tables["Terms"][-1] == ["all", "", 3, "3.00", "1.67"]
    assert ["stage", "waltz", 2, "1.00 (0.33)", "", "1.00 (0.33)"] in tables["Minutes by source"]
    assert tables["Time"] == [
        ["salsa", "0.00", "1.00", "0.00"],
        ["waltz", "1.00", "0.00", "0.00"],
        ["all", "1.00", "1.00", "0.00"],
    ]
    assert tables["Held units"] == [["waltz", "test", "W-2"]]
    assert tables["Left out by the gates"] == [["e", "duration_seconds 0.5 is below 1"]]
    assert tables["Held-out songs"] == [["d", "waltz", "1.00", 2, 0.75]]
    assert {"Unique minutes", "Shared between splits"} <= set(tables)


def test_beats_that_a_list_lacks_are_put_back_evenly():
    beats = 0.4 + 0.6 * np.arange(40) + 0.01 * np.sin(np.arange(40))  # a song that is not played by a machine
    heard = np.delete(beats, [1, 2, 5, 9, 10, 11, 12, 20, 30])
    filled = curate_dances.filled_beats(heard)
    assert len(filled) == 40
    np.testing.assert_allclose(filled, beats, atol=0.03)
    np.testing.assert_allclose(curate_dances.filled_beats(beats), beats)
