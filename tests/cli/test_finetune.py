import json
import os
import re
import shutil

import pytest
import soundfile

from infinitedance import MusicToDancePipeline
from infinitedance.cli import build_parser, main
from infinitedance.training import finetune as module
from infinitedance.utils.atomic import held_folder


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """The codec of an untrained model tells nothing, and the clips of these tests are short."""
    monkeypatch.setattr(module, "TOO_FAR_MM", 1e6)
    monkeypatch.setattr(module, "MIN_MINUTES", 0.05)
    monkeypatch.setattr(module, "HELD_OUT_BASE_DANCES", 4)
    recipe = {"batch_size": 4, "learning_rate": 1e-2, "eval_steps": 2, "checkpoint_minutes": 1e-9}
    monkeypatch.setattr(module, "read_recipe", lambda: recipe | {"max_steps": 4})


@pytest.fixture(scope="module")
def clips(tmp_path_factory, build_procedural):
    """A clip folder of four dances of four seconds."""
    root = tmp_path_factory.mktemp("clips")
    build_procedural(root, 4, 4.0)
    return root / "clips"


def run(*arguments) -> int:
    return main(["finetune", *map(str, arguments)])


def test_a_style_is_learned_and_danced(clips, tiny_pipeline_dir, clicks, tmp_path, capsys):
    adapter = tmp_path / "mine"
    assert run(clips, "--name", "mine", "--output", adapter, "--model", tiny_pipeline_dir) == 0
    printed = capsys.readouterr().out
    assert re.search(r"The codec tells these clips within \d+ mm: (too far|usable|fine)", printed)
    assert "Learned mine from 0.2 minutes of 3 clips" in printed
    assert re.search(r"Loss of 1 clip held out: \d\.\d\d -> \d\.\d\d nats a code \(", printed)
    assert "Left out" not in printed
    assert f"--model {tiny_pipeline_dir} --adapter {adapter}" in printed
    assert not (adapter / "work").exists() and (adapter / "adapter_model.safetensors").is_file()

    song = tmp_path / "song.wav"
    soundfile.write(song, clicks, 24_000)
    command = ["dance", str(song), "--model", str(tiny_pipeline_dir), "--no-video", "--output", str(tmp_path / "out")]
    assert main([*command, "--adapter", f"{adapter}=0.5"]) == 0
    assert "It is what the adapter mine dances." in capsys.readouterr().out
    assert main([*command, "--adapter", str(adapter), "--genre", "mine"]) == 0
    assert (tmp_path / "out" / "song_mine_0.bvh").is_file()
    assert main([*command, "--genre", "mine", "--seed", "1"]) == 2
    assert "not 'mine'" in capsys.readouterr().err


def test_a_stopped_run_goes_on_to_the_same_adapter(clips, tiny_pipeline_dir, tmp_path, monkeypatch, capsys):
    options = ["--name", "mine", "--model", tiny_pipeline_dir]
    assert run(clips, *options, "--output", tmp_path / "whole") == 0
    real = module.score_takes
    calls = []

    def stop(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(module, "score_takes", stop)
        assert run(clips, *options, "--output", tmp_path / "cut") == 130
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["work"]
    assert run(clips, *options, "--output", tmp_path / "cut", "--seed", 1) == 2
    assert "begun with another seed" in capsys.readouterr().err
    assert run(clips, *options, "--output", tmp_path / "cut") == 0
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    records = [json.loads((tmp_path / name / "finetune.json").read_text()) for name in ("whole", "cut")]
    assert records[0] | {"seconds": 0} == records[1] | {"seconds": 0}


def test_a_finished_adapter_is_kept_and_what_was_left_beside_it_is_tidied(tmp_path, capsys):
    (tmp_path / "work/run").mkdir(parents=True)
    (tmp_path / "finetune.json").write_text("{}")
    assert run(tmp_path / "clips", "--name", "mine", "--output", tmp_path) == 2
    assert "holds a finished adapter already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["finetune.json"]


@pytest.mark.skipif(os.name != "posix", reason="the system has no locks for folders")
def test_one_command_at_a_time_works_in_a_folder(clips, tiny_pipeline_dir, tmp_path, capsys):
    with held_folder(tmp_path / "mine/work"):
        assert run(clips, "--name", "mine", "--output", tmp_path / "mine", "--model", tiny_pipeline_dir) == 2
    assert "Another command works in" in capsys.readouterr().err
    assert run(clips, "--name", "mine", "--output", tmp_path / "mine", "--model", tiny_pipeline_dir) == 0


@pytest.mark.parametrize("steps", ["0", "100001"])
def test_steps_out_of_range(steps, clips, tmp_path, capsys):
    assert run(clips, "--name", "mine", "--output", tmp_path / "mine", "--steps", steps) == 2
    assert "--steps" in capsys.readouterr().err and not (tmp_path / "mine").exists()


def test_a_folder_with_something_else_is_kept(clips, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert run(clips, "--name", "mine", "--output", tmp_path) == 2
    assert "holds letter.txt already" in capsys.readouterr().err
    assert run(clips, "--name", "mine", "--output", tmp_path / "letter.txt") == 2
    assert "is a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_wrong_folder_leaves_nothing(tmp_path, capsys):
    assert run(tmp_path / "nowhere", "--name", "mine", "--output", tmp_path / "mine") == 2
    assert "does not exist" in capsys.readouterr().err and not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [("any", None, "asks for any genre"), ("waltz", None, "dances waltz already"), ("mine", "nowhere", "'nowhere'")],
)
def test_what_is_wrong_is_told_before_the_clips_are_read(name, model, message, tiny_pipeline_dir, tmp_path, capsys):
    options = ["--name", name, "--output", tmp_path / "mine", "--model", model or tiny_pipeline_dir]
    assert run(tmp_path / "no clips", *options) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "mine").exists()


def test_what_is_left_out_is_told(clips, tiny_pipeline_dir, tmp_path, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in sorted((clips / "motion").iterdir())[:2]:
        shutil.copy(path, folder)
        shutil.copy(clips / "audio" / f"{path.stem}.wav", folder)
    for index in range(12):
        (folder / f"broken_{index:02}.bvh").write_text("HIERARCHY")
    output = tmp_path / "my style"
    assert run(folder, "--name", "mine", "--output", output, "--model", tiny_pipeline_dir) == 0
    printed = capsys.readouterr().out
    assert "Left out, 12 in all:" in printed and "  broken_09.bvh: " in printed and "broken_10" not in printed
    assert f"--adapter '{output}'" in printed


def test_one_clip_is_learned_and_what_cannot_be_measured_is_said(
    tiny_pipeline_dir, build_procedural, tmp_path, capsys
):
    build_procedural(tmp_path, 1, 4.0)
    output = tmp_path / "mine"
    assert run(tmp_path / "clips", "--name", "mine", "--output", output, "--model", tiny_pipeline_dir) == 0
    assert "No clip was held out, which takes three songs" in capsys.readouterr().out
    assert json.loads((output / "finetune.json").read_text())["held_out_loss"] is None


def test_a_style_may_have_a_slash_in_its_name(clips, tiny_pipeline_dir, clicks, tmp_path, capsys):
    adapter, song = tmp_path / "adapter", tmp_path / "song.wav"
    assert run(clips, "--name", "hip/hop v1.5", "--output", adapter, "--model", tiny_pipeline_dir) == 0
    soundfile.write(song, clicks, 24_000)
    command = ["dance", str(song), "--model", str(tiny_pipeline_dir), "--no-video", "--output", str(tmp_path / "out")]
    assert main([*command, "--adapter", str(adapter), "--genre", "hip/hop v1.5"]) == 0
    assert (tmp_path / "out" / "song_hip_hop v1.5_0.bvh").is_file()
    assert main([*command, "--adapter", str(adapter), "--adapter", f"{adapter}=0.5"]) == 2
    assert "more than once" in capsys.readouterr().err
    assert main(["dance", str(song), "--model", str(adapter), "--no-video", "--output", str(tmp_path / "other")]) == 2
    assert "holds an adapter: give it as such" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("style", ("style", 1.0)), ("style=0.5", ("style", 0.5)), ("a=b", ("a=b", 1.0)), ("a=b=-1", ("a=b", -1.0))],
)
def test_an_adapter_may_have_a_weight(text, wanted):
    (adapter,) = build_parser().parse_args(["dance", "song.mp3", "--adapter", text]).adapter
    assert (str(adapter[0]), adapter[1]) == wanted


def test_a_folder_may_have_an_equals_sign_in_its_name(tmp_path):
    (tmp_path / "a=2").mkdir()
    (adapter,) = build_parser().parse_args(["dance", "song.mp3", "--adapter", str(tmp_path / "a=2")]).adapter
    assert adapter == (tmp_path / "a=2", 1.0)


def test_a_damaged_adapter_is_one_line(tiny_pipeline_dir, clicks, tmp_path, capsys):
    song = tmp_path / "song.wav"
    soundfile.write(song, clicks, 24_000)
    command = ["dance", str(song), "--model", str(tiny_pipeline_dir), "--no-video", "--output", str(tmp_path / "out")]
    assert main([*command, "--adapter", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "is no folder of an adapter" in error[0]
    assert not (tmp_path / "out").exists() and MusicToDancePipeline.from_pretrained(tiny_pipeline_dir).genres
