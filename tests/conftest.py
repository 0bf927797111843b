"""Fixtures for every test."""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # a mistaken look-up would wait 25 seconds for the network

import numpy as np
import pytest
import torch

import infinitedance

REPOSITORY_ROOT = Path(__file__).resolve().parent.parent
# pytest imports the root `__init__.py` under the name of its folder; a second copy would take over the Auto classes.
sys.modules.setdefault(REPOSITORY_ROOT.name, infinitedance)


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


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tmp_path_factory) -> Path:
    """A folder with an untrained model of the real layout: 269 motion and 109 music channels, two genres."""
    from infinitedance import (
        ChoreoLlamaConfig,
        ChoreoLlamaForConditionalGeneration,
        ChoreoLlamaProcessor,
        MotionCodecConfig,
        MotionCodecModel,
        MusicFeatureExtractor,
        MusicToDancePipeline,
    )

    torch.manual_seed(0)
    codec = MotionCodecModel(
        MotionCodecConfig(hidden_size=24, codebook_dim=8, codebook_size=16, residual_dilations=[1, 3])
    )
    codec.codebooks.normal_(std=0.3)
    codec.feature_mean[3] = 0.95  # the root's height
    config = ChoreoLlamaConfig(
        backbone_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "intermediate_size": 48,
        },
        genres=["rumba", "waltz"],
        codebook_size=16,
        codebook_dim=8,
        expert_hidden_size=16,
        expert_num_heads=2,
        expert_attention_tokens=8,
        max_window_tokens=16,
        initializer_range=0.3,
    )
    model = ChoreoLlamaForConditionalGeneration(config)
    model.set_codec(codec)
    folder = tmp_path_factory.mktemp("tiny") / "model"
    processor = ChoreoLlamaProcessor(MusicFeatureExtractor(), genres=config.genres)
    MusicToDancePipeline(model, processor).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clicks() -> np.ndarray:
    """Seven seconds of clicks at 120 bpm, 24 kHz."""
    waveform = np.zeros(7 * 24_000, dtype=np.float32)
    click = np.exp(-np.arange(1200) / 200) * np.sin(np.arange(1200) * 0.3)
    for start in range(0, len(waveform), 12_000):
        waveform[start : start + 1200] = 0.8 * click
    return waveform
