import av
import numpy as np
import pytest
import soundfile

from infinitedance.cli import main
from infinitedance.motion.files import load_motion, read_bvh
from infinitedance.utils.extras import is_installed


@pytest.fixture
def song(tmp_path, clicks):
    path = tmp_path / "song.wav"
    soundfile.write(path, clicks[: 2 * 24_000], 24_000)
    return path


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "song.npy", np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32))
    return folder


def test_the_released_model_dances_into_bvh_npz_mp4_and_glb(imported_release, song, features, tmp_path, capsys):
    output = tmp_path / "out"
    words = ["dance", str(song), "--model", str(imported_release), "--genre", "Popular", "--output", str(output)]
    assert main([*words, "--music-features", str(features), "--video-height", "64"]) == 0
    printed = capsys.readouterr().out
    assert "non-commercial use only" in printed and "conditioned on zeros" in printed
    names = sorted(path.name for path in output.iterdir())
    assert names == ["song_Popular_0.bvh", "song_Popular_0.mp4", "song_Popular_0.npz"]
    motion = load_motion(output / "song_Popular_0.npz")
    assert motion.num_frames == 60 == len(read_bvh(output / "song_Popular_0.bvh").root_positions)
    assert "non-commercial" in motion.provenance["license"]
    with av.open(str(output / "song_Popular_0.mp4")) as video:
        assert video.streams.video[0].frames == 60
    assert main(["convert", str(output / "song_Popular_0.npz"), str(output / "song.glb")]) == 0
    assert b"infinitedance-non-commercial" in (output / "song.glb").read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--side", "left"], "`--side` is not for the authors' released model"),
        (["--guidance-scale", "1.5"], "`--guidance-scale` is not for"),
        (["--no-repeats"], "`--no-repeats` is not for"),
        (["--genre", "waltz"], "This model dances Ballet, Popular, Latin, Modern, Folk, Classic, not 'waltz'"),
        (["--music-features", "nowhere.npy"], "There is no file nowhere.npy"),
        (["--references", "nowhere"], "There is no nowhere.*InfiniteDanceData"),
    ],
)
def test_what_it_cannot_do_is_told(imported_release, song, tmp_path, words, told, capsys):
    assert (
        main(["dance", str(song), "--model", str(imported_release), "--genre", "Popular", "--no-video", *words]) == 2
    )
    error = capsys.readouterr().err
    assert told.split(".*")[0] in error and told.split(".*")[-1] in error
    assert not (tmp_path / "outputs").exists()


def test_a_style_must_be_asked_for_and_features_must_be_there(imported_release, song, features, capsys):
    words = ["dance", str(song), "--model", str(imported_release), "--no-video"]
    assert main(words) == 2
    assert "does not choose its style: give `--genre`" in capsys.readouterr().err
    (features / "song.npy").unlink()
    assert main([*words, "--genre", "Popular", "--music-features", str(features)]) == 2
    assert "song.npy, nor .npz" in capsys.readouterr().err
    if not is_installed("muq"):
        assert main([*words, "--genre", "Popular"]) == 2
        assert "needs the package `muq`" in capsys.readouterr().err


def test_its_options_are_not_for_other_models(tiny_pipeline_dir, song, capsys):
    assert main(["dance", str(song), "--model", str(tiny_pipeline_dir), "--decoder", "compat"]) == 2
    assert "`--decoder` is only for the authors' released model" in capsys.readouterr().err
