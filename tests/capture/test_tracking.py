"""Who is who in made pictures, whose people are rectangles."""

import numpy as np
import pytest

from infinitedance.capture.tracking import PeopleTracker, Person, _hand_over, undo_exchange

RED, GREEN, BLUE = (220, 40, 40), (40, 200, 40), (40, 40, 220)


def track(finder, pictures, rate=30.0):
    tracker = PeopleTracker(finder)
    for index, picture in enumerate(pictures):
        tracker.add(index / rate, picture)
    return tracker.people


def path(person: Person) -> np.ndarray:
    return np.array([landmarks.next_region.x for landmarks in person.found])


def crossing(picture_of, first, second, frames=90):
    """Return pictures of two people of whom the second, in front, goes left, and the first right."""
    places = np.linspace(60, 260, frames)
    return [picture_of((x, first), (320 - x, second)) for x in places]


def test_a_person_is_one_person_from_first_to_last(finder, picture_of):
    (person,) = track(finder, [picture_of((x, RED)) for x in np.linspace(50, 250, 60)])
    assert len(person.found) == 60
    np.testing.assert_allclose(path(person), np.linspace(50, 250, 60), atol=1)


def test_people_in_other_clothes_who_cross_stay_who_they_are(finder, picture_of):
    people = track(finder, crossing(picture_of, RED, GREEN))
    ways = {tuple(np.round(person.colors[0], 1)): path(person)[-1] - path(person)[0] for person in people}
    assert len(people) == 2
    assert ways[(0.9, 0.2, 0.2)] > 180
    assert ways[(0.2, 0.8, 0.2)] < -180


def test_people_in_the_same_clothes_who_cross_go_on_as_they_went(finder, picture_of):
    people = track(finder, crossing(picture_of, RED, RED))
    assert len(people) == 2
    assert sorted(np.sign(path(person)[-1] - path(person)[0]) for person in people) == [-1, 1]
    assert min(abs(path(person)[-1] - path(person)[0]) for person in people) > 180


def test_a_person_who_is_hidden_for_less_than_a_second_is_the_same(finder, picture_of):
    hidden = [picture_of()] * 20
    people = track(finder, [picture_of((100, RED))] * 40 + hidden + [picture_of((110, RED))] * 40)
    assert [len(person.found) for person in people] == [80]


def test_a_person_who_is_away_for_longer_than_a_second_is_another(finder, picture_of):
    away = [picture_of()] * 40
    people = track(finder, [picture_of((100, RED))] * 40 + away + [picture_of((110, RED))] * 40)
    assert [len(person.found) for person in people] == [40, 40]


def test_a_person_who_comes_later_is_found(finder, picture_of):
    pictures = [picture_of((80, RED))] * 30 + [picture_of((80, RED), (240, BLUE))] * 60
    first, second = track(finder, pictures)
    assert len(first.found) == 90
    assert len(second.found) >= 50


def test_two_detections_of_a_person_are_one_person(finder, picture_of):
    look = finder.detect
    finder.detect = lambda picture: look(picture) * 2
    assert len(track(finder, [picture_of((80, RED))] * 30)) == 1


def test_the_networks_look_once_at_a_person_in_most_pictures(finder, picture_of):
    track(finder, [picture_of((x, RED)) for x in np.linspace(50, 250, 100)])
    assert finder.num_looks < 110


@pytest.mark.parametrize("is_exchanged", [True, False])
def test_what_was_seen_of_the_wrong_person_is_given_back(landmarks_at, is_exchanged):
    colors = {"red": np.full((2, 3), [0.9, 0.1, 0.1]), "blue": np.full((2, 3), [0.1, 0.1, 0.9])}
    places = [landmarks_at(x, x + 30, 40, 140) for x in range(0, 60, 10)]
    now = ("blue", "red") if is_exchanged else ("red", "blue")
    lost = Person([0.0, 0.5], [places[0], places[5]], colors["red"], colors[now[0]])
    other = Person([0.0, 0.1, 0.2, 0.5], places[1:5], colors["blue"], colors[now[1]])
    undo_exchange(lost, other, num_seen=2)
    if is_exchanged:
        assert (lost.seconds, other.seconds) == ([0.0, 0.2, 0.5], [0.0, 0.1, 0.5])
        assert lost.found == [places[0], places[3], places[4]]
        assert other.found == [places[1], places[2], places[5]]
    else:
        assert (lost.seconds, other.seconds) == ([0.0, 0.5], [0.0, 0.1, 0.2, 0.5])


@pytest.mark.parametrize("seen_as", ["lost", "holder"])
def test_a_place_goes_to_the_lost_person_whose_colors_are_seen_there(landmarks_at, seen_as):
    colors = {"lost": np.full((2, 3), [0.9, 0.1, 0.1]), "holder": np.full((2, 3), [0.1, 0.1, 0.9])}
    places = [landmarks_at(x, x + 30, 40, 140) for x in (0, 10, 20)]
    lost = Person([0.0], [places[0]], colors["lost"], colors["lost"], is_lost=True)
    holder = Person([0.0, 0.1], places[1:], colors["holder"], colors[seen_as])
    _hand_over(holder, lost)
    assert lost.is_lost is (seen_as == "holder") and holder.is_lost is (seen_as == "lost")
    assert lost.found == ([places[0], places[2]] if seen_as == "lost" else [places[0]])
    assert len(lost.found) + len(holder.found) == 3
