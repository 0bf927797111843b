"""`infinitedance index`: a library of reference dances."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..assets import DEFAULT_REFERENCES

MAX_LISTED_DANCES = 20


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("index", help="make a library of reference dances")
    parser.add_argument(
        "data",
        type=Path,
        help="folder that `infinitedance build` wrote, of which the training dances are used, or a clip folder, as of "
        "`infinitedance capture`, of which all dances with a song are",
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument(
        "--encoder",
        type=Path,
        default=DEFAULT_REFERENCES / "encoder",
        help="music-dance encoder, from `train_retrieval` (default: the shipped one)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Encode the dances and write the library."""
    import tempfile

    from ..dataset_builder.capture_entries import ENTRY_FOLDER, REPORT_FILE
    from ..dataset_builder.clip_folder import METADATA_FILE
    from ..utils.atomic import check_new_folder

    check_new_folder(arguments.output)
    if not (arguments.data / METADATA_FILE).is_file():
        if (arguments.data / ENTRY_FOLDER).is_dir():
            raise FileNotFoundError(f"No clip was captured in {arguments.data}: {REPORT_FILE} there says why.")
        write_library(arguments.data, arguments)
        return
    from ..dataset_builder.own_clips import build_own_clips, left_out_clips

    with tempfile.TemporaryDirectory() as work_dir:
        built = build_own_clips(arguments.data, Path(work_dir), name="")
        for clip_id, reason in left_out_clips(built).items():
            print(f"{clip_id} is left out: {reason}")
        write_library(built, arguments)


def write_library(built: Path, arguments: argparse.Namespace) -> None:
    """Write a library of the training dances of a built data set, and print what `dance --pin` calls them."""
    from ..dataset_builder.built import BuiltDataset
    from ..dataset_builder.library import built_clips
    from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
    from ..retrieval.references import ReferenceRetriever
    from ..utils.checkpoints import load_model

    retriever = ReferenceRetriever.build(
        load_model(arguments.encoder, MusicDanceEncoder), built_clips(BuiltDataset(built))
    )
    retriever.save_pretrained(arguments.output)
    print(f"{len(retriever.dances)} dances, {len(retriever.index)} windows: {arguments.output}")
    if len(retriever.dances) <= MAX_LISTED_DANCES:
        print("\n".join(f"  {clip_id}" for clip_id in sorted(retriever.dances)))
