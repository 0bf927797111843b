"""Rest in silences: the dancer comes to a stand, holds the pose, and is back in time when the music is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..motion import Motion
from .blending import (
    STAYS,
    FloorMove,
    feet_of,
    joined,
    lead_over,
    move_to_go_on,
    sample_at,
    smoothstep,
    take,
    with_contacts_like,
)
from .resting import PoseQualities, held, pose_qualities, settle, slowed_frames, stand, steadiest_foot

MIN_HOLD_SECONDS = 1.25
"""Shorter spans are danced through: there is no time to stop and to be back."""
MIN_EDGE_SECONDS = 0.5
"""Likewise at the start and at the end of a motion, where one of the two is not needed."""
MIN_DANCE_SECONDS = 1.0
"""Spans that are nearer to each other are one."""
RESUME_SECONDS = 0.5
_EDGE_SECONDS = 0.25
_EARLIEST_STOP_SECONDS, _LATEST_STOP_SECONDS = -0.05, 0.4
"""Which moments of the dance are held, from the start of a span."""
_LEAST_WAY_SECONDS = 0.2
_LEAST_EASE_SECONDS = 0.5
_SETTLE_SECONDS = 0.5
_SPEED_COST = 0.5
_LATE_COST = 0.5
_STANCE_SECONDS = 0.2


@dataclass(frozen=True)
class _Plan:
    """Frames of one rest.

    Args:
        stop: Moment of the dance that is held.
        ease_start: From here on the dance is slowed down.
        hold_start: From here on the pose is held.
        resume_start: From here on the dancer gets going; the end of the motion if the dancer does not.
        end: Back in time.
    """

    stop: int
    ease_start: int
    hold_start: int
    resume_start: int
    end: int


def hold_in_spans(motion: Motion, spans_seconds: Sequence[tuple[float, float]]) -> Motion:
    """Let the dancer rest in spans of time, such as silences.

    At the start of a span, or up to a quarter of a second before, the dance begins to slow down; it stands still after
    0.2 to 0.6 s of the span. The moment that is held is the one near it in which the dancer is most in balance; the
    dancer then stands on both feet, which do not move, and only breathes. In the last half second the dancer gets
    going again and is in time at the end of the span. The dance that follows is moved over the floor as a whole, so
    that it goes on from where the dancer stands, on a foot that stays in its place.

    A span that begins with the motion is held from the first frame, in a pose of the dance that follows. One that ends
    with it is held to the last frame. Spans that overlap or lie less than a second apart are one; what is shorter
    than 1.25 s, or than 0.5 s at the start and the end, is danced through.

    Args:
        motion: A dance on the floor y = 0.
        spans_seconds: Start and end of each, in any order; what lies outside the motion is left out.

    Returns:
        As many frames; those outside the spans are the same poses, moved over the floor.

    Raises:
        ValueError: If a span is not two finite numbers, or ends before it starts.
    """
    spans = _rests(spans_seconds, motion)
    if not spans:
        return motion
    qualities = pose_qualities(motion)
    pieces, cursor, move = [], 0, STAYS
    for start, end in spans:
        plan = _plan(qualities, start, end, motion.num_frames, motion.frame_rate)
        if plan.ease_start > cursor:
            pieces.append(move(take(motion, np.arange(cursor, plan.ease_start))))
        pose = stand(move(take(motion, [plan.stop])))
        if plan.hold_start > plan.ease_start:
            moments = slowed_frames(plan.ease_start, plan.stop, plan.hold_start - plan.ease_start)
            eased = move(sample_at(motion, moments))
            pieces.append(settle(eased, pose, round(_SETTLE_SECONDS * motion.frame_rate)))
        is_last = plan.resume_start >= motion.num_frames
        if plan.resume_start > plan.hold_start:
            pieces.append(held(pose, plan.resume_start - plan.hold_start, is_last=is_last))
        if not is_last:
            resumed, move = _resume(motion, pose, plan)
            pieces.append(resumed)
        cursor = plan.end
    if cursor < motion.num_frames:
        pieces.append(move(take(motion, np.arange(cursor, motion.num_frames))))
    return with_contacts_like(joined(pieces), motion)


def _rests(spans_seconds: Sequence[tuple[float, float]], motion: Motion) -> list[tuple[float, float]]:
    """Return the spans to rest in, in seconds: in order, apart, within the motion, long enough."""
    spans = np.asarray(spans_seconds, dtype=np.float64) if len(spans_seconds) else np.zeros((0, 2))
    if spans.shape[1:] != (2,) or not np.isfinite(spans).all() or (spans[:, 1] < spans[:, 0]).any():
        raise ValueError(f"`spans_seconds` must be pairs of a start and a later end in seconds, got {spans_seconds}.")
    duration = motion.duration_seconds
    merged: list[list[float]] = []
    for start, end in sorted(spans.tolist()):
        start, end = max(0.0, start), min(duration, end)
        if end <= start:
            continue
        if merged and start - merged[-1][1] < MIN_DANCE_SECONDS:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    # By how many ends of the motion it reaches.
    shortest = (MIN_HOLD_SECONDS, MIN_EDGE_SECONDS, 0.0)
    return [(start, end) for start, end in merged if end - start >= shortest[(start == 0) + (end == duration)]]


def _plan(
    qualities: PoseQualities, start_seconds: float, end_seconds: float, num_frames: int, frame_rate: float
) -> _Plan:
    """Choose what is held in a span and when."""
    start, end = round(start_seconds * frame_rate), min(round(end_seconds * frame_rate), num_frames)
    starts_with_motion = start <= _EDGE_SECONDS * frame_rate
    if end >= num_frames - _EDGE_SECONDS * frame_rate:
        end = num_frames
    resume = round(RESUME_SECONDS * frame_rate)
    resume_start = num_frames if end == num_frames else max(0, end - resume)
    if starts_with_motion:
        latest = end - resume // 2 if end < num_frames else resume
        stop = _best_stop(qualities, latest - resume, latest)
        return _Plan(stop, 0, 0, resume_start, end)
    way = min(_LATEST_STOP_SECONDS * frame_rate, (end - start) * 2 / 3)
    stop = _best_stop(qualities, round(start + _EARLIEST_STOP_SECONDS * frame_rate), round(start + way))
    ease_start = max(0, min(start, stop - round(_LEAST_WAY_SECONDS * frame_rate)))
    ease = max(round(_LEAST_EASE_SECONDS * frame_rate), int(np.ceil(1.5 * (stop - ease_start))))
    hold_start = min(ease_start + ease, resume_start)
    return _Plan(stop, ease_start, hold_start, resume_start, end)


def _best_stop(qualities: PoseQualities, first_frame: int, last_frame: int) -> int:
    """Return the frame from the first to the last in which it is easiest to stand still; early ones are better."""
    num_frames = len(qualities.cost)
    first = min(max(0, first_frame), num_frames - 1)
    frames = np.arange(first, min(max(first, last_frame), num_frames - 1) + 1)
    speed = qualities.speed[frames] / max(qualities.speed.mean(), 1e-6)
    late = np.arange(len(frames)) / max(1, len(frames))
    return int(frames[np.argmin(qualities.cost[frames] + _SPEED_COST * speed + _LATE_COST * late)])


def _resume(motion: Motion, pose: Motion, plan: _Plan) -> tuple[Motion, FloorMove]:
    """Return the frames in which the dancer gets going, and how the dance is moved from there on.

    Args:
        motion: The dance, not moved.
        pose: One frame: how and where the dancer rests.
        plan: Of this rest.
    """
    foot = steadiest_foot(motion, plan.end, plan.end + round(_STANCE_SECONDS * motion.frame_rate))
    goal = take(motion, [plan.end])
    move = move_to_go_on(pose, goal, foot)
    num_frames = plan.end - plan.resume_start
    shares = np.arange(num_frames) / num_frames
    dance = move(sample_at(motion, plan.end - num_frames * (1 - shares**2) / 2))
    targets, fixed = feet_of(dance), feet_of(move(goal))
    targets.toes[:, foot] = fixed.toes[:, foot]
    targets.rotations[:, foot] = fixed.rotations[:, foot]
    weights = smoothstep((np.arange(num_frames) + 1) / (num_frames + 1))
    return lead_over(take(pose, [0] * num_frames), dance, weights, targets), move
