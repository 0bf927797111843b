"""Write files so that no half-written one ever stands under its final name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    Example:
        ```python
        from infinitedance.utils.atomic import atomic_path

        with atomic_path("notes.txt") as temporary:
            temporary.write_text("whole or not at all")
        ```

    Raises:
        FileNotFoundError: If the folder does not exist.
        IsADirectoryError: If `path` is a folder.
        PermissionError: If the folder cannot be written to.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"Cannot write {path}: the folder {folder} does not exist. Create it first.")
    if path.is_dir():
        raise IsADirectoryError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    temporary = folder / f".{path.stem}.{os.getpid()}{path.suffix}"
    try:
        temporary.touch()
    except OSError as error:
        raise PermissionError(f"Cannot write {path}: no permission to create files in {folder}.") from error
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_new_folder(folder: str | os.PathLike) -> None:
    """Raise `FileExistsError` unless `folder` does not exist or is an empty folder; before the work, not after it."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"The folder {folder} must be new or empty, got one with files in it. Name another.")


@contextmanager
def atomic_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it to `folder` on success, remove it on failure.

    Raises:
        FileExistsError: If `folder` is a file or holds anything.
    """
    folder = Path(folder)
    check_new_folder(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            folder.rmdir()  # not every system renames onto an empty folder
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
