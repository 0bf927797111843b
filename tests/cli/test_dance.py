import io
import json
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from infinitedance.assets import DEFAULT_REFERENCES, DEMO_GENRE, DEMO_SONG, MODELS
from infinitedance.audio.loading import load_audio
from infinitedance.cli import main
from infinitedance.cli.dance import genres_of
from infinitedance.cli.energy_file import COLUMNS, read_energy_file
from infinitedance.cli.song_batch import plan_songs, short_stem
from infinitedance.motion.files import load_motion, read_bvh
from infinitedance.pipeline import MusicToDancePipeline


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


def test_without_the_package_of_the_video_the_dance_is_written_all_the_same(
    tiny_pipeline_dir, song, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != "cv2")
    assert main(["dance", str(song), "--model", str(tiny_pipeline_dir), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("No mp4 will be written: that needs cv2 (`pip install 'infinitedance[video]'`, or")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".bvh", ".npz"]


def test_help_lists_the_genres_of_the_models_that_ship(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dance", "--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for name in MODELS:
        assert genres_of(name) == MusicToDancePipeline.from_pretrained(name).genres
        assert f"{name}: {', '.join(genres_of(name))}" in told


def test_the_demo_song_is_danced_in_a_genre_of_the_default_model_as_often_as_wanted(tmp_path, monkeypatch):
    asked = {}

    def remember(self, audio, **options):
        asked.update(options, audio=audio)
        raise ValueError("enough")

    monkeypatch.setattr(MusicToDancePipeline, "__call__", remember)
    (tmp_path / f"{DEMO_SONG.stem}_{DEMO_GENRE}_0.bvh").touch()
    assert main(["demo", "--output", str(tmp_path), "--no-video"]) != 0
    np.testing.assert_array_equal(asked["audio"], load_audio(DEMO_SONG))
    assert (asked["song_name"], asked["genre"]) == (DEMO_SONG.name, DEMO_GENRE) and DEMO_GENRE in genres_of("open")


def test_what_is_asked_reaches_the_dance_and_stands_in_its_file(controlled_pipeline_dir, song, tmp_path, capsys):
    curve = tmp_path / "curve.csv"
    curve.write_text("seconds,energy\n0, 0.5\n1.5, 1\n")
    arguments = ["dance", str(song), "--model", str(controlled_pipeline_dir), "--output", str(tmp_path), "--no-video"]
    asked = ["--side", "left", "--energy", str(curve), "--ending", "fade", "--stage", "1.5", "--no-repeats"]
    assert main([*arguments, *asked]) == 0
    provenance = load_motion(tmp_path / "song_any_0.npz").provenance
    assert provenance["asked"] == {
        "side": "left",
        "energy": [[0.0, 0.5], [1.5, 1.0]],
        "ending": "fade",
        "stage_radius": 1.5,
        "repeats": False,
    }
    assert provenance["genre"] in ("contemporary", "rumba", "waltz")
    assert provenance["genre_reason"] in capsys.readouterr().out
    assert main([*arguments, "--energy", "0.75", "--overwrite"]) == 0
    assert load_motion(tmp_path / "song_any_0.npz").provenance["asked"]["energy"] == 0.75


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--side", "up"], "invalid choice: 'up'"),
        (["--ending", "bow"], "invalid choice: 'bow'"),
        (["--energy", "1.5"], "must lie in 0 to 1, got 1.5"),
        (
            ["--energy", "no.csv"],
            "no.csv is neither a number nor a file that can be read, of up to 4 MB; a file must hold the header",
        ),
    ],
)
def test_unknown_values_are_told_with_the_usage(song, asked, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dance", str(song), *asked])
    assert ended.value.code == 2 and told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--stage", "-1"], "`--stage` must lie in 0.01 to 1000 metres, got -1.0"),
        (["--stage", "1e-320"], "`--stage` must lie in 0.01 to 1000 metres"),
        (["--stage", "inf"], "`--stage` must lie in 0.01 to 1000 metres, got inf"),
        (["--seed", "-1"], "`--seed` must lie in 0 to 9.22337e+18, got -1"),
        (["--seed", "9" * 23], "`--seed` must lie in"),
        (["--guidance-scale", "nan"], "`--guidance-scale` must lie in 0 to 3, got nan"),
        (["--guidance-scale", "99"], "`--guidance-scale` must lie in 0 to 3, got 99"),
        (["--bpm", "nan"], "`--bpm` must lie in 30 to 300 beats a minute, got nan"),
        (["--bpm", "inf"], "`--bpm` must lie in 30 to 300"),
        (["--bpm", "-3"], "`--bpm` must lie in 30 to 300"),
        (["--meter", "0"], "`--meter` must lie in 1 to 12 beats in a bar, got 0"),
        (["--first-downbeat", "nan"], "`--first-downbeat` must lie in 0 to 3600 seconds, got nan"),
        (["--first-downbeat", "-1"], "`--first-downbeat` must lie in 0 to 3600"),
        (["--first-downbeat", "3"], "song.wav: `first_downbeat_seconds` must lie in the song, 0 to 2.00 s, got 3.0"),
        (["--video-height", "20000"], "`--video-height` must lie in 64 to 2160 pixels, got 20000"),
        (["--num-references", "-1"], "`--num-references` must lie in 0 to"),
        (["--side", "left"], "`side` cannot be asked of the model model, which was trained without"),
        (["--energy", "0.2"], "`energy` cannot be asked of the model model"),
        (["--num-references", "1"], "give `--references` too"),
        (["--model", "open", "--genre", "polka"], "This model dances contemporary, pop, salsa, not 'polka'.\n"),
        (["--model", "open", "--genre", "waltz"], "not 'waltz'; `--model research` does."),
        (["--model", "open", "--num-references", "99"], "`num_references` must lie between"),
    ],
)
def test_what_cannot_be_done_is_told_before_the_work(tiny_pipeline_dir, song, tmp_path, asked, told, capsys):
    model = ["--model", str(tiny_pipeline_dir)]
    assert main(["dance", str(song), "--output", str(tmp_path / "out"), *model, *asked]) != 0
    assert told in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "begins with nothing"),
        ("seconds,energy\n", "begins with"),
        ("0,0.5\n1,0.7\n", "begins with"),
        ("seconds;energy\n0;1\n", "begins with"),
        ("seconds,energy\n0,loud\n", "got 0,loud"),
        ("seconds,energy\n0,1.2\n", "got 0,1.2"),
        ("seconds,energy\n0,nan\n", "got 0,nan"),
        ("seconds,energy\n-1,1\n", "got -1,1"),
        ("seconds,energy\n1,1\n1,0.5\n", "got 1,0.5"),
        ("seconds,energy\n1,1,1\n", "got 1,1,1"),
    ],
)
def test_a_wrong_energy_file_is_named_with_what_it_must_hold(song, tmp_path, text, got, capsys):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(SystemExit):
        main(["dance", str(song), "--energy", str(path)])
    told = capsys.readouterr().err
    assert str(path) in told and "must hold the header `seconds,energy`" in told and got in told


def test_an_energy_file_that_never_ends_or_blocks_is_not_read(song, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zeros.csv").write_bytes(b"seconds,energy\n0,\0\n")
    for path in (tmp_path / "pipe.csv", tmp_path / "zeros.csv", tmp_path, "/dev/zero"):
        with pytest.raises(SystemExit):
            main(["dance", str(song), "--energy", str(path)])
        assert str(path) in capsys.readouterr().err


def test_an_energy_file_of_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_bytes('\ufeffseconds,energy\r\n0,0\r\n2.5,"0.5"\r\n\r\n'.encode())
    assert read_energy_file(path) == [(0.0, 0.0), (2.5, 0.5)] and COLUMNS == ["seconds", "energy"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_shipped_model_is_called_by_its_name_and_dances_with_a_reference_of_its_own(name, song, tmp_path, capsys):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    options = ["--model", name, "--genre", "salsa", "--output", str(tmp_path), "--no-video"]
    assert main(["dance", str(song), *options]) == 0
    assert "1 reference dance; the nearest piece, of " in capsys.readouterr().out
    provenance = load_motion(tmp_path / "song_salsa_0.npz").provenance
    assert provenance["model"] == f"choreollama-{name}" and provenance["license"]
    assert {hit["genre"] for window in provenance["references"] for hit in window["hits"]} == {"salsa"}
    assert main(["dance", str(song), *options, "--num-references", "0", "--overwrite"]) == 0
    assert "references" not in load_motion(tmp_path / "song_salsa_0.npz").provenance


def test_another_library_is_danced_with_where_it_is_given(save_tiny_pipeline, song, tmp_path):
    pytest.importorskip("faiss", reason="references need the extra `data`")
    model = save_tiny_pipeline(tmp_path / "model", genres=["salsa"])
    options = ["--model", str(model), "--output", str(tmp_path), "--no-video", "--references", str(DEFAULT_REFERENCES)]
    assert main(["dance", str(song), *options]) == 0
    references = load_motion(tmp_path / "song_any_0.npz").provenance["references"]
    assert all(len(window["hits"]) == 1 for window in references)
    with pytest.raises(SystemExit):
        main(["dance", str(song), *options[:-1]])  # `--references` names a library


@pytest.fixture
def dance(tiny_pipeline_dir, tmp_path):
    """Dance without video in the tiny model: `dance(*songs_and_options)` returns the exit status."""

    def run(*arguments):
        options = ["--model", str(tiny_pipeline_dir), "--output", str(tmp_path / "out"), "--no-video"]
        return main(["dance", *map(str, arguments), *options])

    return run


@pytest.fixture
def songs(tmp_path, clicks):
    """A folder with two songs, a file that is none, hidden files and a folder."""
    folder = tmp_path / "songs"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.wav", "b.FLAC", "inner/deep.wav", "._a.wav"):
        soundfile.write(folder / name, clicks[:36_000], 24_000, format=name[-4:].strip(".").upper())
    (folder / "cover.jpg").write_bytes(b"picture")
    return folder


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_and_a_file_are_danced_with_one_model(dance, songs, song, tmp_path, monkeypatch, capsys):
    loaded = MusicToDancePipeline.from_pretrained.__func__
    calls = []
    monkeypatch.setattr(
        MusicToDancePipeline,
        "from_pretrained",
        classmethod(lambda cls, *arguments, **options: calls.append(1) or loaded(cls, *arguments, **options)),
    )
    assert dance(songs, song, songs / "a.wav") == 0
    stems = ["a_any_0", "b_any_0", "song_any_0"]
    assert files_of(tmp_path / "out") == [f"{stem}{suffix}" for stem in stems for suffix in (".bvh", ".npz")]
    assert len(calls) == 1 and "3 made, 0 failed" in capsys.readouterr().out
    alone = load_motion(tmp_path / "out" / "b_any_0.npz")
    assert dance(songs / "b.FLAC", "--overwrite") == 0
    np.testing.assert_array_equal(load_motion(tmp_path / "out" / "b_any_0.npz").root_positions, alone.root_positions)
    assert alone.provenance["song"] == "b.FLAC"


def test_of_several_songs_the_bad_ones_are_listed_and_the_rest_is_made(dance, songs, tmp_path, capsys):
    (songs / "aa.mp3").write_text("words")
    assert dance(songs, tmp_path / "missing.wav", "--json") == 2
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [(Path(line["song"]).name, line["status"]) for line in lines] == [
        ("a.wav", "made"),
        ("aa.mp3", "failed"),
        ("b.FLAC", "made"),
        ("missing.wav", "failed"),
    ]
    assert lines[0] == {
        "song": str(songs / "a.wav"),
        "status": "made",
        "files": [str(tmp_path / "out" / f"a_any_0{suffix}") for suffix in (".bvh", ".npz")],
        "seconds": 1.5,
        "genre": load_motion(tmp_path / "out" / "a_any_0.npz").provenance["genre"],
        "bpm": load_motion(tmp_path / "out" / "a_any_0.npz").provenance["song_map"]["beats"]["bpm"],
        "error": None,
    }
    assert "it is a text" in lines[1]["error"] and lines[1]["files"] == [] and lines[1]["bpm"] is None
    assert [line.partition(": ")[2].partition(":")[0] for line in captured.err.splitlines()] == [
        "failed",
        "failed",
        "error",
    ]
    assert captured.err.splitlines()[-1].endswith("2 of 4 songs failed.")


def test_if_no_song_can_be_read_no_model_is_loaded(dance, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(MusicToDancePipeline, "from_pretrained", None)
    (tmp_path / "song.raw").write_bytes(bytes(1000))
    assert dance(tmp_path / "song.raw") == 2 and not (tmp_path / "out").exists()
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "song.raw cannot be read as audio" in told
    assert dance(tmp_path / "song.raw", tmp_path / "none.mp3") == 2
    assert "2 of 2 songs failed" in capsys.readouterr().err


def test_a_folder_without_songs_is_told(dance, tmp_path, capsys):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    assert dance(tmp_path / "empty") == 2
    assert "holds no audio file" in capsys.readouterr().err


def test_nothing_is_overwritten_unless_asked(dance, songs, tmp_path, monkeypatch, capsys):
    assert dance(songs / "a.wav") == 0
    before = (tmp_path / "out" / "a_any_0.npz").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(MusicToDancePipeline, "from_pretrained", None)  # refused before the work
        assert dance(songs) == 2
    assert "a_any_0.bvh and 1 other files would be overwritten. Give `--overwrite`" in capsys.readouterr().err
    assert files_of(tmp_path / "out") == ["a_any_0.bvh", "a_any_0.npz"]
    assert dance(songs, "--overwrite") == 0
    assert (tmp_path / "out" / "a_any_0.npz").stat().st_mtime_ns > before


def test_an_interrupted_command_is_finished_to_the_same_bytes(dance, songs, tmp_path, capsys):
    assert dance(songs) == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    kept = (tmp_path / "out" / "a_any_0.npz").stat().st_mtime_ns
    (tmp_path / "out" / "b_any_0.npz").unlink()  # killed between the two files of a song
    capsys.readouterr()
    assert dance(songs, "--skip-existing", "--json") == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["kept", "made"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == whole
    assert (tmp_path / "out" / "a_any_0.npz").stat().st_mtime_ns == kept
    assert dance(songs, "--skip-existing") == 0
    assert "0 made, 2 kept, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize("stopped", ["render_video", "write_bvh", "save_motion"])
def test_an_interrupt_leaves_nothing_behind(tiny_pipeline_dir, songs, tmp_path, monkeypatch, stopped):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    place = "motion.drawing.rendering" if stopped == "render_video" else "motion.files"
    monkeypatch.setattr(f"infinitedance.{place}.{stopped}", interrupt)
    options = ["--model", str(tiny_pipeline_dir), "--output", str(tmp_path / "out"), "--video-height", "64"]
    try:
        main(["dance", str(songs / "a.wav"), *options])
    except KeyboardInterrupt:
        pass
    assert files_of(tmp_path / "out") == []


def test_quiet_prints_nothing(dance, songs, capfd):
    assert dance(songs, "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_without_an_output_the_dance_is_made_all_the_same(dance, songs, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it where the output was closed
    assert dance(songs / "a.wav") == 0
    assert files_of(tmp_path / "out") == ["a_any_0.bvh", "a_any_0.npz"]


def test_what_another_process_made_meanwhile_is_not_replaced(dance, songs, tmp_path, monkeypatch, capsys):
    from infinitedance.motion import files

    write_bvh = files.write_bvh

    def write_beside_another(motion, path):
        (tmp_path / "out" / "a_any_0.bvh").write_text("another")
        write_bvh(motion, path)

    monkeypatch.setattr(files, "write_bvh", write_beside_another)
    assert dance(songs / "a.wav") == 2
    assert "a_any_0.bvh would be overwritten" in capsys.readouterr().err
    assert files_of(tmp_path / "out") == ["a_any_0.bvh"]


def test_no_progress_bar_is_captured(dance, songs, capfd):
    assert dance(songs) == 0
    captured = capfd.readouterr()
    assert "token" not in captured.err + captured.out and "\r" not in captured.err + captured.out


def names_of(*songs):
    planned = plan_songs([Path(song) for song in songs], Path("out"), "any_0", [".bvh"])
    return [song.paths[0].name.removesuffix("_any_0.bvh") for song in planned]


def test_no_two_songs_share_a_file():
    assert names_of("x/a.mp3", "x/b.mp3") == ["a", "b"]
    assert names_of("a.mp3", "a.wav") == ["a_mp3", "a_wav"]
    assert names_of("x/a.mp3", "y/a.mp3", "A.mp3") == ["a_mp3", "a_mp3_2", "A_mp3_3"]
    assert names_of("x/a.mp3", "y/a.mp3", "a_mp3.wav") == ["a_mp3_2", "a_mp3_3", "a_mp3"]
    assert names_of("x/" + "n" * 200 + "1.mp3", "n" * 200 + "2.mp3") == ["n" * 120 + "_mp3", "n" * 120 + "_mp3_2"]


@pytest.mark.parametrize("stem", ["x" * 240, "ä" * 120, "\udce9" * 240, "♫" * 80, "short"])
def test_a_long_name_is_cut_between_two_letters(stem):
    cut = short_stem(stem)
    assert stem.startswith(cut) and min(118, len(os.fsencode(stem))) <= len(os.fsencode(cut)) <= 120


@pytest.mark.parametrize("name", ["n" * 240 + ".wav", "l\udce4rm.wav", "line\nbreak \x1b[31m.wav"])
def test_any_name_is_danced_to_and_told(tiny_pipeline_dir, clicks, tmp_path, monkeypatch, name):
    soundfile.write(tmp_path / "song.wav", clicks[:24_000], 24_000)
    path = (tmp_path / "song.wav").rename(tmp_path / name)
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    arguments = ["dance", str(path), "--model", str(tiny_pipeline_dir), "--video-height", "64"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    assert sorted(each.suffix for each in (tmp_path / "out").iterdir()) == [".bvh", ".mp4", ".npz"]
    told = terminal.getvalue()
    assert b"\x1b" not in told and told.count(b"\n") == 5


def test_what_is_wrong_with_the_sound_is_told_before_a_file_is_written(
    tiny_pipeline_dir, write_sound, click_song, tmp_path, capsys
):
    path = write_sound(tmp_path / "song.m4a", "ipod", "aac", click_song(44_100), 44_100)
    path.write_bytes(path.read_bytes()[:-3000])
    assert main(["dance", str(path), "--model", str(tiny_pipeline_dir), "--output", str(tmp_path / "out")]) == 2
    assert "song.m4a" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_an_empty_name_is_not_the_current_folder(capsys):
    with pytest.raises(SystemExit):
        main(["dance", ""])
    assert "SONG_OR_FOLDER: the name is empty" in capsys.readouterr().err
