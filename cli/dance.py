"""`infinitedance dance` and `infinitedance demo`: a dance to a song."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ..assets import DEFAULT_RESTORER, DEMO_GENRE, DEMO_SONG, MODELS
from .energy_file import energy_option


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add both commands."""
    dance = commands.add_parser("dance", help="make a dance to a song: BVH, npz and mp4")
    dance.add_argument("song", type=Path, help="audio file: wav, mp3, flac, ogg, m4a; 0.5 s to 60 min")
    _add_options(dance)
    dance.set_defaults(run=run)
    demo = commands.add_parser("demo", help="make a dance to the song that ships with the package")
    _add_options(demo)
    demo.set_defaults(run=run, song=DEMO_SONG, genre=DEMO_GENRE)


def genres_of(name: str) -> list[str]:
    """Return the genres of a model that ships, from its configuration alone."""
    return json.loads((MODELS[name] / "config.json").read_text(encoding="utf-8"))["genres"]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--genre",
        help="dance genre; "
        + "; ".join(f"{name}: {', '.join(genres_of(name))}" for name in MODELS)
        + " (default: the one that suits the song's meter, tempo and liveliness)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another dance (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("outputs"), help="folder to write to (default: outputs)")
    parser.add_argument(
        "--model",
        default="open",
        help="open: commercial use allowed; research: more genres, non-commercial; a model folder; or a Hub name "
        "(default: open)",
    )
    parser.add_argument(
        "--side",
        choices=("left", "right"),
        help="right: the side on which the dance is usually danced; left: its mirror image; for models that control "
        "it (default: right)",
    )
    parser.add_argument(
        "--energy",
        type=energy_option,
        metavar="VALUE|FILE",
        help="0: rest, 0.5: the usual speed of the genre, 1: twice that; or a CSV file with the columns "
        "seconds,energy; for models that control it (default: as loud as the song)",
    )
    parser.add_argument(
        "--ending",
        choices=("pose", "fade", "none"),
        default="pose",
        help="pose: hold a pose from the last downbeat on; fade: come to rest there; none: dance to the last frame; a "
        "song that fades out is faded with, unless it is none (default: pose)",
    )
    parser.add_argument(
        "--stage",
        type=float,
        metavar="RADIUS",
        help="stay in a circle of this radius in metres, and face the audience as phrases begin (default: anywhere)",
    )
    parser.add_argument(
        "--no-repeats",
        action="store_true",
        help="dance every section of the song anew (default: sections that are alike are danced alike)",
    )
    parser.add_argument(
        "--guidance-scale",
        type=float,
        help="how strongly the dance follows music and genre, 0 to 3 (default: the model's, mostly 2)",
    )
    parser.add_argument("--bpm", type=float, help="tempo of the song, if the estimate is wrong")
    parser.add_argument("--meter", type=int, help="beats in a bar, if the estimate is wrong")
    parser.add_argument("--first-downbeat", type=float, help="time of a downbeat in seconds, if the estimate is wrong")
    parser.add_argument(
        "--references",
        type=Path,
        metavar="LIBRARY",
        help="take reference dances from this library, made by `infinitedance index` (default: that of the model)",
    )
    parser.add_argument(
        "--num-references",
        type=int,
        help="references at any moment; 0: none (default: the model's)",
    )
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
    if arguments.stage is not None and not 0 < arguments.stage < float("inf"):
        raise ValueError(f"`--stage` must be a positive number of metres, got {arguments.stage}.")
    if arguments.guidance_scale is not None and not 0 <= arguments.guidance_scale <= 3:
        raise ValueError(f"`--guidance-scale` must lie in 0 to 3, got {arguments.guidance_scale}.")
    restorer = DEFAULT_RESTORER if arguments.restore == "auto" else None
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model, arguments.references, restorer)
    if pipeline.retriever is None and (arguments.pin or arguments.num_references):
        raise ValueError(
            "`--pin` and `--num-references` are about dances of a library, and this model has none: give "
            "`--references` too."
        )
    if arguments.genre is not None and arguments.genre not in pipeline.genres:
        knowing = " or ".join(f"`--model {name}`" for name in MODELS if arguments.genre in genres_of(name))
        raise ValueError(
            f"This model dances {', '.join(pipeline.genres)}, not {arguments.genre!r}"
            + (f"; {knowing} does." if knowing else ".")
        )
    sampling = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
    num_references = arguments.num_references
    if num_references is None and arguments.references is not None:
        num_references = pipeline.default_num_references or 1
    dance = pipeline(
        arguments.song,
        genre=arguments.genre,
        seed=arguments.seed,
        side=arguments.side,
        energy=arguments.energy,
        ending=arguments.ending,
        stage_radius=arguments.stage,
        repeats=not arguments.no_repeats,
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
    if reason := motion.provenance.get("genre_reason"):
        print(reason)
    if dance.copy_report is not None:
        num_clips = len({hit.clip_id for window in dance.references for hit in window.hits})
        report = dance.copy_report
        print(
            f"{num_clips} reference dance{'' if num_clips == 1 else 's'}; the nearest piece, of "
            f"{report.nearest_clip_id}, is {report.nearest_millimetres:.0f} mm away; copied: "
            f"{100 * report.copied_share:.0f} %; longest run of shared codes: {report.longest_run_tokens} tokens"
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
