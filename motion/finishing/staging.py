"""Keep a dancer on a stage, with the face to the audience, by other steps: no foot slides for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

from ..features import facing_heading
from ..kinematics import matrix_to_quaternion, quaternion_to_matrix, root_drop, soften_reach, yaw_to_matrix
from ..motion import Motion
from ..skeleton import detect_contacts
from .blending import LEAST_BEND, Feet, feet_of, hip_positions, smoothstep, with_feet, wrapped

FACING_TOLERANCE_DEGREES = 20.0
MAX_TURN_DEGREES_PER_SECOND = 45.0
"""Added to the dance's own turns, while a foot is in the air."""
_RADIUS_SHARE = 0.97
"""Of the stage: the rest is for what is left when the search ends."""
_LEAST_FREEDOM = 1e-5
_STIFFNESS = 200.0
"""Weight of the change of a shift's speed against its speed squared, both a frame: smooth within half a second."""
_MAX_ROUNDS = 300
_LEAST_PULL, _FIRST_PULL = 1e-9, 1e-6
_LEAST_STEP_SECONDS = 0.15
"""No foot makes a step in less: it has not left its place."""
_STANCE_SECONDS = 0.6
_CATCH_UP_SECONDS = 0.4
_REST_SECONDS = 0.4
"""Feet that stand together for less than this are walking."""
_LONG_LEG_SHARE = 0.985
_SOFT_LEG_SHARE = 0.03
_MAX_DROP_METRES = 0.08
_DROP_RADIUS_FRAMES = 5


def keep_on_stage(
    motion: Motion,
    radius_metres: float = 2.0,
    phrase_starts_seconds: Sequence[float] = (),
    *,
    center: tuple[float, float] | None = None,
) -> Motion:
    """Keep the root inside a circle, and turn the dancer to the audience at the starts of phrases.

    The path is turned and shifted ever so slowly, and only while a foot is in the air: steps become shorter, longer,
    or turn a little more. A foot that stands keeps its place and direction; it takes part in what has changed when it
    makes its next step.

    Args:
        motion: A dance on the floor y = 0. Where the root starts is on the stage.
        radius_metres: Of the circle.
        phrase_starts_seconds: When the dancer is to face the audience, which is at +Z, within 20 degrees. The turn is
            spread over the phrase before, at most 45 degrees a second on the mean; where feet do not step so much, it
            stays behind. A dance is turned as a whole for its first phrase. What lies outside the motion is left out.
        center: Of the circle, x and z in metres; where the root starts by default.

    Returns:
        As many frames, with the same contacts; the motion itself if nothing has to change.

    Raises:
        ValueError: If the radius is not positive, a time is not finite, or the dance starts outside of the circle.
    """
    start = motion.root_positions[0, [0, 2]].astype(np.float64)
    middle = start if center is None else np.asarray(center, dtype=np.float64)
    if not (np.isfinite(radius_metres) and radius_metres > 0):
        raise ValueError(f"`radius_metres` must be a positive number of metres, got {radius_metres}.")
    if middle.shape != (2,) or not np.linalg.norm(start - middle) < radius_metres:
        raise ValueError(
            f"A dance must start within {radius_metres} m of `center`, x and z in metres, got {center} for one that "
            f"starts at {start.round(2).tolist()}."
        )
    phrases = _phrase_frames(phrase_starts_seconds, motion)
    feet = feet_of(motion)
    stances = stances_of(feet, motion)
    freedom = _freedom(stances, motion.frame_rate)
    yaw = _facing_yaw(facing_heading(motion.joint_positions(), motion.frame_rate), phrases, freedom, motion.frame_rate)
    path = motion.root_positions[:, [0, 2]].astype(np.float64)
    turned = turned_path(path, yaw)
    new_path = turned + _shift_into_circle(turned - middle, _RADIUS_SHARE * radius_metres, freedom)
    new_path = middle + _cut_to_circle(new_path - middle, radius_metres)
    if not yaw.any() and np.array_equal(new_path, path):
        return motion
    return restepped(motion, feet, stances, yaw, new_path)


def _phrase_frames(phrase_starts_seconds: Sequence[float], motion: Motion) -> list[int]:
    """Return the frames at which phrases start, in order."""
    seconds = np.asarray(phrase_starts_seconds, dtype=np.float64)
    if seconds.ndim != 1 or not np.isfinite(seconds).all():
        raise ValueError(f"`phrase_starts_seconds` must be finite times in seconds, got {phrase_starts_seconds}.")
    frames = np.unique(np.round(seconds * motion.frame_rate).astype(int))
    return frames[(frames >= 0) & (frames < motion.num_frames)].tolist()


def stances_of(feet: Feet, motion: Motion) -> np.ndarray:
    """Return when each foot stands, `(frames, 2)` bool: its ball or its ankle touches."""
    both = np.concatenate([feet.ankles(motion.skeleton), feet.toes], axis=1)
    touches = detect_contacts(both, motion.frame_rate, motion.skeleton.contact_rest_heights)
    stands = touches[:, :2] | touches[:, 2:]
    for side in (0, 1):
        for first, end in runs_of(~stands[:, side]):
            if 0 < first and end < len(stands) and end - first < _LEAST_STEP_SECONDS * motion.frame_rate:
                stands[first:end, side] = True
    return stands


def runs_of(flags: np.ndarray) -> np.ndarray:
    """Return the runs of true flags, `(runs, 2)`: first frame, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2)


def _freedom(stances: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return how freely the path may be changed in each step from frame to frame, `(frames - 1,)`, 0 to 1.

    Not at all where both feet rest, and the less the longer the foot stands that carries.
    """
    lengths = np.zeros(stances.shape)
    for side in (0, 1):
        for first, end in runs_of(stances[:, side]):
            lengths[first:end, side] = (end - first) / frame_rate
    rests = np.zeros(len(stances), dtype=bool)
    for first, end in runs_of(stances[:, 0] & stances[:, 1]):
        rests[first:end] = end - first >= _REST_SECONDS * frame_rate
    free = ~rests / np.maximum(1, lengths.max(axis=1) / _STANCE_SECONDS) ** 2
    free = np.minimum(free, uniform_filter1d(free, 5, mode="nearest"))
    return np.minimum(free[1:], free[:-1])


def _facing_yaw(heading: np.ndarray, phrases: list[int], freedom: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return by how much to turn the dance about the root, `(frames,)`, radians."""
    yaw = np.zeros(len(heading))
    clock = np.concatenate([[0.0], np.cumsum(freedom)]) / frame_rate
    before = None
    for frame in phrases:
        off = float(wrapped(heading[frame] + yaw[frame]))
        excess = np.radians(FACING_TOLERANCE_DEGREES)
        turn = -np.sign(off) * max(0.0, abs(off) - excess)
        if before is None:
            yaw += turn
        else:
            time = clock[frame] - clock[before]
            turn = np.clip(
                turn, -time * np.radians(MAX_TURN_DEGREES_PER_SECOND), time * np.radians(MAX_TURN_DEGREES_PER_SECOND)
            )
            yaw[before:] += turn * smoothstep((clock[before:] - clock[before]) / max(time, 1e-9))
        before = frame
    return yaw


def turned_path(path: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Return a path over the floor, `(frames, 2)`, whose steps are turned, from the same start."""
    steps = np.diff(path, axis=0)
    angles = (yaw[1:] + yaw[:-1]) / 2
    turned = np.stack(
        [
            np.cos(angles) * steps[:, 0] + np.sin(angles) * steps[:, 1],
            np.cos(angles) * steps[:, 1] - np.sin(angles) * steps[:, 0],
        ],
        axis=-1,
    )
    return path[:1] + np.concatenate([np.zeros((1, 2)), np.cumsum(turned, axis=0)])


def _shift_into_circle(path: np.ndarray, radius: float, freedom: np.ndarray) -> np.ndarray:
    """Return the smoothest shift, `(frames, 2)`, that brings a path into a circle about the origin.

    It is 0 in the first frame and has the least sum of its squared speeds, over the freedom, and of its bends. The
    circle's pull on each frame is the multiplier of its constraint; it is found by multiplying: it grows where the
    path is outside, and fades where it is inside.

    Args:
        path: `(frames, 2)`, metres.
        radius: Metres.
        freedom: `(frames - 1,)`, 0 to 1.
    """
    shift = np.zeros_like(path)
    if np.linalg.norm(path, axis=-1).max() <= radius:
        return shift
    num_frames = len(path)
    bands = np.zeros((3, num_frames))
    stiffness = 1 / np.maximum(freedom, _LEAST_FREEDOM)
    bands[0, :-1] += stiffness
    bands[0, 1:] += stiffness
    bands[1, :-1] -= stiffness
    for index, factor in enumerate((1.0, -2.0, 1.0)):
        bands[0, index : index + num_frames - 2] += _STIFFNESS * factor**2
    bands[1, : num_frames - 2] -= 2 * _STIFFNESS
    bands[1, 1 : num_frames - 1] -= 2 * _STIFFNESS
    bands[2, : num_frames - 2] += _STIFFNESS
    bands[0, 0] += 1e6  # starts at 0
    pull = np.full(num_frames, _FIRST_PULL)
    for _ in range(_MAX_ROUNDS):
        pulled = bands.copy()
        pulled[0] += pull
        shift = solveh_banded(pulled, -pull[:, None] * path, lower=True)
        distance = np.linalg.norm(path + shift, axis=-1) / radius
        if distance.max() <= 1 + (1 - _RADIUS_SHARE):
            break
        pull = np.maximum(pull * distance**2, _LEAST_PULL)
    return shift - shift[:1]


def _cut_to_circle(path: np.ndarray, radius: float) -> np.ndarray:
    """Return a path about the origin, `(frames, 2)`, cut to a circle."""
    return path * np.minimum(1, radius / np.maximum(np.linalg.norm(path, axis=-1, keepdims=True), 1e-9))


def restepped(motion: Motion, feet: Feet, stances: np.ndarray, yaw: np.ndarray, new_path: np.ndarray) -> Motion:
    """Move root and feet: the root with its time, each foot with the time at which it stands.

    Args:
        motion: The dance as it was.
        feet: Its feet.
        stances: When each stands, `(frames, 2)`.
        yaw: By how much to turn, `(frames,)`, radians.
        new_path: Of the root over the floor, `(frames, 2)`, metres.
    """
    root_positions = motion.root_positions.astype(np.float64)
    root_positions[:, [0, 2]] = new_path
    rotations = motion.joint_rotations.copy()
    pelvis = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
    rotations[:, 0] = matrix_to_quaternion(yaw_to_matrix(torch.from_numpy(yaw)) @ pelvis).numpy()
    frames = np.arange(motion.num_frames)
    path = motion.root_positions.astype(np.float64) * [1, 0, 1]
    moved_path = root_positions * [1, 0, 1]
    toes, foot_rotations = np.empty_like(feet.toes), np.empty_like(feet.rotations)
    for side in (0, 1):
        times = _own_times(stances[:, side], round(_CATCH_UP_SECONDS * motion.frame_rate))
        turns = yaw_to_matrix(torch.from_numpy(np.interp(times, frames, yaw))).numpy()
        pivot, moved = (
            np.stack([np.interp(times, frames, points[:, axis]) for axis in range(3)], axis=-1)
            for points in (path, moved_path)
        )
        toes[:, side] = moved + (turns @ (feet.toes[:, side] - pivot)[..., None])[..., 0]
        foot_rotations[:, side] = turns @ feet.rotations[:, side]
    placed = Feet(toes, foot_rotations)
    stepped = replace(motion, root_positions=root_positions, joint_rotations=rotations)
    root_positions[:, 1] -= _drop(stepped, motion, placed, feet)
    lowered = replace(stepped, root_positions=root_positions)
    return with_feet(lowered, _within_reach(lowered, motion, placed, feet), LEAST_BEND)


def _own_times(stands: np.ndarray, catch_up_frames: int) -> np.ndarray:
    """Return at which time's move a foot takes part, `(frames,)`: the middle of a stance, in the air its own time.

    Args:
        stands: `(frames,)` bool.
        catch_up_frames: How long it takes at most from the one to the other.
    """
    frames = np.arange(len(stands), dtype=np.float64)
    times = frames.copy()
    for first, end in runs_of(stands):
        times[first:end] = (first + end - 1) / 2
    late = times - frames
    for left, landed in runs_of(~stands):
        ease = min(landed - left + 1, catch_up_frames)
        air = np.arange(left, landed)
        if left > 0:
            times[left:landed] += late[left - 1] * (1 - smoothstep((air - left + 1) / ease))
        if landed < len(stands):
            times[left:landed] += late[landed] * (1 - smoothstep((landed - air) / ease))
    return times


def _drop(stepped: Motion, motion: Motion, placed: Feet, feet: Feet) -> np.ndarray:
    """Return by how much the root must sink where steps have become too long for the legs, `(frames,)`, metres."""
    needs = []
    for dance, at in ((stepped, placed), (motion, feet)):
        hips, ankles = torch.from_numpy(hip_positions(dance)), torch.from_numpy(at.ankles(dance.skeleton))
        length = _LONG_LEG_SHARE * dance.skeleton.leg_length
        drops = [root_drop(hips[:, side], ankles[:, side], length, _MAX_DROP_METRES) for side in (0, 1)]
        needs.append(torch.maximum(*drops).numpy())
    depth = np.maximum(0, needs[0] - needs[1])
    highest = maximum_filter1d(depth, 2 * _DROP_RADIUS_FRAMES + 1, mode="nearest")
    return gaussian_filter1d(highest, _DROP_RADIUS_FRAMES / 2, mode="nearest", radius=_DROP_RADIUS_FRAMES)


def _within_reach(stepped: Motion, motion: Motion, placed: Feet, feet: Feet) -> Feet:
    """Return feet that legs reach without snapping straight: those that get straighter do so ever more slowly."""
    length = motion.skeleton.leg_length
    ways = placed.ankles(motion.skeleton) - hip_positions(stepped)
    wanted = np.linalg.norm(ways, axis=-1)
    before = np.linalg.norm(feet.ankles(motion.skeleton) - hip_positions(motion), axis=-1)
    softened = soften_reach(torch.from_numpy(wanted), length, _SOFT_LEG_SHARE * length).numpy()
    reached = np.maximum(softened, np.minimum(wanted, before))
    return Feet(placed.toes + ways * (reached / wanted - 1)[..., None], placed.rotations)
