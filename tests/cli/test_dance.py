import av
import pytest
import soundfile

from infinitedance.cli import main
from infinitedance.cli.dance import default_genres
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


@pytest.mark.parametrize("missing", ["av", "cv2"])
def test_without_the_packages_of_the_video_the_dance_is_written_all_the_same(
    tiny_pipeline_dir, song, tmp_path, capsys, monkeypatch, missing
):
    monkeypatch.setattr("infinitedance.utils.extras.is_installed", lambda package: package != missing)
    assert main(["dance", str(song), "--model", str(tiny_pipeline_dir), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"No mp4 will be written: that needs {missing} (`pip install 'infinitedance[video]'`, or"
    )
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".bvh", ".npz"]


def test_help_lists_the_genres_of_the_model_that_ships(capsys):
    assert default_genres() == MusicToDancePipeline.from_pretrained().genres
    with pytest.raises(SystemExit) as ended:
        main(["dance", "--help"])
    assert ended.value.code == 0
    assert ", ".join(default_genres()) in " ".join(capsys.readouterr().out.split())
