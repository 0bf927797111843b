"""G1 Moves: kinematics of the robot, and its dances on our body."""

import json

import numpy as np
import pytest

from infinitedance.dataset_builder.sources import open_source
from infinitedance.dataset_builder.sources.g1_moves import (
    INWARDS_METRES,
    LINK_INDEX,
    LINKS,
    clean_robot_table,
    motion_from_robot,
    robot_kinematics,
    stance,
)
from infinitedance.motion.files import read_motion
from infinitedance.motion.skeleton import JOINT_INDEX, neutral_skeleton


def hip_aligned(joints: np.ndarray) -> np.ndarray:
    """Move the middle of the hips to the origin and turn the left hip to +X, `(frames, 22, 3)`."""
    joints = joints.astype(np.float64)
    left, right = joints[:, JOINT_INDEX["left_hip"]], joints[:, JOINT_INDEX["right_hip"]]
    yaw = np.arctan2((right - left)[:, 2], (left - right)[:, 0])
    cosine, sine = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(joints - ((left + right) / 2)[:, None], -1, 0)
    return np.stack([cosine * x - sine * z, y, sine * x + cosine * z], axis=-1)


def leg_ratio() -> float:
    """How many times as long as the robot's our legs are."""
    robot = robot_kinematics(stance())[0][0, :, 1]
    robot_leg = robot[LINK_INDEX["left_hip_roll"]] - robot[LINK_INDEX["left_ankle_roll"]]
    return neutral_skeleton().leg_length / robot_leg.item()


def test_the_robot_stands_straight_with_hanging_arms_and_looks_along_z():
    positions, _ = robot_kinematics(stance())
    place = {link: positions[0, index].numpy() for link, index in LINK_INDEX.items()}
    for side, sign in (("left", 1), ("right", -1)):
        hip, ankle, shoulder, wrist = (
            place[f"{side}_{link}"] for link in ("hip_roll", "ankle_roll", "shoulder_roll", "wrist_yaw")
        )
        assert sign * hip[0] > 0.1 and np.abs(hip - ankle)[[0, 2]].max() < 0.01 and hip[1] - ankle[1] > 0.6
        assert shoulder[1] - wrist[1] > 0.3 and abs(wrist[2] - shoulder[2]) < 0.05


def test_our_body_stands_as_the_robot_does_with_its_arms_down():
    motion = motion_from_robot(np.repeat(stance(), 30, axis=0))
    joints = motion.joint_positions()[10]
    for side, sign in (("left", 1), ("right", -1)):
        hip, knee, ankle, foot, shoulder, elbow, wrist = (
            joints[JOINT_INDEX[f"{side}_{name}"]]
            for name in ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
        )
        assert sign * hip[0] > 0 and foot[2] > ankle[2] + 0.1
        assert np.abs(shoulder - elbow)[[0, 2]].max() < 0.01 and np.abs(elbow - wrist)[[0, 2]].max() < 0.01
        assert shoulder[1] > elbow[1] > wrist[1]
        assert np.linalg.norm(knee - hip) == pytest.approx(
            neutral_skeleton().bone_lengths[JOINT_INDEX[f"{side}_knee"]]
        )
    robot_ankle = robot_kinematics(stance())[0][0, LINK_INDEX["left_ankle_roll"], 0].item()
    ankle = joints[JOINT_INDEX["left_ankle"], 0]
    assert ankle == pytest.approx(leg_ratio() * robot_ankle - INWARDS_METRES, abs=2e-3)


@pytest.mark.parametrize(
    ("joint", "angle", "name", "axis", "sign"),
    [
        ("left_shoulder_pitch", -1.0, "left_wrist", 2, 1),  # the arm swings to the front
        ("left_shoulder_roll", 1.0, "left_wrist", 0, 1),  # and to its side
        ("right_shoulder_roll", -1.0, "right_wrist", 0, -1),
        ("right_elbow", -1.0, "right_wrist", 2, 1),
        ("waist_roll", 0.5, "head", 0, -1),  # about the axis to the front: the left side up, the head to the right
        ("waist_pitch", 0.5, "head", 2, 1),
    ],
)
def test_a_joint_of_the_robot_moves_the_same_limb_of_ours(joint, angle, name, axis, sign):
    column = 7 + LINK_INDEX["torso" if joint == "waist_pitch" else joint]
    table = np.repeat(stance(), 30, axis=0)
    rest = motion_from_robot(table).joint_positions()[15, JOINT_INDEX[name]]
    table[:, column] += angle
    moved = motion_from_robot(table).joint_positions()[15, JOINT_INDEX[name]] - rest
    assert sign * moved[axis] > 0.15


def test_a_turn_of_the_pelvis_turns_the_dancer_and_a_way_is_scaled_by_the_legs():
    table = np.repeat(stance(), 30, axis=0)
    table[:, 0], table[:, 5:7] = np.linspace(0, 1, 30), [np.sqrt(0.5), np.sqrt(0.5)]  # a quarter turn to the left
    root = motion_from_robot(table).root_positions
    assert root[-1, 2] - root[0, 2] == pytest.approx(leg_ratio(), rel=0.01)  # the robot's x is our z
    joints = motion_from_robot(table).joint_positions()[15]
    assert joints[JOINT_INDEX["left_foot"], 0] > joints[JOINT_INDEX["left_ankle"], 0] + 0.1  # its left is our +x


def test_spikes_are_bridged_and_quaternions_of_two_signs_are_one_rotation(robot_table):
    damaged = robot_table.copy()
    damaged[40, 20] += 2.0
    damaged[50:, 3:7] *= -1
    np.testing.assert_allclose(clean_robot_table(damaged), clean_robot_table(robot_table), atol=0.01)
    noise = 0.01 * np.sin(np.pi * np.arange(len(robot_table)))[:, None]  # 30 Hz
    np.testing.assert_allclose(clean_robot_table(robot_table + noise), clean_robot_table(robot_table), atol=1e-3)


def test_files_alone_serve_too(folders, tmp_path):
    found = sorted((folders["g1_moves"] / "dance").glob("*/retarget/*.csv*"))
    for path in found:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(list(open_source("g1_moves", tmp_path).records())) == len(found)


@pytest.mark.shared_data
def test_the_links_are_those_of_the_table_that_they_were_read_from(shared_data_dir):
    links = json.loads((shared_data_dir / "robot" / "g1_29dof_kinematics.json").read_text())["links"]
    listed = [link for link in links if "csv_column" in link]
    assert [link["csv_column"] for link in listed] == list(range(7, 36))
    for (name, parent, position, rest, axis), link in zip(LINKS, listed, strict=True):
        assert (f"{name}_link", parent + "_link" * (parent != "pelvis")) == (link["link"], link["parent"])
        assert (list(position), list(rest)) == (link["pos"], link["quat_wxyz"])
        assert link["axis"]["xyz".index(axis)] == 1


@pytest.mark.shared_data
def test_the_dances_are_those_of_another_conversion(shared_data_dir):
    """Another person's conversion of the same tables: 26 mm on our body, 45 mm as it lies there, on another body."""
    source = open_source("g1_moves", shared_data_dir / "robot" / "g1_moves")
    records = list(source.records())
    assert len(records) == 23
    as_it_lies, on_our_body = [], []
    for record in records[::4]:
        path = shared_data_dir / "motion" / "g1_moves" / f"{record.clip_id}.npz"
        joints = hip_aligned(source.load(record).joint_positions())
        for distances, other in (
            (as_it_lies, np.load(path)["joints22"]),
            (on_our_body, read_motion(path).joint_positions()),
        ):
            frames = min(len(joints), len(other))
            assert abs(len(joints) - len(other)) <= 1
            distances.append(np.linalg.norm(joints[:frames] - hip_aligned(other[:frames]), axis=-1).mean())
    assert np.mean(on_our_body) < 0.030 and np.mean(as_it_lies) < 0.050
