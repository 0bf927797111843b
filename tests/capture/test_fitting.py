from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from infinitedance.capture import fitting
from infinitedance.capture.camera import camera_rotations
from infinitedance.capture.fitting import FitSettings, Lifted, fit
from infinitedance.motion.kinematics import forward_kinematics
from infinitedance.motion.skeleton import neutral_skeleton


@pytest.fixture(scope="module")
def motion(make_moving):
    return make_moving(num_frames=40, strength=0.3)


@pytest.fixture(scope="module")
def proposal(motion, front_camera) -> Lifted:
    """The truth, in the camera's space."""
    positions = torch.from_numpy(motion.joint_frames()[0]).float()
    return Lifted(
        rotations=motion.joint_rotations_matrix().float(),
        joint_offsets=positions[:, 1:] - positions[:, :1],
        root_positions=positions[:, 0] - torch.from_numpy(front_camera.position).float(),
        contact_probabilities=torch.zeros(motion.num_frames, 4),
        pitch=0.1,
        roll=0.02,
        focal_length=front_camera.focal_length,
        is_focal_length_known=True,
        headings=torch.zeros(motion.num_frames),
    )


def disturbed(proposal: Lifted, size: float = 0.15) -> Lifted:
    """Turn every joint and move the root by some steady and some shaking amount."""
    draws = torch.Generator().manual_seed(0)
    shape = proposal.rotations.shape[:2]
    turn = size * (torch.randn(1, shape[1], 3, generator=draws) + 0.3 * torch.randn(*shape, 3, generator=draws))
    shift = torch.tensor([0.05, -0.03, 0.2]) + 0.02 * torch.randn(shape[0], 3, generator=draws)
    return replace(
        proposal,
        rotations=proposal.rotations @ roma.rotvec_to_rotmat(turn),
        root_positions=proposal.root_positions + shift,
    )


def joint_error_mm(lifted: Lifted, truth: Lifted) -> float:
    return 1000 * float((lifted.joint_offsets - truth.joint_offsets).norm(dim=-1).mean())


def posed(lifted: Lifted) -> Lifted:
    """Return a proposal whose joints are where its rotations have them."""
    bones = torch.from_numpy(neutral_skeleton().offsets).float()
    joints, _ = forward_kinematics(
        lifted.rotations, torch.zeros_like(lifted.root_positions), bones, neutral_skeleton().parents
    )
    return replace(lifted, joint_offsets=joints[:, 1:])


def test_the_truth_stays_where_it_is(motion, front_camera, see, proposal):
    fitted = fit(see(motion, front_camera), proposal, FitSettings(iterations=40))
    assert joint_error_mm(fitted, proposal) < 12
    assert float(fitted.reprojection_error.mean()) < 0.01


def test_a_disturbed_proposal_is_brought_nearer_to_what_was_seen(motion, front_camera, see, proposal):
    wrong = posed(disturbed(proposal))
    fitted = fit(see(motion, front_camera), wrong, FitSettings())
    assert joint_error_mm(fitted, proposal) < 0.75 * joint_error_mm(wrong, proposal)
    # Across the picture; along the camera's axis the size in the picture says little.
    wrong_by, off_by = (x.root_positions - proposal.root_positions for x in (wrong, fitted))
    assert off_by[:, :2].norm(dim=-1).mean() < 0.8 * wrong_by[:, :2].norm(dim=-1).mean()


def test_bones_keep_their_lengths(motion, front_camera, see, proposal):
    fitted = fit(see(motion, front_camera), disturbed(proposal), FitSettings(iterations=20))
    shin = (fitted.joint_offsets[:, 7 - 1] - fitted.joint_offsets[:, 4 - 1]).norm(dim=-1)
    assert float(shin.std()) < 1e-5


def test_feet_in_contact_are_stilled(front_camera, see, make_moving, proposal):
    """Where the lifter is sure of a contact, the foot hardly moves, whatever the landmarks say."""
    motion = make_moving(num_frames=40, strength=0.3)
    standing = replace(proposal, contact_probabilities=torch.ones(40, 4))
    free, held = (fit(see(motion, front_camera), start, FitSettings(iterations=60)) for start in (proposal, standing))

    def slide(lifted: Lifted) -> float:
        feet = lifted.root_positions[:, None] + lifted.joint_offsets[:, [6, 7, 9, 10]]
        return float(feet.diff(dim=0).norm(dim=-1).mean())

    assert slide(held) < 0.5 * slide(free)


def test_frames_without_a_person_are_bridged(motion, front_camera, see, proposal):
    track = see(motion, front_camera)
    arrays = {name: getattr(track, name).copy() for name in ("image_points", "confidences", "world_points")}
    for array in arrays.values():
        array[15:20] = 0
    fitted = fit(replace(track, **arrays), proposal, FitSettings(iterations=40))
    assert torch.isnan(fitted.reprojection_error[15:20]).all() and torch.isfinite(fitted.root_positions).all()
    assert joint_error_mm(fitted, proposal) < 15


def test_a_long_track_is_fitted_in_stretches_that_join(motion, front_camera, see, proposal, monkeypatch):
    monkeypatch.setattr(fitting, "CHUNK_FRAMES", 20)
    monkeypatch.setattr(fitting, "OVERLAP_FRAMES", 6)
    monkeypatch.setattr(fitting, "CAMERA_STRETCHES", 2)
    monkeypatch.setattr(fitting, "CAMERA_STRETCH_FRAMES", 12)
    fitted = fit(see(motion, front_camera), proposal, FitSettings(iterations=30))
    assert len(fitted.root_positions) == len(fitted.rotations) == len(fitted.reprojection_error) == 40
    step, true_step = (x.root_positions.diff(dim=0).norm(dim=-1).max() for x in (fitted, proposal))
    assert float(step) < float(true_step) + 0.02
    assert joint_error_mm(fitted, posed(fitted)) < 1e-2
    assert joint_error_mm(fitted, proposal) < 15
    identity = fitted.rotations @ fitted.rotations.transpose(-1, -2)
    torch.testing.assert_close(identity, torch.eye(3).expand_as(identity), atol=1e-4, rtol=0)


def test_a_tilted_camera_is_found_again(motion, front_camera, see, proposal):
    """A proposal of the wrong tilt, seen by the true camera, is turned toward it."""
    wrong = replace(proposal, pitch=0.16)
    fitted = fit(see(motion, front_camera), wrong, FitSettings(camera=0.0))
    assert abs(fitted.pitch - 0.1) < 0.05


def test_a_camera_that_turns_sees_the_dance_where_it_is(motion, front_camera, see, proposal):
    """With the headings that the camera had, the truth stays where it is; taken for a still one, it is bent."""
    headings = torch.linspace(0, 0.4, motion.num_frames)
    turns = camera_rotations(headings.double(), *torch.tensor([0.1, 0.02]).double())
    turning = replace(front_camera, rotations=turns.numpy())
    assert np.allclose(turning.rotations[-1, 2, [0, 2]], [np.sin(0.4) * np.cos(0.1), -np.cos(0.4) * np.cos(0.1)])
    track = see(motion, turning)
    told, untold = (
        fit(track, replace(proposal, headings=h), FitSettings(iterations=40)) for h in (headings, 0 * headings)
    )
    assert joint_error_mm(told, proposal) < 12 < joint_error_mm(untold, proposal)
    assert float(told.reprojection_error.mean()) < 0.01
