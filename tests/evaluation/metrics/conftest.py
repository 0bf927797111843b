"""What the published code computed, and the plain loops of the benchmark."""

import runpy

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden(repository_root):
    """Clips, and the arrays and values that the published code computed of them."""
    path = repository_root.parent / "shared" / "parity" / "metrics" / "metrics.npz"
    if not path.is_file():
        pytest.skip(f"published values: {path} is absent")
    return dict(np.load(path))


@pytest.fixture(scope="session")
def loops(repository_root):
    """The plain loops that the benchmark compares with."""
    return runpy.run_path(str(repository_root / "benchmarks" / "evaluation_features.py"))
