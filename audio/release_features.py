"""The 55 music channels that the retrieval of the authors' release hears, by librosa, raw as it takes them.

| channels | content |
|---|---|
| 0 to 19 | MFCC of the mel spectrum in dB under its maximum |
| 20 to 39 | their slope over 3 frames |
| 40 to 51 | chroma of the harmonic part |
| 52 | onset strength of the percussive part |
| 53 | 1 at beats |
| 54 | autocorrelation of the onsets at lag 0: always 1 |
"""

from __future__ import annotations

from typing import Any

import numpy as np

RELEASE_SAMPLING_RATE = 15_360
RELEASE_HOP_SAMPLES = 512
RELEASE_FRAME_RATE = RELEASE_SAMPLING_RATE // RELEASE_HOP_SAMPLES
NUM_RELEASE_MUSIC_FEATURES = 55


def release_music_features(waveform: np.ndarray) -> np.ndarray:
    """Compute the release's 55 channels of a song, at 30 frames a second.

    Args:
        waveform: `(samples,)`, mono, at 15,360 Hz.

    Returns:
        `(1 + samples // 512, 55)` float32; frame k is centered on `k / 30` seconds.

    Raises:
        ValueError: If the waveform is not one-dimensional, shorter than 0.5 s or not finite.
    """
    import librosa

    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or len(waveform) < RELEASE_SAMPLING_RATE // 2 or not np.isfinite(waveform).all():
        raise ValueError(
            f"The waveform must be mono `(samples,)`, finite and of at least 0.5 s at {RELEASE_SAMPLING_RATE} Hz, got "
            f"shape {waveform.shape}."
        )
    rates: dict[str, Any] = {"sr": RELEASE_SAMPLING_RATE, "hop_length": RELEASE_HOP_SAMPLES}
    mel = librosa.feature.melspectrogram(y=waveform, n_fft=2048, **rates)
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(mel, ref=np.max), n_mfcc=20)
    harmonic, percussive = librosa.effects.hpss(waveform)
    chroma = librosa.feature.chroma_cqt(y=harmonic, n_octaves=5, **rates)
    onset = librosa.onset.onset_strength(y=percussive, aggregate=np.median, **rates)
    _, beats = librosa.beat.beat_track(onset_envelope=onset, **rates)
    is_beat = np.zeros(len(onset))
    is_beat[beats] = 1
    lag_zero = librosa.feature.tempogram(onset_envelope=onset, **rates)[:1]
    rows = [mfcc, librosa.feature.delta(mfcc, width=3), chroma, onset[None], is_beat[None], lag_zero]
    return np.concatenate(rows).T.astype(np.float32)
