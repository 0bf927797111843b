"""What the headers of containers promise, and whether the file holds it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .kinds import AIFF, ASF, AVI, FLV, MOV, MPEG, MPEGTS, VOC, W64, WAV, Kind

_NO_LENGTH = 0x7FFF0000
"""A program that streams does not know the length, and writes 0, this or more."""
_SLACK_BYTES = 64
"""Some programs count padding that they do not write, or the header as samples."""


_FIRST_BYTES = {"w64": 16, "wma": 16, "dsf": 12, "caf": 8, "tta": 8, "tak": 8, "ape": 8, "amr": 6}
"""So many at the beginning are no chance when they come again."""
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


class UnfinishedError(ValueError):
    """A recording lacks what is written at its end, or holds a second one, which no reader goes on to."""


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
        UnfinishedError: If it lacks its index, or another file was joined to it.
    """
    size = file.seek(0, os.SEEK_END)
    if (behind := _where_it_begins_again(file, kind, start)) is not None:
        raise UnfinishedError(f"another file begins at byte {behind:,}, so two were joined")
    checks: dict[Kind, Callable[[BinaryIO, int, int], Iterator[tuple[str, int]]]] = {
        WAV: _riff_parts,
        AVI: _avi_parts,
        W64: _w64_parts,
        MOV: _mov_parts,
        AIFF: _form_parts,
        ASF: _asf_parts,
    }
    if kind not in checks:
        return None
    for part, end in checks[kind](file, start, size):
        if end > size + _SLACK_BYTES:
            return part, end, size
    return None


def _where_it_begins_again(file: BinaryIO, kind: Kind, start: int) -> int | None:
    """Return where the first bytes of a file come again, for kinds of which FFmpeg reads the first file only."""
    if kind.name not in _FIRST_BYTES:
        return None
    file.seek(start)
    first = file.read(_FIRST_BYTES[kind.name])
    position, tail = start + 1, b""
    file.seek(position)
    while chunk := file.read(1 << 20):
        place = (tail + chunk).find(first)
        if place >= 0:
            return position - len(tail) + place
        position += len(chunk)
        tail = (tail + chunk)[1 - len(first) :]
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


def joined_riffs(file: BinaryIO, start: int) -> list[tuple[int, int]]:
    """Return first byte and end of the wav files that were joined to one; mostly one.

    Args:
        file: Open for reading.
        start: Of the first.
    """
    size = file.seek(0, os.SEEK_END)
    starts = [start]
    while True:
        file.seek(starts[-1] + 4)
        length = int.from_bytes(file.read(4), "little")
        behind = starts[-1] + 8 + length + length % 2
        file.seek(behind)
        head = file.read(12)
        if length < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return list(zip(starts, [*starts[1:], size], strict=True))
        starts.append(behind)


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
        if name == b"moov" and has_index:
            raise UnfinishedError(f"a second film begins before byte {position:,}, so two files were joined")
        has_index |= name == b"moov"
        if name in (b"moov", b"mdat", b"moof"):
            yield f"its box `{name.decode()}`", position + length
        position += length
    if not has_index:
        raise UnfinishedError("it has no index (box `moov`): it was cut, or the recording was not finished")


def _form_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    """Yield nothing, for the reader counts the samples; refuse a second file behind the first."""
    file.seek(start + 4)
    behind = start + 8 + int.from_bytes(file.read(4), "big")
    file.seek(behind)
    if file.read(4) == b"FORM":
        raise UnfinishedError(f"another file begins at byte {behind:,}, so two were joined")
    yield from ()


def _asf_parts(file: BinaryIO, start: int, size: int) -> Iterator[tuple[str, int]]:
    """Yield the size that the file's own properties state, unless it was broadcast."""
    file.seek(start)
    header = file.read(1 << 16)
    place = header.find(_ASF_PROPERTIES)
    if place < 0 or len(header) < place + 92:
        return
    flags = int.from_bytes(header[place + 88 : place + 92], "little")
    length = int.from_bytes(header[place + 40 : place + 48], "little")
    if not flags & 1 and 0 < length < 1 << 62:
        yield "the recording", start + length


_TS_PACKET_BYTES, _TS_SYNC = 188, 0x47
_AVI_CHUNK = re.compile(rb"LIST|RIFF|JUNK|idx1|ix\d\d|[\da-fA-F]{2}[a-z]{2}")
_ASF_PACKET = 0x82
"""First byte of every packet, as all encoders write it."""
_VOC_TAIL_BYTES = 128


@dataclass(frozen=True)
class Steps:
    """What a walk from packet to packet found.

    Args:
        lost: The first byte where a packet should begin and does not; `None` if there is none.
        is_cut: The file ends in the middle of a packet.
    """

    lost: int | None = None
    is_cut: bool = False


def walk_packets(file: BinaryIO, kind: Kind, start: int) -> Steps:
    """Walk the packets of kinds where FFmpeg looks for the next one after damage, or takes it for the end.

    Args:
        file: Open for reading.
        kind: What it is.
        start: Its first byte.
    """
    walks = {MPEGTS: _walk_ts, AVI: _walk_avi, ASF: _walk_asf, FLV: _walk_flv, VOC: _walk_voc, MPEG: _walk_mpeg}
    return walks[kind](file, start, file.seek(0, os.SEEK_END)) if kind in walks else Steps()


def _walk_ts(file: BinaryIO, start: int, size: int) -> Steps:
    file.seek(start)
    prefix = 0 if file.read(1) == bytes([_TS_SYNC]) else 4  # of Blu-ray: a time before each packet
    length = _TS_PACKET_BYTES + prefix
    position = start
    file.seek(start)
    while len(chunk := file.read(length * 4096)) > prefix:
        marks = chunk[prefix::length]
        if marks.count(_TS_SYNC) < len(marks):
            return Steps(position + next(index for index, mark in enumerate(marks) if mark != _TS_SYNC) * length)
        position += len(chunk)
    return Steps(is_cut=(size - start) % length != 0)


def _walk_avi(file: BinaryIO, start: int, size: int) -> Steps:
    file.seek(start + 4)
    position, end = start + 12, start + 8 + int.from_bytes(file.read(4), "little")
    while position + 12 <= min(end, size):
        file.seek(position)
        name, length, kind = file.read(4), int.from_bytes(file.read(4), "little"), file.read(4)
        if name == b"LIST" and kind in (b"movi", b"rec "):
            position += 12
            continue
        if not _AVI_CHUNK.fullmatch(name):
            return Steps(position)
        position += 8 + length + length % 2
    return Steps()


def _walk_asf(file: BinaryIO, start: int, size: int) -> Steps:
    file.seek(start)
    header = file.read(1 << 16)
    place = header.find(_ASF_PROPERTIES)
    data = start + int.from_bytes(header[16:24], "little") + 50
    if place < 0 or len(header) < place + 100 or data >= size:
        return Steps()
    num_packets = int.from_bytes(header[place + 56 : place + 64], "little")
    shortest, longest = (int.from_bytes(header[at : at + 4], "little") for at in (place + 92, place + 96))
    if shortest != longest or not longest or int.from_bytes(header[place + 88 : place + 92], "little") & 1:
        return Steps()
    for position in range(data, min(size, data + num_packets * longest), longest):
        file.seek(position)
        if file.read(1)[0] != _ASF_PACKET:
            return Steps(position) if position > data else Steps()
    return Steps()


def _walk_flv(file: BinaryIO, start: int, size: int) -> Steps:
    file.seek(start + 5)
    position = start + int.from_bytes(file.read(4), "big") + 4
    while position + 11 <= size:
        file.seek(position)
        head = file.read(4)
        if head[0] & 0x1F not in (8, 9, 18):
            return Steps(position)
        position += 11 + int.from_bytes(head[1:], "big") + 4
    return Steps(is_cut=position - 4 > size)  # the last length may be missing


def _walk_voc(file: BinaryIO, start: int, size: int) -> Steps:
    file.seek(start + 20)
    position = start + int.from_bytes(file.read(2), "little")
    while position < size:
        file.seek(position)
        head = file.read(4)
        if head[0] > 9 or (head[0] == 0 and position + _VOC_TAIL_BYTES < size):
            return Steps(position)
        if head[0] == 0:
            return Steps()
        position += 4 + int.from_bytes(head[1:], "little")
    return Steps(is_cut=position > size)


def _walk_mpeg(file: BinaryIO, start: int, size: int) -> Steps:
    position = start
    while position + 14 <= size:
        file.seek(position)
        head = file.read(14)
        if head[:4] == b"\x00\x00\x01\xba":
            position += 12 if head[4] >> 4 == 2 else 14 + (head[13] & 7)  # MPEG 1, or 2
        elif head[:4] == b"\x00\x00\x01\xb9":
            position += 4
        elif head[:3] == b"\x00\x00\x01" and head[3] > 0xBA:
            position += 6 + int.from_bytes(head[4:6], "big")
        else:
            window = head + file.read(4096)
            padding = window.find(b"\x00\x00\x01")
            if padding <= 0 or any(window[:padding]):
                return Steps(position)
            position += padding
    return Steps(is_cut=position > size)
