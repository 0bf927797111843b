"""The folder that Hugging Face runs as a Space: the package itself, what it needs, and a card."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ..utils.atomic import atomic_folder

PACKAGE = "infinitedance"
ZERO_GPU_TORCH = "<2.12"
"""ZeroGPU runs torch 2.8 to 2.11; the other hardware of Spaces runs these as well."""
NOT_SERVED = ("choreollama-research", "frdm-tiny", "genre-guess", "lifter")
"""Weights that the page does not use and that are for research only: a Space with them would not be under CC BY."""
_ROOT = Path(__file__).resolve().parents[1]
_GIT_ATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in (".safetensors", ".npz", ".ogg", ".arrow", ".faiss")
)


def write_space(folder: str | os.PathLike, *, wheel: str | os.PathLike | None = None) -> None:
    """Write a Space that needs nothing but packages of the registry, whole or not at all.

    Hugging Face installs `requirements.txt` before any other file of the Space is there, so that it cannot name a
    wheel of the Space. The package therefore lies unpacked beside `app.py`; `requirements.txt` names what it needs.

    Args:
        folder: New or empty; becomes `README.md` (the card), `app.py`, `requirements.txt`, `.gitattributes` and
            `infinitedance/`.
        wheel: The package; by default that which runs: from a checkout its wheel is built, which pip does.

    Raises:
        FileExistsError: If the folder holds anything.
        FileNotFoundError: If there is no such wheel.
        ValueError: If `wheel` is not a wheel of this package.
        RuntimeError: If the wheel of the checkout cannot be built.
    """
    with atomic_folder(folder) as space, tempfile.TemporaryDirectory() as scratch:
        if wheel is None and (_ROOT / "pyproject.toml").is_file():
            wheel = build_wheel(Path(scratch))
        if wheel is None:
            source, package = _ROOT, distribution(PACKAGE)
        else:
            package = _unpack(Path(wheel), Path(scratch) / "unpacked")
            source = Path(scratch) / "unpacked" / PACKAGE
        shutil.copytree(source, space / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", *NOT_SERVED))
        for name in ("README.md", "app.py"):
            shutil.copyfile(space / PACKAGE / "spaces_demo" / name, space / name)
        (space / "requirements.txt").write_text("\n".join(space_requirements(package)) + "\n", encoding="utf-8")
        (space / ".gitattributes").write_text(_GIT_ATTRIBUTES, encoding="utf-8")


def space_requirements(package: Distribution) -> list[str]:
    """Return what a Space installs: all that the extra `demo` needs, but Gradio, whose version the card states.

    Args:
        package: The metadata of this package.
    """
    needed = [Requirement(text) for text in package.requires or []]
    wanted: dict[str, SpecifierSet] = {}
    extras = ["", "demo"]
    while extras:
        environment = {"extra": extras.pop()}
        for requirement in needed:
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            if requirement.name == PACKAGE:
                extras += sorted(requirement.extras)
            elif requirement.name != "gradio":
                wanted[requirement.name] = requirement.specifier
    wanted["torch"] &= SpecifierSet(ZERO_GPU_TORCH)
    return [f"{name}{wanted[name]}" for name in sorted(wanted)]


def _unpack(wheel: Path, folder: Path) -> Distribution:
    """Unpack a wheel of this package; return its metadata."""
    if not wheel.is_file():
        raise FileNotFoundError(f"There is no wheel {wheel}.")
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel} is not a wheel: {error}.") from error
    metadata = list(folder.glob(f"{PACKAGE}-*.dist-info"))
    if len(metadata) != 1 or not (folder / PACKAGE / "spaces_demo" / "README.md").is_file():
        raise ValueError(f"{wheel} is not a wheel of {PACKAGE} with the Space. Give one of this version.")
    return PathDistribution(metadata[0])


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder, and leave nothing in the checkout.

    Args:
        folder: An empty one, for what the build makes on its way, too.

    Returns:
        The wheel in the folder.

    Raises:
        RuntimeError: If pip cannot build it.
    """
    settings = folder / "setuptools.cfg"  # setuptools would build in the checkout, and ship what an earlier build left
    settings.write_text(f"[build]\nbuild_base = {folder}\n[egg_info]\negg_base = {folder}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(_ROOT)]
    completed = subprocess.run(
        command, env={**os.environ, "DIST_EXTRA_CONFIG": str(settings)}, capture_output=True, text=True
    )
    if completed.returncode != 0:
        reason = completed.stderr.strip().splitlines()
        raise RuntimeError(
            f"The wheel of {_ROOT} cannot be built: {reason[-1] if reason else 'pip says nothing'}. "
            "Build it elsewhere, and give it as `--wheel`."
        )
    return next(folder.glob("*.whl"))
