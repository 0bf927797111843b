"""A folder, or a name on the Hub: the one place that makes a local folder of either, and says what the Hub refuses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import one_line

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
MODEL_FILES = ("config.json", "generation_config.json", "model*.safetensors*", "SHA256SUMS", "README.md")
"""What is downloaded of a model; nothing else of its repository is."""


def local_folder(
    path: str | os.PathLike,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    allow_patterns: Sequence[str] | None = None,
) -> Path:
    """Return a folder as it is, and of a name on the Hub the folder in the cache, downloaded where it is not there.

    Without network, or with `HF_HUB_OFFLINE=1`, what was downloaded before is taken.

    Args:
        path: A folder, or `owner/name` on the Hub.
        revision: Branch, tag or commit on the Hub; `main` by default.
        token: Of the Hub; by default `HF_TOKEN` or that of `hf auth login`; `False` for none.
        allow_patterns: Only files that one of them matches are downloaded; all by default.

    Raises:
        FileNotFoundError: If it is no folder and cannot be a name on the Hub, if the Hub has no such repository or
            revision, or it is not in the cache and the Hub is switched off.
        PermissionError: If the repository is closed to the token.
        ConnectionError: If the Hub cannot be reached.
        OSError: If the cache cannot be written.
        ValueError: If it is a file, or a folder with a `revision`.
    """
    name = path.as_posix() if isinstance(path, Path) else os.fspath(path)
    if name and Path(name).is_dir():
        if revision is not None:
            raise ValueError(f"`revision` is for names on the Hub, got {revision!r} with the folder {name}.")
        return Path(name)
    check_hub_name(name)
    from huggingface_hub import snapshot_download

    with hub_errors(name, revision):
        patterns = None if allow_patterns is None else list(allow_patterns)
        return Path(snapshot_download(name, revision=revision, token=token, allow_patterns=patterns))


def check_hub_name(name: str) -> None:
    """Raise unless a path that is no folder may be a name on the Hub, before the network is asked.

    Raises:
        FileNotFoundError: If it cannot be or does not look like one.
        ValueError: If it is a file.
    """
    if name and Path(name).exists():
        raise ValueError(f"{name} is a file. Give the folder that a model was saved to.")
    first = Path(name).parts[0] if Path(name).parts else ""
    if HUB_NAME.fullmatch(name) is None or first in (".", "..") or Path(first).is_dir():
        raise FileNotFoundError(f"There is no model folder {name}. Give a folder, or a name on the Hub: owner/model.")


@contextmanager
def hub_errors(name: str, revision: str | None = None) -> Iterator[None]:
    """Turn what `huggingface_hub` raises into one sentence that says what to do.

    Args:
        name: Of the repository.
        revision: That was asked for.

    Raises:
        FileNotFoundError: If there is no such repository or revision.
        PermissionError: If the token is missing, wrong, or has no right to this.
        ConnectionError: If the Hub cannot be reached or is switched off.
        ValueError: If the Hub refuses what was sent.
    """
    try:
        yield
    except Exception as error:
        explained = _explain(error, name, revision)
        if explained is None:
            raise
        raise explained from error


def _explain(error: BaseException, name: str, revision: str | None) -> Exception | None:
    """Return the error that says what to do; `None` for one that is not of the Hub."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub, cause = constants.ENDPOINT, error.__cause__
    if isinstance(error, RuntimeError | LocalEntryNotFoundError) and isinstance(cause, HfHubHTTPError):
        return _explain(cause, name, revision)  # of a thread that uploads, of a look-up before the cache
    if isinstance(error, GatedRepoError):
        return PermissionError(f"{name} is gated: ask for access at {hub}/{name}, then log in with `hf auth login`.")
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(f"{name} has no revision {revision!r}: give a branch, tag or commit of {hub}/{name}.")
    if isinstance(error, RepositoryNotFoundError):
        return FileNotFoundError(
            f"The Hub has no repository {name} that you may read: check the name; if it is private, log in with "
            "`hf auth login`, or set HF_TOKEN."
        )
    if constants.is_offline_mode() and isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return FileNotFoundError(
            f"{name} is not in the cache, or not whole, and HF_HUB_OFFLINE is set: unset it and load it once with the "
            "network."
        )
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, name)
    if isinstance(error, json.JSONDecodeError):
        return ConnectionError(
            f"What answers at {hub} is not the Hub, but perhaps a proxy or the log-in page of a network: check the "
            "network and HF_ENDPOINT, and try again."
        )
    if isinstance(error, UnicodeEncodeError):
        return PermissionError(
            f"The token of the Hub has characters that no token has: set HF_TOKEN to one of {hub}/settings/tokens."
        )
    if isinstance(error, OSError) and error.filename and _is_of_cache(str(error.filename)):
        return OSError(
            f"The cache {constants.HF_HUB_CACHE} cannot be used ({error.strerror}): set HF_HOME to a folder that may "
            "be written."
        )
    if isinstance(error, LocalEntryNotFoundError) or _is_of_network(error) or _is_of_network(cause):
        return ConnectionError(f"Cannot reach {hub} for {name}: check the network, and try again.")
    return None


def _explain_status(error: Exception, name: str) -> Exception:
    from huggingface_hub import constants

    hub = constants.ENDPOINT
    response = getattr(error, "response", None)
    status = 0 if response is None else response.status_code
    if status == 401:
        return PermissionError(
            f"The Hub does not accept the token: log in again with `hf auth login`, or set HF_TOKEN to one of "
            f"{hub}/settings/tokens."
        )
    if status in (402, 403):
        return PermissionError(
            f"The Hub does not let you do this with {name} ({_message(error)}): use a token that may write, of a user "
            "or an organization that may, or another name."
        )
    if status == 409:
        return PermissionError(
            f"The name {name} is taken on the Hub, or another upload to it runs: run the same again, or choose "
            "another name."
        )
    if status == 429 or status >= 500:
        return ConnectionError(f"The Hub is busy or broken (status {status}): run the same again later.")
    return ValueError(f"The Hub refuses this for {name}: {_message(error)}.")


def _is_of_cache(path: str) -> bool:
    """Whether a path is the cache of the Hub, or below or above it."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE).absolute()
    return cache.is_relative_to(path) or Path(path).is_relative_to(cache)


def _message(error: Exception) -> str:
    return one_line(Exception(getattr(error, "server_message", None) or error)).rstrip(".")


def _is_of_network(error: BaseException | None) -> bool:
    """Whether an error comes from the HTTP library, whichever huggingface_hub uses."""
    modules = {kind.__module__.split(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "httpcore", "requests"})
