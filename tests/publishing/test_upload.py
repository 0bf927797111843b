"""What is uploaded, what is refused, and what becomes of an upload that was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from huggingface_hub import constants

from infinitedance import MusicToDancePipeline
from infinitedance.assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER
from infinitedance.publishing.kinds import KINDS, matches
from infinitedance.publishing.upload import Repository, could_be, look_up, prepare, readable_size, upload
from infinitedance.utils.hub_folders import local_folder


@pytest.fixture
def feet(tmp_path):
    """A copy of the restorer that may be changed."""
    return shutil.copytree(DEFAULT_RESTORER, tmp_path / "feet")


def test_only_what_belongs_to_the_kind_is_uploaded(hub, feet):
    for name in (
        ".env",
        ".git/config",
        "metrics.jsonl",
        "run.json",
        "optimizer.pt",
        "checkpoint-10/model.safetensors",
        "model/model.safetensors",
        "notes.md",
        "train.py",
    ):
        (feet / name).parent.mkdir(exist_ok=True)
        (feet / name).write_text("{}" if name.endswith("json") else "")
    publication = prepare("restorer", feet, "ada/feet")
    upload(publication)
    assert sorted(hub.files("model", "ada/feet")) == [
        ".gitattributes",
        "README.md",
        "SHA256SUMS",
        "config.json",
        "model.safetensors",
    ]
    assert "optimizer.pt" in publication.left_out
    assert ".env, .git/, checkpoint-10/" in publication.listing()


def test_of_many_files_that_are_left_out_the_first_are_named(feet):
    for index in range(100):
        (feet / f"take {index:03}.txt").write_text("")
    (line,) = [line for line in prepare("restorer", feet, "ada/feet").listing().splitlines() if "Left out" in line]
    assert line.endswith("take 018.txt, take 019.txt and 80 more") and len(line) < 500


def test_a_file_in_the_place_of_the_folder_is_told(feet):
    with pytest.raises(ValueError, match=r"config\.json is a file. Give the folder of a foot restoration model"):
        prepare("restorer", feet / "config.json", "ada/feet")


@pytest.mark.parametrize(
    ("path", "kind", "is_taken"),
    [
        ("model.safetensors", "model", True),
        ("model-00001-of-00002.safetensors", "model", True),
        ("references/index/rows/data-00000-of-00001.arrow", "model", True),
        ("model_backup.safetensors", "model", False),
        ("model-00002.safetensors", "model", False),
        ("references/encoder/model-old.safetensors", "model", False),
        ("references/notes.txt", "model", False),
        ("index/rows/secret.csv", "library", False),
        ("paired/train-00000-of-00001.parquet", "dataset", True),
        ("paired/deeper/train.parquet", "dataset", False),
        ("manifest.jsonl", "dataset", False),
        ("adapter_model.safetensors", "adapter", True),
        ("adapter_model.bin", "adapter", False),
        ("infinitedance/assets/choreollama-open/model.safetensors", "space", True),
        ("infinitedance/__pycache__/pipeline.pyc", "space", False),
        ("other/pipeline.py", "space", False),
        ("secrets.toml", "space", False),
    ],
)
def test_patterns_stay_within_their_folder(path, kind, is_taken):
    assert matches(path, KINDS[kind].files) is is_taken


def test_a_link_that_leads_out_of_the_folder_is_refused(feet, tmp_path):
    (tmp_path / "private.md").write_text("private")
    (feet / "README.md").unlink()
    (feet / "README.md").symlink_to(tmp_path / "private.md")
    with pytest.raises(ValueError, match="README.md is a link that leads out of the folder: publish a copy"):
        prepare("restorer", feet, "ada/feet")


def test_a_linked_folder_of_references_is_refused(tmp_path):
    model = shutil.copytree(DEFAULT_MODEL, tmp_path / "model", ignore=shutil.ignore_patterns("references"))
    (model / "references").symlink_to(DEFAULT_REFERENCES)
    with pytest.raises(ValueError, match="references is a link to a folder, which is not followed"):
        prepare("model", model, "ada/open")
    (model / "references").unlink()
    (model / "checkpoint-last").symlink_to(DEFAULT_REFERENCES)  # is no part of a model in any case
    assert prepare("model", model, "ada/open").left_out == ["checkpoint-last"]


def test_paths_of_this_machine_are_not_published(feet):
    config = json.loads((feet / "config.json").read_text())
    (feet / "config.json").write_text(json.dumps({**config, "_name_or_path": str(feet)}))
    sent = json.loads(prepare("restorer", feet, "ada/feet").files["config.json"])
    assert sent == config
    (feet / "config.json").write_text(json.dumps({**config, "data": [str(feet)]}))
    with pytest.raises(ValueError, match=f"would publish a path of this machine, '{feet}': take it out"):
        prepare("restorer", feet, "ada/feet")


@pytest.mark.parametrize(
    ("kind", "folder", "message"),
    [
        ("model", DEFAULT_RESTORER, "is not a music-to-dance model: it has no processor_config.json. `train_choreo"),
        ("tokenizer", DEFAULT_RESTORER, "config.json must state motion_codec, got frdm"),
        ("library", DEFAULT_MODEL, "is not a library of reference dances: it has no dances.safetensors"),
        ("adapter", DEFAULT_MODEL, "it has no adapter_config.json. `infinitedance finetune` writes one"),
        ("space", DEFAULT_MODEL, "is not the Space: it has no app.py"),
        ("dataset", DEFAULT_MODEL, r"it has no \*/\*.parquet"),
        ("restorer", "no/folder", "There is no folder no/folder. Give a foot restoration model"),
        ("lifter", DEFAULT_MODEL, "`kind` must be one of model, tokenizer"),
    ],
)
def test_another_folder_is_refused(kind, folder, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        prepare(kind, folder, "ada/x")


def test_changed_weights_are_refused(feet):
    content = bytearray((feet / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (feet / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="is not the file that was saved"):
        prepare("restorer", feet, "ada/feet")


@pytest.mark.parametrize("name", ["feet", "ada/feet/x", "ada/my feet", "", "ada/..", "/ada", "ada/x.git"])
def test_a_name_that_the_hub_does_not_take_is_refused(name):
    with pytest.raises(ValueError, match="A name on the Hub is OWNER/NAME"):
        prepare("restorer", DEFAULT_RESTORER, name)


def test_a_missing_and_a_wrong_token_are_told(hub, monkeypatch):
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(PermissionError, match="no token of the Hub: log in with `hf auth login`, or set HF_TOKEN"):
        upload(publication)
    monkeypatch.setenv("HF_TOKEN", "hf_forged")
    with pytest.raises(PermissionError, match="does not accept the token: log in again"):
        upload(publication)
    with pytest.raises(PermissionError, match="does not accept the token: log in again"):
        upload(publication, token="hf_forged_too")
    assert not hub.created and not hub.contents


def test_a_token_that_may_not_write_is_told(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(PermissionError, match="does not let you do this with ada/feet .*use a token that may write"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))


def test_a_name_of_somebody_else_is_told(hub):
    with pytest.raises(PermissionError, match="does not let you do this with grace/feet .* another name"):
        upload(prepare("restorer", DEFAULT_RESTORER, "grace/feet"))
    hub.add_repo("model", "grace/feet", files={"config.json": b"{}", "model.safetensors": b"x"})
    with pytest.raises(PermissionError, match="does not let you do this with grace/feet .* another name"):
        upload(prepare("restorer", DEFAULT_RESTORER, "grace/feet"))
    assert list(hub.files("model", "grace/feet")) == ["config.json", "model.safetensors"]


def test_a_name_that_was_taken_meanwhile_is_told(hub, monkeypatch):
    """Between the look-up and the making of the repository."""
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet")
    hub.add_repo("model", "ada/feet")
    monkeypatch.setattr("infinitedance.publishing.upload.look_up", lambda *_: Repository(False))
    with pytest.raises(PermissionError, match="The name ada/feet is taken on the Hub, or another upload to it runs"):
        upload(publication)


def test_a_repository_of_another_type_is_told(hub):
    hub.add_repo("dataset", "ada/feet")
    with pytest.raises(ValueError, match="ada/feet is a repository of the type dataset already.*choose another name"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    assert not hub.created


def test_a_repository_that_holds_something_else_is_left_alone(hub):
    hub.add_repo("model", "ada/feet", files={"adapter_config.json": b"{}", "adapter_model.safetensors": b""})
    with pytest.raises(ValueError, match="holds something else than a foot restoration model: choose another name"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))


@pytest.mark.parametrize("kind", ["llama", "motion_codec"])
def test_a_model_of_another_kind_is_left_alone(hub, kind):
    """Its files are called as those of ours."""
    files = {"config.json": json.dumps({"model_type": kind}).encode(), "model.safetensors": b"x", "README.md": b"# x"}
    hub.add_repo("model", "ada/feet", files=files)
    with pytest.raises(ValueError, match="holds something else than a foot restoration model: choose another name"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    assert hub.files("model", "ada/feet") == files


@pytest.mark.parametrize(
    ("kind", "present", "is_possible"),
    [
        ("model", [], True),
        ("model", [".gitattributes", "README.md"], True),
        ("model", ["config.json", "processor_config.json", "model.safetensors"], True),
        ("model", ["config.json", "model.safetensors"], False),
        ("restorer", ["config.json", "model.safetensors"], True),
        ("restorer", ["config.json", "processor_config.json", "model.safetensors"], False),
        ("adapter", ["adapter_config.json", "finetune.json", "processor_config.json"], True),
        ("adapter", ["adapter_config.json", "adapter_model.safetensors"], False),
        ("model", ["adapter_config.json", "finetune.json", "processor_config.json"], False),
        ("library", ["dances.safetensors"], True),
        ("restorer", ["notes.txt"], False),
    ],
)
def test_an_earlier_version_is_known_by_its_files(kind, present, is_possible):
    assert could_be(KINDS[kind], present) is is_possible


def test_a_hub_that_is_down_or_off_is_told(hub, monkeypatch):
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="Cannot reach http://127.0.0.1:9 for ada/feet"):
        upload(publication)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="Cannot upload to ada/feet: HF_HUB_OFFLINE is set"):
        upload(publication)


@pytest.mark.parametrize(
    ("path", "status", "error", "message"),
    [
        ("whoami", 429, ConnectionError, r"busy or broken \(status 429\): run the same again later"),
        ("whoami", 503, ConnectionError, r"busy or broken \(status 503\)"),
        ("create", 402, PermissionError, "does not let you do this with ada/feet .*pay first"),
        ("commit", 413, ValueError, "The Hub refuses this for ada/feet: .*pay first"),
    ],
)
def test_other_answers_of_the_hub_are_told(hub, path, status, error, message):
    hub.faults[path] = status, "pay first"
    with pytest.raises(error, match=message) as raised:
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    assert "\n" not in str(raised.value)


def test_a_log_in_page_in_the_place_of_the_hub_is_told(hub, monkeypatch):
    hub.add_repo("model", "ada/feet")
    answer = sys.modules["fake_hub"]._Handler
    monkeypatch.setattr(answer, "_json", lambda self, value: self._send(b"<html>Log in</html>"))
    with pytest.raises(ConnectionError, match=f"What answers at {hub.url} is not the Hub"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    with pytest.raises(ConnectionError, match=f"What answers at {hub.url} is not the Hub"):
        local_folder("ada/feet")


def test_a_token_that_no_header_takes_is_told(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_\u00e9")
    with pytest.raises(PermissionError, match="The token of the Hub has characters that no token has: set HF_TOKEN"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))


def test_a_card_that_the_hub_refuses_is_told(hub):
    hub.card_errors.append({"message": '"license" must be known'})
    with pytest.raises(ValueError, match='The Hub refuses .*/ada/feet: .*"license" must be known') as raised:
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    assert "\n" not in str(raised.value) and not hub.count("PUT", "/lfs/")


def test_damaged_files_are_named(feet, tmp_path):
    library = shutil.copytree(DEFAULT_REFERENCES, tmp_path / "library")
    content = (library / "dances.safetensors").read_bytes()
    (library / "dances.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"dances\.safetensors cannot be read"):
        prepare("library", library, "ada/dances")
    (feet / "README.md").write_bytes(b"# \xff\n")
    with pytest.raises(ValueError, match=r"README\.md cannot be read: .*utf-8"):
        prepare("restorer", feet, "ada/feet")
    (feet / "README.md").write_text("---\nlicense: mit\n---\n# Feet\n")
    (feet / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        prepare("restorer", feet, "ada/feet")


def test_private_is_sent_and_a_public_repository_does_not_become_it(hub):
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet")
    upload(publication, private=True)
    (created,) = hub.created
    assert created.get("visibility") == "private" or created.get("private") is True
    assert hub.repos["model", "ada/feet"].private and look_up(publication).is_private
    upload(publication, private=True)
    hub.add_repo("model", "ada/open-feet")
    with pytest.raises(ValueError, match="ada/open-feet is public, and no upload makes it private"):
        upload(prepare("restorer", DEFAULT_RESTORER, "ada/open-feet"), private=True)
    assert not hub.files("model", "ada/open-feet")


def test_the_same_again_makes_no_commit_and_sends_no_weights(hub):
    publication = prepare("restorer", DEFAULT_RESTORER, "ada/feet")
    upload(publication)
    commits, uploads = len(hub.repos["model", "ada/feet"].commits), hub.count("PUT", "/lfs/")
    upload(prepare("restorer", DEFAULT_RESTORER, "ada/feet"))
    assert (len(hub.repos["model", "ada/feet"].commits), hub.count("PUT", "/lfs/")) == (commits, uploads) == (2, 1)


def test_files_of_an_earlier_version_are_removed_and_nothing_else(hub, feet):
    files = {"model-00001-of-00002.safetensors": b"a", "model-00002-of-00002.safetensors": b"b", "config.json": b"{}"}
    hub.add_repo("model", "ada/feet", files={**files, "photo.jpg": b"c", ".gitattributes": b""})
    publication = prepare("restorer", feet, "ada/feet")
    assert look_up(publication).stale == list(files)[:2]
    upload(publication)
    present = hub.files("model", "ada/feet")
    assert {"photo.jpg", ".gitattributes", "model.safetensors"} <= set(present) and not set(files) - {
        "config.json"
    } & set(present)


@pytest.mark.slow
def test_a_killed_upload_goes_on(hub, tmp_path):
    """The process is killed when one of the large files has arrived and the others are on their way."""
    publication = prepare("model", DEFAULT_MODEL, "ada/open")
    arrived: list[str] = []
    is_reached, goes_on, lock = threading.Event(), threading.Event(), threading.Lock()

    def hold_all_but_the_first(oid: str) -> None:
        with lock:
            arrived.append(oid)
        if oid == arrived[0]:
            return
        while arrived[0] not in hub.contents:
            time.sleep(0.01)
        is_reached.set()
        goes_on.wait(60)

    hub.on_upload = hold_all_but_the_first
    program = "\n".join(
        (
            "from infinitedance.publishing.upload import prepare, upload",
            f"upload(prepare('model', {str(DEFAULT_MODEL)!r}, 'ada/open'))",
        )
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    environment["HF_HOME"] = str(tmp_path)
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        assert is_reached.wait(120)
        process.send_signal(signal.SIGKILL)
    hub.on_upload = lambda oid: None
    assert arrived[0] in hub.contents and not set(arrived[1:]) & set(hub.contents)
    assert list(hub.files("model", "ada/open")) == [".gitattributes"]  # nothing is half there
    hub.requests.clear()
    assert upload(publication) == f"{hub.url}/ada/open"
    goes_on.set()
    sent = {path.removeprefix("/lfs/") for method, path in hub.requests if method == "PUT"}
    assert sent and arrived[0] not in sent
    assert set(hub.files("model", "ada/open")) == {*publication.files, ".gitattributes"}
    assert MusicToDancePipeline.from_pretrained("ada/open").license == "cc-by-4.0"


def test_xet_is_not_switched_off_for_users(repository_root):
    sources = [path for path in repository_root.glob("[!.]*/**/*.py") if "tests" not in path.parts]
    assert len(sources) > 150 and not [path for path in sources if "DISABLE_XET" in path.read_text()]


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (22_400_000, "22.4 MB")])
def test_sizes_are_readable(size, text):
    assert readable_size(size) == text
