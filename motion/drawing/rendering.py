"""Show dances: a video with its song, single pictures, and a sheet of stills."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...media.encoding import check_picture_size, check_video_path, encode_video
from ...utils.atomic import atomic_folder, atomic_path, check_new_folder
from ...utils.extras import require_extra
from ..files.notes import copyright_line, generator_name
from ..motion import FRAME_RATE, Motion
from .drawing import Painter
from .scene import build_scene


def render_video(
    dances: Motion | Sequence[Motion],
    path: str | os.PathLike,
    audio_path: str | os.PathLike | None = None,
    *,
    size: tuple[int, int] = (1280, 720),
    frame_rate: int = round(FRAME_RATE),
    camera: str = "follow",
    body: str = "capsules",
    transparent: bool = False,
    beside: Motion | None = None,
    show_progress: bool = True,
) -> int:
    """Write a video of a dancer, or of two in one scene; equal input gives equal bytes.

    Args:
        dances: One, or two of dancers who dance together. Rings mark the feet that `foot_contacts` calls planted.
        path: Ends in `.mp4`, `.mov` or `.webm`, or has no ending for a new folder of PNG pictures. Written in full or
            not at all.
        audio_path: Sound from the dance's first frame on; what is longer than the dance is cut off. `None`: silent.
        size: Width and height of a picture in pixels, even numbers.
        frame_rate: Frames per second of the video; the motion is resampled.
        camera: `follow`, `front`, `side` or `orbit`, see `build_scene`.
        body: `human`, in clothes; `capsules`, a figure whose left limbs are blue and whose right limbs are orange; or
            `openpose`, the lines and points on black that video generators are driven by.
        transparent: Leave out the floor and all that is not a dancer. Not for mp4.
        beside: Another dance of the same length, drawn to the right of the first in a picture of its own.
        show_progress: Show a progress bar on a terminal.

    Returns:
        The number of pictures.

    Raises:
        ValueError: If an argument is not as above, or the audio cannot be decoded.
        FileNotFoundError: If there is no such audio file.
        FileExistsError: If the folder for pictures holds anything.
        OSError: As `atomic_path`.
        ImportError: If the extra `video` is not installed.
    """
    check_video(path, audio_path, size=size, frame_rate=frame_rate, transparent=transparent)
    dances = [dances] if isinstance(dances, Motion) else list(dances)
    resampled = [dance.resample(frame_rate) for dance in dances]
    scenes = [build_scene(resampled, size, camera)]
    if beside is not None:
        scenes.append(build_scene(beside.resample(frame_rate), size, camera))
    num_frames = scenes[0].num_frames
    if scenes[-1].num_frames != num_frames:
        raise ValueError(f"`beside` must be as long as `dances`: got {scenes[-1].num_frames}, {num_frames} frames.")
    painters = [Painter(scene, body) for scene in scenes]

    def draw(frame: int) -> np.ndarray:
        pictures = [painter.draw_alone(frame) if transparent else painter.draw(frame) for painter in painters]
        return pictures[0] if len(pictures) == 1 else np.concatenate(pictures, axis=1)

    if not Path(path).suffix:
        _write_pictures(path, draw, num_frames, show_progress)
        return num_frames
    with atomic_path(path) as temporary:
        encode_video(
            temporary,
            draw,
            num_frames,
            frame_rate,
            audio_path=audio_path,
            metadata=video_notes(dances),
            show_progress=show_progress,
        )
    return num_frames


def check_video(
    path: str | os.PathLike,
    audio_path: str | os.PathLike | None,
    *,
    size: tuple[int, int],
    frame_rate: int,
    transparent: bool,
) -> None:
    """Raise what `render_video` raises for these arguments before it reads, draws or writes anything."""
    require_extra("cv2", "video", "Writing a video")
    check_picture_size(size)
    path = Path(path)
    if path.suffix:
        check_video_path(path, transparent)
    elif audio_path is not None:
        raise ValueError(f"Pictures have no sound: give {path} an ending such as .mp4, or leave the song out.")
    else:
        check_new_folder(path)
    if frame_rate < 1 or frame_rate != int(frame_rate):
        raise ValueError(f"`frame_rate` must be a whole number of frames per second, got {frame_rate}.")
    if audio_path is not None and not Path(audio_path).is_file():
        raise FileNotFoundError(f"There is no audio file {audio_path}.")
    if audio_path is not None and path.exists() and path.samefile(audio_path):
        raise ValueError(f"The video must be another file than its song, got {path} for both.")


def video_notes(dances: Sequence[Motion]) -> dict[str, str]:
    """Return what a video says of itself: title, licenses, and of generated dances that they are, and by what."""
    notes = {"comment": f"made with {generator_name()}"}
    provenances = [dance.provenance for dance in dances]
    generated = [each for each in provenances if each.get("model")]
    if generated:
        told = [
            ", ".join(f"{key} {each[key]}" for key in ("model", "genre", "seed") if each.get(key) is not None)
            for each in generated
        ]
        # The term of the IPTC for what a trained model made.
        notes["comment"] = f"AI-generated dance (trainedAlgorithmicMedia): {'; '.join(told)}; {notes['comment']}"
    titles = [f"{each.get('genre') or 'dance'} to {each['song']}" for each in provenances if each.get("song")]
    if titles:
        notes["title"] = "; ".join(dict.fromkeys(titles))
    if licenses := "; ".join(dict.fromkeys(line for dance in dances if (line := copyright_line(dance)))):
        notes["copyright"] = licenses
    return notes


def _write_pictures(
    folder: str | os.PathLike, draw: Callable[[int], np.ndarray], num_frames: int, show_progress: bool
) -> None:
    """Write `000000.png` and so on."""
    hides_progress = None if show_progress else True  # None: unless there is a terminal
    with atomic_folder(folder) as temporary, ThreadPoolExecutor(os.cpu_count()) as threads:
        write = partial(_write_picture, temporary, draw)
        for _ in tqdm(threads.map(write, range(num_frames)), total=num_frames, unit="picture", disable=hides_progress):
            pass


def _write_picture(folder: Path, draw: Callable[[int], np.ndarray], frame: int) -> None:
    import cv2

    (folder / f"{frame:06d}.png").write_bytes(cv2.imencode(".png", draw(frame))[1].tobytes())


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
