"""What the report measures: held-out songs with their real dances, and dances generated for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from infinitedance.audio.beats import GENRE_METERS, REFERENCE_BPM
from infinitedance.audio.loading import load_audio
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.metrics.pulse import pulse_lock, speed_curve, steady_beat_phase
from infinitedance.motion.features import NUM_FEATURES, features_to_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.pipeline import MusicToDancePipeline


@dataclass(frozen=True)
class CodedDance:
    """A dance with the codes that it was decoded from, or that a real one is encoded to.

    Args:
        motion: On the floor, as the pipeline returns it.
        codes: `(num_quantizers, num_tokens)`.
    """

    motion: Motion
    codes: np.ndarray

    @cached_property
    def positions(self) -> np.ndarray:
        """World positions of all joints, `(frames, 22, 3)`, metres."""
        return self.motion.joint_positions().astype(np.float64)

    def lock(self, bpm: float, genre: str) -> float:
        """Return the lock to a steady tempo whose first beat is frame 0."""
        phase = steady_beat_phase(len(self.positions), FRAME_RATE, bpm)
        return pulse_lock(speed_curve(self.positions, FRAME_RATE), phase, cycles_per_beat(genre))


@dataclass(frozen=True)
class HeldOutSong:
    """A test song and the real dance to it; both begin on a beat.

    Args:
        clip: Its entry in the built data set.
        bpm: True tempo, from the data set; only measured against, never given to the model.
        music: Features of the whole song, `(frames, 109)`, with beats estimated from the audio and the genre.
        real: The real dance.
    """

    clip: BuiltClip
    bpm: float
    music: np.ndarray
    real: CodedDance

    @property
    def num_frames(self) -> int:
        """Frames of the real dance, and of those generated beside it."""
        return self.real.motion.num_frames

    @property
    def estimated_bpm(self) -> float:
        """The tempo that the model hears."""
        return tempo_bpm(self.music)


@dataclass(frozen=True)
class GenerationRequest:
    """A dance to generate.

    Args:
        music: Music features, `(frames, 109)`; the dance is as long.
        genre: Genre to ask for.
        seed: Seed.
        references: Motion features of reference dances on the song's time, `(num_references, frames, 269)`; none if
            `None`. All requests of a batch have as many, or none has any.
    """

    music: np.ndarray
    genre: str
    seed: int
    references: np.ndarray | None = None


class ReportData:
    """A model and the held-out songs; it generates dances in batches.

    Args:
        model_dir: Model folder with its codec.
        data_dir: Built data set.
        num_seeds: Dances for each song; at least two.
        max_seconds: Songs and real dances are cut to this length, except for losses and codec.

    Raises:
        ValueError: If a test song has no audio or tempo, its genre is none of the model's, or the data set holds
            music features of another version than the model reads.
    """

    def __init__(
        self,
        model_dir: str | Path,
        data_dir: str | Path,
        *,
        num_seeds: int = 3,
        max_seconds: float = 60.0,
    ):
        if num_seeds < 2:
            raise ValueError(f"`num_seeds` must be at least 2, got {num_seeds}: seeds are compared with each other.")
        self.model_dir = Path(model_dir)
        self.pipeline = MusicToDancePipeline.from_pretrained(model_dir)
        self.model, self.codec = self.pipeline.model, self.pipeline.model.codec
        self.clips = BuiltDataset(data_dir)
        self.clips.check_music_features(self.pipeline.processor.feature_extractor.version, f"The model in {model_dir}")
        self.seeds = range(num_seeds)
        self.max_frames = round(max_seconds * FRAME_RATE)

    @property
    def genres(self) -> list[str]:
        """Genres of the model."""
        return list(self.model.config.genres)

    @cached_property
    def songs(self) -> list[HeldOutSong]:
        """The test songs with aligned music, in the order of the built data set."""
        extractor = self.pipeline.processor.feature_extractor
        songs = []
        for clip in self.clips.split("test", mirrored=False):
            if clip.music_file is None:
                continue
            if clip.audio_file is None or clip.bpm is None or clip.genre not in self.genres:
                raise ValueError(
                    f"The test clip {clip.clip_id!r} must have audio, a `bpm`, and a genre out of "
                    f"{', '.join(self.genres)}, got audio {clip.audio_file}, bpm {clip.bpm} and genre {clip.genre!r}."
                )
            waveform = load_audio(self.clips.folder / clip.audio_file, extractor.sampling_rate)
            music = extractor(waveform, extractor.sampling_rate, genre=clip.genre)["input_features"][0]
            features = self.clips.motion_features(clip)[: min(len(music), self.max_frames)]
            songs.append(HeldOutSong(clip, clip.bpm, np.asarray(music), self.encode(features)))
        if not songs:
            raise ValueError(f"The test split of {self.clips.folder} must hold a clip with aligned music, got none.")
        return songs

    @cached_property
    def training_clips(self) -> list[BuiltClip]:
        """The dances that the generator was trained on, mirrored ones included."""
        return [clip for clip in self.clips.split("train") if clip.music_file is not None]

    @torch.inference_mode()
    def encode(self, features: np.ndarray) -> CodedDance:
        """Turn motion features `(frames, 269)` of a real dance into a `CodedDance`."""
        tensor = torch.from_numpy(np.array(features))
        return CodedDance(put_on_floor(features_to_motion(tensor)), self.codec.encode(tensor[None])[0].numpy())

    def generate(self, requests: Sequence[GenerationRequest], guidance_scale: float | None = None) -> list[CodedDance]:
        """Generate dances in one batch, with the sampling settings of the model.

        Args:
            requests: Songs of any lengths.
            guidance_scale: The model's own if not given.
        """
        lengths = [len(request.music) for request in requests]
        music = np.zeros((len(requests), max(lengths), requests[0].music.shape[1]), np.float32)
        for heard, request in zip(music, requests, strict=True):
            heard[: len(request.music)] = request.music
        references = None
        if requests[0].references is not None:
            references = torch.zeros(len(requests), len(requests[0].references), max(lengths), NUM_FEATURES)
            for row, request, length in zip(references, requests, lengths, strict=True):
                row[:, :length] = torch.from_numpy(np.asarray(request.references))
        codes = self.model.generate_codes(
            torch.from_numpy(music),
            reference_features=references,
            frame_mask=torch.arange(max(lengths)) < torch.tensor(lengths)[:, None],
            genre_ids=torch.tensor([self.pipeline.processor.genre_to_id(request.genre) for request in requests]),
            seeds=[request.seed for request in requests],
            **({} if guidance_scale is None else {"guidance_scale": guidance_scale}),
        )
        dances = []
        for row, num_frames in zip(codes, lengths, strict=True):
            row = row[:, : self.pipeline.processor.num_tokens(num_frames)]
            motion = self.pipeline.decode(row, num_frames)
            dances.append(CodedDance(motion, row.numpy()))
        return dances

    def requests(self) -> list[GenerationRequest]:
        """Return a request for each song and seed, in that order."""
        return [
            GenerationRequest(song.music[: song.num_frames], song.clip.genre, seed)
            for song in self.songs
            for seed in self.seeds
        ]

    def by_song(self, values: Sequence) -> list[Sequence]:
        """Group what was made for each song and seed by song."""
        return [values[start : start + len(self.seeds)] for start in range(0, len(values), len(self.seeds))]

    @cached_property
    def dances(self) -> list[Sequence[CodedDance]]:
        """For each song, the dance of each seed, with the song's genre and the model's guidance."""
        return self.by_song(self.generate(self.requests()))


def tempo_bpm(music: np.ndarray) -> float:
    """Return the tempo that music features `(frames, 109)` hold, in beats per minute."""
    return float(REFERENCE_BPM * 2 ** np.median(music[:, -1]))


def cycles_per_beat(genre: str) -> float:
    """Return the frequency of a genre's pulse: once a bar in triple meter, else every second beat."""
    return 1 / 3 if GENRE_METERS.get(genre) == 3 else 1 / 2
