"""The part of a song that belongs to a loop of its dance, as sound that repeats without a click."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..media.decoding import open_sound
from ..utils.atomic import atomic_path

CROSSFADE_SECONDS = 0.005


def loop_of_song(path: str | os.PathLike, start_seconds: float, num_seconds: float) -> tuple[np.ndarray, int]:
    """Cut a loop out of a song: the samples of the file as they are, but for its last 5 ms.

    These lead over into what the song has before the start, so that the sound goes on into its own first sample; at
    the start of a song, into that sample.

    Args:
        path: Audio file, or a video with sound.
        start_seconds: Where the loop starts in the song.
        num_seconds: Its length.

    Returns:
        Samples `(round(num_seconds * rate), channels)`, float32, full scale 1; and their rate, that of the file, Hz.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or ends before the loop does.
    """
    with open_sound(path) as sound:
        rate = sound.sampling_rate
        start, length = round(start_seconds * rate), round(num_seconds * rate)
        fade = min(round(CROSSFADE_SECONDS * rate), length)
        blocks, num_read = [], 0
        for block in sound.blocks():
            num_read += len(block)
            blocks.append(block[max(0, len(block) - max(0, num_read - (start - fade))) :])
            if num_read >= start + length:
                break
    if num_read < start + length:
        raise ValueError(
            f"{path} is {num_read / rate:.2f} s long, and the loop of its dance ends after "
            f"{start_seconds + num_seconds:.2f} s: give the song that was danced to."
        )
    blocks = [block for block in blocks if len(block)]
    # Before a song's first sample there is none that sound could lead over from: it is held.
    heard = np.concatenate([np.repeat(blocks[0][:1], max(0, fade - start), axis=0), *blocks])
    lead, loop = heard[:fade], heard[fade : fade + length].copy()
    weights = ((np.arange(fade) + 1) / (fade + 1))[:, None]
    loop[length - fade :] += weights * (lead - loop[length - fade :])
    return loop, rate


def write_wav(samples: np.ndarray, rate: int, path: str | os.PathLike) -> None:
    """Write sound `(samples, channels)` as WAV of 16 bits."""
    import soundfile

    with atomic_path(Path(path)) as temporary:
        soundfile.write(temporary, samples, rate, subtype="PCM_16", format="WAV")
