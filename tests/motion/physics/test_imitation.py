"""The simulated body is the dancer's, and imitates what a body can do."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.evaluation.metrics.foot_contact import floor_penetration_mm
from infinitedance.motion.motion import Motion
from infinitedance.motion.physics.body import BODY_MASS_KILOGRAMS, SIMULATED_ORDER, build_body
from infinitedance.motion.physics.imitation import imitate
from infinitedance.motion.retargeting.retargeting import put_on_floor
from infinitedance.motion.skeleton import CONTACT_JOINTS, JOINT_INDEX, JOINT_NAMES

mujoco = pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def swaying() -> Motion:
    """A dancer with bent knees who sways on both feet for a second and waves."""
    frames = 30
    seconds = np.arange(frames) / 30
    vectors = np.zeros((frames, 22, 3))
    bend = 0.5 + 0.1 * np.sin(4 * seconds)
    for side in ("left", "right"):
        vectors[:, JOINT_INDEX[f"{side}_hip"], 0] = -bend
        vectors[:, JOINT_INDEX[f"{side}_knee"], 0] = 2 * bend
        vectors[:, JOINT_INDEX[f"{side}_ankle"], 0] = -bend
    vectors[:, JOINT_INDEX["left_shoulder"], 2] = np.sin(3 * seconds)
    rotations = roma.quat_xyzw_to_wxyz(roma.rotvec_to_unitquat(torch.from_numpy(vectors))).numpy()
    root = np.zeros((frames, 3))
    posed = Motion(30.0, root, rotations).joint_positions()
    root[:, 1] = -(posed[:, JOINT_INDEX["left_ankle"], 1])
    return put_on_floor(Motion(30.0, root, rotations))


def penetration(motion: Motion) -> float:
    feet = motion.joint_positions()[:, list(CONTACT_JOINTS)]
    return floor_penetration_mm(feet, motion.skeleton.contact_rest_heights)


def test_the_body_has_the_dancers_bones_and_poses_as_ours(swaying):
    tall = replace(swaying, skeleton=swaying.skeleton.scaled(1.1))
    model = build_body(tall.skeleton)
    data = mujoco.MjData(model)
    data.qpos[:3] = tall.root_positions[20]
    data.qpos[3:] = tall.joint_rotations[20, SIMULATED_ORDER].ravel()
    mujoco.mj_kinematics(model, data)
    for name, position in zip(JOINT_NAMES, tall.joint_positions()[20], strict=True):
        np.testing.assert_allclose(data.body(name).xpos, position, atol=1e-5)
    assert model.body_mass.sum() == pytest.approx(BODY_MASS_KILOGRAMS)


def test_soles_rest_where_the_skeleton_says(swaying):
    model = build_body(swaying.skeleton)
    data = mujoco.MjData(model)
    data.qpos[:] = [0, 1, 0, *([1, 0, 0, 0] * 22)]
    mujoco.mj_kinematics(model, data)
    for name, rest in zip(CONTACT_JOINTS, swaying.skeleton.contact_rest_heights, strict=True):
        body = data.body(JOINT_NAMES[name])
        (geom,) = range(model.body_geomadr[body.id], model.body_geomadr[body.id] + model.body_geomnum[body.id])
        sole = data.geom_xpos[geom, 1] - model.geom_size[geom, 1]
        assert body.xpos[1] - sole == pytest.approx(rest, abs=1e-5)


def test_a_dance_that_a_body_can_do_is_imitated(swaying):
    motion, report = (result := imitate(swaying)).motion, result.report
    assert motion.num_frames == swaying.num_frames and motion.skeleton == swaying.skeleton
    assert report.mpjpe_to_input_mm < 25 and report.max_error_metres < 0.1
    assert not report.fell and not report.rejected
    assert max(report.mean_residual_force) < 0.3
    assert motion.foot_contacts.any(axis=1).mean() > 0.9


def test_the_floor_keeps_feet_out(swaying):
    dips = swaying.root_positions + np.array([0, 1, 0]) * 0.04 * np.sin(np.arange(30) / 3)[:, None]
    sinking = replace(swaying, root_positions=dips)
    result = imitate(sinking)
    assert penetration(sinking) > 5
    assert penetration(result.motion) < 0.2 * penetration(sinking)


def test_without_a_pull_on_the_root_a_leaning_body_falls_and_the_clip_is_rejected(swaying):
    lean = np.array([np.cos(0.25), 0, 0, np.sin(0.25)], dtype=np.float32)
    rotations = np.tile(swaying.joint_rotations, (2, 1, 1))
    rotations[:, 0] = lean
    leaning = Motion(30.0, np.tile(swaying.root_positions, (2, 1)), rotations)
    report = imitate(leaning, max_root_force=0, max_root_torque=0).report
    assert report.fell and report.rejected and report.max_error_metres > 0.25
    assert report.mean_residual_force == (0, 0, 0)
    assert not imitate(leaning).report.fell


def test_a_dance_off_the_floor_is_put_on_it(swaying):
    high = replace(swaying, root_positions=swaying.root_positions + np.array([0, 0.4, 0], dtype=np.float32))
    low, plain = imitate(high), imitate(swaying)
    assert low.report.raised_metres == pytest.approx(plain.report.raised_metres - 0.4, abs=1e-5)
    assert low.report.mpjpe_to_input_mm == pytest.approx(plain.report.mpjpe_to_input_mm, abs=5)


def test_other_frame_rates_are_brought_to_30_hz(swaying):
    result = imitate(swaying.resample(60.0))
    assert result.motion.frame_rate == 30 and result.motion.num_frames == 30
    assert not result.report.rejected


@pytest.mark.parametrize(
    ("motion", "options", "message"),
    [
        (lambda motion: motion.cut(0, 1), {}, "at least 2 frames, got 1"),
        (lambda motion: motion, {"max_root_force": -1.0}, "must not be negative, got -1.0"),
        (lambda motion: motion, {"max_root_torque": -1.0}, "must not be negative"),
    ],
)
def test_wrong_input_is_refused(motion, options, message, swaying):
    with pytest.raises(ValueError, match=message):
        imitate(motion(swaying), **options)
