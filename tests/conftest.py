"""Fixtures for every test."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # a mistaken look-up would wait 25 seconds for the network

import pytest
import torch

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository_root() -> Path:
    return REPOSITORY_ROOT


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    """The real clips beside the checkout; the tests that ask for it are skipped where they are absent."""
    path = REPOSITORY_ROOT.parent / "shared" / "data"
    if not (path / "metadata.csv").is_file():
        pytest.skip(f"real data: {path} has no metadata.csv")
    return path


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
