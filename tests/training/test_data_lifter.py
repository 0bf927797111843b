from dataclasses import replace

import numpy as np
import pytest
import torch

from infinitedance.capture.camera import camera_rotations
from infinitedance.capture.landmark_body import body_scale, place_landmarks
from infinitedance.capture.landmarks import LANDMARK_INDEX
from infinitedance.modeling.lifter.losses_lifter import pose_offsets
from infinitedance.motion.kinematics import rotation_6d_to_matrix
from infinitedance.motion.skeleton import MIRROR_ORDER, Skeleton, neutral_skeleton
from infinitedance.training.data_lifter import (
    Dance,
    LifterSampler,
    RenderedErrors,
    RenderedPair,
    Truth,
    global_rotations,
    level_rotations,
    make_labels,
    random_bodies,
)
from infinitedance.training.estimator_errors import EstimatorErrors, disturb, true_world_points
from infinitedance.training.random_cameras import RandomCamera, place_cameras

FRAMES = 24
NO_ERRORS = EstimatorErrors(
    bias=0.0,
    slow=0.0,
    fast=0.0,
    depth_scale=(1.0, 1.0),
    space_bias=0.0,
    space_slow=0.0,
    depth_slow=0.0,
    tilt=0.0,
    swap_share=0.0,
    lost_share=0.0,
    limb_share=0.0,
)


@pytest.fixture(scope="module")
def dances(make_moving) -> list[Dance]:
    return [Dance.from_motion(make_moving(seed=seed)) for seed in range(3)]


@pytest.fixture
def make_sampler(dances):
    def make(pairs=(), share: float = 0.0, seed: int = 0) -> LifterSampler:
        return LifterSampler(dances, pairs, window_frames=FRAMES, batch_size=4, rendered_share=share, seed=(seed,))

    return make


@pytest.fixture(scope="module")
def truth(dances) -> Truth:
    """Four windows and cameras, one of which turns."""
    generator = torch.Generator().manual_seed(1)
    rotations, root, contacts = dances[0].window(0, 1.0, FRAMES)
    sizes = torch.tensor([[640, 480], [480, 640], [640, 640], [640, 480]])
    root = root.expand(4, -1, -1) + torch.rand(4, 1, 1, generator=generator)
    focal, turned, placed = place_cameras(root, sizes.float(), RandomCamera(moving_share=0.5), generator)
    return Truth(
        global_rotations(rotation_6d_to_matrix(rotations)).expand(4, -1, -1, -1, -1),
        root,
        random_bodies(4, generator),
        contacts.expand(4, -1, -1),
        focal,
        sizes,
        turned,
        placed,
    )


def test_labels_lead_back_to_the_picture(truth):
    """Joints of a label, seen by the label's camera, lie where the true ones are seen."""
    offsets = pose_offsets(truth.rotations, truth.skeleton_offsets)
    joints = truth.root_positions[:, :, None] + offsets
    seen = (joints - truth.camera_positions[:, None, None]) @ truth.camera_rotations.transpose(-1, -2)
    pixels = truth.focal_lengths[:, None, None, None] * seen[..., :2] / seen[..., 2:]
    centers, sizes = torch.full((4, FRAMES, 2), 7.0), torch.full((4,), 90.0)
    labels = make_labels(truth, centers, sizes)
    pitch, roll, log_focal = labels["camera"].unbind(-1)
    focal = log_focal.exp() * truth.image_sizes.float().norm(dim=-1)
    depth = labels["root_log_depth"].exp() * 0.5 * focal[:, None] / sizes[:, None]
    root = (labels["root_offset"] * sizes[:, None, None] + centers) / focal[:, None, None] * depth[..., None]
    turn = camera_rotations(torch.zeros(4), pitch, roll)[:, None]
    placed = labels["joint_offsets"] @ turn.transpose(-1, -2) + torch.cat([root, depth[..., None]], -1)[:, :, None]
    again = focal[:, None, None, None] * placed[..., :2] / placed[..., 2:]
    torch.testing.assert_close(again, pixels, atol=0.01, rtol=1e-4)


def test_a_level_camera_sees_the_dancer_upright(truth):
    level = level_rotations(truth.camera_rotations)
    up = torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(level @ up, up.expand(*level.shape[:2], 3), atol=1e-6, rtol=0)
    ahead = (level @ truth.camera_rotations[..., 2, :, None])[..., 0]
    assert ahead[..., 0].abs().max() < 1e-6 and ahead[..., 2].max() < 0


def test_random_bodies_are_of_one_height_and_of_many_proportions():
    bodies = random_bodies(50, torch.Generator().manual_seed(0))
    assert [body_scale(Skeleton(body.numpy())) for body in bodies] == pytest.approx([1.0] * 50, abs=2e-3)
    assert bodies[:, 4].norm(dim=-1).std() > 0.005


def test_cameras_have_the_dancer_in_front_and_mostly_in_the_picture():
    generator = torch.Generator().manual_seed(0)
    root = torch.cat([torch.rand(200, 30, 3, generator=generator)], dim=0) + torch.tensor([0.0, 0.4, 0.0])
    sizes = torch.tensor([[640.0, 480.0]]).expand(200, 2)
    focal, turned, placed = place_cameras(root, sizes, RandomCamera(), generator)
    seen = ((root - placed[:, None])[:, :, None] @ turned.transpose(-1, -2))[:, :, 0]
    pixels = focal[:, None, None] * seen[..., :2] / seen[..., 2:]
    assert seen[..., 2].min() > 1.0
    assert ((pixels.abs() < sizes[:, None] / 2).all(dim=-1)).float().mean() > 0.9


def test_the_same_batch_is_drawn_for_the_same_number(make_sampler):
    first, again, other = make_sampler()(3), make_sampler()(3), make_sampler()(4)
    torch.testing.assert_close(first["view_features"], again["view_features"], rtol=0, atol=0)
    assert not torch.equal(first["view_features"], other["view_features"])
    assert not torch.equal(first["view_features"], make_sampler(seed=1)(3)["view_features"])


def test_without_errors_the_estimator_finds_what_is_there(generator):
    in_camera = torch.randn(2, 10, 33, 3, generator=generator).numpy() * 0.3 + np.array([0, 0, 4.0])
    pixels = 500 * in_camera[..., :2] / in_camera[..., 2:]
    seen = disturb(pixels, in_camera, np.full((2, 2), 2000), NO_ERRORS, np.random.default_rng(0))
    np.testing.assert_allclose(seen.image_points, pixels, atol=1e-3)
    spread = np.linalg.norm(seen.world_points[:, :, 0] - seen.world_points[:, :, 5], axis=-1)
    true = np.linalg.norm(in_camera[:, :, 0] - in_camera[:, :, 5], axis=-1)
    assert np.ptp(spread / true) < 0.2  # but for the size that the estimator takes every person for
    assert (seen.confidences > 0.4).all()


def test_a_lost_person_and_swapped_sides_show_in_the_landmarks(generator):
    in_camera = torch.randn(40, 60, 33, 3, generator=generator).numpy() * 0.3 + np.array([0, 0, 4.0])
    pixels = 500 * in_camera[..., :2] / in_camera[..., 2:]
    lost = disturb(
        pixels, in_camera, np.full((40, 2), 2000), replace(NO_ERRORS, lost_share=1.0), np.random.default_rng(0)
    )
    gone = (lost.confidences == 0).all(axis=2)
    assert gone.any(axis=1).all() and gone.mean() < 0.5
    assert not lost.image_points[gone].any() and not lost.world_points[gone].any()
    swapped = disturb(
        pixels, in_camera, np.full((40, 2), 2000), replace(NO_ERRORS, swap_share=1.0), np.random.default_rng(0)
    )
    left, right = LANDMARK_INDEX["left_knee"], LANDMARK_INDEX["right_knee"]
    moved = np.abs(swapped.image_points[:, :, left] - pixels[:, :, right]).max(axis=-1) < 1e-2
    assert moved.any(axis=1).all() and moved.mean() < 0.6


def write_pair(path, frames: int = 30) -> None:
    skeleton = neutral_skeleton()
    quaternions = np.zeros((frames, 22, 4), np.float32)
    quaternions[..., 0] = 1
    draws = np.random.default_rng(0)
    np.savez(
        path,
        image_points=draws.uniform(0, 400, (frames, 33, 2)).astype(np.float32),
        confidences=np.ones((frames, 33), np.float32),
        world_points=draws.standard_normal((frames, 33, 3)).astype(np.float32),
        joint_rotations=quaternions,
        root_positions=np.tile(np.float32([0, 1, 0]), (frames, 1)),
        offsets=skeleton.offsets.astype(np.float32),
        toe_rest_height=np.float32(skeleton.toe_rest_height),
        camera_rotations=np.diag([1.0, -1.0, -1.0])[None].astype(np.float32),
        camera_position=np.float32([0, 1, 4]),
        focal_length=np.float32(500),
        image_size=np.array([640, 480]),
    )


def test_rendered_dances_are_part_of_the_batch(make_sampler, tmp_path):
    write_pair(tmp_path / "a.npz")
    pair = RenderedPair.read(tmp_path / "a.npz")
    batch = make_sampler([pair], 0.5)(0)
    assert batch["view_features"].shape == (4, FRAMES, 203)
    depth = batch["labels"]["root_log_depth"][2:].exp()
    assert depth.std(dim=1).max() < 1e-3  # the rendered dancer stands still, four metres away
    pitch, roll, _ = batch["labels"]["camera"][2:].unbind(-1)
    torch.testing.assert_close(pitch, torch.zeros(2), atol=1e-6, rtol=0)
    assert 1e-3 < roll.abs().min() and roll.abs().max() < 0.6  # the picture is turned
    assert batch["labels"]["foot_contacts"][2:].all()


def project(seen: RenderedPair) -> torch.Tensor:
    joints = pose_offsets(seen.rotations[None], seen.skeleton_offsets[None])[0] + seen.root_positions[:, None]
    ahead = (joints - seen.camera_position) @ seen.camera_rotations.transpose(-1, -2)
    return seen.focal_length * ahead[..., :2] / ahead[..., 2:]


def test_a_turned_picture_is_that_of_a_turned_camera(tmp_path):
    write_pair(tmp_path / "a.npz")
    pair = RenderedPair.read(tmp_path / "a.npz")
    pair = replace(pair, camera_position=torch.tensor([0.4, 1.2, 4.0]))
    middle = np.array([320, 240])
    turned = replace(pair, image_points=(project(pair).numpy() + middle)[:, [*range(21), *range(12)]]).roll(0.3)
    again = (project(turned).numpy() + middle)[:, [*range(21), *range(12)]]
    np.testing.assert_allclose(turned.image_points, again, atol=1e-2)
    assert np.abs(again - (project(pair).numpy() + middle)[:, [*range(21), *range(12)]]).max() > 5
    cosine, sine = np.cos(0.3), np.sin(0.3)
    x, y, z = np.moveaxis(pair.world_points, -1, 0)
    np.testing.assert_allclose(
        turned.world_points, np.stack([cosine * x - sine * y, sine * x + cosine * y, z], -1), atol=1e-5
    )


def test_a_pair_is_played_slower_and_backward_with_its_gaps(tmp_path):
    write_pair(tmp_path / "a.npz")
    pair = RenderedPair.read(tmp_path / "a.npz")
    path = torch.arange(30.0)[:, None] * torch.tensor([0.1, 0.0, 0.0])
    confidences = pair.confidences.copy()
    confidences[10] = 0
    pair = replace(pair, root_positions=path, confidences=confidences)
    played = pair.play(np.arange(20, 0, -0.5))
    torch.testing.assert_close(played.root_positions[:, 0], 0.1 * torch.arange(20, 0, -0.5))
    np.testing.assert_allclose(played.image_points[1], (pair.image_points[19] + pair.image_points[20]) / 2, rtol=1e-5)
    lost = np.flatnonzero(~(played.confidences > 0).any(axis=1)) * -0.5 + 20
    assert lost.tolist() == [10.5, 10, 9.5]
    assert not played.image_points[20].any()


def test_errors_of_a_rendered_dance_are_those_of_the_estimator(make_sampler, tmp_path):
    """Landmarks that were found where they are lend no errors, shifted ones lend the shift."""
    write_pair(tmp_path / "a.npz")
    pair = RenderedPair.read(tmp_path / "a.npz")
    joints = pose_offsets(pair.rotations[None], pair.skeleton_offsets[None])
    joints = torch.cat([torch.zeros_like(joints[:, :, :1]), joints], dim=2) + pair.root_positions[None, :, None]
    ahead = (place_landmarks(joints, pair.rotations[None])[0] - pair.camera_position) @ pair.camera_rotations[0].T
    pixels = (500 * ahead[..., :2] / ahead[..., 2:]).numpy()
    size = np.sqrt(((pixels - pixels.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean())
    world = true_world_points(ahead[None].numpy())[0]
    found = replace(pair, image_points=pixels + np.array([320 + size, 240]), world_points=world + 0.25)
    errors = RenderedErrors.of(found)
    np.testing.assert_allclose(errors.image_points, np.broadcast_to([1, 0], (30, 33, 2)), atol=1e-3)
    np.testing.assert_allclose(errors.world_points, 0.25, atol=1e-5)
    np.testing.assert_allclose(errors.facing, np.broadcast_to([0, 1], (30, 2)), atol=1e-6)


def test_a_mirrored_pair_is_seen_as_the_mirrored_picture(tmp_path):
    """The mirrored camera sees the mirrored dancer's joints where the mirrored picture has them."""
    write_pair(tmp_path / "a.npz")
    pair = RenderedPair.read(tmp_path / "a.npz")
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.3, 0.2], [0.3, 0.0, -0.1], [-0.2, 0.1, 0.0]]))
    pair = replace(
        pair,
        rotations=turn @ pair.rotations,
        contacts=torch.tensor([1.0, 0.0, 1.0, 0.0]).expand(30, 4),
        camera_rotations=camera_rotations(*torch.tensor([[0.2], [0.1], [0.05]])).expand(30, 3, 3),
        camera_position=torch.tensor([0.4, 1.0, 4.0]),
    )

    mirrored = pair.mirror()
    order = [joint - 1 for joint in MIRROR_ORDER[1:]]
    torch.testing.assert_close(project(mirrored), project(pair)[:, order] * torch.tensor([-1.0, 1.0]))
    assert mirrored.contacts[0].tolist() == [0, 1, 0, 1]
    assert torch.linalg.det(mirrored.camera_rotations[0]) > 0 and torch.linalg.det(mirrored.rotations[0, 0]) > 0
    np.testing.assert_allclose(mirrored.mirror().image_points, pair.image_points, atol=1e-4)
