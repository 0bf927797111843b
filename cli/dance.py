"""`infinitedance dance` and `infinitedance demo`: a dance to a song."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ..assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER, DEMO_SONG

DEFAULT_NUM_REFERENCES = 2


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add both commands."""
    dance = commands.add_parser("dance", help="make a dance to a song: BVH, npz and mp4")
    dance.add_argument("song", type=Path, help="audio file: wav, mp3, flac, ogg, m4a; 0.5 s to 60 min")
    _add_options(dance)
    dance.set_defaults(run=run)
    demo = commands.add_parser("demo", help="make a dance to the song that ships with the package")
    _add_options(demo)
    demo.set_defaults(run=run, song=DEMO_SONG, genre="waltz")


def default_genres() -> list[str]:
    """Return the genres of the model that ships, from its configuration alone."""
    return json.loads((DEFAULT_MODEL / "config.json").read_text(encoding="utf-8"))["genres"]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--genre",
        help=f"dance genre; the model that ships knows {', '.join(default_genres())} (default: the model chooses)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another dance (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("outputs"), help="folder to write to (default: outputs)")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="model folder or Hub name (default: the one that ships)"
    )
    parser.add_argument(
        "--guidance-scale", type=float, help="how strongly the dance follows music and genre, 0 to 3 (default: 2)"
    )
    parser.add_argument("--bpm", type=float, help="tempo of the song, if the estimate is wrong")
    parser.add_argument("--meter", type=int, help="beats in a bar, if the estimate is wrong")
    parser.add_argument("--first-downbeat", type=float, help="time of a downbeat in seconds, if the estimate is wrong")
    parser.add_argument(
        "--references",
        type=Path,
        nargs="?",
        const=DEFAULT_REFERENCES,
        metavar="LIBRARY",
        help="guide the dance with reference dances from this library, made by `infinitedance index`; without a "
        "folder, the library that ships",
    )
    parser.add_argument("--num-references", type=int, help="references at any moment (default: 2)")
    parser.add_argument(
        "--pin", action="append", default=[], metavar="CLIP", help="a dance of the library to use from start to end"
    )
    parser.add_argument(
        "--restore",
        choices=("auto", "off"),
        default="off",
        help="auto: the foot restoration model finishes the feet; off: a simpler method does, which is as good here "
        "and changes less (default: off, see docs/frdm.md)",
    )
    parser.add_argument("--no-video", action="store_true", help="write no mp4")
    parser.add_argument(
        "--video-height",
        type=int,
        default=540,
        help="height of the mp4 in pixels; its width is 16/9 of that (default: 540)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Make a dance and write its files; what can be refused is refused before the work."""
    from ..motion.drawing.rendering import check_picture_size, render_video
    from ..motion.files import save_motion, write_bvh
    from ..pipeline import MusicToDancePipeline

    if not arguments.song.is_file():
        raise FileNotFoundError(f"There is no audio file {arguments.song}.")
    height = arguments.video_height
    video_size = (round(height * 16 / 9 / 2) * 2, height)
    check_picture_size(video_size)
    writes_video = not arguments.no_video and _can_write_video()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if not os.access(arguments.output, os.W_OK):
        raise PermissionError(f"Cannot write to {arguments.output}: no permission. Give another `--output`.")
    if arguments.references is None and (arguments.pin or arguments.num_references is not None):
        raise ValueError("`--pin` and `--num-references` are about dances of a library: give `--references` too.")
    if arguments.guidance_scale is not None and not 0 <= arguments.guidance_scale <= 3:
        raise ValueError(f"`--guidance-scale` must lie in 0 to 3, got {arguments.guidance_scale}.")
    restorer = DEFAULT_RESTORER if arguments.restore == "auto" else None
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model, arguments.references, restorer)
    sampling = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
    num_references = 0 if arguments.references is None else arguments.num_references or DEFAULT_NUM_REFERENCES
    dance = pipeline(
        arguments.song,
        genre=arguments.genre,
        seed=arguments.seed,
        bpm=arguments.bpm,
        meter=arguments.meter,
        first_downbeat_seconds=arguments.first_downbeat,
        num_references=num_references,
        pinned_references=arguments.pin,
        show_progress=True,
        **sampling,
    )
    stem = arguments.output / f"{arguments.song.stem}_{arguments.genre or 'any'}_{arguments.seed}"
    motion = dance.motion
    paths = [Path(f"{stem}{suffix}") for suffix in (".bvh", ".npz")]
    write_bvh(motion, paths[0])
    save_motion(motion, paths[1])
    if writes_video:
        paths.append(Path(f"{stem}.mp4"))
        render_video(motion, paths[-1], arguments.song, size=video_size)
    if dance.copy_report is not None:
        num_clips = len({hit.clip_id for window in dance.references for hit in window.hits})
        report = dance.copy_report
        print(
            f"{num_clips} reference dances; the nearest piece, of {report.nearest_clip_id}, is "
            f"{report.nearest_millimetres:.0f} mm away; copied: {100 * report.copied_share:.0f} %; longest run of "
            f"shared codes: {report.longest_run_tokens} tokens"
        )
    print(f"{motion.num_frames} frames, {motion.duration_seconds:.2f} s of dance:")
    for path in paths:
        print(f"  {path}")


def _can_write_video() -> bool:
    """Return whether the packages for an mp4 are there; say so if not."""
    from ..utils.extras import install_command, is_installed

    missing = [package for package in ("av", "cv2") if not is_installed(package)]
    if missing:
        print(f"No mp4 will be written: that needs {' and '.join(missing)} ({install_command('video')}).")
    return not missing
