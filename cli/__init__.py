"""The command `infinitedance`: parsing imports nothing heavy, each command what it needs when it runs."""

from __future__ import annotations

import argparse
import sys

from ..utils.version import __version__
from . import build, convert, dance, evaluate, index, procedural, restore, sheet, song, space, view

COMMANDS = (dance, song, sheet, convert, view, space, restore, evaluate, build, index, procedural)
"""In the order of `--help`."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="infinitedance", description="A song goes in, a 3D dance comes out.")
    parser.add_argument("--version", action="version", version=f"infinitedance {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def main(command_line: list[str] | None = None) -> int:
    """Run a command; wrong input is reported in one line, with exit status 2.

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
