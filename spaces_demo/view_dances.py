"""`infinitedance view`: show dances in the browser from a server of this machine only, or write them as one page."""

from __future__ import annotations

import re
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import DEMO_SONG
from ..audio.beats import estimate_beats
from ..audio.loading import load_audio
from ..motion.drawing.viewing import AUDIO_TYPES, audio_type, viewer_dance, viewer_page
from ..motion.files import ReadOptions, read_motion
from ..motion.motion import Motion
from ..utils.atomic import atomic_path

_SAMPLING_RATE = 24_000
_SONG_PATH = "/song"
_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True)
class Show:
    """What one page plays.

    Args:
        dances: One or two, packed for the viewer.
        song: Audio file to which they are danced; `None` for silence.
        title: Of the page.
    """

    dances: list[dict[str, Any]]
    song: Path | None
    title: str


def read_show(files: Sequence[Path], song: Path | None = None, options: ReadOptions | None = None) -> Show:
    """Read one motion file or two for the viewer, with the song and its beats.

    Args:
        files: Any that `read_motion` reads.
        song: The song; if not given, the one that the dance's provenance names, where it lies beside the file or ships
            with the package.
        options: How the motion files are to be read.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file cannot be read as what it should be, or no browser plays the song.
    """
    if song is not None:
        audio_type(song)  # an error here is better than after the work
    motions = [read_motion(file, options) for file in files]
    if song is None:
        found = (_find_song(motion, file) for motion, file in zip(motions, files, strict=True))
        song = next((path for path in found if path is not None), None)
    beats = {}
    if song is not None:
        genre = next((str(motion.provenance["genre"]) for motion in motions if motion.provenance.get("genre")), None)
        clock = estimate_beats(load_audio(song, _SAMPLING_RATE), _SAMPLING_RATE, genre=genre)
        times = clock.beat_times_seconds
        is_downbeat = (np.arange(len(times)) - clock.first_downbeat_index) % clock.beats_per_bar == 0
        beats = {"beat_times_seconds": times, "downbeat_times_seconds": times[is_downbeat]}
    dances = [viewer_dance(motion, file.stem, **beats) for motion, file in zip(motions, files, strict=True)]
    return Show(dances, song, " and ".join(file.stem for file in files))


def _find_song(motion: Motion, file: Path) -> Path | None:
    name = motion.provenance.get("song")
    if not isinstance(name, str) or Path(name).name != name or Path(name).suffix.lower() not in AUDIO_TYPES:
        return None
    return next((path for path in (file.parent / name, DEMO_SONG) if path.name == name and path.is_file()), None)


def write_page(show: Show, output: Path) -> None:
    """Write a show as one HTML file with the song inside, which plays without a network.

    Args:
        show: From `read_show`.
        output: The page, overwritten if it is there.

    Raises:
        ValueError: If `output` has another ending.
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"The page must be named .html, got {output}.")
    page = viewer_page(show.dances, song=show.song, title=show.title)
    with atomic_path(output) as path:
        path.write_text(page, encoding="utf-8")


def make_server(show: Show) -> ThreadingHTTPServer:
    """Return a server of a show's page and song, on a free port of 127.0.0.1; it serves no other file."""
    page = viewer_page(show.dances, song_url=None if show.song is None else _SONG_PATH, title=show.title).encode()
    handler = type("ViewerHandler", (_ViewerHandler,), {"page": page, "song": show.song})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    return server


def serve(show: Show, *, opens_browser: bool = True) -> None:
    """Serve a show to the browsers of this machine until Ctrl-C.

    Args:
        show: From `read_show`.
        opens_browser: Open the page in the default browser.
    """
    with make_server(show) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        print(f"{url}  (Ctrl-C ends)", flush=True)
        if opens_browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


class _ViewerHandler(BaseHTTPRequestHandler):
    """Handler that answers two paths by name; no path of a request ever reaches the file system."""

    page: bytes
    song: Path | None

    def handle(self) -> None:
        """Answer, until the browser hangs up: when it has what it wanted, it does so in the middle."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Send the page or the song."""
        # A page elsewhere that had its name point to 127.0.0.1 would come with that name.
        if self.headers.get("Host", "").rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(403)
        elif self.path == "/":
            self._send(200, "text/html; charset=utf-8", {"Content-Length": str(len(self.page))})
            if self.command != "HEAD":
                self.wfile.write(self.page)
        elif self.path == _SONG_PATH and self.song is not None:
            self._send_song(self.song)
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _send(self, status: int, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Cache-Control": "no-store", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_song(self, song: Path) -> None:
        """Send the bytes that the request's `Range` asks for: a browser that gets all of them cannot seek."""
        size = song.stat().st_size
        # A range that is no single one, or runs backwards, is passed over, as RFC 9110 has it.
        wanted = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", self.headers.get("Range", ""))
        first, last = wanted.groups() if wanted else ("", "")
        is_part = bool(first or last) and not (first and last and int(first) > int(last))
        start, end = 0, size - 1
        if is_part:
            start = int(first) if first else max(0, size - int(last))
            end = min(int(last), end) if first and last else end
        if start > end and is_part:
            self._send(416, "text/plain", {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - start + 1)}
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        self._send(206 if is_part else 200, audio_type(song), headers)
        if self.command == "HEAD":
            return
        with song.open("rb") as file:
            file.seek(start)
            remaining = end - start + 1
            while block := file.read(min(_BLOCK_BYTES, remaining)):
                self.wfile.write(block)
                remaining -= len(block)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the page's own requests are no news."""
