"""Files that people really have, given to `infinitedance capture`: each must end in a sentence or in a sensible clip.

python -m benchmarks.capture.bad_inputs --work_dir outputs/bad_inputs
"""

from __future__ import annotations

import argparse
import io
import json
import math
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.capture.camera import Camera, camera_rotations
from infinitedance.cli import main as run_command
from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.motion import FRAME_RATE, Motion

from .clothes import Clothes
from .scenes import Look, render_pictures

SIZE = (480, 270)
SECONDS = 2.0
LENGTH_TOLERANCE_SECONDS = 0.15
_WALK_METRES = 1.6
Pictures = list[np.ndarray]


@dataclass(frozen=True)
class BadInput:
    """One file.

    Args:
        name: Of the file.
        make: Writes it.
        says: Part of the sentence that must follow; empty: none.
        seconds: Lengths of the clips that must come out; none: the file is refused.
        options: Of the command.
    """

    name: str
    make: Callable[[Path], None]
    says: str = ""
    seconds: tuple[float, ...] = ()
    options: tuple[str, ...] = ()


def _look(seed: int) -> Look:
    rng = np.random.default_rng(seed)
    look = Look.random(rng)
    return replace(look, clothes=Clothes.random(rng), noise=2.0, shutter=0.0, blur=0.4, quality=90, gamma=1.0)


def _camera(size: tuple[int, int] = SIZE, share: float = 0.7) -> Camera:
    """Return a camera in front of the dancer, who takes a share of the picture's height."""
    focal_length = 1.0 * max(size)
    distance = focal_length * 1.7 / (share * size[1])
    yaw, pitch, roll = torch.tensor([[0.0], [math.atan2(0.4, distance)], [0.0]], dtype=torch.float64)
    return Camera(size, focal_length, camera_rotations(yaw, pitch, roll).numpy(), np.array([0.0, 1.3, distance]))


@lru_cache(maxsize=1)
def _dance() -> Motion:
    dance = synthesize_dance("waltz", 120, SECONDS, seed=3)
    middle = dance.root_positions.mean(axis=0) * np.array([1, 0, 1], np.float32)
    return replace(dance, root_positions=dance.root_positions - middle)


def _moved(x_metres: float, walk_metres: float = 0.0) -> Motion:
    dance = _dance()
    way = np.zeros_like(dance.root_positions)
    way[:, 0] = x_metres + np.linspace(-walk_metres, walk_metres, len(way))
    return replace(dance, root_positions=dance.root_positions + way)


@lru_cache(maxsize=16)
def _pictures(
    seed: int = 0,
    size: tuple[int, int] = SIZE,
    share: float = 0.7,
    x_metres: float = 0.0,
    walk_metres: float = 0.0,
    *,
    noise: bool = True,
) -> Pictures:
    look = _look(seed) if noise else replace(_look(seed), noise=0.0, shadow=0.0)
    return list(render_pictures(_moved(x_metres, walk_metres), _camera(size, share), look))


def _nobody() -> Pictures:
    turned = replace(_camera(), rotations=_camera().rotations @ np.diag([-1.0, 1.0, -1.0]))
    return list(render_pictures(_dance(), turned, _look(0)))


def _crossing(other_seed: int) -> Pictures:
    """Return two people who cross: one is cut out of an own video and put before the other."""
    behind = _pictures(1, walk_metres=_WALK_METRES, noise=False)
    front = _pictures(other_seed, walk_metres=-_WALK_METRES, noise=False)
    room = np.median(np.stack(front[::4]), axis=0)
    masks = [np.abs(picture - room).max(axis=-1, keepdims=True) > 24 for picture in front]
    return [np.where(mask, ahead, back) for mask, ahead, back in zip(masks, front, behind, strict=True)]


def _black(count: int) -> Pictures:
    return [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * count


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    *,
    rate: float = FRAME_RATE,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    times: Iterable[float] | None = None,
    sound: bool = False,
) -> None:
    """Encode pictures, with clicks at 120 a minute if `sound`."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=round(rate))
        audio: Any = container.add_stream("aac", rate=24_000, layout="mono") if sound else None
        stream.pix_fmt = pixel_format
        ticks = round(rate) if path.suffix == ".avi" else 12_000
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.codec_context.thread_count = 1
        if rotation:
            stream.set_display_rotation(rotation)
        pictures = list(pictures)
        stream.height, stream.width = pictures[0].shape[:2]
        stamps = np.arange(len(pictures)) / rate if times is None else list(times)
        for picture, seconds in zip(pictures, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            samples = np.zeros((1, round(24_000 * len(pictures) / rate)), np.float32)
            for start in range(0, samples.shape[1], 12_000):
                samples[0, start : start + 200] = 0.8 * np.sin(np.arange(samples[0, start : start + 200].size) / 3)
            block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            block.rate, block.pts = 24_000, 0
            container.mux(audio.encode(block))
            container.mux(audio.encode())


def _repeat(pictures: Pictures, times: int) -> Pictures:
    return [picture for picture in pictures for _ in range(times)]


def _scaled(pictures: Pictures, size: tuple[int, int]) -> Iterable[np.ndarray]:
    import cv2

    return (cv2.resize(picture, size) for picture in pictures)


def _damaged(path: Path) -> None:
    write(path, _pictures(), codec="mpeg4")
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(content) // 3, len(content) * 2 // 3, 12):
        content[place] ^= 0xFF
    path.write_bytes(content)


def _cut_off(path: Path, **options: Any) -> None:
    write(path, _pictures(), **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])


def _only_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=24_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 24_000), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 24_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _picture_file(path: Path) -> None:
    import cv2

    done, data = cv2.imencode(path.suffix, _pictures()[0][..., ::-1])
    assert done
    path.write_bytes(data.tobytes())


def _text(path: Path) -> None:
    path.write_text("no video\n" * 99)


def _tiny() -> Pictures:
    """Return a dancer of 30 pixels in a picture of 240."""
    return [np.pad(small, ((150, 45), (200, 200), (0, 0)), mode="edge") for small in _scaled(_pictures(), (80, 45))]


def _times_of_a_phone() -> np.ndarray:
    steps = np.random.default_rng(0).uniform(0.02, 0.05, len(_pictures()))
    return np.cumsum(steps * SECONDS / steps.sum()) - steps[0] * SECONDS / steps.sum()


def _slow(pictures: Pictures) -> Pictures:
    return pictures[::3]


INPUTS = (
    BadInput("sound.mp4", lambda path: write(path, _pictures(), sound=True), "", (SECONDS,)),
    BadInput("no_sound.mp4", lambda path: write(path, _pictures()), "holds no sound", (SECONDS,)),
    BadInput("nobody.mp4", lambda path: write(path, _nobody()), "nobody is seen"),
    BadInput(
        "crossing.mp4", lambda path: write(path, _crossing(2)), "", (SECONDS, SECONDS), options=("--person", "all")
    ),
    BadInput("same_clothes.mp4", lambda path: write(path, _crossing(1)), "", (SECONDS, SECONDS), ("--person", "all")),
    BadInput("cut.mp4", lambda path: write(path, _pictures() + _pictures(5)), "", (SECONDS, SECONDS)),
    BadInput("portrait.mp4", lambda path: write(path, _pictures(size=(270, 480))), "", (SECONDS,)),
    BadInput(
        "turned.mp4",
        lambda path: write(path, [np.rot90(picture) for picture in _pictures(size=(270, 480))], rotation=90),
        "",
        (SECONDS,),
    ),
    BadInput("black.mp4", lambda path: write(path, _pictures() + _black(240) + _pictures()), "", (SECONDS, SECONDS)),
    BadInput("all_black.mp4", lambda path: write(path, _black(240)), "nobody is seen"),
    BadInput("damaged.avi", _damaged, "damaged", (SECONDS,)),
    BadInput("cut_off.avi", lambda path: _cut_off(path, codec="mpeg4"), "is cut", (1.2,)),
    BadInput("cut_off.mp4", _cut_off, "cannot be read as a video"),
    BadInput("240_hz.mp4", lambda path: write(path, _repeat(_pictures(), 8), rate=240), "", (SECONDS,)),
    BadInput("4k.mp4", lambda path: write(path, _scaled(_pictures()[:45], (3840, 2160))), "", (1.5,)),
    BadInput("10_hz.mp4", lambda path: write(path, _slow(_pictures()), rate=10), "10.0 pictures a second", (SECONDS,)),
    BadInput("phone.mp4", lambda path: write(path, _pictures(), times=_times_of_a_phone()), "", (SECONDS,)),
    BadInput(
        "odd.mkv",
        lambda path: write(path, _scaled(_pictures(), (427, 241)), codec="ffv1", pixel_format="yuv444p"),
        "",
        (SECONDS,),
    ),
    BadInput(
        "upside_down.mp4",
        lambda path: write(path, [each[::-1, ::-1] for each in _pictures()]),
        "",
        (SECONDS,),
        ("--person", "all"),
    ),
    BadInput("tiny.mp4", lambda path: write(path, _tiny()), "", (SECONDS,)),
    BadInput("half_out.mp4", lambda path: write(path, _pictures(x_metres=2.15)), "nobody is seen for 1 s"),
    BadInput("close.mp4", lambda path: write(path, _pictures(share=1.8)), "nobody is seen for 1 s"),
    BadInput("short.mp4", lambda path: write(path, _pictures()[:20]), "lasts 0.67 s"),
    BadInput("one_picture.mp4", lambda path: write(path, _pictures()[:1]), "lasts 0.0"),
    BadInput("sound.m4a", _only_sound, "holds only sound"),
    BadInput("picture.png", _picture_file, "is a picture"),
    BadInput("picture.jpg", _picture_file, "is a picture"),
    BadInput("empty.mp4", lambda path: path.touch(), "is empty"),
    BadInput("text.mp4", _text, "cannot be read as a video"),
    BadInput("folder.mp4", lambda path: path.mkdir(), "is a folder"),
    BadInput("absent.mp4", lambda path: None, "does not exist"),
    BadInput("a b, ü'.webm", lambda path: write(path, _pictures(), codec="libvpx-vp9"), "", (SECONDS,)),
    BadInput(
        "hdr.mov", lambda path: write(path, _pictures(), codec="libx265", pixel_format="yuv420p10le"), "", (SECONDS,)
    ),
    BadInput("still.mp4", lambda path: write(path, _pictures()[:1] * 60), "", (SECONDS,)),
)
"""Lengths are those of what is seen of the people, which may be a little shorter than the video."""


def run_one(item: BadInput, work_dir: Path) -> dict[str, Any]:
    """Make a file, capture it with the command, and tell what came out."""
    path, output = work_dir / "inputs" / item.name, work_dir / "outputs" / item.name
    if not path.exists():
        item.make(path)
    started, printed = time.perf_counter(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        status = run_command(["capture", str(path), "--output", str(output), "--genre", "salsa", *item.options])
    wall = time.perf_counter() - started
    entries = [json.loads(entry.read_text(encoding="utf-8")) for entry in output.glob("captures/*.json")]
    seconds = [round(clip["num_frames"] / FRAME_RATE, 2) for entry in entries for clip in entry["clips"]]
    lines = [line.rsplit("\r", 1)[-1].strip() for line in printed.getvalue().splitlines()]
    said = " | ".join(
        line for line in lines if line and "it/s" not in line and "video/s" not in line and "s/video" not in line
    )
    return {
        "input": item.name,
        "status": status,
        "wall_seconds": round(wall, 1),
        "clips_seconds": seconds,
        "said": said,
        "problems": _problems(item, status, seconds, printed.getvalue(), output),
    }


def _problems(item: BadInput, status: int, seconds: list[float], said: str, output: Path) -> list[str]:
    problems = []
    if status != (0 if item.seconds else 2):
        problems.append(f"status {status}")
    if "Traceback" in said:
        problems.append("traceback")
    if item.says not in said:
        problems.append(f"does not say {item.says!r}")
    if len(seconds) != len(item.seconds):
        problems.append(f"{len(seconds)} clips")
    elif any(abs(a - b) > LENGTH_TOLERANCE_SECONDS for a, b in zip(seconds, item.seconds, strict=True)):
        problems.append(f"lengths {seconds}")
    left = [file.name for file in output.rglob("*") if ".partial" in file.name]
    return problems + [f"left behind {name}" for name in left]


def main() -> None:
    """Run all inputs, or those that are named, and print a line each; status 1 if any has a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, required=True, help="for the files and what is captured")
    parser.add_argument("--only", nargs="*", help="names of inputs")
    arguments = parser.parse_args()
    (arguments.work_dir / "inputs").mkdir(parents=True, exist_ok=True)
    results = []
    for item in INPUTS:
        if arguments.only and item.name not in arguments.only:
            continue
        results.append(run_one(item, arguments.work_dir))
        print(json.dumps(results[-1], ensure_ascii=False), flush=True)
    if any(result["problems"] for result in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
