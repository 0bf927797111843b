"""`infinitedance convert`: what a person types, what is written, what is said when it cannot be."""

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from infinitedance.cli import main
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.files import load_motion, save_motion
from infinitedance.motion.motion import Motion
from infinitedance.motion.skeleton import JOINT_INDEX, NUM_JOINTS

BEATS = np.arange(0, 4, 0.5)


@pytest.fixture
def dance(tmp_path):
    """Four seconds at 30 Hz: the left arm swings once in a bar of two seconds while the body glides along x."""
    times = np.arange(120) / 30
    rotations = np.zeros((120, NUM_JOINTS, 4))
    rotations[..., 0] = 1
    angle = 0.8 * np.sin(np.pi * times)
    rotations[:, JOINT_INDEX["left_shoulder"], 0] = np.cos(angle / 2)
    rotations[:, JOINT_INDEX["left_shoulder"], 3] = np.sin(angle / 2)
    root = np.stack([times / 4, np.full(120, 0.95), 0 * times], axis=-1)
    beats = {"beat_times_seconds": BEATS.tolist(), "downbeat_times_seconds": BEATS[::4].tolist()}
    save_motion(Motion(30.0, root, rotations, provenance={"seed": 7, **beats}), tmp_path / "dance.npz")
    return tmp_path / "dance.npz"


def rows_of(path):
    with path.open(newline="") as file:
        file.readline()
        return list(csv.DictReader(file))


@pytest.mark.parametrize("frame_rate", [24, 25, 60])
def test_another_frame_rate_keeps_the_dance_and_its_length(frame_rate, dance, tmp_path, capsys):
    assert main(["convert", str(dance), str(tmp_path / "dance.csv"), "--frame-rate", str(frame_rate)]) == 0
    num_frames = int(119 / 30 * frame_rate) + 1
    assert f"{num_frames} frames at {frame_rate} Hz" in capsys.readouterr().out
    rows = rows_of(tmp_path / "dance.csv")
    times = np.array([float(row["time_seconds"]) for row in rows])
    np.testing.assert_allclose(times, np.arange(num_frames) / frame_rate, atol=1e-6)
    arm = 0.316  # the length of the upper arm
    shoulder_to_elbow = [float(row["left_elbow_y"]) - float(row["left_shoulder_y"]) for row in rows]
    expected = arm * np.sin(0.8 * np.sin(np.pi * times))
    np.testing.assert_allclose(shoulder_to_elbow, expected, atol=2e-3)


@pytest.fixture
def waltz(tmp_path):
    """Six bars of two seconds."""
    beats = np.arange(18) * 2 / 3
    provenance = {"seed": 7, "beat_times_seconds": beats.tolist(), "downbeat_times_seconds": beats[::3].tolist()}
    dance = replace(synthesize_dance("waltz", 90, 12.0, seed=0), provenance=provenance)
    save_motion(dance, tmp_path / "waltz.npz")
    return tmp_path / "waltz.npz"


def test_a_loop_in_place_lasts_its_bars_and_says_its_seam(waltz, tmp_path, capsys):
    output = tmp_path / "loop.npz"
    arguments = ["--loop", "2", "--from-bar", "2", "--in-place", "--frame-rate", "60"]
    assert main(["convert", str(waltz), str(output), *arguments]) == 0
    printed = capsys.readouterr().out
    assert "loop of 2 bars from bar 2 on, 4.000 s from 2.000 s, its end blended for 0.80 s" in printed
    assert "90 degrees of turning are returned" in printed
    assert "at its seam joints jump by at most 0 mm and 0.00 m/s; only cut: 0 mm" in printed
    assert "241 frames at 60 Hz" in printed
    loop = load_motion(output)
    assert loop.is_loop and not loop.root_positions[:, [0, 2]].any()
    assert loop.provenance["downbeat_times_seconds"] == pytest.approx([0, 2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop.npz", "waltz.npz"]


@pytest.mark.parametrize("name", ["loop.glb", "loop.smplx.npz"])
def test_the_song_of_a_loop_is_cut_where_the_loop_is(name, waltz, tmp_path, capsys):
    sound = np.random.default_rng(0).normal(size=12 * 22_050) * 0.1
    soundfile.write(tmp_path / "song.wav", sound, 22_050, subtype="PCM_16")
    arguments = [str(waltz), str(tmp_path / name), "--loop", "--song", str(tmp_path / "song.wav")]
    assert main(["convert", *arguments]) == 0
    start = float(re.search(r"s from (\S+) s, its", capsys.readouterr().out)[1])
    cut, rate = soundfile.read(tmp_path / "loop.song.wav")
    assert rate == 22_050 and len(cut) % (2 * rate) == 0  # whole bars
    np.testing.assert_allclose(cut[:-200], sound[round(start * rate) :][: len(cut) - 200], atol=2**-15)


def test_the_song_of_a_loop_of_a_loop_is_cut_where_both_are(waltz, tmp_path):
    sound = np.random.default_rng(0).normal(size=12 * 22_050) * 0.1
    soundfile.write(tmp_path / "song.wav", sound, 22_050, subtype="PCM_16")
    song = ["--song", str(tmp_path / "song.wav")]
    first, second = str(tmp_path / "first.npz"), str(tmp_path / "second.npz")
    assert main(["convert", str(waltz), first, "--loop", "3", "--from-bar", "2", *song]) == 0
    assert main(["convert", first, second, "--loop", "1", "--from-bar", "2", *song]) == 0
    start = load_motion(tmp_path / "second.npz").provenance["song_start_seconds"]
    assert start == pytest.approx(4.0, abs=0.05)  # the third bar of the song
    cut = soundfile.read(tmp_path / "second.song.wav")[0]
    np.testing.assert_allclose(cut[:-200], sound[round(start * 22_050) :][: len(cut) - 200], atol=2**-15)


def test_the_song_gives_the_beats_of_a_dance_that_knows_none(dance, clicks, tmp_path):
    motion = load_motion(dance)
    motion.provenance.clear()
    save_motion(motion, dance)
    soundfile.write(tmp_path / "song.wav", clicks, 24_000)
    arguments = ["convert", str(dance), str(tmp_path / "dance.glb"), "--song", str(tmp_path / "song.wav")]
    assert main([*arguments, "--body", "none", "--names", "vrm"]) == 0
    data = (tmp_path / "dance.glb").read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    beats = document["scenes"][0]["extras"]["beat_times_seconds"]
    assert len(beats) >= 7
    np.testing.assert_allclose(np.diff(beats), 0.5, atol=0.02)


def test_what_cannot_be_converted_is_told_in_one_line_and_leaves_nothing(dance, tmp_path, capsys):
    without_beats = tmp_path / "without.npz"
    motion = load_motion(dance)
    motion.provenance.clear()
    save_motion(motion, without_beats)
    folder = tmp_path / "folder.glb"
    folder.mkdir()
    text = tmp_path / "text.bvh"
    text.write_text("not a motion")
    glb = tmp_path / "dance.glb"
    cases = [
        ([dance, tmp_path / "dance.mp5"], "its name must end in one of .bvh"),
        ([dance, tmp_path], "its name must end in one of .bvh"),
        ([dance, folder], "is a folder"),
        ([dance, tmp_path / "none" / "dance.glb"], "does not exist. Create it first"),
        ([tmp_path / "missing.npz", glb], "missing.npz"),
        ([text, glb], "text.bvh"),
        ([dance, dance], "must be another file than the input"),
        ([without_beats, glb, "--loop"], "give the song (`--song`)"),
        ([dance, glb, "--loop", "3"], "The dance has 1 whole bars, got 3 for the loop"),
        ([dance, glb, "--from-bar", "1"], "give `--loop` too"),
        ([dance, glb, "--loop", "--from-bar", "9"], "must start with one of the bars 1 to 1"),
        ([dance, glb, "--song", tmp_path / "missing.ogg"], "missing.ogg"),
        ([dance, tmp_path / "dance.vrma", "--names", "mixamo"], "names of their own, got mixamo"),
        ([dance, tmp_path / "dance.csv", "--body", "human"], "`body` must be given for .glb"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, fragment in cases:
        assert main(["convert", *map(str, arguments)]) == 2, arguments
        message = capsys.readouterr().err
        assert message.startswith("infinitedance: error:") and fragment in message, (arguments, message)
        assert message.count("\n") == 1, message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_head_is_levelled_and_hands_are_relaxed(dance, tmp_path):
    motion = load_motion(dance)
    rotations = motion.joint_rotations.copy()
    rotations[:, JOINT_INDEX["head"]] = [np.cos(0.2), np.sin(0.2), 0, 0]  # looks down
    save_motion(Motion(30.0, motion.root_positions, rotations), dance)
    out = tmp_path / "out.npz"
    assert main(["convert", str(dance), str(out), "--head", "level", "--fingers", "relaxed"]) == 0
    changed = load_motion(out)
    assert changed.finger_rotations is not None
    up = changed.joint_frames()[1][:, JOINT_INDEX["head"], :, 1]
    np.testing.assert_allclose(up, [[0, 1, 0]] * 120, atol=1e-5)


def test_markers_are_a_script_beside_the_file(dance, tmp_path, capsys):
    assert main(["convert", str(dance), str(tmp_path / "waltz.bvh"), "--markers"]) == 0
    script = (tmp_path / "waltz.markers.py").read_text()
    assert "NUM_FRAMES = 'waltz.bvh', 'waltz', 30.0, 120" in script and "(2.0, 'bar 2')" in script
    assert f"`blender --python {tmp_path / 'waltz.markers.py'}`" in capsys.readouterr().out


def test_markers_for_other_programs_are_refused_before_anything_is_written(dance, tmp_path, capsys):
    assert main(["convert", str(dance), str(tmp_path / "waltz.vmd"), "--markers"]) == 2
    assert "`--markers` goes with .bvh, .fbx, .glb" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["dance.npz"]


@pytest.mark.parametrize(("name", "told"), [("waltz.glb", True), ("waltz.vmd", False)])
def test_the_rate_is_told_where_blender_does_not_take_it_from_the_file(name, told, dance, tmp_path, capsys):
    assert main(["convert", str(dance), str(tmp_path / name)]) == 0
    assert ("bpy.context.scene.render.fps = 30" in capsys.readouterr().out) == told


def test_a_vmd_is_looped_at_its_own_rate_and_refuses_another(dance, tmp_path, capsys):
    save_motion(load_motion(dance).resample(24), dance)
    assert main(["convert", str(dance), str(tmp_path / "waltz.vmd"), "--loop", "1"]) == 0
    assert "frames at 30 Hz" in capsys.readouterr().out
    assert main(["convert", str(dance), str(tmp_path / "other.vmd"), "--frame-rate", "60"]) == 2
    assert "A VMD has 30 frames a second, got --frame-rate 60" in capsys.readouterr().err
    assert not (tmp_path / "other.vmd").exists()


def test_bars_that_are_no_number_are_refused_with_the_way_to_write_them(dance, tmp_path, capsys):
    for text in ("0", "-1", str(dance)):
        with pytest.raises(SystemExit) as ended:
            main(["convert", "--loop", text, str(tmp_path / "loop.glb")])
        assert ended.value.code == 2
        assert "BARS" in capsys.readouterr().err
