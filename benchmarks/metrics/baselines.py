"""What a model is compared with in docs/metrics.md: real dances, and systems that hear nothing, stand or copy."""

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
from infinitedance.dataset_builder.manifest import BuiltClip
from infinitedance.evaluation.measures import MIN_TEMPO_DIFFERENCE, MeasuredDance, Song
from infinitedance.evaluation.metrics.physics import mean_joint_speed
from infinitedance.motion.features import features_to_motion
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor

from ..held_out import ReportData

NOISE_SMOOTHING_SECONDS = 1 / 6
NOISE_RADIANS = 0.2
NOISE_METRES = 0.2
NUM_NOISE_TAKES = 3


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


def known_song(name: str, bpm: float, genre: str, num_frames: int) -> Song:
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
    """The systems of docs/metrics.md on the held-out songs.

    Args:
        data: Model, songs and generated dances.
    """

    def __init__(self, data: ReportData):
        self.data = data

    @cached_property
    def bpm(self) -> dict[str, float]:
        """True tempo of every clip that has one."""
        return {clip.clip_id: clip.bpm for clip in self.data.clips.clips if clip.bpm is not None}

    def positions(self, clip: BuiltClip) -> np.ndarray:
        """Return the joints of a built dance on our body, `(frames, 22, 3)`, metres."""
        features = torch.from_numpy(np.array(self.data.clips.motion_features(clip)))
        return put_on_floor(features_to_motion(features)).joint_positions().astype(np.float64)

    @cached_property
    def songs(self) -> list[Song]:
        """The held-out songs."""
        return [known_song(song.clip.clip_id, song.bpm, song.clip.genre, song.num_frames) for song in self.data.songs]

    @cached_property
    def real(self) -> System:
        """The real dance to each song."""
        return self.systems[0]

    @cached_property
    def systems(self) -> list[System]:
        """Real dances, the model's, and all baselines."""
        systems = {name: self.system(name, takes) for name, takes in self.motions.items()}
        systems["shuffled"] = self._shuffled(self.motions["real"][0])
        return [systems[name] for name in ("real", "model", "shuffled", "copy", "frozen", "noise")]

    @cached_property
    def motions(self) -> dict[str, list[list[Motion]]]:
        """For each system but the shuffled one its takes: a dance for each held-out song."""
        real = [song.real.motion for song in self.data.songs]
        noise = [
            [noise_dance(motion, 1000 * take + index) for index, motion in enumerate(real)]
            for take in range(NUM_NOISE_TAKES)
        ]
        generated = [[dances[seed].motion for dances in self.data.dances] for seed in self.data.seeds]
        return {
            "real": [real],
            "model": generated,
            "copy": [self._nearest_by_music()],
            "frozen": [[frozen_pose(motion) for motion in real]],
            "noise": noise,
        }

    def system(self, name: str, takes: Sequence[Sequence[Motion]]) -> System:
        """Return a system from its dances: for each take one for each held-out song."""
        genres = [song.clip.genre for song in self.data.songs]
        return System(
            name,
            [
                [
                    MeasuredDance(song.name, motion.joint_positions().astype(np.float64), song, genre)
                    for song, genre, motion in zip(self.songs, genres, take, strict=True)
                ]
                for take in takes
            ],
        )

    def _shuffled(self, real: Sequence[Motion]) -> System:
        """Dance each song's dance to the other songs; where the tempo is nearly the same, without music."""
        num_songs = len(real)
        takes = self.system(
            "", [[real[(index + shift) % num_songs] for index in range(num_songs)] for shift in range(1, num_songs)]
        ).takes
        return System(
            "shuffled",
            [
                [
                    dance if _differ(song, self.songs[(index + shift) % num_songs]) else replace(dance, song=None)
                    for index, (song, dance) in enumerate(zip(self.songs, take, strict=True))
                ]
                for shift, take in enumerate(takes, start=1)
            ],
        )

    def _nearest_by_music(self) -> list[Motion]:
        """Copy, for each song, the training dance whose music is most like it, among those that are long enough."""
        clips = [clip for clip in self.data.training_clips if not clip.is_mirrored]
        described = np.array([describe_music(self.data.clips.music_features(clip)) for clip in clips])
        mean, deviation = described.mean(axis=0), described.std(axis=0) + 1e-9
        copies = []
        for song in self.data.songs:
            query = (describe_music(song.music) - mean) / deviation
            distances = np.linalg.norm((described - mean) / deviation - query, axis=1)
            distances[[clip.num_frames < song.num_frames for clip in clips]] = np.inf
            if not np.isfinite(distances).any():
                raise ValueError(f"No training dance is as long as {song.clip.clip_id}: lower `--max_seconds`.")
            features = self.data.clips.motion_features(clips[int(distances.argmin())])[: song.num_frames]
            copies.append(put_on_floor(features_to_motion(torch.from_numpy(np.array(features)))))
        return copies


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
