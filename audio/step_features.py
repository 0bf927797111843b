"""Pitch, timbre, hits and bass of a song, one value a beat or half a beat: what sections and breaks are found in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .beats import BeatClock
from .loudness import hop_powers, integrated_loudness
from .spectra import SAMPLING_RATE, check_waveform

FRAME_SAMPLES = 512  # 21 ms
FRAME_RATE = SAMPLING_RATE / FRAME_SAMPLES
BLOCK_SECONDS = 30.0
CONTEXT_FRAMES = 24  # half a second, more than the longest filter
LONGEST_STEP_SECONDS = 0.75
SHORTEST_UNIT_SECONDS, LONGEST_UNIT_SECONDS = 1.5, 3.0
REFERENCE_LUFS = -24.0  # songs are brought to one level before logarithms are taken
LOWEST_HZ = 65.406  # C2
NUM_PITCHES = 72
NUM_MEL_BANDS = 40
NUM_BASS_BANDS = 2  # below about 150 Hz
LOWEST_MEL_DB = -60.0
HIT_BANDS = ((0, 5), (5, 20), (20, 40))
HITS_PER_STEP = 4


@dataclass(frozen=True, eq=False)
class StepFeatures:
    """What sounds in each step of a song; a step is a beat, half a beat if beats are long.

    Args:
        times_seconds: `(steps + 1,)` edges of the steps, from the first to the last beat within the song.
        steps_per_bar: Of the clock.
        first_downbeat: Index of the step that begins a bar.
        steps_per_unit: A unit is what repeats are looked for in, 1.5 to 3 s if possible: a bar, half a bar, two bars.
        pitches: `(steps, 72)` float32, magnitude of each semitone from C2 on.
        mel_db: `(steps, 40)` float32, mean level of mel bands in dB.
        hits: `(steps, 12)` float32, mean rise of the level in low, middle and high bands, in dB, in each quarter.
    """

    times_seconds: np.ndarray
    steps_per_bar: int
    first_downbeat: int
    steps_per_unit: int
    pitches: np.ndarray
    mel_db: np.ndarray
    hits: np.ndarray

    def __len__(self) -> int:
        return len(self.mel_db)

    @property
    def bass_db(self) -> np.ndarray:
        """Level below about 150 Hz, `(steps,)`, in dB."""
        return 10 * np.log10((10 ** (self.mel_db[:, :NUM_BASS_BANDS] / 10)).sum(axis=1))


def step_features(
    waveform: np.ndarray, sampling_rate: int, clock: BeatClock, loudness_lufs: float | None = None
) -> StepFeatures:
    """Return the features of every step of a song.

    The frames are computed in blocks of 30 s and averaged within steps at once: of a song of an hour no spectrum is
    ever whole.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.
        clock: The beats.
        loudness_lufs: Integrated loudness, measured by default.

    Returns:
        The features; they do not depend on the level of the recording.
    """
    waveform = check_waveform(waveform, sampling_rate)
    if loudness_lufs is None:
        loudness_lufs = integrated_loudness(hop_powers(waveform, sampling_rate))
    gain = np.float32(10 ** ((REFERENCE_LUFS - loudness_lufs) / 20)) if np.isfinite(loudness_lufs) else np.float32(1)
    times, steps_per_bar, first_downbeat, steps_per_unit = _steps(clock, len(waveform) / sampling_rate)
    steps_per_block = max(1, round(BLOCK_SECONDS / float(np.median(np.diff(times)))))
    blocks = [
        _block_features(waveform, gain, times[begin : begin + steps_per_block + 1])
        for begin in range(0, len(times) - 1, steps_per_block)
    ]
    pitches, mel_db, hits = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return StepFeatures(times, steps_per_bar, first_downbeat, steps_per_unit, pitches, mel_db, hits)


def beats_over(clock: BeatClock, duration_seconds: float) -> tuple[np.ndarray, int]:
    """Return beats that cover a song, and the index of a downbeat among them.

    Args:
        clock: The beats; where they end, their tempo goes on.
        duration_seconds: Length of the song.

    Returns:
        `(beats,)` seconds, the first at 0 s or before and the last at the end or after it, and the index of the first
        beat of a bar among them.
    """
    beats = clock.beat_times_seconds
    before = max(0, int(np.ceil(beats[0] / (beats[1] - beats[0]))))
    after = max(0, int(np.ceil((duration_seconds - beats[-1]) / (beats[-1] - beats[-2]))))
    head = beats[0] + (beats[1] - beats[0]) * np.arange(-before, 0)
    tail = beats[-1] + (beats[-1] - beats[-2]) * np.arange(1, after + 1)
    beats = np.concatenate([head, beats, tail])
    first, last = np.searchsorted(beats, 0, side="right") - 1, np.searchsorted(beats, duration_seconds)
    downbeat = (before + clock.first_downbeat_index - first) % clock.beats_per_bar
    return beats[first : last + 1], int(downbeat)


def _steps(clock: BeatClock, duration_seconds: float) -> tuple[np.ndarray, int, int, int]:
    """Return the edges of steps, steps per bar, the first downbeat and steps per unit."""
    beats, downbeat = beats_over(clock, duration_seconds)
    beat_seconds = float(np.median(np.diff(beats)))
    division = 2 if beat_seconds > LONGEST_STEP_SECONDS else 1
    count = (len(beats) - 1) * division + 1
    times = np.interp(np.arange(count) / division, np.arange(len(beats)), beats)
    steps_per_bar = clock.beats_per_bar * division
    steps_per_unit, unit_seconds = steps_per_bar, clock.beats_per_bar * beat_seconds
    while unit_seconds > LONGEST_UNIT_SECONDS and steps_per_unit % 2 == 0:
        steps_per_unit, unit_seconds = steps_per_unit // 2, unit_seconds / 2
    while unit_seconds < SHORTEST_UNIT_SECONDS / 1.2:
        steps_per_unit, unit_seconds = 2 * steps_per_unit, 2 * unit_seconds
    shift = 0
    if len(times) > 2 and times[1] < 0.5 * (times[1] - times[0]):  # a first step that is mostly before the song
        shift = 1
    times = np.clip(times[shift:], 0, duration_seconds)
    if len(times) > 2 and times[-1] - times[-2] < 0.5 * beat_seconds / division:
        times = times[:-1]
    return times, steps_per_bar, (downbeat * division - shift) % steps_per_bar, steps_per_unit


def _block_features(
    waveform: np.ndarray, gain: np.float32, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pitches, levels and hits of the steps between `times`."""
    import librosa

    begin = max(0, int(times[0] * FRAME_RATE) - CONTEXT_FRAMES)
    end = int(np.ceil(times[-1] * FRAME_RATE)) + CONTEXT_FRAMES
    sound = waveform[begin * FRAME_SAMPLES : end * FRAME_SAMPLES] * gain
    sound = np.pad(sound, (0, max(0, (end - begin) * FRAME_SAMPLES - len(sound))))
    pitches = np.abs(
        librosa.cqt(sound, sr=SAMPLING_RATE, hop_length=FRAME_SAMPLES, fmin=LOWEST_HZ, n_bins=NUM_PITCHES, tuning=0.0)
    ).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=sound, sr=SAMPLING_RATE, n_fft=1024, hop_length=FRAME_SAMPLES, n_mels=NUM_MEL_BANDS, fmax=11000
    )
    mel_db = 10 * np.log10(np.maximum(power, 10 ** (LOWEST_MEL_DB / 10)))
    rise = np.pad(np.maximum(mel_db[:, 2:] - mel_db[:, :-2], 0), ((0, 0), (1, 1)))
    bands = np.stack([rise[low:high].mean(axis=0) for low, high in HIT_BANDS])

    quarters = np.interp(np.arange((len(times) - 1) * HITS_PER_STEP + 1) / HITS_PER_STEP, np.arange(len(times)), times)
    hits = _means(bands, quarters, begin)
    hits = hits.reshape(len(times) - 1, HITS_PER_STEP * len(HIT_BANDS))
    return _means(pitches, times, begin), _means(mel_db, times, begin), hits


def _means(frames: np.ndarray, times: np.ndarray, first_frame: int) -> np.ndarray:
    """Return the means `(spans, rows)` of frames `(rows, frames)` between times in seconds, of one frame at least."""
    edges = np.round(times * FRAME_RATE).astype(int) - first_frame
    starts = np.clip(edges[:-1], 0, frames.shape[1] - 1)
    ends = np.clip(np.maximum(edges[1:], starts + 1), 1, frames.shape[1])
    sums = np.concatenate([np.zeros((len(frames), 1)), np.cumsum(frames, axis=1, dtype=np.float64)], axis=1)
    return ((sums[:, ends] - sums[:, starts]) / (ends - starts)).T.astype(np.float32)
