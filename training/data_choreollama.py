"""Training windows of ChoreoLLaMA: codes, the music around them, and what else is asked of the dance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d

from ..audio.beats import CYCLES_PER_BAR, CYCLES_PER_BEAT
from ..audio.features import NUM_CEPSTRAL_COEFFICIENTS, NUM_MEL_BANDS, MusicFeatureLayout
from ..dataset_builder.clip_folder import SIDES
from ..modeling.choreollama.conditions import ANY_SIDE
from ..modeling.choreollama.configuration_choreollama import ChoreoLlamaConfig
from .references_choreollama import References
from .takes import DanceTake, genre_speeds, motion_energy

START_SHARE = 0.1
"""Share of training windows that begin with the clip: windows drawn at random hardly ever do."""
EQUALIZER_POINTS = 5
_NUM_BEAT_WAVES = 2 * len(CYCLES_PER_BEAT)


@dataclass(frozen=True)
class MusicChanges:
    """How the music of a training window is changed, so that what must not matter cannot tell the dance.

    Args:
        foreign_spectra_share: Share of windows that hear the spectra of another song, beat on beat with their own
            clock; of those without music, to which the same is done, as many as of those with.
        equalizer_spread: Standard deviation of a random filter of the spectra, in the units of the log-mel channels.
        moved_bar_share: Share of windows whose bar begins at another beat.
    """

    foreign_spectra_share: float = 0.0
    equalizer_spread: float = 0.0
    moved_bar_share: float = 0.0


class ChoreoWindows:
    """Training and evaluation windows of takes.

    Args:
        takes: The dances.
        config: Of the model: window, context and look-ahead lengths, genres.
        references: Those of the takes; none if not given.
        speeds: Mean speed of each genre, m/s, against which energy is measured; of the takes themselves by default.
        added_genres: Rows of the genres that an adapter adds to the model's, by name.
    """

    def __init__(
        self,
        takes: Sequence[DanceTake],
        config: ChoreoLlamaConfig,
        references: References | None = None,
        speeds: Mapping[str, float] | None = None,
        added_genres: Mapping[str, int] | None = None,
    ):
        self.takes, self.config, self.references = takes, config, references
        self.speeds = genre_speeds(takes) if speeds is None else speeds
        self.genre_ids = {genre: index for index, genre in enumerate(config.genres)}
        self.genre_ids |= {genre: config.num_genres + 1 + row for genre, row in (added_genres or {}).items()}

    @property
    def total_frames(self) -> int:
        """Frames of music that belong to a window, with its context and look-ahead."""
        config = self.config
        num_tokens = config.context_tokens + config.max_window_tokens + config.lookahead_tokens
        return num_tokens * config.frames_per_token

    def first_frame(self, offset: int, first_token: int) -> int:
        """Return the frame of a take with which the music of a window begins; it may lie before the take."""
        return offset + (first_token - self.config.context_tokens) * self.config.frames_per_token

    def cut(
        self,
        windows: Sequence[tuple[int, int, int]],
        music_takes: Sequence[DanceTake] | None = None,
        generator: np.random.Generator | None = None,
    ) -> dict:
        """Return a batch for `ChoreoLlamaForConditionalGeneration.forward`.

        Args:
            windows: For each row the index of the take, the index of the offset and the first token.
            music_takes: Takes whose music is to be heard instead of each row's own, for "a wrong song".
            generator: Of references that are drawn; seeded by the window if not given.
        """
        config, total = self.config, self.total_frames
        num_tokens = config.max_window_tokens
        num_references = 0 if self.references is None else self.references.num_references
        batch: dict[str, np.ndarray] = {
            "input_features": np.zeros((len(windows), total, config.music_feature_size), np.float32),
            "frame_mask": np.zeros((len(windows), total), bool),
            "music_mask": np.ones(len(windows), bool),
            "spectra_mask": np.ones(len(windows), bool),
            "genre_ids": np.zeros(len(windows), np.int64),
            "motion_codes": np.zeros((len(windows), config.num_quantizers, num_tokens), np.int64),
            "labels": np.full((len(windows), config.num_quantizers, num_tokens), -100, np.int64),
        }
        if config.controls_side:
            batch["side_ids"] = np.array([side_id(self.takes[take].side) for take, _, _ in windows])
        if config.controls_energy:
            batch["energy"] = np.full((len(windows), total), np.nan, np.float32)
        if num_references:
            shape = (len(windows), num_references, total, config.motion_feature_size)
            batch["reference_features"] = np.zeros(shape, np.float32)
            batch["reference_mask"] = np.ones(shape[:2], bool)
        for row, (take_index, offset, first_token) in enumerate(windows):
            take = self.takes[take_index]
            heard = take if music_takes is None else music_takes[row]
            codes = take.codes[offset][:, first_token : first_token + num_tokens]
            batch["motion_codes"][row, :, : codes.shape[1]] = codes
            batch["labels"][row, :, : codes.shape[1]] = codes
            batch["genre_ids"][row] = self.genre_ids.get(take.genre, config.num_genres)
            batch["music_mask"][row], batch["spectra_mask"][row] = heard.has_clock, heard.has_spectra
            start = self.first_frame(offset, first_token)
            real = slice(max(start, 0), min(start + total, len(take.music)))
            place = slice(real.start - start, real.stop - start)
            frames = np.arange(real.start, real.stop)
            batch["input_features"][row, place] = np.take(heard.music, frames, axis=0, mode="wrap")
            batch["frame_mask"][row, place] = True
            if config.controls_energy and take.speed is not None and take.genre in self.speeds:
                batch["energy"][row, place] = motion_energy(take.speed[real], self.speeds[take.genre])
            if self.references is not None:
                drawn = generator or np.random.default_rng((take_index, offset, first_token))
                passages = self.references.cut(take_index, real.start, len(frames), drawn)
                batch["reference_mask"][row] = passages is not None
                if passages is not None:
                    batch["reference_features"][row, :, place] = passages
        return {name: torch.from_numpy(array) for name, array in batch.items()}


def side_id(side: str) -> int:
    """Return the id of the side of a take; an empty one is any."""
    return SIDES.index(side) if side else ANY_SIDE


class ChoreoSampler:
    """Sampler of training batches: the same one for the same number of the batch.

    Args:
        windows: The takes to draw from.
        batch_size: Windows in a batch.
        genre_balance: A genre is drawn in proportion to its frames to this power (1: as the data lie, 0: all alike).
        group_share: Share of windows that are of a group of takes, as those at their own speed; all without others.
        in_group: For each take, whether it is of that group.
        seed: Of the draws.
        changes: How the music is changed; not at all by default.
    """

    def __init__(
        self,
        windows: ChoreoWindows,
        *,
        batch_size: int,
        genre_balance: float,
        group_share: float,
        in_group: Sequence[bool],
        seed: tuple[int, ...],
        changes: MusicChanges | None = None,
    ):
        self.windows, self.batch_size, self.seed = windows, batch_size, seed
        self.changes = changes or MusicChanges()
        genre_frames: dict[str, int] = defaultdict(int)
        for take in windows.takes:
            genre_frames[take.genre] += len(take.music)
        weights = np.array(
            [len(take.music) * genre_frames[take.genre] ** (genre_balance - 1) for take in windows.takes]
        )
        chosen = np.array(in_group)
        for group, share in ((chosen, group_share), (~chosen, 1 - group_share)):
            if group.any():
                weights[group] *= share / weights[group].sum()
        self.probabilities = weights / weights.sum()
        self.with_spectra = [take for take in windows.takes if take.has_spectra and take.has_clock]

    def __call__(self, batch_index: int) -> dict[str, torch.Tensor]:
        """Return the batch with a number."""
        generator = np.random.default_rng((*self.seed, batch_index))
        rows = []
        for take_index in generator.choice(len(self.probabilities), self.batch_size, p=self.probabilities):
            codes = self.windows.takes[take_index].codes
            offset = int(generator.integers(len(codes)))
            last_start = max(0, codes[offset].shape[1] - self.windows.config.max_window_tokens)
            start = 0 if generator.random() < START_SHARE else int(generator.integers(last_start + 1))
            rows.append((int(take_index), offset, start))
        batch = self.windows.cut(rows, generator=generator)
        for row, (take_index, _, _) in enumerate(rows):
            self._change_music(batch, row, self.windows.takes[take_index], generator)
        return batch

    def _change_music(self, batch: dict, row: int, take: DanceTake, generator: np.random.Generator) -> None:
        """Change the music of one window in place."""
        if not take.has_clock:
            return
        changes, real = self.changes, batch["frame_mask"][row].numpy()
        features = batch["input_features"][row].numpy()[real]
        if self.with_spectra and generator.random() < changes.foreign_spectra_share:
            other = self.with_spectra[generator.integers(len(self.with_spectra))]
            features = foreign_spectra(features, other.music, generator)
            batch["spectra_mask"][row] = True
        if changes.equalizer_spread and batch["spectra_mask"][row]:
            equalize(features, changes.equalizer_spread, generator)
        meter = beats_per_bar(features)
        if generator.random() < changes.moved_bar_share and meter > 1:
            move_bar(features, int(generator.integers(1, meter)), beats=True)
        if changes.moved_bar_share:
            move_bar(features, int(generator.integers(4)), beats=False)  # where a phrase begins is not known either
        batch["input_features"][row, real] = torch.from_numpy(features)


def foreign_spectra(features: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Replace the spectra of a stretch of music by those of another song, its beats laid on the beats.

    Args:
        features: `(frames, 109)`.
        other: `(other frames, 109)`, with spectra; repeated where it is too short.
        generator: Draws where in the other song it begins.

    Returns:
        `(frames, 109)`: spectra of the other song, clock and tempo as they were.
    """
    own, others = beat_counts(features), beat_counts(other)
    num_beats = max(1, int(others[-1] - others[0]))
    first = np.ceil(others[0]) + generator.integers(num_beats)
    wanted = others[0] + (own - np.floor(own[0]) + first - others[0]) % num_beats
    places = np.interp(wanted, others, np.arange(len(other)))
    frames = np.rint(places).astype(int)
    spectra = np.array(other[frames, : MusicFeatureLayout.beat_clock.start])
    # Where the other song is played faster, frames are passed over: their onsets must not be.
    passed_over = math.ceil((float(np.median(np.diff(places))) - 1) / 2) if len(places) > 1 else 0
    if passed_over > 0:
        strongest = maximum_filter1d(other[:, MusicFeatureLayout.onset_strength], 2 * passed_over + 1, axis=0)
        spectra[:, MusicFeatureLayout.onset_strength] = strongest[frames]
    return np.concatenate([spectra, features[:, MusicFeatureLayout.beat_clock]], axis=1)


def beat_counts(features: np.ndarray) -> np.ndarray:
    """Count beats at each frame of music features `(frames, 109)`: `(frames,)`, whole on a beat, rising."""
    sine, cosine = (features[:, MusicFeatureLayout.beat_clock.start + 2 + part] for part in (0, 1))
    return np.unwrap(np.arctan2(sine, cosine).astype(np.float64)) / (2 * np.pi)


def move_bar(features: np.ndarray, count: int, *, beats: bool) -> None:
    """Move the counters of bars in place: by beats, so that the bar begins elsewhere, or by whole bars.

    Args:
        features: Music features, `(frames, 109)`, without padding.
        count: How much later a bar, or the phrase of four bars, begins.
        beats: Count in beats, or in bars.
    """
    first = MusicFeatureLayout.beat_clock.start + _NUM_BEAT_WAVES
    for index, cycles in enumerate(CYCLES_PER_BAR):
        angle = -2 * np.pi * cycles * count / (beats_per_bar(features) if beats else 1)
        columns = slice(first + 2 * index, first + 2 * index + 2)
        sine, cosine = np.array(features[:, columns]).T
        features[:, columns] = np.stack(
            [sine * np.cos(angle) + cosine * np.sin(angle), cosine * np.cos(angle) - sine * np.sin(angle)], axis=1
        )


def beats_per_bar(features: np.ndarray) -> int:
    """Return how many beats a bar has by the clock of music features `(frames, 109)`, without padding."""
    first = MusicFeatureLayout.beat_clock.start + _NUM_BEAT_WAVES
    bars = np.unwrap(np.arctan2(features[:, first], features[:, first + 1]).astype(np.float64)) / (2 * np.pi)
    beats = beat_counts(features)
    if bars[-1] == bars[0]:  # a single frame
        return 1
    return max(1, round((beats[-1] - beats[0]) / (bars[-1] - bars[0])))


def equalize(features: np.ndarray, spread: float, generator: np.random.Generator) -> None:
    """Filter the spectra of music features `(frames, 109)` in place by a random smooth curve over the bands."""
    points = generator.normal(0, spread, EQUALIZER_POINTS)
    positions = np.linspace(0, EQUALIZER_POINTS - 1, NUM_MEL_BANDS)
    curve = np.interp(positions, np.arange(EQUALIZER_POINTS), points).astype(np.float32)
    features[:, MusicFeatureLayout.log_mel] += curve
    features[:, MusicFeatureLayout.mfcc] += curve @ _mel_to_cepstrum()


@lru_cache(maxsize=1)
def _mel_to_cepstrum() -> np.ndarray:
    """Return the matrix from log-mel to scaled cepstral channels, `(64, 20)`: both are linear in each other."""
    import librosa

    spreads = np.maximum(4 / (1 + np.arange(NUM_CEPSTRAL_COEFFICIENTS)), 0.4)
    unit = np.eye(NUM_MEL_BANDS, dtype=np.float32)
    return (librosa.feature.mfcc(S=unit, n_mfcc=NUM_CEPSTRAL_COEFFICIENTS) / spreads[:, None]).T.astype(np.float32)
