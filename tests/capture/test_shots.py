"""Cuts of made pictures."""

import numpy as np
import pytest

from infinitedance.capture.shots import Sketch, difference, split_shots
from infinitedance.capture.video_reading import Picture


@pytest.fixture
def scenes() -> list[np.ndarray]:
    """Three pictures that have nothing to do with each other: blocks of color."""
    rng = np.random.default_rng(0)
    return [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8) for _ in range(3)]


def cuts(pictures) -> list[int]:
    made = [Picture(index / 30, pixels) for index, pixels in enumerate(pictures)]
    found = list(split_shots(made))
    assert [picture for picture, _ in found] == made
    return [index for index, (_, is_new) in enumerate(found) if is_new]


def noisy(picture: np.ndarray, count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_a_cut_is_where_the_next_scene_begins(scenes):
    assert cuts([*noisy(scenes[0], 30), *noisy(scenes[1], 30), *noisy(scenes[2], 20)]) == [30, 60]


def test_a_still_has_no_cut(scenes):
    assert cuts(noisy(scenes[0], 40)) == []


def test_a_flash_is_no_cut(scenes):
    pictures = noisy(scenes[0], 40)
    for index in (15, 16, 17):
        pictures[index] = np.full_like(pictures[index], 250)
    assert cuts(pictures) == []


def test_a_light_that_blinks_is_no_cut(scenes):
    dark = (scenes[0] // 8).astype(np.uint8)
    assert cuts([dark if index // 3 % 2 else scenes[0] for index in range(60)]) == []


def test_a_camera_that_turns_fast_makes_no_cut(scenes):
    wide = np.concatenate(scenes, axis=1)
    assert cuts([wide[:, x : x + 160] for x in range(0, 320, 8)]) == []


def test_seconds_of_black_are_a_shot_of_their_own(scenes):
    black = [np.zeros_like(scenes[0])] * 60
    assert cuts([*noisy(scenes[0], 30), *black, *noisy(scenes[0], 30)]) == [30, 90]


def test_a_dancer_who_fills_half_of_the_picture_and_jumps_makes_no_cut(scenes):
    pictures = [scenes[0].copy() for _ in range(40)]
    for index, picture in enumerate(pictures):
        x = 0 if index % 2 else 80
        picture[20:100, x : x + 70] = (200, 30, 30)
    assert cuts(pictures) == []


def test_the_difference_is_0_of_the_same_and_at_most_1(scenes):
    assert difference(Sketch(scenes[0]), Sketch(scenes[0])) == pytest.approx(0, abs=1e-6)
    assert difference(Sketch(np.zeros_like(scenes[0])), Sketch(np.full_like(scenes[0], 255))) <= 1
    assert 0.4 < difference(Sketch(scenes[0]), Sketch(scenes[1])) <= 1


def test_a_picture_of_one_pixel_is_compared(scenes):
    assert cuts([np.zeros((1, 1, 3), np.uint8)] * 8) == []
