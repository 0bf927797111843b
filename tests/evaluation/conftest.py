"""Bodies that move by rule."""

import numpy as np
import pytest

FRAME_RATE = 30.0


@pytest.fixture
def bouncing():
    """A body of 4 joints that goes up and down; its speed pulses `pulses_per_second` times a second."""

    def build(pulses_per_second: float, seconds: float = 60.0, frame_rate: float = FRAME_RATE, delay: float = 0.0):
        times = np.arange(round(seconds * frame_rate)) / frame_rate - delay
        positions = np.zeros((len(times), 4, 3))
        # Two moments of standstill, and two of highest speed, in each cycle of the height.
        positions[..., 1] = np.arange(4) + 0.1 * np.cos(np.pi * pulses_per_second * times)[:, None]
        return positions

    return build
