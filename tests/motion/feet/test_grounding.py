from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.dataset_builder.procedural.dance import synthesize_dance
from infinitedance.motion.feet.grounding import MAX_DEPTH_METRES, MAX_SLOPE_DEGREES, find_floor, level_floor
from infinitedance.motion.kinematics import (
    SIDES,
    local_rotations,
    matrix_to_quaternion,
    quaternion_to_matrix,
    reach_with_leg,
)
from infinitedance.motion.motion import Motion
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, PARENTS, neutral_skeleton


@pytest.fixture(scope="module")
def dance() -> Motion:
    return put_on_floor(synthesize_dance("rumba", 96, 4.0, seed=0))


@pytest.fixture(scope="module")
def travelling(dance) -> Motion:
    """The same dance at the four corners of a square of 1.2 metres, one after the other."""
    corners = [np.array([x, 0, z], dtype=np.float32) for x in (-0.6, 0.6) for z in (-0.6, 0.6)]
    return replace(
        dance,
        root_positions=np.concatenate([dance.root_positions + corner for corner in corners]),
        joint_rotations=np.concatenate([dance.joint_rotations] * 4),
        foot_contacts=np.concatenate([dance.foot_contacts] * 4),
    )


def tilt(motion: Motion, degrees: float, axis: tuple[float, float, float], shift: float = 0.0) -> Motion:
    """Turn a dance and the floor under it about the origin, and lift both."""
    turn = roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(degrees)).double() * torch.tensor(axis).double())
    rotations = motion.joint_rotations.copy()
    root = quaternion_to_matrix(torch.from_numpy(rotations[:, 0]).double())
    rotations[:, 0] = matrix_to_quaternion(turn @ root).numpy()
    path = motion.root_positions.astype(np.float64) @ turn.numpy().T + np.array([0.0, shift, 0.0])
    return replace(motion, root_positions=path, joint_rotations=rotations, foot_contacts=None)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
@pytest.mark.parametrize(("degrees", "shift"), [(0.0, -3.0), (4.0, 0.3), (10.0, -1.0)])
def test_a_tilted_and_shifted_floor_is_level_again(travelling, axis, degrees, shift):
    levelled = level_floor(tilt(travelling, degrees, axis, shift))
    gap = levelled.joint_positions()[..., 1] - travelling.joint_positions()[..., 1]
    assert np.abs(gap).max() < 0.02
    # Nothing but root path and root rotation changes, and the body keeps its shape.
    np.testing.assert_array_equal(levelled.joint_rotations[:, 1:], travelling.joint_rotations[:, 1:])
    agree = (levelled.foot_contacts == travelling.foot_contacts).mean()
    assert agree > 0.9


def test_a_level_floor_stays(travelling):
    levelled = level_floor(travelling)
    assert np.abs(levelled.joint_positions() - travelling.joint_positions()).max() < 0.015


def test_feet_that_touch_few_places_tell_no_slope(dance):
    tilted = tilt(dance, 8.0, (1.0, 0.0, 0.0), 0.5)
    levelled = level_floor(tilted)
    np.testing.assert_allclose(levelled.joint_rotations, tilted.joint_rotations, atol=1e-6)
    moved = levelled.root_positions - tilted.root_positions
    assert np.ptp(moved, axis=0).max() < 1e-5 and np.abs(moved[:, [0, 2]]).max() < 1e-6


def test_a_floor_steeper_than_any_is_no_floor(travelling):
    steep = tilt(travelling, MAX_SLOPE_DEGREES + 15, (1.0, 0.0, 0.0))
    levelled = level_floor(steep)
    np.testing.assert_allclose(levelled.joint_rotations, steep.joint_rotations, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_the_shortest_dances_are_put_on_the_floor(dance, num_frames):
    lifted = replace(dance, root_positions=dance.root_positions + np.array([0, 2, 0], dtype=np.float32))
    levelled = level_floor(lifted.cut(0, num_frames))
    feet = levelled.joint_positions()[:, list(CONTACT_JOINTS), 1] - dance.skeleton.contact_rest_heights
    assert levelled.num_frames == num_frames and abs(feet.min()) < 0.02


def test_feet_that_seldom_stand_do_not_lift_the_floor_over_the_others():
    """A capture that drifts upwards, and stands still only where it is highest."""
    seconds = np.arange(120) / 30
    root = np.stack([0 * seconds, 0.9 + 0.1 * np.minimum(seconds, 3), 0.9 * np.minimum(seconds, 3)], axis=1)
    rotations = np.zeros((120, 22, 4))
    rotations[..., 0] = 1
    dance = level_floor(Motion(30.0, root, rotations), fits_slope=False)
    depth = -dance.skeleton.fit_floor_height(dance.joint_positions())
    assert depth == pytest.approx(MAX_DEPTH_METRES, abs=1e-3)


UP = np.array([0.0, 1.0, 0.0])


def stand(places: np.ndarray, root: np.ndarray) -> Motion:
    """Pose a dancer at 30 Hz whose flat feet are at `(frames, 2, 3)`, metres over the floor, root `(frames, 3)`."""
    skeleton = neutral_skeleton()
    offsets, roots = torch.from_numpy(skeleton.offsets), torch.from_numpy(root)
    rotations = torch.eye(3, dtype=torch.float64).repeat(len(root), 22, 1, 1)
    rest = np.array([0.0, skeleton.contact_rest_heights[0], 0.0])
    for index, side in enumerate(SIDES):
        reach_with_leg(side, roots, rotations, offsets, torch.from_numpy(places[:, index] + rest))
    return Motion(30.0, root, matrix_to_quaternion(local_rotations(rotations, PARENTS)).numpy())


def walk(num_steps: int = 24, radius: float = 1.2, heights: np.ndarray | None = None) -> Motion:
    """Walk around a circle, a step in 18 frames; `heights` `(steps,)` are those of what each step is set on."""
    step = 18
    angles = np.arange(num_steps + 1) * 0.5
    level = np.zeros(num_steps + 1) if heights is None else np.append(heights, heights[-1])
    spots = np.stack([radius * np.cos(angles), level, radius * np.sin(angles)], axis=1)
    frames = np.arange((num_steps - 1) * step)
    share = (frames % step) / step
    places = np.empty((len(frames), 2, 3))
    for side in range(2):
        now = frames // step
        moves = now % 2 == side
        start, end = spots[np.where(moves, np.maximum(now - 1, 0), now)], spots[np.where(moves, now + 1, now)]
        swing = np.where(moves, share, 0.0)[:, None]
        places[:, side] = start + (end - start) * swing + 0.08 * np.sin(np.pi * swing) * UP
    return stand(places, places.mean(axis=1) + 0.86 * UP)


def normal_of(degrees: float, axis: tuple[float, float, float]) -> np.ndarray:
    turn = roma.rotvec_to_rotmat(torch.deg2rad(torch.tensor(degrees)).double() * torch.tensor(axis).double())
    return turn.numpy() @ UP


def shaken(motion: Motion, metres: float) -> Motion:
    noise = metres * np.random.default_rng(0).standard_normal(motion.root_positions.shape)
    return replace(motion, root_positions=motion.root_positions + noise, foot_contacts=None)


def height_at_origin(floor) -> float:
    """Height of a floor at x = z = 0, metres."""
    return float(floor.point @ floor.normal / floor.normal[1])


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, -0.8)])
def test_the_slope_under_a_walker_is_found_to_a_fifth_of_a_degree_through_noise(axis):
    walker = shaken(tilt(walk(), 3.0, axis, 0.4), 0.004)
    floor = find_floor(walker)
    assert np.degrees(np.arccos(floor.normal @ normal_of(3.0, axis))) < 0.2
    assert floor.slope_degrees == pytest.approx(3.0, abs=0.2)
    assert height_at_origin(floor) == pytest.approx(0.4, abs=0.002)
    assert find_floor(walker, fits_slope=False).slope_degrees == 0
    levelled = find_floor(floor.level(walker))
    assert levelled.slope_degrees == 0 and np.abs(levelled.point[1]) < 0.002


@pytest.mark.parametrize("degrees", [0.0, 0.8])
def test_a_level_floor_is_not_tilted_by_noise_or_by_what_captures_are_off(degrees):
    walker = shaken(tilt(walk(), degrees, (1.0, 0.0, 0.0)), 0.008)
    assert find_floor(walker).slope_degrees == 0


def test_slow_rising_and_sinking_leave_the_floor_in_the_middle():
    walker = walk(48)
    drift = 0.03 * np.sin(np.arange(walker.num_frames) / 40)
    drifting = replace(walker, root_positions=walker.root_positions + drift[:, None] * UP, foot_contacts=None)
    assert find_floor(drifting, fits_slope=False).point[1] == pytest.approx(0, abs=0.004)
    lowest = drifting.skeleton.fit_floor_height(drifting.joint_positions())
    assert lowest < -0.025


def test_jumps_do_not_lift_the_floor_and_single_low_moments_do_not_sink_it():
    frames = np.arange(600)
    jump = np.maximum(0, 0.5 * np.sin(frames / 12))  # half of the time in the air
    places = np.zeros((600, 2, 3))
    places[:, :, 0] = [0.12, -0.12]
    places[..., 1] = jump[:, None]
    places[::40, :, 1] -= 0.06
    jumper = stand(places, np.stack([0 * jump, 0.86 + jump, 0 * jump], axis=1))
    assert find_floor(jumper).point[1] == pytest.approx(0, abs=0.003)


def test_the_feet_of_a_dancer_who_lies_or_stands_on_the_hands_do_not_count():
    walker = walk()
    half = walker.num_frames // 2
    rotations = walker.joint_rotations.copy()
    rotations[:half, 0] = [0.0, 1.0, 0.0, 0.0]  # head down
    upside_down = replace(walker, joint_rotations=rotations, foot_contacts=None)
    assert find_floor(upside_down).point[1] == pytest.approx(0, abs=0.003)
    lying = np.where(np.arange(walker.num_frames)[:, None] < half, 0.45 * UP, 0)
    low = replace(walker, root_positions=walker.root_positions - lying, foot_contacts=None)
    rotations[:half, 0] = [np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0]  # on the back, the feet up
    assert find_floor(replace(low, joint_rotations=rotations)).point[1] == pytest.approx(0, abs=0.003)


def test_a_dancer_who_never_stands_has_a_floor_under_the_feet():
    frames = np.arange(300)
    places = np.zeros((300, 2, 3))
    places[:, :, 0], places[:, :, 2] = [0.15, -0.15], 0.4
    sway = 0.02 * np.sin(frames / 20)
    seated = stand(places, np.stack([sway, 0.3 + 0 * sway, 0 * sway], axis=1))
    assert find_floor(seated).point[1] == pytest.approx(0, abs=0.005)


def test_of_stairs_the_lowest_level_is_the_floor_and_the_others_are_told():
    levels = np.repeat([0.0, 0.18, 0.36, 0.18, 0.0, 0.18], 4)
    stairs = walk(heights=levels)
    floor = find_floor(stairs)
    assert floor.slope_degrees == 0
    assert floor.point[1] == pytest.approx(0, abs=0.01)
    assert 0.3 < floor.uneven_share < 0.9
    assert find_floor(walk()).uneven_share == 0


def test_the_floor_does_not_depend_on_the_frame_rate():
    walker = tilt(walk(), 4.0, (1.0, 0.0, 0.0), 0.1)
    slow, fast = find_floor(walker), find_floor(walker.resample(120.0))
    np.testing.assert_allclose(slow.normal, fast.normal, atol=2e-3)
    assert height_at_origin(slow) == pytest.approx(height_at_origin(fast), abs=1e-3)
