"""`infinitedance space`: the page where visitors turn songs into dances, here or on Hugging Face."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from .adapter_option import adapter_weights, add_adapter_option


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the command."""
    parser = commands.add_parser("space", help="serve the page where visitors turn songs into dances")
    parser.add_argument("--model", default="open", help="open, research, a model folder or a Hub name (default: open)")
    parser.add_argument(
        "--references",
        type=Path,
        help="library of `infinitedance index` (default: that of the model)",
    )
    add_adapter_option(parser)
    parser.add_argument(
        "--host",
        help="address to serve at; 0.0.0.0 lets every machine of the network in (default: 127.0.0.1, this machine)",
    )
    parser.add_argument("--port", type=int, help="port to serve on (default: a free one from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument(
        "--write-folder",
        type=Path,
        metavar="FOLDER",
        help="serve nothing; write a new folder that Hugging Face runs as a Space, with the model open",
    )
    parser.add_argument(
        "--wheel", type=Path, help="package for --write-folder (default: that which runs; of a checkout it is built)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until it is stopped, or write the folder of a Space."""
    if arguments.write_folder is not None:
        _write_folder(arguments)
        return
    if arguments.wheel is not None:
        raise ValueError("`--wheel` is the package of the folder of a Space; give `--write-folder` too.")
    from ..spaces_demo.space import launch

    if arguments.port is not None and not 0 < arguments.port < 65536:
        raise ValueError(f"`--port` must lie in 1 to 65535, got {arguments.port}.")
    if arguments.host not in (None, "127.0.0.1", "localhost", "::1"):
        warnings.warn(
            f"`--host {arguments.host}` lets everybody in who reaches this machine; there is no password.",
            stacklevel=1,
        )
    launch(
        arguments.model,
        arguments.references,
        adapter_weights(arguments.adapter),
        server_name=arguments.host,
        server_port=arguments.port,
        opens_browser=not arguments.no_browser,
    )


def _write_folder(arguments: argparse.Namespace) -> None:
    from ..spaces_demo.deployment import write_space

    served = {"--references": arguments.references, "--host": arguments.host, "--port": arguments.port}
    given = [option for option, value in served.items() if value is not None]
    if arguments.model != "open":
        given.append("--model")
    if arguments.adapter:
        given.append("--adapter")
    if given:
        raise ValueError(
            f"`--write-folder` writes the Space of the model open and serves nothing; leave {given[0]} out."
        )
    write_space(arguments.write_folder, wheel=arguments.wheel)
    print(arguments.write_folder)
