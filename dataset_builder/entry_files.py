"""What is known of a clip or a video, in a file that is written last: if it is whole, the work is done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..utils.atomic import atomic_path
from .manifest import json_line


def read_entry(path: Path) -> dict[str, Any] | None:
    """Read an entry; `None` if there is none, or a damaged one: the work is done again."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return entry if entry["sha256"] == _entry_sha256(entry) else None
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write_entry(entry: dict[str, Any], path: Path) -> None:
    """Write an entry with its hash."""
    write_content(path, json_line({**entry, "sha256": _entry_sha256(entry)}).encode())


def write_content(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, into a folder that is made if it is absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def _entry_sha256(entry: dict[str, Any]) -> str:
    values = {name: value for name, value in entry.items() if name != "sha256"}
    return hashlib.sha256(json_line(values).encode()).hexdigest()
