"""The blocks of Matroska and WebM, walked: FFmpeg leaves out what it cannot read there, without a word."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_TIME, _SIMPLE_BLOCK = 0xE7, 0xA3
_IN_SEGMENT = {
    0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF,
}  # fmt: skip
_IN_CLUSTER = {_TIME, _SIMPLE_BLOCK, 0xA0, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF}


@dataclass(frozen=True)
class EbmlFile:
    """What a walk found.

    Args:
        cut: Which part is cut, the size that the file must have for it, and its own, if its length is stated.
        ends_in_block: A recording of unknown length ends in the middle of a block.
        damage: Time, seconds, and words, of the first damage; none if there is none.
    """

    cut: tuple[str, int, int] | None = None
    ends_in_block: bool = False
    damage: tuple[float, str] | None = None


def walk(file: BinaryIO, start: int) -> EbmlFile:
    """Walk all clusters of a file.

    Args:
        file: Open for reading.
        start: Of its header.
    """
    size = file.seek(0, os.SEEK_END)
    position, segment_end, in_cluster = start, size, False
    cluster_seconds = seconds = 0.0
    while position < segment_end:
        file.seek(position)
        head = file.read(12)
        identifier, width = _identifier(head)
        length_width, length = _length(head[width:])
        body = position + width + length_width
        known = {_HEADER, _SEGMENT} | _IN_SEGMENT | (_IN_CLUSTER if in_cluster else set())
        if identifier not in known:
            behind = None if length is None else body + length
            if behind is not None and _begins_known(file, behind, segment_end, known):
                position = behind  # an element of a later version
                continue
            return EbmlFile(damage=(seconds, "bytes that are no block"))
        if identifier == _SEGMENT and length is not None and body + length > size:
            return EbmlFile(cut=("its segment", body + length, size))
        if identifier == _SEGMENT and length is not None:
            segment_end = body + length
        if identifier in (_SEGMENT, _CLUSTER) or length is None:
            in_cluster = identifier == _CLUSTER
            position = body
            continue
        if identifier in _IN_SEGMENT - {0xEC, 0xBF}:
            in_cluster = False
        if identifier == _TIME and length <= 8:
            file.seek(body)
            cluster_seconds = seconds = int.from_bytes(file.read(length), "big") / 1000  # milliseconds, nearly always
        elif identifier == _SIMPLE_BLOCK:
            file.seek(body)
            block = file.read(4)
            seconds = cluster_seconds + int.from_bytes(block[1:3], "big", signed=True) / 1000
        if body + length > size:
            return EbmlFile(ends_in_block=True)
        position = body + length
    return EbmlFile()


def _begins_known(file: BinaryIO, position: int, end: int, known: set[int]) -> bool:
    """Tell whether an element that is known begins here, or nothing follows."""
    if position >= end:
        return position == end
    file.seek(position)
    return _identifier(file.read(8))[0] in known


def _identifier(head: bytes) -> tuple[int, int]:
    """Return an identifier and its width in bytes."""
    width = 9 - head[0].bit_length() if head and head[0] else 8
    return int.from_bytes(head[:width], "big"), width


def _length(head: bytes) -> tuple[int, int | None]:
    """Return the width of a length in bytes and its value, `None` where it is unknown."""
    width = 9 - head[0].bit_length() if head and head[0] else 8
    value = int.from_bytes(head[:width], "big") & (1 << 7 * width) - 1
    return width, None if value == (1 << 7 * width) - 1 else value
