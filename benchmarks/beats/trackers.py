"""The trackers of beats that are measured, each a function of one signature."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import soxr
import torch

from infinitedance.audio.beat_network import BeatNetwork
from infinitedance.audio.beats import estimate_beats
from infinitedance.training.train_beats import read_beatnet_weights

from .measures import TrackedBeats

Tracker = Callable[..., TrackedBeats]
"""`tracker(waveform, sampling_rate, *, bpm=None, genre=None)`; what it cannot use of the last two it ignores."""


def track_infinitedance(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the beats that this package dances to."""
    clock = estimate_beats(waveform, sampling_rate, bpm=bpm, genre=genre)
    times = clock.times_within(len(waveform) / sampling_rate)
    return TrackedBeats(
        np.array(times["beat_times_seconds"]), np.array(times["downbeat_times_seconds"]), clock.beats_per_bar
    )


def track_librosa(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the beats of `librosa.beat.beat_track`, which knows no bars and no genres."""
    from librosa.beat import beat_track

    _, times = beat_track(y=waveform, sr=sampling_rate, bpm=bpm, units="time")
    return TrackedBeats(times, None, None)


def track_plp(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the peaks of librosa's predominant local pulse, near the bpm if it is given."""
    from librosa import frames_to_time
    from librosa.beat import plp
    from librosa.util import localmax

    lowest, highest = (30, 300) if bpm is None else (bpm / 1.1, bpm * 1.1)
    pulse = plp(y=waveform, sr=sampling_rate, tempo_min=lowest, tempo_max=highest)
    return TrackedBeats(frames_to_time(np.flatnonzero(localmax(pulse)), sr=sampling_rate), None, None)


def track_beatnet(
    waveform: np.ndarray, sampling_rate: int, *, bpm: float | None = None, genre: str | None = None
) -> TrackedBeats:
    """Return the beats of BeatNet's first network, decoded over the whole song as its offline mode does."""
    from madmom_infer.features.downbeats import DBNDownBeatTrackingProcessor

    rate, fps = 22_050, 50
    features = beatnet_features()(soxr.resample(waveform, sampling_rate, rate))
    with torch.inference_mode():
        network = load_beatnet()
        hidden, _ = network.hear(torch.from_numpy(np.asarray(features, np.float32))[None])
        activations = network.causal_head(hidden)[0].softmax(dim=-1)[:, :2].numpy()
    lowest, highest = (55, 215) if bpm is None else (bpm / 1.1, bpm * 1.1)
    decoder = DBNDownBeatTrackingProcessor(beats_per_bar=[2, 3, 4], fps=fps, min_bpm=lowest, max_bpm=highest)
    found = decoder(activations)
    return TrackedBeats(found[:, 0], found[found[:, 1] == 1, 0], int(found[:, 1].max()))


@lru_cache
def beatnet_features() -> Callable[[np.ndarray], np.ndarray]:
    """Return madmom's spectra that BeatNet hears."""
    from madmom_infer.audio.signal import FramedSignalProcessor, SignalProcessor
    from madmom_infer.audio.spectrogram import (
        FilteredSpectrogramProcessor,
        LogarithmicSpectrogramProcessor,
        SpectrogramDifferenceProcessor,
    )
    from madmom_infer.audio.stft import ShortTimeFourierTransformProcessor
    from madmom_infer.processors import SequentialProcessor

    return SequentialProcessor(
        (
            SignalProcessor(num_channels=1, sample_rate=22_050),
            FramedSignalProcessor(frame_size=1411, hop_size=441),
            ShortTimeFourierTransformProcessor(),
            FilteredSpectrogramProcessor(num_bands=24, fmin=30, fmax=17_000, norm_filters=True),
            LogarithmicSpectrogramProcessor(mul=1, add=1),
            SpectrogramDifferenceProcessor(diff_ratio=0.5, positive_diffs=True, stack_diffs=np.hstack),
        )
    )


@lru_cache
def load_beatnet() -> BeatNetwork:
    """Load BeatNet's weights from its wheel, whose code needs packages that no longer install."""
    network = BeatNetwork()
    network.load_state_dict(read_beatnet_weights(), strict=False)
    return network.eval()


OURS = "infinitedance"
INDEPENDENT = ("librosa", "BeatNet")
TRACKERS: dict[str, tuple[Tracker, tuple[str, ...]]] = {
    OURS: (track_infinitedance, (OURS,)),
    "librosa": (track_librosa, ("librosa",)),
    "librosa PLP": (track_plp, ("librosa",)),
    "BeatNet": (track_beatnet, ("BeatNet", "madmom-infer")),
}
"""Each tracker and the packages that it needs."""


def installed_trackers() -> dict[str, Tracker]:
    """Return the trackers whose packages are installed."""
    return {name: tracker for name, (tracker, packages) in TRACKERS.items() if all(map(has_package, packages))}


def has_package(name: str) -> bool:
    """Tell whether a package is installed, by the name that pip knows."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def version_of(tracker: str) -> str:
    """Return the packages of a tracker with their versions."""
    return ", ".join(f"{package} {version(package)}" for package in TRACKERS[tracker][1])
