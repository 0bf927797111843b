"""A visitor's song: refused in words before it costs anything, else cut to the part that is danced to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..media.decoding import SoundReader, check_file, open_sound
from ..utils.atomic import atomic_path
from .limits import SpaceLimits

MIN_SECONDS = 1.0
SILENCE_PEAK = 1e-4  # -80 dB below full scale
_OUTLINE_VALUES, _OUTLINE_RATE = 600, 20


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

    It is decoded up to the end of that part, in blocks, by the decoder of the dance and on the same time axis.

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
    check_file(upload, upload.name)
    _check_size(upload, limits)
    path = folder / f"{file_stem(upload.name)}.flac"
    with open_sound(upload, upload.name) as sound, atomic_path(path) as temporary:
        _check_sound(sound, limits)
        seconds, swing = _write_flac(_from_second(sound, start_seconds), temporary, max_seconds, sound)
        if seconds < MIN_SECONDS:
            raise ValueError(
                f"{upload.name} holds {seconds:.1f} s of sound from second {start_seconds:g} on; at least "
                f"{MIN_SECONDS:g} s are needed to dance to. Choose a longer song or an earlier start."
            )
        if swing < SILENCE_PEAK:
            raise ValueError(f"{upload.name} is silent there. Choose another part, or check the microphone.")
    return Excerpt(path, seconds)


def _write_flac(
    blocks: Iterable[np.ndarray], path: Path, max_seconds: float, sound: SoundReader
) -> tuple[float, float]:
    """Write blocks until there are enough; return the seconds written and half of the widest channel's range."""
    import soundfile

    num_samples, rate = 0, sound.sampling_rate
    lowest, highest = np.inf, -np.inf
    with ExitStack() as stack:
        file: Any = None
        for block in blocks:
            block = block[: round(max_seconds * rate) - num_samples]
            if not np.isfinite(block).all():
                raise ValueError(f"{sound.name} has samples that are no numbers. Export it again from its source.")
            file = file or stack.enter_context(
                soundfile.SoundFile(str(path), "w", rate, block.shape[1], subtype="PCM_16", format="FLAC")
            )
            file.write(block)
            num_samples += len(block)
            if len(block):
                lowest, highest = np.minimum(lowest, block.min(axis=0)), np.maximum(highest, block.max(axis=0))
            if num_samples >= round(max_seconds * rate):
                break
    return num_samples / rate, float(np.max(highest - lowest)) / 2


def _from_second(sound: SoundReader, start_seconds: float) -> Iterator[np.ndarray]:
    """Yield the blocks of a sound from a time on."""
    to_skip = round(start_seconds * sound.sampling_rate)
    for block in sound.blocks():
        if to_skip < len(block):
            yield block[to_skip:]
        to_skip = max(0, to_skip - len(block))


def outline_of(upload: Path, limits: SpaceLimits) -> tuple[float, list[int]]:
    """Return the length of a song in seconds, and how loud it is along it, as at most 600 values from 0 to 100.

    Args:
        upload: The visitor's file.
        limits: Of the Space.

    Raises:
        ValueError: If it is beyond a limit, or cannot be read; the text is for the visitor.
    """
    check_file(upload, upload.name)
    _check_size(upload, limits)
    with open_sound(upload, upload.name) as sound:
        _check_sound(sound, limits)
        step, rate = max(1, sound.sampling_rate // _OUTLINE_RATE), sound.sampling_rate
        peaks, rest, num_samples = [], np.zeros(0), 0
        for block in sound.blocks():
            num_samples += len(block)
            if num_samples > 60 * limits.max_song_minutes * rate:
                raise ValueError(_too_long(upload.name, num_samples / rate, limits))
            loudest = np.concatenate([rest, np.abs(block).max(axis=1, initial=0)])
            whole = len(loudest) // step * step
            peaks.append(loudest[:whole].reshape(-1, step).max(axis=1))
            rest = loudest[whole:]
    levels = np.nan_to_num(np.concatenate([*peaks, [rest.max(initial=0)]]))
    count = min(_OUTLINE_VALUES, len(levels))
    heights = np.maximum.reduceat(levels, np.arange(count) * len(levels) // count)
    return num_samples / rate, np.round(100 * heights / max(heights.max(), SILENCE_PEAK)).astype(int).tolist()


def file_stem(name: str) -> str:
    """Return a name for files made from a song: letters, digits, `-` and `_` of the song's name, at most 40."""
    stem = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_-")
    return stem[:40] or "song"


def _check_size(upload: Path, limits: SpaceLimits) -> None:
    size = upload.stat().st_size
    if size > limits.max_file_megabytes * 1_000_000:
        raise ValueError(
            f"{upload.name} has {size / 1e6:.0f} MB; up to {limits.max_file_megabytes} MB are taken here. Save it as "
            "MP3, or cut it."
        )


def _check_sound(sound: SoundReader, limits: SpaceLimits) -> None:
    name, seconds = sound.name, sound.promised_seconds
    if sound.num_channels > limits.max_channels:
        raise ValueError(
            f"{name} has {sound.num_channels} channels; mono and stereo are taken here. Mix it down to stereo."
        )
    if sound.sampling_rate > limits.max_sampling_rate:
        raise ValueError(
            f"{name} has {sound.sampling_rate:,} samples a second; up to {limits.max_sampling_rate:,} are taken here. "
            "Export it at 44,100 or 48,000."
        )
    if seconds is not None and seconds > 60 * limits.max_song_minutes:
        raise ValueError(_too_long(name, seconds, limits))


def _too_long(name: str, seconds: float, limits: SpaceLimits) -> str:
    return (
        f"{name} lasts {seconds / 60:.0f} minutes; songs of up to {limits.max_song_minutes:g} minutes are taken here. "
        "Cut out the part to dance to."
    )
