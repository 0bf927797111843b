import numpy as np
import pytest

from infinitedance.evaluation.metrics.self_penetration import (
    NEIGHBORS,
    PARTS,
    BodyCapsules,
    body_capsules,
    segment_distances,
    self_penetration,
)
from infinitedance.motion.skeleton import JOINT_INDEX, PARENTS, neutral_skeleton

TWO_SEGMENTS = BodyCapsules(np.array([0, 2]), np.array([1, 3]), np.array([0.05, 0.03]), np.array([[0, 1]]))


def crossed(distance: float) -> np.ndarray:
    """Two segments that cross at right angles, one above the other."""
    return np.array([[[-0.3, 0, 0], [0.3, 0, 0], [0.1, distance, -0.2], [0.1, distance, 0.2]]])


def t_pose(num_frames: int = 1) -> np.ndarray:
    positions = np.zeros((22, 3))
    for joint, (parent, offset) in enumerate(zip(PARENTS, neutral_skeleton().offsets, strict=True)):
        positions[joint] = offset + (positions[parent] if parent >= 0 else 0)
    return np.repeat(positions[None], num_frames, axis=0)


def test_two_crossing_capsules_overlap_by_their_radii_less_their_distance():
    for tolerance_metres, share in ((0.0199, 1), (0.0201, 0)):
        assert self_penetration(crossed(0.06), TWO_SEGMENTS, tolerance_metres) == share


def test_slight_touches_are_no_overlap():
    frames = np.concatenate([crossed(distance) for distance in (0.06, 0.075, 0.5, 0.5)])
    assert self_penetration(frames, TWO_SEGMENTS) == 0.25  # 20 mm; 5 mm is within the tolerance
    assert self_penetration(frames, TWO_SEGMENTS, tolerance_metres=0.0) == 0.5


def test_of_several_overlaps_in_a_frame_the_deepest_counts():
    third = np.array([[[-0.1, -0.06, -0.2], [-0.1, -0.06, 0.2]]])
    capsules = BodyCapsules(
        np.array([0, 2, 4]), np.array([1, 3, 5]), np.array([0.05, 0.03, 0.04]), np.array([[0, 1], [0, 2]])
    )
    positions = np.concatenate([crossed(0.06), third], axis=1)
    for tolerance_metres, share in ((0.0299, 1), (0.0301, 0)):
        assert self_penetration(positions, capsules, tolerance_metres) == share


@pytest.mark.parametrize(
    ("second", "distance"),
    [
        ([[0.5, 1, -1], [0.5, 1, 1]], 1.0),  # crosses above the middle
        ([[2, 0, 1], [2, 0, -1]], 1.0),  # passes the end
        ([[0.2, 0, 0.3], [0.8, 0, 0.3]], 0.3),  # parallel, side by side
        ([[1.3, 0, 0.4], [2, 0, 0.4]], 0.5),  # parallel, one behind the other
        ([[3, 0, 0], [2, 0, 0]], 1.0),  # on the same line
        ([[0.5, 0, -1], [0.5, 0, 1]], 0.0),  # through the middle
        ([[0.5, 0.2, 0], [0.5, 0.2, 0]], 0.2),  # a point
        ([[1, 3, 0], [1, 0.1, 0]], 0.1),  # an end above an end
    ],
)
def test_distances_of_segments_are_those_of_geometry(second, distance):
    first = np.array([[0.0, 0, 0], [1, 0, 0]])
    second = np.array(second, dtype=float)
    assert segment_distances(*first, *second) == pytest.approx(distance)
    assert segment_distances(*second[::-1], *first) == pytest.approx(distance)


def test_distances_of_random_segments_equal_a_dense_search():
    segments = np.random.default_rng(0).normal(size=(4, 50, 3))
    found = segment_distances(*segments)
    shares = np.linspace(0, 1, 101)[:, None, None]
    first = segments[0] + shares * (segments[1] - segments[0])
    second = segments[2] + shares * (segments[3] - segments[2])
    searched = np.linalg.norm(first[:, None] - second[None], axis=-1).min(axis=(0, 1))
    assert (found <= searched + 1e-9).all()
    np.testing.assert_allclose(found, searched, atol=0.03)


def test_a_body_in_a_t_pose_does_not_overlap_and_has_the_radii_of_its_volume():
    positions = t_pose()
    capsules = body_capsules(positions, JOINT_INDEX, radius_factor=1.0)
    assert self_penetration(positions, capsules, tolerance_metres=0.0) == 0
    thigh = [first for first, _, _ in PARTS].index("left_hip")
    volume = np.pi * capsules.radii[thigh] ** 2 * 0.4165
    assert volume == pytest.approx(0.100 * 22 * 1.7**2 / 1050, rel=0.02)  # mass of a thigh over its density


def test_radii_grow_with_the_body():
    small, large = (body_capsules(factor * t_pose(), JOINT_INDEX).radii for factor in (1, 1.2))
    np.testing.assert_allclose(large, 1.2 * small)


def test_an_arm_through_the_trunk_and_a_shank_through_the_other_are_seen():
    through = t_pose(4)
    capsules = body_capsules(through, JOINT_INDEX)
    through[0, JOINT_INDEX["left_elbow"]] = through[0, JOINT_INDEX["spine2"]] + [0.3, 0, 0]
    through[0, JOINT_INDEX["left_wrist"]] = through[0, JOINT_INDEX["spine2"]] - [0.1, 0, 0]
    through[1, JOINT_INDEX["left_ankle"]] = through[1, JOINT_INDEX["right_ankle"]] - [0.1, 0, 0]
    assert self_penetration(through, capsules) == 0.5
    deepest = capsules.radii[0] + capsules.radii[8]  # of the trunk and a forearm
    for tolerance_metres, share in ((deepest - 1e-4, 0.25), (deepest + 1e-4, 0)):
        assert self_penetration(through, capsules, tolerance_metres) == share


def test_neighbors_are_not_compared():
    pairs = {tuple(pair) for pair in body_capsules(t_pose(), JOINT_INDEX).pairs}
    assert not pairs & NEIGHBORS
    assert len(pairs) + len(NEIGHBORS) == len(PARTS) * (len(PARTS) - 1) // 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: body_capsules(np.zeros((5, 22, 3)), JOINT_INDEX), "`radii` must be positive"),
        (lambda: body_capsules(t_pose(), {"pelvis": 0}), r"lacks \['head', 'left_ankle'"),
        (lambda: body_capsules(np.zeros((22, 3)), JOINT_INDEX), r"got \(22, 3\)"),
        (
            lambda: BodyCapsules(np.zeros(2, int), np.zeros(1, int), np.ones(2), np.zeros((0, 2))),
            r"\(2,\), \(1,\) and",
        ),
        (lambda: BodyCapsules(np.zeros(2, int), np.zeros(2, int), np.ones(2), np.array([[0, 2]])), "capsules below 2"),
        (lambda: BodyCapsules(np.zeros(2, int), np.zeros(2, int), np.ones(2), np.array([0, 1])), r"\(pairs, 2\)"),
        (lambda: self_penetration(np.full((2, 4, 3), np.inf), TWO_SEGMENTS), "must be finite"),
    ],
)
def test_wrong_inputs_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
