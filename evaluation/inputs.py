"""What `infinitedance evaluate` is asked to measure, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..motion.files import ReadOptions

LEAST_SECONDS = {"window_seconds": 1.0, "join_seconds": 0.5}
"""Features of shorter windows, or joins with less between them to compare them with, say nothing."""


@dataclass(frozen=True)
class EvaluationInputs:
    """Folders and settings of a report.

    Args:
        generated: Dances to measure.
        reference: Real dances to compare with.
        music: Their songs.
        training: The dances that the system was trained on, for distances from them and copies; `None`: left out.
        manifest: CSV with songs, genres and tempos, see `read_pairing_manifest`.
        window_seconds: Features of distributions are taken of windows of this length; `None`: of whole clips.
        join_seconds: Time between the places where the system joins its windows, for jumps there; `None`: left out.
        is_reconstruction: Whether each generated dance is a version (decoded, repaired, estimated from video) of the
            reference dance of its name, to which its distance is measured.
        reading: How motion files are to be read; its frame rate is that of the generated dances.
        reference_frame_rate: Hz of the reference and training dances, where their files do not say it or are wrong.
        on_one_body: Whether files of joints are fitted to our body first: without it, sets on other bodies differ by
            their bodies too, and a dance that was copied onto another body cannot be found.
        with_pictures: Whether the page has contact sheets.
        seed: Of chance and of intervals.

    Raises:
        ValueError: If a length is too short, or the seed is negative.
    """

    generated: Path
    reference: Path
    music: Path
    training: Path | None = None
    manifest: Path | None = None
    window_seconds: float | None = None
    join_seconds: float | None = None
    is_reconstruction: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)
    reference_frame_rate: float | None = None
    on_one_body: bool = False
    with_pictures: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in LEAST_SECONDS.items():
            seconds = getattr(self, name)
            if seconds is not None and not least <= seconds < math.inf:
                raise ValueError(f"`{name}` must be at least {least:g} s, got {seconds:g}.")
        if self.seed < 0:
            raise ValueError(f"`seed` must be at least 0, got {self.seed}.")

    def reading_of(self, which: str) -> ReadOptions:
        """Return how the `"generated"`, `"reference"` or `"training"` dances are to be read."""
        return self.reading if which == "generated" else replace(self.reading, frame_rate=self.reference_frame_rate)
