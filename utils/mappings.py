"""Settings that people write: a JSON or YAML file that holds names and values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import reading
from .extras import require_extra

MAX_BYTES = 10_000_000


def read_mapping(path: str | os.PathLike, extra: str = "data") -> dict[str, Any]:
    """Read a file that holds a mapping.

    Args:
        path: `.json`, or YAML under any other ending; UTF-8.
        extra: Extra of this package that installs the reader of YAML.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the reader of YAML is not installed.
        ValueError: If it cannot be read or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} must be smaller than {MAX_BYTES / 1e6:g} MB.")
    is_json = path.suffix.lower() == ".json"
    if not is_json:
        require_extra("yaml", extra, f"Reading {path}")
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
        if is_json:
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{path} must hold a mapping, `name: value`, got {type(values).__name__}.")
    return values
