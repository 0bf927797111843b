"""End a dance: a pose on the last downbeat, or a dance that fades to rest."""

from __future__ import annotations

import numpy as np
import torch

from ..features import facing_heading
from ..kinematics import yaw_to_matrix
from ..motion import Motion
from .blending import joined, move_to_go_on, sample_at, take, with_contacts_like
from .resting import PoseQualities, held, pose_qualities, settle, slowed_frames, stand, steadiest_foot

END_STYLES = ("pose", "fade", "none")
_EASE_SECONDS = 0.8
_STANCE_SECONDS = 0.2
_SETTLE_SECONDS = 0.6
_SPEED_COST = 0.5
_REACH_GAIN = 4.0
_AWAY_METRES = 0.15
_OTHER_FOOT_COST = 1.0


def check_ending(ending: str, stage_radius: float | None) -> None:
    """Raise `ValueError` for an ending or a stage that no dance can have."""
    if ending not in END_STYLES:
        raise ValueError(f"`ending` must be one of {', '.join(END_STYLES)}, got {ending!r}.")
    if stage_radius is not None and not (np.isfinite(stage_radius) and stage_radius > 0):
        raise ValueError(f"`stage_radius` must be a positive number of metres, got {stage_radius}.")


def end_pose(motion: Motion, end_seconds: float, style: str = "pose", *, bar_seconds: float = 2.0) -> Motion:
    """Give a dance an ending.

    Args:
        motion: A dance on the floor y = 0.
        end_seconds: When the dance is to end: the last downbeat of its song.
        style: `"pose"`: the dancer arrives there in a pose and holds it to the end of the motion. It is one of the
            dance, at most a bar away: in balance, arms away from the body, a moment of rest, not far from where the
            dancer is. `"fade"`: the dance slows down to rest over the bar before. `"none"`: as it is.
        bar_seconds: Length of a bar.

    Returns:
        As many frames; unchanged up to 0.8 s, or a bar, before the end.

    Raises:
        ValueError: If the style is another one, the end lies outside the motion, or the bar is not positive.
    """
    if style not in END_STYLES:
        raise ValueError(f"`style` must be one of {', '.join(END_STYLES)}, got {style!r}.")
    _check_time("end_seconds", end_seconds, motion)
    if not (np.isfinite(bar_seconds) and bar_seconds > 0):
        raise ValueError(f"`bar_seconds` must be a positive number of seconds, got {bar_seconds}.")
    if style == "none":
        return motion
    if style == "fade":
        return fade_to_rest(motion, max(0.0, end_seconds - bar_seconds), end_seconds)
    end = min(round(end_seconds * motion.frame_rate), motion.num_frames - 1)
    bar = max(1, round(bar_seconds * motion.frame_rate))
    return with_contacts_like(_ended_in_pose(motion, end, bar), motion)


def _ended_in_pose(motion: Motion, end: int, bar: int) -> Motion:
    """Arrive in a pose in frame `end`, from within `bar` frames of it."""
    ease = min(end, round(_EASE_SECONDS * motion.frame_rate))
    dance = sample_at(motion, slowed_frames(end - ease, end - ease / 2, ease + 1))
    last = take(dance, [-1])
    foot = steadiest_foot(motion, end - ease // 2, end - ease // 2 + round(_STANCE_SECONDS * motion.frame_rate))
    near = motion.cut(max(0, end - bar), min(motion.num_frames, end + bar + 1))
    goal = take(near, [_best_ending(near, last, foot)])
    pose = stand(move_to_go_on(last, goal, foot)(goal))
    pieces = []
    if end > ease:
        pieces.append(take(motion, np.arange(end - ease)))
    if ease:
        pieces.append(settle(take(dance, np.arange(ease)), pose, ease))
    return joined([*pieces, held(pose, motion.num_frames - end, is_last=True)])


def fade_to_rest(motion: Motion, start_seconds: float, end_seconds: float) -> Motion:
    """Slow a dance down to rest over a span of time, such as the fade-out of its song.

    Args:
        motion: A dance on the floor y = 0.
        start_seconds: Where it begins to slow down.
        end_seconds: Where it stands still, to the end of the motion, in a balanced pose.

    Returns:
        As many frames; unchanged up to the start.

    Raises:
        ValueError: If the times lie outside the motion or in the wrong order.
    """
    _check_time("start_seconds", start_seconds, motion)
    _check_time("end_seconds", end_seconds, motion)
    if end_seconds < start_seconds:
        raise ValueError(f"A fade must end after its start, got {start_seconds} to {end_seconds} s.")
    start = min(round(start_seconds * motion.frame_rate), motion.num_frames - 1)
    end = round(end_seconds * motion.frame_rate)
    num_frames = end - start
    first = start + num_frames // 2
    qualities = pose_qualities(motion.cut(first, min(motion.num_frames, start + num_frames * 2 // 3 + 1)))
    stop = first + int(np.argmin(qualities.cost + _SPEED_COST * _relative(qualities)))
    pose = stand(take(motion, [stop]))
    pieces = [take(motion, np.arange(start))] if start else []
    if num_frames:
        slowed = sample_at(motion, slowed_frames(start, stop, num_frames))
        pieces.append(settle(slowed, pose, round(_SETTLE_SECONDS * motion.frame_rate)))
    if motion.num_frames > end:
        pieces.append(held(pose, motion.num_frames - end, is_last=True))
    return with_contacts_like(joined(pieces), motion)


def _check_time(name: str, seconds: float, motion: Motion) -> None:
    if not 0 <= seconds <= motion.duration_seconds:
        raise ValueError(
            f"`{name}` must lie within the motion, from 0 to {motion.duration_seconds:.2f} s, got {seconds}."
        )


def _relative(qualities: PoseQualities) -> np.ndarray:
    """Return the speed of each frame as a multiple of their mean, `(frames,)`."""
    return qualities.speed / max(qualities.speed.mean(), 1e-6)


def _best_ending(near: Motion, last: Motion, foot: int) -> int:
    """Return the frame of a dance that serves best as its last pose.

    Args:
        near: The dance about its end.
        last: One frame: how the dancer would stand there without a pose.
        foot: On which the dancer stands then, 0 for the left.
    """
    qualities = pose_qualities(near)
    away = np.linalg.norm(_in_heading(near) - _in_heading(last), axis=-1).mean(axis=1)
    costs = (
        qualities.cost
        + _SPEED_COST * _relative(qualities)
        - _REACH_GAIN * qualities.reach
        + away / _AWAY_METRES
        + _OTHER_FOOT_COST * (qualities.support != foot)
    )
    return int(np.argmin(costs))


def _in_heading(motion: Motion) -> np.ndarray:
    """Return joint positions relative to the root, turned so that the dancer faces +Z, `(frames, 22, 3)`, metres."""
    positions = motion.joint_positions().astype(np.float64)
    to_heading = yaw_to_matrix(torch.from_numpy(-facing_heading(positions, motion.frame_rate))).numpy()
    return (positions - positions[:, :1]) @ to_heading.transpose(0, 2, 1)
