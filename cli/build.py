"""`infinitedance build`: a data set out of sources."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..assets import MODELS


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("build", help="build a data set: features, codes, splits, report, data card")
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="kind and folder of a data set, as clip_folder=my_dances; may be given several times (docs/dataset.md)",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to build in; the same command resumes it")
    parser.add_argument(
        "--codec", default="open", help="motion codec or generator; open or research: that ships (default: open)"
    )
    parser.add_argument("--gates", type=Path, help="YAML or JSON with limits of the quality gates")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="run the processes on this machine or on a Ray cluster (default: local)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other splits (default: 0)")
    parser.add_argument(
        "--splits",
        type=Path,
        help="YAML or JSON with lists `validation` and `test` of song ids, as clip_folder/my_song; all others are for "
        "training (default: 5 %% of the songs of each genre for validation and 10 %% for test, and at least one where "
        "there are 2 and 4 songs)",
    )
    parser.add_argument("--no-mirror", action="store_true", help="make no mirrored copies")
    parser.add_argument("--no-audio", action="store_true", help="keep features of the music only, not its sound")
    parser.add_argument("--trust-pickle", action="store_true", help="read pickles, from a source that you trust")
    parser.add_argument("--parquet", type=Path, help="also write the data set as the Hub expects it, to this folder")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Build the data set, or finish one that was interrupted."""
    from ..dataset_builder.build import build_dataset
    from ..dataset_builder.manifest import read_manifest
    from ..dataset_builder.quality_gates import QualityGates
    from ..dataset_builder.splits import MIN_SONGS_FOR_VALIDATION, VALIDATION, read_split_songs
    from ..dataset_builder.stages import SourceFolder
    from ..utils.atomic import check_new_folder

    if arguments.parquet is not None:
        check_new_folder(arguments.parquet)
    output = build_dataset(
        [SourceFolder.parse(source) for source in arguments.source],
        arguments.output,
        codec=MODELS.get(arguments.codec, arguments.codec),
        mirror=not arguments.no_mirror,
        keep_audio=not arguments.no_audio,
        gates=None if arguments.gates is None else QualityGates.from_file(arguments.gates),
        seed=arguments.seed,
        split_songs=None if arguments.splits is None else read_split_songs(arguments.splits),
        num_workers=arguments.workers,
        engine=arguments.engine,
        trust_pickle=arguments.trust_pickle,
        show_progress=True,
    )
    if not any(clip.split == VALIDATION for clip in read_manifest(output)):
        print(f"No clip is held out for validation: that takes {MIN_SONGS_FOR_VALIDATION} songs or performers.")
    print(output / "report.md")
    if arguments.parquet is not None:
        from ..dataset_builder.hub import export_parquet

        print(export_parquet(output, arguments.parquet))
