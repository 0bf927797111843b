"""`infinitedance sheet`: stills of a dance as one PNG."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("sheet", help="draw stills of a dance as one PNG")
    parser.add_argument("motion", type=Path, help="motion file: .npz or .bvh")
    parser.add_argument("--output", type=Path, default=Path("sheet.png"), help="the PNG (default: sheet.png)")
    parser.add_argument("--rows", type=int, default=2, help="rows of stills (default: 2)")
    parser.add_argument("--columns", type=int, default=6, help="columns of stills (default: 6)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Draw."""
    from ..motion.drawing.rendering import render_contact_sheet
    from ..motion.files import read_motion

    motion = read_motion(arguments.motion)
    render_contact_sheet(motion, arguments.output, rows=arguments.rows, columns=arguments.columns)
    print(arguments.output)
