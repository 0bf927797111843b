"""`infinitedance convert`: a dance for Blender, Unity, Unreal, VRM tools and others."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options

# As in `motion.files`, which is not imported to parse a command line; a test compares them.
FORMATS = (".bvh", ".glb", ".vrma", ".usd", ".usda", ".usdc", ".fbx", ".csv", ".vmd", ".smplx.npz", ".npz")
NAMES = ("smpl", "mixamo", "vrm", "unity", "unreal")
BODIES = ("human", "capsules", "none")


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("convert", help="write a dance for Blender, Unity, Unreal, VRM tools and others")
    parser.add_argument("motion", type=Path, help="motion file: .npz, .bvh and others, see docs/reading.md")
    parser.add_argument(
        "output", type=Path, help=f"file to write; its ending chooses the format: {', '.join(FORMATS)}"
    )
    parser.add_argument(
        "--names", choices=NAMES, help="names of the bones; `unreal` has a bone for root motion (default: smpl)"
    )
    parser.add_argument("--body", choices=BODIES, help="body in GLB, USD and FBX files (default: human)")
    parser.add_argument("--in-place", action="store_true", help="keep the dancer on the spot")
    parser.add_argument(
        "--frame-rate",
        type=int,
        choices=(24, 25, 30, 60),
        help="frames per second of the output (default: as in the file)",
    )
    parser.add_argument("--fingers", choices=("relaxed",), help="give a dance without fingers those of resting hands")
    parser.add_argument("--head", choices=("level",), help="keep the head upright, turned half by the neck")
    parser.add_argument(
        "--markers", action="store_true", help="write a script for Blender beside the file: frame rate, range, beats"
    )
    parser.add_argument("--loop", action="store_true", help="cut a loop of whole bars, where its seam is smallest")
    parser.add_argument("--song", type=Path, help="the song, for a file without beat times")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Read, change and write a dance."""
    from dataclasses import replace

    from ..motion.files import check_export_path, export_motion, read_motion
    from ..motion.files.blender_markers import MARKED_FORMATS, blender_rate_hint, write_blender_markers
    from ..motion.hand_angles import with_relaxed_fingers
    from ..motion.head import level_head
    from ..motion.looping import in_place, loop_of_whole_bars

    suffix = check_export_path(arguments.output)
    if arguments.markers and suffix not in MARKED_FORMATS:
        raise ValueError(f"`--markers` goes with {', '.join(MARKED_FORMATS)}, got {arguments.output}.")
    if arguments.output.exists() and arguments.motion.exists() and arguments.output.samefile(arguments.motion):
        raise ValueError(f"The output must be another file than the input, got {arguments.output} for both.")
    motion = read_motion(arguments.motion, read_options(arguments))
    if arguments.song is not None:
        from ..audio.beats import estimate_beats
        from ..audio.loading import load_audio
        from ..audio.spectra import SAMPLING_RATE

        clock = estimate_beats(load_audio(arguments.song, SAMPLING_RATE), SAMPLING_RATE)
        motion = replace(motion, provenance={**motion.provenance, **clock.times_within(motion.duration_seconds)})
    if arguments.frame_rate is not None:
        motion = motion.resample(arguments.frame_rate)
    if arguments.in_place:
        motion = in_place(motion)
    if arguments.head:
        motion = level_head(motion)
    if arguments.fingers:
        motion = with_relaxed_fingers(motion)
    if arguments.loop:
        motion, seam = loop_of_whole_bars(motion)
        print(
            f"loop of {seam.num_bars} bars, {(motion.num_frames - 1) / motion.frame_rate:.3f} s from "
            f"{seam.start_seconds:.3f} s on; at its seam joints jump by {1000 * seam.position_jump_metres:.0f} mm and "
            f"{seam.velocity_jump:.2f} m/s; the dancer gets {seam.travel_metres:.2f} m away"
        )
    export_motion(motion, arguments.output, names=arguments.names, body=arguments.body)
    print(f"{arguments.output}: {motion.num_frames} frames at {motion.frame_rate:g} Hz")
    if arguments.markers:
        script = write_blender_markers(motion, arguments.output)
        print(f"{script}: `blender --python {script}`, or run it in Blender's Text Editor after the import")
    elif (hint := blender_rate_hint(motion, arguments.output)) is not None:
        print(hint)
