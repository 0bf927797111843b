"""The sound of a video beside its pictures: cut to a clip, and the beats in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.beats import BeatEstimate, track_beats
from ..audio.loading import SILENCE_PEAK, load_audio
from ..audio.spectra import SAMPLING_RATE
from ..motion.motion import FRAME_RATE

CLEAR_BEAT_CONFIDENCE = 0.3
"""As where a genre is chosen for a song: below it a song has no clear beat."""


@dataclass(frozen=True, eq=False)
class VideoSound:
    """Sound of a video.

    Args:
        waveform: `(samples,)`, mono, 24 kHz.
        picture_seconds: When, in the waveform, the first picture is shown; negative: the sound begins later.
        beats: Of the whole waveform.
    """

    waveform: np.ndarray
    picture_seconds: float
    beats: BeatEstimate

    def cut(self, first_frame: int, num_frames: int) -> np.ndarray | None:
        """Return what is heard from a picture on, `(samples,)` at 24 kHz; `None` if it is silent.

        Args:
            first_frame: Of the video at 30 Hz.
            num_frames: Length at 30 Hz; where the sound begins later or ends before, there is silence.
        """
        length = round(num_frames / FRAME_RATE * SAMPLING_RATE)
        start = round((self.picture_seconds + first_frame / FRAME_RATE) * SAMPLING_RATE)
        cut = np.zeros(length, np.float32)
        heard = self.waveform[max(0, start) : max(0, start + length)]
        lead = min(length, max(0, -start))
        cut[lead : lead + len(heard)] = heard
        return cut if np.abs(cut).max(initial=0.0) > SILENCE_PEAK else None

    def beat_lines(self, first_frame: int, num_frames: int) -> list[str]:
        """Return the beats of a clip as a file of beats has them: seconds from its first frame, and place in the bar.

        They begin a bar before the clip and end a bar after it, so that no bar is left to guess.
        """
        clock, seconds = self.beats.clock, num_frames / FRAME_RATE
        start = self.picture_seconds + first_frame / FRAME_RATE
        phases = clock.phase(np.array([start, start + seconds]))
        numbers = np.arange(
            int(np.floor(phases[0])) - clock.beats_per_bar, int(np.ceil(phases[1])) + clock.beats_per_bar + 1
        )
        times = _beat_times(clock.beat_times_seconds, numbers + clock.first_downbeat_index) - start
        places = numbers % clock.beats_per_bar + 1
        return [f"{time:.3f} {place}" for time, place in zip(times, places, strict=True)]

    def bpm(self, first_frame: int, num_frames: int) -> float:
        """Return the median tempo of a clip, beats per minute."""
        start = self.picture_seconds + first_frame / FRAME_RATE
        return float(np.median(self.beats.clock.bpm(start + np.arange(num_frames) / FRAME_RATE)))


def read_sound(video: str | os.PathLike, picture_seconds: float, genre: str = "") -> VideoSound:
    """Read the sound of a video and find its beats.

    Args:
        video: The file.
        picture_seconds: When the first picture is shown, in seconds from the first sample that `load_audio` gives.
        genre: Of the dance, if it is known: it chooses how the beats are counted.

    Raises:
        ValueError: If it has no sound, or one that is silent, too short, too long or damaged.
    """
    waveform = load_audio(Path(video), SAMPLING_RATE)
    return VideoSound(waveform, picture_seconds, track_beats(waveform, SAMPLING_RATE, genre=genre or None))


def _beat_times(times: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return when beats are, also those before the first and after the last one, at the tempo there."""
    last = len(times) - 1
    found = np.interp(indices, np.arange(len(times)), times)
    found += np.minimum(indices, 0) * (times[1] - times[0])
    return found + np.maximum(indices - last, 0) * (times[-1] - times[-2])
