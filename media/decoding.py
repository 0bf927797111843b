"""The one decoder of sound: for the dance, for the sound of its video, and for a visitor's excerpt."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import ebml_blocks, mpeg_frames, ogg_pages
from .byte_ranges import ByteRanges
from .kinds import AAC, MATROSKA, MOV, MP3, OGG, W64, WAV, end_of_tags, kind_of
from .promises import UnfinishedError, joined_riffs, missing_bytes, walk_packets
from .timeline import Timeline

logger = logging.getLogger(__name__)

MAX_CHANNELS = 32
MIN_RATE, MAX_RATE = 2_000, 768_000
"""Hz."""
BLOCK_SAMPLES = 1 << 16
LENGTH_TOLERANCE_SECONDS = 0.1
"""Headers of sound files are off by a frame or two of 26 ms."""
MAX_PROMISED_SECONDS = 24 * 3600
"""A header that promises more does not know the length."""
FILLED_SAMPLES = 4096
"""Up to so many are left out at the end, where the container says that the encoder only filled its last frame."""
MANY_PACKETS, FEW_SAMPLES = 20_000, 16
"""No encoder makes so many packets of so few samples; a damaged header does, and they take for ever."""
FORGIVEN_SECONDS = 0.1
"""So far into a piece of a longer stream, frames may need others that were cut off."""
# The bytes come from an open file. FFmpeg may open nothing else, by whatever name or protocol a file asks for it.
_OPTIONS = {"protocol_whitelist": "none"}
_CHECKED_CODECS = ("flac", "tta", "wavpack", "ac3", "eac3")
"""Each of their frames has a checksum."""
_AGAIN = "Copy or download it again."


@contextmanager
def open_sound(path: str | os.PathLike, name: str | None = None) -> Iterator[SoundReader]:
    """Open a sound file, or the sound of a video.

    Args:
        path: The file.
        name: What messages call it; its path by default.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder, a pipe or a device, is empty, is no sound, is cut, or its rate or number of
            channels is out of range.
        PermissionError: If it cannot be opened.
    """
    path, name = Path(path), str(path) if name is None else name
    name = "".join(each if each.isprintable() else repr(each)[1:-1] for each in name)  # a line stays a line
    check_file(path, name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise PermissionError(f"{name} cannot be read: {error.strerror}.") from error
    with file, closing(SoundReader(file, name)) as sound:
        yield sound


def check_file(path: Path, name: str) -> None:
    """Raise an error unless there is a file with something in it; it is not opened, so that a pipe cannot block."""
    try:
        is_there, is_file = path.exists(), path.is_file()
        size = path.stat().st_size if is_file else 0
    except OSError as error:
        raise FileNotFoundError(f"{name} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a zero byte in the name
        raise FileNotFoundError(f"{name!r} is no name of a file: {error}.") from error
    if not is_there:
        raise FileNotFoundError(f"{name} does not exist.")
    if not is_file:
        raise ValueError(f"{name} is not a file. Pass an audio file, not a directory, a pipe or a device.")
    if size == 0:
        raise ValueError(f"{name} is empty (0 bytes).")


class SoundReader:
    """Samples of an open sound file, of its first rate and number of channels throughout.

    Attributes:
        sampling_rate: Hz.
        num_channels: 1 or more.
        promised_seconds: Its length by the header, or counted where that is cheap; `None` if only decoding tells.
        step: The smallest difference of two samples, where they are coded in 8 or 16 bits; else 0. Full scale is 1.

    Args:
        file: Open for reading, to the end of the reader's life.
        name: What messages call it.

    Raises:
        ValueError: If it is no sound, is cut, is damaged where that shows at once, or is out of range.
    """

    def __init__(self, file: BinaryIO, name: str):
        self.name = name
        self.promised_seconds: float | None = None
        self.step = 0.0
        self.sampling_rate = 0
        self._file = file
        self.kind = kind_of(file, name)
        self._start = 0 if self.kind == AAC else end_of_tags(file)  # FFmpeg reads tags before AAC
        self._parts = self._find_parts()
        self._blocks = self._converted()
        first = next(self._blocks, None)
        if first is None:
            raise ValueError(f"{name} holds no sound.")
        self._first = first
        self.num_channels = first.shape[1]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all samples, once, in blocks `(samples, channels)` float32; full scale is 1.

        Raises:
            ValueError: If the file is damaged or cut, with the time.
        """
        yield self._first
        yield from self._blocks

    def close(self) -> None:
        """Let go of the file, which stays open; no further block can be read."""
        self._blocks.close()

    def _find_parts(self) -> list[_Part]:
        """Return what is decoded one after the other; refuse what is cut or damaged where the bytes show it."""
        if self.kind == MP3:
            return self._mpeg_parts()
        if self.kind == OGG:
            return self._ogg_parts()
        if self.kind == MATROSKA:
            self._check_blocks()
        ranges = [(self._start, self._file.seek(0, os.SEEK_END))]
        if self.kind == WAV:
            ranges = joined_riffs(self._file, self._start)
        try:
            for start, _ in ranges:
                self._refuse_cut(missing_bytes(self._file, self.kind, start))
        except UnfinishedError as error:
            raise ValueError(f"{self.name} is broken: {error}. {_AGAIN}") from error
        steps = walk_packets(self._file, self.kind, self._start)
        if steps.lost is not None:
            raise ValueError(
                f"{self.name} is broken: no packet begins at byte {steps.lost:,}, as one should. {_AGAIN}"
            )
        if steps.is_cut:
            logger.warning("%s ends in the middle of a packet, so it may be cut; all before it is read.", self.name)
        return [_Part(ByteRanges(self._file, [each])) for each in ranges]

    def _refuse_cut(self, missing: tuple[str, int, int] | None) -> None:
        if missing is not None:
            part, end, size = missing
            raise ValueError(
                f"{self.name} is cut: {part} should reach to byte {end:,}, but the file has {size:,}. {_AGAIN}"
            )

    def _check_blocks(self) -> None:
        """Walk the blocks of Matroska."""
        found = ebml_blocks.walk(self._file, self._start)
        self._refuse_cut(found.cut)
        if found.damage is not None:
            raise self._damaged(*found.damage)
        if found.ends_in_block:
            logger.warning("%s ends in the middle of a block, so it may be cut; all before it is read.", self.name)

    def _mpeg_parts(self) -> list[_Part]:
        try:
            found = mpeg_frames.walk(self._file, self._start)
        except ValueError as error:
            raise ValueError(f"{self.name} is broken: {error}.") from error
        if found.damage is not None:
            raise self._damaged(*found.damage)
        for stream in found.streams:
            promised = stream.promised_seconds
            if promised is not None and stream.seconds < promised - LENGTH_TOLERANCE_SECONDS:
                raise self._too_short(promised, stream.seconds)
        self.promised_seconds = sum(stream.seconds for stream in found.streams)
        if found.cut_bytes and found.streams[-1].promised_seconds is None:
            logger.warning(
                "%s ends in the middle of a frame, so it may be cut; all of its %.2f s are read.",
                self.name,
                self.promised_seconds,
            )
        return [
            _Part(ByteRanges(self._file, stream.ranges), stream.seconds if stream.is_free_format else None)
            for stream in found.streams
        ]

    def _ogg_parts(self) -> list[_Part]:
        found = ogg_pages.walk(self._file, self._start)
        if found.damage is not None:
            raise self._damaged(*found.damage)
        if found.cut_bytes:
            raise ValueError(f"{self.name} is cut: {found.cut_bytes:,} bytes of its last page are missing. {_AGAIN}")
        seconds = sum(link.seconds for link in found.links)
        if not found.has_end:
            logger.warning(
                "%s does not say where it ends, so it may be cut; all of its %.2f s are read.", self.name, seconds
            )
        self.promised_seconds = seconds or None
        return [
            _Part(ByteRanges(self._file, [(link.start, link.end)]), link.seconds if link.is_vorbis else None)
            for link in found.links
        ]

    def _converted(self) -> Generator[np.ndarray, None, None]:
        """Yield blocks of one rate and number of channels: those of the first."""
        channels = 0
        pending: list[np.ndarray] = []
        converter: _RateConverter | None = None
        for block, rate in self._decoded():
            if not channels:
                self.sampling_rate, channels = rate, block.shape[1]
            if block.shape[1] != channels:
                block = to_channels(block, channels)
            if converter is not None and converter.rate != rate:
                pending.append(converter.end())
                converter = None
            if rate != self.sampling_rate:
                converter = converter or _RateConverter(rate, self.sampling_rate, channels)
                block = converter.convert(block)
            pending.append(block)
            if sum(map(len, pending)) >= BLOCK_SAMPLES:
                yield np.concatenate(pending)
                pending = []
        if converter is not None:
            pending.append(converter.end())
        if sum(map(len, pending)):
            yield np.concatenate(pending)

    def _decoded(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield blocks `(samples, channels)` as they were coded, with their rate in Hz."""
        seconds = 0.0
        for part in self._parts:
            for block, rate in self._decode_part(part, seconds):
                self._check_format(block.shape[1], rate)
                seconds += len(block) / rate
                yield block, rate

    def _decode_part(self, part: _Part, seconds_before: float) -> Iterator[tuple[np.ndarray, int]]:
        if part.proven_seconds is None:
            yield from self._decode_with_ffmpeg(part.data, seconds_before)
            return
        found = 0.0
        for block, rate in self._decode_with_libsndfile(part.data):
            found += len(block) / rate
            yield block, rate
        if found < part.proven_seconds - LENGTH_TOLERANCE_SECONDS:
            raise self._too_short(part.proven_seconds, found)

    def _check_format(self, num_channels: int, rate: int) -> None:
        if not 0 < num_channels <= MAX_CHANNELS:
            raise ValueError(f"{self.name} has {num_channels} channels; 1 to {MAX_CHANNELS} are read.")
        if not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"{self.name} has {rate:,} samples a second; {MIN_RATE:,} to {MAX_RATE:,} are read.")

    def _decode_with_ffmpeg(self, data: ByteRanges, seconds_before: float) -> Iterator[tuple[np.ndarray, int]]:
        """Yield the sound of one stream, every sample at its time."""
        import av

        timeline: Timeline | None = None
        try:
            opened: Any = av.open(data, format=self.kind.demuxer, options=_OPTIONS, **_tolerating_tags())
            with opened as container:
                stream = self._audio_stream(container)
                timeline = Timeline(self.kind, _others_start_seconds(container))
                promised = self._stated_seconds(stream)
                if self.promised_seconds is None and container.duration and not self.kind.may_be_cut_out:
                    self.promised_seconds = container.duration / 1e6
                blocks = self._frames(container, stream, timeline, seconds_before)
                yield from (
                    blocks if promised is None or self.kind != MOV else _without_fill(blocks, timeline, promised)
                )
                found = timeline.seconds - timeline.lead_seconds
                if promised is not None and found < promised - LENGTH_TOLERANCE_SECONDS:
                    raise self._too_short(promised, found)
        except (av.FFmpegError, UnicodeDecodeError) as error:
            if timeline is None:
                raise ValueError(
                    f"{self.name} cannot be read as audio: it begins like {self.kind.name}, but is broken "
                    f"({_reason(error)})."
                ) from error
            raise self._damaged(seconds_before + timeline.seconds, _reason(error)) from error

    def _audio_stream(self, container: Any) -> Any:
        if not container.streams.audio:
            raise ValueError(f"{self.name} cannot be read as audio: it holds no sound.")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ValueError(f"{self.name} cannot be read as audio: nothing here decodes how its sound is coded.")
        if stream.codec_context.sample_rate:
            self._check_format(stream.codec_context.channels, stream.codec_context.sample_rate)
        if stream.codec_context.name in _CHECKED_CODECS:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        return stream

    def _stated_seconds(self, stream: Any) -> float | None:
        """Return how long the header says that the sound is, where it knows it."""
        if not self.kind.states_length or not stream.duration or stream.duration < 0:
            return None
        seconds = float(stream.duration * stream.time_base)
        if seconds > MAX_PROMISED_SECONDS:
            return None
        self.promised_seconds = seconds
        return seconds

    def _frames(
        self, container: Any, stream: Any, timeline: Timeline, seconds_before: float
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Decode packet by packet. What cannot be decoded is an error, but for the cut edges of what has no header."""
        import av

        failure: tuple[float, str] | None = None
        lost_seconds = 0.0
        num_samples = 0
        for num_packets, packet in enumerate(container.demux(stream)):
            here = seconds_before + timeline.seconds
            if num_packets > MANY_PACKETS and num_samples < FEW_SAMPLES * num_packets:
                raise self._damaged(here, f"{num_packets} packets hold {num_samples} samples")
            is_forgiven = self.kind.may_be_cut_out and timeline.seconds + lost_seconds < FORGIVEN_SECONDS
            # A last packet that is not full is no damage in WAV, whose bytes were counted.
            if packet.size and packet.is_corrupt and failure is None and not (is_forgiven or self.kind in (WAV, W64)):
                failure = here, "FFmpeg calls a packet corrupt"
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if is_forgiven:
                    lost_seconds += float((packet.duration or 0) * packet.time_base)
                elif failure is None:
                    failure = here, _reason(error)
                continue
            for frame in frames:
                if failure is not None:
                    raise self._damaged(*failure)
                if not frame.samples:
                    continue
                block = self._samples(frame)
                num_samples += len(block)
                if lost_seconds and self.kind.stamps == "none":
                    num_lost, lost_seconds = round(lost_seconds * frame.sample_rate), 0.0
                    block = np.pad(block, ((num_lost, 0), (0, 0)))
                stamp = None if frame.pts is None else float(frame.pts * frame.time_base)
                try:
                    for placed in timeline.place(block, frame.sample_rate, stamp):
                        yield placed, frame.sample_rate
                except ValueError as error:
                    raise self._damaged(seconds_before + timeline.seconds, str(error)) from error
                if frame.is_corrupt and not is_forgiven:
                    failure = here, "FFmpeg calls a frame corrupt"
        if failure is not None:
            if not self.kind.may_be_cut_out:
                raise self._damaged(*failure)
            logger.warning("%s ends in the middle of a frame, so it may be cut; what is before it is read.", self.name)

    def _samples(self, frame: Any) -> np.ndarray:
        """Return a frame as `(samples, channels)` float32."""
        try:
            values = frame.to_ndarray()
        except ValueError as error:
            raise ValueError(f"{self.name} cannot be read as audio: samples of {frame.format.name}.") from error
        values = values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)
        if values.dtype == np.uint8:
            self.step = 2.0**-7
            return (values.astype(np.float32) - 128) / 128
        if values.dtype == np.int16:
            self.step = 2.0**-15
            return values.astype(np.float32) / 2**15
        if values.dtype == np.int32:
            return (values / 2**31).astype(np.float32)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, np.float32)

    def _decode_with_libsndfile(self, data: ByteRanges) -> Iterator[tuple[np.ndarray, int]]:
        """Decode what FFmpeg does not read, the free format of MPEG, or not to the sample, Vorbis in Ogg."""
        import soundfile

        seconds = 0.0
        try:
            with soundfile.SoundFile(data) as sound:
                while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                    yield block, sound.samplerate
                    seconds += len(block) / sound.samplerate
        except soundfile.LibsndfileError as error:
            raise self._damaged(seconds, error.error_string.rstrip(".")) from error

    def _damaged(self, seconds: float, reason: str) -> ValueError:
        return ValueError(f"{self.name} is broken: at {seconds:.2f} s it is damaged or cut ({reason}). {_AGAIN}")

    def _too_short(self, promised: float, found: float) -> ValueError:
        return ValueError(
            f"{self.name} is broken: its header promises {promised:.2f} s of sound, it holds {found:.2f} s. {_AGAIN}"
        )


@dataclass(frozen=True)
class _Part:
    """What is decoded in one go.

    Args:
        data: Its bytes.
        proven_seconds: Sound in it, counted: libsndfile decodes it, whose own count is not to be trusted; `None` where
            FFmpeg decodes.
    """

    data: ByteRanges
    proven_seconds: float | None = None


class _RateConverter:
    """Converter of the blocks of a stretch to another rate, whose length is exact."""

    def __init__(self, rate: int, target_rate: int, num_channels: int):
        import soxr

        self.rate, self._target_rate = rate, target_rate
        self._stream = soxr.ResampleStream(rate, target_rate, num_channels, dtype="float32")
        self._num_channels, self._num_in, self._num_out = num_channels, 0, 0

    def convert(self, block: np.ndarray) -> np.ndarray:
        """Return what is ready after a block, `(samples, channels)`."""
        self._num_in += len(block)
        return self._counted(self._stream.resample_chunk(np.ascontiguousarray(block, np.float32)))

    def end(self) -> np.ndarray:
        """Return the rest, to the rounded number of samples."""
        rest = self._counted(self._stream.resample_chunk(np.zeros((0, self._num_channels), np.float32), last=True))
        missing = round(self._num_in * self._target_rate / self.rate) - self._num_out
        rest = np.concatenate([rest, np.zeros((max(0, missing), self._num_channels), np.float32)])
        return rest[: len(rest) + min(0, missing)]

    def _counted(self, block: np.ndarray) -> np.ndarray:
        block = block.reshape(-1, self._num_channels)
        self._num_out += len(block)
        return block


def resampled(blocks: Iterator[np.ndarray], rate: int, target_rate: int, num_channels: int) -> Iterator[np.ndarray]:
    """Yield blocks at another rate; the sum of their lengths is the rounded length.

    Args:
        blocks: `(samples, channels)` float32.
        rate: Theirs, Hz.
        target_rate: Hz.
        num_channels: Theirs.
    """
    if rate == target_rate:
        yield from blocks
        return
    converter = _RateConverter(rate, target_rate, num_channels)
    for block in blocks:
        yield converter.convert(block)
    yield converter.end()


def to_channels(block: np.ndarray, num_channels: int) -> np.ndarray:
    """Mix a block to a number of channels.

    Args:
        block: `(samples, channels)`.
        num_channels: One: the mean of all. Two: the front pair with half of what the others add. Else the mean in all.

    Returns:
        `(samples, num_channels)`; one channel is repeated.
    """
    if block.shape[1] == num_channels:
        return block
    if num_channels == 2 and block.shape[1] > 2:
        others = block[:, 2:].mean(axis=1, keepdims=True)
        return (block[:, :2] + 0.5 * others) / 1.5
    return np.repeat(block.mean(axis=1, keepdims=True), num_channels, axis=1)


def _others_start_seconds(container: Any) -> float | None:
    """Return when the pictures begin; `None` if there are none."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if stream.start_time is not None and stream.time_base is not None
    ]
    return min(starts, default=None)


def _without_fill(
    blocks: Iterator[tuple[np.ndarray, int]], timeline: Timeline, stated_seconds: float
) -> Iterator[tuple[np.ndarray, int]]:
    """Leave out the samples behind the stated end if they are so few that the encoder filled its last frame."""
    held: list[tuple[np.ndarray, int]] = []
    num_held, seconds, is_open = 0, 0.0, False
    for block, rate in blocks:
        room = max(0, round((timeline.lead_seconds + stated_seconds - seconds) * rate))
        seconds += len(block) / rate
        if is_open or room >= len(block):
            yield block, rate
            continue
        if room:
            yield block[:room], rate
        held.append((block[room:], rate))
        num_held += len(block) - room
        if num_held > FILLED_SAMPLES:
            is_open = True
            yield from held
            held = []


def _reason(error: Exception) -> str:
    """Return the reason of an FFmpeg error, in its words."""
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")


def _tolerating_tags() -> dict[str, Any]:
    """Return what lets PyAV open a file whose tags are no text; from version 19 on it always does."""
    import av

    return {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
