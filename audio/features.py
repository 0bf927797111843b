"""Music features at exactly 30 frames a second, as a transformers feature extractor."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor

from .beats import BEAT_CLOCK_SIZE, BeatClock, estimate_beats
from .spectra import SAMPLING_RATE, check_waveform, mel_filters, onset_envelopes, power_spectra, weighted_sums

FRAME_RATE = 30
HOP_SAMPLES = SAMPLING_RATE // FRAME_RATE
WINDOW_SAMPLES = 2048

# Fixed scales, about zero mean and unit spread over 55 songs: floor, center and spread in dB.
LOG_MEL_SCALE = (-80.0, -40.0, 20.0)
LOUDNESS_SCALE = (-50.0, -10.0, 10.0)
CHROMA_FLOOR = 1e-6  # power under which a frame has no pitch


class MusicFeatureLayout:
    """Which channel of the music features is what; all are scaled by fixed constants to about unit range."""

    log_mel = slice(0, 64)
    chroma = slice(64, 76)
    mfcc = slice(76, 96)
    onset_strength = slice(96, 97)
    loudness = slice(97, 98)
    beat_clock = slice(98, 98 + BEAT_CLOCK_SIZE)
    size = 98 + BEAT_CLOCK_SIZE


class MusicFeatureExtractor(SequenceFeatureExtractor):
    """Extractor of music features: log-mel, chroma, MFCC, onset strength, loudness and the beat clock.

    Frame k is centered on `k / 30` seconds, where frame k of the motion begins. Nothing is normalized by the song, so
    a frame's spectral channels depend only on the 43 ms of sound to either side of it, and a song may be cut anywhere.
    The beat clock belongs to the whole song.

    Args:
        feature_size: Channels of a frame, see `MusicFeatureLayout`.
        sampling_rate: Rate of the waveforms, in Hz.
        padding_value: Value of the frames that pad a batch.
        frame_rate: Frames per second.
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = MusicFeatureLayout.size,
        sampling_rate: int = SAMPLING_RATE,
        padding_value: float = 0.0,
        frame_rate: int = FRAME_RATE,
        **kwargs: Any,
    ):
        for name, got, needed in (
            ("feature_size", feature_size, MusicFeatureLayout.size),
            ("sampling_rate", sampling_rate, SAMPLING_RATE),
            ("frame_rate", frame_rate, FRAME_RATE),
        ):
            if got != needed:
                raise ValueError(f"`{name}` of the music features is always {needed}, got {got}.")
        super().__init__(feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value, **kwargs)
        self.frame_rate = frame_rate

    def __call__(
        self,
        raw_audio: np.ndarray | Sequence[np.ndarray],
        sampling_rate: int,
        *,
        bpm: float | Sequence[float | None] | None = None,
        meter: int | Sequence[int | None] | None = None,
        first_downbeat_seconds: float | Sequence[float | None] | None = None,
        genre: str | Sequence[str | None] | None = None,
        beat_clock: BeatClock | Sequence[BeatClock | None] | None = None,
        return_tensors: str | None = None,
        padding: bool | str = True,
    ) -> BatchFeature:
        """Extract the features of one song or several.

        Args:
            raw_audio: One waveform `(samples,)`, mono, or a list of them.
            sampling_rate: Their rate; must be 24,000 Hz.
            bpm: Tempo, if known. This and the following: one value for all songs, or a list with one for each.
            meter: Beats per bar, if known.
            first_downbeat_seconds: Time of a downbeat, if known.
            genre: Dance genre, which resolves half and double tempo and sets the meter.
            beat_clock: A finished clock, which is used in place of an estimated one.
            return_tensors: `"np"`, `"pt"` or None.
            padding: As in transformers: True pads to the longest song.

        Returns:
            `input_features (batch, frames, 109)` float32 with `frames == round(30 * samples / 24000)` of the longest
            song, and `attention_mask (batch, frames)`, 1 for real frames.

        Raises:
            ValueError: If a waveform or an override is out of range, or a list has the wrong length.
        """
        one_song = isinstance(raw_audio, np.ndarray) and raw_audio.ndim == 1
        songs: list[np.ndarray] = [np.asarray(raw_audio)] if one_song else list(raw_audio)
        if not songs:
            raise ValueError("`raw_audio` must hold at least one song, got an empty list.")
        given = {
            "bpm": bpm,
            "meter": meter,
            "first_downbeat_seconds": first_downbeat_seconds,
            "genre": genre,
            "beat_clock": beat_clock,
        }
        overrides = {name: _for_each_song(name, value, len(songs)) for name, value in given.items()}
        features = []
        for index, song in enumerate(songs):
            waveform = check_waveform(song, sampling_rate)
            settings = {name: values[index] for name, values in overrides.items()}
            clock = settings.pop("beat_clock")
            if clock is None:
                clock = estimate_beats(waveform, sampling_rate, **settings)
            num_frames = round(FRAME_RATE * len(waveform) / SAMPLING_RATE)
            spectral = spectral_features(waveform, 0, num_frames)
            features.append(np.concatenate([spectral, clock.to_features(num_frames, FRAME_RATE)], axis=1))
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            return_tensors=return_tensors,
            return_attention_mask=True,
        )


def spectral_features(waveform: np.ndarray, start_frame: int, stop_frame: int) -> np.ndarray:
    """Compute the channels before the beat clock, for some frames of a song.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        start_frame: First frame.
        stop_frame: Frame after the last.

    Returns:
        `(stop_frame - start_frame, 98)` float32, the same values as those rows of the whole song.
    """
    layout = MusicFeatureLayout
    mel, chroma, cosines = _filters()
    features = np.empty((stop_frame - start_frame, layout.beat_clock.start), dtype=np.float32)
    position = 0
    for power in power_spectra(waveform, WINDOW_SAMPLES, HOP_SAMPLES, start_frame, stop_frame):
        rows = features[position : position + len(power)]
        position += len(power)
        log_mel = _decibels(weighted_sums(power, mel), *LOG_MEL_SCALE)
        rows[:, layout.log_mel] = log_mel
        rows[:, layout.mfcc] = weighted_sums(log_mel, cosines)
        pitch_classes = weighted_sums(power, chroma)
        rows[:, layout.chroma] = pitch_classes / (pitch_classes.max(axis=1, keepdims=True) + CHROMA_FLOOR)
        rows[:, layout.loudness] = _decibels(power.sum(axis=1, keepdims=True), *LOUDNESS_SCALE)
    features[:, layout.onset_strength] = _frame_onsets(waveform, start_frame, stop_frame)[:, None]
    return features


def _frame_onsets(waveform: np.ndarray, start_frame: int, stop_frame: int) -> np.ndarray:
    """Return the strongest onset that is nearer to a frame than to its neighbors, log-scaled: `(frames,)`."""
    onsets, _ = onset_envelopes(waveform, 4 * start_frame - 2, 4 * stop_frame - 1)
    windows = np.lib.stride_tricks.sliding_window_view(onsets, 5)[::4]  # a frame has four values, its edges are shared
    return np.log1p((windows * np.array([0.5, 1, 1, 1, 0.5], np.float32)).max(axis=1)) - 1


def _decibels(power: np.ndarray, floor: float, center: float, spread: float) -> np.ndarray:
    """Scale power to decibels above `floor`, shifted and divided to about unit range."""
    return (10 * np.log10(np.maximum(power, 10 ** (floor / 10))) - center) / spread


@lru_cache
def _filters() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices from a power spectrum to mel bands and pitch classes, and from log-mel to MFCC."""
    from scipy.fft import dct

    mel = mel_filters(WINDOW_SAMPLES, 64, 30.0, 11000.0)
    bins_hz = np.arange(1, WINDOW_SAMPLES // 2 + 1) * SAMPLING_RATE / WINDOW_SAMPLES
    semitones = 12 * np.log2(bins_hz / 440) + 9  # C is 0, A is 9
    distance = np.abs((semitones[:, None] - np.arange(12) + 6) % 12 - 6)
    chroma = np.maximum(0, 1 - distance) * ((bins_hz > 200) & (bins_hz < 5000))[:, None]
    chroma = np.pad(chroma, ((1, 0), (0, 0))).astype(np.float32)
    cosines = dct(np.eye(64), axis=1, norm="ortho")[:, :20]
    # The spread of cepstral coefficients of music falls like 1 / (1 + index) and then stays.
    cosines /= np.maximum(4 / (1 + np.arange(20)), 0.4)
    return mel, chroma, cosines.astype(np.float32)


def _for_each_song(name: str, value: Any, num_songs: int) -> list[Any]:
    """Repeat one override for all songs, or check the length of a list of them."""
    if isinstance(value, list | tuple):
        if len(value) != num_songs:
            raise ValueError(f"`{name}` must be one value or one for each of the {num_songs} songs, got {len(value)}.")
        return list(value)
    return [value] * num_songs
