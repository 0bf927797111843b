import json

import pytest

from benchmarks import references as report_references
from infinitedance.pipeline import MusicToDancePipeline
from infinitedance.training.release import make_references

pytest.importorskip("faiss", reason="the retrieval index needs the extra `data`")


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory, make_encoder):
    folder = tmp_path_factory.mktemp("encoder")
    make_encoder().save_pretrained(folder)
    return folder


def test_the_ablation_compares_arms_with_real_dances(model_dir, data_dir, encoder_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(report_references, "WINDOW_SECONDS", 4.0)  # so that 18 s have several
    output = tmp_path / "references.md"
    command = ["--data_dir", str(data_dir), "--retrieval_dir", str(encoder_dir)]
    command += ["--arms", f"none={model_dir}", f"retrieved={model_dir}", "--num_references", "1", "--num_seeds", "2"]
    report_references.main([*command, "--output", str(output)])
    tables = {table["title"]: table for table in json.loads(output.with_suffix(".json").read_text())["arms"]["tables"]}
    losses = {row[0]: row[1:] for row in tables["Loss, trained and tested with the same references"]["rows"]}
    assert list(losses) == ["none", "retrieved"] and losses["none"] != losses["retrieved"]
    dances = tables["Dances, trained and generated with the same references"]["rows"]
    assert [row[0] for row in dances] == ["real dances", "none", "retrieved"]
    runs = {row[0]: row[1:] for row in tables["Runs of codes shared with training dances"]["rows"]}
    assert runs["none"][2] is None and runs["retrieved"][2] >= 0
    used = tables["The generator trained with retrieved references, tested with others"]["rows"]
    assert [row[0] for row in used] == ["none", "random", "pinned"]
    assert str(tmp_path) not in output.read_text()


def test_wrong_arms_are_told(data_dir, encoder_dir, tmp_path, capsys):
    command = ["--data_dir", str(data_dir), "--retrieval_dir", str(encoder_dir)]
    for arm in ("nearest=runs", "none"):
        with pytest.raises(SystemExit):
            report_references.main([*command, "--arms", arm, "--output", str(tmp_path / "references.md")])
        assert "CHOICE=MODEL with none, retrieved, random, pinned" in capsys.readouterr().err


def test_the_model_makes_a_library_of_its_own_dances(model_dir, encoder_dir, tmp_path):
    folders = [str(model_dir), str(encoder_dir), str(tmp_path / "library")]
    make_references.main([*folders, "--num_tempos", "2", "--seconds", "4"])
    pipeline = MusicToDancePipeline.from_pretrained(model_dir, tmp_path / "library")
    assert len(pipeline.retriever.dances) == 2 * len(pipeline.genres)
    columns = pipeline.retriever.index.columns
    assert set(columns["genre"].values) == set(pipeline.genres) and set(columns["source"].values) == {"model"}
    assert "non-commercial" in columns["license"].values[0]
