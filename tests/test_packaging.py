"""The wheel holds what the repository holds."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

NOT_PACKAGES = {"benchmarks", "tests", "docs", "build", "dist", "runs", "outputs"}


@pytest.fixture(scope="module")
def project(repository_root) -> dict:
    return tomllib.loads((repository_root / "pyproject.toml").read_text())


def test_the_listed_packages_are_the_folders_with_an_init_file(repository_root, project):
    folders = [path.parent.relative_to(repository_root) for path in repository_root.glob("[!.]*/**/__init__.py")]
    packages = {
        ".".join(("infinitedance", *folder.parts)) for folder in folders if folder.parts[0] not in NOT_PACKAGES
    }
    assert set(project["tool"]["setuptools"]["packages"]) == packages | {"infinitedance"}


def test_the_version_is_the_same_everywhere(repository_root, project):
    import infinitedance

    version = project["project"]["version"]
    assert infinitedance.__version__ == version
    assert f"version: {version}" in (repository_root / "CITATION.cff").read_text()


def test_every_constraint_pins_one_version(repository_root):
    lines = (repository_root / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert all(pin.count("==") == 1 and "/" not in pin and "*" not in pin for pin in pins)


@pytest.fixture(scope="module")
def requirements(project) -> list[Requirement]:
    lists = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    return [Requirement(text) for texts in lists for text in texts]


def test_every_pin_lies_within_the_bounds(repository_root, requirements):
    lines = (repository_root / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    bounds = [requirement for requirement in requirements if requirement.name in pins]
    assert {requirement.name for requirement in bounds} == set(pins)
    assert [f"{bound}: {pins[bound.name]}" for bound in bounds if not bound.specifier.contains(pins[bound.name])] == []


def test_every_requirement_has_an_oldest_version(requirements):
    without = {requirement.name for requirement in requirements if not requirement.specifier}
    assert without == {"infinitedance", "causal-conv1d", "mamba-ssm"}  # the kernels are built against their torch


def test_every_extra_that_is_named_exists(repository_root, project, requirements):
    extras = set(project["project"]["optional-dependencies"])
    named = set().union(*(requirement.extras for requirement in requirements))
    for package in project["tool"]["setuptools"]["packages"]:
        for path in (repository_root / Path(*package.split(".")[1:])).glob("*.py"):
            named |= set(re.findall(r'\brequire_extra\([^,()]+, "(\w+)"', path.read_text()))
    texts = [*repository_root.glob("*.md"), *repository_root.glob("docs/**/*.md"), *repository_root.glob("*/*.txt")]
    for path in texts:
        for names in re.findall(r"infinitedance\[([a-z,]+)\]", path.read_text()):
            named |= set(names.split(","))
    assert named >= {"data", "demo", "evaluation", "fbx", "physics", "scale", "train", "usd", "video"}
    assert named <= extras


@pytest.fixture(scope="module")
def wheel_names(wheel) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_module_asset_and_recipe(repository_root, project, wheel_names):
    expected = set()
    for package in project["tool"]["setuptools"]["packages"]:
        folder = Path(*package.split(".")[1:])
        patterns = ["*.py", *project["tool"]["setuptools"]["package-data"].get(package, [])]
        paths = [path for pattern in patterns for path in (repository_root / folder).glob(pattern)]
        expected |= {f"infinitedance/{path.relative_to(repository_root)}" for path in paths}
    assert "infinitedance/utils/extras.py" in expected
    assert expected <= wheel_names


def test_the_wheel_holds_no_tests_and_every_asset_file(repository_root, wheel_names):
    assert not [name for name in wheel_names if "tests/" in name or "docs/" in name or "benchmarks/" in name]
    assets = [path for path in (repository_root / "assets").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    missing = {f"infinitedance/{path.relative_to(repository_root)}" for path in assets} - wheel_names
    assert not missing, "add their suffix to package-data in pyproject.toml"
