"""How a motion file is to be read, where it does not say or says it wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..skeleton import JOINT_INDEX, JOINT_NAMES

UP_AXES = ("y", "z", "x", "-y", "-z", "-x")
UNITS: Mapping[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048, "dm": 0.1}
"""Metres of a unit."""
MIN_FRAME_RATE, MAX_FRAME_RATE = 1.0, 1000.0
"""Hz."""
# How messages name an option, so that it can be given on the command line and in Python.
FRAME_RATE_OPTION = "`--input-frame-rate` (`frame_rate=` in Python)"
UP_AXIS_OPTION = "`--up-axis` (`up_axis=` in Python)"
UNIT_OPTION = "`--unit` (`unit=` in Python)"
JOINT_MAP_OPTION = "`--joint-map` (`overrides=` in Python)"
PERSON_OPTION = "`--person` (`person=` in Python)"


@dataclass(frozen=True)
class ReadOptions:
    """Options of all readers of motion files.

    Args:
        trust_pickle: Read files that are pickles; they are refused otherwise.
        frame_rate: Hz, where the file does not say or is wrong.
        up_axis: One of `UP_AXES`, where the file does not say and the guess from the body's stance is wrong.
        unit: One of `UNITS`, where the guess from the length of the legs is wrong.
        overrides: Our joint name to the file's, where `guess_joint_mapping` is wrong.
        person: Which person of a video, or sample of a batch, as the file names it; `None`: the one seen longest, or
            the first sample.

    Raises:
        ValueError: If an option is none of what it may be.
    """

    trust_pickle: bool = False
    frame_rate: float | None = None
    up_axis: str | None = None
    unit: str | None = None
    overrides: Mapping[str, str] | None = None
    person: str | None = None

    def __post_init__(self) -> None:
        rate = self.frame_rate
        if rate is not None and not (math.isfinite(rate) and MIN_FRAME_RATE <= rate <= MAX_FRAME_RATE):
            raise ValueError(
                f"The frame rate must lie in {MIN_FRAME_RATE:g} to {MAX_FRAME_RATE:g} Hz, got {rate}: give another "
                f"{FRAME_RATE_OPTION}."
            )
        for name, value, known in (("up_axis", self.up_axis, UP_AXES), ("unit", self.unit, UNITS)):
            if value is not None and value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)} or None, got {value!r}.")
        for ours in self.overrides or {}:
            if ours not in JOINT_INDEX:
                raise ValueError(f"A joint map goes from our joints ({', '.join(JOINT_NAMES)}), got {ours!r}.")

    @property
    def metres_per_unit(self) -> float | None:
        """Metres of one unit of the file, `None` if they are to be guessed."""
        return None if self.unit is None else UNITS[self.unit]
