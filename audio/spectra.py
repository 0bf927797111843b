"""Blockwise spectra: the short-time power spectrum and the onset envelope that features and beats share."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

SAMPLING_RATE = 24000
ONSET_HOP = 200  # 120 envelope values per second: 8.3 ms, fine enough to place a beat
ONSET_RATE = SAMPLING_RATE // ONSET_HOP
ONSET_WINDOW = 512
ONSET_LOW_BANDS = 8
ONSET_BANDS = 40
BLOCK_FRAMES = 2048


def check_waveform(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Return a waveform as float32 after checking what every function of this folder relies on.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: Its rate in Hz.

    Returns:
        `(samples,)` float32.

    Raises:
        ValueError: If the rate is not 24,000 Hz, the array is not one-dimensional, shorter than 0.1 s or not finite.
    """
    if sampling_rate != SAMPLING_RATE:
        raise ValueError(
            f"`sampling_rate` must be {SAMPLING_RATE} Hz, got {sampling_rate}. Read the file with "
            f"`infinitedance.audio.loading.load_audio(path)`, or resample the waveform with "
            f"`soxr.resample(waveform, {sampling_rate}, {SAMPLING_RATE})`."
        )
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1:
        raise ValueError(
            f"The waveform must be mono with shape (samples,), got {waveform.shape}. Average the channels."
        )
    if len(waveform) < SAMPLING_RATE // 10:
        raise ValueError(f"The waveform must hold at least 0.1 s, got {len(waveform)} samples.")
    if not np.isfinite(waveform).all():
        raise ValueError("The waveform must be finite, it holds NaN or infinite samples.")
    return waveform


def power_spectra(
    waveform: np.ndarray, window_samples: int, hop_samples: int, start_frame: int, stop_frame: int
) -> Iterator[np.ndarray]:
    """Yield blocks of the power spectrum of a song, as if the song lay in endless silence.

    Args:
        waveform: `(samples,)` of the whole song.
        window_samples: Length of the Hann window; frame k is centered on sample `k * hop_samples`.
        hop_samples: Distance of frames.
        start_frame: First frame.
        stop_frame: Frame after the last.

    Yields:
        `(at most BLOCK_FRAMES, window_samples // 2 + 1)` float32 power; a full-scale sine has a peak of 1.
    """
    from scipy.fft import rfft

    window = np.hanning(window_samples + 1)[:-1].astype(np.float32)
    window *= 2 / window.sum()
    for first in range(start_frame, stop_frame, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, stop_frame)
        begin = first * hop_samples - window_samples // 2
        end = (last - 1) * hop_samples + window_samples // 2
        piece = waveform[max(begin, 0) : max(end, 0)]
        piece = np.pad(piece, (max(-begin, 0), end - begin - max(-begin, 0) - len(piece)))
        frames = np.lib.stride_tricks.sliding_window_view(piece, window_samples)[::hop_samples]
        spectrum = rfft(frames * window, axis=1)
        yield spectrum.real**2 + spectrum.imag**2


@lru_cache
def mel_filters(window_samples: int, num_bands: int, lowest_hz: float, highest_hz: float) -> np.ndarray:
    """Return triangular mel filters of unit height, on Slaney's scale (linear under 1 kHz, then logarithmic).

    They equal `librosa.filters.mel(norm=None)`; importing librosa takes seconds, which a short song would feel.

    Args:
        window_samples: Length of the window of the spectrum.
        num_bands: Number of filters.
        lowest_hz: Lower end of the first filter.
        highest_hz: Upper end of the last filter.

    Returns:
        `(window_samples // 2 + 1, num_bands)` float32.
    """
    lowest, highest = (
        hz if hz < 1000 else 1000 + 1800 * np.log(hz / 1000) / np.log(6.4) for hz in (lowest_hz, highest_hz)
    )
    edges = np.linspace(lowest, highest, num_bands + 2)
    edges_hz = np.where(edges < 1000, edges, 1000 * 6.4 ** ((edges - 1000) / 1800))
    bins_hz = np.arange(window_samples // 2 + 1) * SAMPLING_RATE / window_samples
    rise = (bins_hz[:, None] - edges_hz[:-2]) / (edges_hz[1:-1] - edges_hz[:-2])
    fall = (edges_hz[2:] - bins_hz[:, None]) / (edges_hz[2:] - edges_hz[1:-1])
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


def weighted_sums(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `spectra @ weights` to the same bit for any number of threads and of rows, which BLAS does not promise.

    Args:
        spectra: `(frames, bins)`.
        weights: `(bins, bands)`.

    Returns:
        `(frames, bands)`.
    """
    return np.einsum("fk,kb->fb", spectra, np.asfortranarray(weights))


def onset_envelopes(waveform: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how strongly sounds begin, 120 times a second.

    The envelope is the rise of the log-mel spectrum over two hops (spectral flux, Böck and Widmer 2013), averaged over
    all bands and over the low ones alone. The rise is read one hop after its center, so that an impulse peaks at its
    own time.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        start: First value; value j lies at `j / 120` seconds.
        stop: Value after the last.

    Returns:
        The envelope of all bands and of those under about 700 Hz, each `(stop - start,)` float32, in dB.
    """
    filters = mel_filters(ONSET_WINDOW, ONSET_BANDS, 30.0, 11000.0)
    every, low = np.empty(stop - start, np.float32), np.empty(stop - start, np.float32)
    levels = np.empty((0, ONSET_BANDS), np.float32)
    position = 0
    for power in power_spectra(waveform, ONSET_WINDOW, ONSET_HOP, start - 2, stop):
        levels = np.concatenate([levels[-2:], 10 * np.log10(np.maximum(weighted_sums(power, filters), 1e-6))])
        rise = np.maximum(levels[2:] - levels[:-2], 0)
        every[position : position + len(rise)] = rise.mean(axis=1)
        low[position : position + len(rise)] = rise[:, :ONSET_LOW_BANDS].mean(axis=1)
        position += len(rise)
    return every, low
