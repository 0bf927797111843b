"""Synthesized songs."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

RATE = 24000


@pytest.fixture
def write_m4a() -> Callable[..., Path]:
    """Write a stereo AAC file with PyAV: `waveform (2, samples)`."""

    def write(path: Path, waveform: np.ndarray, sampling_rate: int) -> Path:
        av = pytest.importorskip("av")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=sampling_rate, layout="stereo")
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(waveform, np.float32), format="fltp", layout="stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = sampling_rate, 0, Fraction(1, sampling_rate)
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        return path

    return write
