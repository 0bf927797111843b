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
