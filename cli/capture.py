"""`infinitedance capture`: dances out of videos."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("capture", help="make dances out of videos: a clip folder with music and a report")
    parser.add_argument("videos", type=Path, nargs="*", metavar="VIDEO", help="video files, see docs/capture.md")
    parser.add_argument("--output", type=Path, help="folder to write to; the same command resumes it")
    parser.add_argument(
        "--person",
        default="first",
        help="whom to capture in each shot: first, the most prominent person, all, or a number, counted from 0 "
        "(default: first)",
    )
    parser.add_argument("--height", type=float, default=1.70, help="of the dancer, metres (default: 1.70)")
    parser.add_argument(
        "--focal-length",
        type=float,
        help="of the camera, pixels of the video (default: it is guessed from the pictures)",
    )
    parser.add_argument("--genre", default="", help="of the dances (default: it is guessed, and marked as guessed)")
    parser.add_argument("--license", default="", help="terms under which you may use the videos, kept with the clips")
    parser.add_argument("--performer", default="", help="name of the dancer, kept with the clips")
    parser.add_argument("--physics", action="store_true", help="let a simulated body imitate the dance")
    parser.add_argument("--models", type=Path, help="folder of the landmark models (default: a cache folder)")
    parser.add_argument(
        "--fetch-models", action="store_true", help="fetch the landmark models first: 31 MB; 9 MB with --network full"
    )
    parser.add_argument(
        "--network",
        choices=["heavy", "full"],
        default="heavy",
        help="landmark network: heavy, or full, which takes half of the time and sees less well (default: heavy)",
    )
    parser.add_argument(
        "--hands",
        action="store_true",
        help="capture the fingers, too; with --fetch-models: fetch the models of hands, 6 MB",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Fetch the models if that is asked for, capture the videos, and print what was made."""
    if arguments.fetch_models:
        fetch(arguments)
        if not arguments.videos:
            return
    if not arguments.videos:
        raise ValueError("Give the names of videos, or `--fetch-models`.")
    if arguments.output is None:
        raise ValueError("Give `--output`, the folder to write to.")
    from ..capture.tools import CaptureTools
    from ..dataset_builder.video_clips import capture_videos
    from ..dataset_builder.video_jobs import CaptureOptions

    options = CaptureOptions(
        genre=arguments.genre,
        license=arguments.license,
        performer=arguments.performer,
        person=arguments.person,
        height_metres=arguments.height,
        focal_length_pixels=arguments.focal_length,
        physics=arguments.physics,
        hands=arguments.hands,
    )
    models = None if arguments.models is None else str(arguments.models)
    tools = CaptureTools(models=models, network=arguments.network, num_threads=os.cpu_count() or 1)
    made = capture_videos(arguments.videos, arguments.output, options, tools, show_progress=True)
    for clip in made["clips"]:
        kept = " (captured before)" if clip["clip"] in made["kept"] else ""
        print(f"{clip['clip']}{kept}: {describe(clip)}")
        for note in [*clip["gates"]["reasons"], *clip["notes"]]:
            print(f"  {note}")
        print(f"  {arguments.output / clip['row']['file']}")
    for note in made["notes"]:
        print(note)
    print(arguments.output / "report.html")
    if made["left_out"]:
        raise ValueError("\n".join(item["reason"] for item in made["left_out"]))


def describe(clip: dict[str, Any]) -> str:
    """Return what a clip is, and what its stages did to the feet, in one line."""
    from ..evaluation.report.tables import format_cell

    row, first, last = clip["row"], clip["stages"][0], [stage for stage in clip["stages"] if stage["is_used"]][-1]
    changes = [
        f"{label} {format_cell(first['numbers'][key])} -> {format_cell(last['numbers'][key])} {unit}"
        for label, key, unit in (
            ("slide", "slide_mm", "mm a frame"),
            ("penetration", "penetration_mm", "mm"),
            ("float", "float_mm", "mm"),
        )
    ]
    sound = "no sound" if row["bpm"] == "" else f"{row['bpm']:.0f} beats a minute"
    what = f"{row['seconds']:.1f} s, {row['genre']} ({row['genre_source']}), {sound}"
    return f"{what}; {', '.join(changes)}; quality gates: {row['gates']}"


def fetch(arguments: argparse.Namespace) -> None:
    """Fetch the landmark models and print where they are and on what terms."""
    from ..capture.models import LICENSE_NOTE, fetch_models

    for path in fetch_models(arguments.models, arguments.hands, arguments.network):
        print(path)
    print(LICENSE_NOTE)
