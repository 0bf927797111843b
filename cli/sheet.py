"""`infinitedance sheet`: stills of a dance as one PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options

MAX_STILLS = 400
_MAX_SIDE = 100


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("sheet", help="draw stills of a dance as one PNG")
    parser.add_argument("motion", type=Path, help="motion file: .npz, .bvh and others, see docs/reading.md")
    parser.add_argument("--output", type=Path, default=Path("sheet.png"), help="the PNG (default: sheet.png)")
    parser.add_argument("--rows", type=int, default=2, help="rows of stills (default: 2)")
    parser.add_argument("--columns", type=int, default=6, help="columns of stills (default: 6)")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw."""
    from ..motion.drawing.rendering import render_contact_sheet
    from ..motion.files import read_motion

    rows, columns = arguments.rows, arguments.columns
    if not (1 <= rows <= _MAX_SIDE and 1 <= columns <= _MAX_SIDE and rows * columns <= MAX_STILLS):
        raise ValueError(
            f"A sheet must have 1 to {MAX_STILLS} stills, at most {_MAX_SIDE} in a row or column, got {rows} rows of "
            f"{columns}."
        )
    motion = read_motion(arguments.motion, read_options(arguments))
    render_contact_sheet(motion, arguments.output, rows=rows, columns=columns)
    print(arguments.output)
