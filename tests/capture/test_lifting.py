from dataclasses import replace

import numpy as np
import pytest
import torch

from infinitedance.capture.camera import Camera, camera_rotations
from infinitedance.capture.fitting import FitSettings
from infinitedance.capture.landmark_body import body_scale
from infinitedance.capture.lifting import lift, propose
from infinitedance.modeling.lifter.configuration_lifter import LifterConfig
from infinitedance.modeling.lifter.modeling_lifter import LifterModel
from infinitedance.motion.kinematics import yaw_to_matrix
from infinitedance.motion.skeleton import MIRROR_ORDER, neutral_skeleton

QUICK = FitSettings(iterations=3)


@pytest.fixture(scope="module")
def lifter() -> LifterModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return LifterModel(LifterConfig(**sizes, window_frames=16, overlap_frames=8)).eval()


@pytest.fixture(scope="module")
def track(make_moving, front_camera, see):
    return see(make_moving(num_frames=41), front_camera)


def test_a_lifted_dance_is_as_long_as_its_track_and_stands_on_the_floor(track, lifter):
    lifted = lift(track, lifter, settings=QUICK)
    assert lifted.motion.num_frames == 41 and lifted.motion.frame_rate == 30
    assert lifted.contact_probabilities.shape == (41, 4) and lifted.reprojection_error.shape == (41,)
    assert lifted.motion.foot_contacts is not None
    assert np.allclose(lifted.motion.root_positions[0, [0, 2]], 0, atol=1e-6)


def test_the_camera_sees_the_dance_where_it_was_seen(track, lifter):
    """The camera of the result projects the root to where the lifter has it in the picture."""
    proposal = propose(track, lifter)
    lifted = lift(track, lifter, settings=FitSettings(iterations=0))
    shown = lifted.camera.project(lifted.motion.root_positions[:, None].astype(float))[:, 0]
    turn = camera_rotations(torch.tensor(0.0), *torch.tensor([proposal.pitch, proposal.roll]))
    seen = (proposal.root_positions @ turn.T).numpy()
    np.testing.assert_allclose(
        shown, proposal.focal_length * seen[:, :2] / seen[:, 2:] + np.array([320, 240]), atol=0.5
    )


@pytest.mark.parametrize("height", [1.0, 1.9])
def test_a_dancer_is_as_tall_as_is_said(track, lifter, height):
    small, large = (lift(track, lifter, settings=QUICK, height_metres=metres) for metres in (1.7, height))
    assert body_scale(large.motion.skeleton) == pytest.approx(height / 1.7, rel=1e-6)
    path = np.linalg.norm(np.diff(small.motion.root_positions, axis=0), axis=1).sum()
    longer = np.linalg.norm(np.diff(large.motion.root_positions, axis=0), axis=1).sum()
    assert longer == pytest.approx(path * height / 1.7, rel=1e-3)


def test_a_given_focal_length_is_kept(track, lifter):
    assert lift(track, lifter, settings=QUICK, focal_length_pixels=500.0).camera.focal_length == 500.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height_metres": 0.1}, "between 0.5 and 2.5"),
        ({"height_metres": float("nan")}, "between 0.5 and 2.5"),
        ({"focal_length_pixels": 0.0}, "positive number of pixels"),
    ],
)
def test_impossible_dancers_and_cameras_are_refused(track, lifter, arguments, message):
    with pytest.raises(ValueError, match=message):
        lift(track, lifter, settings=QUICK, **arguments)


def test_a_single_frame_is_refused(track, lifter):
    with pytest.raises(ValueError, match="two frames"):
        lift(track.cut(0, 1), lifter)


def test_a_camera_projects_what_is_ahead_to_the_middle_of_the_picture():
    camera = Camera(
        (640, 480),
        500.0,
        camera_rotations(torch.zeros(1), *torch.tensor([0.3, 0.1])).double().numpy(),
        np.array([0.0, 2.0, 3.0]),
    )
    ahead = camera.position + 2.0 * camera.rotations[0, 2]
    np.testing.assert_allclose(camera.project(ahead[None, None])[0, 0], [320, 240], atol=1e-3)
    below = camera.project(np.array([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]))[0]
    assert below[0, 1] > below[1, 1]  # y down
    assert body_scale(neutral_skeleton()) == 1.0


def test_the_mirror_image_of_a_video_gives_the_mirrored_dance(track, lifter):
    proposal, mirrored = propose(track, lifter), propose(track.mirror(), lifter)
    flip, order = torch.tensor([-1.0, 1.0, 1.0]), [joint - 1 for joint in MIRROR_ORDER[1:]]
    torch.testing.assert_close(mirrored.joint_offsets, proposal.joint_offsets[:, order] * flip, atol=1e-4, rtol=0)
    turned = proposal.rotations[:, list(MIRROR_ORDER)] * flip[:, None] * flip
    torch.testing.assert_close(mirrored.rotations, turned, atol=1e-4, rtol=0)
    torch.testing.assert_close(mirrored.root_positions, proposal.root_positions * flip, atol=1e-3, rtol=0)
    assert mirrored.roll == pytest.approx(-proposal.roll, abs=1e-5)
    assert mirrored.focal_length == pytest.approx(proposal.focal_length, rel=1e-4)


def test_a_dancer_whom_a_camera_follows_goes_where_the_background_says(track, lifter):
    """In the same pictures of a dancer, a background that moves to the left is a camera that turns to the right."""
    shifts = np.stack([np.linspace(0, -200, track.num_frames), np.zeros(track.num_frames)], axis=1)
    still, moving = propose(track, lifter), propose(replace(track, camera_shifts=shifts), lifter)
    assert float(moving.headings[-1]) == pytest.approx(200 / still.focal_length, rel=1e-5) and moving.headings[0] == 0
    turn = yaw_to_matrix(-moving.headings)
    expected = (turn @ still.root_positions[..., None])[..., 0]
    torch.testing.assert_close(moving.root_positions, expected, atol=1e-5, rtol=0)
    lifted = lift(replace(track, camera_shifts=shifts), lifter, settings=FitSettings(iterations=0))
    assert lifted.camera.rotations.shape == (track.num_frames, 3, 3)
    shown = lifted.camera.project(lifted.motion.root_positions[:, None].astype(float))
    unmoved = lift(track, lifter, settings=FitSettings(iterations=0))
    np.testing.assert_allclose(
        shown, unmoved.camera.project(unmoved.motion.root_positions[:, None].astype(float)), atol=0.5
    )
