"""What the report measures: real dances, songs, and the dances of a model and of both baselines to them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinitedance.audio.beats import BeatClock, track_beats
from infinitedance.audio.features import LATEST_VERSION, MusicFeatureLayout
from infinitedance.audio.loading import AUDIO_SUFFIXES, load_audio
from infinitedance.audio.loudness import ENERGY_RATE_HZ, energy_curve, hop_powers, integrated_loudness
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.clip_folder import MIRRORED
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.metrics.genre_recognition import WINDOW_SECONDS
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.files.npz import load_motion, save_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.pipeline import MusicToDancePipeline

from .baselines import TrainingDance, graph, retrieve
from .measures import MIN_FRAMES, Performance, References, meter_of

SYSTEMS = ("real", "codec", "retrieve", "graph", "generated")
GENRES_PER_SONG = 3
PLAIN = "plain"
BEAT_WAVE, BAR_WAVE = 1, 2
"""Which waves of the beat clock have one cycle a beat and a bar; of version 1, wave 2, 3 or 4 has that many beats."""


@dataclass(frozen=True, eq=False)
class Song:
    """A song that is danced to.

    Args:
        name: Unique.
        waveform: `(samples,)`, 24 kHz.
        variant: What was done to it, the folder of its generated dances.
    """

    name: str
    waveform: np.ndarray
    variant: str = PLAIN

    @property
    def num_frames(self) -> int:
        """Frames of a dance to it."""
        return round(FRAME_RATE * len(self.waveform) / SAMPLING_RATE)

    @cached_property
    def _clocks(self) -> dict[str, BeatClock]:
        return {}

    def clock(self, genre: str) -> BeatClock:
        """Return its beats as the pipeline estimates them for a genre."""
        if genre not in self._clocks:
            self._clocks[genre] = track_beats(self.waveform, SAMPLING_RATE, genre=genre).clock
        return self._clocks[genre]

    @cached_property
    def energy(self) -> np.ndarray:
        """Loudness of the 2 s around each frame relative to the whole song, `(frames,)`, LU."""
        powers = hop_powers(self.waveform, SAMPLING_RATE)
        curve = energy_curve(powers, integrated_loudness(powers))
        return np.interp(np.arange(self.num_frames) / FRAME_RATE, np.arange(len(curve)) / ENERGY_RATE_HZ, curve)


@dataclass(frozen=True, eq=False)
class HeldOutDance:
    """A song of the test split with its real dance."""

    song: Song
    real: Performance


class Bench:
    """A model, real dances and songs; it makes and keeps dances.

    Args:
        model_dir: Model folder with its codec.
        data_dir: Built data set; references and baselines come from its training split.
        songs_dir: Folder of songs without a dance.
        work_dir: Generated dances are kept here, in a folder for each model.
        num_seeds: Dances for each song and genre, of seeds from 0 on.
        max_seconds: Songs and real dances are cut to this length.
        asked: What is asked of every dance: options of `MusicToDancePipeline.perform`.

    Raises:
        ValueError: If no training clip of 10 s or more, with beats, is of a genre of the model.
    """

    def __init__(
        self,
        model_dir: Path,
        data_dir: Path,
        songs_dir: Path,
        work_dir: Path,
        *,
        num_seeds: int = 3,
        max_seconds: float = 60.0,
        asked: Mapping[str, Any] | None = None,
    ):
        self.songs_dir, self.seeds = songs_dir, range(num_seeds)
        self.max_seconds = max_seconds
        self.pipeline = MusicToDancePipeline.from_pretrained(model_dir)
        self.data = BuiltDataset(data_dir)
        weights = hashlib.sha256((model_dir / "model.safetensors").read_bytes()).hexdigest()
        self.asked = dict(asked or {})
        self.dances_dir = work_dir / "_".join([weights[:12], *(f"{name}-{self.asked[name]}" for name in self.asked)])
        usable = {clip.genre for clip in self.data.split("train", mirrored=False) if _is_usable(clip)}
        self.genres = [genre for genre in self.pipeline.genres if genre in usable]
        if not self.genres:
            raise ValueError(
                f"{data_dir} must hold training clips with beats, of {WINDOW_SECONDS:g} s or more, of "
                f"{', '.join(self.pipeline.genres)}, got none."
            )

    @cached_property
    def references(self) -> References:
        """The training dances of the model's genres, each once, on the natural side."""
        return References(
            [
                dance
                for clip in self.data.split("train", mirrored=False)
                if clip.genre in self.genres and clip.num_frames >= MIN_FRAMES
                for dance in [self._real_dance(clip, clip.num_frames)]
            ]
        )

    @cached_property
    def training_dances(self) -> list[TrainingDance]:
        """Of the references those with beats, for the baselines."""
        return [
            TrainingDance(dance.motion, dance.clock, dance.genre)
            for dance in self.references.dances
            if dance.clock is not None
        ]

    @cached_property
    def held_out(self) -> list[HeldOutDance]:
        """The test dances with a song, of the model's genres."""
        held_out = []
        for clip in self.data.split("test", mirrored=False):
            if clip.audio_file is None or clip.genre not in self.genres or clip.num_frames < MIN_FRAMES:
                continue
            waveform = load_audio(self.data.folder / clip.audio_file, SAMPLING_RATE)
            num_seconds = min(len(waveform) / SAMPLING_RATE, clip.num_frames / FRAME_RATE, self.max_seconds)
            num_frames = int(num_seconds * FRAME_RATE)
            samples = num_frames * SAMPLING_RATE // round(FRAME_RATE)
            song = Song(clip.clip_id.replace("/", "_"), waveform[:samples])
            held_out.append(HeldOutDance(song, self._real_dance(clip, num_frames, song)))
        if not held_out:
            raise ValueError(
                f"The test split of {self.data.folder} must hold a dance with its song of one of "
                f"{', '.join(self.genres)}, got none."
            )
        return held_out

    @cached_property
    def free_songs(self) -> list[Song]:
        """The songs without a dance."""
        paths = sorted(path for path in self.songs_dir.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        num_samples = round(self.max_seconds * SAMPLING_RATE)
        return [Song(path.stem, load_audio(path, SAMPLING_RATE)[:num_samples]) for path in paths]

    @cached_property
    def free_requests(self) -> list[tuple[Song, str]]:
        """Songs and genres to ask for: each song is asked for three genres, which take turns."""
        num_genres = min(GENRES_PER_SONG, len(self.genres))
        return [
            (song, self.genres[(index + turn) % len(self.genres)])
            for index, song in enumerate(self.free_songs)
            for turn in range(num_genres)
        ]

    def perform(
        self, system: str, song: Song, genre: str, seeds: Sequence[int], clock: BeatClock | None = None
    ) -> list[Performance]:
        """Return the dances of a baseline or of the model to a song.

        Args:
            system: `"retrieve"`, `"graph"` or `"generated"`.
            song: The song.
            genre: Genre to ask for.
            seeds: One for each dance.
            clock: Beats to measure against; those that are estimated, which all systems dance to, by default.
        """
        if system == "generated":
            motions = self.generate(song, genre, seeds)
        else:
            baseline: Callable[..., Motion] = {"retrieve": retrieve, "graph": graph}[system]
            motions = [
                baseline(self.training_dances, song.clock(genre), song.num_frames, genre, seed) for seed in seeds
            ]
        clock = song.clock(genre) if clock is None else clock
        return [Performance(song.name, genre, motion, clock, song.energy) for motion in motions]

    def generate(self, song: Song, genre: str, seeds: Sequence[int], timbre: Song | None = None) -> list[Motion]:
        """Return the dances of the model to a song; those that were made before, at this length, are read.

        Args:
            song: The song.
            genre: Genre to ask for.
            seeds: One for each dance.
            timbre: A song whose spectra are heard in the place of its own, under its beat clock.
        """
        folder = self.dances_dir / (song.variant if timbre is None else f"{song.variant}_foreign")
        paths = {seed: folder / f"{song.name}_{genre}_{seed}.npz" for seed in seeds}
        motions = {seed: load_motion(path) for seed, path in paths.items() if path.is_file()}
        missing = [seed for seed in seeds if seed not in motions or motions[seed].num_frames != song.num_frames]
        if missing:
            if timbre is None:
                dances = self.pipeline.dances(song.waveform, seeds=missing, genre=genre, **self.asked)
                made = [dance.motion for dance in dances]
            else:
                made = self._generate_with_timbre(song, genre, missing, timbre)
            folder.mkdir(parents=True, exist_ok=True)
            for seed, motion in zip(missing, made, strict=True):
                save_motion(motion, paths[seed])
                motions[seed] = motion
        return [motions[seed] for seed in seeds]

    def _generate_with_timbre(self, song: Song, genre: str, seeds: Sequence[int], timbre: Song) -> list[Motion]:
        own, other = (self.pipeline.listen(each.waveform, genre) for each in (song, timbre))
        inputs, heard = self.pipeline.model_inputs(own), self.pipeline.model_inputs(other)["input_features"]
        spectral = slice(0, MusicFeatureLayout.beat_clock.start)
        frames = torch.arange(inputs["input_features"].shape[1]) % heard.shape[1]
        inputs["input_features"][:, :, spectral] = heard[:, frames, spectral]
        return [motion for _, motion in self.pipeline.perform(own, inputs, seeds=seeds, **self.asked)]

    def through_codec(self, dance: Performance) -> Performance:
        """Return a real dance encoded and decoded as generated codes are."""
        motion = self.pipeline.decode(self.pipeline.tokenizer.encode(dance.motion), dance.motion.num_frames)
        return Performance(dance.name, dance.genre, motion, dance.clock, dance.energy)

    def _real_dance(self, clip: BuiltClip, num_frames: int, song: Song | None = None) -> Performance:
        features = torch.from_numpy(np.array(self.data.motion_features(clip)[:num_frames]))
        motion = put_on_floor(features_to_motion(features))
        if clip.side == MIRRORED:
            motion = motion.mirror()
        energy = None if song is None else song.energy
        return Performance(clip.clip_id, clip.genre, motion, self._clock(clip), energy)

    def _clock(self, clip: BuiltClip) -> BeatClock | None:
        """Return the beats that the model was trained with, of the clip's music or of its own pulse."""
        if clip.music_file is not None:
            features = self.data.music_features(clip)[:, MusicFeatureLayout.beat_clock]
        elif clip.clock_file is not None:
            features = np.load(self.data.folder / clip.clock_file)
        else:
            return None
        return clock_from_features(features, meter_of(clip.genre), clip.music_features_version or LATEST_VERSION)


def _is_usable(clip: BuiltClip) -> bool:
    """Return whether a clip can stand for its genre: by its beats and its length."""
    has_beats = clip.music_file is not None or clip.clock_file is not None
    return has_beats and clip.num_frames >= WINDOW_SECONDS * FRAME_RATE


def clock_from_features(features: np.ndarray, beats_per_bar: int, version: int = LATEST_VERSION) -> BeatClock | None:
    """Read beats from features of the beat clock: the inverse of `BeatClock.to_features`.

    Args:
        features: `(frames, 11)`, 30 frames a second.
        beats_per_bar: 2, 3 or 4.
        version: As of `MusicFeatureExtractor`.

    Returns:
        The beats within the features, of which at least one begins a bar; `None` if there is no such.
    """
    turns = np.arctan2(features[:, :-1:2], features[:, 1:-1:2]) / (2 * np.pi)
    bar_wave = beats_per_bar if version == 1 else BAR_WAVE
    phase = np.unwrap(turns[:, BEAT_WAVE], period=1)
    phase += np.round(beats_per_bar * (turns[0, bar_wave] % 1) - phase[0])
    beats = np.arange(np.ceil(phase[0] - 1e-3), np.floor(phase[-1]) + 1)
    downbeats = np.flatnonzero(beats % beats_per_bar == 0)
    if len(beats) < 2 or len(downbeats) == 0:
        return None
    times = np.interp(beats, phase, np.arange(len(phase)) / FRAME_RATE)
    return BeatClock(times, beats_per_bar, int(downbeats[0]))
