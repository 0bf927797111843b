"""Blockwise spectra by librosa: short-time power, constant-Q magnitudes and onsets, which features and beats share.

librosa is imported when a song is read: it takes about a second, and far more once after its installation
(docs/audio.md).
"""

import math
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
REFERENCE_LUFS = -14.0  # the level that songs are brought to; the median of 105 songs is -13
CQT_LOWEST_NOTE = "C3"  # its filter, the longest, spans 0.13 s
CQT_OCTAVES = 5
CQT_CONTEXT_SAMPLES = 9600  # 0.4 s to either side: half of the longest transform, and the filters between the octaves


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


def reference_gain(loudness_lufs: float) -> float:
    """Return the factor that brings a song of some integrated loudness to -14 LUFS; 0 for silence, `-inf`."""
    return 10 ** ((REFERENCE_LUFS - loudness_lufs) / 20) if np.isfinite(loudness_lufs) else 0.0


def power_spectra(
    waveform: np.ndarray, window_samples: int, hop_samples: int, start_frame: int, stop_frame: int, gain: float = 1.0
) -> Iterator[np.ndarray]:
    """Yield blocks of the power spectrum of a song, as if the song lay in endless silence.

    Args:
        waveform: `(samples,)` of the whole song.
        window_samples: Length of the Hann window; frame k is centered on sample `k * hop_samples`.
        hop_samples: Distance of frames.
        start_frame: First frame.
        stop_frame: Frame after the last.
        gain: Factor of the waveform.

    Yields:
        `(at most BLOCK_FRAMES, window_samples // 2 + 1)` float32 power; a full-scale sine has a peak of 1.
    """
    import librosa

    window = librosa.filters.get_window("hann", window_samples).astype(np.float32)  # of float64 all would be float64
    window *= 2 / window.sum()
    for first, last in _blocks(start_frame, stop_frame):
        begin = first * hop_samples - window_samples // 2
        end = (last - 1) * hop_samples + window_samples // 2
        piece = _cut(waveform, begin, end, gain)
        spectrum = librosa.stft(piece, n_fft=window_samples, hop_length=hop_samples, window=window, center=False).T
        yield spectrum.real**2 + spectrum.imag**2


def cqt_magnitudes(
    waveform: np.ndarray, hop_samples: int, start_frame: int, stop_frame: int, gain: float = 1.0
) -> Iterator[np.ndarray]:
    """Yield blocks of the constant-Q transform of a song, one band a semitone from C3 to B7.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        hop_samples: Distance of frames, a multiple of 16: each octave is computed at half the rate of the one above.
        start_frame: First frame, centered on sample `start_frame * hop_samples`.
        stop_frame: Frame after the last.
        gain: Factor of the waveform.

    Yields:
        `(at most BLOCK_FRAMES, 60)` float32; a full-scale sine has 28 at C3 and by the root of 2 less an octave.
    """
    import librosa

    context = math.ceil(CQT_CONTEXT_SAMPLES / hop_samples)
    for first, last in _blocks(start_frame, stop_frame):
        begin, end = (first - context) * hop_samples, (last + context) * hop_samples
        transform = librosa.cqt(
            _cut(waveform, begin, end, gain),
            sr=SAMPLING_RATE,
            hop_length=hop_samples,
            fmin=librosa.note_to_hz(CQT_LOWEST_NOTE),
            n_bins=12 * CQT_OCTAVES,
            tuning=0.0,  # estimated by default, which would differ from block to block
            res_type="soxr_vhq",  # the default rounds to float32, which shows at the edges of blocks
        )
        yield np.abs(transform[:, context : context + last - first]).T


def _blocks(start_frame: int, stop_frame: int) -> list[tuple[int, int]]:
    """Divide frames into blocks, each the first frame and the one after the last."""
    return [(first, min(first + BLOCK_FRAMES, stop_frame)) for first in range(start_frame, stop_frame, BLOCK_FRAMES)]


def _cut(waveform: np.ndarray, begin: int, end: int, gain: float) -> np.ndarray:
    """Return the samples from `begin` to `end` times `gain`, zeros outside the song."""
    piece = waveform[max(begin, 0) : max(end, 0)] * np.float32(gain)
    before = max(-begin, 0)
    return np.pad(piece, (before, end - begin - before - len(piece)))


@lru_cache
def mel_filters(window_samples: int, num_bands: int, lowest_hz: float, highest_hz: float) -> np.ndarray:
    """Return triangular mel filters of unit height, on Slaney's scale (linear under 1 kHz, then logarithmic).

    Args:
        window_samples: Length of the window of the spectrum.
        num_bands: Number of filters.
        lowest_hz: Lower end of the first filter.
        highest_hz: Upper end of the last filter.

    Returns:
        `(window_samples // 2 + 1, num_bands)` float32.
    """
    import librosa

    filters = librosa.filters.mel(
        sr=SAMPLING_RATE, n_fft=window_samples, n_mels=num_bands, fmin=lowest_hz, fmax=highest_hz, norm=None
    )
    return filters.T


def weighted_sums(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return `spectra @ weights` to the same bit for any number of threads and of rows, which BLAS does not promise.

    librosa's own sums over bands (`melspectrogram`, `chroma_cqt`) go through BLAS. Filters are mostly zeros, which
    this skips.

    Args:
        spectra: `(frames, bins)`.
        weights: `(bins, bands)`.

    Returns:
        `(frames, bands)`.
    """
    from scipy.sparse import csr_array

    return (csr_array(weights.T) @ spectra.T).T


def onset_envelopes(waveform: np.ndarray, start: int, stop: int, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return how strongly sounds begin, 120 times a second.

    The envelope is the rise of the log-mel spectrum over two hops (spectral flux, Böck and Widmer 2013), averaged over
    all bands and over the low ones alone. The rise is read one hop after its center, so that an impulse peaks at its
    own time.

    The spectrum is not that of `librosa.onset.onset_strength(y)`: at the same rate that places 100 clicks 10 ms late
    on average and up to 14 ms, this 0.2 ms and up to 4 ms; and its floor is 80 dB under the loudest of what it is
    given, so that a stretch of 5 s alone differs from the song's by up to 0.9 of the envelope's deviation.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        start: First value; value j lies at `j / 120` seconds.
        stop: Value after the last.
        gain: Factor of the waveform.

    Returns:
        The envelope of all bands and of those under about 700 Hz, each `(stop - start,)` float32, in dB.
    """
    import librosa

    filters = mel_filters(ONSET_WINDOW, ONSET_BANDS, 30.0, 11000.0)
    every, low = np.empty(stop - start, np.float32), np.empty(stop - start, np.float32)
    levels = np.empty((ONSET_BANDS, 0), np.float32)
    position = 0
    for power in power_spectra(waveform, ONSET_WINDOW, ONSET_HOP, start - 2, stop, gain):
        decibels = librosa.power_to_db(weighted_sums(power, filters).T, amin=1e-6, top_db=None)
        levels = np.concatenate([levels[:, -2:], decibels], axis=1)
        rows = slice(position, position + levels.shape[1] - 2)
        every[rows] = librosa.onset.onset_strength(S=levels, lag=2, center=False)[2:]
        low[rows] = librosa.onset.onset_strength(S=levels[:ONSET_LOW_BANDS], lag=2, center=False)[2:]
        position = rows.stop
    return every, low
