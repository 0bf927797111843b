import av
import numpy as np
import pytest
import soundfile

from infinitedance.cli import main
from infinitedance.motion.files import load_motion, read_bvh


@pytest.fixture
def song(tmp_path, clicks):
    path = tmp_path / "song.wav"
    soundfile.write(path, clicks[:48_000], 24_000)
    return path


def test_a_song_becomes_bvh_npz_and_mp4(tiny_pipeline_dir, song, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["dance", str(song), "--genre", "waltz", "--seed", "4", "--model", str(tiny_pipeline_dir)]
    assert main([*arguments, "--video-height", "360", "--output", str(output)]) == 0
    names = sorted(path.name for path in output.iterdir())
    assert names == ["song_waltz_4.bvh", "song_waltz_4.mp4", "song_waltz_4.npz"]
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    motion = load_motion(output / "song_waltz_4.npz")
    assert motion.num_frames == 60
    assert len(read_bvh(output / "song_waltz_4.bvh").root_positions) == 60
    with av.open(str(output / "song_waltz_4.mp4")) as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (640, 360)


def test_the_same_seed_writes_the_same_bytes(tiny_pipeline_dir, song, tmp_path):
    for name in ("first", "second"):
        arguments = ["dance", str(song), "--model", str(tiny_pipeline_dir), "--output", str(tmp_path / name)]
        assert main([*arguments, "--no-video"]) == 0
    for suffix in (".bvh", ".npz"):
        first, second = ((tmp_path / name / f"song_any_0{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second


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
        (["dance", str(song), "--genre", "polka", *model, *output], "must be one of rumba, waltz"),
        (["dance", str(text), *model, *output], "text.mp3"),
        (["dance", str(silence), *model, *output], "silen"),
        (["dance", str(empty), *model, *output], "empty.wav"),
        (["dance", str(song), *output, "--model", str(tmp_path)], "no config.json"),
        (["dance", str(song), *model, "--output", str(file_in_the_way)], "file"),
        (["dance", str(song), *model, *output, "--bpm", "-3"], "bpm"),
        (["dance", str(song), *model, *output, "--video-height", "541"], "even numbers"),
        (["dance", str(song), *model, *output, "--references", str(tmp_path)], "no folder of references"),
        (["dance", str(song), *model, *output, "--pin", "clip"], "give `--references` too"),
        (["index", str(tmp_path), *output, "--encoder", str(tmp_path)], "holds no music-dance encoder"),
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
