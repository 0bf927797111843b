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
