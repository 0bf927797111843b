"""What a restored clip leaves in a folder, and whether an earlier run of the same command left it there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPORT_SUFFIX = "_report.json"
"""Written first: it says from what the files beside it are made, and that they are ours."""


def input_digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files of a folder."""
    path = Path(path)
    if not path.is_dir():
        return _file_digest(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{file.relative_to(path).as_posix()} {_file_digest(file)}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def weights_digest(restorer: Any) -> str | None:
    """Return the SHA-256 of the weights of a restorer's model; `None` of a function without one."""
    model = getattr(restorer, "model", None)
    if model is None:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_finished(folder: Path, names: Sequence[str], made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the report of a clip whose files are all there already, or `None` if it has to be restored.

    A run that was killed leaves a report without some of the other files; they are then all made again.

    Args:
        folder: Where the files are.
        names: Of all files of the clip, the report among them.
        made_from: What the files must be made from.

    Raises:
        FileExistsError: If a file is there that was not made from the same.
    """
    existing = [name for name in names if (folder / name).exists()]
    if not existing:
        return None
    (report_name,) = (name for name in names if name.endswith(REPORT_SUFFIX))
    report = _read_report(folder / report_name)
    if report is None or report.get("made_from") is None:
        raise FileExistsError(f"{folder / existing[0]} exists already: remove it, or give another `--output`.")
    if report["made_from"] != made_from:
        raise FileExistsError(
            f"{folder / existing[0]} exists already, made from another {_difference(report['made_from'], made_from)}: "
            "remove it, or give another `--output`."
        )
    return report if len(existing) == len(names) else None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_report(path: Path) -> dict[str, Any] | None:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None


def _difference(stored: Any, wanted: Mapping[str, Any]) -> str:
    """Name what differs first."""
    if not isinstance(stored, Mapping):
        return "file"
    for name, value in wanted.items():
        if stored.get(name) != value:
            return name.replace("_sha256", "").replace("_", " ")
    return "version"
