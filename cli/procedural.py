"""`infinitedance procedural`: a small data set of synthesized music and dances."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("procedural", help="write a small data set of synthesized music and dances")
    parser.add_argument("output", type=Path, help="the clip folder; must not exist or be empty")
    parser.add_argument("--clips", type=int, default=16, help="number of clips (default: 16)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a clip (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write the clip folder."""
    from ..dataset_builder.procedural.dataset import make_procedural_dataset

    print(make_procedural_dataset(arguments.output, arguments.clips, arguments.seconds, arguments.seed))
