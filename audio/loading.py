"""Reading any audio file as one mono waveform, in blocks, with errors that name the file and the reason."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..media.decoding import SoundReader, open_sound, resampled

logger = logging.getLogger(__name__)

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aif", ".aiff", ".opus", ".oga", ".aac", ".wma", ".m4b", ".aifc", ".caf",
    ".au", ".mka", ".weba", ".wv", ".ape", ".tta", ".tak", ".dsf", ".amr", ".mp2", ".w64", ".ac3", ".mpc",
)  # fmt: skip
"""Endings of the files that are looked for in folders; of songs with one name the earliest here is read."""
MIN_SECONDS = 0.5
MAX_SECONDS = 3600.0
SILENCE_PEAK = 1e-5
"""-100 dB below full scale: rounding noise of lossy codecs, but not yet quiet music of 24 bits."""
SILENCE_STEPS = 2.0
"""Of 8 or 16 bits, dither alone moves so many steps to either side of the middle."""
EDGE_SECONDS = 0.1
MAX_PEAK = 100.0
"""Samples of sound lie within 1, now and then some times that."""
CANCELLED_POWER = 0.01
"""A mix of so little of its loudest channel's power is what opposite channels leave of each other."""


def load_audio(path: str | Path, sampling_rate: int = 24000) -> np.ndarray:
    """Read an audio file, or the sound of a video, as a mono waveform at one sampling rate.

    FFmpeg, by PyAV, reads all that is no playlist (`media.kinds`), to its true end: sound that starts late has silence
    before it, and gaps stay gaps. Channels are averaged; where they cancel each other the loudest is taken. Decoding
    and resampling run in blocks: of the whole song only the result is in memory.

    Args:
        path: The audio file; 0.5 s to 60 min, any rate, any number of channels.
        sampling_rate: Rate of the result, in Hz.

    Returns:
        `(samples,)` float32, full scale is 1, `samples == round(seconds * sampling_rate)`.

    Raises:
        FileNotFoundError: If `path` does not exist.
        PermissionError: If it cannot be opened.
        ValueError: If it is a directory, empty, not audio, cut, damaged, too short, too long, silent, or has samples
            that are not finite or absurdly loud.
    """
    with open_sound(path) as sound:
        levels = _Levels(sound.num_channels, sound.sampling_rate)
        waveform = _resampled_mono(sound, sampling_rate, levels, None)
        levels.check(sound.name, sound.step)
        loudest = levels.instead_of_mix()
    if loudest is None:
        return waveform
    logger.info("The channels of %s cancel each other: channel %d is danced to.", path, loudest + 1)
    with open_sound(path) as sound:
        return _resampled_mono(sound, sampling_rate, None, loudest)


def audio_duration_seconds(path: str | Path) -> float:
    """Return the length of an audio file in seconds; it is decoded and counted, because headers are not exact.

    Args:
        path: The audio file.

    Returns:
        Seconds of sound.

    Raises:
        FileNotFoundError: If `path` does not exist.
        PermissionError: If it cannot be opened.
        ValueError: If it is a directory, empty, not audio, cut or damaged.
    """
    with open_sound(path) as sound:
        return sum(map(len, sound.blocks())) / sound.sampling_rate


@dataclass
class _Channel:
    """What was seen of one signal: sums in double precision, so that a large mean leaves room for what moves."""

    count: int = 0
    total: float = 0.0
    total_squares: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, values: np.ndarray) -> None:
        doubles = values.astype(np.float64)
        self.count += len(values)
        self.total += float(doubles.sum())
        self.total_squares += float(doubles @ doubles)
        self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))

    @property
    def swing(self) -> float:
        """Half of the distance from the lowest to the highest value, which a constant offset does not change."""
        return (self.highest - self.lowest) / 2

    @property
    def power(self) -> float:
        """Variance."""
        return max(0.0, self.total_squares / self.count - (self.total / self.count) ** 2)


class _Levels:
    """What was seen of the channels of a song and of their mix, without its first and last moments.

    There a constant begins and ends, and a lossy codec makes a sound of that.
    """

    def __init__(self, num_channels: int, rate: int):
        self.mix, self.channels = _Channel(), [_Channel() for _ in range(num_channels)]
        self._edge = round(EDGE_SECONDS * rate)
        self._to_skip = self._edge
        self._held = np.zeros((0, num_channels), np.float32)

    def add(self, block: np.ndarray) -> None:
        num_skipped = min(self._to_skip, len(block))
        self._to_skip -= num_skipped
        pending = np.concatenate([self._held, block[num_skipped:]])
        split = max(0, len(pending) - self._edge)
        inside, self._held = pending[:split], pending[split:]
        if len(inside):
            self.mix.add(inside.mean(axis=1))
            for channel, values in zip(self.channels, inside.T, strict=True):
                channel.add(values)

    def check(self, name: str, step: float) -> None:
        """Raise `ValueError` if no channel holds more than rounding noise."""
        swing = max(channel.swing for channel in self.channels)
        if swing <= max(SILENCE_PEAK, SILENCE_STEPS * step if step < 1e-3 else step / 2):
            offset = max(abs(channel.total / channel.count) for channel in self.channels)
            is_constant = offset > max(10 * swing, SILENCE_PEAK)
            raise ValueError(
                f"{name} is silent: "
                + (f"it holds a constant of {offset:.2g}, around which " if is_constant else "")
                + f"its samples move by no more than {swing:.1e} of full scale."
            )

    def instead_of_mix(self) -> int | None:
        """Return the loudest channel, of equals the first, if the mix has next to nothing of it, else `None`."""
        powers = np.array([channel.power for channel in self.channels])
        if self.mix.power >= CANCELLED_POWER * powers.max():
            return None
        return int(np.argmax(powers > 0.99 * powers.max()))  # rounding makes no difference


def _resampled_mono(sound: SoundReader, sampling_rate: int, levels: _Levels | None, channel: int | None) -> np.ndarray:
    """Return the mix of a song, or one channel, at another rate."""
    rate = sound.sampling_rate

    def mono_blocks() -> Iterator[np.ndarray]:
        num_samples = 0
        for block in sound.blocks():
            _check_values(block, sound.name, num_samples / rate)
            num_samples += len(block)
            if num_samples > MAX_SECONDS * rate:
                raise ValueError(
                    f"{sound.name} is longer than {MAX_SECONDS / 60:.0f} minutes. Cut it into shorter files."
                )
            mono = block.mean(axis=1) if channel is None else np.ascontiguousarray(block[:, channel])
            if levels is not None:
                levels.add(block)
            yield mono[:, None]
        if num_samples < MIN_SECONDS * rate:
            raise ValueError(
                f"{sound.name} is too short: at least {MIN_SECONDS} s are needed, it has {num_samples / rate:.3f} s."
            )

    return np.concatenate([block[:, 0] for block in resampled(mono_blocks(), rate, sampling_rate, 1)])


def _check_values(block: np.ndarray, name: str, seconds: float) -> None:
    """Raise `ValueError` unless all samples are numbers that sound may have."""
    peak = float(np.abs(block).max(initial=0.0))
    if not np.isfinite(peak):
        raise ValueError(
            f"{name} has samples that are NaN or infinite, after {seconds:.1f} s. Export it again from its source."
        )
    if peak > MAX_PEAK:
        raise ValueError(
            f"{name} has samples of {peak:.1e}, after {seconds:.1f} s, where sound lies within -1 to 1. Export it "
            "again from its source."
        )
