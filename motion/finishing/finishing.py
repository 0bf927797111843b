"""All finishing of a dance in the order in which the steps build on each other."""

from __future__ import annotations

from collections.abc import Sequence

from ..motion import Motion
from .ending import end_pose, fade_to_rest
from .gaze import steady_gaze
from .holding import hold_in_spans
from .staging import keep_on_stage
from .toes import bend_toes


def finish(
    motion: Motion,
    *,
    silences_seconds: Sequence[tuple[float, float]] = (),
    end_seconds: float | None = None,
    end_style: str = "pose",
    bar_seconds: float = 2.0,
    fade_out_seconds: tuple[float, float] | None = None,
    radius_metres: float | None = None,
    phrase_starts_seconds: Sequence[float] = (),
    gaze_elevation_degrees: float | None = None,
) -> Motion:
    """Finish a generated dance: rests, ending, stage, gaze, toes. `plant_feet` comes after it.

    Args:
        motion: A dance on the floor y = 0, as `put_on_floor` returns it.
        silences_seconds: Where the song is silent, see `hold_in_spans`.
        end_seconds: The last downbeat of the song; `None` leaves the end as it is.
        end_style: See `end_pose`. A dance that ends in a pose faces the audience in it, if it is kept on a stage.
        bar_seconds: See `end_pose`.
        fade_out_seconds: Where the song fades out, see `fade_to_rest`: the ending in the place of `end_seconds`.
        radius_metres: Of the stage, see `keep_on_stage`; `None` lets the dancer go anywhere.
        phrase_starts_seconds: See `keep_on_stage`.
        gaze_elevation_degrees: See `steady_gaze`; `None` leaves the head as it is.

    Returns:
        As many frames.

    Raises:
        ValueError: As the functions that are named.
    """
    motion = hold_in_spans(motion, silences_seconds)
    phrase_starts = list(phrase_starts_seconds)
    if fade_out_seconds is not None:
        motion = fade_to_rest(motion, *fade_out_seconds)
    elif end_seconds is not None:
        motion = end_pose(motion, end_seconds, end_style, bar_seconds=bar_seconds)
        if end_style == "pose":
            phrase_starts.append(end_seconds)
    if radius_metres is not None:
        motion = keep_on_stage(motion, radius_metres, phrase_starts)
    if gaze_elevation_degrees is not None:
        motion = steady_gaze(motion, gaze_elevation_degrees)
    return bend_toes(motion)
