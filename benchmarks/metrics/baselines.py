"""The dances of docs/metrics.md: real ones, and systems that hear nothing, stand or copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d

from infinitedance.audio.beats import GENRE_METERS, BeatClock
from infinitedance.audio.features import MusicFeatureLayout
from infinitedance.dataset_builder.built import BuiltDataset
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.dataset_builder.splits import TEST, TRAIN
from infinitedance.evaluation.measures import MIN_TEMPO_DIFFERENCE, MeasuredDance, Song
from infinitedance.evaluation.metrics.physics import mean_joint_speed
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor

from ..dances.bench import read_clock

NOISE_SMOOTHING_SECONDS = 1 / 6
NOISE_RADIANS = 0.2
NOISE_METRES = 0.2
NUM_NOISE_TAKES = 3
NUM_SHUFFLES = 3


@dataclass(frozen=True)
class System:
    """Something that dances to songs.

    Args:
        name: What it is called in tables.
        takes: One dance or more for each song: every take has a dance for each song, in the same order.
    """

    name: str
    takes: list[list[MeasuredDance]]

    @property
    def dances(self) -> list[MeasuredDance]:
        """All dances."""
        return [dance for take in self.takes for dance in take]


def steady_song(name: str, bpm: float, genre: str, num_frames: int) -> Song:
    """Return a song of one known tempo whose first beat is frame 0, as long as a dance at 30 Hz."""
    seconds = num_frames / FRAME_RATE
    clock = BeatClock.steady(bpm, seconds, meter=GENRE_METERS.get(genre, 4))
    return Song(name, clock, seconds)


def noise_dance(real: Motion, seed: int) -> Motion:
    """Let a body move at random, smoothly and as fast as a real dance, around that dance's first pose.

    Args:
        real: Gives length, body, pose and mean joint speed.
        seed: Another seed, other noise.

    Returns:
        A dance that knows no music, on the floor.
    """
    random = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        smooth = gaussian_filter1d(
            random.normal(size=(real.num_frames, *shape)), NOISE_SMOOTHING_SECONDS * FRAME_RATE, 0
        )
        return smooth / smooth.std()

    turns, path = noise(22, 3) * NOISE_RADIANS, noise(3) * [NOISE_METRES, 0, NOISE_METRES]
    pose = torch.from_numpy(real.joint_rotations[:1])
    wanted = mean_joint_speed(real.joint_positions(), FRAME_RATE)

    def motion(scale: float) -> Motion:
        turn = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(torch.from_numpy(scale * turns).float()))
        rotations = roma.quat_xyzw_to_wxyz(
            roma.quat_product(roma.quat_wxyz_to_xyzw(pose), roma.quat_wxyz_to_xyzw(turn))
        )
        root = real.root_positions[:1] + scale * path
        return Motion(FRAME_RATE, root.astype(np.float32), rotations.numpy(), real.skeleton)

    scale = 1.0
    for _ in range(3):  # speed is nearly proportional to the scale
        scale *= wanted / mean_joint_speed(motion(scale).joint_positions(), FRAME_RATE)
    return put_on_floor(motion(scale))


def frozen_pose(real: Motion) -> Motion:
    """Hold the first pose of a dance for its whole length."""
    frames = np.zeros(real.num_frames, dtype=int)
    return replace(
        real,
        root_positions=real.root_positions[frames],
        joint_rotations=real.joint_rotations[frames],
        foot_contacts=None,
    )


class Baselines:
    """The systems of docs/metrics.md on held-out songs.

    Args:
        dances: Built data set whose training split is copied from.
        held_out: Built data set whose test split holds songs with a real dance.
        max_seconds: Dances are cut to this length.
    """

    def __init__(self, dances: BuiltDataset, held_out: BuiltDataset, max_seconds: float):
        self.dances, self.held_out = dances, held_out
        self.max_frames = round(max_seconds * FRAME_RATE)
        self.clips = with_clock(held_out, held_out.split(TEST, mirrored=False))
        if not self.clips:
            raise ValueError(f"The test split of {held_out.folder} must hold a dance to a song with beats, got none.")

    @cached_property
    def training_clips(self) -> list[BuiltClip]:
        """The training dances to songs with beats, without mirrored copies."""
        return with_clock(self.dances, self.dances.split(TRAIN, mirrored=False))

    @cached_property
    def songs(self) -> list[Song]:
        """The held-out songs, as long as their dances."""
        return [own_song(self.held_out, clip, self.num_frames(clip)) for clip in self.clips]

    @cached_property
    def real(self) -> System:
        """The real dance to each song."""
        return self.systems[0]

    @cached_property
    def systems(self) -> list[System]:
        """Real dances and all baselines."""
        real = [read_dance(self.held_out, clip).cut(0, self.num_frames(clip)) for clip in self.clips]
        noise = [
            [noise_dance(motion, 1000 * take + index) for index, motion in enumerate(real)]
            for take in range(NUM_NOISE_TAKES)
        ]
        return [
            self.system("real", [real]),
            self._shuffled(real),
            self.system("copy", [self._nearest_by_music()]),
            self.system("frozen", [[frozen_pose(motion) for motion in real]]),
            self.system("noise", noise),
        ]

    def num_frames(self, clip: BuiltClip) -> int:
        """Return the length to which a clip is cut."""
        return min(clip.num_frames, self.max_frames)

    def system(self, name: str, takes: Sequence[Sequence[Motion]]) -> System:
        """Return a system from its dances: for each take one for each held-out song."""
        return System(
            name,
            [
                [
                    MeasuredDance(song.name, motion.joint_positions().astype(np.float64), song, clip.genre)
                    for song, clip, motion in zip(self.songs, self.clips, take, strict=True)
                ]
                for take in takes
            ],
        )

    def _shuffled(self, real: Sequence[Motion]) -> System:
        """Dance each song's dance to other songs; where the tempo is nearly the same, without music."""
        num_songs = len(real)
        shifts = range(1, min(num_songs, NUM_SHUFFLES + 1))
        takes = self.system(
            "", [[real[(index + shift) % num_songs] for index in range(num_songs)] for shift in shifts]
        ).takes
        return System(
            "shuffled",
            [
                [
                    dance if _differ(song, self.songs[(index + shift) % num_songs]) else replace(dance, song=None)
                    for index, (song, dance) in enumerate(zip(self.songs, take, strict=True))
                ]
                for shift, take in zip(shifts, takes, strict=True)
            ],
        )

    def _nearest_by_music(self) -> list[Motion]:
        """Copy, for each song, the training dance whose music is most like it, among those that are long enough."""
        clips = self.training_clips
        described = np.array([describe_music(self.dances.music_features(clip)) for clip in clips])
        mean, deviation = described.mean(axis=0), described.std(axis=0) + 1e-9
        copies = []
        for own in self.clips:
            query = (describe_music(self.held_out.music_features(own)) - mean) / deviation
            distances = np.linalg.norm((described - mean) / deviation - query, axis=1)
            distances[[clip.num_frames < self.num_frames(own) for clip in clips]] = np.inf
            if not np.isfinite(distances).any():
                raise ValueError(f"No training dance is as long as {own.clip_id}: lower `--max_seconds`.")
            copies.append(read_dance(self.dances, clips[int(distances.argmin())]).cut(0, self.num_frames(own)))
        return copies


def with_clock(data: BuiltDataset, clips: Sequence[BuiltClip]) -> list[BuiltClip]:
    """Return the clips with music of known beats."""
    return [clip for clip in clips if clip.music_file is not None and read_clock(data, clip) is not None]


def own_song(data: BuiltDataset, clip: BuiltClip, num_frames: int) -> Song:
    """Return the song of a clip with its beats, as long as a dance at 30 Hz."""
    clock = read_clock(data, clip)
    assert clock is not None  # `with_clock` has left out the others
    return Song(clip.clip_id, clock, num_frames / FRAME_RATE)


def read_dance(data: BuiltDataset, clip: BuiltClip) -> Motion:
    """Return a built dance on our body, on the floor."""
    return put_on_floor(features_to_motion(torch.from_numpy(np.array(data.motion_features(clip)))))


def describe_music(features: np.ndarray) -> np.ndarray:
    """Describe a song by mean and deviation of its spectral features and by its tempo.

    Args:
        features: `(frames, 109)`, see `MusicFeatureLayout`.

    Returns:
        `(197,)`.
    """
    spectral = features[:, : MusicFeatureLayout.beat_clock.start]
    return np.concatenate([spectral.mean(axis=0), spectral.std(axis=0), [np.median(features[:, -1])]])


def _differ(song: Song, other: Song) -> bool:
    return abs(other.bpm / song.bpm - 1) >= MIN_TEMPO_DIFFERENCE
