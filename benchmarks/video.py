"""Measure videos of dances: size, likeness and time of encoders, and how fast each kind of video is written.

```bash
python -m benchmarks.video --output docs/video_results.md
```

It makes a dance to the song that ships and takes some minutes. The processor's time is stated: it depends less than
the clock's on what else the machine does.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from infinitedance import MusicToDancePipeline
from infinitedance.assets import DEMO_GENRE, DEMO_SONG
from infinitedance.evaluation.report.tables import Table
from infinitedance.media.encoding import H264_OPTIONS
from infinitedance.motion.drawing.drawing import Painter
from infinitedance.motion.drawing.rendering import render_video
from infinitedance.motion.drawing.scene import build_scene
from infinitedance.motion.motion import Motion

from .writer import Section, add_sections_option, chosen_sections, write_report

INTRODUCTION = """# Videos of dances: size, likeness, time

A dance of `open` to the song that ships, at 30 pictures a second. Times are of the processor of one machine, all
its cores together; those of encoders are measured in turns. Two cores write twice as many pictures in a second as one
core has time for, less what they wait for each other.
"""
SIZE = (1280, 720)
FRAME_RATE = 30
TURNS = 2
OURS = "superfast, less three tools, 25"
ENCODERS: dict[str, Mapping[str, str]] = {
    "ultrafast with CABAC and deblocking, 24": {
        "preset": "ultrafast",
        "crf": "24",
        "x264-params": "cabac=1:deblock=1,1",
        "threads": "1",
    },
    OURS: H264_OPTIONS,
    **{
        f"{preset}, {crf}": {"preset": preset, "crf": crf, "threads": "1"}
        for preset, crf in (("superfast", "25"), ("veryfast", "21"), ("faster", "22"), ("medium", "22"))
    },
}
"""Presets and rate factors of x264; the first is that of version 0.2.0."""


@dataclass(frozen=True)
class Encoded:
    """What an encoder made.

    Args:
        num_bytes: Size of the file.
        similarity: Mean SSIM of brightness.
        lowest: That of the worst picture.
    """

    num_bytes: int
    similarity: float
    lowest: float


@cache
def demo_dance() -> Motion:
    """Return the ten seconds that are drawn."""
    dance = MusicToDancePipeline.from_pretrained()(DEMO_SONG, genre=DEMO_GENRE, seed=0, show_progress=False)
    return dance.motion.resample(FRAME_RATE).cut(0, 10 * FRAME_RATE)


def structural_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean SSIM of two pictures of brightness, `(height, width)` from 0 to 255 (Wang et al. 2004)."""
    import cv2

    def local_mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5))

    first, second = first.astype(np.float64), second.astype(np.float64)
    means = local_mean(first), local_mean(second)
    variances = [local_mean(each**2) - mean**2 for each, mean in zip((first, second), means, strict=True)]
    covariance = local_mean(first * second) - means[0] * means[1]
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ratio = (2 * means[0] * means[1] + light) * (2 * covariance + contrast)
    return float((ratio / ((means[0] ** 2 + means[1] ** 2 + light) * (sum(variances) + contrast))).mean())


def encode(pictures: list[np.ndarray], options: Mapping[str, str], path: Path) -> None:
    """Write pictures, `(height * 3 / 2, width)` of planes I420, as H.264."""
    import av

    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=FRAME_RATE)
        (video.width, video.height), video.pix_fmt, video.options = SIZE, "yuv420p", dict(options)
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(video.encode())


def compare(pictures: list[np.ndarray], path: Path) -> Encoded:
    """Compare every tenth picture of a video with what was drawn."""
    import av

    height = SIZE[1]
    with av.open(str(path)) as container:
        values = [
            structural_similarity(pictures[index][:height], frame.to_ndarray()[:height])
            for index, frame in enumerate(container.decode(video=0))
            if index % 10 == 0
        ]
    return Encoded(path.stat().st_size, float(np.mean(values)), min(values))


def encoder_table(motion: Motion) -> Table:
    """Compare encoders on the same pictures; the time is the least of several turns."""
    import cv2

    painter = Painter(build_scene(motion, SIZE))
    pictures: list[np.ndarray] = [
        np.asarray(cv2.cvtColor(painter.draw(frame), cv2.COLOR_BGR2YUV_I420)) for frame in range(motion.num_frames)
    ]
    times: dict[str, list[float]] = {name: [] for name in ENCODERS}
    made: dict[str, Encoded] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dance.mp4"
        for _ in range(TURNS):
            for name, options in ENCODERS.items():
                start = time.process_time()
                encode(pictures, options, path)
                times[name].append((time.process_time() - start) / len(pictures))
                if name not in made:
                    made[name] = compare(pictures, path)
    first = next(iter(made.values())).num_bytes
    minutes = len(pictures) / FRAME_RATE / 60
    rows: list[list[Any]] = [
        [name, each.num_bytes / 1e6 / minutes, each.num_bytes / first, f"{each.similarity:.4f}", f"{each.lowest:.4f}"]
        + [1000 * min(times[name])]
        for name, each in made.items()
    ]
    note = (
        "Preset and constant rate factor of x264. SSIM: likeness of brightness to the drawn picture, 1 is equal; the "
        "worst of every tenth picture. The three tools are adaptive B-frames, weighted prediction and scene cuts."
    )
    columns = ["encoder", "MB a minute", "of the first", "SSIM", "worst picture", "ms a picture"]
    return Table("Encoders of H.264 at 1280x720, capsules", columns, rows, note)


def speed_table(motion: Motion) -> Table:
    """Measure how long each kind of video takes, drawing and encoding."""
    two = [motion, motion.mirror()]
    hd, uhd = (1920, 1080), (3840, 2160)
    kinds: list[tuple[str, Any, str, dict[str, Any]]] = [
        ("capsules, 720p", motion, "mp4", {"body": "capsules"}),
        ("human, 720p", motion, "mp4", {"body": "human"}),
        ("openpose, 720p", motion, "mp4", {"body": "openpose"}),
        ("two humans, 720p", two, "mp4", {"body": "human"}),
        ("human, 1080p", motion, "mp4", {"body": "human", "size": hd}),
        ("human, 2160p", motion.cut(0, 60), "mp4", {"body": "human", "size": uhd}),
        ("human, 720p", motion.cut(0, 150), "webm", {"body": "human"}),
        ("human alone, 720p", motion.cut(0, 150), "webm", {"body": "human", "transparent": True}),
        ("human alone, 720p", motion.cut(0, 60), "mov", {"body": "human", "transparent": True}),
    ]
    cores = os.cpu_count() or 1
    rows: list[list[Any]] = []
    Painter(build_scene(motion, SIZE), "human").draw(0)  # compiles, and makes the body
    with tempfile.TemporaryDirectory() as folder:
        for name, dances, suffix, options in kinds:
            path = Path(folder) / f"dance.{suffix}"
            draw = partial(render_video, dances, path, DEMO_SONG, show_progress=False, **options)
            seconds, count = _measured(draw)
            size = path.stat().st_size / 1e6 / (count / FRAME_RATE / 60)
            rows.append([name, suffix, 1000 * seconds / count, cores * count / seconds, size])
    note = (
        f"Drawing, encoding and sound. Pictures a second: on {cores} cores, if nothing else runs and no core waits. "
        f"The load of the machine was {os.getloadavg()[0]:.1f}; the processor's time grows with it, too."
    )
    columns = ["picture", "file", "ms of the processor a picture", "pictures a second", "MB a minute"]
    return Table("Speed and size", columns, rows, note)


def _measured(draw: partial) -> tuple[float, int]:
    """Return seconds of the processor, of all threads, and the number of pictures."""
    start = time.process_time()
    count = draw()
    return time.process_time() - start, count


def main() -> None:
    """Measure the chosen sections and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, required=True, help="the Markdown file; numbers go to a .json beside it"
    )
    measures = {"encoders": encoder_table, "speed": speed_table}
    add_sections_option(parser, measures)
    arguments = parser.parse_args()
    titles = {"encoders": "Encoders", "speed": "Speed"}
    command = f"python -m benchmarks.video --output {arguments.output}"
    sections = {
        name: Section(titles[name], command, None, lambda measure=measure: [measure(demo_dance())])  # type: ignore[misc]
        for name, measure in measures.items()
    }
    write_report(arguments.output, INTRODUCTION, sections, chosen_sections(parser, arguments, sections))


if __name__ == "__main__":
    main()
