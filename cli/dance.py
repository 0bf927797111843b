"""`infinitedance dance` and `infinitedance demo`: dances to songs."""

from __future__ import annotations

import argparse
import json
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import DEFAULT_RESTORER, DEMO_GENRE, DEMO_SONG, MODELS
from .adapter_option import adapter_weights, add_adapter_option
from .energy_file import energy_option
from .release_options import (
    add_release_options,
    check_release_options,
    dance_released,
    is_release,
    load_release_pipeline,
)
from .song_batch import (
    PlannedSong,
    Report,
    SongResult,
    bars_on_terminals_only,
    find_songs,
    plan_songs,
    quieted,
    without_finished,
)
from .song_options import add_beat_options, check_beat_options, check_range

if TYPE_CHECKING:
    import numpy as np

    from ..motion.motion import Motion
    from ..pipeline import Dance, MusicToDancePipeline
    from ..release_pipeline import ReleaseToDancePipeline

MAX_SEED = 2**63 - 1
"""What torch takes, and JSON readers hold as a whole number."""
MIN_STAGE_METRES, MAX_STAGE_METRES = 0.01, 1000.0
MAX_REFERENCES = 1000
MAX_VIDEO_HEIGHT = 2160


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add both commands."""
    dance = commands.add_parser("dance", help="make dances to songs: BVH, npz and mp4")
    dance.add_argument(
        "songs",
        type=_named_path,
        nargs="+",
        metavar="SONG_OR_FOLDER",
        help="audio file, or a video with sound, 0.5 s to 60 min; of a folder all audio files, but not those of the "
        "folders inside it",
    )
    _add_options(dance)
    add_release_options(dance)
    existing = dance.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that are there already (default: refuse, before any work)",
    )
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out songs whose files are all there already: the same command finishes what was interrupted",
    )
    dance.set_defaults(run=run)
    demo = commands.add_parser("demo", help="make a dance to the song that ships with the package, anew each time")
    _add_options(demo)
    demo.set_defaults(run=run, songs=[DEMO_SONG], genre=DEMO_GENRE, overwrite=True, skip_existing=False)
    demo.set_defaults(decoder=None, release_settings=None, music_features=None)


def _named_path(text: str) -> Path:
    if not text:  # a variable of the shell that is not set, which would be the current folder
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


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
    add_adapter_option(parser)
    parser.add_argument(
        "--quantization",
        choices=("int8",),
        help="weights of 8 bits, for a model of hundreds of millions of parameters on a CPU: a quarter of the memory "
        "and of the time (default: none)",
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
    add_beat_options(parser)
    parser.add_argument(
        "--references",
        type=Path,
        metavar="LIBRARY",
        help="take references from this library, of `infinitedance index` or the Hub (default: that of the model); "
        "for the authors' released model their folder InfiniteDanceData (default: none)",
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
        help="height of the mp4 in pixels, even, 64 to 2160; its width is 16/9 of that (default: 540)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print errors only")
    output.add_argument("--json", action="store_true", help="print one line of JSON a song, and nothing else")


def run(arguments: argparse.Namespace) -> None:
    """Make a dance to each song. What can be refused is refused before the work; of several songs the rest is made.

    Raises:
        ValueError: If an option is out of range, the only song cannot be danced to, or of several songs some cannot.
        FileExistsError: If files would be overwritten.
    """
    with quieted(arguments.quiet):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    report = Report(arguments)
    _check_numbers(arguments)
    check_release_options(arguments, is_release(arguments.model))
    video_size = _video_size(arguments, report)
    suffixes = (".bvh", ".npz") if video_size is None else (".bvh", ".npz", ".mp4")
    songs = find_songs(arguments.songs)
    _check_folder(arguments.output)
    genre = re.sub(r"[/\\]", "_", arguments.genre or "any")  # a style may be called anything
    label = f"{genre}_{arguments.seed}"
    planned = plan_songs(songs, arguments.output, label, suffixes)
    todo = without_finished(planned, arguments)
    for song in planned:
        if song not in todo:
            report.result(SongResult(song.song, "kept", song.paths))
    dancer = _Dancer(arguments, video_size, report)
    failures: list[Exception] = []
    for index, song in enumerate(todo, 1):
        if len(todo) > 1:
            report.note(f"{index} of {len(todo)}: {song.song}")
        try:
            report.result(dancer.make(song))
        except (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
            if dancer.is_hopeless:
                raise
            failures.append(error)
            report.result(SongResult(song.song, "failed", error=str(error)))
    if len(planned) == 1 and failures:
        raise failures[0]
    _summarize(report, planned, todo, failures)


def _summarize(report: Report, planned: list[PlannedSong], todo: list[PlannedSong], failures: list[Exception]) -> None:
    """Print how many dances were made; list what failed, and end with an error if anything did."""
    num_kept = len(planned) - len(todo)
    if len(planned) > 1 or num_kept:
        kept = f", {num_kept} kept" if num_kept else ""
        report.note(f"{len(todo) - len(failures)} made{kept}, {len(failures)} failed")
    for error in failures:
        report.failure(error)
    if failures:
        raise ValueError(f"{len(failures)} of {len(planned)} songs failed.")


class _Dancer:
    """Maker of the dances of one command: the model is loaded once, when the first song was read."""

    def __init__(self, arguments: argparse.Namespace, video_size: tuple[int, int] | None, report: Report):
        self.arguments, self.video_size, self.report = arguments, video_size, report
        self.pipeline: MusicToDancePipeline | ReleaseToDancePipeline | None = None
        self.is_hopeless = False
        """No song can be danced to: what is wrong is not a song."""

    def make(self, planned: PlannedSong) -> SongResult:
        """Make the dance to a song and write its files, all or none."""
        from ..audio.loading import load_audio
        from ..audio.spectra import SAMPLING_RATE

        waveform = load_audio(planned.song, SAMPLING_RATE)
        if self.pipeline is None:
            self.is_hopeless = True
            load = load_release_pipeline if is_release(self.arguments.model) else _load_pipeline
            self.pipeline = load(self.arguments, self.report)
            self.is_hopeless = False
        dance = self._dance(self.pipeline, waveform, planned.song)
        self._write(dance.motion, planned)
        self._tell(dance, planned)
        provenance = dance.motion.provenance
        details = {
            "seconds": round(dance.motion.duration_seconds, 3),
            "genre": provenance["genre"],
            "bpm": provenance["song_map"]["beats"]["bpm"] if self.arguments.bpm is None else self.arguments.bpm,
        }
        return SongResult(planned.song, "made", planned.paths, details)

    def _dance(
        self, pipeline: MusicToDancePipeline | ReleaseToDancePipeline, waveform: np.ndarray, song: Path
    ) -> Dance:
        from ..pipeline import MusicToDancePipeline

        try:
            if isinstance(pipeline, MusicToDancePipeline):
                return self._dance_ours(pipeline, waveform, song)
            return dance_released(pipeline, waveform, song, self.arguments, self.report)
        except ValueError as error:
            raise ValueError(f"{song}: {error}") from error

    def _dance_ours(self, pipeline: MusicToDancePipeline, waveform: np.ndarray, song: Path) -> Dance:
        arguments = self.arguments
        num_references = arguments.num_references
        if num_references is None and arguments.references is not None:
            num_references = pipeline.default_num_references or 1
        sampling = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
        return pipeline(
            waveform,
            song_name=song.name,
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
            show_progress=self.report.shows_progress,
            **sampling,
        )

    def _write(self, motion: Motion, planned: PlannedSong) -> None:
        """Write all files under temporary names, then give them theirs one right after the other."""
        from ..motion.drawing.rendering import render_video
        from ..motion.files import save_motion, write_bvh
        from ..utils.atomic import atomic_path

        self.arguments.output.mkdir(parents=True, exist_ok=True)
        with ExitStack() as renamed_at_its_end:
            paths = [renamed_at_its_end.enter_context(atomic_path(path)) for path in planned.paths]
            if self.video_size is not None:
                render_video(
                    motion, paths[2], planned.song, size=self.video_size, show_progress=self.report.shows_progress
                )
            write_bvh(motion, paths[0])
            save_motion(motion, paths[1])
            without_finished([planned], self.arguments)  # another process may have made the same meanwhile

    def _tell(self, dance: Dance, planned: PlannedSong) -> None:
        motion, report = dance.motion, self.report
        if reason := motion.provenance.get("genre_reason"):
            report.note(reason)
        if (copies := dance.copy_report) is not None:
            num_clips = len({hit.clip_id for window in dance.references for hit in window.hits})
            report.note(
                f"{num_clips} reference dance{'' if num_clips == 1 else 's'}; the nearest piece, of "
                f"{copies.nearest_clip_id}, is {copies.nearest_millimetres:.0f} mm away; copied: "
                f"{100 * copies.copied_share:.0f} %; longest run of shared codes: {copies.longest_run_tokens} tokens"
            )
        report.note(f"{motion.num_frames} frames, {motion.duration_seconds:.2f} s of dance:")
        for path in planned.paths:
            report.note(f"  {path}")


def _check_numbers(arguments: argparse.Namespace) -> None:
    """Raise `ValueError` for options that no model and no song could follow."""
    check_range("--stage", arguments.stage, MIN_STAGE_METRES, MAX_STAGE_METRES, "metres")
    check_range("--guidance-scale", arguments.guidance_scale, 0, 3)
    check_range("--seed", arguments.seed, 0, MAX_SEED)
    check_range("--num-references", arguments.num_references, 0, MAX_REFERENCES)
    check_beat_options(arguments)


def _video_size(arguments: argparse.Namespace, report: Report) -> tuple[int, int] | None:
    """Return width and height of the mp4, `None` if none is written."""
    from ..media.encoding import check_picture_size

    check_range("--video-height", arguments.video_height, 64, MAX_VIDEO_HEIGHT, "pixels")
    size = (round(arguments.video_height * 16 / 9 / 2) * 2, arguments.video_height)
    check_picture_size(size)
    return size if not arguments.no_video and _can_write_video(report) else None


def _check_folder(folder: Path) -> None:
    """Raise an error unless a folder can be written to, or made; it is made when there is something to write."""
    from ..utils.atomic import remove_partials

    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"`--output` {folder} is a file. Give a folder.")
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"`--output` {folder} cannot be made: {there} is a file.")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"Cannot write to {folder}: no permission. Give another `--output`.")
    if folder.is_dir():
        remove_partials(folder)  # of a run that was killed


def _load_pipeline(arguments: argparse.Namespace, report: Report) -> MusicToDancePipeline:
    """Load the model, and refuse what it cannot do."""
    from ..pipeline import MusicToDancePipeline

    restorer = DEFAULT_RESTORER if arguments.restore == "auto" else None
    with bars_on_terminals_only(report):
        pipeline = MusicToDancePipeline.from_pretrained(
            arguments.model,
            arguments.references,
            restorer,
            adapter_weights(arguments.adapter),
            quantization=arguments.quantization,
        )
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
    return pipeline


def _can_write_video(report: Report) -> bool:
    """Return whether the package for an mp4 is there; say so if not."""
    from ..utils.extras import install_command, is_installed

    if not is_installed("cv2"):
        report.note(f"No mp4 will be written: that needs cv2 ({install_command('video')}).")
        return False
    return True
