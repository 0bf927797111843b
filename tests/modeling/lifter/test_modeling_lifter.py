import numpy as np
import pytest
import torch

from infinitedance.modeling.lifter.configuration_lifter import LOSS_WEIGHTS, LifterConfig
from infinitedance.modeling.lifter.landmark_view import NUM_VIEW_FEATURES, view_landmarks
from infinitedance.modeling.lifter.losses_lifter import LifterLabels, lifter_losses, pose_offsets
from infinitedance.modeling.lifter.modeling_lifter import LifterModel
from infinitedance.motion.kinematics import matrix_to_rotation_6d, rotation_6d_to_matrix
from infinitedance.motion.skeleton import neutral_skeleton

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "window_frames": 16,
    "overlap_frames": 8,
}


@pytest.fixture
def model() -> LifterModel:
    torch.manual_seed(0)
    return LifterModel(LifterConfig(**TINY)).eval()


@pytest.fixture
def features(generator) -> torch.Tensor:
    return torch.randn(2, 16, NUM_VIEW_FEATURES, generator=generator)


def truth(generator: torch.Generator, frames: int = 16) -> LifterLabels:
    rotations = rotation_6d_to_matrix(torch.randn(2, frames, 22, 6, generator=generator))
    offsets = torch.from_numpy(neutral_skeleton().offsets).float().expand(2, 22, 3)
    return LifterLabels(
        joint_rotations_matrix=rotations,
        skeleton_offsets=offsets,
        joint_offsets=pose_offsets(rotations, offsets),
        root_offset=torch.randn(2, frames, 2, generator=generator),
        root_log_depth=torch.randn(2, frames, generator=generator),
        foot_contacts=(torch.rand(2, frames, 4, generator=generator) > 0.5).float(),
        camera=torch.randn(2, 3, generator=generator),
    )


def landmarks(seed: int = 0, frames: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    return (
        draws.uniform(100, 400, (frames, 33, 2)).astype(np.float32),
        draws.uniform(0.5, 1, (frames, 33)).astype(np.float32),
        draws.standard_normal((frames, 33, 3)).astype(np.float32),
    )


def test_the_outputs_have_a_number_for_each_frame(model, features):
    output = model(features)
    assert output.joint_rotations_6d.shape == (2, 16, 22, 6)
    assert output.joint_offsets.shape == (2, 16, 21, 3)
    assert output.root_offset.shape == (2, 16, 2) and output.root_log_depth.shape == (2, 16)
    assert output.contact_logits.shape == (2, 16, 4) and output.camera.shape == (2, 3)


def test_frames_beyond_the_end_change_nothing_before_it(model, features):
    alone = model(features[:, :10])
    padded = features.clone()
    padded[:, 10:] = 99.0
    output = model(padded, frame_mask=(torch.arange(16) < 10)[None].expand(2, 16))
    for name in ("joint_rotations_6d", "joint_offsets", "root_offset", "root_log_depth", "contact_logits"):
        # The last frame is also written by the token behind it.
        torch.testing.assert_close(output[name][:, :9], alone[name][:, :9], atol=1e-5, rtol=1e-4)


def test_a_window_alone_equals_the_window_in_a_batch(model, features):
    torch.testing.assert_close(model(features[1:]).joint_offsets, model(features).joint_offsets[1:])


def test_every_parameter_gets_a_gradient(features, generator):
    model = LifterModel(LifterConfig(**TINY))
    model(features, labels=truth(generator)).loss.backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_all_losses_but_contacts_are_zero_at_the_truth(model, features, generator):
    labels = truth(generator)
    output = model(features)
    output.joint_rotations_6d = matrix_to_rotation_6d(labels["joint_rotations_matrix"])
    for name in ("joint_offsets", "root_offset", "root_log_depth", "camera"):
        output[name] = labels[name]
    losses = lifter_losses(output, labels, torch.ones(2, 16, dtype=torch.bool))
    assert set(losses) == set(LOSS_WEIGHTS)
    assert max(float(losses[name]) for name in losses if name != "contact") < 1e-3


def test_the_loss_ignores_padding(model, features, generator):
    labels = truth(generator)
    mask = (torch.arange(16) < 12)[None].expand(2, 16)
    first = model(features, frame_mask=mask, labels=labels).loss
    for name in ("joint_offsets", "root_offset", "root_log_depth", "foot_contacts"):
        labels[name] = labels[name].clone()
        labels[name][:, 12:] = 7.0
    torch.testing.assert_close(model(features, frame_mask=mask, labels=labels).loss, first)


def test_saving_and_loading_keeps_every_output(model, features, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = LifterModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(features).joint_offsets, model(features).joint_offsets)


def test_posed_offsets_equal_forward_kinematics(dance):
    positions = dance.joint_positions()
    offsets = torch.from_numpy(dance.skeleton.offsets).float()[None]
    rotations = torch.from_numpy(dance.joint_frames()[1]).float()
    posed = pose_offsets(rotations[None], offsets)[0].numpy()
    np.testing.assert_allclose(posed, positions[:, 1:] - positions[:, :1], atol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_view_does_not_depend_on_the_size_of_the_picture(factor):
    points, confidences, world = landmarks()
    view = view_landmarks(points, confidences, world, (640, 480))
    scaled = view_landmarks(points * factor, confidences, world, (round(640 * factor), round(480 * factor)))
    np.testing.assert_allclose(scaled.features, view.features, atol=1e-3)
    assert scaled.size == pytest.approx(factor * view.size, rel=1e-3)


def test_a_lost_frame_shows_nothing_and_is_centered_between_its_neighbors():
    points, confidences, world = landmarks()
    points[5], confidences[5], world[5] = 0, 0, 0
    view = view_landmarks(points, confidences, world, (640, 480))
    assert not view.features[5, : 6 * 33].any()
    np.testing.assert_allclose(view.centers[5], (view.centers[4] + view.centers[6]) / 2)


def test_a_window_without_a_person_is_refused():
    points, confidences, world = landmarks()
    with pytest.raises(ValueError, match="person in at least one frame"):
        view_landmarks(points, 0 * confidences, world, (640, 480))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 15}, "even and a multiple"),
        ({"window_frames": 15}, "multiple of 2"),
        ({"overlap_frames": 9}, "half of `window_frames`"),
        ({"num_hidden_layers": 0}, "at least 1"),
        ({"frame_rate": 0.0}, "positive number of Hz"),
        ({"loss_weights": {"nosuch": 1.0}}, "nosuch"),
    ],
)
def test_a_wrong_configuration_is_refused(fields, message):
    with pytest.raises(Exception, match=message):
        LifterConfig(**(TINY | fields))


@pytest.mark.parametrize(("shape", "message"), [((1, 16, 5), "203"), ((1, 15, 203), "even"), ((1, 18, 203), "16")])
def test_features_of_a_wrong_shape_are_refused(model, shape, message):
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))
