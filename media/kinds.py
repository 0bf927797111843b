"""What a file is, by its content and never by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, BinaryIO

from .mpeg_frames import find_first_frame

HEAD_BYTES = 4096
READABLE = "wav, mp3, flac, ogg, opus, m4a, aac, wma, aiff and the sound of mp4, mov, mkv, webm and avi"
"""What can be read, for messages; `_KINDS` is the whole list."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that sound is read from.

    Args:
        name: For messages.
        demuxer: FFmpeg's reader of it, always forced: FFmpeg is never left to guess, because some of its readers open
            further files and addresses which a file names.
        stamps: Which time stamps say when sound comes: `"all"` of them, that of the `"start"`, or `"none"`, where
            sound is contiguous by definition; `"checked"` is the same where a gap shows that something is missing.
        begins_anywhere: Its time stamps begin with an arbitrary number.
        is_broadcast: They jump where recordings were joined.
        states_length: Its header says how long the sound is.
        may_be_cut_out: It is often a piece of a longer stream, whose first frames need those before them.
    """

    name: str
    demuxer: str
    stamps: str = "none"
    begins_anywhere: bool = False
    is_broadcast: bool = False
    states_length: bool = False
    may_be_cut_out: bool = False


WAV = Kind("wav", "wav")
W64 = Kind("w64", "w64")
AIFF = Kind("aiff", "aiff", states_length=True)
FLAC = Kind("flac", "flac", stamps="checked", states_length=True)
OGG = Kind("ogg", "ogg", stamps="all", begins_anywhere=True)
MP3 = Kind("mp3", "mp3", may_be_cut_out=True)
MOV = Kind("mp4", "mov", stamps="all", states_length=True)
MATROSKA = Kind("matroska", "matroska", stamps="all")
ASF = Kind("wma", "asf", stamps="all")
AVI = Kind("avi", "avi", stamps="start")
AAC = Kind("aac", "aac", may_be_cut_out=True)
_BROADCAST: Any = {"stamps": "all", "begins_anywhere": True, "is_broadcast": True, "may_be_cut_out": True}
MPEG = Kind("mpeg", "mpeg", **_BROADCAST)
MPEGTS = Kind("mpegts", "mpegts", **_BROADCAST)
FLV = Kind("flv", "flv", stamps="all")
VOC = Kind("voc", "voc")

_GUID_ASF = rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
_GUID_W64 = rb"riff\x2e\x91\xcf\x11"
_KINDS = (
    (rb"(?:RIFF|RF64|BW64)....WAVE", WAV),
    (_GUID_W64, W64),
    (rb"RIFF....AVI ", AVI),
    (rb"FORM....AIF[FC]", AIFF),
    (rb"fLaC", FLAC),
    (rb"OggS", OGG),
    (rb"....(?:ftyp|moov|mdat|wide|free|skip|pnot)", MOV),
    (rb"\x1aE\xdf\xa3", MATROSKA),
    (_GUID_ASF, ASF),
    (rb"FLV\x01", FLV),
    (rb"\.snd", Kind("au", "au", states_length=True)),
    (rb"caff\x00", Kind("caf", "caf", states_length=True)),
    (rb"#!AMR", Kind("amr", "amr")),
    (rb"MAC \w?", Kind("ape", "ape", states_length=True)),
    (rb"wvpk", Kind("wv", "wv", states_length=True)),
    (rb"TTA1", Kind("tta", "tta", states_length=True)),
    (rb"tBaK", Kind("tak", "tak", states_length=True)),
    (rb"DSD \x1c", Kind("dsf", "dsf", states_length=True)),
    (rb"MPCK", Kind("mpc", "mpc8", states_length=True)),
    (rb"MP\+", Kind("mpc", "mpc", states_length=True)),
    (rb"Creative Voice File\x1a", VOC),
    (rb"\.RMF", Kind("rm", "rm", stamps="start")),
    (rb"\x00\x00\x01\xba", MPEG),
    (rb"G.{187}G.{187}G", MPEGTS),
    (rb".{4}G.{191}G.{191}G", MPEGTS),
    (rb"\x0b\x77", Kind("ac3", "ac3", may_be_cut_out=True)),
    (rb"ADIF|\xff[\xf0\xf1\xf8\xf9]", AAC),
)
_OTHERS = (
    (rb"PK\x03\x04", "a zip archive"),
    (rb"%PDF", "a PDF"),
    (rb"MThd", "MIDI, which holds notes and no sound"),
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM....\x00\x00|RIFF....WEBP|II\*\x00|MM\x00\*|<\?xml.*<svg", "a picture"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive"),
    (
        rb"\s*(?:#EXTM3U|\[playlist\]|ffconcat|<MPD|<smil|<asx|<playlist|v=0|FILE \"|<\?xml|REM )",
        "a playlist, which only names other files",
    ),
    (rb"\s*<", "a web page"),
)


def kind_of(file: BinaryIO, name: str) -> Kind:
    """Return what a file is.

    Args:
        file: Open for reading, at any position.
        name: What messages call it.

    Raises:
        ValueError: If it is nothing that sound is read from; it says what it looks like.
    """
    start = end_of_tags(file)
    file.seek(start)
    head = file.read(HEAD_BYTES)
    for pattern, kind in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            return kind
    other = next((what for pattern, what in _OTHERS if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), None)
    if other is None and find_first_frame(file, start) is not None:
        return MP3
    if other is None and head and _is_text(head):
        other = "a text, perhaps a playlist"
    raise ValueError(
        f"{name} cannot be read as audio: it "
        + (f"is {other}" if other else "begins like no kind of sound file, is damaged or has no header")
        + f". What can be read: {READABLE}."
    )


def end_of_tags(file: BinaryIO, start: int = 0) -> int:
    """Return the position behind ID3v2 tags."""
    while True:
        file.seek(start)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            return start
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + length + (10 if head[5] & 0x10 else 0)


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)
