"""Training windows of the two towers: pairs of music and dance of the same 12.8 seconds."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..audio.features import MusicFeatureLayout
from ..dataset_builder.augmentation.stretch import stretch_motion, stretch_music_features
from ..dataset_builder.built import BuiltDataset
from ..dataset_builder.manifest import BuiltClip
from ..modeling.music_dance.configuration_music_dance import MusicDanceConfig
from ..motion.features import features_to_motion, motion_to_features
from ..retrieval.windows import cut_windows

SHORT_SHARE = 0.15
"""Share of training windows that are cut short: the last window of a song mostly is."""


@dataclass(frozen=True)
class PairedTake:
    """One version (mirrored or not, at one speed) of a dance with its music.

    Args:
        song_id: The song; two windows of one song are no negatives of each other.
        genre: Genre of the dance.
        music: Music features, `(frames, 109)`.
        motion: Motion features, `(frames, 269)`.
    """

    song_id: str
    genre: str
    music: np.ndarray
    motion: np.ndarray


def load_paired_takes(
    data: BuiltDataset, clips: Iterable[BuiltClip], stretches: Sequence[float] = (1.0,)
) -> list[PairedTake]:
    """Load the clips that have aligned music or a beat clock, at each of some speeds.

    Args:
        data: The built data set.
        clips: Clips of it; others are left out.
        stretches: Speeds, 1 = the clip's own.
    """
    takes = []
    for clip in paired_clips(clips):
        music = data.music_or_clock(clip)
        motion = np.asarray(data.motion_features(clip)[: len(music)])
        for stretch in stretches:
            danced, heard = motion, music
            if stretch != 1.0:
                stretched = stretch_motion(features_to_motion(torch.from_numpy(motion.copy())), stretch)
                danced = motion_to_features(stretched).numpy()
                heard = stretch_music_features(music, stretch, len(danced))
            takes.append(PairedTake(clip.song_id, clip.genre, heard, danced))
    return takes


def paired_clips(clips: Iterable[BuiltClip]) -> list[BuiltClip]:
    """Return the clips that have aligned music, or at least its beat clock."""
    return [clip for clip in clips if clip.music_file is not None or clip.clock_file is not None]


def share_of_songs(clips: Sequence[BuiltClip], share: float) -> list[BuiltClip]:
    """Keep a share of the songs of each genre, at least two, with all their clips; a larger share keeps the same ones.

    Args:
        clips: The clips.
        share: Of the songs, 1 = all.
    """
    songs: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        songs[clip.genre].add(clip.song_id)
    kept: set[str] = set()
    for names in songs.values():
        order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        kept.update(order[: max(2, round(share * len(order)))])
    return [clip for clip in clips if clip.song_id in kept]


class PairSampler:
    """Sampler of training batches: the same one for the same number of the batch.

    The songs of a batch are drawn without repetition until all have been drawn; of each a version and a start are
    drawn at random. Where a batch holds two windows of a song, `song_ids` lets the loss leave out that pair.

    Args:
        takes: To draw from.
        config: Of the encoder: length of the windows; music and motion must have one rate.
        batch_size: Windows in a batch.
        spectra_dropout: Share of windows whose music is the beat clock alone.
        seed: Of the draws; processes that train together need different ones.

    Raises:
        ValueError: If there are fewer than two songs, or the rates differ.
    """

    def __init__(
        self,
        takes: Sequence[PairedTake],
        config: MusicDanceConfig,
        *,
        batch_size: int,
        spectra_dropout: float,
        seed: tuple[int, ...],
    ):
        if config.music_frame_rate != config.frame_rate:
            raise ValueError(
                f"Built data sets have music and motion at one rate, got {config.music_frame_rate} and "
                f"{config.frame_rate} Hz."
            )
        songs: dict[str, list[PairedTake]] = defaultdict(list)
        for take in takes:
            songs[take.song_id].append(take)
        if len(songs) < 2:
            raise ValueError(f"Training needs the paired dances of at least two songs, got {len(songs)}.")
        self.songs = list(songs.values())
        self.window_frames, self.batch_size, self.seed = config.window_frames, batch_size, seed
        self.spectra_dropout = spectra_dropout

    def __call__(self, batch_index: int) -> dict[str, torch.Tensor]:
        """Return the arguments of `MusicDanceEncoder.forward`."""
        generator = np.random.default_rng((*self.seed, batch_index))
        rounds = -(-self.batch_size // len(self.songs))
        drawn = np.concatenate([generator.permutation(len(self.songs)) for _ in range(rounds)])[: self.batch_size]
        rows = []
        for song in drawn:
            takes = self.songs[song]
            take = takes[generator.integers(len(takes))]
            start = int(generator.integers(max(1, len(take.motion) - self.window_frames + 1)))
            length = self.window_frames
            if generator.random() < SHORT_SHARE:
                length = int(generator.integers(self.window_frames // 2, self.window_frames))
            rows.append((take, start, start + length))
        batch = stack_pairs(rows, self.window_frames) | {"song_ids": torch.from_numpy(drawn.astype(np.int64))}
        dropped = torch.from_numpy(generator.random(self.batch_size) < self.spectra_dropout)
        batch["input_features"][dropped, :, : MusicFeatureLayout.beat_clock.start] = 0.0
        return batch


def stack_pairs(rows: Sequence[tuple[PairedTake, int, int]], window_frames: int) -> dict[str, torch.Tensor]:
    """Stack windows of music and motion.

    Args:
        rows: For each the take, the first frame and the frame after the last.
        window_frames: Frames of a row; beyond the window or the take the masks are False.
    """
    batch = {}
    for name, mask_name in (("music", "music_frame_mask"), ("motion", "motion_frame_mask")):
        parts = [cut_windows(getattr(take, name)[:stop], [start], window_frames) for take, start, stop in rows]
        key = "input_features" if name == "music" else "motion_features"
        batch[key] = torch.from_numpy(np.concatenate([windows for windows, _ in parts]))
        batch[mask_name] = torch.from_numpy(np.concatenate([mask for _, mask in parts]))
    return batch
