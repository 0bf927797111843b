"""The pages of an Ogg file, walked and checked: where each of its chained streams begins."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import BinaryIO

_CAPTURE = b"OggS"
_BEGINS, _ENDS = 2, 4
_HEAD_BYTES = 27
_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass
class OggLink:
    """One link of a chain: a whole file of its own.

    Args:
        start: First byte.
        end: Behind the last.
        codecs: First packets of its streams, which say what they are.
        seconds: Of sound, by the clocks of its pages, from the first page with sound on.
    """

    start: int
    end: int = 0
    codecs: tuple[bytes, ...] = ()
    seconds: float = 0.0

    @property
    def is_vorbis(self) -> bool:
        """Whether it holds one stream of Vorbis and nothing else."""
        return len(self.codecs) == 1 and self.codecs[0].startswith(b"\x01vorbis")


@dataclass(frozen=True)
class OggFile:
    """All links of a file.

    Args:
        links: In their order.
        cut_bytes: Missing in the last page.
        has_end: The last page says that it is the last.
        damage: Time, seconds, and words, of the first damage; none if there is none.
    """

    links: list[OggLink]
    cut_bytes: int = 0
    has_end: bool = True
    damage: tuple[float, str] | None = None


def walk(file: BinaryIO, start: int) -> OggFile:
    """Walk all pages of a file, and check them.

    Args:
        file: Open for reading.
        start: Of the first page.
    """
    size = file.seek(0, os.SEEK_END)
    position, begins_only = start, True
    links = [OggLink(start)]
    streams: dict[int, _Stream] = {}
    while position < size:
        seconds = sum(link.seconds for link in links)
        file.seek(position)
        head = file.read(_HEAD_BYTES)
        if head[:4] != _CAPTURE:
            behind = _next_page(file, position, size)
            if behind is None:
                break  # a tag behind the last page
            return OggFile(links, damage=(seconds, f"{behind - position} bytes that are no page"))
        table = file.read(head[26]) if len(head) == _HEAD_BYTES else b""
        length = _HEAD_BYTES + len(table) + sum(table)
        if len(head) < _HEAD_BYTES or len(table) < head[26] or position + length > size:
            return OggFile(links, cut_bytes=max(1, position + length - size))
        body = file.read(sum(table))
        if _checksum(head[:22] + bytes(4) + head[26:] + table + body) != int.from_bytes(head[22:26], "little"):
            return OggFile(links, damage=(seconds, "a page whose checksum is wrong"))
        serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
        begins = bool(head[5] & _BEGINS)
        if begins and not begins_only:
            links.append(OggLink(position))
            streams = {}
        begins_only = begins
        if begins:
            streams[serial] = _Stream(_rate(body), number)
            links[-1].codecs += (body[:8],)
        elif serial not in streams or number != streams[serial].number + 1:
            return OggFile(links, damage=(seconds, "pages are missing"))
        stream = streams[serial]
        stream.number, stream.has_ended = number, bool(head[5] & _ENDS)
        granule = int.from_bytes(head[6:14], "little", signed=True)
        if granule > 0 and stream.rate:
            stream.first = granule if stream.first is None else stream.first
            links[-1].seconds = max(links[-1].seconds, (granule - stream.first) / stream.rate)
        position += length
        links[-1].end = position
    return OggFile(links, has_end=all(stream.has_ended for stream in streams.values()))


@dataclass
class _Stream:
    """What is known of a logical stream: units of its clock a second, number and clock of its pages."""

    rate: int
    number: int
    first: int | None = None
    has_ended: bool = False


def _rate(packet: bytes) -> int:
    """Return how many units of the page's clock are a second, 0 if that is unknown."""
    if packet[:7] == b"\x01vorbis":
        return int.from_bytes(packet[12:16], "little")
    if packet[:8] == b"OpusHead":
        return 48_000
    if packet[:5] == b"\x7fFLAC":
        return int.from_bytes(packet[27:30], "big") >> 4
    return int.from_bytes(packet[36:40], "little") if packet[:5] == b"Speex" else 0


def _next_page(file: BinaryIO, position: int, size: int) -> int | None:
    while position < size:
        file.seek(position)
        window = file.read(1 << 16)
        place = window.find(_CAPTURE)
        if place >= 0:
            return position + place
        if len(window) < 4:
            return None
        position += len(window) - 3
    return None


def _checksum(page: bytes) -> int:
    """Return Ogg's CRC: that of zlib with mirrored bits and without its two inversions."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")
