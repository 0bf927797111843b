"""`infinitedance evaluate`: a folder of dances, of any system, measured beside real ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("evaluate", help="measure a folder of dances, of any system, beside real ones")
    folders = {
        "generated": "folder of the dances to measure, each named like its song",
        "reference": "folder of real dances, preferably to the same songs",
        "music": "folder of the songs",
    }
    for name, text in folders.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    parser.add_argument("--output", type=Path, default=Path("report"), help="folder to write to (default: report)")
    parser.add_argument(
        "--training",
        type=Path,
        help="folder of training dances: adds distances to them and copies of them",
    )
    parser.add_argument("--manifest", type=Path, help="CSV with the columns file and, if needed, song, genre and bpm")
    parser.add_argument(
        "--window-seconds", type=float, help="cut dances into windows for FID and diversity (default: whole clips)"
    )
    parser.add_argument(
        "--join-seconds", type=float, help="length of the windows that the system joins: adds the jumps at the joins"
    )
    parser.add_argument(
        "--reconstruction",
        action="store_true",
        help="each generated dance is a version of the reference dance of its name: adds the error against it",
    )
    parser.add_argument(
        "--reference-frame-rate",
        type=float,
        metavar="HZ",
        help="frames per second of reference and training dances; `--input-frame-rate` is that of the generated ones",
    )
    parser.add_argument(
        "--one-body",
        action="store_true",
        help="fit all joints to our body first, if the sets are on different bodies (slower; bones and feet are then "
        "measured on the fit)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="draw no contact sheets")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random baselines and intervals (default: 0)")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Measure and write the report."""
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
        reading=read_options(arguments),
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
