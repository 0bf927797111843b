import json

import numpy as np
import pytest

from benchmarks.metrics import baselines as metric_baselines
from benchmarks.metrics import report as report_metrics
from benchmarks.metrics import tables as metric_tables
from benchmarks.metrics.baselines import Baselines, frozen_pose, noise_dance, read_dance, steady_song
from benchmarks.metrics.ranking import Ranking, failure_sentence, rank, rank_distance, ranking_tables
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.evaluation.catalogue import METRIC

pytest.importorskip("mir_eval")


@pytest.fixture(scope="module")
def data(data_dir):
    """A waltz and a cha-cha of 18 s that are held out."""
    return Baselines(BuiltDataset(data_dir), BuiltDataset(data_dir), max_seconds=40.0)


@pytest.fixture(scope="module")
def systems(data):
    return {system.name: system for system in data.systems}


def test_every_system_dances_every_song_at_its_length(data, systems):
    assert list(systems) == ["real", "shuffled", "copy", "frozen", "noise"]
    names = [clip.clip_id for clip in data.clips]
    for system in systems.values():
        for take in system.takes:
            assert [dance.name for dance in take] == names
            assert all(dance.positions.shape == (540, 22, 3) for dance in take)
    assert [len(systems[name].takes) for name in systems] == [1, 1, 1, 1, 3]


def test_songs_have_the_tempo_of_their_dances_and_dances_are_cut(data, data_dir):
    for song, clip in zip(data.songs, data.clips, strict=True):
        assert song.bpm == pytest.approx(clip.bpm, rel=1e-3) and song.duration_seconds == pytest.approx(18)
    short = Baselines(BuiltDataset(data_dir), BuiltDataset(data_dir), max_seconds=5.0)
    assert {len(dance.positions) for system in short.systems for dance in system.dances} == {150}


def test_shuffled_dances_are_real_ones_to_the_other_song(systems):
    (real,), (shuffled,) = systems["real"].takes, systems["shuffled"].takes
    np.testing.assert_array_equal(shuffled[0].positions, real[1].positions)
    assert shuffled[0].song.name == real[0].song.name != real[1].song.name


def test_songs_of_nearly_the_same_tempo_are_no_other_song(data, monkeypatch):
    baselines = Baselines(data.dances, data.held_out, 40.0)
    monkeypatch.setattr(Baselines, "songs", [steady_song(clip.clip_id, 100.0, "rumba", 540) for clip in data.clips])
    shuffled = next(system for system in baselines.systems if system.name == "shuffled")
    assert all(dance.song is None for dance in shuffled.dances)


def test_a_copy_is_a_training_dance(data, systems):
    training = [read_dance(data.dances, clip).joint_positions() for clip in data.training_clips]
    for dance in systems["copy"].dances:
        distances = [np.abs(np.diff(each, axis=0) - np.diff(dance.positions, axis=0)).max() for each in training]
        assert min(distances) < 1e-5


def test_noise_moves_as_fast_as_the_real_dance_and_a_frozen_pose_does_not_move(systems):
    for real, noise, frozen in zip(*(systems[name].takes[0] for name in ("real", "noise", "frozen")), strict=True):
        speeds = [
            np.linalg.norm(np.diff(dance.positions, axis=0), axis=-1).mean() * 30 for dance in (real, noise, frozen)
        ]
        assert speeds[1] == pytest.approx(speeds[0], rel=0.02) and speeds[2] < 1e-9
        assert noise.positions[..., 1].min() > -0.2


def test_noise_is_reproducible_and_another_seed_is_another_noise(data):
    motion = read_dance(data.held_out, data.clips[0]).cut(0, 60)
    first, again, other = (noise_dance(motion, seed).joint_positions() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.05
    assert frozen_pose(motion).num_frames == 60


def values(*numbers: float) -> dict[str, float]:
    return dict(zip("abcde", numbers, strict=False))


@pytest.mark.parametrize(
    ("key", "real", "other", "verdict"),
    [
        ("pulse_lock", values(9, 8, 10, 9), values(1, 1, 2, 1), "yes"),
        ("pulse_lock", values(1, 1, 2, 1), values(9, 8, 10, 9), "no"),
        ("pulse_lock", values(9, 1, 9, 1), values(1, 8, 1, 8), "not surely"),
        ("slide", values(1, 1, 1), values(5, 4, 6), "yes"),
        ("slide", values(5, 4, 6), values(0, 0, 0), "no"),
        ("jitter", values(9, 9, 9), values(5, 4, 6), "yes"),
        ("jitter", values(5, 4, 6), values(9, 9, 9), "yes"),
        ("jitter", values(5, 5, 5), values(5, 5, 5), "no"),
        ("pulse_lock", values(9, 8), {}, "no"),
        ("pulse_lock", values(9, 8, 0), values(1, 1), "yes"),
    ],
)
def test_cases_are_ranked_song_by_song(key, real, other, verdict):
    assert rank(METRIC[key], "noise", real, other).verdict == verdict


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (
            Ranking(METRIC["slide"], "frozen", "no", 4.0, 0.0),
            "It prefers a frozen pose to real dances (4.00 against 0.000).",
        ),
        (Ranking(METRIC["jitter"], "noise", "no", 4.0, 4.0), "It cannot tell real dances from random movement"),
        (Ranking(METRIC["beat_f1"], "noise", "not surely", 4.0, 3.0), "but these songs cannot confirm it"),
        (Ranking(METRIC["slide"], "frozen", "no", np.nan, np.nan), "It has no value for a frozen pose."),
        (rank_distance("FID", "copy", 9.0, 8.0, False), "It cannot tell copies from real dances (8.00; real 9.00)."),
        (rank_distance("FID", "shuffled", 9.0, np.nan, False), "as a set they are the same"),
    ],
)
def test_a_metric_that_fails_is_told_so_in_a_sentence(case, sentence):
    assert sentence in failure_sentence(case)


def test_only_metrics_that_fail_are_in_the_second_table():
    cases = [
        rank(METRIC["pulse_lock"], "noise", values(9, 8, 10), values(1, 1, 1)),
        rank(METRIC["slide"], "frozen", values(4, 4, 4), values(0, 0, 0)),
        rank_distance("FID", "noise", 9.0, 50.0, True),
    ]
    ranking, failing = ranking_tables(cases, 3)
    assert [row[0] for row in ranking.rows] == ["pulse lock", "slide", "FID"]
    assert ranking.rows[0][1:] == [None, None, "yes", None] and ranking.rows[1][1:] == [None, "no", None, None]
    assert [row[0] for row in failing.rows] == ["slide"]
    assert len(ranking_tables(cases[:1], 3)) == 1


@pytest.fixture(scope="module")
def report(data_dir, tmp_path_factory):
    """The whole report, in windows that are short enough for 18 s."""
    output = tmp_path_factory.mktemp("metrics") / "metrics.md"
    folders = ["--data_dir", str(data_dir), "--held_out_dir", str(data_dir)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (metric_tables, report_metrics):
            patch.setattr(module, "WINDOW_SECONDS", 2.0)
        patch.setattr(metric_tables, "FLOOR_SIZES", (8, 24))
        patch.setattr(metric_tables, "NUM_SPLITS", 10)
        patch.setattr(metric_tables, "CHANCE_SECONDS", 10.0)
        patch.setattr(metric_baselines, "NUM_NOISE_TAKES", 1)
        report_metrics.main([*folders, "--output", str(output)])
    return json.loads(output.with_suffix(".json").read_text()), output.read_text()


def rows_of(report, title):
    tables = [
        table for section in report[0].values() for table in section["tables"] if table["title"].startswith(title)
    ]
    return {row[0]: dict(zip(tables[0]["columns"][1:], row[1:], strict=True)) for row in tables[0]["rows"]}


def test_the_report_has_its_sections_and_the_commands_that_measure_them(report):
    numbers, text = report
    assert list(numbers) == ["floor", "chance", "systems"]
    assert "python -m benchmarks.metrics --data_dir built --held_out_dir built" in text and "--sections chance" in text


def test_floors_fall_with_the_number_of_clips_and_are_lower_for_windows_at_random(report):
    apart = rows_of(report, "FID of real against real, windows of 2 s, songs kept apart")
    random = rows_of(report, "FID of real against real, windows of 2 s, drawn at random")
    assert list(apart) == list(random) == [8, 24]
    for column in apart[8]:
        assert apart[8][column][0] > apart[24][column][0] > random[24][column][0]


def test_procedural_dances_lock_to_their_own_songs_only(report):
    lock = rows_of(report, "Pulse lock and tempo")["all"]
    assert lock["lock, own song"][0] > 5 * lock["lock, another song"][0]
    assert lock["tempo agrees, own song"][0] > lock["tempo agrees, smooth noise"][0]
    alignment = rows_of(report, "Beat alignment over motion beats")
    assert list(alignment) == ["cha-cha", "hip-hop", "rumba", "waltz", "all"]
    assert alignment["all"]["dances"] == 8


def test_obvious_cases_are_seen_in_the_tables_of_systems(report):
    music = rows_of(report, "Music")
    assert music["pulse lock"]["frozen"][0] == 0 and music["phase error, beats"]["real"] is None
    assert music["pulse lock"]["real"][0] > music["pulse lock"]["noise"][0]
    memory = rows_of(report, "Memory")
    assert memory["copied seconds"]["copy"][0] == 1 and memory["copied seconds"]["noise"] is None
    assert rows_of(report, "Movement")["frozen seconds"]["frozen"][0] == 1
    distances = rows_of(report, "Distances between sets")
    assert distances["FID_k, corrected, against test"]["shuffled"] is None
    assert distances["FID_k, corrected, against training"]["noise"].endswith("far")
    assert set(rows_of(report, "Diversity")) == {
        "Div_k, compat",
        "Div_k, corrected",
        "Div_m, compat",
        "Div_m, corrected",
    }
    assert memory["longest copied stretch, s"]["copy"][0] == 18
    titles = [table["title"] for table in report[0]["systems"]["tables"]]
    assert not any(title.startswith(("Reconstruction", "Joins")) for title in titles)
    assert rows_of(report, "Does each metric")["slide"]["frozen"] == "no"
    assert "prefers a frozen pose" in rows_of(report, "What does not")["slide"]["what it does"]
