"""Write files so that no half-written one ever stands under its final name."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL_PREFIX = ".partial-"
"""Names of temporary files and folders begin with it; one that nobody holds any more is what a killed process left."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a full disk says, without the name of a file."""


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The content is on the disk before it has its name. The temporary name cannot be guessed. What a killed process left
    of an earlier try at the same file is removed first. Within another `atomic_path` its temporary path is written to.

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
        OSError: If the file system takes no such name, or is full.
    """
    path = Path(path)
    folder = path.parent
    if path.name.startswith(PARTIAL_PREFIX):  # of another `atomic_path`, which holds this very file
        yield path
        return
    if not folder.is_dir():
        raise FileNotFoundError(f"Cannot write {path}: the folder {folder} does not exist. Create it first.")
    try:
        is_folder = path.is_dir()
        remove_partials(folder, path.name)
        temporary = folder / f"{_partial_stem(path.name)}{secrets.token_hex(4)}{path.suffix}"
        held = None if is_folder else os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT):  # the last is what /proc says
            raise PermissionError(f"Cannot write {path}: no permission to create files in {folder}.") from error
        raise OSError(f"Cannot write {path}: {error.strerror}.") from error
    if held is None:
        raise IsADirectoryError(f"Cannot write {path}: it is a folder. Give the name of a file.")
    if fcntl is None:
        os.close(held)  # Windows does not rename what is open
    try:
        _hold(held)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(folder)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise OSError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        if fcntl is not None:
            os.close(held)
        temporary.unlink(missing_ok=True)


def check_new_folder(folder: str | os.PathLike) -> None:
    """Raise `FileExistsError` unless `folder` does not exist or is an empty folder; before the work, not after it."""
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"The folder {folder} must be new or empty, got one with files in it. Name another.")


@contextmanager
def atomic_folder(folder: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; rename it to `folder` on success, remove it on failure.

    As with `atomic_path`, what a killed process left of an earlier try is removed first.

    Raises:
        FileExistsError: If `folder` is a file or holds anything.
    """
    folder = Path(folder)
    check_new_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(folder.parent, folder.name)
    temporary = folder.with_name(f"{_partial_stem(folder.name)}{secrets.token_hex(4)}")
    temporary.mkdir()
    held = None if fcntl is None else os.open(temporary, os.O_RDONLY)
    try:
        if held is not None:
            _hold(held)
        yield temporary
        for path in sorted(temporary.rglob("*"), reverse=True):
            _flush(path)
        if folder.exists():
            folder.rmdir()  # not every system renames onto an empty folder
        os.replace(temporary, folder)
        _flush(folder.parent)
    finally:
        if held is not None:
            os.close(held)
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def held_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Make a folder and keep other processes that ask for it, too, out of it until this block, or process, ends.

    Where the system has no locks, nobody is kept out.

    Raises:
        FileExistsError: If another process holds it.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileExistsError(f"Another command works in {folder}: wait for its end, or stop it.") from None
            except OSError:  # a file system without locks
                pass
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_partials(folder: str | os.PathLike, name: str | None = None) -> None:
    """Remove what killed processes left in a folder; what a living process writes is held by it and stays.

    Where the system has no locks for it (Windows), nothing is removed.

    Args:
        folder: The folder, without those in it.
        name: Only tries at the file or folder of this name; all by default.
    """
    if fcntl is None:
        return
    prefix = PARTIAL_PREFIX if name is None else _partial_stem(name)
    with os.scandir(os.fspath(folder)) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(prefix) and not entry.is_symlink()]
    for path in found:
        with suppress(OSError):  # another process may remove it, too
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def _partial_stem(name: str) -> str:
    """Return how the temporary names of a file begin: short, for names may be as long as the system allows."""
    return f"{PARTIAL_PREFIX}{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}-"


def _hold(descriptor: int) -> None:
    """Mark a temporary file or folder as in use until its descriptor is closed, also by a kill."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _flush(path: Path) -> None:
    """Wait until a file or the entries of a folder are on the disk."""
    if fcntl is None and path.is_dir():  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDWR if fcntl is None else os.O_RDONLY)  # Windows flushes what may be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
