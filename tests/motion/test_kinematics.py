import math

import numpy as np
import pytest
import roma
import torch

from infinitedance.motion.kinematics import (
    SIDES,
    forward_kinematics,
    local_rotations,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    point_foot,
    quaternion_to_matrix,
    reach_with_leg,
    root_drop,
    rotation_6d_to_matrix,
    shortest_rotation,
    soften_reach,
    yaw_to_matrix,
)
from infinitedance.motion.skeleton import JOINT_INDEX, PARENTS, neutral_skeleton

OFFSETS = torch.from_numpy(neutral_skeleton().offsets)
LEG = neutral_skeleton().leg_length


def pose(num_frames: int = 50, knee_degrees: float = 70.0):
    """Return local rotations, root path, global rotations and positions of a dancer who sways on bent knees."""
    generator = torch.Generator().manual_seed(1)
    vectors = 0.15 * torch.randn(num_frames, 22, 3, generator=generator).double()
    for side in SIDES:
        vectors[:, JOINT_INDEX[f"{side}_hip"], 0] -= math.radians(knee_degrees / 2)
        vectors[:, JOINT_INDEX[f"{side}_knee"]] = 0
        vectors[:, JOINT_INDEX[f"{side}_knee"], 0] = math.radians(knee_degrees)
    local = roma.rotvec_to_rotmat(vectors)
    root = torch.randn(num_frames, 3, generator=generator).double() * 0.2 + torch.tensor([0.0, 0.9, 0.0])
    positions, rotations = forward_kinematics(local, root, OFFSETS, PARENTS)
    return root, rotations.clone(), positions


def place(root, rotations, side):
    """Return hip, knee, ankle and toe of global rotations."""
    hip, knee, ankle, toe = (JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot"))
    points = [root + rotations[:, 0] @ OFFSETS[hip]]
    for parent, joint in ((hip, knee), (knee, ankle), (ankle, toe)):
        points.append(points[-1] + rotations[:, parent] @ OFFSETS[joint])
    return points


@pytest.mark.parametrize("side", SIDES)
def test_an_ankle_within_reach_is_put_where_it_is_wanted(side, generator):
    root, rotations, positions = pose()
    ankle, others = JOINT_INDEX[f"{side}_ankle"], rotations.clone()
    target = positions[:, ankle] + 0.05 * torch.randn(50, 3, generator=generator).double()
    reach_with_leg(side, root, rotations, OFFSETS, target)
    hip, knee, reached, toe = place(root, rotations, side)
    torch.testing.assert_close(reached, target, atol=1e-9, rtol=0)
    for start, end, name in ((hip, knee, "knee"), (knee, reached, "ankle")):
        length = OFFSETS[JOINT_INDEX[f"{side}_{name}"]].norm().expand(50)
        torch.testing.assert_close((end - start).norm(dim=-1), length)
    # The foot keeps its direction, and nothing but hip and knee turns.
    torch.testing.assert_close(toe - reached, positions[:, JOINT_INDEX[f"{side}_foot"]] - positions[:, ankle])
    turned = [JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{side}_knee"]]
    same = [joint for joint in range(22) if joint not in turned]
    assert torch.equal(rotations[:, same], others[:, same])


def test_reaching_for_where_the_ankle_is_changes_nothing():
    root, rotations, positions = pose()
    before = rotations.clone()
    reach_with_leg("left", root, rotations, OFFSETS, positions[:, JOINT_INDEX["left_ankle"]])
    torch.testing.assert_close(rotations, before, atol=1e-4, rtol=0)


@pytest.mark.parametrize("knee_degrees", [0.0, 30.0])
def test_the_knee_bends_forward(knee_degrees):
    root = torch.tensor([[0.0, 0.9, 0.0]]).double()
    bend = torch.zeros(1, 22, 3).double()
    bend[:, JOINT_INDEX["left_hip"], 0] = -math.radians(knee_degrees / 2)
    bend[:, JOINT_INDEX["left_knee"], 0] = math.radians(knee_degrees)
    rotations = forward_kinematics(roma.rotvec_to_rotmat(bend), root, OFFSETS, PARENTS)[1].clone()
    hip = root[0] + OFFSETS[JOINT_INDEX["left_hip"]]
    reach_with_leg("left", root, rotations, OFFSETS, hip[None] - torch.tensor([0.0, 0.6, 0.0]))
    _, knee, ankle, _ = place(root, rotations, "left")
    assert knee[0, 2] > hip[2] + 0.2
    assert (hip - ankle[0]).norm().item() == pytest.approx(0.6, abs=1e-6)


def test_an_ankle_out_of_reach_comes_as_near_as_the_bones_allow():
    root, rotations, _ = pose(4)
    hip = root + rotations[:, 0] @ OFFSETS[JOINT_INDEX["right_hip"]]
    direction = torch.nn.functional.normalize(torch.tensor([[0.2, -1.0, 0.3]]), dim=-1).double()
    for soft_zone in (0.0, 0.02):
        reach_with_leg("right", root, rotations, OFFSETS, hip + 2 * direction, soft_zone)
        ankle = place(root, rotations, "right")[2]
        gap = LEG - (ankle - hip).norm(dim=-1)
        assert (gap > 0).all() and (gap < 2e-4).all()
        torch.testing.assert_close(torch.nn.functional.normalize(ankle - hip, dim=-1), direction.expand(4, 3))


def test_a_leg_is_straightened_ever_more_slowly():
    zone = 0.02
    distance = torch.linspace(0.5, 1.2, 2001, dtype=torch.float64)
    soft = soften_reach(distance, LEG, zone)
    steps = soft.diff()
    assert torch.equal(soft[distance <= LEG - zone], distance[distance <= LEG - zone])
    assert (soft <= distance).all() and (soft < LEG).all() and (steps >= 0).all()
    assert (steps.diff() < 1e-9).all() and steps.max() < 1.001 * (distance[1] - distance[0])
    hard = soften_reach(distance, LEG, 0.0)
    torch.testing.assert_close(hard, distance.clamp(max=LEG - 1e-4))


def test_a_foot_points_where_it_should_by_the_least_turn():
    root, rotations, positions = pose()
    before = rotations.clone()
    direction = torch.tensor([[0.3, -0.2, 1.0]]).double().expand(50, 3)
    point_foot("left", rotations, OFFSETS, direction)
    _, _, ankle, toe = place(root, rotations, "left")
    torch.testing.assert_close(ankle, positions[:, JOINT_INDEX["left_ankle"]])
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(toe - ankle, dim=-1), unit(direction, dim=-1))
    turn = rotations[:, JOINT_INDEX["left_ankle"]] @ before[:, JOINT_INDEX["left_ankle"]].mT
    torch.testing.assert_close(rotations[:, JOINT_INDEX["left_foot"]], turn @ before[:, JOINT_INDEX["left_foot"]])
    old = unit(before[:, JOINT_INDEX["left_ankle"]] @ OFFSETS[JOINT_INDEX["left_foot"]], dim=-1)
    angle = torch.arccos((old * unit(direction, dim=-1)).sum(-1))
    torch.testing.assert_close(roma.rotmat_to_rotvec(turn).norm(dim=-1), angle)
    kept = [joint for joint in range(22) if joint not in (JOINT_INDEX["left_ankle"], JOINT_INDEX["left_foot"])]
    assert torch.equal(rotations[:, kept], before[:, kept])


def test_the_root_sinks_until_the_leg_reaches_and_no_further_than_allowed(generator):
    hips = torch.tensor([0.0, 0.95, 0.0]) + 0.05 * torch.randn(100, 3, generator=generator).double()
    ankles = torch.tensor([0.1, 0.06, 0.1]) + 0.2 * torch.randn(100, 3, generator=generator).double()
    drop = root_drop(hips, ankles, 0.8, 0.3)
    down = torch.tensor([0.0, 1.0, 0.0])
    far, sunk = ((hips - amount[:, None] * down - ankles).norm(dim=-1) for amount in (0 * drop, drop))
    assert (drop >= 0).all() and (drop <= 0.3).all()
    assert (drop[far <= 0.8] == 0).all() and (drop > 0).any()
    reached = (drop > 0) & (drop < 0.3)
    horizontal = (hips - ankles)[:, [0, 2]].norm(dim=-1)
    reached &= horizontal < 0.8
    torch.testing.assert_close(sunk[reached], torch.full_like(sunk[reached], 0.8))


def test_forward_kinematics_equals_a_slow_walk_down_the_tree(moving):
    matrices = moving.joint_rotations_matrix()[:5]
    for frame in range(5):
        rotation, position = {}, {}
        for joint, parent in enumerate(moving.skeleton.parents):
            if parent < 0:
                rotation[joint] = matrices[frame, joint].numpy()
                position[joint] = moving.root_positions[frame].astype(float)
            else:
                rotation[joint] = rotation[parent] @ matrices[frame, joint].numpy()
                position[joint] = position[parent] + rotation[parent] @ moving.skeleton.offsets[joint]
        expected = np.stack([position[joint] for joint in range(22)])
        np.testing.assert_allclose(moving.joint_positions()[frame], expected, atol=1e-5)


def test_local_rotations_undo_forward_kinematics(moving):
    matrices = moving.joint_rotations_matrix()
    offsets = torch.from_numpy(moving.skeleton.offsets)
    _, rotations = forward_kinematics(matrices, torch.zeros(120, 3).double(), offsets, moving.skeleton.parents)
    torch.testing.assert_close(local_rotations(rotations, moving.skeleton.parents), matrices, atol=1e-5, rtol=0)


def test_rotation_conversions_are_inverse_to_each_other():
    matrices = roma.random_rotmat(500, dtype=torch.float64)
    torch.testing.assert_close(rotation_6d_to_matrix(matrix_to_rotation_6d(matrices)), matrices)
    torch.testing.assert_close(quaternion_to_matrix(matrix_to_quaternion(matrices)), matrices)


def test_positive_yaw_turns_z_toward_x():
    turned = yaw_to_matrix(torch.tensor(np.pi / 2, dtype=torch.float64)) @ torch.tensor(
        [0.0, 0.0, 1.0], dtype=torch.float64
    )
    torch.testing.assert_close(turned, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


def test_the_shortest_rotation_also_turns_a_direction_round():
    source = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=-1)
    for target in (source.roll(1, 0), source, -source):
        rotation = shortest_rotation(source, target)
        torch.testing.assert_close((rotation @ source.unsqueeze(-1)).squeeze(-1), target)
        torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))
