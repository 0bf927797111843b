"""Show a dance: an mp4 with its song, and a sheet of stills."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...media.decoding import open_sound, resampled, to_channels
from ...utils.atomic import atomic_path
from ...utils.extras import require_extra
from ..motion import FRAME_RATE, Motion
from .drawing import Painter, build_scene

_AUDIO_RATE = 48_000
# The fastest preset, with the two tools back that flat colors profit from at little cost: half of the processor time
# of "veryfast" at 47 dB PSNR.
_ENCODER_OPTIONS = {"preset": "ultrafast", "crf": "24", "x264-params": "cabac=1:deblock=1,1", "threads": "1"}
_SOUND_PIECE_SECONDS = 0.25
_SOUND_BLOCK_SAMPLES = 1 << 12
MAX_PICTURE_LENGTH = 4096
"""Pixels: what H.264 and players take; a picture of so many squared takes 50 MB, and some are drawn at once."""


def render_video(
    motion: Motion,
    path: str | os.PathLike,
    audio_path: str | os.PathLike | None = None,
    *,
    size: tuple[int, int] = (1280, 720),
    frame_rate: int = round(FRAME_RATE),
    beside: Motion | None = None,
    show_progress: bool = True,
) -> None:
    """Write an mp4 (H.264, AAC) of the dancing figure; left limbs are blue, right limbs orange.

    Args:
        motion: The dance. Rings mark the feet that its `foot_contacts` call planted.
        path: Must end in `.mp4`. Written in full or not at all; equal input gives equal bytes.
        audio_path: Sound from the dance's first frame on; what is longer than the dance is cut off. `None`: silent.
        size: Width and height of a picture in pixels, even numbers.
        frame_rate: Frames per second of the video; the motion is resampled.
        beside: Another dance of the same length, drawn to the right of the first in a picture of its own.
        show_progress: Show a progress bar on a terminal.

    Raises:
        ValueError: If `path`, `size`, `frame_rate` or `beside` is not as above, or the audio cannot be decoded.
        FileNotFoundError: If there is no such audio file.
        OSError: As `atomic_path`.
        ImportError: If the extra `video` is not installed.
    """
    require_extra("cv2", "video", "Writing a video")
    check_picture_size(size)
    if Path(path).suffix.lower() != ".mp4":
        raise ValueError(f"A video must end in .mp4, got {path}.")
    if frame_rate < 1 or frame_rate != int(frame_rate):
        raise ValueError(f"`frame_rate` must be a whole number of frames per second, got {frame_rate}.")
    if audio_path is not None and not Path(audio_path).is_file():
        raise FileNotFoundError(f"There is no audio file {audio_path}.")
    import av
    import cv2

    motion = motion.resample(frame_rate)
    dances = [motion] if beside is None else [motion, beside.resample(frame_rate)]
    if dances[-1].num_frames != motion.num_frames:
        raise ValueError(
            f"`beside` must be as long as `motion`: got {dances[-1].num_frames}, {motion.num_frames} frames."
        )
    hides_progress = None if show_progress else True  # None: unless there is a terminal
    painters = [Painter(build_scene(dance, size)) for dance in dances]
    with atomic_path(path) as temporary, av.open(str(temporary), "w", options={"movflags": "faststart"}) as container:
        video: Any = container.add_stream("libx264", rate=frame_rate)
        video.width, video.height = size[0] * len(painters), size[1]
        video.pix_fmt = "yuv420p"
        video.options = _ENCODER_OPTIONS
        video.codec_context.colorspace, video.codec_context.color_range = 6, 1  # BT.601 as OpenCV converts, limited
        sound = _encode_audio(container, audio_path, motion.duration_seconds) if audio_path else iter(())

        def draw(frame: int) -> Any:
            pictures = [painter.draw(frame) for painter in painters]
            planes: Any = cv2.cvtColor(np.concatenate(pictures, axis=1), cv2.COLOR_BGR2YUV_I420)
            return av.VideoFrame.from_ndarray(planes, format="yuv420p")

        # Everything but the encoding of pictures runs ahead in other threads: OpenCV and PyAV release Python's lock.
        num_threads = os.cpu_count() or 1
        pictures = _run_ahead(draw, range(motion.num_frames), num_threads)
        sound_pieces = _run_ahead(lambda _: next(sound, None), itertools.count(), 1)
        with closing(pictures), closing(sound_pieces):
            piece = next(sound_pieces)
            for frame, picture in enumerate(
                tqdm(pictures, total=motion.num_frames, desc="drawing", unit="frame", disable=hides_progress)
            ):
                container.mux(video.encode(picture))
                while piece is not None and piece[0] <= frame / frame_rate:
                    container.mux(piece[1])
                    piece = next(sound_pieces)
            while piece is not None:
                container.mux(piece[1])
                piece = next(sound_pieces)
            container.mux(video.encode())


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
    container: Any, audio_path: str | os.PathLike, duration_seconds: float
) -> Iterator[tuple[float, list[Any]]]:
    """Encode up to `duration_seconds` of a file; yield pieces: the time at which one begins, seconds, and packets."""
    import av

    stream = container.add_stream("aac", rate=_AUDIO_RATE)
    stream.layout = "stereo"
    stream.bit_rate = 160_000
    stream.options = {"aac_coder": "fast"}
    wanted, done, begun = round(duration_seconds * _AUDIO_RATE), 0, 0
    packets: list[Any] = []
    with closing(_stereo_sound(audio_path)) as blocks:
        for block in blocks:
            samples = np.ascontiguousarray(block[: wanted - done].T)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = _AUDIO_RATE, done
            packets += stream.encode(frame)
            done += samples.shape[1]
            if done - begun >= _SOUND_PIECE_SECONDS * _AUDIO_RATE:
                yield begun / _AUDIO_RATE, packets
                begun, packets = done, []
            if done >= wanted:
                break
    yield begun / _AUDIO_RATE, packets + stream.encode()


def _stereo_sound(audio_path: str | os.PathLike) -> Generator[np.ndarray, None, None]:
    """Yield short blocks `(samples, 2)` of a file, by the decoder and on the time axis that the dance has."""
    with open_sound(audio_path) as sound:
        stereo = (to_channels(block, 2) for block in sound.blocks())
        for block in resampled(stereo, sound.sampling_rate, _AUDIO_RATE, 2):
            for start in range(0, len(block), _SOUND_BLOCK_SAMPLES):
                yield block[start : start + _SOUND_BLOCK_SAMPLES]


def render_contact_sheet(
    motion: Motion,
    path: str | os.PathLike,
    rows: int = 3,
    columns: int = 5,
    *,
    tile_size: tuple[int, int] = (320, 360),
) -> None:
    """Write a PNG with stills at equal distances in time, each with its time stamp.

    Args:
        motion: The dance.
        path: Must end in `.png`.
        rows: Number of rows.
        columns: Number of columns.
        tile_size: Width and height of a still in pixels, even numbers.

    Raises:
        ValueError: If `path` or a number is not as above.
        OSError: As `atomic_path`.
        ImportError: If the extra `video` is not installed.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"A contact sheet must end in .png, got {path}.")
    if rows < 1 or columns < 1:
        raise ValueError(f"A contact sheet needs at least one row and one column, got {rows} and {columns}.")
    check_picture_size(tile_size)
    painter = Painter(build_scene(motion, tile_size))
    import cv2

    frames = np.linspace(0, motion.num_frames - 1, rows * columns).round().astype(int)
    tiles = []
    for frame in frames.tolist():
        tile = painter.draw(frame)
        minutes, seconds = divmod(frame / motion.frame_rate, 60)
        label = f"{int(minutes)}:{seconds:04.1f}"
        scale = tile_size[1] / 720
        cv2.putText(
            tile,
            label,
            (round(16 * scale) + 2, tile_size[1] - round(22 * scale)),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (190, 180, 172),
            max(1, round(1.6 * scale)),
            cv2.LINE_AA,
        )
        tiles.append(tile)
    sheet = np.concatenate([np.concatenate(tiles[row * columns : (row + 1) * columns], axis=1) for row in range(rows)])
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())


def check_picture_size(size: tuple[int, int]) -> None:
    """Raise `ValueError` unless width and height are even numbers of 64 to 4096 pixels, as encoders want them."""
    if len(size) != 2 or any(
        length != int(length) or not 64 <= length <= MAX_PICTURE_LENGTH or length % 2 for length in size
    ):
        raise ValueError(
            f"Width and height must be even numbers of at least 64 and at most {MAX_PICTURE_LENGTH}, got {size}."
        )
