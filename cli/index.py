"""`infinitedance index`: a library of reference dances."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..assets import DEFAULT_REFERENCES


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("index", help="make a library of reference dances from a data set that was built")
    parser.add_argument(
        "data",
        type=Path,
        help="folder that `infinitedance build` wrote; its training dances are used",
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
    from ..dataset_builder.built import BuiltDataset
    from ..dataset_builder.library import built_clips
    from ..modeling.music_dance.modeling_music_dance import MusicDanceEncoder
    from ..retrieval.references import ReferenceRetriever
    from ..utils.atomic import check_new_folder
    from ..utils.checkpoints import load_model

    check_new_folder(arguments.output)
    retriever = ReferenceRetriever.build(
        load_model(arguments.encoder, MusicDanceEncoder), built_clips(BuiltDataset(arguments.data))
    )
    retriever.save_pretrained(arguments.output)
    print(f"{len(retriever.dances)} dances, {len(retriever.index)} windows: {arguments.output}")
