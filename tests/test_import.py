"""Importing the package stays light."""

import subprocess
import sys

import pytest

HEAVY_PACKAGES = {"av", "cv2", "datasets", "gradio", "librosa", "matplotlib", "mujoco", "peft"}
SUBPACKAGES = [
    "audio",
    "dataset_builder",
    "evaluation",
    "modeling",
    "motion",
    "restoration",
    "tokenization",
    "training",
]


@pytest.mark.parametrize("modules", [["infinitedance"], [f"infinitedance.{name}" for name in SUBPACKAGES]])
def test_importing_the_package_imports_no_heavy_package(modules):
    program = f"import sys; import {', '.join(modules)}; print(*sorted({HEAVY_PACKAGES} & set(sys.modules)))"
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == ""


@pytest.mark.parametrize("state", ["enable", "disable"])
def test_importing_the_package_leaves_garbage_collection_as_it_was(state):
    program = f"import gc; gc.{state}(); import infinitedance; print(gc.isenabled())"
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == str(state == "enable")
