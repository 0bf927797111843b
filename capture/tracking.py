"""Who is who from picture to picture: several people of one shot, each followed with an estimator of landmarks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from .blazepose import Detection, Landmarks, Region
from .landmarks import LANDMARK_INDEX

DETECTION_INTERVAL = 10
"""Pictures between two looks for further people, where nobody is lost."""
MAX_PEOPLE = 6
"""Followed at a time."""
MAX_GAP_SECONDS = 1.0
"""A person who is lost for longer is another person when somebody is found."""
SAME_PLACE = 0.08
"""Mean distance of landmarks, in sides of the region (about 2.2 m): closer ones are of the same person."""
SAME_HIPS = 0.06
"""The same for the middles of the hips: a second look may take left for right, or head for feet."""
APART = 0.5
"""Distance of the centers of two regions, in sides: people who are farther apart do not hide each other."""
MIN_WINDOW = 100
"""Pixels; smaller parts of a picture show nothing that the whole does not."""
WIDE = 1.3
"""Width over height of a picture from which on squares of it are looked at, too, which show people larger."""
REACH, REACH_PER_SECOND = 0.5, 1.5
"""How far from where a person was lost the person may be found, in sides of the region: at once, and later."""
MAX_GROWTH = 1.8
"""Of a region from one picture to another in which the person is found."""
PAINT_MARGIN = 0.1
"""Around a person who is painted over, in the person's height."""
COLOR_WEIGHT = 1.5
"""Of a difference of colors from 0 to 1 against a distance in sides of the region."""
EXCHANGE_MARGIN = 0.08
"""By how much it must fit better, in the same measure, to say that two people were exchanged."""
SPEED_PICTURES = 5
"""That a speed is measured over."""
MAX_AHEAD_SECONDS = 0.5
"""A person is not expected to go on with the same speed for longer."""
COLOR_RATE = 0.05
"""How fast the remembered colors of a person follow those that are seen."""
_TORSO = [LANDMARK_INDEX[f"{side}_{part}"] for part in ("shoulder", "hip") for side in ("left", "right")]
_LEGS = [LANDMARK_INDEX[f"{side}_{part}"] for part in ("hip", "knee") for side in ("left", "right")]
_ANKLES = [LANDMARK_INDEX[f"{side}_ankle"] for side in ("left", "right")]
_MIXES = np.stack([np.outer((1 - v, v), (1 - h, h)).ravel() for v in (0.2, 0.4, 0.6) for h in (0.3, 0.5, 0.7)])


class Estimator(Protocol):
    """What finds people and their landmarks, as `BlazePose` does."""

    def detect(self, picture: np.ndarray) -> list[Detection]:
        """Find people in `(height, width, 3)` uint8, the surest first."""

    def landmarks(self, picture: np.ndarray, region: Region) -> Landmarks | None:
        """Find the landmarks of the person in a region."""


@dataclass(eq=False)
class Person:
    """One person of a shot.

    Args:
        seconds: When the person was seen.
        found: What was seen then.
        colors: Of the clothes, `(2, 3)`, 0 to 1: torso, thighs.
        last_colors: The same where the person was last seen, alone or not.
        contest: Who was found in the same place when this person was lost, and how often that one had been seen then.
    """

    seconds: list[float]
    found: list[Landmarks]
    colors: np.ndarray
    last_colors: np.ndarray
    is_lost: bool = False
    contest: tuple[Person, int] | None = None

    @property
    def region(self) -> Region:
        """Where to look for the person."""
        return self.found[-1].next_region

    def expected(self, seconds: float, num_seen: int | None = None) -> np.ndarray:
        """Return where the center of the region should be, `(2,)`: it goes on as fast as it last went, for a while.

        Args:
            seconds: When.
            num_seen: Judge by the first so many times that the person was seen; all by default.
        """
        last = (len(self.found) if num_seen is None else num_seen) - 1
        here, first = center(self.found[last].next_region), max(0, last - SPEED_PICTURES)
        passed = self.seconds[last] - self.seconds[first]
        if passed <= 0:
            return here
        speed = (here - center(self.found[first].next_region)) / passed
        return here + speed * min(seconds - self.seconds[last], MAX_AHEAD_SECONDS)


class PeopleTracker:
    """Follows the people of one shot.

    Args:
        estimator: Finds people and landmarks.
    """

    def __init__(self, estimator: Estimator):
        self._estimator = estimator
        self._active: list[Person] = []
        self._people: list[Person] = []
        self._until_detection = 0

    @property
    def people(self) -> list[Person]:
        """Everybody who was seen, in the order of first sight."""
        return [person for person in self._people if person.found]

    @property
    def visible(self) -> list[Landmarks]:
        """What was seen of each person in the last picture."""
        return [person.found[-1] for person in self._active if not person.is_lost]

    def add(self, seconds: float, picture: np.ndarray) -> None:
        """Look at the next picture.

        Args:
            seconds: Its time.
            picture: `(height, width, 3)` uint8.
        """
        self._active = [each for each in self._active if seconds - each.seconds[-1] <= MAX_GAP_SECONDS]
        seen: dict[int, Landmarks] = {}
        for index, person in enumerate(self._active):
            landmarks = None if person.is_lost else self._estimator.landmarks(picture, person.region)
            if landmarks is not None and is_in_picture(landmarks, picture):
                seen[index] = landmarks
        colors = {index: clothes(picture, landmarks) for index, landmarks in seen.items()}
        self._part_contested(seconds, seen, colors)
        for index, person in enumerate(self._active):
            person.is_lost = index not in seen
            if index in seen:
                _append(person, seconds, seen[index], colors[index])
        for index in seen:
            lost = self._lost_person(seconds, seen[index], colors[index])
            if lost is not None and len(self._active[index].found) > 1:
                _hand_over(self._active[index], lost)
        for index in seen:
            if not self._active[index].is_lost and self._is_alone(index):
                _remember(self._active[index])
        self._until_detection -= 1
        is_due = self._until_detection < 0
        if is_due:
            self._until_detection = DETECTION_INTERVAL
        if is_due or not self._active or any(each.is_lost for each in self._active):
            self._look_around(seconds, picture, thoroughly=is_due)

    def _part_contested(self, seconds: float, seen: dict[int, Landmarks], colors: dict[int, np.ndarray]) -> None:
        """Where two people were found in one place, let it be that of the one whom it fits; the other is lost."""
        for first in sorted(seen):
            for second in sorted(seen):
                if second <= first or first not in seen or second not in seen:
                    continue
                if not is_same(seen[first], seen[second]):
                    continue
                costs = [_cost(self._active[i], seconds, seen[i], colors[i]) for i in (first, second)]
                loser, winner = (second, first) if costs[0] <= costs[1] else (first, second)
                self._active[loser].contest = (self._active[winner], len(self._active[winner].found))
                del seen[loser]

    def _is_alone(self, index: int) -> bool:
        """Return whether nobody is so near, or was, that colors could be somebody else's."""
        person = self._active[index]
        return all(
            other is person
            or (_gap(person.region, other.region) > APART and not (other.is_lost and _was_contested(other, person)))
            for other in self._active
        )

    def _look_around(self, seconds: float, picture: np.ndarray, thoroughly: bool) -> None:
        """Find people who are new or were lost: those who are known are painted over, and then those who are found."""
        left = picture.copy()
        for person in self._active:
            if not person.is_lost:
                paint_over(left, person.found[-1])
        for columns, rows in windows(picture, nobody=not self._active) if thoroughly else windows(picture)[:1]:
            for _ in range(MAX_PEOPLE):
                detections = self._estimator.detect(left[rows, columns])
                found = [moved(each.region, columns.start, rows.start) for each in detections]
                if not any([self._welcome(seconds, picture, region, left) for region in found]):
                    break

    def _welcome(self, seconds: float, picture: np.ndarray, region: Region, left: np.ndarray) -> bool:
        """Take up the person in a region; return whether somebody was there who was not known."""
        visible = [person for person in self._active if not person.is_lost]
        if len(visible) >= MAX_PEOPLE:
            return False
        landmarks = self._estimator.landmarks(picture, region)
        if landmarks is None or not is_in_picture(landmarks, picture):
            return False
        paint_over(left, landmarks)
        if any(is_same(landmarks, person.found[-1]) for person in visible):
            return False
        colors = clothes(picture, landmarks)
        person = self._lost_person(seconds, landmarks, colors)
        if person is None and any(is_within(landmarks, each.found[-1]) for each in visible):
            return False
        if person is None:
            person = Person([seconds], [landmarks], colors, colors)
            self._active.append(person)
            self._people.append(person)
            return True
        _append(person, seconds, landmarks, colors)
        person.is_lost = False
        if person.contest is not None:
            undo_exchange(person, *person.contest)
            person.contest = None
        return True

    def _lost_person(self, seconds: float, landmarks: Landmarks, colors: np.ndarray) -> Person | None:
        """Return the lost person whom landmarks fit best, if any."""
        best: tuple[float, Person] | None = None
        for person in self._active:
            if not person.is_lost:
                continue
            gap = seconds - person.seconds[-1]
            size = max(person.region.size, landmarks.next_region.size)
            growth = size / min(person.region.size, landmarks.next_region.size)
            far = float(np.linalg.norm(center(landmarks.next_region) - person.expected(seconds))) / size
            if far > REACH + REACH_PER_SECOND * gap or growth > MAX_GROWTH:
                continue
            cost = _cost(person, seconds, landmarks, colors)
            if best is None or cost < best[0]:
                best = cost, person
        return None if best is None else best[1]


def center(region: Region) -> np.ndarray:
    """Return the center of a region, `(2,)`, pixels."""
    return np.array([region.x, region.y])


def is_same(first: Landmarks, second: Landmarks) -> bool:
    """Return whether landmarks are of one person: they, or the middles of the hips, are where the others are."""
    size = min(first.next_region.size, second.next_region.size)
    far = np.linalg.norm(first.image_points - second.image_points, axis=-1).mean()
    is_near = _gap(first.next_region, second.next_region) < SAME_HIPS
    return bool(far < SAME_PLACE * size) or is_near


def is_within(first: Landmarks, second: Landmarks) -> bool:
    """Return whether the middle of the hips of one is among the landmarks of another: arms, taken for a person."""
    low, high = second.image_points.min(axis=0), second.image_points.max(axis=0)
    middle = first.image_points[_TORSO[2:]].mean(axis=0)
    return bool(((low <= middle) & (middle <= high)).all())


def is_in_picture(landmarks: Landmarks, picture: np.ndarray) -> bool:
    """Return whether the middle of the hips or of the shoulders is in the picture."""
    height, width = picture.shape[:2]
    pairs = landmarks.image_points[_TORSO].reshape(2, 2, 2).mean(axis=1)
    return bool(((pairs >= 0) & (pairs < (width, height))).all(axis=-1).any())


def windows(picture: np.ndarray, nobody: bool = False) -> list[tuple[slice, slice]]:
    """Return the columns and rows of the parts to look at, beginning with the whole.

    Args:
        picture: `(height, width, 3)`.
        nobody: Look for small people, too.
    """
    height, width = picture.shape[:2]
    squares = [0, (width - height) // 2, width - height] if width > WIDE * height else []
    parts = [(slice(0, width), slice(0, height)), *((slice(x, x + height), slice(0, height)) for x in squares)]
    side = min(height, width) // 2
    if nobody and side >= MIN_WINDOW:
        starts = [np.linspace(0, size - side, math.ceil(1.5 * size / side)).astype(int) for size in (width, height)]
        parts += [(slice(x, x + side), slice(y, y + side)) for y in starts[1] for x in starts[0]]
    return parts


def moved(region: Region, columns: int, rows: int) -> Region:
    """Return a region so many pixels further right and down."""
    return replace(region, x=region.x + columns, y=region.y + rows)


def paint_over(picture: np.ndarray, landmarks: Landmarks) -> None:
    """Paint gray over a person from head to foot, without the arms; the picture is changed."""
    points = landmarks.image_points[[0, *_TORSO, *_LEGS, *_ANKLES]]
    margin = PAINT_MARGIN * np.ptp(points, axis=0).max()
    left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
    right, bottom = np.maximum(points.max(axis=0) + margin, 0).astype(int)
    picture[top:bottom, left:right] = 128


def clothes(picture: np.ndarray, landmarks: Landmarks) -> np.ndarray:
    """Return the median colors of torso and thighs, `(2, 3)`, 0 to 1."""
    height, width = picture.shape[:2]
    found = []
    for corners in (_TORSO, _LEGS):
        points = _MIXES @ landmarks.image_points[corners]
        columns = np.clip(points[:, 0], 0, width - 1).astype(int)
        rows = np.clip(points[:, 1], 0, height - 1).astype(int)
        found.append(np.median(picture[rows, columns], axis=0) / 255)
    return np.stack(found)


def _gap(first: Region, second: Region) -> float:
    """Return the distance of two regions, in sides of the larger."""
    return float(np.linalg.norm(center(first) - center(second))) / max(first.size, second.size)


def _color_difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


def _cost(person: Person, seconds: float, landmarks: Landmarks, colors: np.ndarray) -> float:
    """Return how little landmarks fit a person: by where the person should be, and by colors."""
    far = np.linalg.norm(center(landmarks.next_region) - person.expected(seconds)) / person.region.size
    return float(far) + COLOR_WEIGHT * _color_difference(person.colors, colors)


def _append(person: Person, seconds: float, landmarks: Landmarks, colors: np.ndarray) -> None:
    person.seconds.append(seconds)
    person.found.append(landmarks)
    person.last_colors = colors


def _hand_over(holder: Person, lost: Person) -> None:
    """Where a person was just seen in the colors of a lost one, it was the lost one, and the other is lost."""
    colors = holder.last_colors
    fits = [_color_difference(person.colors, colors) for person in (lost, holder)]
    if COLOR_WEIGHT * (fits[1] - fits[0]) <= EXCHANGE_MARGIN:
        return
    _append(lost, holder.seconds.pop(), holder.found.pop(), colors)
    lost.is_lost, lost.contest = False, None
    holder.is_lost, holder.contest = True, (lost, len(lost.found))


def _remember(person: Person) -> None:
    person.colors = person.colors + COLOR_RATE * (person.last_colors - person.colors)


def _was_contested(lost: Person, person: Person) -> bool:
    return lost.contest is not None and lost.contest[0] is person


def undo_exchange(person: Person, other: Person, num_seen: int) -> None:
    """Exchange what was seen of two people since one was lost where both were, if it then fits better.

    By colors, and by how they went before, the less the longer one was lost.

    Args:
        person: Who was lost and has just been found.
        other: Who was found where both were.
        num_seen: How often the other had been seen until then, at least once.
    """
    if len(other.found) <= num_seen:
        return
    now, before = person.seconds[-1], len(person.found) - 1
    places = np.array([center(each.found[-1].next_region) for each in (person, other)])
    expected = np.array([person.expected(now, before), other.expected(now, num_seen)])
    trust = max(0.0, 1 - (now - person.seconds[-2]) / MAX_GAP_SECONDS) / person.region.size
    costs = []
    for seen, order in (((person, other), [0, 1]), ((other, person), [1, 0])):
        far = np.linalg.norm(places[order] - expected, axis=1).sum() * trust
        off = sum(
            _color_difference(each.colors, who.last_colors) for each, who in zip((person, other), seen, strict=True)
        )
        costs.append(far + COLOR_WEIGHT * off)
    if costs[1] + EXCHANGE_MARGIN >= costs[0]:
        return
    seconds, found = person.seconds.pop(), person.found.pop()
    person.seconds += other.seconds[num_seen:]
    person.found += other.found[num_seen:]
    other.seconds[num_seen:], other.found[num_seen:] = [seconds], [found]
    person.last_colors, other.last_colors = other.last_colors, person.last_colors
