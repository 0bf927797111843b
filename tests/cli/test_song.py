import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from benchmarks.sections import SAMPLING_RATE, make_song
from infinitedance.audio.song_map import SongMap
from infinitedance.cli import main


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    path = tmp_path_factory.mktemp("songs") / "song.wav"
    soundfile.write(path, make_song(4, "AB").waveform, SAMPLING_RATE)
    return path


def test_only_json_is_printed_and_the_picture_is_written(song, tmp_path, capsys):
    assert main(["song", str(song), "--plot", str(tmp_path / "song.png")]) == 0
    song_map = SongMap.from_dict(json.loads(capsys.readouterr().out))
    assert song_map.duration_seconds == pytest.approx(soundfile.info(song).duration, abs=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["song.png"]


def test_the_options_of_the_beats_are_kept(song, capsys):
    options = ["--bpm", "90", "--meter", "3", "--first-downbeat", "1.5", "--genre", "waltz"]
    assert main(["song", str(song), *options]) == 0
    beats = json.loads(capsys.readouterr().out)["beats"]
    assert beats["bpm"] == pytest.approx(90, rel=0.02) and beats["beats_per_bar"] == 3
    assert np.abs(np.array(beats["downbeat_times_seconds"]) - 1.5).min() < 0.01


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["missing.mp3"], "missing.mp3 does not exist"),
        (["{song}", "--plot", "song.jpg"], "ends in .png"),
        (["{song}", "--plot", "no/folder/song.png"], "There is no folder"),
        (["{song}", "--bpm", "-3"], "`--bpm` must lie in 30 to 300 beats a minute, got -3.0"),
        (["{song}", "--bpm", "nan"], "`--bpm` must lie in 30 to 300 beats a minute, got nan"),
        (["{song}", "--meter", "99"], "`--meter` must lie in 1 to 12 beats in a bar, got 99"),
        (["{song}", "--first-downbeat", "1e9"], "`--first-downbeat` must lie in 0 to 3600 seconds"),
        (["{song}", "--first-downbeat", "3599"], "`first_downbeat_seconds` must lie in the song"),
    ],
)
def test_wrong_input_is_told_in_one_line(song, tmp_path, monkeypatch, capsys, arguments, fragment):
    monkeypatch.chdir(tmp_path)
    assert main(["song", *(argument.format(song=song) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    assert fragment in captured.err and captured.out == "" and "Traceback" not in captured.err


def test_parsing_imports_nothing_heavy():
    program = """
import atexit, sys
from infinitedance.cli import main
atexit.register(lambda: print("loaded:", *sorted({"numpy", "torch", "librosa", "matplotlib"} & set(sys.modules))))
main(["song", "--help"])
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.returncode == 0 and "--first-downbeat" in completed.stdout
    assert completed.stdout.splitlines()[-1] == "loaded:"
