"""The beat network: how likely each fiftieth of a second of a song is a beat, and one that begins a bar."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import max_pool1d, relu

from ..assets import BEAT_NETWORK
from ..utils.checkpoints import read_weights
from ..utils.errors import reading
from .bar_pointer import ACTIVATION_RATE
from .loudness import hop_powers, integrated_loudness
from .spectra import SAMPLING_RATE, power_spectra, reference_gain, weighted_sums

WINDOW_SAMPLES = 1536
HOP_SAMPLES = SAMPLING_RATE // ACTIVATION_RATE
NUM_BANDS = 136
BLOCK_FRAMES, CONTEXT_FRAMES = 6000, 1000
FRAMES_AT_ONCE = 2048
CLASS_WEIGHTS = (6.0, 12.0, 1.0)
"""How much a beat, a downbeat and their absence weigh in training, since beats are rare."""
SILENT_BAND = 0.01
"""A frame is silent if no band is stronger, about 80 dB under full scale; there is no beat in silence."""
CALIBRATION = 0.6
"""Power of the weights that is taken back from the activations."""


class BeatLogits(NamedTuple):
    """What the network says of each frame.

    Args:
        causal: `(batch, frames, 3)` logits of a beat, a downbeat and neither, from the sound up to each frame.
        whole: `(batch, frames, 3)` the same from the whole song.
    """

    causal: torch.Tensor
    whole: torch.Tensor


class BeatNetwork(nn.Module):
    """BeatNet's convolution and recurrence (Heydari, Cwitkowitz and Duan 2021), then a layer that hears what follows.

    Args:
        hidden_size: Channels of each direction of the last layer.
    """

    def __init__(self, hidden_size: int = 64):
        super().__init__()
        channels = 150
        self.conv = nn.Conv1d(1, 2, 10)
        self.projection = nn.Linear(2 * ((2 * NUM_BANDS - 9) // 2), channels)
        self.lstm = nn.LSTM(channels, channels, 2, batch_first=True)
        self.causal_head = nn.Linear(channels, 3)
        self.context = nn.GRU(channels, hidden_size, batch_first=True, bidirectional=True)
        self.whole_head = nn.Linear(2 * hidden_size, 3)

    def forward(self, features: torch.Tensor) -> BeatLogits:
        """Return logits for each frame.

        Args:
            features: `(batch, frames, 272)`, see `beat_features`.
        """
        hidden, _ = self.hear(features)
        return BeatLogits(self.causal_head(hidden), self.look_around(hidden))

    def hear(
        self, features: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Run the causal layers.

        Args:
            features: `(batch, frames, 272)`, see `beat_features`.
            state: What was returned for the frames before; `None` at the beginning.

        Returns:
            `(batch, frames, 150)` hidden states, and the state for the frames that follow.
        """
        spectra = features.flatten(0, 1)[:, None].split(FRAMES_AT_ONCE)  # the convolution needs much room
        bands = [self.projection(max_pool1d(relu(self.conv(piece)), 2).flatten(1)) for piece in spectra]
        return self.lstm(torch.cat(bands).view(*features.shape[:2], -1), state)

    def look_around(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits `(batch, frames, 3)` from hidden states of frames before and after each."""
        return self.causal_head(hidden) + self.whole_head(self.context(hidden)[0])


@lru_cache
def load_beat_network() -> BeatNetwork:
    """Load the network that ships with the package."""
    network = BeatNetwork()
    with reading(BEAT_NETWORK):
        network.load_state_dict({name: weight.float() for name, weight in read_weights(BEAT_NETWORK).items()})
    return network.eval()


@lru_cache
def band_filters() -> np.ndarray:
    """Return triangular filters, 24 an octave from 30 Hz to 11 kHz, each of area 1: `(769, 136)` float32.

    They are those that BeatNet learned with, madmom's at 22,050 Hz and windows of 1411 samples, down to its rounding:
    the bins of both transforms lie 15.6 Hz apart.
    """
    hertz = 440 * 2 ** (np.arange(-93, 127) / 24)
    hertz = hertz[(hertz >= 30) & (hertz <= 17_000)]
    edges = np.unique(np.minimum(np.round(hertz / (11_025 / 705)).astype(int), 704))
    filters = np.zeros((WINDOW_SAMPLES // 2 + 1, len(edges) - 2), np.float32)
    for band, (low, center, high) in enumerate(zip(edges[:-2], edges[1:-1], edges[2:], strict=True)):
        if high - low < 2:
            center, high = low, low + 1
        rise = np.linspace(0, 1, center - low, endpoint=False)
        fall = np.linspace(1, 0, high - center, endpoint=False)
        triangle = np.concatenate([rise, fall])
        filters[low:high, band] = triangle / triangle.sum()
    return filters


def beat_features(waveform: np.ndarray, start_frame: int, stop_frame: int, gain: float) -> np.ndarray:
    """Return what the network hears of some frames of a song.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        start_frame: First frame; frame k is centered on `k / 50` seconds.
        stop_frame: Frame after the last.
        gain: Factor that brings the song to -14 LUFS.

    Returns:
        `(stop_frame - start_frame, 272)` float32: logarithmic magnitudes of 136 bands, and how much each has risen
        since the frame before.
    """
    full_scale = 1411 / 4  # the peak of a full-scale sine in the transform that the filters were made for
    bands = np.empty((stop_frame - start_frame + 1, NUM_BANDS), np.float32)
    position = 0
    for power in power_spectra(waveform, WINDOW_SAMPLES, HOP_SAMPLES, start_frame - 1, stop_frame, gain):
        magnitudes = weighted_sums(np.sqrt(power) * np.float32(full_scale), band_filters())
        bands[position : position + len(power)] = np.log10(1 + magnitudes)
        position += len(power)
    if start_frame == 0:
        bands[0] = bands[1]
    return np.concatenate([bands[1:], np.maximum(bands[1:] - bands[:-1], 0)], axis=1)


def to_probabilities(logits: torch.Tensor) -> np.ndarray:
    """Return `(frames, 2)` probabilities of a beat that begins no bar and of one that does.

    They are rounded to thousandths: so the last bits, which depend on the number of threads, decide nothing.

    Args:
        logits: `(frames, 3)`.
    """
    calibrated = logits - CALIBRATION * torch.tensor(CLASS_WEIGHTS).log()
    return np.round(calibrated.softmax(dim=-1)[:, :2].numpy().astype(np.float64), 3)


@torch.inference_mode()
def beat_activations(waveform: np.ndarray, gain: float | None = None) -> np.ndarray:
    """Return how likely each frame of a song is a beat.

    A song of more than two minutes is heard in blocks with 20 s before and after each.

    Args:
        waveform: `(samples,)`, 24,000 Hz, mono.
        gain: Factor that brings the song to -14 LUFS; measured by default.

    Returns:
        `(frames, 2)` probabilities of a beat that begins no bar and of one that does, 50 frames a second.
    """
    if gain is None:
        gain = reference_gain(integrated_loudness(hop_powers(waveform, SAMPLING_RATE)))
    num_frames = len(waveform) // HOP_SAMPLES + 1
    activations = np.empty((num_frames, 2))
    for first in range(0, num_frames, BLOCK_FRAMES):
        begin, end = max(0, first - CONTEXT_FRAMES), min(first + BLOCK_FRAMES + CONTEXT_FRAMES, num_frames)
        features = torch.from_numpy(beat_features(waveform, begin, end, gain))
        inside = slice(first - begin, first - begin + BLOCK_FRAMES)
        probabilities = to_probabilities(load_beat_network()(features[None]).whole[0, inside])
        is_silent = features[inside, :NUM_BANDS].amax(dim=1) <= SILENT_BAND
        activations[first : first + BLOCK_FRAMES] = np.where(is_silent[:, None], 0.0, probabilities)
    return activations
