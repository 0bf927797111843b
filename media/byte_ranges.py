"""Parts of an open file, read as if they were one file."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO


class ByteRanges(io.RawIOBase):
    """Some ranges of a file, one after the other, read-only.

    A decoder gets this in the place of a name: it can open nothing else, and has no name to guess from.

    Args:
        file: Open for reading; it stays open when this is closed.
        ranges: First byte and end of each range.
    """

    def __init__(self, file: BinaryIO, ranges: Sequence[tuple[int, int]]):
        super().__init__()
        self._file = file
        self._ranges = [each for each in ranges if each[1] > each[0]]
        self._starts = [0, *accumulate(end - start for start, end in self._ranges)]
        self._position = 0

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self._starts[-1]

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the start of the first range."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position; see `io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left by default."""
        wanted = self.size - self._position if size is None or size < 0 else size
        pieces = []
        while wanted > 0 and self._position < self.size:
            index = bisect_right(self._starts, self._position) - 1
            start, end = self._ranges[index]
            offset = start + self._position - self._starts[index]
            self._file.seek(offset)
            piece = self._file.read(min(wanted, end - offset))
            if not piece:
                break
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill a buffer; return how many bytes were read."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
