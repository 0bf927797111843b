"""Networks are fetched by npm or pip, checked, and kept; here both are scripts that bring made files."""

import hashlib
import io
import os
import sys
import tarfile
import zipfile

import pytest

from infinitedance.capture import models
from infinitedance.capture.models import fetch_models, find_hand_models, find_models
from infinitedance.cli import main

CONTENT = {
    "pose_detection.tflite": b"detector",
    "pose_landmark_heavy.tflite": b"landmarks",
    "pose_landmark_full.tflite": b"fewer landmarks",
    "hand_landmark_full.tflite": b"hand",
    "hand_recrop.tflite": b"recrop",
}


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """Take made files for the published ones."""
    digests = {name: (hashlib.sha256(content).hexdigest(),) for name, content in CONTENT.items()}
    monkeypatch.setattr(models, "ACCEPTED_SHA256", digests)


def npm_package(content: dict[str, bytes]) -> bytes:
    """Make a package as npm packs it: landmark networks of the body beside, the others in an Emscripten package."""
    packed, entries = b"", []
    for name in ("pose_detection.tflite", "hand_landmark_full.tflite", "hand_recrop.tflite"):
        entries.append(
            f'{{"filename": "/modules/{name}", "start": {len(packed)}, "end": {len(packed) + len(content[name])}}}'
        )
        packed += content[name]
    files = {
        **{name: data for name, data in content.items() if name.startswith("pose_landmark")},
        "solution_packed_assets.data": packed,
        "solution_packed_assets_loader.js": f'loadPackage({{"files": [{", ".join(entries)}]}});'.encode(),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


@pytest.fixture
def clients(monkeypatch):
    """Let npm and pip bring packages with given content; `None` lets them fail. Returns the commands that were run."""
    asked = []

    def install(npm: dict[str, bytes] | None, wheel: dict[str, bytes] | None):
        def run(command, folder):
            asked.append(command)
            if "pip" in command:
                if wheel is None:
                    raise OSError("pip failed: no network")
                with zipfile.ZipFile(folder / "m.whl", "w") as file:
                    for name, data in wheel.items():
                        file.writestr(f"mediapipe/modules/{name}", data)
            else:
                if npm is None:
                    raise OSError("npm failed: no network")
                (folder / "p.tgz").write_bytes(npm_package(npm))

        monkeypatch.setattr(models, "_run", run)
        monkeypatch.setattr(models.shutil, "which", lambda name: f"/bin/{name}")
        return asked

    return install


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_npm_brings_the_networks_of_the_body(tmp_path, clients):
    asked = clients(CONTENT, None)
    fetch_models(tmp_path / "models")
    assert contents(tmp_path / "models") == {name: CONTENT[name] for name in list(CONTENT)[:2]}
    assert [(command[:2], command[-1]) for command in asked] == [
        (["/bin/npm", "pack"], "@mediapipe/pose@0.5.1675469404")
    ]
    found = find_models(tmp_path / "models")
    assert (found.detector.read_bytes(), found.landmarks.read_bytes()) == (b"detector", b"landmarks")


def test_hands_come_from_the_package_that_has_them(tmp_path, clients):
    asked = clients(CONTENT, None)
    fetch_models(tmp_path, hands=True)
    assert contents(tmp_path) == {name: data for name, data in CONTENT.items() if "full" not in name or "hand" in name}
    assert "@mediapipe/holistic" in asked[0][-1]
    assert find_hand_models(tmp_path).recrop.read_bytes() == b"recrop"


def test_pip_brings_them_where_npm_fails(tmp_path, clients):
    asked = clients(None, {name: data for name, data in CONTENT.items() if "heavy" not in name})
    fetch_models(tmp_path, network="full")
    assert find_models(tmp_path, "full").landmarks.read_bytes() == b"fewer landmarks"
    assert asked[1][:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in asked[1] and asked[1][-1] == "mediapipe==0.10.21"


def test_the_network_that_pip_does_not_have_is_an_error_that_names_the_other(tmp_path, clients):
    clients(None, {name: data for name, data in CONTENT.items() if "heavy" not in name})
    with pytest.raises(OSError, match="pip has the network of `--network full`.*it has no pose_landmark_heavy.tflite"):
        fetch_models(tmp_path)
    with pytest.raises(FileNotFoundError, match="Run `infinitedance capture --fetch-models --network full` first"):
        find_models(tmp_path, "full")
    with pytest.raises(ValueError, match="`network` must be heavy or full, got 'lite'"):
        find_models(tmp_path, "lite")


def test_what_is_there_is_not_fetched_again(tmp_path, clients):
    asked = clients(CONTENT, None)
    fetch_models(tmp_path)
    fetch_models(tmp_path)
    assert len(asked) == 1


def test_other_bytes_than_the_published_ones_are_not_kept(tmp_path, clients):
    clients({**CONTENT, "pose_detection.tflite": b"other"}, None)
    wanted = "neither with npm nor with pip.*another than the published is its pose_detection.tflite.*no network"
    with pytest.raises(OSError, match=wanted):
        fetch_models(tmp_path)
    assert contents(tmp_path) == {}


def test_absent_networks_are_an_error_that_names_the_command(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="pose_detection.tflite is absent. Run `infinitedance capture --fetch-models`"
    ):
        find_models(tmp_path)
    with pytest.raises(FileNotFoundError, match="hand_landmark_full.tflite is absent. Run .* --fetch-models --hands`"):
        find_hand_models(tmp_path)


def test_a_damaged_network_is_an_error(tmp_path, clients):
    clients(CONTENT, None)
    fetch_models(tmp_path)
    (tmp_path / "pose_landmark_heavy.tflite").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="pose_landmark_heavy.tflite is not the published file"):
        find_models(tmp_path)
    fetch_models(tmp_path)
    assert find_models(tmp_path)


def test_a_client_that_fails_is_quoted(tmp_path):
    with pytest.raises(OSError, match="failed: no such package"):
        models._run([sys.executable, "-c", "import sys; sys.exit('no such package')"], tmp_path)


def test_the_command_prints_files_and_license(tmp_path, clients, capsys):
    clients(CONTENT, None)
    assert main(["capture", "--fetch-models", "--models", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(tmp_path / name) for name in list(CONTENT)[:2]]
    assert "Apache-2.0" in lines[2]
    assert main(["capture"]) == 2
    assert "Give the names of videos" in capsys.readouterr().err
    assert main(["capture", "dance.mp4"]) == 2
    assert "Give `--output`" in capsys.readouterr().err


def test_networks_lie_in_the_cache_of_the_user(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", os.fspath(tmp_path))
    assert models.default_models_folder() == tmp_path / "infinitedance" / "landmark_models"
