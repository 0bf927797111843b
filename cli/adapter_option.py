"""`--adapter` of the commands that dance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_adapter_option(parser: argparse.ArgumentParser) -> None:
    """Add `--adapter`, which may be given several times."""
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        type=_weighted,
        metavar="FOLDER[=WEIGHT]",
        help="style of `infinitedance finetune`, danced where no --genre is given; several are added up, each with "
        "its weight (default: 1)",
    )


def adapter_weights(given: Sequence[tuple[Path, float]]) -> dict[Path, float]:
    """Return the weights of the adapters that were given.

    Raises:
        ValueError: If one is given twice.
    """
    folders = [folder for folder, _ in given]
    if twice := [str(folder) for folder in folders if folders.count(folder) > 1]:
        raise ValueError(f"`--adapter` names {twice[0]} more than once: give it one weight.")
    return dict(given)


def _weighted(text: str) -> tuple[Path, float]:
    if Path(text).exists() or "=" not in text:
        return Path(text), 1.0
    folder, _, weight = text.rpartition("=")
    try:
        return Path(folder), float(weight)
    except ValueError:
        return Path(text), 1.0  # "=" is a part of the name
