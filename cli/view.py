"""`infinitedance view`: a dance in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from .reading_options import add_reading_options, read_options


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("view", help="play a dance in the browser, or two side by side, with the song")
    parser.add_argument("motion", type=Path, help="motion file: .npz, .bvh and others, see docs/reading.md")
    parser.add_argument("other", type=Path, nargs="?", help="motion file to show beside it, on the same clock")
    parser.add_argument(
        "--audio", type=Path, help="the song (default: the one named in the file, if it is in the same folder)"
    )
    parser.add_argument("--html", type=Path, metavar="OUT", help="write one HTML file with all inside, serve nothing")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    add_reading_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serve the dances, or write them as one page."""
    from ..spaces_demo.view_dances import read_show, serve, write_page

    files = [file for file in (arguments.motion, arguments.other) if file is not None]
    show = read_show(files, arguments.audio, read_options(arguments))
    print(f"song: {show.song}" if show.song is not None else "no song: give it by `--audio`")
    if arguments.html is None:
        serve(show, opens_browser=not arguments.no_browser)
    else:
        write_page(show, arguments.html)
        print(f"{arguments.html}: {arguments.html.stat().st_size / 1e6:.1f} MB")
