"""Pictures out of any video file, upright, one after the other, at their times."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from ..media.kinds import AVI, kind_of
from ..media.timeline import origin_seconds
from ..motion.motion import FRAME_RATE

Item = TypeVar("Item")

MAX_SIDE = 1920
"""Pictures are scaled down so that no side is longer, pixels: the networks see 256 pixels of a person."""
PICTURES_AHEAD = 4
"""Decoded by a second thread while the networks look at one."""
SLOW_RATE = 12.0
"""Pictures a second, below which movements are lost between two pictures."""
MISSING_SECONDS = 0.5
"""Headers promise up to so much more than there is."""
MAX_FAILURES = 20
"""In a row, after which a damaged container is given up."""
_OPTIONS = {"protocol_whitelist": "none"}  # FFmpeg opens nothing but the bytes that it is given
_AGAIN = "Copy or download it again."


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of a video.

    Args:
        seconds: After the first picture.
        pixels: `(height, width, 3)` uint8, red, green, blue, upright; smaller than the video's where that is large.
    """

    seconds: float
    pixels: np.ndarray


@contextmanager
def open_video(path: str | os.PathLike) -> Iterator[VideoReader]:
    """Open a video in any container that FFmpeg reads.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is a folder, is empty, is no video, or no picture of it can be decoded.
        PermissionError: If it cannot be opened.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Give the name of a video file.")
    if not path.is_file():
        raise ValueError(f"{path} is not a file. Give the names of the videos in it.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes). {_AGAIN}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise PermissionError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        reader = VideoReader(file, str(path))
        try:
            yield reader
        finally:
            reader.close()


def read_pictures(path: str | os.PathLike, frames: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield pictures of a video by frames at 30 Hz, in order: upright, in full, `(height, width, 3)` uint8, RGB.

    A frame after the end of the video shows its last picture.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no video.
    """
    with open_video(path) as video:
        yield from video.pictures_at(frames)


class VideoReader:
    """Pictures of an open video.

    Attributes:
        image_size: Width and height of the upright picture with square pixels, in full, pixels.
        has_sound: Whether it holds a stream of sound.
        sound_offset_seconds: When the first picture is shown, in the sound as `media.decoding` reads it; 0 without.
        num_pictures: Decoded so far, and in the end in the video.
        seconds: Length of what was decoded so far, and in the end of the video.

    Args:
        file: Open for reading, to the end of the reader's life.
        name: What messages call it.

    Raises:
        ValueError: If it is no video, or no picture of it can be decoded.
    """

    def __init__(self, file: BinaryIO, name: str):
        import av

        self.name = name
        self.num_pictures, self.seconds = 0, 0.0
        self._num_damaged = self._num_out_of_order = 0
        try:
            self._container: Any = av.open(file, options=_OPTIONS, buffer_size=1 << 18)
        except (av.FFmpegError, ValueError, UnicodeDecodeError) as error:
            raise ValueError(f"{name} cannot be read as a video: {_reason(error)}. {_AGAIN}") from error
        try:
            self._stream = self._find_stream()
            container: Any = self._container
            duration, whole = self._stream.duration, container.duration
            self._promised_seconds = float(duration * self._stream.time_base) if duration else (whole or 0) / 1e6
            self._frames = self._decode()
            self._first = next(self._frames, None)
            if self._first is None:
                raise ValueError(
                    f"{name} holds no picture that can be decoded: it is damaged or encrypted. Convert it to H.264."
                )
            self._layout = _Layout.of(self._first, self._stream)
            self.image_size = self._layout.image_size
            self.has_sound = any(stream.codec_context is not None for stream in self._container.streams.audio)
            self.sound_offset_seconds = self._sound_offset(file) if self.has_sound else 0.0
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file, which stays open; no further picture can be read."""
        self._container.close()

    def pictures(self) -> Iterator[Picture]:
        """Yield, once, the pictures nearest to the times of 30 Hz; all pictures of a slower video."""
        return read_ahead(self._convert(*pair) for pair in thin_out(self._timed(), FRAME_RATE))

    def pictures_at(self, frames: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield, once, the pictures nearest to frames at 30 Hz, as `read_pictures` does."""
        full = replace(self._layout, size=self._layout.full_size)
        left = sorted(set(frames), reverse=True)
        held: tuple[float, Any] | None = None
        for seconds, frame in self._timed():
            while left and held is not None and left[-1] / FRAME_RATE <= (held[0] + seconds) / 2:
                yield left.pop(), full.pixels(held[1])
            if not left:
                return
            held = seconds, frame
        for number in reversed(left):
            if held is not None:
                yield number, full.pixels(held[1])

    @property
    def notes(self) -> list[str]:
        """What a user should know about the video, sentences; complete when all pictures were read."""
        notes = []
        if self.seconds < self._promised_seconds - MISSING_SECONDS:
            notes.append(
                f"{self.name} promises {self._promised_seconds:.1f} s, its pictures end after {self.seconds:.1f} s: "
                "it may be cut. What is there is used."
            )
        if self._num_damaged:
            notes.append(
                f"{self.name} is damaged: {self._num_damaged} packets or pictures could not be decoded whole."
            )
        if self._num_out_of_order:
            notes.append(f"{self.name} has {self._num_out_of_order} pictures without a time of their own: left out.")
        rate = self.num_pictures / self.seconds if self.num_pictures > 1 else 0.0
        if 0 < rate < SLOW_RATE:
            notes.append(
                f"{self.name} has {rate:.1f} pictures a second: fast movements are lost. Film with 25 or more."
            )
        return notes

    def _find_stream(self) -> Any:
        import av

        is_picture = self._container.format.name.endswith("_pipe") or self._container.format.name == "image2"
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not stream.disposition & cover]
        if is_picture:
            raise ValueError(f"{self.name} is a picture. Give a video.")
        if not streams:
            what = "only sound" if self._container.streams.audio else "no pictures"
            raise ValueError(f"{self.name} holds {what}. Give a video.")
        stream = streams[0]
        if stream.codec_context is None:
            raise ValueError(
                f"{self.name}: nothing here decodes how its pictures are coded. {_AGAIN} Or convert it to H.264."
            )
        stream.codec_context.thread_count = 1  # what damaged files decode to must not depend on it
        return stream

    def _decode(self) -> Iterator[Any]:
        """Yield what can be decoded."""
        import av

        failures = 0
        while failures < MAX_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield from self._decode_packet(packet)
                return
            except EOFError:
                return
            except av.FFmpegError:  # in the container; behind the damage it may go on
                self._num_damaged += 1
                failures += 1

    def _decode_packet(self, packet: Any) -> Iterator[Any]:
        import av

        try:
            frames = packet.decode()
        except EOFError:
            return
        except av.FFmpegError:
            self._num_damaged += 1
            return
        for frame in frames:
            self._num_damaged += bool(frame.is_corrupt)
            yield frame

    def _timed(self) -> Iterator[tuple[float, Any]]:
        """Yield frames with their seconds after the first, which grow."""
        start = self._start_seconds()
        step = 1 / float(self._stream.guessed_rate or self._stream.average_rate or 25)
        last = -step
        for frame in self._all_frames():
            seconds = last + step if frame.time is None else frame.time - start
            if seconds <= last and self.num_pictures:
                self._num_out_of_order += 1
                continue
            self.num_pictures += 1
            last = seconds
            self.seconds = last + (last / (self.num_pictures - 1) if self.num_pictures > 1 else step)
            yield seconds, frame

    def _all_frames(self) -> Iterator[Any]:
        first, self._first = self._first, None
        if first is not None:
            yield first
        yield from self._frames

    def _start_seconds(self) -> float:
        time = None if self._first is None else self._first.time
        return 0.0 if time is None else time

    def _convert(self, seconds: float, frame: Any) -> Picture:
        return Picture(seconds, self._layout.pixels(frame))

    def _sound_offset(self, file: BinaryIO) -> float:
        """Return the time of the first picture in the sound, whose time 0 `media.timeline` chooses."""
        position = file.tell()
        try:
            kind = kind_of(file, self.name)
        except ValueError:  # of a kind that `media` does not read
            kind = AVI
        finally:
            file.seek(position)
        pictures_start = self._start_seconds()
        sound = self._container.streams.audio[0]
        sound_start = pictures_start if sound.start_time is None else float(sound.start_time * sound.time_base)
        if kind.stamps == "none":
            return pictures_start - sound_start
        return pictures_start - origin_seconds(kind, min(pictures_start, sound_start))


@dataclass(frozen=True, eq=False)
class _Layout:
    """How coded pictures become upright ones with square pixels.

    Args:
        size: Width and height to scale the coded picture to, pixels.
        full_size: The same without scaling down.
        turn: `(2, 2)`, from coded to upright axes, entries 0, 1, -1.
        image_size: Of the upright picture in full.
    """

    size: tuple[int, int]
    full_size: tuple[int, int]
    turn: np.ndarray
    image_size: tuple[int, int]

    @classmethod
    def of(cls, frame: Any, stream: Any) -> _Layout:
        aspect = float(stream.sample_aspect_ratio or 1)
        width, height = max(1, round(frame.width * max(aspect, 1))), max(1, round(frame.height * max(1 / aspect, 1)))
        scale = min(1.0, MAX_SIDE / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        turn = display_turn(frame)
        return cls(size, (width, height), turn, (height, width) if turn[0, 0] == 0 else (width, height))

    def pixels(self, frame: Any) -> np.ndarray:
        import av

        if frame.interlaced_frame:  # every second row: half a picture, but of one moment
            rows = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[::2])
            frame = av.VideoFrame.from_ndarray(rows, format="rgb24")
        pixels = frame.to_ndarray(format="rgb24", width=self.size[0], height=self.size[1], interpolation="AREA")
        if self.turn[0, 0] == 0:
            pixels = pixels.transpose(1, 0, 2)
        flips = self.turn.sum(axis=1)
        return np.ascontiguousarray(pixels[:: int(flips[1]), :: int(flips[0])])


def display_turn(frame: Any) -> np.ndarray:
    """Return the turn, or mirroring, `(2, 2)` from coded to upright picture axes, that the container asks for."""
    data = frame.side_data.get("DISPLAYMATRIX") if frame.side_data else None
    if data is None:
        return np.eye(2, dtype=int)
    matrix = np.frombuffer(bytes(data), np.int32)[[0, 3, 1, 4]].reshape(2, 2)
    is_turned = abs(int(matrix[0, 0])) < abs(int(matrix[0, 1]))
    kept = np.array([[0, 1], [1, 0]] if is_turned else [[1, 0], [0, 1]])
    return np.where(matrix < 0, -1, 1) * kept


def thin_out(pictures: Iterable[tuple[float, Item]], rate: float) -> Iterator[tuple[float, Item]]:
    """Yield the items that are the nearest of all to one of the times 0, 1 / rate, 2 / rate, ...

    Args:
        pictures: Seconds, growing from 0, and items.
        rate: Hz.
    """
    held: tuple[float, Item] | None = None
    next_index = 0
    for seconds, item in pictures:
        if held is not None and next_index / rate <= (held[0] + seconds) / 2:
            yield held
            next_index = int((held[0] + seconds) / 2 * rate) + 1
        held = seconds, item
    if held is not None and next_index / rate <= held[0] + 0.5 / rate:
        yield held


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items that a second thread makes, up to `PICTURES_AHEAD` before they are asked for."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(PICTURES_AHEAD)
    stopped = threading.Event()

    def put(entry: tuple[str, Any]) -> None:
        while not stopped.is_set():
            try:
                return ready.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(("item", item))
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (entry := ready.get())[0] == "item":
            yield entry[1]
        if entry[0] == "error":
            raise entry[1]
    finally:
        stopped.set()
        thread.join()


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".")
