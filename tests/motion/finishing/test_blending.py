from dataclasses import replace

import numpy as np
import pytest

from infinitedance.motion.finishing.blending import (
    TOES,
    Feet,
    FloorMove,
    blend,
    feet_of,
    lead_over,
    move_to_go_on,
    sample_at,
    smoothstep,
    take,
    with_feet,
    wrapped,
)


def test_whole_frames_are_sampled_as_they_are_and_others_lie_between(waltz):
    sampled = sample_at(waltz, np.array([3.0, 3.5, 4.0, 1e9, -1.0]))
    expected = take(waltz, [3, 4, 4, waltz.num_frames - 1, 0])
    whole = [0, 2, 3, 4]
    np.testing.assert_allclose(sampled.root_positions[whole], expected.root_positions[whole], atol=1e-6)
    positions = sampled.joint_positions()
    np.testing.assert_allclose(positions[whole], expected.joint_positions()[whole], atol=1e-5)
    np.testing.assert_allclose(positions[1], (positions[0] + positions[2]) / 2, atol=1e-3)


def test_a_move_over_the_floor_is_rigid_and_brings_a_point_over_another(waltz):
    source, target = waltz.joint_positions()[7, TOES[0]], np.array([2.0, 9.0, -3.0])
    moved = FloorMove.onto(0.7, source, target)(waltz)
    before, after = waltz.joint_positions(), moved.joint_positions()
    np.testing.assert_allclose(after[7, TOES[0]], [2.0, source[1], -3.0], atol=1e-5)
    np.testing.assert_allclose(after[..., 1], before[..., 1], atol=1e-5)
    distances = [np.linalg.norm(points[:, 15] - points[7, 10], axis=-1) for points in (before, after)]
    np.testing.assert_allclose(*distances, atol=1e-5)


def test_feet_that_are_put_where_they_are_change_nothing(waltz):
    same = with_feet(waltz, feet_of(waltz))
    np.testing.assert_allclose(same.joint_positions(), waltz.joint_positions(), atol=1e-4)


def test_feet_go_where_they_are_put_and_the_trunk_stays(waltz):
    feet = feet_of(waltz)
    moved = with_feet(waltz, Feet(feet.toes + [0.01, 0.02, 0.01], feet.rotations))
    np.testing.assert_allclose(feet_of(moved).toes, feet.toes + [0.01, 0.02, 0.01], atol=1e-3)
    others = [0, 3, 9, 15, 20, 21]
    np.testing.assert_allclose(moved.joint_positions()[:, others], waltz.joint_positions()[:, others], atol=1e-5)


def test_the_yaw_of_a_foot_does_not_depend_on_its_pitch(waltz):
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # +Z to +X
    angle = np.radians(40)
    pitch = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    feet = Feet(np.zeros((1, 2, 3)), np.stack([turn, turn @ pitch])[None])
    np.testing.assert_allclose(feet.yaws(), np.radians([[90, 90]]), atol=1e-6)


def test_a_foot_that_stands_in_the_same_place_in_both_motions_does_not_move(waltz):
    pose, goal = take(waltz, [20]), take(waltz, [145])
    moved = move_to_go_on(pose, goal, 0)(goal)
    weights = smoothstep(np.linspace(0, 1, 12))
    led = lead_over(take(pose, [0] * 12), take(moved, [0] * 12), weights)
    toes = feet_of(led).toes
    np.testing.assert_allclose(toes[:, 0, [0, 2]], np.tile(toes[:1, 0, [0, 2]], (12, 1)), atol=1e-3)
    np.testing.assert_allclose(led.joint_positions()[0], pose.joint_positions()[0], atol=1e-3)
    np.testing.assert_allclose(led.joint_positions()[-1], moved.joint_positions()[0], atol=1e-3)
    way = np.linalg.norm((toes[-1] - toes[0])[1, [0, 2]])
    assert way > 0.09  # the other foot makes a step: it is up on its way
    assert toes[6, 1, 1] > max(toes[0, 1, 1], toes[-1, 1, 1]) + 0.02


@pytest.mark.parametrize(("angle", "expected"), [(0.1, 0.1), (2 * np.pi + 0.1, 0.1), (-np.pi - 0.1, np.pi - 0.1)])
def test_angles_are_wrapped(angle, expected):
    assert wrapped(angle) == pytest.approx(expected)


@pytest.mark.parametrize("degrees", [(150, 210), (210, 150), (120, 330), (30, 60)])
def test_a_blend_of_a_joint_that_turns_past_the_opposite_direction_does_not_jump(degrees, waltz):
    first, angles = take(waltz, [0] * 21), np.radians(np.linspace(*degrees, 21))
    rotations = first.joint_rotations.copy()
    rotations[:, 18] = [1, 0, 0, 0]
    first = replace(first, joint_rotations=rotations)
    turned = rotations.copy()
    turned[:, 18] = np.stack([np.cos(angles / 2), np.sin(angles / 2), 0 * angles, 0 * angles], axis=-1)
    weights = smoothstep(np.linspace(0, 1, 21))
    led = blend(first, replace(first, joint_rotations=turned), weights).joint_rotations[:, 18]
    steps = 2 * np.arccos(np.clip(np.abs((led[1:] * led[:-1]).sum(axis=-1)), 0, 1))
    assert np.degrees(steps).max() < 35
    np.testing.assert_allclose(np.abs((led[-1] * turned[-1, 18]).sum()), 1, atol=1e-6)
    np.testing.assert_allclose(np.abs((led[0] * rotations[0, 18]).sum()), 1, atol=1e-6)
