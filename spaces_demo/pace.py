"""How far the making of a dance is, and how long it still takes, by what the last ones took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STAGES = {
    "reading": "Reading the song",
    "listening": "Listening to the music",
    "dancing": "Dancing",
    "finishing": "Setting the feet",
    "measuring": "Measuring the dance",
}
"""What is done, in this order, as visitors read it."""
_TYPICAL_COSTS = {"reading": 0.003, "listening": 0.07, "dancing": 0.02, "finishing": 0.075, "measuring": 0.01}
"""Seconds that a second of a dance takes two cores; on another machine all are longer or shorter together."""
_LEAST_FRAMES = 24
"""Of a dance that say how fast it is made."""


@dataclass(frozen=True)
class Step:
    """What a visitor who waits is told.

    Args:
        stage: A key of `STAGES`.
        share: Of the whole time that has passed, 0 to 1.
        remaining_seconds: How long it still takes; `None` before anything was measured.
        frames: How many are danced, and of how many.
    """

    stage: str
    share: float
    remaining_seconds: float | None = None
    frames: tuple[int, int] | None = None

    @property
    def text(self) -> str:
        """What is done, how far, and how long it still takes."""
        told = STAGES[self.stage]
        if self.frames is not None:
            told += f": {self.frames[0]} of {self.frames[1]} frames"
        if self.remaining_seconds is None:
            return told
        seconds = max(1, round(self.remaining_seconds))
        return f"{told}, about {seconds} s left" if seconds < 90 else f"{told}, about {round(seconds / 60)} min left"


class Pace:
    """Clock of one piece of work, which knows how long each stage of earlier ones took.

    A stage takes so many seconds for a second of the dance. How long is left is told as soon as frames are danced,
    whose speed says how fast the machine is, and from the second dance on from the start.
    """

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}
        self._on_step: Callable[[Step], None] = lambda step: None
        self._seconds = 0.0
        self._stage = ""
        self._started = self._stage_started = self._share = 0.0
        self._first_frames: tuple[float, int] | None = None  # when, and how many

    def start(self, seconds: float, on_step: Callable[[Step], None]) -> Pace:
        """Return the clock of a new dance of so many seconds, which tells `on_step` of each step."""
        work = Pace()
        work.costs, work._on_step, work._seconds = self.costs, on_step, seconds
        work._started = time.perf_counter()
        work.begin("reading")
        return work

    def begin(self, stage: str, seconds: float | None = None) -> None:
        """Say that a stage begins and the one before has ended; `seconds` is the true length, once it is known."""
        self._close()
        self._seconds = seconds or self._seconds
        self._stage, self._stage_started = stage, time.perf_counter()
        self._tell(self._expected(stage))

    def dance(self, done: int, total: int) -> None:
        """Say how many frames are danced."""
        now = time.perf_counter()
        if self._first_frames is None:
            self._first_frames = now, done  # what was prepared before is not done again
        elapsed, frames = now - self._first_frames[0], done - self._first_frames[1]
        if frames >= _LEAST_FRAMES:
            self.costs["dancing"] = elapsed / frames * total / self._seconds
        expected = self._expected("dancing")
        self._tell(None if expected is None else expected * (total - done) / total, (done, total))
        if done == total:
            self.begin("finishing")

    def end(self) -> None:
        """Say that all is done."""
        self._close()

    def _close(self) -> None:
        if self._stage not in ("", "dancing"):
            self.costs[self._stage] = (time.perf_counter() - self._stage_started) / self._seconds

    def _expected(self, stage: str) -> float | None:
        cost = self.costs.get(stage)
        if cost is None and "dancing" in self.costs:
            cost = _TYPICAL_COSTS[stage] * self.costs["dancing"] / _TYPICAL_COSTS["dancing"]
        return None if cost is None else cost * self._seconds

    def _tell(self, left: float | None, frames: tuple[int, int] | None = None) -> None:
        stages = list(STAGES)
        position = stages.index(self._stage)
        later = [self._expected(stage) for stage in stages[position + 1 :]]
        remaining: float | None = None
        known = [seconds for seconds in (left, *later) if seconds is not None]
        if len(known) == len(later) + 1:
            remaining = sum(known)
            passed = time.perf_counter() - self._started
            share = passed / max(passed + remaining, 1e-9)
        else:
            share = (position + (frames[0] / frames[1] if frames else 0)) / len(stages)
        self._share = max(self._share, share)  # a bar that goes back tells nobody anything
        self._on_step(Step(self._stage, self._share, remaining, frames))
