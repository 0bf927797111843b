"""A visitor's song: refused in words before it costs anything, else cut to the part that is danced to."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.atomic import atomic_path
from ..utils.extras import require_extra
from .limits import SpaceLimits

MIN_SECONDS = 1.0
SILENCE_PEAK = 1e-4  # -80 dB below full scale
_BLOCK_SAMPLES = 1 << 16
_READABLE = "Use WAV, MP3, FLAC, OGG, M4A or WebM."
# What a file is by its first bytes, and FFmpeg's reader for it; soundfile reads those without one. No other reader is
# ever tried: some of FFmpeg's open further files and addresses that a file names.
_KINDS = (
    (rb"RIFF....WAVE|RF64....WAVE|fLaC|OggS|ID3|FORM....AIF", None),
    (rb"....ftyp", "mp4"),
    (rb"\x1aE\xdf\xa3", "matroska"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "aac"),
    (rb"\xff[\xe0-\xff]", None),
)
_OTHER_KINDS = ((rb"PK\x03\x04", "a zip archive"), (rb"%PDF", "a PDF"), (rb"\s*<", "a web page"), (rb"MThd", "MIDI"))


@dataclass(frozen=True)
class Excerpt:
    """The part of a song that is danced to, as a file that browsers play in sync.

    Args:
        path: FLAC, 16 bits, with the song's own rate and channels.
        seconds: Its length.
    """

    path: Path
    seconds: float


def take_excerpt(
    upload: Path, folder: Path, *, start_seconds: float, max_seconds: float, limits: SpaceLimits
) -> Excerpt:
    """Check a song and write the part to dance to.

    Only that part is decoded, in blocks, so that a file costs what its excerpt costs, whatever it claims to be.

    Args:
        upload: The visitor's file.
        folder: Where the excerpt is written, under the song's name.
        start_seconds: Where it begins.
        max_seconds: Its length; less where the song ends before.
        limits: Of the Space.

    Raises:
        ValueError: If the file is empty, too large, no audio, broken, silent, too short or beyond another limit; the
            text is for the visitor.
    """
    reader = _check_file(upload, limits)
    path = folder / f"{file_stem(upload.name)}.flac"
    with atomic_path(path) as temporary, closing(_decode(upload, reader, start_seconds, limits)) as blocks:
        seconds, peak = _write_flac(blocks, temporary, max_seconds, upload.name)
        if seconds < MIN_SECONDS:
            raise ValueError(
                f"{upload.name} holds {seconds:.1f} s of sound from second {start_seconds:g} on; at least "
                f"{MIN_SECONDS:g} s are needed to dance to. Choose a longer song or an earlier start."
            )
        if peak < SILENCE_PEAK:
            raise ValueError(f"{upload.name} is silent there. Choose another part, or check the microphone.")
    return Excerpt(path, seconds)


def _write_flac(
    blocks: Iterable[tuple[np.ndarray, int]], path: Path, max_seconds: float, name: str
) -> tuple[float, float]:
    """Write blocks until there are enough; return the seconds written and the largest sample."""
    import soundfile

    num_samples, rate, peak = 0, 1, 0.0
    with ExitStack() as stack:
        sound: Any = None
        for block, rate in blocks:
            block = block[: round(max_seconds * rate) - num_samples]
            if not np.isfinite(block).all():
                raise ValueError(f"{name} has samples that are no numbers. Export it again from its source.")
            sound = sound or stack.enter_context(
                soundfile.SoundFile(str(path), "w", rate, block.shape[1], subtype="PCM_16", format="FLAC")
            )
            sound.write(block)
            num_samples += len(block)
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            if num_samples >= round(max_seconds * rate):
                break
    return num_samples / rate, peak


def file_stem(name: str) -> str:
    """Return a name for files made from a song: letters, digits, `-` and `_` of the song's name, at most 40."""
    stem = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_-")
    return stem[:40] or "song"


def _check_file(upload: Path, limits: SpaceLimits) -> str | None:
    """Return FFmpeg's reader for a file, `None` where soundfile reads it; refuse what can be refused unread."""
    name, size = upload.name, upload.stat().st_size
    if size == 0:
        raise ValueError(f"{name} is empty (0 bytes). Choose another file.")
    if size > limits.max_file_megabytes * 1_000_000:
        raise ValueError(
            f"{name} has {size / 1e6:.0f} MB; up to {limits.max_file_megabytes} MB are taken here. Save it as MP3, or "
            "cut it."
        )
    with upload.open("rb") as file:
        start = file.read(64)
    for pattern, reader in _KINDS:
        if re.match(pattern, start, re.DOTALL):
            return reader
    other = next((f": it begins like {kind}" for pattern, kind in _OTHER_KINDS if re.match(pattern, start)), "")
    raise ValueError(f"{name} is no sound that can be read here{other}. {_READABLE}")


def _check_sound(name: str, seconds: float | None, channels: int, rate: int, limits: SpaceLimits) -> None:
    if channels > limits.max_channels:
        raise ValueError(f"{name} has {channels} channels; mono and stereo are taken here. Mix it down to stereo.")
    if not 0 < rate <= limits.max_sampling_rate:
        raise ValueError(
            f"{name} has {rate:,} samples a second; up to {limits.max_sampling_rate:,} are taken here. Export it at "
            "44,100 or 48,000."
        )
    if seconds is not None and seconds > 60 * limits.max_song_minutes:
        raise ValueError(
            f"{name} lasts {seconds / 60:.0f} minutes; songs of up to {limits.max_song_minutes:g} minutes are taken "
            "here. Cut out the part to dance to."
        )


def _decode(
    upload: Path, reader: str | None, start_seconds: float, limits: SpaceLimits
) -> Generator[tuple[np.ndarray, int], None, None]:
    """Yield blocks `(samples, channels)` from the start on, with their rate in Hz."""
    if reader is None:
        yield from _decode_with_soundfile(upload, start_seconds, limits)
    else:
        yield from _decode_with_av(upload, reader, start_seconds, limits)


def _decode_with_soundfile(
    upload: Path, start_seconds: float, limits: SpaceLimits
) -> Iterator[tuple[np.ndarray, int]]:
    import soundfile

    try:
        with soundfile.SoundFile(str(upload)) as sound:
            rate = sound.samplerate
            _check_sound(upload.name, sound.frames / rate, sound.channels, rate, limits)
            sound.seek(min(round(start_seconds * rate), sound.frames))
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                yield block, rate
    except soundfile.LibsndfileError as error:
        raise _broken(upload, error.error_string) from error


def _decode_with_av(
    upload: Path, reader: str, start_seconds: float, limits: SpaceLimits
) -> Iterator[tuple[np.ndarray, int]]:
    require_extra("av", "video", "Reading M4A and WebM")
    import av

    try:
        with av.open(str(upload), format=reader, options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                raise ValueError(f"{upload.name} holds no sound. {_READABLE}")
            stream = container.streams.audio[0]
            seconds = None if container.duration is None else container.duration / 1e6
            _check_sound(upload.name, seconds, stream.channels, stream.rate, limits)
            resampler = av.AudioResampler(format="fltp")
            num_skipped = round(start_seconds * stream.rate)
            for frame in container.decode(stream):
                for converted in resampler.resample(frame):
                    block = converted.to_ndarray().T
                    yield block[num_skipped:], converted.sample_rate
                    num_skipped = max(0, num_skipped - len(block))
    except av.FFmpegError as error:
        raise _broken(upload, error.strerror or str(error)) from error


def _broken(upload: Path, reason: str) -> ValueError:
    return ValueError(f"{upload.name} cannot be read: it is broken or no sound ({reason.rstrip('.')}). {_READABLE}")
