"""The command `infinitedance`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from ..assets import DEFAULT_MODEL, DEFAULT_REFERENCES, DEFAULT_RESTORER, DEMO_SONG
from ..audio.beats import estimate_beats
from ..audio.loading import load_audio
from ..audio.spectra import SAMPLING_RATE
from ..motion.drawing.rendering import check_picture_size, render_contact_sheet, render_video
from ..motion.files import (
    BODIES,
    BONE_NAMES,
    EXPORT_FORMATS,
    check_export_path,
    export_motion,
    read_motion,
    save_motion,
    write_bvh,
)
from ..motion.looping import in_place, loop_of_whole_bars
from ..pipeline import MusicToDancePipeline
from ..utils.atomic import check_new_folder


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

    _add_convert(commands.add_parser("convert", help="write a dance for Blender, Unity, Unreal, VRM tools and others"))

    _add_view(commands.add_parser("view", help="play a dance in the browser, or two side by side, with the song"))

    _add_space(commands.add_parser("space", help="serve the page where visitors turn songs into dances"))

    _add_restore(commands.add_parser("restore", help="plant the feet of motion files: BVH, SMPL, video estimators"))

    _add_evaluate(commands.add_parser("evaluate", help="measure a folder of dances, of any system, beside real ones"))

    _add_build(commands.add_parser("build", help="build a data set: features, codes, splits, report, data card"))

    index = commands.add_parser("index", help="make a library of reference dances from a data set that was built")
    index.add_argument(
        "data", type=Path, help="folder that `infinitedance build` wrote; its training dances are taken"
    )
    index.add_argument("--output", type=Path, required=True, help="folder to write; must not exist or be empty")
    index.add_argument(
        "--encoder",
        type=Path,
        default=DEFAULT_REFERENCES / "encoder",
        help="music-dance encoder, from `train_retrieval` (default: the shipped one)",
    )
    index.set_defaults(run=_index)

    procedural = commands.add_parser("procedural", help="write a small data set of synthesized music and dances")
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
    parser.add_argument(
        "--references",
        type=Path,
        nargs="?",
        const=DEFAULT_REFERENCES,
        help="let dances of this library lead, from `infinitedance index`; without a folder those that ship",
    )
    parser.add_argument("--num-references", type=int, default=2, help="dances that lead at any moment (default: 2)")
    parser.add_argument(
        "--pin", action="append", default=[], metavar="CLIP", help="dance of the library that leads throughout"
    )
    parser.add_argument(
        "--restore",
        choices=("auto", "off"),
        default="off",
        help="auto: finish the feet by the foot restoration model; off: plant them (default: off, which is as good "
        "here and moves less, see docs/frdm.md)",
    )
    parser.add_argument("--no-video", action="store_true", help="write no mp4")
    parser.add_argument(
        "--video-height",
        type=int,
        default=540,
        help="height of the mp4 in pixels, the width being 16/9 of it (default: 540; 720 takes half as long again)",
    )


def _add_convert(parser: argparse.ArgumentParser) -> None:
    formats = ", ".join(EXPORT_FORMATS)
    parser.add_argument("motion", type=Path, help="motion file: .npz, .bvh and others, see docs/exporting.md")
    parser.add_argument("output", type=Path, help=f"file to write; its ending chooses the format: {formats}")
    parser.add_argument(
        "--names",
        choices=tuple(BONE_NAMES),
        help="names of the bones; `unreal` has a bone for root motion (default: smpl)",
    )
    parser.add_argument("--body", choices=tuple(BODIES), help="of GLB, USD, FBX (default: human)")
    parser.add_argument("--in-place", action="store_true", help="take the path over the floor out")
    parser.add_argument("--frame-rate", type=int, choices=(24, 25, 30, 60), help="Hz (default: the dance's)")
    parser.add_argument("--loop", action="store_true", help="cut a loop of whole bars, where its seam is smallest")
    parser.add_argument("--song", type=Path, help="the song, where the dance does not know its beats")
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    check_export_path(arguments.output)
    if arguments.output.exists() and arguments.motion.exists() and arguments.output.samefile(arguments.motion):
        raise ValueError(f"The output must be another file than the input, got {arguments.output} for both.")
    motion = read_motion(arguments.motion)
    if arguments.song is not None:
        clock = estimate_beats(load_audio(arguments.song, SAMPLING_RATE), SAMPLING_RATE)
        motion = replace(motion, provenance={**motion.provenance, **clock.times_within(motion.duration_seconds)})
    if arguments.frame_rate is not None:
        motion = motion.resample(arguments.frame_rate)
    if arguments.in_place:
        motion = in_place(motion)
    if arguments.loop:
        motion, seam = loop_of_whole_bars(motion)
        print(
            f"loop of {seam.num_bars} bars, {(motion.num_frames - 1) / motion.frame_rate:.3f} s from "
            f"{seam.start_seconds:.3f} s on; at its seam joints jump by {1000 * seam.position_jump_metres:.0f} mm and "
            f"{seam.velocity_jump:.2f} m/s; the dancer gets {seam.travel_metres:.2f} m away"
        )
    export_motion(motion, arguments.output, names=arguments.names, body=arguments.body)
    print(f"{arguments.output}: {motion.num_frames} frames at {motion.frame_rate:g} Hz")


def _add_view(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("motion", type=Path, help="motion file: .npz or .bvh")
    parser.add_argument("other", type=Path, nargs="?", help="motion file to show beside it, on the same clock")
    parser.add_argument(
        "--audio", type=Path, help="the song (default: the one that the file names, if it lies beside it)"
    )
    parser.add_argument("--html", type=Path, metavar="OUT", help="write one HTML file with all inside, serve nothing")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.set_defaults(run=_view)


def _view(arguments: argparse.Namespace) -> None:
    from ..spaces_demo.view_dances import read_show, serve, write_page

    show = read_show([file for file in (arguments.motion, arguments.other) if file is not None], arguments.audio)
    print(f"song: {show.song}" if show.song is not None else "no song: give it by `--audio`")
    if arguments.html is None:
        serve(show, opens_browser=not arguments.no_browser)
    else:
        write_page(show, arguments.html)
        print(f"{arguments.html}: {arguments.html.stat().st_size / 1e6:.1f} MB")


def _add_space(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="model folder or Hub name (default: the one that ships)"
    )
    parser.add_argument(
        "--references", type=Path, help="library of reference dances, from `infinitedance index` (default: as ships)"
    )
    parser.add_argument("--port", type=int, help="of this machine (default: a free one from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.set_defaults(run=_space)


def _space(arguments: argparse.Namespace) -> None:
    from ..spaces_demo.space import launch

    launch(
        arguments.model,
        arguments.references,
        server_port=arguments.port,
        opens_browser=not arguments.no_browser,
    )


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="motion files, see docs/restoring.md")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to; no file there is overwritten")
    parser.add_argument("--model", help="restorer's folder or Hub name (default: the one that ships)")
    parser.add_argument(
        "--sampler", choices=("default", "paper", "paper_corrected"), default="default", help="(default: default)"
    )
    parser.add_argument(
        "--foot-lock",
        choices=("auto", "always", "never", "grounding"),
        default="auto",
        help="hold feet that touch, hold every low foot, hold none, or correct the floor only (default: auto)",
    )
    parser.add_argument("--strength", type=float, default=1.0, help="how firmly feet are held, 0 to 1 (default: 1)")
    parser.add_argument("--contacts", type=Path, help="CSV that says when feet touch, as written with every result")
    parser.add_argument("--physics", action="store_true", help="let a simulated body imitate the dance first")
    parser.add_argument("--side-by-side", action="store_true", help="write an mp4 of the dance before and after")
    parser.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    parser.add_argument("--frame-rate", type=float, help="Hz, for files that do not say theirs")
    parser.add_argument("--up-axis", choices=("y", "z"), help="the file's, if the guess is wrong")
    parser.add_argument("--seed", type=int, default=0, help="of the sampler (default: 0)")
    parser.set_defaults(run=_restore)


def _restore(arguments: argparse.Namespace) -> None:
    from ..evaluation.report.tables import format_cell
    from ..restoration.restore import RestoreOptions, restore_with_model

    options = RestoreOptions(
        **{name: getattr(arguments, name) for name in RestoreOptions.__dataclass_fields__},
    )
    record = restore_with_model(arguments.files, arguments.output, options, arguments.model)
    for clip in record["clips"]:
        before, after = clip["feet"]["before"], clip["feet"]["after"]
        changes = [
            f"{label} {format_cell(before[key])} -> {format_cell(after[key])} {unit}"
            for label, key, unit in (
                ("slide", "slide_mm", "mm a frame"),
                ("penetration", "penetration_mm", "mm"),
                ("float", "float_mm", "mm"),
            )
        ]
        moved = format_cell(clip["feet"]["mpjpe_to_input_mm"])
        print(f"{clip['name']}: {', '.join(changes)}; {moved} mm from the input on average")
        for note in clip["notes"]:
            print(f"  {note}")
        for name in clip["files"]:
            print(f"  {arguments.output / name}")
    if record["left_out"]:
        raise ValueError("\n".join(item["reason"] for item in record["left_out"]))


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    folders = {
        "generated": "folder of the dances to measure: one file for each, named like its song",
        "reference": "folder of real dances, best to the same songs",
        "music": "folder of the songs",
    }
    for name, text in folders.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder to write to (default: report)")
    parser.add_argument("--training", type=Path, help="folder of training dances: adds distances from them and copies")
    parser.add_argument("--manifest", type=Path, help="CSV: file of a dance, and its song, genre, bpm where wanted")
    parser.add_argument(
        "--window-seconds", type=float, help="cut dances into windows for FID and diversity (default: whole clips)"
    )
    parser.add_argument(
        "--join-seconds", type=float, help="time between the joins of the system's windows: adds the jumps there"
    )
    parser.add_argument(
        "--reconstruction",
        action="store_true",
        help="generated dances are versions of the reference dances of their names: add the distances from these",
    )
    parser.add_argument("--frame-rate", type=float, help="Hz of the generated dances, where their files do not say it")
    parser.add_argument("--reference-frame-rate", type=float, help="the same of the reference and training dances")
    parser.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    parser.add_argument(
        "--one-body",
        action="store_true",
        help="fit joints to our body first, where the sets are on different bodies (slower; bones and feet are then "
        "those of the fit)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="draw no contact sheets")
    parser.add_argument("--seed", type=int, default=0, help="of chance and intervals (default: 0)")
    parser.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> None:
    from ..evaluation.evaluate import evaluate_dances
    from ..evaluation.inputs import EvaluationInputs

    inputs = EvaluationInputs(
        generated=arguments.generated,
        reference=arguments.reference,
        music=arguments.music,
        training=arguments.training,
        manifest=arguments.manifest,
        window_seconds=arguments.window_seconds,
        join_seconds=arguments.join_seconds,
        is_reconstruction=arguments.reconstruction,
        trust_pickle=arguments.trust_pickle,
        frame_rate=arguments.frame_rate,
        reference_frame_rate=arguments.reference_frame_rate,
        on_one_body=arguments.one_body,
        with_pictures=not arguments.no_pictures,
        seed=arguments.seed,
    )
    record = evaluate_dances(inputs, arguments.output)
    print(record["summary"])
    for item in record["left_out"]:
        print(f"  left out: {item['file']}: {item['reason']}")
    for warning in record["warnings"]:
        print(f"  {warning}")
    print(arguments.output / "report.html")


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="a data set and where it lies, as clip_folder=my_dances; may be given several times (docs/dataset.md)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to build in; the same command resumes it")
    parser.add_argument("--codec", default=DEFAULT_MODEL, help="motion codec or generator (default: the shipped one)")
    parser.add_argument("--gates", type=Path, help="YAML or JSON with limits of the quality gates")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="where they run (default: local)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other splits (default: 0)")
    parser.add_argument("--no-mirror", action="store_true", help="make no mirrored copies")
    parser.add_argument("--no-audio", action="store_true", help="keep features of the music only, not its sound")
    parser.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    parser.add_argument("--parquet", type=Path, help="also write the data set as the Hub expects it, to this folder")
    parser.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> None:
    from ..dataset_builder.build import build_dataset
    from ..dataset_builder.quality_gates import QualityGates
    from ..dataset_builder.stages import SourceFolder

    if arguments.parquet is not None:
        check_new_folder(arguments.parquet)
    output = build_dataset(
        [SourceFolder.parse(source) for source in arguments.source],
        arguments.output,
        codec=arguments.codec,
        mirror=not arguments.no_mirror,
        keep_audio=not arguments.no_audio,
        gates=None if arguments.gates is None else QualityGates.from_file(arguments.gates),
        seed=arguments.seed,
        num_workers=arguments.workers,
        engine=arguments.engine,
        trust_pickle=arguments.trust_pickle,
        show_progress=True,
    )
    print(output / "report.md")
    if arguments.parquet is not None:
        from ..dataset_builder.hub import export_parquet

        print(export_parquet(output, arguments.parquet))


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
    if arguments.pin and arguments.references is None:
        raise ValueError("`--pin` names a dance of a library: give `--references` too.")
    restorer = DEFAULT_RESTORER if arguments.restore == "auto" else None
    pipeline = MusicToDancePipeline.from_pretrained(arguments.model, arguments.references, restorer)
    sampling = {} if arguments.guidance_scale is None else {"guidance_scale": arguments.guidance_scale}
    dance = pipeline(
        arguments.song,
        genre=arguments.genre,
        seed=arguments.seed,
        bpm=arguments.bpm,
        meter=arguments.meter,
        first_downbeat_seconds=arguments.first_downbeat,
        num_references=0 if arguments.references is None else arguments.num_references,
        pinned_references=arguments.pin,
        show_progress=True,
        **sampling,
    )
    motion = dance.motion
    paths = [arguments.output / f"{stem}{suffix}" for suffix in (".bvh", ".npz")]
    write_bvh(motion, paths[0])
    save_motion(motion, paths[1])
    if not arguments.no_video:
        paths.append(arguments.output / f"{stem}.mp4")
        render_video(motion, paths[-1], arguments.song, size=video_size)
    if dance.copy_report is not None:
        num_clips = len({hit.clip_id for window in dance.references for hit in window.hits})
        report = dance.copy_report
        print(
            f"{num_clips} references led; the nearest piece, of {report.nearest_clip_id}, is "
            f"{report.nearest_millimetres:.0f} mm away; copied: {100 * report.copied_share:.0f} %; longest run of "
            f"shared codes: {report.longest_run_tokens} tokens"
        )
    print(f"{motion.num_frames} frames, {motion.duration_seconds:.2f} s of dance:")
    for path in paths:
        print(f"  {path}")


def _sheet(arguments: argparse.Namespace) -> None:
    render_contact_sheet(
        read_motion(arguments.motion), arguments.output, rows=arguments.rows, columns=arguments.columns
    )
    print(arguments.output)


def _index(arguments: argparse.Namespace) -> None:
    from ..dataset_builder.built import BuiltDataset
    from ..dataset_builder.library import built_clips
    from ..retrieval.references import ReferenceRetriever, load_encoder

    check_new_folder(arguments.output)
    retriever = ReferenceRetriever.build(load_encoder(arguments.encoder), built_clips(BuiltDataset(arguments.data)))
    retriever.save_pretrained(arguments.output)
    print(f"{len(retriever.dances)} dances, {len(retriever.index)} windows: {arguments.output}")


def _procedural(arguments: argparse.Namespace) -> None:
    from ..dataset_builder.procedural.dataset import make_procedural_dataset

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
