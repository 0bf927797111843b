"""A small song, and a studio with an untrained model."""

import numpy as np
import pytest
import soundfile

from infinitedance import MusicToDancePipeline
from infinitedance.spaces_demo.limits import SpaceLimits
from infinitedance.spaces_demo.studio import Studio
from infinitedance.spaces_demo.visitor_files import VisitorFiles


@pytest.fixture
def limits() -> SpaceLimits:
    return SpaceLimits()


@pytest.fixture
def song(tmp_path, clicks):
    """Seven seconds in stereo, whose right channel is silent."""
    path = tmp_path / "uploads" / "my song.wav"
    path.parent.mkdir()
    soundfile.write(path, np.stack([clicks, 0 * clicks], axis=1), 24_000)
    return path


@pytest.fixture(scope="session")
def pipeline(tiny_pipeline_dir) -> MusicToDancePipeline:
    return MusicToDancePipeline.from_pretrained(tiny_pipeline_dir)


@pytest.fixture
def studio(pipeline, limits, tmp_path) -> Studio:
    return Studio(pipeline, VisitorFiles(tmp_path / "files", 3600), limits, "no library")
