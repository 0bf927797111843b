"""Cards say what was measured, lead somewhere, and are read by the Hub's own classes."""

import json
import re
import shutil

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries

from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER, MODELS
from infinitedance.publishing.cards import INSTALL, absolute_links, join_card
from infinitedance.publishing.kinds import KINDS
from infinitedance.publishing.licenses import hub_license, license_fields
from infinitedance.publishing.measurements import read_finetune
from infinitedance.publishing.upload import prepare, upload
from infinitedance.utils.hub_folders import local_folder

HUB = "https://huggingface.co"


@pytest.fixture
def adapter(tmp_path, finetune_record):
    """Return a function that writes a folder as `infinitedance finetune` does, without its card."""
    from safetensors.numpy import save_file

    def write(**changes):
        folder = tmp_path / "adapter"
        folder.mkdir(exist_ok=True)
        values = {name: value for name, value in {**finetune_record, **changes}.items() if value != "absent"}
        (folder / "finetune.json").write_text(json.dumps(values))
        config = {"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "choreollama-open")}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "processor_config.json").write_text("{}")
        import numpy as np

        save_file({"lora": np.zeros(2, np.float32)}, folder / "adapter_model.safetensors")
        return folder

    return write


def read_card(publication):
    return ModelCard(publication.card)


@pytest.mark.parametrize("name", MODELS)
def test_the_card_of_a_shipped_model_is_whole(name):
    publication = prepare(
        "model", MODELS[name], "ada/dancer", datasets=["ada/dances"], benchmark="ada/dances", picture=b"png"
    )
    card = read_card(publication)
    assert card.data.library_name == "infinitedance" and card.data.pipeline_tag == "other"
    assert card.data.license == {"open": "cc-by-4.0", "research": "other"}[name]
    if name == "research":
        assert card.data.license_name == "research-non-commercial"
        assert card.data.license_link == f"{HUB}/ada/dancer/blob/main/README.md#license"
        assert "\n## License\n" in card.text
    assert card.data.datasets == ["ada/dances"] and "music-to-dance" in card.data.tags
    assert card.data.to_dict()["widget"][0]["output"]["url"] == "dance.png" in publication.files
    assert 'MusicToDancePipeline.from_pretrained("ada/dancer")' in card.text
    assert INSTALL.format(extras="data") in card.text and "trust_remote_code" in card.text
    assert f"![Stills of a dance to the demo song]({HUB}/ada/dancer/resolve/main/dance.png)" in card.text
    assert not re.findall(r"\]\((?!https?:|#)[^)]*\)", card.text)


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_results_are_the_measured_ones(name, repository_root):
    publication = prepare("model", MODELS[name], "ada/dancer", benchmark="ada/dances")
    entries = parse_eval_result_entries(yaml.safe_load(publication.files[".eval_results/infinitedance.yaml"]))
    report = {"open": "dances_open", "research": "dances"}[name]
    tables = json.loads((repository_root / f"docs/{report}.json").read_text())["free"]["tables"]
    table = next(table for table in tables if table["title"] == "In short")
    row = next(row for row in table["rows"] if row[0] == "generated")
    measured = dict(zip(table["columns"], row, strict=True))
    values = {entry.task_id: entry.value for entry in entries}
    assert values["told_as_asked"] == pytest.approx(measured["told as asked"], abs=1e-3)
    assert values["slide_m_s"] == pytest.approx(measured["slide, m/s"], abs=1e-3)
    assert len(values) == len(row) - 2 and {entry.dataset_id for entry in entries} == {"ada/dances"}


def test_the_restorer_has_its_measured_numbers():
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet", benchmark="ada/faults")
    entries = parse_eval_result_entries(yaml.safe_load(publication.files[".eval_results/infinitedance.yaml"]))
    values = {entry.task_id: entry.value for entry in entries}
    shown = dict(re.findall(r"<!--= (restored_\w+)-->([^<]*)<!--/-->", publication.card))
    assert set(values) == {"restored_slide", "restored_penetration", "restored_float"}
    assert {name: f"{value:.1f}" for name, value in values.items()} == shown


def test_terms_of_ones_own_are_written_into_the_card(tiny_pipeline_dir):
    publication = prepare("model", tiny_pipeline_dir, "ada/tiny", license="For my friends only")
    data = read_card(publication).data
    assert (data.license, data.license_name) == ("other", "for-my-friends-only")
    assert data.license_link == f"{HUB}/ada/tiny/blob/main/README.md#license"
    assert "\n## License\n\nFor my friends only\n" in publication.card


def test_numbers_that_were_not_measured_are_not_stated(tiny_pipeline_dir):
    publication = prepare("model", tiny_pipeline_dir, "ada/tiny")
    assert "Measured" not in publication.card and "genres | rumba, waltz" in publication.card
    assert "license" not in read_card(publication).data.to_dict()
    assert "The card states no license" in publication.listing()
    with pytest.raises(ValueError, match="Nothing measured lies in .*report.json of `infinitedance evaluate`"):
        prepare("model", tiny_pipeline_dir, "ada/tiny", benchmark="ada/dances")


def test_the_report_and_the_log_beside_a_model_are_stated(tiny_pipeline_dir, tmp_path):
    folder = shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    summary = {"mean": 0.25, "low": 0.125, "high": 0.5, "num": 4}
    nothing = {"mean": None, "low": None, "high": None, "num": 0}
    metrics = [
        {"key": "slide", "label": "slide", "unit": "m/s", "generated": summary, "reference": nothing},
        {"key": "pulse_lock", "label": "pulse lock", "unit": "", "generated": nothing, "reference": summary},
    ]
    (folder / "report.json").write_text(json.dumps({"metrics": metrics}))
    lines = [
        {"step": 1, "eval/loss": 9.0},
        {"step": 20, "eval/loss": 3.5, "eval/right_0": 2, "eval/right_1": 1.5},
        {"step": 21, "loss": 3.0},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    publication = prepare("model", folder, "ada/tiny", benchmark="ada/dances", license="CC BY 4.0")
    assert "| slide, m/s | 0.25 (0.125 to 0.5) | - |" in publication.card
    assert "at step 20" in publication.card and "| loss | 3.5 |\n| right | 2, 1.5 |" in publication.card
    assert "pulse lock" not in publication.card and "9.0" not in publication.card
    (entry,) = parse_eval_result_entries(yaml.safe_load(publication.files[".eval_results/infinitedance.yaml"]))
    assert (entry.task_id, entry.value, entry.dataset_id) == ("slide", 0.25, "ada/dances")
    assert read_card(publication).data.license == "cc-by-4.0"
    assert not {"report.json", "metrics.jsonl"} & set(publication.files)


def test_a_report_that_cannot_be_read_is_named(tiny_pipeline_dir, tmp_path):
    folder = shutil.copytree(tiny_pipeline_dir, tmp_path / "model")
    (folder / "report.json").write_text("{}")
    with pytest.raises(ValueError, match=r"report\.json cannot be read: it lacks 'metrics'"):
        prepare("model", folder, "ada/tiny")


def test_the_card_of_a_library_lists_dances_and_terms_by_source():
    publication = prepare("library", DEFAULT_REFERENCES, "ada/dances")
    data = read_card(publication).data
    assert data.license == "other" and data.license_name == "mixed"
    assert data.license_link == f"{HUB}/ada/dances/blob/main/README.md#reference-dances"
    assert "\n## Reference dances\n" in publication.card
    assert "| source | terms | dances | minutes |" in publication.card
    assert 'from_pretrained(references="ada/dances")' in publication.card


def test_an_adapter_names_its_base_on_the_hub(adapter):
    with pytest.raises(ValueError, match="belongs to 'open', which is no name on the Hub: give `--base OWNER/MODEL`"):
        prepare("adapter", adapter(), "ada/my-style")
    publication = prepare("adapter", adapter(), "ada/my-style", base="ada/open")
    data = read_card(publication).data
    assert (data.base_model, data.to_dict()["base_model_relation"]) == ("ada/open", "adapter")
    assert data.license == "cc0-1.0" and data.library_name == "infinitedance"
    assert json.loads(publication.files["adapter_config.json"])["base_model_name_or_path"] == "ada/open"
    assert json.loads(publication.files["finetune.json"])["base_model"] == "ada/open"
    assert b"/home" not in b"".join(file for file in publication.files.values() if isinstance(file, bytes))
    assert 'from_pretrained("ada/open", adapter="ada/my-style")' in publication.card
    assert "| loss on held-out clips of the style (2 clips, 1.5 minutes) | 4.1 | 3.2 |" in publication.card
    assert "joint error of 31.2 mm: fine" in publication.card and "| my stage | CC0-1.0 | 10.2 |" in publication.card


def test_an_adapter_comes_back_by_its_name(hub, adapter):
    folder = adapter()
    publication = prepare("adapter", folder, "ada/my-style", base="ada/open")
    upload(publication, private=True)
    again = local_folder("ada/my-style")
    assert (again / "adapter_model.safetensors").read_bytes() == (folder / "adapter_model.safetensors").read_bytes()
    assert read_finetune(again / "finetune.json").base_on_hub == "ada/open"
    assert (again / "README.md").read_text() == publication.card and hub.repos["model", "ada/my-style"].private


def test_without_held_out_clips_no_loss_of_them_is_stated(adapter):
    card = prepare("adapter", adapter(held_out_loss=None), "ada/my-style", base="ada/open").card
    assert "held-out" not in card and "loss on the genres of the base model" in card
    without_genres = {"before": 4.1, "after": 3.2, "nearest_genre_before": None}  # of a base that has none
    card = prepare("adapter", adapter(held_out_loss=without_genres), "ada/my-style", base="ada/open").card
    assert "| 4.1 | 3.2 |" in card and "nearest genre" not in card
    card = prepare("adapter", adapter(), "ada/my-style", base="ada/open").card
    assert "asked for as pop, the nearest genre | 3.9 | - |" in card and "pip install '.[data,train]'" in card


def test_an_adapter_of_a_model_of_the_hub_needs_no_option(adapter):
    publication = prepare("adapter", adapter(base_model="grace/open", license=None), "ada/my-style")
    data = read_card(publication).data
    assert data.base_model == "grace/open" and data.license is None
    assert "This adapter: not stated. The model that it belongs to: cc-by-4.0." in publication.card


def test_a_folder_that_is_called_like_a_name_on_the_hub_is_none(adapter, tmp_path, monkeypatch):
    (tmp_path / "runs" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="belongs to 'runs/base', which is no name on the Hub"):
        prepare("adapter", adapter(base_model="runs/base"), "ada/my-style")


def test_the_own_card_of_an_adapter_keeps_its_text_and_its_base_name(adapter):
    folder = adapter()
    text = '# My style\n\n```python\nMusicToDancePipeline.from_pretrained("open", adapter="runs/my-style")\n```\n'
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n\n{text}")
    publication = prepare("adapter", folder, "ada/my-style", base="ada/open")
    assert 'from_pretrained("open", adapter="ada/my-style")' in publication.card
    assert read_card(publication).data.license == "mit"


def test_what_is_missing_in_the_record_of_an_adapter_is_named(adapter, finetune_record):
    for name in finetune_record.keys() - {"base_sha256"}:
        with pytest.raises(ValueError, match=rf"finetune\.json cannot be read: it lacks '{name}'"):
            read_finetune(adapter(**{name: "absent"}) / "finetune.json")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[terms](LICENSE)", f"[terms]({HUB}/ada/x/blob/main/LICENSE)"),
        ("[terms](README.md#license)", f"[terms]({HUB}/ada/x/blob/main/README.md#license)"),
        ("![stills](dance.png)", f"![stills]({HUB}/ada/x/resolve/main/dance.png)"),
        ("[report](../../docs/dances.md)", "report"),
        ("[below](#limits)", "[below](#limits)"),
        ("[paper](https://arxiv.org/abs/1)", "[paper](https://arxiv.org/abs/1)"),
        ("[mail](mailto:ada@example.org)", "[mail](mailto:ada@example.org)"),
        ('[terms](LICENSE "all of them")', f'[terms]({HUB}/ada/x/blob/main/LICENSE "all of them")'),
        ("`layers[0](hidden)`", "`layers[0](hidden)`"),
        ("\n```python\nlayers[0](hidden)\n```\n", "\n```python\nlayers[0](hidden)\n```\n"),
        ("[`terms`](LICENSE)", f"[`terms`]({HUB}/ada/x/blob/main/LICENSE)"),
    ],
)
def test_links_are_absolute_or_no_links(link, expected):
    files = ["LICENSE", "README.md", "dance.png"]
    assert absolute_links(f"See {link}.", f"{HUB}/ada/x", files) == f"See {expected}."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC0-1.0", "cc0-1.0"),
        ("CC0", "cc0-1.0"),
        ("CC BY 4.0", "cc-by-4.0"),
        ("cc-by-nc-4.0", "cc-by-nc-4.0"),
        ("MIT", "mit"),
        ("Motorica Dance Dataset terms: research only", None),
        ("", None),
    ],
)
def test_licenses_have_the_names_of_the_hub(text, expected):
    assert hub_license(text) == expected


def test_mixed_terms_are_other_and_one_kind_is_itself():
    assert license_fields(["CC0-1.0", "CC0 1.0"], "x") == {"license": "cc0-1.0"}
    assert license_fields(["CC0-1.0", "MIT"], "x")["license_name"] == "mixed"
    assert license_fields([""], "x") == {"license": "other", "license_name": "not-stated", "license_link": "x"}
    assert license_fields([], "x") == {}


def test_a_card_that_states_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="a license that the Hub knows, or `other` with `license_name`, got 'wtf'"):
        join_card(KINDS["model"], {"license": "wtf"}, "# x", [])
    with pytest.raises(ValueError, match="must have a `license_name`"):
        join_card(KINDS["model"], {"license": "other"}, "# x", [])
    values = {"configs": [{"config_name": "a", "data_files": [{"split": "train", "path": "a/train-*.parquet"}]}]}
    with pytest.raises(ValueError, match=r"names a/train-\*.parquet, which is not there"):
        join_card(KINDS["dataset"], values, "# x", ["README.md"])
    with pytest.raises(ValueError, match="must name its `sdk`"):
        join_card(KINDS["space"], {}, "# x", ["app.py"])
    text = join_card(KINDS["dataset"], values, "# x", ["a/train-00000-of-00001.parquet"])
    assert DatasetCard(text).data.to_dict() == values


def test_front_matter_that_cannot_be_read_names_the_card(tmp_path):
    folder = shutil.copytree(DEFAULT_RESTORER, tmp_path / "feet")
    (folder / "README.md").write_text("---\nlicense: [\n---\n\n# x\n")
    with pytest.raises(ValueError, match=r"README\.md cannot be read"):
        prepare("restorer", folder, "ada/feet")


def test_options_that_belong_to_another_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`base` is for adapters, got 'ada/open' with a foot restoration model"):
        prepare("restorer", DEFAULT_RESTORER, "ada/feet", base="ada/open")
    with pytest.raises(ValueError, match="are for models; a data set as Parquet has its own card"):
        prepare("dataset", DEFAULT_MODEL, "ada/x", license="mit")
