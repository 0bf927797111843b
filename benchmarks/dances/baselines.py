"""Two dancers without a model: one takes the training dance of the nearest tempo, the other walks a motion graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infinitedance.audio.beats import BeatClock
from infinitedance.motion.features import POSITIONS, VELOCITIES, facing_heading, motion_to_features
from infinitedance.motion.motion import FRAME_RATE, Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor

BLEND_SECONDS = 0.3
PIECE_BARS = 2
NUM_NEIGHBORS = 4
VELOCITY_SECONDS = 0.1
"""A joint that is 1 m/s faster counts like one that is 0.1 m away: what it moves by in three frames."""


@dataclass(frozen=True, eq=False)
class TrainingDance:
    """A dance with its beats.

    Args:
        motion: On our body, at 30 Hz.
        clock: Beats, in seconds from the first frame.
        genre: Genre.
    """

    motion: Motion
    clock: BeatClock
    genre: str

    @property
    def bpm(self) -> float:
        """Median tempo, beats a minute."""
        return 60 / float(np.median(np.diff(self.clock.beat_times_seconds)))

    @property
    def last_beat(self) -> float:
        """Beat phase of the last frame."""
        return float(self.clock.phase(np.array((self.motion.num_frames - 1) / FRAME_RATE)))

    def first_bar(self, beats_per_bar: int) -> float:
        """Return the beat phase of the first bar line in the dance."""
        first_beat = float(self.clock.phase(np.array(0.0)))
        return beats_per_bar * float(np.ceil(first_beat / beats_per_bar - 1e-6))

    def frames_at(self, beat_phase: np.ndarray) -> np.ndarray:
        """Return at which frame the dance is at given beat phases, as fractions, within the dance."""
        beats, index = self.clock.beat_times_seconds, beat_phase + self.clock.first_downbeat_index
        seconds = np.interp(index, np.arange(len(beats)), beats)
        seconds += np.minimum(index, 0) * (beats[1] - beats[0])
        seconds += np.maximum(index - (len(beats) - 1), 0) * (beats[-1] - beats[-2])
        return np.clip(seconds * FRAME_RATE, 0, self.motion.num_frames - 1)

    @cached_property
    def heading(self) -> np.ndarray:
        """Where the dancer faces, `(frames,)`, radians, unwrapped."""
        return facing_heading(self.motion.joint_positions(), FRAME_RATE)

    @cached_property
    def postures(self) -> np.ndarray:
        """Joint positions and velocities in the heading frame, `(frames, 129)`, metres, to be compared."""
        features = motion_to_features(self.motion).numpy()
        return np.concatenate([features[:, POSITIONS], VELOCITY_SECONDS * features[:, VELOCITIES]], axis=1)


@dataclass(frozen=True, eq=False)
class _Piece:
    """A stretch of a dance from one of its bar lines on."""

    dance: TrainingDance
    start_beat: float
    num_beats: float


def retrieve(dances: Sequence[TrainingDance], song: BeatClock, num_frames: int, genre: str, seed: int = 0) -> Motion:
    """Dance the training dance of the genre whose tempo is nearest, warped to the beats of a song, bar on bar.

    One that is too short is followed by those of the next tempos.

    Args:
        dances: Training dances; those of other genres, and those shorter than a bar, are left out.
        song: Beats of the song.
        num_frames: Length of the song, 30 frames a second.
        genre: Genre.
        seed: 0 begins with the nearest tempo, 1 with the next one, and so on.

    Raises:
        ValueError: If no dance of the genre lasts a bar.
    """
    bar = song.beats_per_bar
    pieces = [_whole_bars(dance, bar) for dance in dances if dance.genre == genre]
    pieces = [piece for piece in pieces if piece.num_beats >= bar]
    _check_pieces(pieces, genre)
    song_bpm = 60 / float(np.median(np.diff(song.beat_times_seconds)))
    pieces.sort(key=lambda piece: abs(np.log2(piece.dance.bpm / song_bpm)))
    start, end = _song_span(song, num_frames, bar)
    chosen: list[_Piece] = []
    num_beats = 0.0
    while num_beats <= end - start:
        chosen.append(pieces[(seed + len(chosen)) % len(pieces)])
        num_beats += chosen[-1].num_beats
    return _join(chosen, song, start, num_frames)


def graph(dances: Sequence[TrainingDance], song: BeatClock, num_frames: int, genre: str, seed: int = 0) -> Motion:
    """Dance pieces of two bars, warped to the beats of a song, each followed by one of the four that fit it best.

    Fit is the distance of pose and velocity between what follows a piece in its own dance and the start of the next.

    Args:
        dances: Training dances; those of other genres, and those shorter than two bars, are left out.
        song: Beats of the song.
        num_frames: Length of the song, 30 frames a second.
        genre: Genre.
        seed: Of the draws.

    Raises:
        ValueError: If no dance of the genre lasts two bars.
    """
    length = PIECE_BARS * song.beats_per_bar
    pieces = []
    for dance in dances:
        if dance.genre == genre:
            whole = _whole_bars(dance, song.beats_per_bar)
            starts = np.arange(0, whole.num_beats - length + 1e-6, song.beats_per_bar)
            pieces += [_Piece(dance, whole.start_beat + start, length) for start in starts]
    _check_pieces(pieces, genre)
    begins, ends = (_postures_at(pieces, offset) for offset in (0, length))
    random = np.random.default_rng(seed)
    start, end = _song_span(song, num_frames, length)
    walk = [int(random.integers(len(pieces)))]
    while len(walk) * length <= end - start:
        distances = np.linalg.norm(begins - ends[walk[-1]], axis=1)
        walk.append(int(random.choice(np.argsort(distances, kind="stable")[:NUM_NEIGHBORS])))
    return _join([pieces[index] for index in walk], song, start, num_frames)


def _whole_bars(dance: TrainingDance, beats_per_bar: int) -> _Piece:
    start = dance.first_bar(beats_per_bar)
    num_bars = max(0, int((dance.last_beat - start) / beats_per_bar + 1e-6))
    return _Piece(dance, start, num_bars * beats_per_bar)


def _check_pieces(pieces: Sequence[_Piece], genre: str) -> None:
    if not pieces:
        raise ValueError(f"There must be a training dance of genre {genre!r} that is long enough, got none.")


def _postures_at(pieces: Sequence[_Piece], offset_beats: float) -> np.ndarray:
    """Return the postures of the dances of pieces, some beats after their starts, `(pieces, 129)`."""
    rows = []
    for piece in pieces:
        frame = piece.dance.frames_at(np.array([piece.start_beat + offset_beats]))[0]
        rows.append(piece.dance.postures[round(frame)])
    return np.stack(rows)


def _song_span(song: BeatClock, num_frames: int, unit_beats: float) -> tuple[float, float]:
    """Return from which beat, a multiple of a unit, to which, that of the last frame, a song is danced."""
    first, last = song.phase(np.array([0, (num_frames - 1) / FRAME_RATE]))
    return unit_beats * float(np.floor(first / unit_beats)), float(last)


def _join(pieces: Sequence[_Piece], song: BeatClock, start_beat: float, num_frames: int) -> Motion:
    """Play pieces one after the other on the beats of a song; each goes on where the one before has got to.

    At a join the piece before goes on for 0.3 s, in which it is blended into the next.
    """
    beats = song.phase(np.arange(num_frames) / FRAME_RATE)
    starts = start_beat + np.cumsum([0.0, *(piece.num_beats for piece in pieces)])
    firsts = np.searchsorted(beats, starts - 1e-9)
    num_blend = round(BLEND_SECONDS * FRAME_RATE)
    roots, rotations, heading = np.zeros((num_frames, 3)), np.zeros((num_frames, 22, 4)), np.zeros(num_frames)
    for piece, start, first, end in zip(pieces, starts, firsts, firsts[1:], strict=False):
        if first == num_frames:
            break
        part = slice(first, min(end + num_blend, num_frames))
        root, rotation, facing = _play(piece, beats[part] - start)
        if first == 0:
            roots[part], rotations[part], heading[part] = root, rotation, facing
            continue
        root, rotation, facing = _placed(root, rotation, facing, roots[first], heading[first])
        weight = np.clip(np.arange(1, len(root) + 1) / (num_blend + 1), 0, 1)
        weight = weight**2 * (3 - 2 * weight)
        roots[part] = roots[part] * (1 - weight)[:, None] + root * weight[:, None]
        rotations[part] = _between(rotations[part], rotation, weight)
        heading[part] = facing
    return put_on_floor(Motion(FRAME_RATE, roots, rotations))


def _play(piece: _Piece, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return root positions, rotations and heading of a piece, some beats after its start."""
    motion = piece.dance.motion
    frames = piece.dance.frames_at(piece.start_beat + beats)
    before = np.minimum(frames.astype(int), max(0, motion.num_frames - 2))
    after, weight = np.minimum(before + 1, motion.num_frames - 1), frames - before
    root = motion.root_positions.astype(np.float64)
    root = root[before] * (1 - weight)[:, None] + root[after] * weight[:, None]
    rotation = _between(motion.joint_rotations[before], motion.joint_rotations[after], weight)
    return root, rotation, np.interp(frames, np.arange(motion.num_frames), piece.dance.heading)


def _placed(
    root: np.ndarray, rotation: np.ndarray, facing: np.ndarray, place: np.ndarray, heading: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn and shift a piece on the floor so that its first frame has a place and a heading."""
    turn = heading - facing[0]
    cosine, sine = np.cos(turn), np.sin(turn)
    x, z = (root - root[0])[:, [0, 2]].T
    moved = np.stack([place[0] + cosine * x + sine * z, root[:, 1], place[2] + cosine * z - sine * x], axis=-1)
    c, s = np.cos(turn / 2), np.sin(turn / 2)  # the quaternion (c, 0, s, 0) times that of the root
    w, i, j, k = rotation[:, 0].T
    turned = rotation.copy()
    turned[:, 0] = np.stack([c * w - s * j, c * i + s * k, c * j + s * w, c * k - s * i], axis=-1)
    return moved, turned, facing + turn


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return normalized means of quaternions `(frames, joints, 4)`: `weight` `(frames,)` is that of the second."""
    second = np.where((first * second).sum(axis=-1, keepdims=True) < 0, -second, second).astype(np.float64)
    mixed = first * (1 - weight)[:, None, None] + second * weight[:, None, None]
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
