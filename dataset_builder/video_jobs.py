"""Which videos are captured, what their clips are called, and what a user says of them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .manifest import file_sha256
from .stages import MAX_STEM_LETTERS

PERSON_FIRST, PERSON_ALL = "first", "all"
MIN_HEIGHT_METRES, MAX_HEIGHT_METRES = 0.5, 2.5


@dataclass(frozen=True)
class CaptureOptions:
    """What a user says of videos, and how they are captured.

    Args:
        genre: Of the dances; empty: it is guessed, and marked as guessed.
        license: Terms of the clips; empty: not stated.
        performer: Names the dancer; empty: not stated.
        person: `"first"` for the most prominent person of each shot, `"all"`, or which one, counted from 0.
        height_metres: Of the dancer.
        focal_length_pixels: Of the camera; `None` if it is not known.
        physics: Let a simulated body imitate the dance before its feet are restored.
        hands: Capture the fingers, too.

    Raises:
        ValueError: If a value is out of range.
    """

    genre: str = ""
    license: str = ""
    performer: str = ""
    person: str = PERSON_FIRST
    height_metres: float = 1.70
    focal_length_pixels: float | None = None
    physics: bool = False
    hands: bool = False

    def __post_init__(self) -> None:
        if self.person not in (PERSON_FIRST, PERSON_ALL) and not self.person.isdecimal():
            raise ValueError(f"`person` must be {PERSON_FIRST}, {PERSON_ALL} or a number from 0, got {self.person!r}.")
        if not MIN_HEIGHT_METRES <= self.height_metres <= MAX_HEIGHT_METRES:
            raise ValueError(
                f"`height_metres` must be from {MIN_HEIGHT_METRES} to {MAX_HEIGHT_METRES}, got {self.height_metres}."
            )
        focal_length = self.focal_length_pixels
        if focal_length is not None and not (math.isfinite(focal_length) and focal_length > 0):
            raise ValueError(f"`focal_length_pixels` must be a positive number, got {focal_length}.")

    @classmethod
    def parse(cls, values: dict[str, str]) -> CaptureOptions:
        """Read what follows a source on the command line.

        Args:
            values: Texts by the names `genre`, `license`, `performer`, `person`, `height`, `focal_length`, `physics`,
                `hands`.

        Raises:
            ValueError: If there is no such option, or a value is out of range.
        """
        names = {"height": "height_metres", "focal_length": "focal_length_pixels"}
        known = [next((key for key in names if names[key] == each.name), each.name) for each in fields(cls)]
        read: dict[str, Any] = {}
        for name, text in values.items():
            if name not in known:
                raise ValueError(f"A source of videos takes the options {', '.join(known)}, got {name!r}.")
            if name in ("physics", "hands"):
                if text not in ("0", "1"):
                    raise ValueError(f"`{name}` must be 0 or 1, got {text!r}.")
                read[name] = text == "1"
            elif name in names:
                try:
                    read[names[name]] = float(text)
                except ValueError as error:
                    raise ValueError(f"`{name}` must be a number, got {text!r}.") from error
            else:
                read[name] = text
        return cls(**read)


@dataclass(frozen=True)
class VideoJob:
    """Video to capture.

    Args:
        path: The file.
        key: What its clips, and the song in it, are called.
        sha256: Of its content.
        options: See `CaptureOptions`.
    """

    path: str
    key: str
    sha256: str
    options: CaptureOptions

    def made_from(self, digests: dict[str, str | None]) -> dict[str, Any]:
        """Return all that the clips depend on."""
        version = importlib.metadata.version("infinitedance")
        return {"video_sha256": self.sha256, **asdict(self.options), **digests, "version": version}


def list_videos(
    videos: Iterable[tuple[str | os.PathLike, CaptureOptions]],
) -> tuple[list[VideoJob], list[dict[str, str]]]:
    """Name videos: by their stems, and where several have one, by the content, too; the same video is listed once.

    Returns:
        The jobs, and `video` and `reason` of what is no file.
    """
    found: dict[str, tuple[Path, CaptureOptions]] = {}
    missing = []
    for video, options in videos:
        path = Path(video)
        digest = file_sha256(path)
        if digest is None:
            what = "is a folder, give the videos in it" if path.is_dir() else "does not exist"
            missing.append({"video": path.name, "reason": f"{path} {what}."})
        else:
            found.setdefault(digest, (path, options))
    stems = {digest: _stem(path) for digest, (path, _) in found.items()}
    counts = Counter(stem.casefold() for stem in stems.values())
    return [
        VideoJob(str(path), stem + (f"~{digest[:8]}" if counts[stem.casefold()] > 1 else ""), digest, options)
        for (digest, (path, options)), stem in zip(found.items(), stems.values(), strict=True)
    ], missing


def _stem(path: Path) -> str:
    """Return the name of a video as one that stays as it is in a table, and as the name of files."""
    stem = " ".join(path.stem.split()) or "video"
    if len(stem.encode()) > MAX_STEM_LETTERS:
        stem = f"{stem[: MAX_STEM_LETTERS // 4]}~{hashlib.blake2b(stem.encode(), digest_size=4).hexdigest()}"
    return stem
