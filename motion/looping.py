"""Dances as other tools want them: in place, or as a loop of whole bars whose seam nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .feet.planting import plant_feet
from .finishing.blending import FloorMove, feet_of, joined, lead_over, smoothstep, take
from .finishing.staging import restepped, runs_of, stances_of, turned_path
from .motion import Motion
from .skeleton import CONTACT_JOINTS, NUM_JOINTS

BEAT_KEYS = ("beat_times_seconds", "downbeat_times_seconds")
"""Where the provenance of a dance holds its beats and the first beats of its bars, in seconds from frame 0."""
SONG_START_KEY = "song_start_seconds"
"""Where it holds at what time of the song a loop starts."""
LEAST_BARS, MOST_BARS = 4, 32
"""Of a loop whose length is chosen, if the dance has eight or more; else at least half of what it has."""
MAX_BLEND_SECONDS = 0.8
"""One dance is led into itself over half a bar, or this if it is less: a step with each foot."""
MIN_BLEND_SECONDS = 0.2
_WEIGHTS = np.where(np.isin(np.arange(NUM_JOINTS), CONTACT_JOINTS), 4.0, 1.0)
"""Of the joints where poses are compared: a foot that lands elsewhere has to make a step."""
_FAR_COSINE = np.cos(np.radians(150) / 2)
"""Of half the angle between two turns of a joint, from which on it is chance which way leads from one to the other."""
_TRAVEL_COST, _TURN_COST = 0.05, 0.1
"""Mean distance of joints that a metre of travel and a radian of turning away weigh as much as."""
_SAME_BEAT_SECONDS = 0.001
"""Times that differ by less are those of one beat, whatever they were rounded to."""
_LEAST_STEP_SECONDS = 0.35
"""A foot that the dance lifts for less begins its step before, and ends it after."""


@dataclass(frozen=True)
class Seam:
    """Where a loop starts again, and what would be seen there without and with the blend.

    Jumps are those of the joint that jumps most: how far it is, where the loop leads to at its end, from where it is
    at its start, and how much its velocities there differ, as central differences of either side.

    Args:
        start_seconds: Where the loop starts in the dance.
        first_bar: The same as a bar of the dance, from 1.
        num_bars: Its length.
        blend_seconds: For how long one part of the dance is led over into another.
        leads_at_end: Whether that is at the end of the loop or at its start.
        position_jump_metres: What is left.
        velocity_jump: What is left, m/s.
        cut_position_jump_metres: Of the loop that is only cut, put onto its own start.
        cut_velocity_jump: Likewise, m/s.
        travel_metres: How far the dancer got over the floor in the loop, which is returned.
        turn_degrees: How far the dancer had turned away, likewise.
    """

    start_seconds: float
    first_bar: int
    num_bars: int
    blend_seconds: float
    leads_at_end: bool
    position_jump_metres: float
    velocity_jump: float
    cut_position_jump_metres: float
    cut_velocity_jump: float
    travel_metres: float
    turn_degrees: float


@dataclass(frozen=True)
class _Cut:
    """Part of a dance that may become a loop.

    Args:
        start: Its first frame.
        length: In frames, rounded from whole bars.
        first_bar: From 0.
        num_bars: Its length.
        blend: Frames that are led over.
    """

    start: int
    length: int
    first_bar: int
    num_bars: int
    blend: int

    @property
    def end(self) -> int:
        """Frame of the dance in which the loop starts again."""
        return self.start + self.length

    @property
    def leads_at_end(self) -> bool:
        """Whether its end is led over into what comes before its start, not its start out of what follows its end."""
        return self.start >= self.blend


def in_place(motion: Motion) -> Motion:
    """Return the dance with its root above the origin: height and turns stay, the path over the floor goes."""
    return replace(motion, root_positions=motion.root_positions * np.array([0, 1, 0], dtype=np.float32))


def loop_of_whole_bars(
    motion: Motion, num_bars: int | None = None, from_bar: int | None = None
) -> tuple[Motion, Seam]:
    """Cut a loop of whole bars out of a dance and close it: nothing jumps where it starts again.

    Over half a bar, at most `MAX_BLEND_SECONDS`, the end of the loop is led over into what comes before its start in
    the dance, or its start out of what comes after its end. The way that the dancer gets over the floor, and turns, in
    one pass is returned evenly, by each foot when it steps: no foot that stands slides for it. The last frame is the
    first again: players count a clip from its first key to its last, which are whole bars so, to half a frame.

    Args:
        motion: A dance on the floor y = 0 whose provenance holds `downbeat_times_seconds`.
        num_bars: Length of the loop; by default that with the smallest seam, from four bars, or half of the bars that
            there are if these are less than eight, to 32.
        from_bar: Where it starts, 1 for the first whole bar; by default where the seam is smallest.

    Returns:
        The loop, and its seam.

    Raises:
        ValueError: If the provenance holds no bars, or fewer whole bars than are asked for, or less than half a bar
            is left of the dance before and after the loop.
    """
    downbeats = _downbeats(motion)
    cuts = list(_cuts(motion, downbeats, *_asked(len(downbeats) - 1, num_bars, from_bar)))
    if not cuts:
        raise ValueError(
            f"A loop is led over into what the dance does before or after it, for {MIN_BLEND_SECONDS:g} s at least, "
            "and nothing is left of this dance: ask for fewer bars."
        )
    positions = motion.joint_positions().astype(np.float64)
    velocities = np.gradient(positions, axis=0) * motion.frame_rate
    cuts.sort(key=lambda each: _cost(each, positions, velocities))
    cut = next((each for each in cuts if not _has_opposites(each, motion, positions)), cuts[0])
    move = _move_of(cut, positions)
    passes = _closed(_three_passes(motion, cut, move), cut, move)
    closed_positions = passes.joint_positions().astype(np.float64)
    closed_velocities = np.gradient(closed_positions, axis=0) * motion.frame_rate
    first, last, contacts = cut.length, 2 * cut.length, passes.foot_contacts
    keys = [*range(cut.length), 0]
    loop = replace(
        take(passes, [first + key for key in keys]),
        foot_contacts=None if contacts is None or motion.foot_contacts is None else contacts[first:][keys],
        provenance=_shifted_beats(motion, cut),
    )
    seam = Seam(
        cut.start / motion.frame_rate,
        cut.first_bar + 1,
        cut.num_bars,
        cut.blend / motion.frame_rate,
        cut.leads_at_end,
        _largest(closed_positions[last] - closed_positions[first]),
        _largest(closed_velocities[last] - closed_velocities[first]),
        _largest(positions[cut.end] - _moved(positions[cut.start], move)),
        _largest(velocities[cut.end] - _moved(velocities[cut.start], move, is_position=False)),
        float(np.linalg.norm((positions[cut.end, 0] - positions[cut.start, 0])[[0, 2]])),
        abs(float(np.degrees(move.yaw))),
    )
    return loop, seam


def _downbeats(motion: Motion) -> np.ndarray:
    """Return the times of the first beats of the bars within a dance, at least two, in seconds."""
    times = np.asarray(motion.provenance.get("downbeat_times_seconds") or (), dtype=np.float64)
    if not len(times):
        raise ValueError(
            "A loop of whole bars needs `downbeat_times_seconds` in the dance's provenance, got a dance without: give "
            "the song (`--song`), or make the dance with this version."
        )
    times = times[(times >= 0) & (np.round(times * motion.frame_rate) < motion.num_frames)]
    if len(times) < 2:
        raise ValueError(
            f"A loop needs one whole bar, got a dance of {motion.duration_seconds:.2f} s with {len(times)} downbeats."
        )
    return times


def _asked(bars: int, num_bars: int | None, from_bar: int | None) -> tuple[range, range]:
    """Return the lengths and first bars, from 0, that a loop of a dance of so many bars may have."""
    if from_bar is not None and not 1 <= from_bar <= bars:
        raise ValueError(f"A loop must start with one of the bars 1 to {bars} of the dance, got {from_bar}.")
    starts = range(bars) if from_bar is None else range(from_bar - 1, from_bar)
    left = bars - starts[0]
    if num_bars is None:
        return range(min(LEAST_BARS, max(1, left // 2)), min(MOST_BARS, left) + 1), starts
    if not 1 <= num_bars <= left:
        where = "The dance" if from_bar is None else f"From bar {from_bar} on the dance"
        raise ValueError(f"{where} has {left} whole bars, got {num_bars} for the loop: ask for 1 to {left}.")
    return range(num_bars, num_bars + 1), starts


def _cuts(motion: Motion, downbeats: np.ndarray, lengths: range, starts: range) -> Iterator[_Cut]:
    """Yield what may become a loop: before or after it the dance goes on for long enough to be led over into."""
    frames = np.round(downbeats * motion.frame_rate).astype(int)
    for first in starts:
        for bars in lengths:
            if first + bars >= len(downbeats):
                continue
            length = round((downbeats[first + bars] - downbeats[first]) * motion.frame_rate)
            start = min(int(frames[first]), motion.num_frames - 1 - length)
            wanted = min(round(length / bars / 2), round(MAX_BLEND_SECONDS * motion.frame_rate))
            blend = min(wanted, max(start, motion.num_frames - 1 - start - length))
            if start >= 0 and blend >= min(wanted, round(MIN_BLEND_SECONDS * motion.frame_rate)) and length > 3:
                yield _Cut(start, length, first, bars, blend)


def _move_of(cut: _Cut, positions: np.ndarray) -> FloorMove:
    """Return the move over the floor that best brings the pose at the start of a cut onto that at its end."""
    start, end = positions[cut.start], positions[cut.end]
    centers = [np.average(pose, axis=0, weights=_WEIGHTS) for pose in (start, end)]
    (from_x, _, from_z), (to_x, _, to_z) = (start - centers[0]).T, (end - centers[1]).T
    sine, cosine = to_x * from_z - to_z * from_x, to_x * from_x + to_z * from_z
    return FloorMove.onto(float(np.arctan2((_WEIGHTS * sine).sum(), (_WEIGHTS * cosine).sum())), *centers)


def _inverse(move: FloorMove) -> FloorMove:
    return FloorMove.onto(-move.yaw, move.shift, np.zeros(3))


def _moved(points: np.ndarray, move: FloorMove, is_position: bool = True) -> np.ndarray:
    """Return points `(..., 3)` that are moved over the floor; directions are only turned."""
    cosine, sine = np.cos(move.yaw), np.sin(move.yaw)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return points @ turn.T + (move.shift if is_position else 0)


def _cost(cut: _Cut, positions: np.ndarray, velocities: np.ndarray) -> float:
    """Return how much has to be changed to close a loop, as a mean distance of the joints in metres."""
    move = _move_of(cut, positions)
    jump = np.linalg.norm(_moved(positions[cut.start], move) - positions[cut.end], axis=-1)
    turned = _moved(velocities[cut.start], move, is_position=False)
    velocity_jump = np.linalg.norm(turned - velocities[cut.end], axis=-1)
    travel = np.linalg.norm((positions[cut.end, 0] - positions[cut.start, 0])[[0, 2]])
    # One metre a second weighs as much as a tenth of a metre: what it moves a joint by in three frames.
    jumps = np.average(jump + velocity_jump / 10, weights=_WEIGHTS)
    return float(jumps + _TRAVEL_COST * travel + _TURN_COST * abs(move.yaw))


def _has_opposites(cut: _Cut, motion: Motion, positions: np.ndarray) -> bool:
    """Return whether a joint points to nearly opposite directions in what is led over into each other."""
    frames = np.arange(cut.blend) - (cut.blend if cut.leads_at_end else 0)
    start = _move_of(cut, positions)(take(motion, cut.start + frames))
    cosines = np.abs((start.joint_rotations * motion.joint_rotations[cut.end + frames]).sum(axis=-1))
    return bool(cosines.min() < _FAR_COSINE)


def _three_passes(motion: Motion, cut: _Cut, move: FloorMove) -> Motion:
    """Return three passes of a loop one after the other, as the dancer gets about in them; the second is in its place.

    Args:
        motion: The dance.
        cut: Which part of it.
        move: From the start of the cut to its end.
    """
    start, end, blend = cut.start, cut.end, cut.blend
    weights = smoothstep((np.arange(blend) + 1) / (blend + 1))
    if cut.leads_at_end:
        led = lead_over(
            take(motion, np.arange(end - blend, end)), move(take(motion, np.arange(start - blend, start))), weights
        )
        once = joined([take(motion, np.arange(start, end - blend)), led])
    else:
        after = _inverse(move)(take(motion, np.arange(end, end + blend)))
        led = lead_over(after, take(motion, np.arange(start, start + blend)), weights)
        once = joined([led, take(motion, np.arange(start + blend, end))])
    return joined([_inverse(move)(once), once, move(once)])


def _closed(passes: Motion, cut: _Cut, move: FloorMove) -> Motion:
    """Return three passes that all lead over the same place: way and turn of each are taken back, by other steps."""
    feet = feet_of(passes)
    stances = _with_whole_steps(stances_of(feet, passes), round(_LEAST_STEP_SECONDS * passes.frame_rate))
    blended = np.arange(cut.blend) - (cut.blend if cut.leads_at_end else 0)
    for side in (0, 1):
        if stances[cut.length : 2 * cut.length, side].all():  # it has to go back without a step, then
            stances[(blended[:, None] + cut.length * np.arange(3)) % len(stances), side] = False
    share = np.arange(passes.num_frames) / cut.length - 1
    path = passes.root_positions[:, [0, 2]].astype(np.float64)
    yaw = -move.yaw * share
    turned = turned_path(path, yaw)
    turned += path[cut.length] - turned[cut.length]
    way = turned[2 * cut.length] - turned[cut.length]
    closed = restepped(passes, feet, stances, yaw, turned - way * share[:, None])
    contacts = closed.skeleton.detect_foot_contacts(closed.joint_positions(), closed.frame_rate)
    return plant_feet(replace(closed, foot_contacts=contacts))


def _with_whole_steps(stances: np.ndarray, num_frames: int) -> np.ndarray:
    """Return when each foot stands, `(frames, 2)`, with no step between that lasts for less than some frames."""
    stances = stances.copy()
    for side in (0, 1):
        for left, landed in runs_of(~stances[:, side]):
            missing = max(0, num_frames - (landed - left))
            stances[max(0, left - (missing + 1) // 2) : landed + missing // 2, side] = False
    return stances


def _largest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=-1).max())


def _shifted_beats(motion: Motion, cut: _Cut) -> dict[str, Any]:
    """Count the beats from the loop's first frame: those of its bars, whose frames are rounded, and no other."""
    provenance = dict(motion.provenance)
    first, end = _downbeats(motion)[[cut.first_bar, cut.first_bar + cut.num_bars]] - _SAME_BEAT_SECONDS
    for key in BEAT_KEYS:
        times = np.asarray(provenance.get(key) or ())
        times = times[(times >= first) & (times < end)] - cut.start / motion.frame_rate
        provenance[key] = np.maximum(times, 0).tolist()
    before = provenance.get(SONG_START_KEY)  # of a loop of a loop
    known = before if isinstance(before, int | float) and np.isfinite(before) else 0.0
    provenance[SONG_START_KEY] = known + cut.start / motion.frame_rate
    return provenance
