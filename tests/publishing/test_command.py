"""`infinitedance publish`, as people run it."""

import io
import shutil
from dataclasses import replace

import datasets
import numpy as np
import pytest
import soundfile
from huggingface_hub import DatasetCard, SpaceCard, constants

from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER
from infinitedance.cli import WRONG_INPUT, main, publish
from infinitedance.dataset_builder.build import build_dataset
from infinitedance.dataset_builder.hub import InfiniteDanceBuilder, export_parquet
from infinitedance.dataset_builder.manifest import read_manifest, write_manifest
from infinitedance.dataset_builder.procedural.dataset import make_procedural_dataset
from infinitedance.dataset_builder.stages import SourceFolder
from infinitedance.publishing.kinds import KINDS
from infinitedance.publishing.upload import prepare, upload


class Terminal(io.StringIO):
    """What somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch):
    def give(text: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(text))

    return give


@pytest.fixture(scope="module")
def built(tiny_pipeline_dir, tmp_path_factory):
    clips = make_procedural_dataset(tmp_path_factory.mktemp("procedural") / "clips", 6, 3.0)
    source = SourceFolder("clip_folder", str(clips))
    return build_dataset([source], tmp_path_factory.mktemp("built") / "set", codec=tiny_pipeline_dir)


@pytest.fixture
def space_folder(tmp_path):
    folder = tmp_path / "space"
    folder.mkdir()
    (folder / "README.md").write_text("---\ntitle: Dance\nsdk: gradio\napp_file: app.py\n---\n\n# Dance\n")
    (folder / "infinitedance" / "deep" / "__pycache__").mkdir(parents=True)
    package = (
        "infinitedance/__init__.py",
        "infinitedance/deep/module.py",
        "infinitedance/deep/__pycache__/module.pyc",
    )
    for name in ("app.py", "requirements.txt", "packages.txt", "notes.txt", *package):
        (folder / name).write_text(f"# {name}\n")
    return folder


def test_the_kinds_of_the_command_are_those_of_the_package():
    assert set(publish.KINDS) == set(KINDS)


def test_a_dry_run_shows_all_and_asks_nobody(hub, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["publish", "restorer", str(DEFAULT_RESTORER), "ada/feet", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"a foot restoration model for {hub.url}/ada/feet:" in text
    assert "  model.safetensors  1.77 MB\n" in text and "4 files, 1.77 MB" in text
    assert 'FrdmPipeline.from_pretrained("ada/feet")' in text and "license_name: research-non-commercial" in text
    assert text.endswith("Nothing was uploaded: this was a dry run.\n")
    assert not hub.requests


def test_without_a_terminal_nothing_is_uploaded_unasked(hub, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["publish", "restorer", str(DEFAULT_RESTORER), "ada/feet"]) == WRONG_INPUT
    assert "add --yes to upload, or --dry-run to see what would be" in capsys.readouterr().err
    assert not hub.requests


@pytest.mark.parametrize(
    ("text", "is_uploaded"), [("y\n", True), ("yes\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_the_answer_on_the_terminal_decides(hub, capsys, answer, text, is_uploaded):
    answer(text)
    assert main(["publish", "restorer", str(DEFAULT_RESTORER), "ada/feet", "--private"]) == 0
    out = capsys.readouterr().out
    assert f"{hub.url}/ada/feet is new and private.\nUpload? [y/N]" in out
    assert (("model", "ada/feet") in hub.repos) is is_uploaded
    assert out.endswith(f"{hub.url}/ada/feet\n" if is_uploaded else "Nothing was uploaded.\n")


def test_a_missing_token_is_told_before_the_work(hub, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["publish", "dataset", str(tmp_path / "large"), "ada/dances", "--yes"]) == WRONG_INPUT
    assert "There is no token of the Hub: log in with `hf auth login`" in capsys.readouterr().err


def test_what_is_replaced_and_removed_is_said_before(hub, capsys, answer):
    files = {"config.json": b"{}", "model-00001-of-00002.safetensors": b""}
    hub.add_repo("model", "ada/feet", files=files)
    answer("n\n")
    main(["publish", "restorer", str(DEFAULT_RESTORER), "ada/feet"])
    out = capsys.readouterr().out
    assert f"{hub.url}/ada/feet is there, public, and is replaced.\nRemoved there: model-00001-of-00002.saf" in out
    assert set(hub.files("model", "ada/feet")) == set(files)


def test_what_is_removed_is_said_to_those_who_are_not_asked(hub, capsys):
    hub.add_repo("model", "ada/feet", files={"config.json": b"{}", "model.safetensors": b"", "LICENSE": b"mine"})
    assert main(["publish", "restorer", str(DEFAULT_RESTORER), "ada/feet", "--yes"]) == 0
    assert "Removed there: LICENSE\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", str(DEFAULT_RESTORER), "ada/x", "--yes"], "it has no processor_config.json"),
        (["restorer", "nowhere", "ada/x", "--yes"], "There is no folder nowhere"),
        (["restorer", str(DEFAULT_RESTORER), "feet", "--yes"], "A name on the Hub is OWNER/NAME"),
        (["restorer", str(DEFAULT_RESTORER), "grace/x", "--yes"], "does not let you do this with grace/x"),
        (["restorer", str(DEFAULT_RESTORER), "ada/x", "--yes", "--base", "a/b"], "`base` is for adapters"),
        (["library", str(DEFAULT_REFERENCES), "ada/x", "--yes", "--benchmark", "a/b"], "Nothing measured lies in"),
        (["restorer", str(DEFAULT_RESTORER), "ada/x", "--yes", "--license", "my own", "--base", "x"], "OWNER/NAME"),
    ],
)
def test_wrong_input_is_one_line(hub, capsys, arguments, message):
    assert main(["publish", *arguments]) == WRONG_INPUT
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if "infinitedance: " in line]  # beside progress bars
    assert message in line
    assert ("model", "ada/x") not in hub.repos


def test_weights_that_do_not_load_are_not_uploaded(hub, capsys, tmp_path):
    """Their hash is right and their header too: only loading them shows it."""
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(DEFAULT_RESTORER, tmp_path / "feet")
    (folder / "SHA256SUMS").unlink()
    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), folder / "model.safetensors")
    assert main(["publish", "restorer", str(folder), "ada/feet", "--yes"]) == WRONG_INPUT
    assert "is not a checkpoint of FrdmModel" in capsys.readouterr().err
    assert not hub.requests


def test_a_model_gets_a_picture_of_a_dance(hub, capsys, tiny_pipeline_dir):
    pytest.importorskip("cv2", reason="the extra `video` is not installed")
    assert main(["publish", "model", str(tiny_pipeline_dir), "ada/tiny", "--yes", "--license", "mit"]) == 0
    assert hub.files("model", "ada/tiny")["dance.png"].startswith(b"\x89PNG")
    card = hub.files("model", "ada/tiny")["README.md"].decode()
    assert "url: dance.png" in card and "license: mit" in card
    assert f"({hub.url}/ada/tiny/resolve/main/dance.png)" in card


def test_the_command_dances_with_a_model_and_references_of_the_hub(hub, clicks, tmp_path, capsys):
    soundfile.write(tmp_path / "song.wav", clicks, 24_000)
    upload(prepare("model", DEFAULT_MODEL, "ada/open"))
    upload(prepare("library", DEFAULT_REFERENCES, "ada/dances"))
    made = []
    for name, model, references in (("hub", "ada/open", "ada/dances"), ("local", "open", str(DEFAULT_REFERENCES))):
        options = ["--model", model, "--references", references, "--output", str(tmp_path / name), "--no-video"]
        assert main(["dance", str(tmp_path / "song.wav"), *options, "--genre", "pop"]) == 0, capsys.readouterr().err
        (path,) = (tmp_path / name).glob("*.bvh")
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_a_library_is_published(hub):
    assert main(["publish", "library", str(DEFAULT_REFERENCES), "ada/dances", "--yes", "--message", "Mine"]) == 0
    assert hub.repos["model", "ada/dances"].commits[-1][1] == "Mine"


def test_a_space_is_published_with_the_package(hub, space_folder, capsys):
    assert main(["publish", "space", str(space_folder), "ada/dance", "--yes"]) == 0
    files = hub.files("space", "ada/dance")
    assert "infinitedance/deep/module.py" in files
    assert "notes.txt" not in files and "infinitedance/deep/__pycache__/module.pyc" not in files
    assert SpaceCard(files["README.md"].decode()).data.sdk == "gradio"
    assert hub.created[0]["sdk"] == "gradio" and capsys.readouterr().out.endswith(f"{hub.url}/spaces/ada/dance\n")


def load(name, config, tmp_path, **options):
    return datasets.load_dataset(name, config, cache_dir=str(tmp_path / "datasets"), **options)


@pytest.fixture
def datasets_of_hub(hub, monkeypatch):
    """The library `datasets` has its own copy of where the Hub is."""
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


def test_a_built_data_set_is_loaded_by_its_name(hub, datasets_of_hub, built, tmp_path, capsys):
    assert main(["publish", "dataset", str(built), "ada/dances", "--yes"]) == 0
    card = DatasetCard(hub.files("dataset", "ada/dances")["README.md"].decode())
    assert card.data.license == "cc0-1.0" and "license_name" not in card.data.to_dict()
    assert 'load_dataset("ada/dances", "paired")' in card.text and "### Unique minutes" in card.text
    assert capsys.readouterr().out.endswith(f"{hub.url}/datasets/ada/dances\n")
    folder = export_parquet(built, tmp_path / "parquet", cache_dir=tmp_path / "cache")
    for path in folder.glob("*/*.parquet"):  # the same bytes: what a killed upload has sent is not sent again
        name = path.relative_to(folder).as_posix()
        assert hub.files("dataset", "ada/dances")[name] == path.read_bytes()
    for config in ("motion", "codes", "music", "paired"):
        from_hub, local = load("ada/dances", config, tmp_path), load(str(folder), config, tmp_path)
        assert set(from_hub) == set(local) == {"train", "validation", "test"}
        for split, part in local.items():
            assert from_hub[split].features == part.features
            for row, other in zip(from_hub[split].with_format("numpy"), part.with_format("numpy"), strict=True):
                np.testing.assert_equal(row, other)
    assert hub.count("GET", "/datasets/ada/dances/resolve/.*parquet")


def test_the_rows_can_be_read_by_people(built, tmp_path):
    folder = export_parquet(built, tmp_path / "parquet", configs=["motion"], cache_dir=tmp_path / "cache")
    part = load(str(folder), "motion", tmp_path, split="train")
    assert part.column_names[:2] == ["clip_id", "caption"]
    for row in part:
        genre = part.features["genre"].int2str(row["genre"])
        mirrored = ", mirrored" if row["is_mirrored"] else ""
        assert row["caption"] == f"{genre} at {row['bpm']:.0f} bpm, {row['seconds']:.1f} s{mirrored}"
        assert row["seconds"] == pytest.approx(row["num_frames"] / 30)


def test_a_parquet_folder_is_published_as_it_is(hub, built, tmp_path):
    folder = export_parquet(built, tmp_path / "parquet", configs=["codes"], cache_dir=tmp_path / "cache")
    (folder / "codes" / "train-00000-of-00001.parquet.bak").write_bytes(b"")
    assert main(["publish", "dataset", str(folder), "ada/codes", "--yes"]) == 0
    names = set(hub.files("dataset", "ada/codes")) - {".gitattributes", "README.md"}
    assert names == {f"codes/{split}-00000-of-00001.parquet" for split in ("train", "validation", "test")}


def with_terms(built, tmp_path, *terms):
    folder = shutil.copytree(built, tmp_path / "set")
    clips = read_manifest(folder)
    songs = sorted({clip.song_id for clip in clips})
    changed = [replace(clip, license=terms[songs.index(clip.song_id) % len(terms)], source="stage") for clip in clips]
    write_manifest(changed, folder)
    return folder


def test_mixed_terms_are_listed_by_source(hub, built, tmp_path, capsys):
    folder = with_terms(built, tmp_path, "CC0-1.0", "CC BY 4.0")
    assert main(["publish", "dataset", str(folder), "ada/dances", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "license: other" in text and "license_name: mixed" in text
    assert f"license_link: {hub.url}/datasets/ada/dances/blob/main/README.md#licenses" in text
    assert "| stage | CC BY 4.0 |" in text and "| stage | CC0-1.0 |" in text


@pytest.mark.parametrize(
    "terms", ["research only, no redistribution", "research use, do not ship", "Redistribution is prohibited."]
)
def test_what_may_not_be_passed_on_is_not_made_public(hub, built, tmp_path, capsys, terms):
    folder = with_terms(built, tmp_path, terms)
    assert main(["publish", "dataset", str(folder), "ada/dances", "--yes"]) == WRONG_INPUT
    assert "The terms of stage forbid to pass it on" in capsys.readouterr().err and not hub.requests
    builder = InfiniteDanceBuilder(config_name="codes", data_dir=folder, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="The terms of stage forbid to pass it on"):
        builder.push_to_hub("ada/dances")
    assert not hub.requests
    assert main(["publish", "dataset", str(folder), "ada/dances", "--yes", "--private"]) == 0
    assert hub.repos["dataset", "ada/dances"].private


def test_the_builder_pushes_all_configurations(hub, built, tmp_path):
    builder = InfiniteDanceBuilder(config_name="codes", data_dir=built, cache_dir=tmp_path / "cache")
    assert builder.push_to_hub("ada/dances", private=True) == f"{hub.url}/datasets/ada/dances"
    folders = {name.split("/")[0] for name in hub.files("dataset", "ada/dances") if "/" in name}
    assert folders == {"motion", "codes", "music", "paired"} and hub.repos["dataset", "ada/dances"].private
