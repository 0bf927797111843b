import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from infinitedance.audio.beats import BeatClock
from infinitedance.cli import main
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.evaluation.catalogue import METRICS
from infinitedance.evaluation.evaluate import evaluate_dances, join_frames
from infinitedance.evaluation.folders import read_pairing_manifest, resample_positions
from infinitedance.evaluation.inputs import EvaluationInputs
from infinitedance.evaluation.measures import (
    MeasuredDance,
    Song,
    measure_body,
    measure_joins,
    measure_memory,
    measure_reconstruction,
    training_poses,
)
from infinitedance.evaluation.measures import measure_music as music_of
from infinitedance.motion.files import ReadOptions, load_motion, save_motion, write_bvh
from infinitedance.motion.skeleton import Skeleton

pytest.importorskip("mir_eval")
STEMS = ["cha-cha_0002", "hip-hop_0003", "rumba_0001", "waltz_0000"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Four songs, a real dance to each, and a system that dances exactly these, in files named like its takes."""
    root = make_procedural_dataset(tmp_path_factory.mktemp("evaluate") / "clips", 4, 18.0)
    (root / "generated").mkdir()
    for stem in STEMS:
        shutil.copy(root / "motion" / f"{stem}.npz", root / "generated" / f"{stem}_7.npz")
    return root


def inputs(folders, **settings) -> EvaluationInputs:
    paths = {"generated": folders / "generated", "reference": folders / "motion", "music": folders / "audio"}
    return EvaluationInputs(**{**paths, "window_seconds": 3.0, "with_pictures": False, **settings})


@pytest.fixture(scope="module")
def record(folders):
    """The report on the copying system, with pictures and the real dances as training set."""
    settings = {"training": folders / "motion", "with_pictures": True, "join_seconds": 4.0}
    return evaluate_dances(inputs(folders, **settings), folders / "report")


def test_a_system_that_dances_the_real_dances_scores_what_they_score(record):
    metrics = {row["key"]: row for row in record["metrics"]}
    assert set(metrics) == {metric.key for metric in METRICS if metric.family != "reconstruction"}
    for key, row in metrics.items():
        if key != "phase_error_beats":
            assert row["generated"] == row["reference"], key
    assert metrics["phase_error_beats"]["generated"]["mean"] == 0
    assert metrics["copied"]["generated"]["mean"] == 1 and metrics["nearest_training"]["generated"]["mean"] < 0.1
    assert metrics["longest_copied"]["generated"]["mean"] == 18
    nearest = {dance["name"]: dance["nearest"] for dance in record["dances"] if dance["set"] == "generated"}
    assert {name: piece["clip"] for name, piece in nearest.items()} == {f"{stem}_7": stem for stem in STEMS}
    assert all(piece["seconds"] == piece["clip_seconds"] for piece in nearest.values())
    copies = ", ".join(f"{stem}_7 ({stem})" for stem in STEMS)
    assert record["warnings"][0] == f"Copied from training dances: {copies}."
    assert metrics["pulse_lock"]["generated"]["mean"] > 3 * metrics["pulse_lock_wrong_song"]["generated"]["mean"]
    assert all(row["verdict"] != "farther than real" for row in record["frechet"])
    assert {row["against"] for row in record["frechet"]} == {"reference", "training"}
    assert all(row["generated"] == pytest.approx(row["reference"]) for row in record["diversity"])


def test_the_report_says_what_it_was_made_of(folders, record):
    written = json.loads((folders / "report" / "report.json").read_text())
    assert written == record and written["schema_version"] == 1
    content = (folders / "generated" / f"{STEMS[0]}_7.npz").read_bytes()
    assert written["inputs"]["generated"]["files"][f"{STEMS[0]}_7.npz"] == hashlib.sha256(content).hexdigest()
    assert written["inputs"]["music"]["num_files"] == 4 and len(written["inputs"]["training"]["sha256"]) == 64
    assert written["seed"] == 0 and "numpy" in written["versions"] and written["left_out"] == []
    assert [dance["song"] for dance in written["dances"] if dance["set"] == "generated"] == STEMS
    assert str(folders) not in (folders / "report" / "report.html").read_text()


def test_the_page_shows_a_picture_of_each_dance_and_of_its_real_partner(folders, record):
    page = (folders / "report" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 8
    assert page.count("<svg") >= 6
    assert "| pulse lock |" in (folders / "report" / "report.md").read_text()


def test_measuring_again_gives_the_same_numbers_and_another_frame_rate_of_the_files_nearly_so(
    folders, record, tmp_path
):
    at_60_hz = tmp_path / "generated"
    at_60_hz.mkdir()
    for stem in STEMS:
        save_motion(load_motion(folders / "motion" / f"{stem}.npz").resample(60.0), at_60_hz / f"{stem}.npz")
    again = evaluate_dances(inputs(folders, generated=at_60_hz), tmp_path / "fast")
    first = {row["key"]: row for row in record["metrics"]}
    for row in again["metrics"]:
        assert row["reference"] == first[row["key"]]["reference"], row["key"]
        expected = first[row["key"]]["generated"]["mean"]
        assert row["generated"]["mean"] == pytest.approx(expected, rel=0.02, abs=0.01), row["key"]
    for row, other in zip(record["frechet"], again["frechet"], strict=False):
        assert row["floor"] == other["floor"]


def test_a_manifest_names_songs_and_genres_and_what_has_no_song_is_listed(folders, tmp_path):
    generated = tmp_path / "generated"
    generated.mkdir()
    for name, stem in (("x", STEMS[0]), ("y", STEMS[1]), ("nobody", STEMS[2])):
        shutil.copy(folders / "motion" / f"{stem}.npz", generated / f"{name}.npz")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"file,song,genre,bpm\nx.npz,{STEMS[0]}.wav,cha-cha,124\ny,{STEMS[1]},hip-hop,\n")
    settings = {"generated": generated, "manifest": manifest}
    record = evaluate_dances(inputs(folders, **settings), tmp_path / "report")
    by_name = {dance["name"]: dance for dance in record["dances"] if dance["set"] == "generated"}
    assert [by_name[name]["song"] for name in ("x", "y", "nobody")] == [STEMS[0], STEMS[1], ""]
    assert by_name["x"]["bpm"] == pytest.approx(124, abs=2.5) and "pulse_lock" not in by_name["nobody"]["values"]
    assert list(record["by_genre"]) == ["cha-cha", "hip-hop"]
    assert {dance["name"]: dance["genre"] for dance in record["dances"] if dance["set"] == "reference"} == {
        STEMS[0]: "cha-cha", STEMS[1]: "hip-hop", STEMS[2]: "", STEMS[3]: ""
    }  # fmt: skip
    assert record["left_out"] == [
        {"file": "nobody", "reason": "no song has its name, so it is not measured against music"}
    ]
    assert "`nobody`" in (tmp_path / "report" / "report.md").read_text()


def test_a_dance_in_several_formats_is_measured_once(folders, record, tmp_path):
    generated = shutil.copytree(folders / "generated", tmp_path / "generated")
    for stem in STEMS[:2]:
        write_bvh(load_motion(generated / f"{stem}_7.npz"), generated / f"{stem}_7.bvh")
    again = evaluate_dances(inputs(folders, generated=generated), tmp_path / "report")
    assert by_key(again).items() <= by_key(record).items()
    assert again["left_out"] == [
        {"file": f"{STEMS[0]}_7.bvh and 1 more", "reason": "the .npz of the same name is measured instead"}
    ]
    assert again["inputs"]["generated"] == record["inputs"]["generated"]


def test_copies_on_another_body_are_not_called_new_but_found_on_one_body(folders, tmp_path):
    generated, training = tmp_path / "generated", tmp_path / "training"
    generated.mkdir()
    training.mkdir()
    for stem in STEMS:
        motion = load_motion(folders / "motion" / f"{stem}.npz").cut(0, 180)
        save_motion(motion, generated / f"{stem}.npz")
        # Long arms and a narrow body.
        offsets = motion.skeleton.offsets * np.where(np.isin(np.arange(22), [18, 19, 20, 21]), 1.6, 0.8)[:, None]
        stranger = replace(motion, skeleton=Skeleton(offsets))
        np.save(training / f"{stem}.npy", stranger.joint_positions())
    sets = {"generated": generated, "training": training}
    as_they_are = evaluate_dances(inputs(folders, **sets), tmp_path / "report")
    assert "The training dances are on another body than the generated ones" in as_they_are["warnings"][0]
    assert "copied" not in by_key(as_they_are)
    fitted = evaluate_dances(inputs(folders, **sets, on_one_body=True), tmp_path / "report")
    assert not any("another body" in text for text in fitted["warnings"])
    assert by_key(fitted)["copied"] > 0.9
    assert "all motion on one body" in (tmp_path / "report" / "report.md").read_text()


def save_joints(folders, target, frame_rate: float, offset=(0.0, 0.0, 0.0)):
    """Write the real dances as 24 joints, which do not say their frame rate."""
    target.mkdir()
    for stem in STEMS:
        joints = load_motion(folders / "motion" / f"{stem}.npz").resample(frame_rate).joint_positions()
        np.save(target / f"{stem}.npy", np.concatenate([joints, joints[:, 20:22]], axis=1) + np.array(offset))
    return target


def by_key(record, which: str = "generated") -> dict[str, float]:
    return {row["key"]: row[which]["mean"] for row in record["metrics"]}


def test_a_given_frame_rate_is_that_of_the_generated_dances_only(folders, record, tmp_path):
    generated = save_joints(folders, tmp_path / "at_60_hz", 60.0)
    first, again = (
        by_key(record),
        evaluate_dances(inputs(folders, generated=generated, reading=ReadOptions(frame_rate=60.0)), tmp_path),
    )
    for key, value in by_key(again, "reference").items():
        assert value == by_key(record, "reference")[key], key
    assert by_key(again)["joint_speed"] == pytest.approx(first["joint_speed"], rel=0.01)
    assert inputs(folders, reference_frame_rate=50.0).reading_of("training").frame_rate == 50.0


def test_a_dance_that_hovers_is_seen_by_its_rest_height_alone(folders):
    positions = load_motion(folders / "motion" / f"{STEMS[0]}.npz").joint_positions()
    on_floor, hovering = (measure_body(positions + np.array([0, height, 0]), 0.5) for height in (0.0, 0.1))
    assert hovering.pop("rest_height") == pytest.approx(on_floor.pop("rest_height") + 100, abs=0.1)
    assert hovering == pytest.approx(on_floor, abs=1e-3)


def test_a_reconstruction_is_measured_against_the_real_dance_of_its_name(folders, tmp_path):
    generated = tmp_path / "generated"
    generated.mkdir()
    half = np.radians(10.0) / 2
    for stem in STEMS:
        motion = load_motion(folders / "motion" / f"{stem}.npz").cut(0, 538)
        rotations = motion.joint_rotations.copy()
        # A wrist that is turned by 10 degrees moves no joint: it has no child.
        w, x, y, z = np.moveaxis(rotations[:, 20], -1, 0)
        rotations[:, 20] = np.stack(
            [w * np.cos(half) - x * np.sin(half), x * np.cos(half) + w * np.sin(half),
             y * np.cos(half) + z * np.sin(half), z * np.cos(half) - y * np.sin(half)], axis=-1
        )  # fmt: skip
        root = motion.root_positions + np.float32([0.3, 0, 0])
        save_motion(replace(motion, joint_rotations=rotations, root_positions=root), generated / f"{stem}.npz")
    settings = {"generated": generated, "is_reconstruction": True}
    report = evaluate_dances(inputs(folders, **settings), tmp_path / "report")
    errors = by_key(report)
    assert errors["rotation_error"] == pytest.approx(10 / 22, rel=1e-3)
    for key in ("mpjpe", "pa_mpjpe", "wa_mpjpe", "w_mpjpe", "rte", "acceleration_error"):
        assert errors[key] == pytest.approx(0, abs=1e-2), key
    assert all(row["reference"]["num"] == 0 for row in report["metrics"] if row["family"] == "reconstruction")
    assert "## Reconstruction" in (tmp_path / "report" / "report.md").read_text()


def test_positions_alone_have_no_rotation_error(folders):
    positions = load_motion(folders / "motion" / f"{STEMS[0]}.npz").joint_positions()
    errors = measure_reconstruction(positions[:538], positions)
    assert np.isnan(errors.pop("rotation_error")) and list(errors.values()) == pytest.approx([0] * 6, abs=1e-3)


def test_a_dance_that_jumps_where_its_windows_meet_is_told_from_the_real_one(folders, tmp_path):
    generated = tmp_path / "generated"
    generated.mkdir()
    for stem in STEMS:
        motion = load_motion(folders / "motion" / f"{stem}.npz")
        jumps = 0.3 * np.sin(np.arange(motion.num_frames) // 90)[:, None] * [1, 0, 0]
        root = motion.root_positions + jumps.astype(np.float32)
        save_motion(replace(motion, root_positions=root), generated / f"{stem}.npz")
    report = evaluate_dances(inputs(folders, generated=generated, join_seconds=3.0), tmp_path / "report")
    jumping, real = by_key(report), by_key(report, "reference")
    assert jumping["join_velocity"] > 3 > 1.5 > real["join_velocity"]
    assert jumping["join_acceleration"] > 3 > 1.5 > real["join_acceleration"]


def test_joins_are_frames_that_leave_room_on_both_sides():
    assert join_frames(300, 3.0) == [90, 180, 270]
    assert join_frames(272, 3.0) == [90, 180] and join_frames(89, 3.0) == []


@pytest.fixture
def bad_folders(folders, tmp_path):
    """Folders that cannot be measured, by what is wrong with them."""
    names = ("empty", "broken", "nan", "strangers", "short", "one", "pickles", "twice", "text", "still", "cut")
    bad = {name: tmp_path / name for name in names}
    for path in bad.values():
        path.mkdir()
    good = folders / "motion" / f"{STEMS[0]}.npz"
    (bad["broken"] / f"{STEMS[0]}.npz").write_bytes(b"not a motion")
    joints = load_motion(good).joint_positions()
    joints[5, 3] = np.nan
    np.save(bad["nan"] / f"{STEMS[1]}.npy", joints)
    shutil.copy(good, bad["strangers"] / "somebody.npz")
    save_motion(load_motion(good).cut(0, 40), bad["short"] / f"{STEMS[0]}.npz")
    shutil.copy(good, bad["one"] / f"{STEMS[0]}.npz")
    (bad["pickles"] / f"{STEMS[0]}.pkl").write_bytes(b"\x80\x04N.")
    shutil.copy(good, bad["twice"] / "a.npy")
    shutil.copy(good, bad["twice"] / "a.bvh")
    (bad["text"] / f"{STEMS[0]}.npy").write_text("0.1 0.2 0.3")
    save_motion(load_motion(good).cut(0, 1), bad["still"] / f"{STEMS[0]}.npz")
    for stem in STEMS:
        save_motion(load_motion(folders / "motion" / f"{stem}.npz").cut(0, 400), bad["cut"] / f"{stem}.npz")
    return {**bad, "joints": save_joints(folders, tmp_path / "joints", 30.0)}


def test_bad_input_is_told_in_one_line_and_leaves_nothing_behind(folders, bad_folders, tmp_path, capsys):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,song\nnobody.npz,x\n")
    wrong_song = tmp_path / "wrong_song.csv"
    wrong_song.write_text(f"file,song\n{STEMS[0]}_7,x\n")
    cases = [
        ({"generated": tmp_path / "missing"}, "There is no folder"),
        ({"music": tmp_path / "missing"}, "There is no folder"),
        ({"reference": bad_folders["empty"]}, "must hold reference dances"),
        ({"music": bad_folders["empty"]}, "must hold songs"),
        (
            {"generated": bad_folders["broken"]},
            f"1 of 1 files in {bad_folders['broken']} cannot be measured: {STEMS[0]}",
        ),
        ({"generated": bad_folders["nan"]}, f"{STEMS[1]}.npy: "),
        ({"generated": bad_folders["nan"]}, "NaN or infinity in 1 of"),
        ({"generated": bad_folders["strangers"]}, "No generated dance has the name of a song"),
        ({"generated": bad_folders["short"]}, "must last at least 2 s, got 1.33 s"),
        ({"generated": bad_folders["one"]}, "generated clips of 2 songs, got 6 of 1"),
        ({"generated": bad_folders["pickles"]}, "pickle"),
        ({"generated": bad_folders["twice"]}, "one file for each name, got a.bvh and a.npy"),
        ({"training": tmp_path / "missing"}, "There is no folder"),
        ({"manifest": tmp_path / "missing.csv"}, "There is no manifest"),
        ({"manifest": manifest}, "names dances that do not exist: nobody"),
        ({"manifest": wrong_song}, "the song x, which does not exist"),
        ({"window-seconds": 30}, "need at least 2 generated clips"),
        ({"window-seconds": 0}, "`window_seconds` must be at least 1 s, got 0."),
        ({"window-seconds": "inf"}, "`window_seconds` must be at least 1 s, got inf"),
        ({"join-seconds": 0.1}, "`join_seconds` must be at least 0.5 s, got 0.1"),
        ({"join-seconds": "nan"}, "`join_seconds` must be at least 0.5 s, got nan"),
        ({"seed": -1}, "`seed` must be at least 0, got -1"),
        ({"output": manifest}, "The report goes to a folder, but"),
        ({"generated": bad_folders["joints"]}, f"measured: {STEMS[0]}.npy: joints of shape (540, 24, 3) do not say"),
        ({"generated": bad_folders["joints"]}, "pass `--input-frame-rate`"),
        ({"generated": bad_folders["text"]}, f"{STEMS[0]}.npy is not a readable .npy file"),
        ({"generated": bad_folders["still"]}, "must last at least 2 s, got 0.03 s"),
        ({"reconstruction": ""}, "must have a reference dance of its name"),
        ({"generated": bad_folders["cut"], "reconstruction": ""}, f"{STEMS[0]}: A reconstruction must be as long"),
    ]
    good = {"generated": folders / "generated", "reference": folders / "motion", "music": folders / "audio"}
    for changes, fragment in cases:
        options = {**good, "window-seconds": 3, "output": tmp_path / "out", **changes}
        command = [part for name, value in options.items() for part in (f"--{name}", str(value)) if part]
        assert main(["evaluate", *command, "--no-pictures"]) == 2, fragment
        message = capsys.readouterr().err.splitlines()[-1]
        assert message.startswith("infinitedance: error: ") and fragment in message, (fragment, message)
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_of_a_report_that_cannot_be_drawn(folders, tmp_path, monkeypatch):
    def fail(*_arguments, **_settings):
        raise ValueError("no picture")

    monkeypatch.setattr("infinitedance.evaluation.evaluate.render_contact_sheet", fail)
    with pytest.raises(ValueError, match="no picture"):
        evaluate_dances(inputs(folders, with_pictures=True), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("song,genre\na,b\n", "must have the column file"),
        ("file,color\na,b\n", "must have the column file, and may have song, genre and bpm"),
        ("file\na\na.npz\n", "line 3: `file` must be a name that stands once"),
        ("file,bpm\na,fast\n", "line 2: `bpm` must be a positive number, got 'fast'"),
        ("file,bpm\na,0\n", "line 2: `bpm` must be a positive number, got '0'"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_pairing_manifest(path)


def test_resampling_keeps_frames_that_fall_together_and_smooth_curves_in_between():
    times = np.arange(120)[:, None, None] / 60
    positions = np.sin(2 * np.pi * times + np.arange(3))
    np.testing.assert_allclose(resample_positions(positions, 60.0, 30.0), positions[::2], atol=1e-12)
    up = resample_positions(positions[::3], 20.0, 30.0)
    expected = np.sin(2 * np.pi * np.arange(59)[:, None, None] / 30 + np.arange(3))
    np.testing.assert_allclose(up[:-1], expected[:-1], atol=2e-3)
    assert resample_positions(positions, 60.0, 60.0) is positions


def song(name: str, bpm: float, seconds: float = 40.0, meter: int = 4) -> Song:
    return Song(name, BeatClock.steady(bpm, seconds, meter=meter), seconds)


def bouncing_dance(bpm: float, own: Song, seconds: float = 40.0) -> MeasuredDance:
    """Twenty-two joints that stand still on every second beat of some tempo."""
    times = np.arange(round(30 * seconds)) / 30
    positions = np.zeros((len(times), 22, 3))
    positions[..., 1] = 1 + np.arange(22) / 20 + 0.1 * np.cos(np.pi * bpm / 120 * times)[:, None]
    return MeasuredDance("d", positions, own)


def test_a_dance_is_measured_against_its_own_song_and_against_others():
    own, other = song("own", 120.0), song("other", 97.0)
    values = music_of(bouncing_dance(120, own), [own, other], bouncing_dance(120, own))
    assert values["pulse_lock"] > 100 and values["pulse_lock_wrong_song"] < 1
    assert values["tempo_agrees"] == 1 and values["tempo_agrees_wrong_song"] == 0
    assert values["phase_error_beats"] == pytest.approx(0, abs=1e-9)
    assert values["alignment_motion"] > 0.95 and values["alignment_motion_excess"] > 0.3
    assert values["alignment_music"] == pytest.approx(0.5, abs=0.02) and values["beat_precision"] > 0.95
    assert values["tempo_half_double"] == 1 and values["tempo_same"] == 0  # one pulse on two beats
    assert values["alignment_published_motion"] > 0.8
    deaf = music_of(bouncing_dance(97, own), [own, other])
    assert deaf["pulse_lock"] < 1 < deaf["pulse_lock_wrong_song"] and deaf["tempo_agrees"] == 0
    assert np.isnan(deaf["phase_error_beats"]) and abs(deaf["alignment_motion_excess"]) < 0.1


def test_who_stands_still_has_no_lock_and_who_dances_briefly_has_no_number():
    own = song("own", 120.0)
    still = MeasuredDance("d", np.ones((900, 22, 3)), own)
    values = music_of(still, [own])
    assert values["pulse_lock"] == values["tempo_agrees"] == values["beat_f1"] == 0
    assert np.isnan(values["pulse_lock_wrong_song"]) and np.isnan(values["tempo_agrees_wrong_song"])
    brief = music_of(bouncing_dance(120, own, 4.0), [own])
    assert np.isnan(brief["pulse_lock"]) and np.isnan(brief["tempo_agrees"]) and brief["alignment_motion"] > 0.9


def test_what_is_danced_after_the_song_does_not_count():
    own, whole = song("own", 120.0, 20.0), song("own", 120.0, 40.0)
    cut = music_of(bouncing_dance(120, own, 40.0), [own])
    assert cut == pytest.approx(music_of(bouncing_dance(120, song("own", 120.0, 20.0), 20.0), [own]), nan_ok=True)
    assert cut["pulse_lock"] != music_of(bouncing_dance(120, whole, 40.0), [whole])["pulse_lock"]


def test_a_song_in_three_pulses_once_a_bar():
    assert song("w", 84.0, meter=3).cycles_per_beat == pytest.approx(1 / 3)
    assert song("w", 84.0).cycles_per_beat == 0.5 and song("w", 84.0).bpm == pytest.approx(84)


def test_a_dance_without_a_song_is_refused_by_the_music_metrics():
    with pytest.raises(ValueError, match="The dance d has no song"):
        music_of(MeasuredDance("d", np.zeros((90, 22, 3))), [])


def test_every_metric_is_measured_once(folders):
    positions = load_motion(folders / "motion" / f"{STEMS[0]}.npz").joint_positions()
    own = song("own", 124.0)
    library = training_poses({"a": positions})
    measured = [measure_body(positions, 0.5), measure_memory(positions, library)]
    measured.append(music_of(MeasuredDance("d", positions, own), [own]))
    measured += [measure_joins(positions, [90]), measure_reconstruction(positions, positions)]
    keys = [key for values in measured for key in values]
    assert sorted(keys) == sorted(metric.key for metric in METRICS)
    assert measured[1]["copied"] == 1
