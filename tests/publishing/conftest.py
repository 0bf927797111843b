"""A fake Hub, and a `huggingface_hub` that speaks with it."""

import importlib.util
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

_spec = importlib.util.spec_from_file_location("fake_hub", Path(__file__).with_name("fake_hub.py"))
fake_hub = sys.modules["fake_hub"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fake_hub)


@pytest.fixture
def hub(monkeypatch, tmp_path_factory):
    """A fake Hub that this process speaks with as ada, with an empty cache."""
    with fake_hub.serve() as server:
        huggingface_hub.close_session()
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path_factory.mktemp("hub_cache")),
            "HF_TOKEN_PATH": str(tmp_path_factory.mktemp("no_token") / "token"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", "hf_ada")
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def fresh_cache(monkeypatch, tmp_path_factory):
    """Return a function that empties the cache, and returns the folder of the new one."""

    def empty() -> Path:
        folder = tmp_path_factory.mktemp("hub_cache")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        return folder

    return empty


@pytest.fixture
def finetune_record() -> dict:
    """`finetune.json` of an adapter."""
    return {
        "name": "my-style",
        "base_model": "open",
        "base_sha256": "0" * 64,
        "base_license": "cc-by-4.0",
        "license": "cc0-1.0",
        "num_clips": 12,
        "minutes": 10.2,
        "held_out_clips": 2,
        "held_out_minutes": 1.5,
        "codec_fit": {"joint_error_mm": 31.2, "verdict": "fine"},
        "held_out_loss": {"before": 4.1, "after": 3.2, "nearest_genre_before": {"genre": "pop", "loss": 3.9}},
        "base_genre_loss": {"before": 3.9, "after": 3.95},
        "steps": 600,
        "seconds": 540,
        "num_parameters": 800_000,
        "sources": [{"source": "my stage", "license": "CC0-1.0", "minutes": 10.2}],
    }
