import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile

import infinitedance
from infinitedance.cli import convert, main, restore
from infinitedance.dataset_builder.manifest import read_manifest
from infinitedance.motion.files import BODIES, BONE_NAMES, EXPORT_FORMATS, save_motion, write_bvh
from infinitedance.restoration.foot_placer import FOOT_LOCKS
from infinitedance.restoration.pipeline_frdm import SAMPLERS


@pytest.fixture
def song(tmp_path, clicks):
    path = tmp_path / "song.wav"
    soundfile.write(path, clicks[:48_000], 24_000)
    return path


def test_choices_are_those_of_the_package():
    assert tuple(EXPORT_FORMATS) == convert.FORMATS
    assert tuple(BONE_NAMES) == convert.NAMES
    assert tuple(BODIES) == convert.BODIES
    assert SAMPLERS == restore.SAMPLERS
    assert FOOT_LOCKS == restore.FOOT_LOCKS


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"infinitedance {infinitedance.__version__}\n"


def test_python_m_is_the_command():
    completed = subprocess.run([sys.executable, "-m", "infinitedance", "dnce"], capture_output=True, text=True)
    assert completed.returncode == 2 and "infinitedance: error:" in completed.stderr and "'dnce'" in completed.stderr


@pytest.mark.parametrize(
    ("line", "heavy"),
    [
        (["--version"], {"numpy", "torch"}),
        (["dance", "--help"], {"numpy", "torch"}),
        (["convert", "dance.bvh", "dance.glb"], {"transformers"}),
        (["sheet", "dance.bvh"], {"transformers"}),
        (["view", "dance.bvh", "--html", "page.html"], {"transformers"}),
    ],
)
def test_a_command_imports_what_it_needs_only(line, heavy, dance, tmp_path):
    write_bvh(dance, tmp_path / "dance.bvh")
    program = f"""
import atexit, sys
from infinitedance.cli import main
atexit.register(lambda: print("loaded:", *sorted({heavy} & set(sys.modules))))
sys.exit(main({line}))
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.splitlines()[-1] == "loaded:"


def test_a_built_data_set_has_the_splits_of_the_file(tmp_path, capsys):
    assert main(["procedural", str(tmp_path / "clips"), "--clips", "4", "--seconds", "3"]) == 0
    songs = sorted(path.stem for path in (tmp_path / "clips").rglob("*.wav"))
    splits = tmp_path / "splits.yaml"
    splits.write_text(
        f"validation: [clip_folder/{songs[0]}]\ntest: [clip_folder/{songs[1]}, clip_folder/{songs[2]}]\n"
    )
    command = ["build", "--source", f"clip_folder={tmp_path / 'clips'}", "--output", str(tmp_path / "built")]
    assert main([*command, "--splits", str(splits), "--no-mirror"]) == 0
    found = {clip.song_id.split("/")[1]: clip.split for clip in read_manifest(tmp_path / "built")}
    assert found == dict(zip(songs, ["validation", "test", "test", "train"], strict=True))
    splits.write_text("validation: waltz\n")
    assert main([*command, "--splits", str(splits)]) == 2
    assert "must map `validation` and `test` to lists of song ids" in capsys.readouterr().err


def test_a_sheet_is_drawn_from_a_dance(tiny_pipeline_dir, song, tmp_path):
    main(["dance", str(song), "--model", str(tiny_pipeline_dir), "--output", str(tmp_path), "--no-video"])
    assert main(["sheet", str(tmp_path / "song_any_0.npz"), "--output", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_procedural_data_set_is_written(tmp_path):
    assert main(["procedural", str(tmp_path / "clips"), "--clips", "2", "--seconds", "3"]) == 0
    assert (tmp_path / "clips" / "metadata.csv").is_file()


def test_wrong_input_is_told_in_one_line_and_leaves_nothing_behind(tiny_pipeline_dir, song, tmp_path, capsys):
    text = tmp_path / "text.mp3"
    text.write_text("not a song")
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(48_000), 24_000)
    empty = tmp_path / "empty.wav"
    empty.write_bytes(b"")
    file_in_the_way = tmp_path / "file"
    file_in_the_way.write_text("")
    model = ["--model", str(tiny_pipeline_dir)]
    output = ["--output", str(tmp_path / "out")]
    cases = [
        (["dance", str(tmp_path / "missing.mp3"), *model, *output], "missing.mp3"),
        (["dance", str(song), "--genre", "polka", *model, *output], "This model dances rumba, waltz, not 'polka'."),
        (["dance", str(text), *model, *output], "text.mp3"),
        (["dance", str(silence), *model, *output], "silen"),
        (["dance", str(empty), *model, *output], "empty.wav"),
        (["dance", str(song), *output, "--model", str(tmp_path)], "no config.json"),
        (["dance", str(song), *model, "--output", str(file_in_the_way)], "file"),
        (["dance", str(song), *model, *output, "--bpm", "-3"], "bpm"),
        (["dance", str(song), *model, *output, "--video-height", "541"], "even numbers"),
        (["dance", str(song), *model, *output, "--references", str(tmp_path)], "no folder of references"),
        (["dance", str(song), *model, *output, "--pin", "clip"], "give `--references` too"),
        (["dance", str(song), *model, *output, "--num-references", "1"], "give `--references` too"),
        (["dance", str(song), *model, *output, "--guidance-scale", "nan"], "must lie in 0 to 3"),
        (["space", "--port", "99999"], "must lie in 1 to 65535"),
        (["index", str(tmp_path), *output, "--encoder", str(tmp_path)], "holds no model: there is no config.json"),
        (
            ["index", str(tmp_path), *output, "--encoder", str(tiny_pipeline_dir)],
            "must hold a model of type music_dance",
        ),
        (["sheet", str(tmp_path / "missing.npz")], "missing.npz"),
        (["sheet", str(text)], "must end in .bvh, .json"),
        (["procedural", str(tmp_path / "none"), "--clips", "0"], "num_clips"),
    ]
    for command, fragment in cases:
        assert main(command) == 2, command
        message = capsys.readouterr().err
        assert "infinitedance: error:" in message and fragment in message, (command, message)
        assert "Traceback" not in message
    assert not list((tmp_path / "out").glob("*"))


def test_a_command_that_is_stopped_says_so_in_one_line(dance, tmp_path):
    save_motion(dance, tmp_path / "dance.npz")
    program = """
import os, signal, sys, infinitedance.motion.files as files
from infinitedance.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what runs in the background ignore it
def stopped(motion, path, **options):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
files.export_motion = stopped
sys.exit(main(["convert", "dance.npz", "dance.glb"]))
"""
    for name, status, told in (("SIGINT", 130, "infinitedance: stopped\n"), ("SIGTERM", 128 + 15, "")):
        command = [sys.executable, "-c", program, name]
        completed = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (completed.returncode, completed.stderr) == (status, told)


def test_output_that_nobody_reads_is_no_success(dance, tmp_path):
    save_motion(dance, tmp_path / "dance.npz")
    command = [sys.executable, "-m", "infinitedance", "convert", "dance.npz", "dance.bvh"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    process.stdout.close()
    assert process.wait() == 141 and process.stderr.read() == ""


def test_an_unforeseen_error_is_one_line_and_a_file_with_the_details(dance, tmp_path, monkeypatch, capsys):
    save_motion(dance, tmp_path / "dance.npz")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fail(*_, **__):
        raise KeyError("odd")

    monkeypatch.setattr("infinitedance.motion.files.export_motion", fail)
    assert main(["convert", str(tmp_path / "dance.npz"), str(tmp_path / "dance.glb")]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    (details,) = tmp_path.glob("infinitedance-*.log")
    assert "KeyError: it lacks 'odd'. This is a defect of the package" in told and str(details) in told
    assert "Traceback" in details.read_text()


def test_warnings_are_lines_without_code(dance, tmp_path, monkeypatch, capsys):
    save_motion(dance, tmp_path / "dance.npz")

    def warn(*_, **__):
        warnings.warn("dance.npz is odd:\n  see `--up-axis`.", stacklevel=1)

    monkeypatch.setattr("infinitedance.motion.files.export_motion", warn)
    assert main(["convert", str(tmp_path / "dance.npz"), str(tmp_path / "dance.glb")]) == 0
    assert capsys.readouterr().err == "infinitedance: warning: dance.npz is odd: see `--up-axis`.\n"
