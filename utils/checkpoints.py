"""Checks of a model's folder before its weights are read, and the one way in which weights are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import torch
from transformers import PreTrainedConfig, PreTrainedModel

AnyModel = TypeVar("AnyModel", bound=PreTrainedModel)


def find_model_type(path: str | os.PathLike) -> str:
    """Return the `model_type` of the model in a folder or on the Hub.

    Raises:
        FileNotFoundError: If `path` looks like a folder and does not exist.
        ValueError: If no model lies there.
    """
    path = os.fspath(path)
    if os.sep in path and path.count("/") != 1 and not Path(path).is_dir():
        raise FileNotFoundError(f"There is no model folder {path}.")
    if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
        raise ValueError(f"{path} holds no model: there is no config.json. Give the folder that was saved.")
    return PreTrainedConfig.get_config_dict(path)[0].get("model_type", "none")


def load_model(path: str | os.PathLike, model_class: type[AnyModel]) -> AnyModel:
    """Load a model in evaluation mode, in float32 as CPUs compute; weights may be stored in half precision.

    Raises:
        FileNotFoundError: As `find_model_type`.
        ValueError: As `find_model_type`, or if another kind of model lies there.
    """
    found, wanted = find_model_type(path), model_class.config_class.model_type
    if found != wanted:
        raise ValueError(f"{os.fspath(path)} must hold a model of type {wanted}, got {found}.")
    return model_class.from_pretrained(path, dtype=torch.float32).eval()
