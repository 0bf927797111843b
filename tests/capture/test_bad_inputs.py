"""Files that cannot be captured end the command with a sentence and leave nothing behind but the report.

`benchmarks.capture.bad_inputs` does the same with drawn people and the networks, and with files that can be captured.
"""

import numpy as np
import pytest

from infinitedance.capture import tools
from infinitedance.cli import main


@pytest.fixture(autouse=True)
def no_networks(monkeypatch, finder):
    """Look for people with a finder of rectangles; nothing here comes as far as the lifter."""
    monkeypatch.setattr(tools, "_blazepose", lambda models, network, num_threads: finder)
    monkeypatch.setattr(tools.CaptureTools, "digests", lambda self: {})


@pytest.fixture
def make(write_pictures, picture_of, write_sound):
    room = picture_of()

    def cut_off(path, num_bytes):
        write_pictures(path, [room] * 40, np.arange(40) / 30)
        path.write_bytes(path.read_bytes()[:-num_bytes])

    def a_picture(path):
        from PIL import Image

        Image.fromarray(room).save(path)

    return {
        "absent.mp4": lambda path: None,
        "folder.mp4": lambda path: path.mkdir(),
        "empty.mp4": lambda path: path.touch(),
        "text.mp4": lambda path: path.write_text("no video\n" * 99),
        "cut_off.mp4": lambda path: cut_off(path, 2_000),
        "end_cut_off.mp4": lambda path: cut_off(path, 600),
        "picture.png": a_picture,
        "picture.jpg": a_picture,
        "sound.m4a": lambda path: write_sound(path, "ipod", "aac", np.zeros((2, 24_000), np.float32), 24_000),
        "one_picture.mp4": lambda path: write_pictures(path, [room], [0.0]),
        "short.mp4": lambda path: write_pictures(path, [room] * 20, np.arange(20) / 30),
        "nobody.mp4": lambda path: write_pictures(path, [room] * 40, np.arange(40) / 30),
        "black.mp4": lambda path: write_pictures(path, [room * 0] * 80, np.arange(80) / 10),
        "slow.mp4": lambda path: write_pictures(path, [room] * 20, np.arange(20) / 10),
    }


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("absent.mp4", "absent.mp4 does not exist."),
        ("folder.mp4", "folder.mp4 is a folder, give the videos in it."),
        ("empty.mp4", "empty.mp4 is empty (0 bytes). Copy or download it again."),
        ("text.mp4", "text.mp4 cannot be read as a video"),
        ("cut_off.mp4", "cut_off.mp4 cannot be read as a video"),
        ("end_cut_off.mp4", "end_cut_off.mp4: nothing here decodes how its pictures are coded. Copy or download it"),
        ("picture.png", "picture.png is a picture. Give a video."),
        ("picture.jpg", "picture.jpg is a picture. Give a video."),
        ("sound.m4a", "sound.m4a holds only sound. Give a video."),
        ("one_picture.mp4", "one_picture.mp4 lasts 0.0"),
        ("short.mp4", "short.mp4 lasts 0.67 s. Give a video of 1 s or more."),
        ("nobody.mp4", "nobody.mp4: nobody is seen in its 1.3 s. Film the whole body"),
        ("black.mp4", "black.mp4: nobody is seen in its 8.0 s. Film the whole body"),
        ("slow.mp4", "slow.mp4 has 10.0 pictures a second: fast movements are lost."),
    ],
)
def test_a_file_that_is_no_dance_is_refused_with_a_sentence(tmp_path, make, capsys, name, sentence):
    make[name](tmp_path / name)
    assert main(["capture", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert "Traceback" not in printed.out + printed.err
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left <= {"report.html", f"{name.split('.')[0]}.json"}
