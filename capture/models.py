"""The networks of BlazePose and of hands: fetched once from a published package, checked, kept outside the package."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..utils.atomic import atomic_path
from ..utils.errors import one_line
from .blazepose import FETCH_COMMAND, LandmarkModels

LICENSE_NOTE = "BlazePose and MediaPipe Hands by Google, Apache-2.0 (https://www.apache.org/licenses/LICENSE-2.0)"
DETECTOR = "pose_detection.tflite"
LANDMARK_NETWORKS = {"heavy": "pose_landmark_heavy.tflite", "full": "pose_landmark_full.tflite"}
"""Files of the landmark networks of the body: the more accurate one, and one that is faster."""
DEFAULT_NETWORK = "heavy"
HAND_LANDMARKS, HAND_RECROP = "hand_landmark_full.tflite", "hand_recrop.tflite"
HAND_FILES = (HAND_LANDMARKS, HAND_RECROP)
ACCEPTED_SHA256: dict[str, tuple[str, ...]] = {
    DETECTOR: (
        "a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    LANDMARK_NETWORKS["heavy"]: ("59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",),
    LANDMARK_NETWORKS["full"]: ("e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",),
    HAND_LANDMARKS: (
        "8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    HAND_RECROP: ("67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",),
}
"""Of the npm packages, then of the wheel where it has another build."""
_BODY_PACKAGE, _HAND_PACKAGE = "@mediapipe/pose@0.5.1675469404", "@mediapipe/holistic@0.5.1675471629"
_NPM_OPTIONS = ("--prefer-offline", "--fetch-retries=1")
"""A version never changes, so one that npm keeps will do; and without a network two minutes of waiting are enough."""
_WHEEL = "mediapipe==0.10.21"
_WHEEL_OPTIONS = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary", ":all:")
"""One wheel for all systems: only its networks are wanted."""
_PACKED = re.compile(rb'"filename": "([^"]+)", "start": (\d+), "end": (\d+)')
"""An entry of the list, in an Emscripten loader, of what lies in the data file beside it."""
MAX_WAIT_SECONDS = 600


@dataclass(frozen=True)
class HandModels:
    """Files of the hand networks.

    Args:
        landmarks: `hand_landmark_full.tflite`.
        recrop: `hand_recrop.tflite`, which finds the region of a hand.
    """

    landmarks: Path
    recrop: Path


def default_models_folder() -> Path:
    """Return where the networks lie unless a folder is named: in the assets cache of Hugging Face."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "infinitedance" / "landmark_models"


def find_models(folder: str | os.PathLike | None = None, network: str = DEFAULT_NETWORK) -> LandmarkModels:
    """Return the networks of the body.

    Args:
        folder: Where they lie; `default_models_folder()` by default.
        network: `"heavy"` or `"full"`.

    Raises:
        FileNotFoundError: If one is absent, with the command that fetches it.
        ValueError: If one has other bytes than those that were published, or there is no such network.
    """
    option = "" if network == DEFAULT_NETWORK else f" --network {network}"
    return LandmarkModels(*_find(_body_files(network), folder, f"{FETCH_COMMAND[:-1]}{option}`"))


def find_hand_models(folder: str | os.PathLike | None = None) -> HandModels:
    """Return the networks of the hands; arguments and errors are those of `find_models`."""
    return HandModels(*_find(HAND_FILES, folder, f"{FETCH_COMMAND[:-1]} --hands`"))


def fetch_models(
    folder: str | os.PathLike | None = None, hands: bool = False, network: str = DEFAULT_NETWORK
) -> list[Path]:
    """Fetch the networks with npm, or with pip where that fails, and check them; what is there already is kept.

    Args:
        folder: Where to put them; `default_models_folder()` by default.
        hands: Fetch those of the hands, too.
        network: `"heavy"`, which only npm brings, or `"full"`.

    Returns:
        The files.

    Raises:
        OSError: If neither npm nor pip brings them, with what both said.
        ValueError: If there is no such network.
    """
    folder = default_models_folder() if folder is None else Path(folder)
    names = (*_body_files(network), *HAND_FILES) if hands else _body_files(network)
    missing = [name for name in names if not _is_accepted(folder / name)]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            for name, content in _published_files(missing, Path(work)).items():
                with atomic_path(folder / name) as temporary:
                    temporary.write_bytes(content)
    return [folder / name for name in names]


def _body_files(network: str) -> tuple[str, str]:
    if network not in LANDMARK_NETWORKS:
        raise ValueError(f"`network` must be {' or '.join(LANDMARK_NETWORKS)}, got {network!r}.")
    return DETECTOR, LANDMARK_NETWORKS[network]


def _find(names: Iterable[str], folder: str | os.PathLike | None, command: str) -> list[Path]:
    folder = default_models_folder() if folder is None else Path(folder)
    paths = [folder / name for name in names]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is absent. Run {command} first, with the same `--models` if you give it.")
        if not _is_accepted(path):
            raise ValueError(f"{path} is not the published file. Remove it and run {command}.")
    return paths


def _is_accepted(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() in ACCEPTED_SHA256[path.name]


def _published_files(names: list[str], work: Path) -> dict[str, bytes]:
    """Return the checked content of files, from the first package that can be had."""
    reasons = []
    package = _HAND_PACKAGE if set(names) & set(HAND_FILES) else _BODY_PACKAGE
    for fetch, source in ((_fetch_npm, package), (_fetch_wheel, _WHEEL)):
        try:
            found = fetch(source, work)
            for name in names:
                if name not in found or hashlib.sha256(found[name]).hexdigest() not in ACCEPTED_SHA256[name]:
                    absent = "it has no" if name not in found else "another than the published is its"
                    raise OSError(f"{absent} {name}")
            return {name: found[name] for name in names}
        except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile) as error:
            reasons.append(f"{source}: {one_line(error)}")
    smaller = "; pip has the network of `--network full`" if LANDMARK_NETWORKS["heavy"] in names else ""
    raise OSError(f"The models cannot be fetched, neither with npm nor with pip{smaller}. {'; '.join(reasons)}.")


def _fetch_npm(package: str, work: Path) -> dict[str, bytes]:
    """Return the networks in an npm package by their names."""
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not installed")
    _run([npm, "pack", "--silent", *_NPM_OPTIONS, package], work)
    content = {}
    with tarfile.open(next(work.glob("*.tgz"))) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                content[member.name.rsplit("/", 1)[-1]] = file.read()
    found = {name: data for name, data in content.items() if name.endswith(".tflite")}
    for name, loader in content.items():
        if name.endswith("_packed_assets_loader.js"):
            data = content[name.replace("_loader.js", ".data")]
            for path, start, end in _PACKED.findall(loader):
                found[path.decode().rsplit("/", 1)[-1]] = data[int(start) : int(end)]
    return found


def _fetch_wheel(requirement: str, work: Path) -> dict[str, bytes]:
    """Return the networks in a wheel by their names."""
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *_WHEEL_OPTIONS, requirement], work)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
        return {name.rsplit("/", 1)[-1]: wheel.read(name) for name in wheel.namelist() if name.endswith(".tflite")}


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=MAX_WAIT_SECONDS)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise OSError(f"{Path(command[0]).name} failed: {lines[-1]}")
