"""The one encoder of video: pictures, and the sound that belongs to them, as mp4, mov or webm."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .decoding import open_sound, resampled, to_channels

MAX_PICTURE_LENGTH = 4096
"""Pixels: what H.264 and players take; a picture of so many squared takes 50 MB, and some are drawn at once."""
_AUDIO_RATE = 48_000
_SOUND_PIECE_SECONDS = 0.25
_SOUND_BLOCK_SAMPLES = 1 << 12
_BT601, _LIMITED = 6, 1
"""Of FFmpeg's numbers for colors: what its conversion from RGB makes."""


@dataclass(frozen=True)
class _Codec:
    """How pictures and sound are encoded; options are FFmpeg's."""

    video: str
    pixels: str
    video_options: Mapping[str, str]
    audio: str
    samples: str
    audio_options: Mapping[str, str]
    bit_rate: int | None = None


H264_OPTIONS = {
    "preset": "superfast",
    "crf": "25",
    "x264-params": "b-adapt=0:weightp=0:scenecut=0",
    "threads": "1",
}
"""Three tools that cost time and gain little here are taken from the preset; docs/video_results.md compares others."""
_H264 = _Codec(
    "libx264",
    "yuv420p",
    H264_OPTIONS,
    "aac",
    "fltp",
    {"aac_coder": "fast"},
    160_000,
)
_VP9_OPTIONS = {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1", "threads": "2"}
_VP9, _VP9_ALPHA = (
    _Codec("libvpx-vp9", pixels, _VP9_OPTIONS, "libopus", "flt", {}, 128_000) for pixels in ("yuv420p", "yuva420p")
)
_PRORES = _Codec("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "8"}, "pcm_s16le", "s16", {})
_CODECS = {".mp4": _H264, ".mov": _H264, ".webm": _VP9}
_TRANSPARENT_CODECS = {".webm": _VP9_ALPHA, ".mov": _PRORES}
VIDEO_SUFFIXES = tuple(_CODECS)
TRANSPARENT_SUFFIXES = tuple(_TRANSPARENT_CODECS)


def check_video_path(path: str | os.PathLike, transparent: bool = False) -> None:
    """Raise `ValueError` unless the ending of a path names a kind of video that can be written."""
    suffixes = TRANSPARENT_SUFFIXES if transparent else VIDEO_SUFFIXES
    if Path(path).suffix.lower() not in suffixes:
        raise ValueError(f"A {'transparent ' * transparent}video must end in {' or '.join(suffixes)}, got {path}.")


def check_picture_size(size: tuple[int, int]) -> None:
    """Raise `ValueError` unless width and height are even numbers of 64 to 4096 pixels, as encoders want them."""
    if len(size) != 2 or any(
        length != int(length) or not 64 <= length <= MAX_PICTURE_LENGTH or length % 2 for length in size
    ):
        raise ValueError(
            f"Width and height must be even numbers of at least 64 and at most {MAX_PICTURE_LENGTH}, got {size}."
        )


def encode_video(
    path: str | os.PathLike,
    draw: Callable[[int], np.ndarray],
    num_frames: int,
    frame_rate: int,
    *,
    audio_path: str | os.PathLike | None = None,
    metadata: Mapping[str, str] | None = None,
    show_progress: bool = True,
) -> None:
    """Write a video; the last frame is shown as long as the others. Equal pictures and sound give equal bytes.

    Args:
        path: Ends in one of `VIDEO_SUFFIXES`: mp4 and mov hold H.264 and AAC, webm VP9 and Opus. With transparency
            webm holds VP9, too, and mov ProRes 4444 and PCM.
        draw: Returns frame number `frame`, `(height, width, 3 or 4)` uint8: blue, green, red and, for a transparent
            video, opacity (the colors are not multiplied by it). It is called by several threads.
        num_frames: Number of pictures.
        frame_rate: Pictures per second.
        audio_path: Sound from the first frame on; what is longer than the pictures is cut off. `None`: silent.
        metadata: What the file says of itself: `title`, `comment`, `copyright` and other keys of FFmpeg.
        show_progress: Show a progress bar on a terminal.

    Raises:
        FileNotFoundError: If there is no such audio file.
        ValueError: If it cannot be decoded.
    """
    import av

    suffix = Path(path).suffix.lower()
    height, width, channels = draw(0).shape
    codec = (_TRANSPARENT_CODECS if channels == 4 else _CODECS)[suffix]
    options = {} if suffix == ".webm" else {"movflags": "faststart"}
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(metadata or {})
        video: Any = container.add_stream(codec.video, rate=frame_rate)
        video.width, video.height, video.pix_fmt = width, height, codec.pixels
        video.options = dict(codec.video_options)
        video.codec_context.colorspace, video.codec_context.color_range = _BT601, _LIMITED
        seconds = num_frames / frame_rate
        sound = _encode_audio(container, codec, audio_path, seconds) if audio_path is not None else iter(())

        def frame_of(index: int) -> Any:
            frame = _video_frame(draw(index), codec.pixels)
            frame.pts = index
            return frame

        # Everything but the encoding of pictures runs ahead in other threads: OpenCV and PyAV release Python's lock.
        pictures = _run_ahead(frame_of, range(num_frames), os.cpu_count() or 1)
        sound_pieces = _run_ahead(lambda _: next(sound, None), itertools.count(), 1)
        hides_progress = None if show_progress else True  # None: unless there is a terminal
        with closing(pictures), closing(sound_pieces):
            piece = next(sound_pieces)
            for index, picture in enumerate(
                tqdm(pictures, total=num_frames, desc="drawing", unit="frame", disable=hides_progress)
            ):
                container.mux(video.encode(picture))
                while piece is not None and piece[0] <= index / frame_rate:
                    container.mux(piece[1])
                    piece = next(sound_pieces)
            while piece is not None:
                container.mux(piece[1])
                piece = next(sound_pieces)
            container.mux(video.encode())


def _video_frame(picture: np.ndarray, pixels: str) -> Any:
    """Return a picture in the colors and the layout of an encoder."""
    import av
    import cv2

    if picture.shape[2] == 4:
        return av.VideoFrame.from_ndarray(picture, format="bgra").reformat(format=pixels)
    planes: Any = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)  # four times as fast as FFmpeg
    return av.VideoFrame.from_ndarray(planes, format=pixels)


def _run_ahead(
    function: Callable[[Any], Any], arguments: Iterable[Any], num_threads: int
) -> Generator[Any, None, None]:
    """Yield `function` of each argument, in order, while threads work on those that follow; close it to end them."""
    with ThreadPoolExecutor(num_threads) as executor:
        pending: deque[Future] = deque()
        for argument in arguments:
            pending.append(executor.submit(function, argument))
            if len(pending) > 2 * num_threads:  # a few pictures, not all: each takes megabytes
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _encode_audio(
    container: Any, codec: _Codec, audio_path: str | os.PathLike, duration_seconds: float
) -> Iterator[tuple[float, list[Any]]]:
    """Encode up to `duration_seconds` of a file; yield pieces: the time at which one begins, seconds, and packets."""
    import av

    stream = container.add_stream(codec.audio, rate=_AUDIO_RATE)
    stream.layout = "stereo"
    if codec.bit_rate is not None:
        stream.bit_rate = codec.bit_rate
    stream.options = dict(codec.audio_options)
    wanted, done, begun = round(duration_seconds * _AUDIO_RATE), 0, 0
    packets: list[Any] = []
    with closing(_stereo_sound(audio_path)) as blocks:
        for block in blocks:
            samples = block[: wanted - done]
            frame = av.AudioFrame.from_ndarray(
                _as_stored(samples, codec.samples), format=codec.samples, layout="stereo"
            )
            frame.sample_rate, frame.pts = _AUDIO_RATE, done
            packets += stream.encode(frame)
            done += len(samples)
            if done - begun >= _SOUND_PIECE_SECONDS * _AUDIO_RATE:
                yield begun / _AUDIO_RATE, packets
                begun, packets = done, []
            if done >= wanted:
                break
    yield begun / _AUDIO_RATE, packets + stream.encode()


def _as_stored(samples: np.ndarray, kind: str) -> np.ndarray:
    """Return `(samples, 2)` float32 as FFmpeg's sample formats lie in memory."""
    if kind == "fltp":
        return np.ascontiguousarray(samples.T)
    if kind == "s16":
        samples = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    return np.ascontiguousarray(samples).reshape(1, -1)


def _stereo_sound(audio_path: str | os.PathLike) -> Generator[np.ndarray, None, None]:
    """Yield short blocks `(samples, 2)` of a file, by the decoder and on the time axis that the dance has."""
    with open_sound(audio_path) as sound:
        stereo = (to_channels(block, 2) for block in sound.blocks())
        for block in resampled(stereo, sound.sampling_rate, _AUDIO_RATE, 2):
            for start in range(0, len(block), _SOUND_BLOCK_SAMPLES):
                yield block[start : start + _SOUND_BLOCK_SAMPLES]
