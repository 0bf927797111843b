"""Synthesised songs."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

RATE = 24000


@pytest.fixture
def make_clicks() -> Callable[..., np.ndarray]:
    """Clicks at given times, in seconds; `accents` scales each of them."""

    def make(
        times: np.ndarray, seconds: float, accents: np.ndarray | None = None, pitch_hz: float = 1000
    ) -> np.ndarray:
        song = np.zeros(round(seconds * RATE), dtype=np.float32)
        age = np.arange(1200) / RATE
        click = np.sin(2 * np.pi * pitch_hz * age) * np.exp(-age / 0.01)
        for index, time in enumerate(times):
            start = round(time * RATE)
            piece = song[start : start + len(click)]
            piece += click[: len(piece)] * (0.5 if accents is None else accents[index])
        return song

    return make


@pytest.fixture
def make_drums() -> Callable[..., np.ndarray]:
    """A drum loop: a kick on the beat, loudest on the first of the bar, and a hi-hat on the half beats."""

    def make(bpm: float, seconds: float, first_downbeat: float = 0.0, meter: int = 4) -> np.ndarray:
        generator = np.random.default_rng(0)
        song = generator.normal(size=round(seconds * RATE)) * 1e-3
        age = np.arange(3600) / RATE
        kick = np.sin(2 * np.pi * 60 * age) * np.exp(-age / 0.05)
        hat = generator.normal(size=3600) * np.exp(-age / 0.01) * 0.2
        first = -int(first_downbeat * bpm / 60)
        for beat in range(first, int((seconds - first_downbeat) * bpm / 60) + 1):
            hits = ((0.0, kick * (0.8 if beat % meter == 0 else 0.3) + 0.6 * hat), (0.5, 0.5 * hat))
            for part_of_beat, sound in hits:
                start = round((first_downbeat + (beat + part_of_beat) * 60 / bpm) * RATE)
                if 0 <= start < len(song):
                    song[start : start + len(sound)] += sound[: len(song) - start]
        return song.astype(np.float32)

    return make


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
