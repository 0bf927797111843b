"""Who is who from picture to picture: several people of one shot, each followed with an estimator of landmarks."""

from __future__ import annotations

from dataclasses import dataclass
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
SAME_REGION = 0.05
"""Distance of the centers of two regions, in sides: closer ones show the same person."""
APART = 0.5
"""The same: people who are farther apart do not hide each other."""
REACH, REACH_PER_SECOND = 0.5, 1.5
"""How far from where a person was lost the person may be found, in sides of the region: at once, and later."""
MAX_GROWTH = 1.8
"""Of a region from one picture to another in which the person is found."""
COLOR_WEIGHT = 1.5
"""Of a difference of colors from 0 to 1 against a distance in sides of the region."""
COLOR_MARGIN = 0.05
"""By how much colors must fit better to say that two people were exchanged."""
COLOR_RATE = 0.05
"""How fast the remembered colors of a person follow those that are seen."""
_TORSO = [LANDMARK_INDEX[f"{side}_{part}"] for part in ("shoulder", "hip") for side in ("left", "right")]
_LEGS = [LANDMARK_INDEX[f"{side}_{part}"] for part in ("hip", "knee") for side in ("left", "right")]
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

    def expected(self, seconds: float) -> np.ndarray:
        """Return where the center of the region should be, `(2,)`: it goes on as fast as it last went, for a while."""
        here = center(self.region)
        earlier = max(0, len(self.found) - 6)
        passed = self.seconds[-1] - self.seconds[earlier]
        if passed <= 0:
            return here
        speed = (here - center(self.found[earlier].next_region)) / passed
        return here + speed * min(seconds - self.seconds[-1], 0.5)


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
            if self._is_alone(index):
                _remember(self._active[index])
        self._until_detection -= 1
        if self._until_detection < 0 or not self._active or any(each.is_lost for each in self._active):
            self._until_detection = DETECTION_INTERVAL
            self._look_around(seconds, picture)

    def _part_contested(self, seconds: float, seen: dict[int, Landmarks], colors: dict[int, np.ndarray]) -> None:
        """Where two people were found in one place, let it be that of the one whom it fits; the other is lost."""
        for first in sorted(seen):
            for second in sorted(seen):
                if second <= first or first not in seen or second not in seen:
                    continue
                if distance(seen[first], seen[second]) >= SAME_PLACE:
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

    def _look_around(self, seconds: float, picture: np.ndarray) -> None:
        """Find people who are new or were lost."""
        for detection in self._estimator.detect(picture):
            visible = [person for person in self._active if not person.is_lost]
            if len(visible) >= MAX_PEOPLE:
                return
            if any(_gap(person.region, detection.region) < SAME_REGION for person in visible):
                continue
            landmarks = self._estimator.landmarks(picture, detection.region)
            if landmarks is None or not is_in_picture(landmarks, picture):
                continue
            if any(distance(landmarks, person.found[-1]) < SAME_PLACE for person in visible):
                continue
            colors = clothes(picture, landmarks)
            person = self._lost_person(seconds, landmarks, colors)
            if person is None:
                person = Person([seconds], [landmarks], colors, colors)
                self._active.append(person)
                self._people.append(person)
                continue
            _append(person, seconds, landmarks, colors)
            person.is_lost = False
            if person.contest is not None:
                undo_exchange(person, *person.contest)
                person.contest = None

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


def distance(first: Landmarks, second: Landmarks) -> float:
    """Return the mean distance of the landmarks of two people, in sides of the smaller region."""
    size = min(first.next_region.size, second.next_region.size)
    return float(np.linalg.norm(first.image_points - second.image_points, axis=-1).mean()) / size


def is_in_picture(landmarks: Landmarks, picture: np.ndarray) -> bool:
    """Return whether the middle of the hips or of the shoulders is in the picture."""
    height, width = picture.shape[:2]
    pairs = landmarks.image_points[_TORSO].reshape(2, 2, 2).mean(axis=1)
    return bool(((pairs >= 0) & (pairs < (width, height))).all(axis=-1).any())


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


def _remember(person: Person) -> None:
    person.colors = person.colors + COLOR_RATE * (person.last_colors - person.colors)


def _was_contested(lost: Person, person: Person) -> bool:
    return lost.contest is not None and lost.contest[0] is person


def undo_exchange(person: Person, other: Person, num_seen: int) -> None:
    """Exchange what was seen of two people since one was lost where both were, if their colors then fit better.

    Args:
        person: Who was lost and has just been found.
        other: Who was found where both were.
        num_seen: How often the other had been seen until then.
    """
    kept = _color_difference(person.colors, person.last_colors) + _color_difference(other.colors, other.last_colors)
    exchanged = _color_difference(person.colors, other.last_colors)
    exchanged += _color_difference(other.colors, person.last_colors)
    if exchanged + COLOR_MARGIN >= kept or len(other.found) <= num_seen:
        return
    seconds, found = person.seconds.pop(), person.found.pop()
    person.seconds += other.seconds[num_seen:]
    person.found += other.found[num_seen:]
    other.seconds[num_seen:], other.found[num_seen:] = [seconds], [found]
    person.last_colors, other.last_colors = other.last_colors, person.last_colors
