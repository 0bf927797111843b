"""What visitors bring and get: one folder of the Space's own, emptied of what is old."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4


class VisitorFiles:
    """Folders that nobody can guess, below one root, and their removal.

    Args:
        root: Holds nothing else: everything in it that is old is deleted.
        keep_seconds: Age from which a file is old.
    """

    def __init__(self, root: Path, keep_seconds: float):
        self.root, self.keep_seconds = root.resolve(), keep_seconds
        self.root.mkdir(parents=True, exist_ok=True)

    @classmethod
    @contextmanager
    def temporary(cls, keep_seconds: float) -> Iterator[VisitorFiles]:
        """Yield a root of its own that is swept while it is used, and removed at the end."""
        ended = Event()
        with tempfile.TemporaryDirectory(prefix="infinitedance-", ignore_cleanup_errors=True) as folder:
            files = cls(Path(folder), keep_seconds)

            def sweep() -> None:
                while not ended.wait(min(60.0, keep_seconds / 4)):
                    files.sweep()

            thread = Thread(target=sweep, daemon=True)
            thread.start()
            try:
                yield files
            finally:
                ended.set()
                thread.join()

    def new_folder(self) -> Path:
        """Make a folder for one visitor's dances."""
        folder = self.root / "dances" / uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def folder(self, key: str) -> Path:
        """Return the folder of that name, for dances that were made here.

        Raises:
            FileNotFoundError: If there is none.
        """
        folder = self.root / "dances" / key
        if not re.fullmatch("[0-9a-f]{32}", key) or not folder.is_dir():
            raise FileNotFoundError("The files of this dance are no longer kept. Make it again.")
        return folder

    def total_bytes(self) -> int:
        """Return the size of all files."""
        total = 0
        for path in self.root.rglob("*"):
            with suppress(OSError):  # swept away meanwhile
                total += path.lstat().st_size
        return total

    def sweep(self) -> None:
        """Delete files and empty folders that are old: a copy is as old as the copying, whatever its date says."""
        oldest = time.time() - self.keep_seconds
        for path in sorted(self.root.rglob("*"), reverse=True):  # what a folder holds, before the folder
            with suppress(OSError):  # not empty, or gone
                if path.lstat().st_ctime >= oldest:
                    continue
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                else:
                    path.unlink()
