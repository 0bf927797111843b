"""What the headers of containers promise, and whether the file holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from .kinds import ASF, AVI, MOV, W64, WAV, Kind

_NO_LENGTH = 0x7FFF0000
"""A program that streams does not know the length, and writes 0, this or more."""
_SLACK_BYTES = 2
"""Padding that some programs count and do not write."""


class UnfinishedError(ValueError):
    """A recording lacks what is written at its end, without which nothing of it can be read."""


def missing_bytes(file: BinaryIO, kind: Kind, start: int) -> tuple[str, int, int] | None:
    """Compare the size of a file with what its header promises.

    Args:
        file: Open for reading.
        kind: What it is.
        start: Its first byte, behind tags.

    Returns:
        Which part is cut, the size in bytes that the file must have for it, and its own; `None` if nothing is cut or
        no length is promised.

    Raises:
        UnfinishedError: If it lacks its index.
    """
    size = file.seek(0, os.SEEK_END)
    checks: dict[Kind, Callable[[BinaryIO, int, int], Iterator[tuple[str, int]]]] = {
        WAV: _riff_parts,
        AVI: _avi_parts,
        W64: _w64_parts,
        MOV: _mov_parts,
        ASF: _asf_parts,
    }
    if kind not in checks:
        return None
    for part, end in checks[kind](file, start, size):
        if end > size + _SLACK_BYTES:
            return part, end, size
    return None


def _riff_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    """Yield the chunk of the samples and its end, unless its length is unknown."""
    file.seek(start)
    is_long = file.read(4) != b"RIFF"
    position, long_size = start + 12, None
    while position + 8 <= size:
        file.seek(position)
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"ds64" and is_long:
            file.seek(position + 16)
            long_size = int.from_bytes(file.read(8), "little")
        if name == b"data":
            if length == 0xFFFFFFFF and long_size is not None:
                length = long_size if long_size < 1 << 62 else 0
            elif length >= _NO_LENGTH:
                return
            yield "the samples", position + 8 + length
            return
        position += 8 + length + length % 2


def _avi_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    file.seek(start + 4)
    length = int.from_bytes(file.read(4), "little")
    if 0 < length < _NO_LENGTH:
        yield "the film", start + 8 + length


def _w64_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    position = start + 40
    while position + 24 <= size:
        file.seek(position)
        name, length = file.read(16), int.from_bytes(file.read(8), "little")
        if name[:4] == b"data":
            if 24 < length < 1 << 62:
                yield "the samples", position + length
            return
        if length < 24:
            return
        position += (length + 7) // 8 * 8


def _mov_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    """Yield the boxes of the file; one without an index cannot be read at all."""
    position, has_index = start, False
    while position + 8 <= size:
        file.seek(position)
        length, name = int.from_bytes(file.read(4), "big"), file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        elif length == 0:
            length = size - position
        if length < 8 or not all(32 <= byte < 127 for byte in name):
            break
        has_index |= name == b"moov"
        if name in (b"moov", b"mdat", b"moof"):
            yield f"its box `{name.decode()}`", position + length
        position += length
    if not has_index:
        raise UnfinishedError("it has no index (box `moov`): it was cut, or the recording was not finished")


def _asf_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    """Yield the size that the file's own properties state, unless it was broadcast."""
    file.seek(start)
    header = file.read(1 << 16)
    place = header.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if place < 0 or len(header) < place + 92:
        return
    flags = int.from_bytes(header[place + 88 : place + 92], "little")
    length = int.from_bytes(header[place + 40 : place + 48], "little")
    if not flags & 1 and 0 < length < 1 << 62:
        yield "the recording", start + length


TS_PACKET_BYTES = 188
_TS_SYNC = 0x47


def lost_sync(file: BinaryIO, start: int) -> int | None:
    """Return the byte at which the packets of an MPEG transport stream lose their step; `None` if they never do."""
    file.seek(start)
    prefix = 0 if file.read(1) == bytes([_TS_SYNC]) else 4  # of Blu-ray: a time before each packet
    length = TS_PACKET_BYTES + prefix
    position = start
    file.seek(start)
    while len(chunk := file.read(length * 4096)) > prefix:
        marks = chunk[prefix::length]
        if marks.count(_TS_SYNC) < len(marks):
            return position + next(index for index, mark in enumerate(marks) if mark != _TS_SYNC) * length
        position += len(chunk)
    return None
