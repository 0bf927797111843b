"""What is refused before it costs anything: too many files, bytes or pieces of work, and songs by address."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .limits import SpaceLimits
from .visitor_files import VisitorFiles

_FORM_BYTES = 100_000
"""What a form adds to the file in it, and more than any request without a file has."""
_FILE_ROUTE = "/gradio_api/file="
"""Before the path of an uploaded file in its address."""
_TOO_LARGE_TEXT = "The request is too large."
_BUSY, _TOO_LARGE, _FULL = 429, 413, 507


class RefusedError(Exception):
    """Refusal of a request.

    Args:
        status: Of HTTP.
        told: What the visitor is told.
    """

    def __init__(self, status: int, told: str):
        super().__init__(told)
        self.status, self.told = status, told


class VisitorLimits:
    """ASGI middleware that counts what each visitor uploads, and how much work of theirs waits.

    Args:
        app: What it stands before.
        limits: Of the Space.
        files: Where visitors' files lie.
        count_jobs: Returns how many pieces of work of a visitor wait or run.
    """

    def __init__(self, app: Any, limits: SpaceLimits, files: VisitorFiles, count_jobs: Callable[[str], int]):
        self.app, self.limits, self.files, self.count_jobs = app, limits, files, count_jobs
        self.uploads: dict[str, deque[tuple[float, int]]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request pass, or answer it with a refusal."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        path, visitor = scope["path"].rstrip("/"), visitor_of(scope)
        try:
            if path.endswith("/upload"):
                receive = self._counted(receive, visitor, _FileCounter(scope))
            else:
                _check_stated_size(scope)
                receive = _bounded(receive)
            if path.endswith("/queue/join") or "/call/" in path:
                if self.count_jobs(visitor) >= self.limits.max_visitor_jobs:
                    raise RefusedError(_BUSY, "Your other work is not done yet. Wait for them.")
            await self.app(scope, receive, send)
        except RefusedError as refusal:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(refusal.told, status_code=refusal.status)(scope, receive, send)

    def _counted(self, receive: Any, visitor: str, counter: _FileCounter) -> Any:
        """Return a `receive` that ends an upload as soon as it is too much."""
        limits = self.limits
        self._forget_old()
        kept = self.uploads.setdefault(visitor, deque())
        if len(kept) >= limits.max_visitor_files:
            raise RefusedError(_BUSY, f"{limits.max_visitor_files} files an hour are enough. Come back later.")
        if self.files.total_bytes() > 1_000_000 * limits.max_total_megabytes:
            raise RefusedError(_FULL, "The Space has no room left. Come back later.")
        own_bytes = sum(size for _, size in kept)
        num_bytes = 0

        async def counted() -> Any:
            nonlocal num_bytes
            message = await receive()
            body = message.get("body", b"")
            num_bytes += len(body)
            counter.add(body)
            if num_bytes > 1_000_000 * limits.max_file_megabytes + _FORM_BYTES:
                raise RefusedError(
                    _TOO_LARGE, f"A file exceeded the maximum file size of {limits.max_file_megabytes} MB."
                )
            if counter.num_files > 1:
                raise RefusedError(_TOO_LARGE, "One file at a time.")
            if own_bytes + num_bytes > 1_000_000 * limits.max_visitor_megabytes:
                raise RefusedError(
                    _BUSY, f"{limits.max_visitor_megabytes} MB of files an hour are enough. Come back later."
                )
            if not message.get("more_body"):
                kept.append((time.monotonic(), num_bytes))
            return message

        return counted

    def _forget_old(self) -> None:
        oldest = time.monotonic() - 60 * self.limits.keep_minutes
        for visitor, kept in list(self.uploads.items()):
            while kept and kept[0][0] < oldest:
                kept.popleft()
            if not kept:
                del self.uploads[visitor]


class _FileCounter:
    """Counts the files in the form of an upload while it arrives, as Gradio's parser, which is the same, finds them.

    Args:
        scope: Of the request.
    """

    def __init__(self, scope: Any):
        from python_multipart.multipart import MultipartParser, parse_options_header

        self.num_files, self._header = 0, b""
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        boundary = parse_options_header(kind)[1].get(b"boundary")
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._note,
            "on_header_value": self._note,
            "on_headers_finished": self._count,
        }
        self._parser = MultipartParser(boundary, callbacks) if boundary else None

    def add(self, body: bytes) -> None:
        """Read on; what is no form is refused by Gradio, with what it reads then."""
        from python_multipart.exceptions import FormParserError

        if self._parser is not None:
            try:
                self._parser.write(body)
            except FormParserError:
                self._parser = None

    def _begin(self) -> None:
        self._header = b""

    def _note(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _count(self) -> None:
        self.num_files += b"filename" in self._header


def _check_stated_size(scope: Any) -> None:
    """Raise `RefusedError` if a request says that it is larger than any that a page sends."""
    sizes = [value for name, value in scope["headers"] if name == b"content-length"]
    if any(size.isdigit() and int(size) > _FORM_BYTES for size in sizes):
        raise RefusedError(_TOO_LARGE, _TOO_LARGE_TEXT)


def _bounded(receive: Any) -> Any:
    """Return a `receive` that ends a request without a file as soon as no page would send so much."""
    num_bytes = 0

    async def bounded() -> Any:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > _FORM_BYTES:
            raise RefusedError(_TOO_LARGE, _TOO_LARGE_TEXT)
        return message

    return bounded


def visitor_of(scope: Any) -> str:
    """Return who asks: the address, which on Hugging Face the proxy in front of all Spaces states."""
    if "SPACE_ID" in os.environ:  # anybody else could write that header
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                return value.decode("latin-1").split(",")[0].strip()
    return scope["client"][0] if scope.get("client") else ""


def count_jobs_in(demo: Any, visitor: str) -> int:
    """Return how many pieces of work of a visitor wait or run in the queue of `gradio.Blocks`."""
    queue = demo._queue
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    running = [event for events in queue.active_jobs if events for event in events]
    return sum(visitor_of(event.request.scope) == visitor for event in waiting + running)


def refuse_addresses(component: Any, root: Path) -> None:
    """Let a component of Gradio take files that were uploaded only; it would download what an address names.

    An address of an uploaded file stands for the file, whichever host it names: assistants that speak MCP have no
    other way to name one.

    Args:
        component: Such as a `gradio.Audio`. A class of our own would have Gradio write a file beside its source.
        root: Where visitors' files lie.
    """
    import gradio as gr

    move_file = component.async_move_resource_to_block_cache

    async def move(url_or_file_path: Any) -> Any:
        text = str(url_or_file_path)
        if "://" not in text:
            return await move_file(url_or_file_path)
        _, is_ours, name = text.partition(_FILE_ROUTE)
        path = Path(unquote(name)).resolve()
        if not is_ours or not path.is_relative_to(root) or not path.is_file():
            raise gr.Error(
                "Give a file that was uploaded here, not an address elsewhere.",
                title="No file",
                duration=None,
                print_exception=False,
            )
        return await move_file(str(path))

    component.async_move_resource_to_block_cache = move
