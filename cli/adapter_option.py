"""`--adapter` of the commands that dance."""

from __future__ import annotations

import argparse
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


def _weighted(text: str) -> tuple[Path, float]:
    if Path(text).exists() or "=" not in text:
        return Path(text), 1.0
    folder, _, weight = text.rpartition("=")
    try:
        return Path(folder), float(weight)
    except ValueError:
        return Path(text), 1.0  # "=" is a part of the name
