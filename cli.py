"""The command `infinitedance`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .motion.files import read_motion, save_motion, write_bvh
from .motion.rendering import check_picture_size, render_contact_sheet, render_video
from .pipeline import DEFAULT_MODEL, DEMO_SONG, MusicToDancePipeline


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="infinitedance", description="A song goes in, a 3D dance comes out.")
    commands = parser.add_subparsers(dest="command", required=True)

    dance = commands.add_parser("dance", help="make a dance to a song: BVH, npz and mp4")
    dance.add_argument("song", type=Path, help="audio file: wav, mp3, flac, ogg, m4a; 0.5 s to 60 min")
    _add_dance_options(dance)
    dance.set_defaults(run=_dance)

    demo = commands.add_parser("demo", help="make a dance to the song that ships with the package")
    _add_dance_options(demo)
    demo.set_defaults(run=_dance, song=DEMO_SONG, genre="waltz")

    sheet = commands.add_parser("sheet", help="draw stills of a dance as one PNG")
    sheet.add_argument("motion", type=Path, help="motion file: .npz or .bvh")
    sheet.add_argument("--output", type=Path, default=Path("sheet.png"), help="the PNG (default: sheet.png)")
    sheet.add_argument("--rows", type=int, default=2, help="rows of stills (default: 2)")
    sheet.add_argument("--columns", type=int, default=6, help="columns of stills (default: 6)")
    sheet.set_defaults(run=_sheet)

    procedural = commands.add_parser("procedural", help="write a small data set of synthesised music and dances")
    procedural.add_argument("output", type=Path, help="the clip folder; must not exist or be empty")
    procedural.add_argument("--clips", type=int, default=16, help="number of clips (default: 16)")
    procedural.add_argument("--seconds", type=float, default=20.0, help="length of a clip (default: 20)")
    procedural.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    procedural.set_defaults(run=_procedural)
    return parser


def _add_dance_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--genre", help="dance genre; a wrong one lists those of the model (default: any)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another dance (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("outputs"), help="folder to write to (default: outputs)")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="model folder or Hub name (default: the one that ships)"
    )
    parser.add_argument("--guidance-scale", type=float, help="how strongly music and genre lead, 0 to 3 (default: 2)")
    parser.add_argument("--bpm", type=float, help="tempo of the song, if the estimate is wrong")
    parser.add_argument("--meter", type=int, help="beats in a bar, if the estimate is wrong")
    parser.add_argument("--first-downbeat", type=float, help="time of a downbeat in seconds, if the estimate is wrong")
    parser.add_argument("--no-video", action="store_true", help="write no mp4")
    parser.add_argument(
        "--video-height",
        type=int,
        default=540,
        help="height of the mp4 in pixels, the width being 16/9 of it (default: 540; 720 takes half as long again)",
    )


def _dance(arguments: argparse.Namespace) -> None:
    if not arguments.song.is_file():
        raise FileNotFoundError(f"There is no audio file {arguments.song}.")
    height = arguments.video_height
    video_size = (round(height * 16 / 9 / 2) * 2, height)
    check_picture_size(video_size)  # told before the work, as all that can be
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = f"{arguments.song.stem}_{arguments.genre or 'any'}_{arguments.seed}"
    if not os.access(arguments.output, os.W_OK):
        raise PermissionError(f"Cannot write to {arguments.output}: no permission. Give another `--output`.")
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model)
    sampling = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
    motion = pipeline(
        arguments.song,
        genre=arguments.genre,
        seed=arguments.seed,
        bpm=arguments.bpm,
        meter=arguments.meter,
        first_downbeat_seconds=arguments.first_downbeat,
        show_progress=True,
        **sampling,
    ).motion
    paths = [arguments.output / f"{stem}{suffix}" for suffix in (".bvh", ".npz")]
    write_bvh(motion, paths[0])
    save_motion(motion, paths[1])
    if not arguments.no_video:
        paths.append(arguments.output / f"{stem}.mp4")
        render_video(motion, paths[-1], arguments.song, size=video_size)
    print(f"{motion.num_frames} frames, {motion.duration_seconds:.2f} s of dance:")
    for path in paths:
        print(f"  {path}")


def _sheet(arguments: argparse.Namespace) -> None:
    render_contact_sheet(
        read_motion(arguments.motion), arguments.output, rows=arguments.rows, columns=arguments.columns
    )
    print(arguments.output)


def _procedural(arguments: argparse.Namespace) -> None:
    from .dataset_builder.procedural import make_procedural_dataset

    print(make_procedural_dataset(arguments.output, arguments.clips, arguments.seconds, arguments.seed))


def main(command_line: list[str] | None = None) -> int:
    """Run a command; wrong input is told in one line, with exit status 2.

    Args:
        command_line: Without the program's name; `sys.argv[1:]` by default.

    Returns:
        The exit status.
    """
    arguments = build_parser().parse_args(command_line)
    try:
        arguments.run(arguments)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"infinitedance: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
