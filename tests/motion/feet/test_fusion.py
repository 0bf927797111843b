"""Root and feet by least squares: against dense solutions of the same equations, and closed forms."""

from dataclasses import fields, replace

import numpy as np
import pytest

from infinitedance.motion.feet.fusion import BandedLeastSquares, FootEstimate, FusionWeights, fuse_feet, mix, turn_feet
from infinitedance.motion.skeleton import JOINT_INDEX, neutral_skeleton

SKELETON = neutral_skeleton()
FEET = SKELETON.offsets[[JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]]


def vectors_of(fused) -> np.ndarray:
    """From ankle to toe, `(frames, 2, 3)`."""
    return fused.joint_positions[:, 2:] - fused.joint_positions[:, :2]


def make_estimate(num_frames: int = 12, seed: int = 0, height: float = 1.2) -> FootEstimate:
    """Return beliefs that contradict each other, of a body high above the floor."""
    generator = np.random.default_rng(seed)

    def noise(*shape: int, size: float = 0.05) -> np.ndarray:
        return size * generator.standard_normal((num_frames, *shape))

    path = noise(3) + [0.0, height, 0.0]
    return FootEstimate(
        root_positions=path,
        root_heights=height + noise(),
        root_steps=noise(3)[1:],
        ankle_offsets=noise(2, 3) + [0.0, -0.75, 0.0],
        foot_steps=noise(4, 3)[1:],
        foot_vectors=noise(2, 3) + FEET,
        foot_contacts=generator.random((num_frames, 4)),
    )


def standing(num_frames: int = 40, contacts: bool = True) -> FootEstimate:
    """Return beliefs that agree: a body at rest with its feet on the floor."""
    ankle = np.array([[0.1, -0.85, 0.0], [-0.1, -0.85, 0.0]])
    height = SKELETON.contact_rest_heights[0] + 0.85
    return FootEstimate(
        root_positions=np.tile([0.3, height, -0.2], (num_frames, 1)),
        root_heights=np.full(num_frames, height),
        root_steps=np.zeros((num_frames - 1, 3)),
        ankle_offsets=np.tile(ankle, (num_frames, 1, 1)),
        foot_steps=np.zeros((num_frames - 1, 4, 3)),
        foot_vectors=np.tile(FEET, (num_frames, 1, 1)),
        foot_contacts=np.full((num_frames, 4), float(contacts)),
    )


class DenseLeastSquares:
    """Rows of `sum coefficient x = target`, one by one."""

    def __init__(self, num_unknowns: int):
        self.rows, self.targets, self.num_unknowns = [], [], num_unknowns

    def add(self, terms: dict[int, float], target: float, weight: float) -> None:
        row = np.zeros(self.num_unknowns)
        for index, coefficient in terms.items():
            row[index] = coefficient
        self.rows.append(np.sqrt(weight) * row)
        self.targets.append(np.sqrt(weight) * target)

    def solve(self) -> np.ndarray:
        return np.linalg.lstsq(np.array(self.rows), np.array(self.targets), rcond=None)[0]


def test_banded_least_squares_equal_dense_ones():
    generator = np.random.default_rng(0)
    banded, dense = BandedLeastSquares(20, 3, 2), [DenseLeastSquares(20) for _ in range(2)]
    for first in [*range(17)] * 6:
        columns = {first + int(step): generator.normal() for step in generator.choice(4, 3, replace=False)}
        target, weight = generator.normal(size=2), generator.random()
        banded.add([(np.array([index]), value) for index, value in columns.items()], target[None], weight)
        for side in range(2):
            dense[side].add(columns, target[side], weight)
    solved = banded.copy().solve()
    for side in range(2):
        np.testing.assert_allclose(solved[:, side], dense[side].solve(), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(banded.solve(), solved)


def test_places_over_the_floor_solve_their_equations_in_the_sense_of_least_squares():
    estimate, weights = make_estimate(), FusionWeights(contact=700.0)
    fused = fuse_feet(estimate, weights, SKELETON)
    num_frames = len(estimate.root_positions)
    for axis in (0, 2):
        dense = DenseLeastSquares(3 * num_frames)
        for frame in range(num_frames):
            dense.add({3 * frame: 1}, estimate.root_positions[frame, axis], weights.anchor)
            for side in range(2):
                offset = estimate.ankle_offsets[frame, side, axis]
                dense.add({3 * frame + 1 + side: 1, 3 * frame: -1}, offset, weights.ankle_offset)
        for frame in range(num_frames - 1):
            now, then = 3 * frame, 3 * frame + 3
            dense.add({then: 1, now: -1}, estimate.root_steps[frame, axis], weights.root_step)
            for side in range(2):
                step = {then + 1 + side: 1, now + 1 + side: -1}
                # A toe is its ankle plus the foot: what it should move, less what the foot turns.
                turned = vectors_of(fused)[frame + 1, side, axis] - vectors_of(fused)[frame, side, axis]
                for part, less in ((side, 0.0), (side + 2, turned)):
                    both = estimate.foot_contacts[frame, part] * estimate.foot_contacts[frame + 1, part]
                    dense.add(step, estimate.foot_steps[frame, part, axis] - less, weights.foot_step)
                    dense.add(step, -less, weights.contact * both)
        expected = dense.solve().reshape(num_frames, 3)
        np.testing.assert_allclose(fused.root_positions[:, axis], expected[:, 0], atol=1e-8)
        np.testing.assert_allclose(fused.joint_positions[:, :2, axis], expected[:, 1:], atol=1e-8)


def test_heights_over_the_floor_solve_their_equations_in_the_sense_of_least_squares():
    estimate, weights = make_estimate(), FusionWeights(floor=0.5)  # too weak a floor to pull anything down to it
    fused = fuse_feet(estimate, weights, SKELETON)
    num_frames, rest = len(estimate.root_heights), SKELETON.contact_rest_heights
    dense = DenseLeastSquares(3 * num_frames)
    for frame in range(num_frames):
        dense.add({3 * frame: 1}, estimate.root_heights[frame], weights.root_height)
        for side in range(2):
            ankle = {3 * frame + 1 + side: 1}
            estimated = estimate.root_heights[frame] + estimate.ankle_offsets[frame, side, 1]
            dense.add(ankle, estimated, weights.ankle_offset)
            # The lowest part of the foot rests: the ankle of a level foot, the toe of one on its toes.
            lowest = max(rest[side], rest[side + 2] - vectors_of(fused)[frame, side, 1])
            standing = max(estimate.foot_contacts[frame, [side, side + 2]])
            dense.add(ankle, lowest, weights.floor * standing)
    for frame in range(num_frames - 1):
        now, then = 3 * frame, 3 * frame + 3
        dense.add({then: 1, now: -1}, estimate.root_steps[frame, 1], weights.root_step)
        for side in range(2):
            step = {then + 1 + side: 1, now + 1 + side: -1}
            turned = vectors_of(fused)[frame + 1, side, 1] - vectors_of(fused)[frame, side, 1]
            for part, less in ((side, 0.0), (side + 2, turned)):
                dense.add(step, estimate.foot_steps[frame, part, 1] - less, weights.foot_step)
    expected = dense.solve().reshape(num_frames, 3)
    np.testing.assert_allclose(fused.root_positions[:, 1], expected[:, 0], atol=1e-8)
    np.testing.assert_allclose(fused.joint_positions[:, :2, 1], expected[:, 1:], atol=1e-8)


def test_estimates_that_agree_come_out():
    estimate = standing()
    fused = fuse_feet(estimate, FusionWeights(), SKELETON)
    np.testing.assert_allclose(fused.root_positions, estimate.root_positions, atol=1e-9)
    np.testing.assert_allclose(vectors_of(fused), estimate.foot_vectors, atol=1e-9)
    expected = estimate.root_positions[:, None] + estimate.ankle_offsets
    np.testing.assert_allclose(fused.joint_positions[:, :2], expected, atol=1e-9)
    np.testing.assert_allclose(fused.joint_positions[:, 2:, 1], 0.02, atol=1e-9)


def test_feet_that_are_held_stand_on_the_floor_however_they_are_estimated_to_move():
    estimate = make_estimate(30)
    contacts = np.zeros((30, 4))
    contacts[5:20, [0, 2]] = 1
    held = replace(FusionWeights(), contact=1e9, floor=1e9)
    fused = fuse_feet(replace(estimate, foot_contacts=contacts), held, SKELETON)
    feet = fused.joint_positions[5:20, [0, 2]]
    assert np.ptp(feet, axis=0).max() < 1e-4
    np.testing.assert_allclose(feet[..., 1], SKELETON.contact_rest_heights[[0, 2]][None].repeat(15, 0), atol=1e-5)


def test_a_foot_that_rolls_over_its_toe_leaves_the_toe_where_it_is():
    estimate = standing(30)
    length = np.linalg.norm(FEET[0])
    angle = np.linspace(np.arcsin(-FEET[0, 1] / length), 1.0, 30)
    rolling = np.stack([0 * angle, -np.sin(angle), np.cos(angle)], axis=-1) * length
    vectors = estimate.foot_vectors.copy()
    vectors[:, 0] = rolling
    contacts = np.zeros((30, 4))
    contacts[:, 2] = 1
    held = replace(FusionWeights(), contact=1e9, floor=1e9)
    fused = fuse_feet(replace(estimate, foot_vectors=vectors, foot_contacts=contacts), held, SKELETON)
    toe, ankle = fused.joint_positions[:, 2], fused.joint_positions[:, 0]
    assert np.ptp(toe, axis=0).max() < 1e-4
    assert ankle[-1, 1] - ankle[0, 1] > 0.05


def test_feet_keep_their_length_and_nearly_level_ones_are_flat_where_ankle_and_toe_touch():
    estimate, contacts = make_estimate(20), np.zeros((20, 4))
    contacts[:, [1, 3]] = 1
    estimated = estimate.foot_vectors.copy()
    estimated[:, 1, 1] = FEET[1, 1] + 0.005 * np.sin(np.arange(20))
    estimate = replace(estimate, foot_vectors=estimated, foot_contacts=contacts)
    vectors = turn_feet(estimate, FusionWeights(floor=1e9), SKELETON)
    lengths = np.linalg.norm(FEET, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), np.tile(lengths, (20, 1)), atol=1e-12)
    np.testing.assert_allclose(vectors[:, 1, 1], FEET[1, 1], atol=1e-5)
    assert np.abs(vectors[:, 0, 1] - FEET[0, 1]).max() > 0.01


def test_a_raised_heel_stays_raised_though_the_whole_foot_is_said_to_touch():
    estimate = standing(20)
    raised = estimate.foot_vectors.copy()
    raised[:, 0] = [0.0, -0.11, np.sqrt(np.square(FEET[0]).sum() - 0.11**2)]
    vectors = turn_feet(replace(estimate, foot_vectors=raised), FusionWeights(), SKELETON)
    np.testing.assert_allclose(vectors, raised, atol=1e-3)


def test_nothing_goes_below_the_floor():
    estimate = make_estimate(60, height=0.8)  # 3 cm too low for feet that rest
    fused = fuse_feet(replace(estimate, foot_contacts=np.zeros((60, 4))), FusionWeights(), SKELETON)
    assert (fused.joint_positions[..., 1] >= SKELETON.contact_rest_heights - 1e-9).all()
    estimated = estimate.root_heights[:, None] + estimate.ankle_offsets[..., 1]
    assert estimated.min() < 0.03
    without = replace(FusionWeights(), floor=0.0)
    sunk = fuse_feet(replace(estimate, foot_contacts=np.zeros((60, 4))), without, SKELETON)
    assert sunk.joint_positions[..., 1].min() < 0.03


@pytest.mark.parametrize("name", [item.name for item in fields(FusionWeights)])
def test_the_firmer_a_belief_the_nearer_the_solution(name):
    estimate = make_estimate(25, height=0.85)

    def error(weights: FusionWeights) -> float:
        fused = fuse_feet(estimate, weights, SKELETON)
        root, feet, contacts = fused.root_positions, fused.joint_positions, estimate.foot_contacts
        both = (contacts[1:] * contacts[:-1])[..., None]
        gaps = {
            "anchor": (root - estimate.root_positions)[:, [0, 2]],
            "root_height": root[:, 1] - estimate.root_heights,
            "root_step": np.diff(root, axis=0) - estimate.root_steps,
            "ankle_offset": (fused.joint_positions[:, :2] - root[:, None] - estimate.ankle_offsets)[..., [0, 2]],
            "foot_step": np.diff(feet, axis=0) - estimate.foot_steps,
            "contact": np.diff(feet, axis=0)[..., [0, 2]] * both,
            "floor": (feet[..., 1] - SKELETON.contact_rest_heights) * contacts,
        }
        return float(np.square(gaps[name]).mean())

    weak, strong = (
        replace(FusionWeights(), **{name: factor * getattr(FusionWeights(), name)}) for factor in (0.1, 30)
    )
    assert error(strong) < error(weak)


def test_the_way_between_two_solutions_begins_and_ends_with_them():
    first, second = (fuse_feet(make_estimate(10, seed), FusionWeights(), SKELETON) for seed in (0, 1))
    for share, same in ((0.0, first), (1.0, second)):
        mixed = mix(first, second, share)
        for name in ("root_positions", "joint_positions"):
            np.testing.assert_allclose(getattr(mixed, name), getattr(same, name), atol=1e-12)
    half = mix(first, second, 0.5)
    np.testing.assert_allclose(
        half.joint_positions[:, :2], (first.joint_positions[:, :2] + second.joint_positions[:, :2]) / 2
    )
    lengths = np.linalg.norm(FEET, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(vectors_of(half), axis=-1), np.tile(lengths, (10, 1)))


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_the_shortest_clips_are_solved_too(num_frames):
    estimate = standing(num_frames)
    fused = fuse_feet(estimate, FusionWeights(), SKELETON)
    np.testing.assert_allclose(fused.root_positions, estimate.root_positions, atol=1e-9)
