"""Errors of files, however a library reports them: one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

MAX_REASON_LETTERS = 400


@contextmanager
def reading(path: str | os.PathLike) -> Iterator[None]:
    """Turn whatever a library raises about a damaged file into a `ValueError` that names the file.

    Libraries that parse raise errors of their own classes, many of which do not say which file they were about.

    Args:
        path: The file, or the folder of a model.

    Raises:
        ImportError: If a package is missing, as it is.
        OSError: As it is, if it names the file already.
        ValueError: For everything else.

    Example:
        ```python
        import json

        from infinitedance.utils.errors import reading

        with reading("numbers.json"):
            numbers = json.loads("[1, 2]")
        ```
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        name, reason = os.fspath(path), one_line(error)
        if isinstance(error, ValueError | OSError) and name in str(error):
            raise
        if isinstance(error, MemoryError):
            reason = "it asks for more memory than there is"
        raise ValueError(f"{name} cannot be read: {reason}") from error


@contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn what safetensors and torch raise when weights cannot be written into an `OSError` that names the place.

    Args:
        path: The file or folder.

    Raises:
        OSError: If the disk is full, or refuses for another reason.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(f"Cannot write {os.fspath(path)}: {one_line(error)}") from error
    except RuntimeError as error:
        if "inline_container" not in str(error):  # torch's writer, which does not say what the system said
            raise
        raise OSError(f"Cannot write {os.fspath(path)}: the disk may be full.") from error


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line; the name of its class where it has no message."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it lacks {text}"
    return text if len(text) <= MAX_REASON_LETTERS else f"{text[:MAX_REASON_LETTERS]} ..."
