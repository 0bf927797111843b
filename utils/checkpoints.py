"""Checks of a model's folder before its weights are read."""

from __future__ import annotations

import os
from pathlib import Path

from transformers import PreTrainedConfig


def check_model(path: str | os.PathLike, config_class: type[PreTrainedConfig]) -> str:
    """Return the folder or Hub name of a model after making sure that a model of this kind lies there.

    Raises:
        FileNotFoundError: If `path` looks like a folder and does not exist.
        ValueError: If no model, or another kind of model, lies there.
    """
    path = os.fspath(path)
    if os.sep in path and path.count("/") != 1 and not Path(path).is_dir():
        raise FileNotFoundError(f"There is no model folder {path}.")
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} holds no model: there is no config.json. Give the folder that was saved.")
    found = config_class.get_config_dict(path)[0].get("model_type", "no config.json")
    if found != config_class.model_type:
        raise ValueError(f"{path} must hold a model of type {config_class.model_type}, got {found}.")
    return path
