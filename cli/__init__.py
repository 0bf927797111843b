"""The command `infinitedance`: parsing imports nothing heavy, each command what it needs when it runs."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..utils.errors import one_line
from ..utils.version import __version__
from . import (
    build,
    capture,
    convert,
    dance,
    evaluate,
    export_onnx,
    finetune,
    import_release,
    index,
    procedural,
    publish,
    restore,
    sheet,
    song,
    space,
    video,
    view,
)

COMMANDS = (
    *(dance, song, sheet, video, convert, view, space, restore, evaluate),
    *(capture, build, index, finetune, publish, import_release, export_onnx, procedural),
)
"""In the order of `--help`."""
WRONG_INPUT, STOPPED, UNHEARD = 2, 130, 128 + 13
"""Exit statuses: of what the user can mend; of Ctrl-C, and of output that nobody reads, as shells expect them."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="infinitedance", description="A song goes in, a 3D dance comes out.")
    parser.add_argument("--version", action="version", version=f"infinitedance {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def main(command_line: list[str] | None = None) -> int:
    """Run a command; whatever ends it early is reported in one line.

    Args:
        command_line: Without the program's name; `sys.argv[1:]` by default.

    Returns:
        The exit status: 0, 2 for wrong input, 130 after Ctrl-C, 141 if nobody reads the output.
    """
    arguments = build_parser().parse_args(command_line)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    with warnings.catch_warnings(), _ended_softly():
        warnings.showwarning = _print_warning
        try:
            arguments.run(arguments)
        except KeyboardInterrupt:
            newline = "\n" if sys.stderr.isatty() else ""  # after the ^C and a progress bar
            print(f"{newline}infinitedance: stopped", file=sys.stderr)
            return STOPPED
        except BrokenPipeError:  # what reads our output has ended, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return UNHEARD
        except MemoryError as error:
            return _report(f"there is not enough memory ({one_line(error)}). Give a shorter or smaller input.")
        except (ValueError, TypeError, OSError, ImportError) as error:
            return _report(str(error))
        except Exception as error:
            return _report(_describe_defect(error))
    return 0


@contextmanager
def _ended_softly() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that temporary files are removed."""

    def end(number: int, frame: object) -> None:
        sys.exit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(message: str) -> int:
    print(f"infinitedance: error: {message}", file=sys.stderr)
    return WRONG_INPUT


def _describe_defect(error: Exception) -> str:
    """Keep the traceback of an error that should not happen in a file; return what to say of it."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="infinitedance-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return f"{type(error).__name__}: {one_line(error)}. This is a defect of the package; {file.name} has the details."


def _print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning as one line; what Python adds of the code that gave it is no news to a user."""
    if issubclass(category, UserWarning):
        print(f"infinitedance: warning: {' '.join(str(message).split())}", file=sys.stderr)
