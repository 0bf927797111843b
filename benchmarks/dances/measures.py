"""One dance measured beside the real dances of its genre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infinitedance.audio.beats import GENRE_METERS, BeatClock
from infinitedance.evaluation.measures import HIPS
from infinitedance.evaluation.metrics.foot_contact import fit_rest_heights
from infinitedance.evaluation.metrics.foot_slide import low_foot_slide
from infinitedance.evaluation.metrics.genre_pulse import (
    GenrePulse,
    PulseSpectrum,
    genre_pulse,
    pulse_multiples,
    pulse_spectrum,
)
from infinitedance.evaluation.metrics.genre_recognition import GenreClassifier, describe_windows
from infinitedance.evaluation.metrics.memory import hip_aligned_poses
from infinitedance.evaluation.metrics.motion_quality import stage_radius
from infinitedance.evaluation.metrics.music_response import end_speed_share, energy_correlation
from infinitedance.evaluation.metrics.passages import near_copy_share
from infinitedance.evaluation.metrics.physics import mean_joint_speed
from infinitedance.evaluation.metrics.pulse import phase_difference_beats, speed_curve
from infinitedance.evaluation.metrics.range_of_motion import body_ranges
from infinitedance.evaluation.metrics.sides import WINDOW_SECONDS, DanceSides, dance_sides
from infinitedance.evaluation.metrics.stage import facing_share, net_turns, outside_share
from infinitedance.motion.features import facing_heading
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.skeleton import CONTACT_JOINTS

LOCKED = 2.0
PHRASE_BARS = 8
MIN_FRAMES = round(2 * WINDOW_SECONDS * FRAME_RATE)


@dataclass(frozen=True, eq=False)
class Performance:
    """A dance to a song, or a real one without.

    Args:
        name: Of the song, or of the clip.
        genre: As which it was danced.
        motion: On our body, at 30 Hz; it begins with the song.
        clock: Beats of the song or of the dance itself; `None` if they are not known.
        energy: `(frames,)`, loudness of the song relative to the whole of it, LU; `None` without a song.
    """

    name: str
    genre: str
    motion: Motion
    clock: BeatClock | None = None
    energy: np.ndarray | None = None

    @cached_property
    def positions(self) -> np.ndarray:
        """Joints in the world, `(frames, 22, 3)`, metres."""
        return self.motion.joint_positions().astype(np.float64)

    @cached_property
    def speed(self) -> np.ndarray:
        """Mean speed of the joints, `(frames,)`, m/s."""
        return speed_curve(self.positions, FRAME_RATE)

    @cached_property
    def poses(self) -> np.ndarray:
        """Joints of the dancer moved to the origin and turned to look along +Z in every frame."""
        return hip_aligned_poses(self.positions, *HIPS).astype(np.float32)

    @cached_property
    def statistics(self) -> np.ndarray:
        """Of each 10 s, `(windows, statistics)`."""
        return describe_windows(self.positions, FRAME_RATE)

    @cached_property
    def beats(self) -> np.ndarray:
        """Beat phase of each frame."""
        if self.clock is None:
            raise ValueError(f"The dance {self.name} has no beats.")
        return self.clock.phase(np.arange(self.motion.num_frames) / FRAME_RATE)

    @cached_property
    def pulse(self) -> PulseSpectrum | None:
        """Its pulse at the multiples of its genre; `None` without beats."""
        if self.clock is None:
            return None
        return pulse_spectrum(self.speed, self.beats, pulse_multiples(meter_of(self.genre)))

    @property
    def bpm(self) -> float | None:
        """Median tempo, beats a minute; `None` without beats."""
        return None if self.clock is None else 60 / float(np.median(np.diff(self.clock.beat_times_seconds)))

    @property
    def last_bar_seconds(self) -> float:
        """Length of the last bar."""
        beats_per_second = np.gradient(self.beats)[-1] * FRAME_RATE
        return meter_of(self.genre) / float(beats_per_second)

    def phrase_starts(self) -> np.ndarray:
        """Return the frames at which phrases of eight bars begin, from the first downbeat on."""
        phrase = PHRASE_BARS * meter_of(self.genre)
        wanted = np.arange(0, self.beats[-1], phrase)
        return np.round(np.interp(wanted[wanted >= self.beats[0]], self.beats, np.arange(len(self.beats)))).astype(int)

    def poses_at_tempo(self, bpm: float | None) -> np.ndarray:
        """Return the poses played at another tempo, or at its half or double if that is nearer.

        Args:
            bpm: Beats a minute; `None` to leave the dance at its own, as is one without beats.
        """
        if bpm is None or self.bpm is None:
            return self.poses
        octaves = np.log2(bpm / self.bpm)
        factor = 2 ** (octaves - round(octaves))
        frames = np.arange(0, len(self.poses) - 1, factor)
        before = frames.astype(int)
        weight = (frames - before)[:, None, None].astype(np.float32)
        return self.poses[before] * (1 - weight) + self.poses[before + 1] * weight


def meter_of(genre: str) -> int:
    """Return the beats in a bar of a genre."""
    return GENRE_METERS.get(genre, 4)


class References:
    """What real dances of each genre are like.

    Args:
        dances: Real dances, for each genre at least one of 10 s; all on the natural side.
    """

    def __init__(self, dances: Sequence[Performance]):
        self.dances = list(dances)
        self.genres = sorted({dance.genre for dance in dances})

    def of(self, genre: str) -> list[Performance]:
        """Return the dances of a genre."""
        return [dance for dance in self.dances if dance.genre == genre]

    @cached_property
    def statistics(self) -> dict[str, list[np.ndarray]]:
        """For each genre the statistics of its dances that last 10 s."""
        return {
            genre: [dance.statistics for dance in self.of(genre) if len(dance.statistics)] for genre in self.genres
        }

    @cached_property
    def classifier(self) -> GenreClassifier:
        """Tells genres."""
        return GenreClassifier(self.statistics)

    @cached_property
    def tempos(self) -> dict[str, float | None]:
        """For each genre the median tempo of its dances; `None` if none has beats."""
        tempos = {genre: [dance.bpm for dance in self.of(genre) if dance.bpm is not None] for genre in self.genres}
        return {genre: float(np.median(values)) if values else None for genre, values in tempos.items()}

    @cached_property
    def pulses(self) -> dict[str, GenrePulse | None]:
        """For each genre the pulse of its dances; `None` where no dance is long enough."""
        pulses: dict[str, GenrePulse | None] = {}
        for genre in self.genres:
            spectra = [dance.pulse for dance in self.of(genre) if dance.pulse is not None]
            usable = [spectrum for spectrum in spectra if np.isfinite(spectrum.phases).any()]
            pulses[genre] = genre_pulse(usable) if usable else None
        return pulses

    @cached_property
    def speeds(self) -> dict[str, float]:
        """For each genre the mean speed of the joints of its dances, m/s."""
        return {
            genre: float(np.mean([mean_joint_speed(dance.positions, FRAME_RATE) for dance in self.of(genre)]))
            for genre in self.genres
        }

    @cached_property
    def ranges(self) -> dict[str, dict[str, float]]:
        """For each genre the mean of `body_ranges`."""
        return {genre: mean_values([body_ranges(dance.motion) for dance in self.of(genre)]) for genre in self.genres}

    @cached_property
    def _libraries(self) -> dict[str, dict[str, np.ndarray]]:
        return {
            genre: {dance.name: dance.poses_at_tempo(self.tempos[genre]) for dance in self.of(genre)}
            for genre in self.genres
        }

    def sides(self, dance: Performance) -> DanceSides | None:
        """Judge a dance against those of its genre, without itself, at the genre's tempo.

        Returns:
            The sides; `None` if there is nothing that is long enough to compare.
        """
        library = {name: poses for name, poses in self._libraries[dance.genre].items() if name != dance.name}
        poses = dance.poses_at_tempo(self.tempos[dance.genre])
        window = round(WINDOW_SECONDS * FRAME_RATE)
        if len(poses) < window or max(map(len, library.values()), default=0) < window:
            return None
        return dance_sides(poses, library, FRAME_RATE)


def mean_values(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each value over those that are finite; NaN where none is."""
    means = {}
    for key in dict.fromkeys(key for each in values for key in each):
        there = [each[key] for each in values if key in each and np.isfinite(each[key])]
        means[key] = float(np.mean(there)) if there else float("nan")
    return means


def measure(dance: Performance, references: References, real: Performance | None = None) -> dict[str, float]:
    """Measure a dance by everything that needs no special song.

    Args:
        dance: Of at least 8 s.
        references: Real dances of its genre.
        real: The real dance to the same song.

    Returns:
        Values by name, absent or NaN where a measure does not apply: `lock`, `locked`, `phase_to_genre` and
        `phase_to_real` in beats; `told_windows`, `told_dance`; `minor_share`, `mixed`; `nearest_mm`, `near_copies`;
        `speed`, the mean over that of the genre; `slide` in m/s; `radius` in metres, `outside`, `facing`, `turns`;
        `end_speed`, `energy`; those of `body_ranges`, and `gaze_off`, the distance of the median gaze from the genre's
        in degrees.
    """
    feet = dance.positions[:, list(CONTACT_JOINTS)]
    values = _pulse_values(dance, references, real) | _genre_values(dance, references)
    heading = facing_heading(dance.positions, FRAME_RATE)
    values |= {
        "near_copies": near_copy_share(dance.poses, FRAME_RATE) if len(dance.poses) >= MIN_FRAMES else np.nan,
        "speed": mean_joint_speed(dance.positions, FRAME_RATE) / references.speeds[dance.genre],
        "slide": low_foot_slide(feet, FRAME_RATE, fit_rest_heights(feet)),
        "radius": stage_radius(dance.positions[:, 0]),
        "outside": outside_share(dance.positions[:, 0]),
        "turns": net_turns(heading, FRAME_RATE),
    }
    if dance.clock is not None:
        starts = dance.phrase_starts()
        values["facing"] = facing_share(heading, starts) if len(starts) else np.nan
        values["end_speed"] = end_speed_share(dance.speed, FRAME_RATE, dance.last_bar_seconds)
    if dance.energy is not None:
        values["energy"] = energy_correlation(dance.speed, dance.energy, FRAME_RATE)
    ranges = body_ranges(dance.motion)
    values |= ranges
    values["gaze_off"] = abs(ranges["gaze_median"] - references.ranges[dance.genre]["gaze_median"])
    return {name: float(value) for name, value in values.items()}


def _pulse_values(dance: Performance, references: References, real: Performance | None) -> dict[str, float]:
    pulse = references.pulses[dance.genre]
    if dance.pulse is None or pulse is None:
        return {}
    rate = pulse.cycles_per_beat
    lock, phase = dance.pulse.at(rate)
    values = {"lock": lock, "locked": float(lock > LOCKED) if np.isfinite(lock) else np.nan}
    values["phase_to_genre"] = abs(phase_difference_beats(phase, pulse.phase, rate))
    if real is not None and real.pulse is not None:
        values["phase_to_real"] = abs(phase_difference_beats(phase, real.pulse.at(rate)[1], rate))
    return values


def _genre_values(dance: Performance, references: References) -> dict[str, float]:
    values: dict[str, float] = {}
    if len(dance.statistics):
        told = references.classifier.tell_windows(dance.statistics)
        values["told_windows"] = float(np.mean([genre == dance.genre for genre in told]))
        values["told_dance"] = float(references.classifier.tell_dance(dance.statistics) == dance.genre)
    sides = references.sides(dance)
    if sides is not None:
        values |= {
            "minor_share": sides.minor_share,
            "mixed": float(sides.is_mixed),
            "nearest_mm": float(np.median(sides.nearest_mm)),
        }
    return values
