"""`infinitedance convert`: a dance for Blender, Unity, Unreal, VRM tools and others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .reading_options import add_reading_options, read_options

if TYPE_CHECKING:
    import numpy as np

    from ..motion.motion import Motion

# As in `motion.files`, which is not imported to parse a command line; a test compares them.
FORMATS = (".bvh", ".glb", ".vrma", ".usd", ".usda", ".usdc", ".fbx", ".csv", ".vmd", ".smplx.npz", ".npz")
NAMES = ("smpl", "mixamo", "vrm", "unity", "unreal")
BODIES = ("human", "capsules", "none")
BEST_LENGTH = 0
"""Of a loop whose bars are not given."""


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
    parser.add_argument(
        "--loop",
        nargs="?",
        type=_number_of_bars,
        const=BEST_LENGTH,
        metavar="BARS",
        help="cut a loop of so many whole bars and close it; without a number of as many as close best",
    )
    parser.add_argument(
        "--from-bar",
        type=int,
        metavar="N",
        help="bar in which the loop starts, from 1 (default: where it closes best)",
    )
    parser.add_argument(
        "--song",
        type=Path,
        help="the song: beat times for a file without; with --loop its cut is written beside the loop, as .song.wav",
    )
    add_reading_options(parser)
    parser.set_defaults(run=run)


def _number_of_bars(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"BARS must be a whole number from 1, got {text!r}; without one write --loop after the files"
        )
    return int(text)


def run(arguments: argparse.Namespace) -> None:
    """Read, change and write a dance."""
    from ..motion.files import check_export_path, export_motion, read_motion
    from ..motion.files.blender_markers import MARKED_FORMATS, blender_rate_hint, write_blender_markers
    from ..motion.hand_angles import with_relaxed_fingers
    from ..motion.head import level_head
    from ..motion.looping import in_place

    suffix = check_export_path(arguments.output)
    if arguments.markers and suffix not in MARKED_FORMATS:
        raise ValueError(f"`--markers` goes with {', '.join(MARKED_FORMATS)}, got {arguments.output}.")
    if arguments.from_bar is not None and arguments.loop is None:
        raise ValueError("`--from-bar` says where a loop starts: give `--loop` too.")
    _check_is_other(arguments.output, arguments.motion)
    motion = read_motion(arguments.motion, read_options(arguments))
    if arguments.song is not None:
        motion = _with_beats(motion, arguments.song)
    if suffix == ".vmd":
        from ..motion.files.vmd import FRAME_RATE

        if arguments.frame_rate not in (None, FRAME_RATE):
            raise ValueError(f"A VMD has {FRAME_RATE:g} frames a second, got --frame-rate {arguments.frame_rate}.")
        motion = motion.resample(FRAME_RATE)  # before it is looped, so that its last key falls on a frame
    elif arguments.frame_rate is not None:
        motion = motion.resample(arguments.frame_rate)
    song_loop = None
    if arguments.loop is not None:
        motion, song_loop = _looped(motion, arguments)
    if arguments.in_place:
        motion = in_place(motion)
    if arguments.head:
        motion = level_head(motion)
    if arguments.fingers:
        motion = with_relaxed_fingers(motion)
    export_motion(motion, arguments.output, names=arguments.names, body=arguments.body)
    print(f"{arguments.output}: {motion.num_frames} frames at {motion.frame_rate:g} Hz")
    if song_loop is not None:
        from ..audio.song_loop import write_wav

        song_path = song_path_of(arguments.output)
        write_wav(*song_loop, song_path)
        print(f"{song_path}: the song of the loop, {len(song_loop[0])} samples at {song_loop[1]} Hz")
    if arguments.markers:
        script = write_blender_markers(motion, arguments.output)
        print(f"{script}: `blender --python {script}`, or run it in Blender's Text Editor after the import")
    elif (hint := blender_rate_hint(motion, arguments.output)) is not None:
        print(hint)


def _looped(motion: Motion, arguments: argparse.Namespace) -> tuple[Motion, tuple[np.ndarray, int] | None]:
    """Return the loop of a dance, and the samples and rate of its song's cut if there is a song; print its seam."""
    from ..motion.looping import SONG_START_KEY, loop_of_whole_bars

    motion, seam = loop_of_whole_bars(motion, arguments.loop or None, arguments.from_bar)
    seconds = (motion.num_frames - 1) / motion.frame_rate
    song_loop = None
    if arguments.song is not None:
        from ..audio.song_loop import loop_of_song

        _check_is_other(song_path_of(arguments.output), arguments.song)
        song_loop = loop_of_song(arguments.song, motion.provenance[SONG_START_KEY], seconds)
    where = "end" if seam.leads_at_end else "start"
    print(
        f"loop of {seam.num_bars} {'bar' if seam.num_bars == 1 else 'bars'} from bar {seam.first_bar} on, "
        f"{seconds:.3f} s from {seam.start_seconds:.3f} s, its {where} blended for {seam.blend_seconds:.2f} s; "
        f"{seam.travel_metres:.2f} m of travel and {seam.turn_degrees:.0f} degrees of turning are returned"
    )
    print(
        f"at its seam joints jump by at most {1000 * seam.position_jump_metres:.0f} mm and "
        f"{seam.velocity_jump:.2f} m/s; only cut: {1000 * seam.cut_position_jump_metres:.0f} mm and "
        f"{seam.cut_velocity_jump:.2f} m/s"
    )
    return motion, song_loop


def song_path_of(output: Path) -> Path:
    """Return where the song of a loop is written: `loop.song.wav` beside `loop.glb`."""
    ending = max((each for each in FORMATS if output.name.lower().endswith(each)), key=len)
    return output.with_name(f"{output.name[: -len(ending)]}.song.wav")


def _check_is_other(output: Path, source: Path) -> None:
    if output.exists() and source.exists() and output.samefile(source):
        raise ValueError(f"The output must be another file than the input, got {output} for both.")


def _with_beats(motion: Motion, song: Path) -> Motion:
    """Return a motion that knows its beats: its own, or else those of its song."""
    from ..media.decoding import check_file

    if motion.provenance.get("downbeat_times_seconds"):
        check_file(song, str(song))
        return motion
    from dataclasses import replace

    from ..audio.beats import estimate_beats
    from ..audio.loading import load_audio
    from ..audio.spectra import SAMPLING_RATE

    clock = estimate_beats(load_audio(song, SAMPLING_RATE), SAMPLING_RATE)
    return replace(motion, provenance={**motion.provenance, **clock.times_within(motion.duration_seconds)})
