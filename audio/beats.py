"""Beats: one steady tempo map for a whole song, and the beat clock that a dance follows."""

from dataclasses import dataclass

import numpy as np

from .spectra import ONSET_HOP, ONSET_RATE, check_waveform, onset_envelopes
from .tempo_map import GENRE_TEMPO_RANGES, extend_beats, fit_beats

__all__ = ["GENRE_TEMPO_RANGES", "BeatClock", "estimate_beats"]

CYCLES_PER_BEAT = (2.0, 1.0, 1 / 2, 1 / 3, 1 / 4)
BEAT_CLOCK_SIZE = 2 * len(CYCLES_PER_BEAT) + 1
REFERENCE_BPM = 120.0
MIN_BPM, MAX_BPM = 30.0, 300.0

TRIPLE_METER_GENRES = ("waltz", "viennese-waltz")


@dataclass(frozen=True, eq=False)
class BeatClock:
    """The beats of a song, counted from its first downbeat.

    Args:
        beat_times_seconds: `(beats,)` strictly increasing, from the start of the song or before it to its end or
            after it. Before the first and after the last beat the tempo of the nearest beats goes on.
        beats_per_bar: 3 for a waltz, else mostly 4.
        first_downbeat_index: Which beat is the first one of a bar.
    """

    beat_times_seconds: np.ndarray
    beats_per_bar: int = 4
    first_downbeat_index: int = 0

    def __post_init__(self):
        times = np.asarray(self.beat_times_seconds, dtype=np.float64)
        if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
            raise ValueError(
                "`beat_times_seconds` must hold two or more finite, strictly increasing times in seconds."
            )
        if self.beats_per_bar < 1:
            raise ValueError(f"`beats_per_bar` must be at least 1, got {self.beats_per_bar}.")
        if not 0 <= self.first_downbeat_index < len(times):
            raise ValueError(f"`first_downbeat_index` must lie in [0, {len(times)}), got {self.first_downbeat_index}.")
        object.__setattr__(self, "beat_times_seconds", times)

    @classmethod
    def steady(
        cls, bpm: float, duration_seconds: float, first_beat_seconds: float = 0.0, meter: int = 4
    ) -> "BeatClock":
        """Make the clock of a song with one known tempo.

        Args:
            bpm: Beats per minute.
            duration_seconds: Length of the song.
            first_beat_seconds: Time of a downbeat, from which the beats are counted.
            meter: Beats per bar.

        Returns:
            A clock whose phase is 0 at `first_beat_seconds`.
        """
        _check_bpm(bpm)
        period = 60.0 / bpm
        num_before = max(0, int(np.ceil(first_beat_seconds / period)))
        num_after = max(1, int(np.ceil((duration_seconds - first_beat_seconds) / period)))
        times = first_beat_seconds + period * np.arange(-num_before, num_after + 1)
        return cls(times, beats_per_bar=meter, first_downbeat_index=num_before)

    def times_within(self, duration_seconds: float) -> dict[str, list[float]]:
        """Return the beats from 0 to `duration_seconds`, to the millisecond, as a dance's provenance holds them.

        Returns:
            `beat_times_seconds`, and of these the first ones of bars as `downbeat_times_seconds`.
        """
        times = np.round(self.beat_times_seconds, 3)
        is_inside = (times >= 0) & (times < duration_seconds)
        is_downbeat = (np.arange(len(times)) - self.first_downbeat_index) % self.beats_per_bar == 0
        return {
            "beat_times_seconds": times[is_inside].tolist(),
            "downbeat_times_seconds": times[is_inside & is_downbeat].tolist(),
        }

    def phase(self, frame_times: np.ndarray) -> np.ndarray:
        """Count beats at given times.

        Args:
            frame_times: Times in seconds, any shape.

        Returns:
            Beats since the first downbeat, continuous, of the shape of `frame_times`.
        """
        beats = self.beat_times_seconds
        seconds = np.asarray(frame_times, dtype=np.float64)
        phase = np.interp(seconds, beats, np.arange(len(beats), dtype=np.float64))
        phase += np.minimum(seconds - beats[0], 0) / (beats[1] - beats[0])
        phase += np.maximum(seconds - beats[-1], 0) / (beats[-1] - beats[-2])
        return phase - self.first_downbeat_index

    def bpm(self, frame_times: np.ndarray) -> np.ndarray:
        """Return the local tempo at given times.

        Args:
            frame_times: Times in seconds, any shape.

        Returns:
            Beats per minute, of the shape of `frame_times`: the median of the five intervals around each time, so
            that the one odd interval at a change of tempo does not show.
        """
        from scipy.ndimage import median_filter

        beats = self.beat_times_seconds
        intervals = median_filter(np.diff(beats), size=5, mode="nearest")
        return 60.0 / intervals[np.clip(np.searchsorted(beats, frame_times, side="right") - 1, 0, len(intervals) - 1)]

    def to_features(self, num_frames: int, frame_rate: float = 30) -> np.ndarray:
        """Return the clock as music features.

        Args:
            num_frames: Number of frames; frame k is at `k / frame_rate` seconds.
            frame_rate: Frames per second.

        Returns:
            `(num_frames, 11)` float32: sine and cosine of the phase at 2, 1, 1/2, 1/3 and 1/4 cycles per beat, then
            `log2(bpm / 120)`.
        """
        frame_times = np.arange(num_frames) / frame_rate
        angles = 2 * np.pi * self.phase(frame_times)[:, None] * np.array(CYCLES_PER_BEAT)
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(num_frames, -1)
        tempo = np.log2(self.bpm(frame_times) / REFERENCE_BPM)
        return np.concatenate([waves, tempo[:, None]], axis=1).astype(np.float32)


def estimate_beats(
    waveform: np.ndarray,
    sampling_rate: int,
    *,
    genre: str | None = None,
    bpm: float | None = None,
    meter: int | None = None,
    first_downbeat_seconds: float | None = None,
) -> BeatClock:
    """Fit one tempo map to a whole song.

    The tempo is piecewise constant: a best path through the autocorrelation of the onsets, in which every change of
    tempo must pay for itself. Half and double tempo are resolved by the genre's range, without one by a log-normal
    prior around 100 bpm. The beat phase is where the onsets of the whole piece pile up.

    Args:
        waveform: `(samples,)`, mono.
        sampling_rate: 24,000 Hz.
        genre: A key of `GENRE_TEMPO_RANGES` restricts the tempo and sets the meter; any other name leaves the general
            prior.
        bpm: The tempo, if known: one tempo is then fitted within 2 % of it, because printed tempos are rounded.
        meter: Beats per bar, if known.
        first_downbeat_seconds: Time of a downbeat, if known.

    Returns:
        The clock of the song.

    Raises:
        ValueError: If the waveform or one of the overrides is out of range.
    """
    waveform = check_waveform(waveform, sampling_rate)
    duration = len(waveform) / sampling_rate
    if bpm is not None:
        _check_bpm(bpm)
    if meter is not None and not 1 <= meter <= 12:
        raise ValueError(f"`meter` must be 1 to 12 beats per bar, got {meter}.")
    if first_downbeat_seconds is not None and not 0 <= first_downbeat_seconds <= duration:
        raise ValueError(
            f"`first_downbeat_seconds` must lie in the song, 0 to {duration:.2f} s, got {first_downbeat_seconds}."
        )
    genre = genre.lower().replace("_", "-").replace(" ", "-") if genre else None

    onsets, low_onsets = onset_envelopes(waveform, 0, len(waveform) // ONSET_HOP + 1)
    beat_times = fit_beats(onsets, duration, genre, bpm)
    if first_downbeat_seconds is not None:
        nearest = int(np.abs(beat_times - first_downbeat_seconds).argmin())
        beat_times = extend_beats(beat_times + first_downbeat_seconds - beat_times[nearest], duration)
    accents = _beat_accents(low_onsets, beat_times)
    if meter is None:
        meter = _meter(accents, genre)
    if first_downbeat_seconds is not None:
        first_downbeat = int(np.abs(beat_times - first_downbeat_seconds).argmin())
    else:
        sums = [accents[offset::meter].mean() if len(accents) > offset else 0.0 for offset in range(meter)]
        first_downbeat = int(np.argmax(sums))
    return BeatClock(beat_times, meter, min(first_downbeat, len(beat_times) - 1))


def _check_bpm(bpm: float) -> None:
    if not MIN_BPM <= bpm <= MAX_BPM:
        raise ValueError(f"`bpm` must lie in [{MIN_BPM:.0f}, {MAX_BPM:.0f}] beats per minute, got {bpm}.")


def _beat_accents(low_onsets: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """Return how strongly low sounds begin within 50 ms of every beat `(beats,)`."""
    from scipy.ndimage import maximum_filter1d

    reach = maximum_filter1d(low_onsets, round(0.1 * ONSET_RATE) + 1)
    positions = np.round(beats * ONSET_RATE).astype(int)
    inside = (positions >= 0) & (positions < len(reach))
    accents = reach[np.where(inside, positions, 0)]
    return np.where(inside, accents, accents[inside].mean() if inside.any() else 0.0)


def _meter(accents: np.ndarray, genre: str | None) -> int:
    """Choose 3 or 4 beats per bar: by the genre, or by the accents when there is none."""
    if genre is not None:
        return 3 if genre in TRIPLE_METER_GENRES else 4
    if len(accents) < 13:
        return 4
    centered = accents - accents.mean()
    alike = {lag: float((centered[lag:] * centered[:-lag]).mean()) for lag in (2, 3, 4)}
    return 3 if alike[3] > max(alike[4], alike[2]) else 4
