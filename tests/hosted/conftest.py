"""What needs a package registry: new environments, filled as hosts fill them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config, items):
    asked_for = any("tests/hosted" in argument.replace("\\", "/") for argument in config.args)
    for item in items:
        if item.path.parent.name == "hosted":
            item.add_marker(pytest.mark.slow)
            if not asked_for:
                item.add_marker(pytest.mark.skip("hosted: `make test-space` runs it"))


@pytest.fixture(scope="session")
def uv():
    """Run uv; return how it ended."""
    if importlib.util.find_spec("uv") is None:
        pytest.skip("hosted: the Python package uv not found; `make test-space` installs it")

    def run(*words):
        return subprocess.run([sys.executable, "-m", "uv", *map(str, words)], capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def python_of_version():
    """Return an interpreter of a version, or the version for uv to find one."""

    def find(version: str) -> str:
        if "{}.{}".format(*sys.version_info) == version:
            return sys.executable
        return str(next(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), version))

    return find
