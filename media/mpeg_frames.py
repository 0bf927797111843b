"""The frames of MPEG audio (mp3, mp2), walked from header to header: how much sound a file really holds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

MAX_JUNK_BYTES = 1 << 20
"""So far the first frame is looked for."""
CHAIN_FRAMES = 4
"""So many frames in a row are no chance: twelve bits of each header are given."""
MAX_TAIL_BYTES = 1 << 16
"""More than that behind the last frame, and no tag, is damage."""
MAX_ZERO_BYTES = 1 << 12
"""So many zeros may fill up the end; more are what a download has left empty."""
FREE_FORMAT_BYTES = 1 << 13
_KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class FrameHeader:
    """What the header of a frame says.

    Args:
        length: Bytes of the frame; without padding, and 0, in the free format, where only the distance to the next
            frame tells.
        samples: It holds.
        rate: Hz.
        side_bytes: Where a table of contents would begin, behind the header.
        style: Version, layer and rate, which all frames of a stream share.
        padding: Bytes that the free format adds.
    """

    length: int
    samples: int
    rate: int
    side_bytes: int
    style: tuple[int, int, int]
    padding: int


@dataclass
class MpegStream:
    """Frames that an encoder wrote in one go; a file holds several where files were joined.

    Args:
        ranges: First byte and end of what belongs to it, without tags and junk.
        seconds: Sound in it.
        promised_seconds: By its table of contents; none if there is none.
        is_free_format: Its rate stands in no table, so that FFmpeg does not read it.
    """

    ranges: list[tuple[int, int]] = field(default_factory=list)
    seconds: float = 0.0
    promised_seconds: float | None = None
    is_free_format: bool = False


@dataclass
class MpegFile:
    """All streams of a file.

    Args:
        streams: In their order, at least one.
        cut_bytes: Missing in the last frame.
        damage: Time, seconds, and words, of the first damage; none if there is none.
    """

    streams: list[MpegStream]
    cut_bytes: int = 0
    damage: tuple[float, str] | None = None


@lru_cache(maxsize=4096)
def parse_header(head: bytes) -> FrameHeader | None:
    """Return what the four bytes of a header say; `None` if they are no header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kilobits, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kilobits == 15 or rate_index == 3:
        return None
    rate = _RATES[version][rate_index]
    is_low = version != 3
    samples = 384 if layer == 1 else 576 if layer == 3 and is_low else 1152
    slot = 4 if layer == 1 else 1
    length = 0
    if kilobits:
        bits = 1000 * _KILOBITS[2 if is_low else 1, layer][kilobits - 1]
        length = (samples // 8 // slot * bits // rate + padding) * slot
    is_mono = head[3] >> 6 == 3
    side = (9 if is_mono else 17) if is_low else (17 if is_mono else 32)
    return FrameHeader(length, samples, rate, side, (version, layer, rate_index), padding * slot)


def find_first_frame(file: BinaryIO, start: int) -> int | None:
    """Return where the first frame begins, behind tags and junk; `None` if there is none."""
    end = file.seek(0, os.SEEK_END)
    return _find_frame(_Bytes(file, end), start, min(end, start + MAX_JUNK_BYTES))


def walk(file: BinaryIO, start: int) -> MpegFile:
    """Walk all frames of a file.

    Args:
        file: Open for reading.
        start: Behind the first tag.

    Raises:
        ValueError: If there is no frame.
    """
    data = _Bytes(file, file.seek(0, os.SEEK_END))
    first = _find_frame(data, start, min(data.size, start + MAX_JUNK_BYTES))
    if first is None:
        raise ValueError("there is no frame of MPEG audio")
    found = MpegFile([])
    position, run_start, seconds, free_length = first, first, 0.0, 0
    style: tuple[int, int, int] | None = None
    after_tag = True
    while position < data.size:
        header = parse_header(data.at(position, 4))
        if header is not None and (header.style != style or after_tag) and not _is_chain(data, position):
            header = None
        if header is None:
            if position > run_start:
                found.streams[-1].ranges.append((run_start, position))
            behind = _end_of_tag(data, position)
            if behind is None:
                behind = _find_frame(data, position, data.size)
                tail = (data.size if behind is None else behind) - position
                is_empty = not any(data.at(position, min(tail, MAX_TAIL_BYTES)))
                if (behind is not None and not after_tag) or tail > (MAX_ZERO_BYTES if is_empty else MAX_TAIL_BYTES):
                    run_start = position
                    found.damage = seconds, f"{tail} {'zeros' if is_empty else 'bytes that are no sound'}"
                    break
                if behind is None:
                    run_start = position
                    break
            position = run_start = behind
            after_tag = True
            continue
        is_free = header.length == 0
        if is_free and (style != header.style or not free_length):
            free_length = _free_length(data, position, header)
        length = (free_length + header.padding) if is_free else header.length
        if is_free and not free_length:
            break
        promised = None if is_free else _promised_frames(data, position, header)
        if promised is not None or not found.streams:
            if position > run_start:
                found.streams[-1].ranges.append((run_start, position))
                run_start = position
            found.streams.append(MpegStream(is_free_format=is_free))
        stream = found.streams[-1]
        if position + length > data.size:
            found.cut_bytes = position + length - data.size
            break
        if promised is not None:
            if promised > 0:
                stream.promised_seconds = promised * header.samples / header.rate
        else:
            stream.seconds += header.samples / header.rate
            seconds += header.samples / header.rate
        style, after_tag = header.style, False
        position += length
    if found.streams and position > run_start:
        found.streams[-1].ranges.append((run_start, position))
    if not any(stream.seconds for stream in found.streams):
        raise ValueError("there is no whole frame of MPEG audio")
    found.streams = [stream for stream in found.streams if stream.seconds]
    return found


class _Bytes:
    """A file, read by a few bytes here and there through one buffer."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size
        self._start, self._buffer = 0, b""

    def at(self, position: int, count: int) -> bytes:
        offset = position - self._start
        if offset < 0 or offset + count > len(self._buffer):
            self.file.seek(position)
            self._start, self._buffer, offset = position, self.file.read(max(count, 1 << 16)), 0
        return self._buffer[offset : offset + count]


def _is_chain(data: _Bytes, position: int, count: int = CHAIN_FRAMES) -> bool:
    """Tell whether some frames of one style follow each other here, or fewer up to the end of the file."""
    style, free_length = None, 0
    for index in range(count):
        header = parse_header(data.at(position, 4))
        if header is None or (style is not None and header.style != style):
            # Behind the last frame of a joined file there may be a tag.
            return index > 1 and (position >= data.size or _end_of_tag(data, position) is not None)
        style = header.style
        if header.length == 0 and not free_length:
            free_length = _free_length(data, position, header)
            if not free_length:
                return False
        position += header.length or free_length + header.padding
        if position >= data.size:
            return index > 0 or position == data.size
    return True


def _free_length(data: _Bytes, position: int, header: FrameHeader) -> int:
    """Return the length of a frame of the free format without padding, by the distance to the next; 0 if unknown."""
    window = data.at(position, FREE_FORMAT_BYTES)
    mask = bytes([window[0], window[1]])
    place = window.find(mask, 24)
    while place >= 0:
        other = parse_header(window[place : place + 4])
        if other is not None and other.length == 0 and other.style == header.style:
            length = place - header.padding
            third = place + length + other.padding
            after = parse_header(data.at(position + third, 4))
            if (after is not None and after.length == 0 and after.style == header.style) or (
                position + third == data.size
            ):
                return length
        place = window.find(mask, place + 1)
    return 0


def _find_frame(data: _Bytes, start: int, stop: int) -> int | None:
    """Return where the next chain of frames begins."""
    position = start
    while position < stop:
        window = data.at(position, min(1 << 15, stop - position))
        place = window.find(b"\xff")
        while place >= 0:
            if parse_header(data.at(position + place, 4)) is not None and _is_chain(data, position + place):
                return position + place
            place = window.find(b"\xff", place + 1)
        position += len(window)
        if not window:
            break
    return None


def _end_of_tag(data: _Bytes, position: int) -> int | None:
    """Return the position behind a tag that begins here, with the zeros that fill it up; `None` if there is none."""
    head = data.at(position, 32)
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 128:
        length = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (10 if head[5] & 0x10 else 0)
    elif head[:3] == b"TAG":
        length = 227 if head[3:4] == b"+" else 128
    elif head[:8] == b"APETAGEX" and len(head) >= 32:
        has_header = head[23] & 0x80 and head[23] & 0x20
        length = int.from_bytes(head[12:16], "little") + (32 if has_header else 0)
        if not head[23] & 0x20:  # the tag's end stands here alone
            length = 32
    elif head[:11] == b"LYRICSBEGIN":
        window = data.at(position, 1 << 16)
        places = [window.find(end) for end in (b"LYRICS200", b"LYRICSEND") if end in window]
        if not places:
            return None
        length = min(places) + 9
    else:
        return None
    position = min(position + length, data.size)
    while position < data.size:
        window = data.at(position, 4096)
        kept = window.lstrip(b"\x00")
        position += len(window) - len(kept)
        if kept or not window:
            break
    return position


def _promised_frames(data: _Bytes, position: int, header: FrameHeader) -> int | None:
    """Return how many frames a table of contents promises, 0 if it does not say; `None` if this frame holds sound."""
    place = position + 4 + header.side_bytes
    mark = data.at(place, 4)
    if mark == b"Xing" or mark == b"Info":
        flags = int.from_bytes(data.at(place + 4, 4), "big")
        return int.from_bytes(data.at(place + 8, 4), "big") if flags & 1 else 0
    if data.at(position + 36, 4) == b"VBRI":
        return int.from_bytes(data.at(position + 50, 4), "big")
    return None
