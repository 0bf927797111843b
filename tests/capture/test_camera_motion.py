"""A background of made corners that moves in the picture as it does when a camera turns."""

import numpy as np
import pytest

from infinitedance.capture.camera_motion import CameraMotion
from infinitedance.capture.people import track_people

PEOPLE = np.zeros((33, 2), np.float32) + np.linspace([150, 60], [190, 140], 33, dtype=np.float32)


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """A wall with rectangles, much wider than a picture."""
    rng = np.random.default_rng(0)
    wall = np.full((240, 1600, 3), 90, np.uint8)
    for _ in range(400):
        x, y, width, height = rng.integers(0, 1560), rng.integers(0, 220), *rng.integers(8, 40, 2)
        wall[y : y + height, x : x + width] = rng.integers(0, 255, 3)
    return wall


def seen_shifts(room, places, person=None):
    """Return what is found of a camera that looks at `places`, `(x, y)` of the picture in the room."""
    motion = CameraMotion()
    for x, y in places:
        picture = room[y : y + 180, x : x + 320].copy()
        people = []
        if person is not None:
            picture[60:140, 150:190] = person
            people = [PEOPLE]
        motion.add(picture, people)
    return motion.shifts(640)


def test_a_camera_that_stands_still_has_not_moved(room):
    assert not seen_shifts(room, [(200, 20)] * 30, person=255).any()


@pytest.mark.parametrize("speed", [1, 6, 20])
def test_the_background_moves_against_the_turn_of_the_camera_in_pixels_of_the_video(room, speed):
    places = [(speed * step, 10 + step // 4) for step in range(50)]
    expected = -2.0 * (np.array(places) - places[0])  # the video is twice as wide as the pictures
    np.testing.assert_allclose(seen_shifts(room, places), expected, atol=1 + 0.01 * abs(expected).max())


def test_a_camera_that_comes_back_is_where_it_was(room):
    places = [(300 + round(280 * np.sin(step / 30 * np.pi)), 20) for step in range(61)]
    shifts = seen_shifts(room, places)
    assert np.abs(shifts[:, 0]).max() == pytest.approx(560, rel=0.02)
    np.testing.assert_allclose(shifts[-1], 0, atol=8)


def test_a_person_in_the_middle_who_stands_still_in_the_picture_is_not_the_background(room):
    noise = np.random.default_rng(1).integers(0, 255, (80, 40, 3), np.uint8)
    places = [(4 * step, 20) for step in range(40)]
    shifts = seen_shifts(room, places, person=noise)
    np.testing.assert_allclose(shifts[:, 0], -8.0 * np.arange(40), atol=3)


def test_where_nothing_has_corners_nothing_moves():
    assert not seen_shifts(np.full((240, 1600, 3), 90, np.uint8), [(5 * step, 0) for step in range(20)]).any()


def test_tracks_have_the_turn_of_their_own_shot_from_their_first_frame_on(tmp_path, write_pictures, finder, room):
    pictures = []
    for step in range(45):
        picture = room[20:200, 8 * step : 8 * step + 320] // 2 + 60
        picture[:] = picture.mean(axis=-1, keepdims=True)  # only people have colors here
        if step >= 10:
            picture[40:140, 140:180] = (220, 40, 40)
        pictures.append(picture)
    _, (track,) = track_people(write_pictures(tmp_path / "turn.mp4", pictures, np.arange(45) / 30), finder)
    assert track.first_frame >= 10
    np.testing.assert_allclose(track.camera_shifts[:, 0], -8.0 * np.arange(track.num_frames), atol=3)
    part = track.cut(5, 20)
    assert not part.camera_shifts[0].any()
    np.testing.assert_allclose(track.mirror().camera_shifts[:, 0], -track.camera_shifts[:, 0])
