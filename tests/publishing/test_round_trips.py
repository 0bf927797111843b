"""What is pushed is loaded again by its name, in an empty cache."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from huggingface_hub import constants

from infinitedance import FrdmPipeline, MotionTokenizer, MusicToDancePipeline
from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER
from infinitedance.publishing.upload import prepare, upload
from infinitedance.retrieval.references import ReferenceRetriever
from infinitedance.utils.checkpoints import weights_sha256
from infinitedance.utils.hub_folders import local_folder


def test_a_pipeline_dances_the_same_by_its_name(hub, tiny_pipeline_dir, clicks):
    pipeline = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)
    url = pipeline.push_to_hub("ada/waltzer", private=True, commit_message="First version")
    assert url == f"{hub.url}/ada/waltzer"
    assert hub.repos["model", "ada/waltzer"].private
    assert [message for _, message, _ in hub.repos["model", "ada/waltzer"].commits] == [
        "initial commit",
        "First version",
    ]
    again = MusicToDancePipeline.from_pretrained("ada/waltzer")
    first, second = (made(clicks, genre="waltz", seed=3) for made in (pipeline, again))
    torch.testing.assert_close(first.motion_codes, second.motion_codes, rtol=0, atol=0)
    np.testing.assert_array_equal(first.motion.root_positions, second.motion.root_positions)
    assert second.motion.provenance["model"] == "ada/waltzer"


def test_the_shipped_model_is_published_with_its_references_and_its_license(hub):
    upload(prepare("model", DEFAULT_MODEL, "ada/open"))
    again, shipped = MusicToDancePipeline.from_pretrained("ada/open"), MusicToDancePipeline.from_pretrained("open")
    assert again.license == "cc-by-4.0" and again.genres == shipped.genres
    assert sorted(again.retriever.dances) == sorted(shipped.retriever.dances)
    assert again.default_num_references == shipped.default_num_references == 1
    for name, weight in shipped.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weight, rtol=0, atol=0)


def test_a_style_is_danced_by_the_names_of_model_and_adapter(
    hub, tiny_pipeline_dir, clicks, tmp_path, finetune_record
):
    from peft import LoraConfig

    base = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)
    base.model.add_adapter(LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["added_genre_embedding", "lm_head"]))
    for name, parameter in base.model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    base.model.save_pretrained(tmp_path / "style")
    (tmp_path / "style" / "generation_config.json").unlink()
    base.processor.added_genres = {"mine": 0}
    base.processor.save_pretrained(tmp_path / "style")
    own = {"name": "mine", "genres": ["mine"], "base_sha256": weights_sha256(tiny_pipeline_dir)}
    (tmp_path / "style" / "finetune.json").write_text(json.dumps(finetune_record | own))
    local = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir, adapter=tmp_path / "style")
    upload(prepare("model", tiny_pipeline_dir, "ada/base"))
    upload(prepare("adapter", tmp_path / "style", "ada/mine", base="ada/base"))
    again = MusicToDancePipeline.from_pretrained("ada/base", adapter="ada/mine")
    assert again.genres == ["rumba", "waltz", "mine"]
    torch.testing.assert_close(again(clicks).motion_codes, local(clicks).motion_codes, rtol=0, atol=0)
    assert again(clicks).motion.provenance["model"] == "ada/base"
    with pytest.raises(FileNotFoundError, match="has no repository ada/absent"):
        MusicToDancePipeline.from_pretrained("ada/base", adapter="ada/absent")


def test_references_are_not_downloaded_where_others_are_given(hub):
    upload(prepare("model", DEFAULT_MODEL, "ada/open"))
    MusicToDancePipeline.from_pretrained("ada/open", references=DEFAULT_REFERENCES)
    assert hub.count("GET", "resolve/.*/model.safetensors") and not hub.count("GET", "resolve/.*/references/")


def test_codec_restorer_and_library_come_back(hub):
    tokenizer = MusicToDancePipeline.from_pretrained(references=DEFAULT_REFERENCES).tokenizer
    tokenizer.push_to_hub("ada/codec")
    restorer = FrdmPipeline.from_pretrained()
    restorer.push_to_hub("ada/feet")
    library = ReferenceRetriever.from_pretrained(DEFAULT_REFERENCES)
    library.push_to_hub("ada/dances")
    for before, after in (
        (tokenizer.model, MotionTokenizer.from_pretrained("ada/codec").model),
        (restorer.model, FrdmPipeline.from_pretrained("ada/feet").model),
    ):
        for name, weight in before.state_dict().items():
            torch.testing.assert_close(after.state_dict()[name], weight, rtol=0, atol=0)
    again = ReferenceRetriever.from_pretrained("ada/dances")
    music = np.random.default_rng(0).standard_normal((600, 109)).astype(np.float32)
    (features, windows), (others, other_windows) = (made(music, num_references=2) for made in (library, again))
    np.testing.assert_array_equal(features, others)
    assert windows == other_windows


def test_a_revision_is_what_it_was(hub, tiny_pipeline_dir, fresh_cache):
    pipeline = MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)
    pipeline.push_to_hub("ada/waltzer")
    repo = hub.repos["model", "ada/waltzer"]
    old, weights = repo.branches["main"], pipeline.model.lm_head.weight.detach().clone()
    with torch.no_grad():
        pipeline.model.lm_head.weight.add_(1)
    pipeline.push_to_hub("ada/waltzer")
    repo.branches["v1"] = old
    assert old != repo.branches["main"]
    for revision, shift in ((None, 1), ("main", 1), ("v1", 0), (old, 0)):
        fresh_cache()
        loaded = MusicToDancePipeline.from_pretrained("ada/waltzer", revision=revision)
        torch.testing.assert_close(loaded.model.lm_head.weight, weights + shift)
    with pytest.raises(FileNotFoundError, match="ada/waltzer has no revision 'v9': give a branch, tag or commit"):
        MusicToDancePipeline.from_pretrained("ada/waltzer", revision="v9")
    with pytest.raises(ValueError, match="`revision` is for names on the Hub"):
        MusicToDancePipeline.from_pretrained(tiny_pipeline_dir, revision="v1")


def test_a_changed_file_on_the_hub_is_refused(hub):
    upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    repo = hub.repos["model", "ada/feet"]
    files = dict(repo.commits[-1][2])
    changed = bytearray(hub.contents[files["model.safetensors"]])
    changed[-1] ^= 1
    files["model.safetensors"] = hub.store(bytes(changed))
    repo.add_commit("tamper", files)
    with pytest.raises(ValueError, match="is not the file that was saved"):
        FrdmPipeline.from_pretrained("ada/feet")


def test_what_was_downloaded_is_there_without_the_hub(hub, monkeypatch, fresh_cache):
    upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    FrdmPipeline.from_pretrained("ada/feet")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    requests = len(hub.requests)
    FrdmPipeline.from_pretrained("ada/feet")
    assert len(hub.requests) == requests
    fresh_cache()
    with pytest.raises(FileNotFoundError, match="ada/feet is not in the cache, or not whole, and HF_HUB_OFFLINE is"):
        FrdmPipeline.from_pretrained("ada/feet")


def test_a_private_model_needs_its_owner(hub, monkeypatch):
    hub.add_repo("model", "ada/secret", private=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(FileNotFoundError, match="has no repository ada/secret that you may read.*`hf auth login`"):
        FrdmPipeline.from_pretrained("ada/secret")
    with pytest.raises(PermissionError, match="does not accept the token: log in again"):
        FrdmPipeline.from_pretrained("ada/secret", token="hf_stranger")
    with pytest.raises(ValueError, match="ada/secret holds no model: there is no config.json"):
        FrdmPipeline.from_pretrained("ada/secret", token="hf_ada")


def test_a_cache_that_cannot_be_written_is_told(hub, monkeypatch, tmp_path):
    hub.add_repo("model", "ada/feet", files={"config.json": b"{}"})
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(OSError, match="file/hub cannot be used .*: set HF_HOME to a folder that may be written"):
        local_folder("ada/feet")


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("config.json", "ada/model holds no model: there is no config.json"),
        ("processor_config.json", "ada/model has no processor_config.json"),
        ("model.safetensors", "holds no weights: there is no model.safetensors. Weights in pickles"),
    ],
)
def test_what_a_model_on_the_hub_lacks_is_told(hub, tiny_pipeline_dir, lacking, message):
    files = {path.name: path.read_bytes() for path in tiny_pipeline_dir.iterdir() if path.name != lacking}
    hub.add_repo("model", "ada/model", files={**files, "pytorch_model.bin": b""})
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        MusicToDancePipeline.from_pretrained("ada/model")


def test_a_hub_that_is_down_is_told(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="Cannot reach http://127.0.0.1:9 for ada/feet: check the network"):
        local_folder("ada/feet")


@pytest.mark.parametrize("name", ["no_folder", "./no/folder", "a/b/c", "a b/c", ""])
def test_what_can_be_no_name_on_the_hub_asks_nobody(hub, name):
    with pytest.raises(FileNotFoundError, match="There is no model folder"):
        local_folder(name)
    assert not hub.requests


@pytest.mark.parametrize(("kind", "folder"), [("model", DEFAULT_MODEL), ("restorer", DEFAULT_RESTORER)])
def test_the_snippet_of_a_published_card_runs(hub, kind, folder, clicks, tmp_path, monkeypatch):
    """As its reader runs it: in a folder with a song and a dance."""
    publication = prepare(kind, folder, f"ada/{kind}")
    upload(publication)
    run_snippet(publication.card, clicks, tmp_path, monkeypatch)
    assert hub.count("GET", f"/ada/{kind}/resolve/.*model.safetensors")


@pytest.mark.parametrize("kind", ["model", "tokenizer", "restorer", "library"])
def test_the_snippet_of_a_card_that_was_written_runs(hub, kind, clicks, tmp_path, monkeypatch, tiny_pipeline_dir):
    source = tmp_path / "source"
    if kind == "model":
        shutil.copytree(tiny_pipeline_dir, source)
    elif kind == "tokenizer":
        MusicToDancePipeline.from_pretrained(references=DEFAULT_REFERENCES).tokenizer.save_pretrained(source)
    else:
        shutil.copytree(DEFAULT_RESTORER if kind == "restorer" else DEFAULT_REFERENCES, source)
        (source / "README.md").unlink(missing_ok=True)
    publication = prepare(kind, source, f"ada/{kind}")
    upload(publication)
    run_snippet(publication.card, clicks, tmp_path, monkeypatch)
    assert hub.count("GET", f"/ada/{kind}/resolve/")


def run_snippet(card, clicks, folder, monkeypatch) -> None:
    import soundfile

    from infinitedance.dataset_builder.procedural.dance import synthesize_dance
    from infinitedance.motion.files import save_motion

    soundfile.write(folder / "song.mp3", clicks, 24_000, format="MP3")
    save_motion(synthesize_dance("waltz", 120, 4.0, seed=0), folder / "dance.npz")
    monkeypatch.chdir(folder)
    (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.M | re.S)
    exec(code, {})


@pytest.mark.slow
def test_a_fresh_process_loads_by_name(hub, tmp_path):
    """With the variables that a user sets, and none of this process's patches."""
    upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    program = "from infinitedance import FrdmPipeline; print(FrdmPipeline.from_pretrained('ada/feet').model.config)"
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
    }
    for offline in ("0", "1"):
        completed = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "HF_HUB_OFFLINE": offline},
            capture_output=True,
            text=True,
        )
        assert completed.returncode == 0, completed.stderr
        assert '"model_type": "frdm"' in completed.stdout
