"""Stills with a skeleton over them."""

import numpy as np
import pytest

from infinitedance.capture.report_page import render_capture_page
from infinitedance.capture.stills import COLORS, TILE_SIZE, draw_still, join_stills, still_frames
from infinitedance.motion.skeleton import JOINT_INDEX, neutral_skeleton


@pytest.fixture
def joints() -> np.ndarray:
    """A body that stands in the middle of a picture of 640 x 480 and looks at us: its left is on the right."""
    skeleton = neutral_skeleton()
    positions = np.zeros((22, 3))
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            positions[joint] = positions[parent] + skeleton.offsets[joint]
    return np.array([320, 240]) + positions[:, :2] * [150, -150]


def has_color(tile: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(tile.astype(int) - color).max(axis=-1) < 30).any(axis=0)


def test_left_and_right_have_their_colors(joints):
    tile = draw_still(np.full((480, 640, 3), 90, np.uint8), joints)
    assert tile.shape == (TILE_SIZE[1], TILE_SIZE[0], 3)
    left, right = (np.flatnonzero(has_color(tile, COLORS[side])).mean() for side in ("left", "right"))
    is_left_on_the_right = joints[JOINT_INDEX["left_hip"], 0] > joints[JOINT_INDEX["right_hip"], 0]
    assert (left > right) == is_left_on_the_right


def test_the_left_is_blue_and_the_right_orange_in_stills_and_their_legend():
    left, right = (COLORS[side] for side in ("left", "right"))
    assert left[2] == max(left) and right[0] == max(right)
    page = render_capture_page([], {})
    assert f".left i {{ background: rgb{left}; }}" in page
    assert f".right i {{ background: rgb{right}; }}" in page


def test_a_skeleton_outside_the_picture_is_drawn_on_gray(joints):
    tile = draw_still(np.full((480, 640, 3), 90, np.uint8), joints + [2000, 0])
    assert (tile[0, 0] == 40).all()
    assert has_color(tile, COLORS["left"]).any()


def test_stills_stand_in_the_order_of_their_frames(joints):
    tile = draw_still(np.full((480, 640, 3), 90, np.uint8), joints)
    dark = np.zeros_like(tile)
    assert join_stills({5: tile, 1: dark}) == join_stills({1: dark, 5: tile})
    assert join_stills({5: tile, 1: dark})[:2] == b"\xff\xd8"


@pytest.mark.parametrize(("count", "size"), [(8, (560, 840)), (3, (280, 630)), (5, (560, 840)), (1, (280, 210))])
def test_stills_stand_in_rows_of_four(count, size):
    import cv2

    tile = np.zeros((TILE_SIZE[1], TILE_SIZE[0], 3), np.uint8)
    picture = cv2.imdecode(np.frombuffer(join_stills(dict.fromkeys(range(count), tile)), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == size


def test_stills_are_spread_over_a_clip_and_a_short_one_has_fewer():
    assert still_frames(80) == [5, 15, 25, 35, 45, 55, 65, 75]
    assert still_frames(3) == [0, 1, 2]
