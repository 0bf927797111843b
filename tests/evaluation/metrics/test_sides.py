import csv

import numpy as np
import pytest

from infinitedance.evaluation.metrics.memory import hip_aligned_poses
from infinitedance.evaluation.metrics.sides import HOP_SECONDS, dance_sides, mirror_positions
from infinitedance.motion.skeleton import JOINT_INDEX

FRAME_RATE = 30.0
HIPS = JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]


@pytest.fixture(scope="module")
def library(make_moving):
    return {str(seed): poses_of(make_moving(600, seed)) for seed in range(3)}


def poses_of(motion) -> np.ndarray:
    return hip_aligned_poses(motion.joint_positions(), *HIPS)


def test_a_mirrored_dance_is_on_the_other_side_and_not_mixed(library):
    natural, mirrored = (dance_sides(poses, library, FRAME_RATE) for poses in both_sides(library["1"]))
    assert (natural.sides == 1).all() and (mirrored.sides == -1).all()
    np.testing.assert_allclose(mirrored.octaves, -natural.octaves, atol=1e-3)
    for sides in (natural, mirrored):
        assert sides.minor_share == 0 and sides.decided_share == 1 and not sides.is_mixed


def test_a_dance_that_changes_sides_in_its_middle_is_mixed(library):
    natural, mirrored = both_sides(library["1"])
    sides = dance_sides(np.concatenate([natural[:300], mirrored[300:]]), library, FRAME_RATE)
    assert (sides.sides[:7] == 1).all() and (sides.sides[-7:] == -1).all()
    assert sides.minor_share > 0.4 and sides.is_mixed
    assert sides.starts[1] == HOP_SECONDS * FRAME_RATE


def test_a_body_that_is_its_own_mirror_image_is_on_no_side(library):
    natural, mirrored = both_sides(library["1"])
    sides = dance_sides((natural + mirrored) / 2, library, FRAME_RATE)
    assert sides.decided_share == 0 and np.isnan(sides.minor_share) and not sides.is_mixed


def test_the_mirror_of_positions_is_that_of_the_motion(make_moving):
    motion = make_moving(40)
    expected = motion.mirror().joint_positions()
    np.testing.assert_allclose(mirror_positions(motion.joint_positions()), expected, atol=1e-5)


@pytest.mark.shared_data
def test_real_waltzes_are_on_one_side(shared_data_dir):
    with open(shared_data_dir / "metadata.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["clip"].startswith("dance_w_")]
    waltzes = {row["clip"]: hip_aligned_poses(joints(shared_data_dir / row["file"]), *HIPS) for row in rows}
    assert len(waltzes) == 31
    for name in sorted(waltzes)[::8]:
        others = {other: poses for other, poses in waltzes.items() if other != name}
        natural, mirrored = (dance_sides(poses, others, FRAME_RATE) for poses in both_sides(waltzes[name]))
        assert natural.minor_share == 0 and (natural.sides == 1).mean() > 0.95
        assert (mirrored.sides == -1).mean() > 0.95


def joints(path) -> np.ndarray:
    with np.load(path) as file:
        return file["joints22"]


def both_sides(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return poses, mirror_positions(poses)
