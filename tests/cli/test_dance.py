import av
import pytest
import soundfile

from infinitedance.assets import DEFAULT_REFERENCES, DEMO_GENRE, DEMO_SONG, MODELS
from infinitedance.cli import main
from infinitedance.cli.dance import genres_of
from infinitedance.cli.energy_file import COLUMNS, read_energy_file
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


def test_help_lists_the_genres_of_the_models_that_ship(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dance", "--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    for name in MODELS:
        assert genres_of(name) == MusicToDancePipeline.from_pretrained(name).genres
        assert f"{name}: {', '.join(genres_of(name))}" in told


def test_the_demo_song_is_danced_in_a_genre_of_the_default_model(tmp_path, monkeypatch):
    asked = {}

    def remember(self, audio, **options):
        asked.update(options, audio=audio)
        raise ValueError("enough")

    monkeypatch.setattr(MusicToDancePipeline, "__call__", remember)
    assert main(["demo", "--output", str(tmp_path), "--no-video"]) != 0
    assert (asked["audio"], asked["genre"]) == (DEMO_SONG, DEMO_GENRE) and DEMO_GENRE in genres_of("open")


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
    assert main([*arguments, "--energy", "0.75"]) == 0
    assert load_motion(tmp_path / "song_any_0.npz").provenance["asked"]["energy"] == 0.75


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--side", "up"], "invalid choice: 'up'"),
        (["--ending", "bow"], "invalid choice: 'bow'"),
        (["--energy", "1.5"], "must lie in 0 to 1, got 1.5"),
        (
            ["--energy", "no.csv"],
            "no.csv is neither a number nor a file that can be read; a file must hold the header",
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
        (["--stage", "-1"], "`--stage` must be a positive number of metres, got -1.0"),
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
    assert main(["dance", str(song), *options, "--num-references", "0"]) == 0
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
