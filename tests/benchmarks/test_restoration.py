"""The report on foot restoration: its measures, its baselines, and what the command writes."""

import json

import numpy as np
import pytest

from benchmarks.restoration import ablation, report, speed
from benchmarks.restoration.ablation import guidance_table, loss_table, paper_table, steps_table
from benchmarks.restoration.baselines import lock_feet, smooth_savgol
from benchmarks.restoration.floor import FAULTS, INPUT, RESTORED, TRUTH, floor_tables, held_out_cases, move
from benchmarks.restoration.measures import (
    OWN_MEASURES,
    TRUTH_MEASURES,
    Case,
    measure_method,
    restorer,
    segments,
    synthetic_cases,
)
from infinitedance.dataset_builder.augmentation.faults import Corruption
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.features import motion_to_features
from infinitedance.motion.skeleton import CONTACT_JOINTS
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.restoration.foot_placer import SamplerSettings
from infinitedance.restoration.pipeline_frdm import FrdmPipeline

DANCERS = {"cmu_05_01": "rumba", "cmu_06_01": "waltz", "cmu_07_01": "cha-cha"}
SECONDS = 4.0


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_built) -> BuiltDataset:
    """One dance of each of three dancers."""
    features = {
        clip_id: motion_to_features(synthesize_dance(genre, 96, SECONDS, seed=0)).numpy()
        for clip_id, genre in DANCERS.items()
    }
    folder = write_built(tmp_path_factory.mktemp("built"), features, {name: {"source": "CMU"} for name in DANCERS})
    return BuiltDataset(folder)


@pytest.fixture(scope="module")
def cases(data) -> list[Case]:
    return synthetic_cases(data, data.clips[:2])


@pytest.fixture(scope="module")
def pipeline(make_frdm) -> FrdmPipeline:
    return FrdmPipeline(make_frdm())


@pytest.fixture(scope="module")
def frdm_dir(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frdm") / "model"
    pipeline.save_pretrained(folder)
    return folder


def means(method, cases) -> dict[str, float]:
    return {name: float(np.nanmean(values)) for name, values in measure_method(method, cases)[0].items()}


def ankle_steps(motion) -> np.ndarray:
    """How far each ankle moves over the floor in each step, `(frames - 1, 2)`, metres."""
    ankles = motion.joint_positions()[:, list(CONTACT_JOINTS[:2])]
    return np.linalg.norm(np.diff(ankles[..., [0, 2]], axis=0), axis=-1)


def test_the_truth_has_no_error_and_the_observation_is_worse_in_every_measure(cases):
    truths = {id(case.observed): case.truth for case in cases}
    truth = means(lambda motion: truths[id(motion)], cases)
    assert list(truth) == list(TRUTH_MEASURES)
    assert truth["mpjpe"] == truth["hip_aligned"] == 0 and truth["contact_f1"] == 1
    assert truth["slide"] < 0.1 and truth["toes"] == 0  # feet of a procedural dance stand; features round
    observed = means(lambda motion: motion, cases)
    for name in TRUTH_MEASURES:
        is_worse = observed[name] < truth[name] if name == "contact_f1" else observed[name] > truth[name]
        assert is_worse, name
    assert observed["mpjpe"] > 5 and observed["slide"] > 1


def test_synthetic_faults_are_the_same_every_time_and_truths_are_clean(data, cases):
    again = synthetic_cases(data, data.clips[:2])
    for first, second in zip(cases, again, strict=True):
        np.testing.assert_array_equal(first.observed.joint_rotations, second.observed.joint_rotations)
    assert not np.array_equal(cases[0].observed.root_positions, cases[0].truth.root_positions)


def test_foot_lock_holds_each_ankle_through_each_contact(cases):
    for case in cases:
        locked = lock_feet(case.observed)
        standing = locked.foot_contacts[:, :2] | locked.foot_contacts[:, 2:]
        both = standing[1:] & standing[:-1]
        ankles = {
            name: np.linalg.norm(
                np.diff(motion.joint_positions()[:, list(CONTACT_JOINTS[:2])][..., [0, 2]], axis=0), axis=-1
            )
            for name, motion in (("observed", case.observed), ("locked", locked))
        }
        assert ankles["observed"][both].mean() > 2e-3
        assert np.quantile(ankles["locked"][both], 0.9) < 1e-4  # a target beyond the leg is not reached


def test_smoothing_lowers_the_jitter_and_leaves_a_short_clip_alone(cases):
    observed, smooth = means(lambda motion: motion, cases), means(smooth_savgol, cases)
    assert smooth["jitter"] < 0.8 * observed["jitter"]
    short = cases[0].observed.cut(0, 6)
    assert smooth_savgol(short) is short


def test_without_a_truth_the_feet_themselves_are_measured(cases):
    unknown = [Case(case.observed) for case in cases]
    observed, locked = means(lambda motion: motion, unknown), means(lock_feet, unknown)
    assert list(observed) == list(OWN_MEASURES) and observed["to_input"] == 0
    assert locked["to_input"] > 0 and locked["low_slide"] < observed["low_slide"]


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(40, [(0, 40)]), (300, [(0, 300)]), (449, [(0, 300)]), (451, [(0, 300), (300, 451)])],
)
def test_clips_are_measured_in_pieces_of_ten_seconds(num_frames, expected):
    assert segments(num_frames) == expected


def test_options_reach_the_pipeline(pipeline, cases):
    loose = restorer(pipeline, foot_lock="never")(cases[0].observed)
    assert not loose.foot_contacts.any()


def test_each_part_that_is_left_out_has_a_row_and_changes_the_result(pipeline, cases):
    one = [Case(cases[0].observed.cut(0, 60), cases[0].truth.cut(0, 60))]
    guidance, steps, paper = (table(pipeline, one) for table in (guidance_table, steps_table, paper_table))
    assert len(guidance.rows) == 10 and guidance.rows[0][0] == "all" and guidance.rows[-1][0].startswith("nothing")
    assert len({row[1] for row in guidance.rows}) > 5
    assert [row[0] for row in steps.rows][:2] == ["from t = 100, 6 steps", "from t = 300, 1 steps"]
    assert len(paper.rows) == 12
    assert len({tuple(row[1:-1]) for row in steps.rows}) == len(steps.rows)


def test_a_model_is_trained_without_each_loss(data, cases, monkeypatch):
    monkeypatch.setattr(ablation, "SMALL_STEPS", 1)
    one = [Case(cases[0].observed.cut(0, 30), cases[0].truth.cut(0, 30))]
    rows = loss_table(data, data.clips, one, SamplerSettings()).rows
    names = [row[0] for row in rows]
    assert names[:2] == ["all losses", "without `reconstruction`"] and len(names) == len(set(names)) == 22
    assert rows[0][1:-1] != rows[1][1:-1]


def test_generated_dances_are_finished_in_each_way(model_dir, data_dir, pipeline):
    generator = MusicToDancePipeline.from_pretrained(model_dir)
    feet, lock = report.generated_tables(pipeline, generator, BuiltDataset(data_dir), "note")
    methods = [
        "decoded, smoothed",
        "`plant_feet`",
        "`default`",
        "`plant_feet`, `default`",
        "Savitzky-Golay, foot lock",
    ]
    assert [row[0] for row in feet.rows] == [row[0] for row in lock.rows] == methods
    assert feet.rows[0][1][0] == 0 and feet.rows[0][-1] is None and feet.rows[2][1][0] > 0


def test_one_length_is_timed(frdm_dir, capsys):
    speed.main([str(frdm_dir), "1"])
    measured = json.loads(capsys.readouterr().out)
    assert measured["seconds"] > 0 and measured["megabytes"][1] >= measured["megabytes"][0] > 10


def test_the_speed_table_has_a_row_for_each_length(tmp_path, monkeypatch):
    interpreter = tmp_path / "interpreter"
    interpreter.write_text('#!/bin/sh\ntest "$4" -gt 5 && echo "{\\"seconds\\": 2.0, \\"megabytes\\": [100, 200]}"\n')
    interpreter.chmod(0o700)
    monkeypatch.setattr(speed.sys, "executable", str(interpreter))
    (table,) = speed.speed_tables(tmp_path)
    assert [row[0] for row in table.rows] == list(speed.CLIP_SECONDS)
    assert table.rows[0] == [10, 2.0, 2000 / 300, 5.0, 100, 200]


@pytest.fixture
def command(data, frdm_dir, tmp_path) -> list[str]:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("sources: [CMU]\nvalidation_clips: cmu_05_\ntest_clips: cmu_06_\nmax_steps: 1\n")
    folders = {"model_dir": frdm_dir, "data_dir": data.folder, "output": tmp_path / "frdm.md"}
    return ["--config", str(recipe), *(str(word) for name, path in folders.items() for word in (f"--{name}", path))]


def test_the_command_writes_its_section_and_keeps_the_others(command, tmp_path):
    pytest.importorskip("mujoco", reason="one method is the physics imitation")
    kept = {
        "title": "Kept",
        "command": "c",
        "versions": {"p": "1"},
        "weights_sha256": "0" * 64,
        "tables": [{"title": "T", "columns": ["a"], "rows": [["x"]], "note": "N"}],
    }
    (tmp_path / "frdm.json").write_text(json.dumps({"speed": kept}))
    report.main([*command, "--sections", "validation"])
    numbers = json.loads((tmp_path / "frdm.json").read_text())
    assert list(numbers) == ["validation", "speed"] and numbers["speed"] == kept
    (table,) = numbers["validation"]["tables"]
    assert table["title"] == "Synthetic faults" and len(table["rows"]) == 10
    errors = {row[0]: row[1][0] for row in table["rows"]}
    assert errors["truth"] == 0 < errors["as it came, put on the floor"]
    text = (tmp_path / "frdm.md").read_text()
    assert text.startswith(report.INTRODUCTION) and "## Kept" in text and "### Synthetic faults" in text
    assert "--model_dir model --data_dir" in text and str(tmp_path) not in text


def test_an_unknown_section_is_refused(command, capsys):
    with pytest.raises(SystemExit):
        report.main([*command, "--sections", "validation,toes"])
    assert "must be some of test,validation,real,sampling,losses,floor,speed, got toes" in capsys.readouterr().err


def test_real_faults_need_a_generator_and_songs(command, capsys):
    with pytest.raises(SystemExit):
        report.main([*command, "--sections", "real"])
    assert "needs --generator_dir and --held_out_dir" in capsys.readouterr().err


NO_FAULTS = Corruption().scaled(0.0)


@pytest.fixture(scope="module")
def floor_data(tmp_path_factory, write_built) -> BuiltDataset:
    """Two clips that the section on the floor measures, and one that it does not."""
    names = {"walk_normal_001": "rumba", "cmu_61_03": "waltz", "cmu_61_04": "waltz"}
    features = {
        name: motion_to_features(synthesize_dance(genre, 96, SECONDS, seed=1)).numpy() for name, genre in names.items()
    }
    folder = write_built(tmp_path_factory.mktemp("floor"), features, {name: {"source": "CMU"} for name in names})
    return BuiltDataset(folder)


def test_the_floor_is_measured_on_held_out_clips_only(floor_data):
    cases = held_out_cases(floor_data)
    assert {(case.kind, case.name) for case in cases} == {("salsa", "cmu_61_03"), ("walking", "walk_normal_001")}


def test_moving_a_dance_off_its_floor_is_measured_to_the_millimetre(floor_data):
    case = held_out_cases(floor_data)[0]
    generator = np.random.default_rng(0)
    still = case.measure(case.truth)
    assert still["toes"] == still["mpjpe"] == 0
    for height in (0.03, -0.03):
        moved = case.measure(move(case.truth, generator, NO_FAULTS, height=height))
        assert moved["toes"] == pytest.approx(1000 * height, abs=0.1)
        assert moved["mpjpe"] == pytest.approx(30, abs=0.1)
        grown, fallen = ("float", "penetration") if height > 0 else ("penetration", "float")
        assert moved[grown] > 15 and moved[fallen] <= still[fallen]
    tilted = move(case.truth, generator, NO_FAULTS, tilt_degrees=5.0)
    head = 15
    lean = tilted.joint_positions()[:, head] - case.truth.joint_positions()[:, head]
    height = case.truth.joint_positions()[:, head, 1].mean()
    assert np.linalg.norm(lean[:, [0, 2]], axis=1).mean() == pytest.approx(height * np.sin(np.radians(5)), rel=0.1)


def test_the_section_on_the_floor_compares_methods_and_counts_misses(floor_data, pipeline):
    by_fault, by_kind, misses, slopes = floor_tables(floor_data, pipeline)
    assert [row[0] for row in slopes.rows] == list(FAULTS)
    methods = {row[1] for row in by_fault.rows}
    assert {INPUT, RESTORED, TRUTH} < methods and len(by_fault.rows) == len(FAULTS) * len(methods)
    toes = by_fault.columns.index("toes over the true ones, mm")
    assert all(row[toes] == 0 for row in by_fault.rows if row[1] == TRUTH)
    assert all(0 <= row[2] <= 2 and 0 <= row[3] <= 2 for row in misses.rows)
    named = {row[0] for row in by_kind.rows if np.isfinite(row[2])}
    assert named == {"salsa, 1", "walking, 1"}
