"""`infinitedance video`: a video of one dancer or two, of any motion files."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options
from .song_options import check_range

# As in `motion.drawing`, which is not imported to parse a command line; a test compares them.
CAMERAS = ("follow", "front", "side", "orbit")
BODIES = ("human", "capsules", "openpose")
MAX_HEIGHT = 2160
MAX_FRAME_RATE = 240


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("video", help="draw a dance, or two dancers in one scene, as a video with the song")
    parser.add_argument("motion", type=Path, help="motion file: .npz, .bvh and others, see docs/reading.md")
    parser.add_argument(
        "other",
        type=Path,
        nargs="?",
        help="motion file of a second dancer, who stands beside the first where the two would stand in each other",
    )
    parser.add_argument("--song", type=Path, help="sound of the video, which begins with the dance (default: silent)")
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write: .mp4, .mov or .webm; without an ending a new folder of PNG pictures (default: video.mp4, "
        "video.webm if transparent)",
    )
    parser.add_argument(
        "--camera",
        choices=CAMERAS,
        default="follow",
        help="follow: goes with the dancer, a little from the side; front, side: stand still and see the whole dance; "
        "orbit: goes around the dancer (default: follow)",
    )
    parser.add_argument(
        "--body",
        choices=BODIES,
        default="human",
        help="human: in clothes; capsules: a figure with its left side blue and its right side orange; openpose: the "
        "lines and points on black that video generators take (default: human)",
    )
    parser.add_argument("--height", type=int, default=720, help="of the picture in pixels, even (default: 720)")
    parser.add_argument("--width", type=int, help="of the picture in pixels, even (default: 16:9)")
    parser.add_argument("--frame-rate", type=int, default=30, help="pictures per second (default: 30)")
    parser.add_argument("--transparent", action="store_true", help="only the dancer, for .webm, .mov or pictures")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Read and draw; what can be refused is refused before the work."""
    from ..motion.drawing.rendering import check_video, render_video
    from ..motion.files import read_motion

    check_range("--height", arguments.height, 64, MAX_HEIGHT, "pixels")
    check_range("--frame-rate", arguments.frame_rate, 1, MAX_FRAME_RATE, "pictures per second")
    width = round(arguments.height * 8 / 9) * 2 if arguments.width is None else arguments.width
    output = arguments.output or Path("video.webm" if arguments.transparent else "video.mp4")
    looks = {
        "size": (width, arguments.height),
        "frame_rate": arguments.frame_rate,
        "transparent": arguments.transparent,
    }
    check_video(output, arguments.song, **looks)
    options = read_options(arguments)
    dances = [read_motion(path, options) for path in (arguments.motion, arguments.other) if path is not None]
    count = render_video(dances, output, arguments.song, camera=arguments.camera, body=arguments.body, **looks)
    print(f"{output}: {width}x{arguments.height}, {count} pictures, {arguments.frame_rate} per second")
