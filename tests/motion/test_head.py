"""A head that stays level."""

import math
from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.head import level_head
from infinitedance.motion.skeleton import JOINT_INDEX

SPINE, NECK, HEAD = (JOINT_INDEX[name] for name in ("spine3", "neck", "head"))


def turn(axis, degrees):
    """Quaternion wxyz about an axis, "x", "y" or "z"."""
    half = math.radians(degrees) / 2
    return np.array([math.cos(half), *(math.sin(half) * (axis == each) for each in "xyz")], dtype=np.float32)


@pytest.fixture
def pose(make_moving):
    """A still dance whose joints turn as given."""

    def make(**turns):
        motion = make_moving(num_frames=2)
        rotations = np.zeros_like(motion.joint_rotations)
        rotations[..., 0] = 1
        for name, quaternion in turns.items():
            rotations[:, JOINT_INDEX[name]] = quaternion
        return replace(motion, joint_rotations=rotations)

    return make


def head_axes(motion):
    return motion.joint_frames()[1][0, HEAD]


def test_a_bent_chest_is_made_up_for_half_by_the_neck_and_half_by_the_head(pose):
    level = level_head(pose(spine3=turn("x", 40)))
    np.testing.assert_allclose(head_axes(level), np.eye(3), atol=1e-6)
    for joint in (NECK, HEAD):
        np.testing.assert_allclose(level.joint_rotations[:, joint], [turn("x", -20)] * 2, atol=1e-6)
    np.testing.assert_allclose(level.joint_rotations[:, SPINE], [turn("x", 40)] * 2, atol=1e-6)


def test_a_turn_to_the_side_stays_and_is_shared(pose):
    level = level_head(pose(head=turn("y", 50)))
    for joint in (NECK, HEAD):
        np.testing.assert_allclose(level.joint_rotations[:, joint], [turn("y", 25)] * 2, atol=1e-6)


def test_nodding_and_tilting_are_taken_out(pose):
    for axis in "xz":
        level = level_head(pose(neck=turn(axis, 15), head=turn(axis, 20)))
        np.testing.assert_allclose(head_axes(level), np.eye(3), atol=1e-6)


def test_a_head_that_is_upside_down_keeps_its_own_direction(pose):
    handstand = pose(pelvis=turn("x", 170), head=turn("y", 30))
    np.testing.assert_allclose(head_axes(level_head(handstand)), head_axes(handstand), atol=1e-6)


def test_levelling_fades_without_a_jump_as_the_chest_bends(pose, make_moving):
    bends = np.stack([turn("x", degrees) for degrees in range(180)])
    still = make_moving(num_frames=180)
    rotations = np.tile(turn("x", 0), (180, 22, 1))
    rotations[:, SPINE] = bends
    heights = level_head(replace(still, joint_rotations=rotations)).joint_frames()[1][:, HEAD, 1, 1]
    assert heights[60] == pytest.approx(1, abs=1e-6)
    assert heights[120] == pytest.approx(math.cos(math.radians(120)), abs=1e-6)
    assert np.abs(np.diff(heights)).max() < 0.07  # a chest's own degree is 0.017
    others = [head_axes(level_head(pose(spine3=turn("z", degrees))))[1, 1] for degrees in (-90, 90)]
    assert others[0] == pytest.approx(others[1], abs=1e-6)


def test_all_but_neck_and_head_stays(moving):
    level = level_head(moving)
    others = [joint for joint in range(22) if joint not in (NECK, HEAD)]
    assert np.array_equal(level.joint_rotations[:, others], moving.joint_rotations[:, others])
    assert np.array_equal(level.root_positions, moving.root_positions)
