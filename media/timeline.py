"""When decoded sound comes: time stamps are honoured, so that what starts late starts late and gaps stay gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .kinds import Kind

STAMP_TOLERANCE_SECONDS = 0.03
"""Stamps of some containers are rounded, and those of live recordings tremble; a frame of a video lasts as long."""
LATEST_START_SECONDS = 30.0
"""Where all streams begin later, it is a piece of a longer recording, and its start is time 0."""
LONGEST_GAP_SECONDS = 3600.0
LONGEST_OVERLAP_SECONDS = 1.0
"""Stamps that jump back further begin another recording, which follows without a gap."""
BROADCAST_JUMP_SECONDS = 10.0
"""As FFmpeg has it: so far a broadcast's clock does not jump within one recording."""
SILENCE_SAMPLES = 1 << 16


class Timeline:
    """Places the blocks of one stream in time: silence fills gaps, what overlaps is left out.

    Args:
        kind: Of the file.
        others_start_seconds: When the first of the file's other streams begins; `None` if there is none.
    """

    def __init__(self, kind: Kind, others_start_seconds: float | None):
        self.kind = kind
        self.seconds = 0.0
        """How much was placed."""
        self.lead_seconds = 0.0
        """Silence in front of the sound."""
        self._others_start = others_start_seconds
        self._origin: float | None = None

    def place(self, block: np.ndarray, rate: int, stamp_seconds: float | None) -> Iterator[np.ndarray]:
        """Yield a block with the silence before it, or what is left of it.

        Args:
            block: `(samples, channels)`.
            rate: Hz.
            stamp_seconds: When it begins, by the file; `None` if the file does not say.

        Raises:
            ValueError: If a stamp lies out of range, or shows that sound is missing.
        """
        if stamp_seconds is not None and self.kind.stamps != "none" and len(block):
            is_first = self._origin is None
            ahead = self._ahead(stamp_seconds)
            if self.kind.stamps == "checked" and ahead > 1.5 / rate:
                raise ValueError(f"{ahead:.2f} s of sound are missing")
            if ahead > LONGEST_GAP_SECONDS:
                raise ValueError(f"a time stamp of {stamp_seconds:.0f} s follows there")
            if abs(ahead) > (0.5 / rate if is_first else STAMP_TOLERANCE_SECONDS) and self._follows(is_first):
                if ahead > 0:
                    yield from self._silence(round(ahead * rate), block.shape[1], rate)
                else:
                    block = block[min(len(block), round(-ahead * rate)) :]
            if is_first:
                self.lead_seconds = self.seconds
        self.seconds += len(block) / rate
        yield block

    def _follows(self, is_first: bool) -> bool:
        return self.kind.stamps == "all" or (is_first and self.kind.stamps == "start")

    def _ahead(self, stamp: float) -> float:
        """Return how much later than what was placed a stamp is, in seconds."""
        if self._origin is None:
            earliest = stamp if self._others_start is None else min(stamp, self._others_start)
            self._origin = origin_seconds(self.kind, earliest)
        ahead = stamp - self._origin - self.seconds
        if ahead < -LONGEST_OVERLAP_SECONDS or (self.kind.is_broadcast and ahead > BROADCAST_JUMP_SECONDS):
            self._origin, ahead = stamp - self.seconds, 0.0
        return ahead

    def _silence(self, num_samples: int, num_channels: int, rate: int) -> Iterator[np.ndarray]:
        while num_samples > 0:
            block = np.zeros((min(num_samples, SILENCE_SAMPLES), num_channels), np.float32)
            num_samples -= len(block)
            self.seconds += len(block) / rate
            yield block


def origin_seconds(kind: Kind, earliest_seconds: float) -> float:
    """Return the time stamp that is time 0.

    Args:
        kind: Of the file.
        earliest_seconds: Stamp with which the first of its streams begins.
    """
    is_anywhere = kind.begins_anywhere or kind.stamps == "checked"
    return earliest_seconds if is_anywhere or not 0 <= earliest_seconds <= LATEST_START_SECONDS else 0.0
