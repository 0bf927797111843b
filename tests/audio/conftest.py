"""Synthesized songs."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from infinitedance.audio.loudness import Fade
from infinitedance.audio.sections import Section
from infinitedance.audio.song_map import Energy, MappedBeats, SongMap

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


@pytest.fixture
def make_song_map() -> Callable[..., SongMap]:
    """Make the map of a song with a steady beat from 0 s on: `make_song_map(bpm=120, meter=4, seconds=32.0)`."""

    def make(
        bpm: float = 120.0,
        meter: int = 4,
        seconds: float = 32.0,
        *,
        confidence: float = 0.9,
        sections: Sequence[tuple[float, float, str]] = (),
        silences: Sequence[tuple[float, float]] = (),
        fades: Sequence[tuple[str, float, float]] = (),
        levels: np.ndarray | None = None,
        bpm_from: tuple[float, float] = (np.inf, 120.0),
    ) -> SongMap:
        times = [0.0]
        while times[-1] < seconds:
            times.append(times[-1] + 60 / (bpm if times[-1] < bpm_from[0] else bpm_from[1]))
        times = times[:-1]
        levels = np.zeros(round(2 * seconds)) if levels is None else levels
        return SongMap(
            duration_seconds=seconds,
            beats=MappedBeats(bpm, meter, tuple(times), tuple(times[::meter])),
            confidence=confidence,
            alternatives=(),
            integrated_loudness_lufs=-14.0,
            energy=Energy(2.0, tuple(levels.tolist())),
            silences=tuple(silences),
            fades=tuple(Fade(*fade) for fade in fades),
            sections=tuple(Section(start, end, label, 1) for start, end, label in sections or [(0.0, seconds, "A")]),
            breaks=(),
            drops=(),
        )

    return make
