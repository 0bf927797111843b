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
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.audio.heard_song import HeardSong
from infinitedance.audio.loading import AUDIO_SUFFIXES, load_audio
from infinitedance.audio.loudness import ENERGY_RATE_HZ, energy_curve, hop_powers, integrated_loudness
from infinitedance.audio.spectra import SAMPLING_RATE
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.clip_folder import MIRRORED
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.dataset_builder.splits import TEST, TRAIN
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
"""Which waves of the beat clock have one cycle a beat and a bar."""


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
        data_dir: Built data set; references and baselines come from its training split, unseen dances from the others.
        songs_dir: Folder of songs without a dance.
        work_dir: Generated dances are kept here, in a folder for each model.
        held_out_dir: Built data set whose test split has dances with their songs; `None` for none.
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
        held_out_dir: Path | None = None,
        *,
        num_seeds: int = 3,
        max_seconds: float = 60.0,
        asked: Mapping[str, Any] | None = None,
    ):
        self.songs_dir, self.seeds = songs_dir, range(num_seeds)
        self.max_seconds = max_seconds
        self.pipeline = MusicToDancePipeline.from_pretrained(model_dir)
        self.model_dir, self.data = model_dir, BuiltDataset(data_dir)
        self.held_out_data = None if held_out_dir is None else BuiltDataset(held_out_dir)
        self.asked = dict(asked or {})
        names = [model_sha256(model_dir)[:12], *(f"{name}-{self.asked[name]}" for name in self.asked)]
        self.dances_dir = work_dir / "_".join(names)
        usable = {clip.genre for clip in self.data.split(TRAIN, mirrored=False) if _is_usable(clip)}
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
                for clip in self.data.split(TRAIN, mirrored=False)
                if clip.genre in self.genres and clip.num_frames >= MIN_FRAMES
                for dance in [self._real_dance(self.data, clip, clip.num_frames)]
            ]
        )

    @cached_property
    def unseen(self) -> list[Performance]:
        """Dances of the model's genres in the test and validation splits, on the natural side."""
        return [
            self._real_dance(self.data, clip, min(clip.num_frames, round(self.max_seconds * FRAME_RATE)))
            for clip in self.data.clips
            if clip.split != TRAIN
            and not clip.is_mirrored
            and clip.genre in self.genres
            and clip.num_frames >= MIN_FRAMES
        ]

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
        """The dances with a song, of the model's genres, in the test split of `held_out_dir`."""
        if self.held_out_data is None:
            return []
        held_out = []
        for clip in self.held_out_data.split(TEST, mirrored=False):
            if clip.audio_file is None or clip.genre not in self.genres or clip.num_frames < MIN_FRAMES:
                continue
            waveform = load_audio(self.held_out_data.folder / clip.audio_file, SAMPLING_RATE)
            num_seconds = min(len(waveform) / SAMPLING_RATE, clip.num_frames / FRAME_RATE, self.max_seconds)
            num_frames = int(num_seconds * FRAME_RATE)
            samples = num_frames * SAMPLING_RATE // round(FRAME_RATE)
            song = Song(clip.clip_id.replace("/", "_"), waveform[:samples])
            held_out.append(HeldOutDance(song, self._real_dance(self.held_out_data, clip, num_frames, song)))
        if not held_out:
            raise ValueError(
                f"The test split of {self.held_out_data.folder} must hold a dance with its song of one of "
                f"{', '.join(self.genres)}, got none."
            )
        return held_out

    @cached_property
    def free_songs(self) -> list[Song]:
        """The songs without a dance."""
        paths = sorted(path for path in self.songs_dir.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        num_samples = round(self.max_seconds * SAMPLING_RATE)
        return [Song(path.stem, load_audio(path, SAMPLING_RATE)[:num_samples]) for path in paths]

    def free_requests(self, genres_per_song: int = GENRES_PER_SONG) -> list[tuple[Song, str]]:
        """Return free songs and genres to ask for; the genres take turns."""
        num_genres = min(genres_per_song, len(self.genres))
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

    def generate(
        self,
        song: Song,
        genre: str,
        seeds: Sequence[int],
        timbre: Song | None = None,
        guidance_scale: float | None = None,
    ) -> list[Motion]:
        """Return the dances of the model to a song; those that were made before, at this length, are read.

        Args:
            song: The song.
            genre: Genre to ask for.
            seeds: One for each dance.
            timbre: A song whose spectra are heard in the place of its own, under its beat clock.
            guidance_scale: The model's own if not given.
        """
        variant = song.variant if timbre is None else f"{song.variant}_foreign"
        asked = self.asked
        if guidance_scale is not None:
            variant, asked = f"{variant}_guidance{guidance_scale:g}", {**asked, "guidance_scale": guidance_scale}
        folder = self.dances_dir / variant
        paths = {seed: folder / f"{song.name}_{genre}_{seed}.npz" for seed in seeds}
        motions = {seed: load_motion(path) for seed, path in paths.items() if path.is_file()}
        missing = [seed for seed in seeds if seed not in motions or motions[seed].num_frames != song.num_frames]
        if missing:
            pipeline = self.pipeline if timbre is None else ForeignSpectraPipeline(self.pipeline, timbre, genre)
            dances = pipeline.dances(song.waveform, seeds=missing, genre=genre, **asked)
            folder.mkdir(parents=True, exist_ok=True)
            for seed, dance in zip(missing, dances, strict=True):
                save_motion(dance.motion, paths[seed])
                motions[seed] = dance.motion
        return [motions[seed] for seed in seeds]

    def through_codec(self, dance: Performance) -> Performance:
        """Return a real dance encoded and decoded as generated codes are."""
        motion = self.pipeline.decode(self.pipeline.tokenizer.encode(dance.motion), dance.motion.num_frames)
        return Performance(dance.name, dance.genre, motion, dance.clock, dance.energy)

    def _real_dance(
        self, data: BuiltDataset, clip: BuiltClip, num_frames: int, song: Song | None = None
    ) -> Performance:
        features = torch.from_numpy(np.array(data.motion_features(clip)[:num_frames]))
        motion = put_on_floor(features_to_motion(features))
        if clip.side == MIRRORED:
            motion = motion.mirror()
        energy = None if song is None else song.energy
        return Performance(clip.clip_id, clip.genre, motion, read_clock(data, clip), energy)


class ForeignSpectraPipeline(MusicToDancePipeline):
    """Pipeline that hears the spectra of one song in the place of every other, under its beat clock.

    Args:
        pipeline: Whose parts it takes.
        timbre: The song that is heard.
        genre: Genre to count it as.
    """

    def __init__(self, pipeline: MusicToDancePipeline, timbre: Song, genre: str):
        super().__init__(pipeline.model, pipeline.processor, pipeline.retriever, pipeline.restorer)
        self.heard = pipeline.model_inputs(pipeline.listen(timbre.waveform, genre))["input_features"]

    def model_inputs(self, song: HeardSong, **asked: Any) -> dict[str, torch.Tensor]:
        """Return the inputs of a song with the foreign spectra, which begin again where they end."""
        inputs = super().model_inputs(song, **asked)
        spectral = slice(0, MusicFeatureLayout.beat_clock.start)
        frames = torch.arange(inputs["input_features"].shape[1]) % self.heard.shape[1]
        inputs["input_features"][:, :, spectral] = self.heard[:, frames, spectral]
        return inputs


def model_sha256(model_dir: Path) -> str:
    """Return the hash of all that a model dances by: weights, settings and reference dances."""
    digest = hashlib.sha256()
    for path in sorted(model_dir.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _is_usable(clip: BuiltClip) -> bool:
    """Return whether a clip can stand for its genre: by its beats and its length."""
    has_beats = clip.music_file is not None or clip.clock_file is not None
    return has_beats and clip.num_frames >= WINDOW_SECONDS * FRAME_RATE


def read_clock(data: BuiltDataset, clip: BuiltClip) -> BeatClock | None:
    """Return the beats of a clip that a model is trained with: of its music, or of its own pulse."""
    if clip.music_file is not None:
        features = data.music_features(clip)[:, MusicFeatureLayout.beat_clock]
    elif clip.clock_file is not None:
        features = np.load(data.folder / clip.clock_file)
    else:
        return None
    return clock_from_features(features, meter_of(clip.genre))


def clock_from_features(features: np.ndarray, beats_per_bar: int) -> BeatClock | None:
    """Read beats from features of the beat clock: the inverse of `BeatClock.to_features`.

    Args:
        features: `(frames, 11)`, 30 frames a second.
        beats_per_bar: 2, 3 or 4.

    Returns:
        The beats within the features, of which at least one begins a bar; `None` if there is no such.
    """
    turns = np.arctan2(features[:, :-1:2], features[:, 1:-1:2]) / (2 * np.pi)
    phase = np.unwrap(turns[:, BEAT_WAVE], period=1)
    phase += np.round(beats_per_bar * (turns[0, BAR_WAVE] % 1) - phase[0])
    beats = np.arange(np.ceil(phase[0] - 1e-3), np.floor(phase[-1]) + 1)
    downbeats = np.flatnonzero(beats % beats_per_bar == 0)
    if len(beats) < 2 or len(downbeats) == 0:
        return None
    times = np.interp(beats, phase, np.arange(len(phase)) / FRAME_RATE)
    return BeatClock(times, beats_per_bar, int(downbeats[0]))
