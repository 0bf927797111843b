"""What the page and programs ask for, as the studio understands it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .pace import Step
from .studio import DanceRequest, DanceSet, FieldError, Studio

ANY_GENRE = "any"
USUAL_ENERGY = 0.5
_NEW_SEEDS = 1_000_000


def new_seed() -> int:
    """Return a seed that nobody had, short enough to be read out."""
    return secrets.randbelow(_NEW_SEEDS)


def make_dances(studio: Studio, asked: dict[str, Any], on_step: Callable[[Step], None]) -> DanceSet:
    """Make the dances that the page or a program asks for.

    Args:
        studio: Makes them.
        asked: Values of the controls by their names.
        on_step: As in `Studio.make`.

    Raises:
        FieldError: If they cannot be made.
    """
    song = asked.pop("song")
    if not song:
        raise FieldError("song", "Choose a song first, record one, or use the example.")
    if asked["num_references"] == studio.pipeline.default_num_references and not asked["pinned_references"]:
        asked["num_references"] = None  # untouched: a style without dances in the library dances without
    if asked.pop("follows_loudness") and asked["energy"] == USUAL_ENERGY:
        asked["energy"] = None
    if asked["seed"] is None:
        asked["seed"] = new_seed()
    return studio.make(Path(song), request_of(asked), on_step)


def request_of(asked: dict[str, Any]) -> DanceRequest:
    """Return what the controls of the page say; those that are missing are at their defaults."""
    genre = None if asked["genre"] == ANY_GENRE else asked["genre"]
    return DanceRequest(**{**asked, "genre": genre, "start_seconds": asked["start_seconds"] or 0})
