"""The start of the Space."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from ..assets import DEFAULT_MODEL, DEMO_SONG
from ..utils.extras import is_installed, require_extra
from .appearance import CSS, make_theme
from .limits import SpaceLimits
from .studio import Studio, load_pipeline
from .visitor_files import VisitorFiles
from .visitor_limits import VisitorLimits, count_jobs_in


def check_address(server_name: str, server_port: int | None) -> None:
    """Raise `OSError` unless a server can be started there; before a model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            server_name, server_port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        place = server_name if server_port is None else f"{server_name}:{server_port}"
        raise OSError(f"Cannot serve at {place}: {error.strerror or error}. Give another port or address.") from error


def claim_zero_gpu() -> None:
    """Name a function for a GPU on ZeroGPU, which stops a Space that has none when it starts.

    It is never called: dances are made on the processor there too. The models take two cores a fraction of the length
    of a song, and a GPU would be taken from the minutes that each visitor has of it in a day.
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):  # as the package `spaces` reads it
        import spaces

        spaces.GPU(_needs_a_gpu, duration=1)


def _needs_a_gpu() -> None:
    """Do nothing: no work of the Space needs a GPU."""


@contextmanager
def running_space(
    model: str | Path = DEFAULT_MODEL,
    references: Path | None = None,
    adapter: Mapping[Path, float] | None = None,
    *,
    limits: SpaceLimits | None = None,
    server_name: str | None = None,
    server_port: int | None = None,
    opens_browser: bool = False,
) -> Iterator[tuple[Any, str]]:
    """Start a Space; yield its `gradio.Blocks` and its address; at its end nothing of a visitor is left.

    Args:
        model: As in `MusicToDancePipeline.from_pretrained`.
        references: Library of reference dances; by default that of the model, if there is one.
        adapter: As in `MusicToDancePipeline.from_pretrained`.
        limits: What each visitor may cost; those of `SpaceLimits` if not given.
        server_name: Address to serve at; `"0.0.0.0"` lets other machines in. By default this machine only, or what the
            environment of a host says to Gradio.
        server_port: A free one from 7860 on if not given.
        opens_browser: Open the page in the default browser.

    Raises:
        ImportError: If the extra `demo` is not installed.
        FileNotFoundError: If there is no such model or library.
        OSError: If another program serves at the port, or the address is not of this machine.
    """
    require_extra("gradio", "demo", "The Space")
    check_address(server_name or os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), server_port)
    limits = limits or SpaceLimits()
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio.mcp
    from starlette.middleware import Middleware

    from .page import build_demo

    speaks_mcp = is_installed("mcp")
    claim_zero_gpu()
    with VisitorFiles.temporary(60 * limits.keep_minutes) as files:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = str(files.root)  # uploads and downloads, swept with the rest
        gradio.mcp.DEFAULT_TEMP_DIR = str(files.root)  # read before, when it was imported
        pipeline, no_references = load_pipeline(model, references, adapter)
        demo = build_demo(Studio(pipeline, files, limits, no_references))
        try:
            with redirect_stdout(StringIO()):  # Gradio tells of MCP in letters that not every terminal has
                _, url, _ = demo.launch(
                    server_name=server_name,
                    server_port=server_port,
                    inbrowser=opens_browser,
                    prevent_thread_lock=True,
                    quiet=True,
                    max_file_size=f"{limits.max_file_megabytes}mb",
                    state_session_capacity=1000,
                    ssr_mode=False,
                    allowed_paths=[str(DEMO_SONG)],  # Gradio copies files of the working directory only without this
                    footer_links=["api"],
                    mcp_server=speaks_mcp,
                    theme=make_theme(),
                    css=CSS,
                    app_kwargs={
                        "middleware": [Middleware(VisitorLimits, limits, files, partial(count_jobs_in, demo))],
                    },
                )
            yield demo, url
        finally:
            demo.close(verbose=False)
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before


def launch(
    model: str | Path = DEFAULT_MODEL,
    references: Path | None = None,
    adapter: Mapping[Path, float] | None = None,
    **options: Any,
) -> None:
    """Start a Space and serve it until Ctrl-C or SIGTERM.

    Args:
        model: As `running_space`, like all that follows.
        references: See `running_space`.
        adapter: See `running_space`.
        **options: See `running_space`.
    """
    # Whoever ends a server so leaves no visitor's files behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running_space(model, references, adapter, **options) as (demo, url):
        print(f"{url}  (Ctrl-C ends)", flush=True)
        if demo.mcp_server:
            print(f"{url}gradio_api/mcp/  for assistants that speak MCP", flush=True)
        demo.block_thread()
