"""Music features at exactly 30 frames a second, as a transformers feature extractor."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from transformers import BatchFeature, SequenceFeatureExtractor

from .beats import BEAT_CLOCK_SIZE, BeatClock, estimate_beats
from .loudness import ENERGY_RATE_HZ, energy_curve, hop_powers, integrated_loudness
from .spectra import (
    CQT_LOWEST_NOTE,
    CQT_OCTAVES,
    SAMPLING_RATE,
    check_waveform,
    cqt_magnitudes,
    mel_filters,
    onset_envelopes,
    power_spectra,
    reference_gain,
    weighted_sums,
)

FRAME_RATE = 30
HOP_SAMPLES = SAMPLING_RATE // FRAME_RATE
WINDOW_SAMPLES = 2048
NUM_MEL_BANDS, NUM_CEPSTRAL_COEFFICIENTS = 64, 20

MAX_LUFS = 20
MUSIC_FEATURES_VERSION = 2
"""Of the definition below. Saved extractors, encoders and data sets state theirs; another one is refused."""

# Fixed scales, about zero mean and unit spread over 105 songs: floor, center and spread in dB.
LOG_MEL_SCALE = (-80.0, -40.0, 20.0)
RELATIVE_LOUDNESS_SCALE = (-20.0, 0.0, 4.0)
CHROMA_FLOOR = 0.01  # constant-Q magnitude under which a frame has no pitch: that of a tone at -60 to -70 dB


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

    Frame k is centered on `k / 30` seconds, where frame k of the motion begins. Spectra and onsets are those of the
    song brought to -14 LUFS (ITU-R BS.1770) by one gain, so that the level of a recording changes no feature. Beside
    that gain, a frame's spectra and onset depend on 43 ms of sound to either side of it, its chroma on 65 ms, and its
    loudness, which is relative to the song's, on about a second. The beat clock belongs to the whole song.

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
        self.version = MUSIC_FEATURES_VERSION

    @classmethod
    def from_dict(cls, feature_extractor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Make an extractor of its saved fields.

        Raises:
            ValueError: If they are of another version, or of none, as the first ones were.
        """
        check_music_features_version(feature_extractor_dict.get("version"), "The music feature extractor")
        return super().from_dict(feature_extractor_dict, **kwargs)

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
        loudness_lufs: float | Sequence[float | None] | None = None,
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
            loudness_lufs: Integrated loudness of the song that the waveform is a part of; measured on the waveform if
                not given.
            return_tensors: `"np"`, `"pt"` or None.
            padding: As in transformers: True pads to the longest song.

        Returns:
            `input_features (batch, frames, 109)` float32 with `frames == round(30 * samples / 24000)` of the longest
            song, and `attention_mask (batch, frames)`, 1 for real frames.

        Raises:
            ValueError: If a waveform or an override is out of range, or a list has the wrong length.
        """
        songs = list_songs(raw_audio)
        given = {
            "bpm": bpm,
            "meter": meter,
            "first_downbeat_seconds": first_downbeat_seconds,
            "genre": genre,
            "beat_clock": beat_clock,
            "loudness_lufs": loudness_lufs,
        }
        overrides = {name: for_each_song(name, value, len(songs)) for name, value in given.items()}
        features = []
        for index, song in enumerate(songs):
            waveform = check_waveform(song, sampling_rate)
            settings = {name: values[index] for name, values in overrides.items()}
            clock, loudness = settings.pop("beat_clock"), settings.pop("loudness_lufs")
            if loudness is not None and not loudness < MAX_LUFS:
                raise ValueError(f"`loudness_lufs` must be a number under {MAX_LUFS}, or -inf, got {loudness}.")
            if clock is None:
                clock = estimate_beats(waveform, sampling_rate, **settings)
            num_frames = round(FRAME_RATE * len(waveform) / SAMPLING_RATE)
            spectral = spectral_features(waveform, 0, num_frames, loudness_lufs=loudness)
            features.append(np.concatenate([spectral, clock.to_features(num_frames, FRAME_RATE)], axis=1))
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            return_tensors=return_tensors,
            return_attention_mask=True,
        )


def check_music_features_version(version: int | None, owner: str) -> None:
    """Refuse what belongs to music features of another definition.

    Args:
        version: What is stated; `None` where nothing is.
        owner: What states it, the subject of the message.

    Raises:
        ValueError: If it is not the version of this release.
    """
    if version != MUSIC_FEATURES_VERSION:
        raise ValueError(
            f"{owner} must be of version {MUSIC_FEATURES_VERSION} of the music features, which this release computes, "
            f"got {'no version' if version is None else version}. Take a model of this release, or build the data set "
            "again (`infinitedance build`) and train on it; what states a later version needs a later release."
        )


def spectral_features(
    waveform: np.ndarray,
    start_frame: int,
    stop_frame: int,
    *,
    loudness_lufs: float | None = None,
) -> np.ndarray:
    """Compute the channels before the beat clock, for some frames of a song.

    Args:
        waveform: `(samples,)` of the whole song, 24,000 Hz.
        start_frame: First frame.
        stop_frame: Frame after the last.
        loudness_lufs: Integrated loudness of the song; measured if not given. A song of `-inf` is silence.

    Returns:
        `(stop_frame - start_frame, 98)` float32, the same values as those rows of the whole song.
    """
    import librosa

    layout = MusicFeatureLayout
    features = np.empty((stop_frame - start_frame, layout.beat_clock.start), dtype=np.float32)
    powers = hop_powers(waveform, SAMPLING_RATE)
    if loudness_lufs is None:
        loudness_lufs = integrated_loudness(powers)
    gain = reference_gain(loudness_lufs)
    energy_lu = energy_curve(powers, loudness_lufs)
    features[:, layout.loudness] = _relative_loudness(energy_lu, start_frame, stop_frame)[:, None]
    features[:, layout.chroma] = _chroma(waveform, start_frame, stop_frame, gain)
    features[:, layout.onset_strength] = _frame_onsets(waveform, start_frame, stop_frame, gain)[:, None]
    mel = mel_filters(WINDOW_SAMPLES, NUM_MEL_BANDS, 30.0, 11000.0)
    # The spread of cepstral coefficients of music falls like 1 / (1 + index) and then stays.
    spreads = np.maximum(4 / (1 + np.arange(NUM_CEPSTRAL_COEFFICIENTS)), 0.4)
    position = 0
    for power in power_spectra(waveform, WINDOW_SAMPLES, HOP_SAMPLES, start_frame, stop_frame, gain):
        rows = features[position : position + len(power)]
        position += len(power)
        log_mel = _decibels(weighted_sums(power, mel), *LOG_MEL_SCALE)
        rows[:, layout.log_mel] = log_mel
        rows[:, layout.mfcc] = librosa.feature.mfcc(S=log_mel.T, n_mfcc=NUM_CEPSTRAL_COEFFICIENTS).T / spreads
    return features


def _relative_loudness(energy_lu: np.ndarray, start_frame: int, stop_frame: int) -> np.ndarray:
    """Scale the energy of the song, 2 values a second in LU over its own loudness, at some frames: `(frames,)`."""
    floor, center, spread = RELATIVE_LOUDNESS_SCALE
    seconds = np.arange(start_frame, stop_frame) / FRAME_RATE
    at_frames = np.interp(seconds, np.arange(len(energy_lu)) / ENERGY_RATE_HZ, energy_lu)
    return (np.maximum(at_frames, floor) - center) / spread


def _chroma(waveform: np.ndarray, start_frame: int, stop_frame: int, gain: float) -> np.ndarray:
    """Return `librosa.feature.chroma_cqt` of some frames, with a floor: `(frames, 12)`, the strongest is 1."""
    to_pitch_classes = _constant_q_to_chroma()
    blocks = [
        weighted_sums(magnitudes, to_pitch_classes)
        for magnitudes in cqt_magnitudes(waveform, HOP_SAMPLES, start_frame, stop_frame, gain)
    ]
    pitch_classes = np.concatenate(blocks)
    return pitch_classes / (pitch_classes.max(axis=1, keepdims=True) + CHROMA_FLOOR)


def _frame_onsets(waveform: np.ndarray, start_frame: int, stop_frame: int, gain: float) -> np.ndarray:
    """Return the strongest onset that is nearer to a frame than to its neighbors, log-scaled: `(frames,)`."""
    onsets, _ = onset_envelopes(waveform, 4 * start_frame - 2, 4 * stop_frame - 1, gain)
    windows = np.lib.stride_tricks.sliding_window_view(onsets, 5)[::4]  # a frame has four values, its edges are shared
    return np.log1p((windows * np.array([0.5, 1, 1, 1, 0.5], np.float32)).max(axis=1)) - 1


def _decibels(power: np.ndarray, floor: float, center: float, spread: float) -> np.ndarray:
    """Scale power to decibels above `floor`, shifted and divided to about unit range."""
    import librosa

    return (librosa.power_to_db(power, amin=10 ** (floor / 10), top_db=None) - center) / spread


@lru_cache
def _constant_q_to_chroma() -> np.ndarray:
    """Return the matrix from constant-Q bands to pitch classes, C first, `(60, 12)`."""
    import librosa

    return librosa.filters.cq_to_chroma(12 * CQT_OCTAVES, fmin=librosa.note_to_hz(CQT_LOWEST_NOTE)).T


def list_songs(raw_audio: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return one waveform `(samples,)` or several as a list.

    Raises:
        ValueError: If there is none.
    """
    one_song = isinstance(raw_audio, np.ndarray) and raw_audio.ndim == 1
    songs = [np.asarray(raw_audio)] if one_song else list(raw_audio)
    if not songs:
        raise ValueError("`raw_audio` must hold at least one song, got an empty list.")
    return songs


def for_each_song(name: str, value: Any, num_songs: int) -> list[Any]:
    """Repeat one override for all songs, or check the length of a list of them."""
    if isinstance(value, list | tuple):
        if len(value) != num_songs:
            raise ValueError(f"`{name}` must be one value or one for each of the {num_songs} songs, got {len(value)}.")
        return list(value)
    return [value] * num_songs
