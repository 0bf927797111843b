"""Finish a dance that a codec decoded: floor, jitter, rests and ending, feet."""

from __future__ import annotations

from typing import Any

from ..motion.feet.planting import plant_feet
from ..motion.finishing.finishing import finish
from ..motion.motion import Motion
from ..motion.retargeting.retargeting import put_on_floor
from ..motion.smoothing import smooth_motion
from .pipeline_frdm import FrdmPipeline

# Real held-out dances have a jerk of 90 to 96 m/s^3, through the codec 110 to 180, and after this 62 to 96, for 1 % of
# the speed.
_JITTER_SECONDS = 0.02


def finish_dance(
    motion: Motion,
    finishing: dict[str, Any] | None = None,
    *,
    plants_feet: bool = True,
    restorer: FrdmPipeline | None = None,
) -> Motion:
    """Bring what a codec decoded onto the floor, without its jitter, with feet that stand.

    Args:
        motion: As decoded.
        finishing: Arguments of `motion.finishing.finish`, as `finishing_cues` has them; none to leave it as it is.
        plants_feet: Hold feet where they stand.
        restorer: Does that in the place of `plant_feet`.
    """
    motion = put_on_floor(smooth_motion(motion, _JITTER_SECONDS))
    if finishing is not None:
        motion = finish(motion, **finishing)
    if plants_feet:
        motion = plant_feet(motion) if restorer is None else restorer(motion).motion
    return motion
