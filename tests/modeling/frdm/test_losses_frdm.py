"""Each loss of foot restoration is zero on a clean dance and rises with the fault that it names."""

import pytest
import torch

from infinitedance.modeling.frdm.configuration_frdm import LOSS_WEIGHTS
from infinitedance.modeling.frdm.losses_frdm import LEG_JOINT_INDICES, frdm_losses, posed_legs
from infinitedance.motion.features import (
    CONTACTS,
    POSITIONS,
    ROOT,
    ROTATIONS,
    VELOCITIES,
    joint_channels,
    motion_to_features,
)
from infinitedance.motion.skeleton import JOINT_INDEX, JOINT_NAMES, neutral_skeleton

UNAVOIDABLE = {"foot_contact": 0.02}
"""Feet that the detector calls touching may still move a little: at most so many (m/s)^2 in the clean dance."""


@pytest.fixture(scope="module")
def clean(dance) -> torch.Tensor:
    return motion_to_features(dance)[None, :60]


@pytest.fixture(scope="module")
def losses(make_frdm, clean):
    """Return the losses of features that should be the clean dance."""
    model = make_frdm()

    def measure(features: torch.Tensor, logits: torch.Tensor | None = None) -> dict[str, float]:
        if logits is None:
            logits = 40 * clean[..., CONTACTS] - 20
        mask = torch.ones(features.shape[:2], dtype=torch.bool)
        terms = frdm_losses(
            model.config, model.feature_mean, model.feature_std, model.normalized_legs(features), logits, clean, mask
        )
        return {name: term.item() for name, term in terms.items()}

    return measure


def test_a_clean_dance_costs_nothing(losses, clean):
    terms = losses(clean)
    assert terms.keys() == LOSS_WEIGHTS.keys()
    for name, term in terms.items():
        assert 0 <= term <= UNAVOIDABLE.get(name, 1e-5), name


def still_contact_drift(clean):
    """Let the whole dancer glide: positions and velocities agree, feet in contact slide."""
    features = clean.clone()
    features[..., ROOT.start + 1] += 0.5
    return features


def wrong_velocities(clean):
    features = clean.clone()
    features[..., joint_channels([JOINT_INDEX["left_foot"]])["velocities"]] += 0.5
    return features


def lifted_rotations(clean):
    """Bend a knee by its rotation only."""
    features = clean.clone()
    identity = torch.tensor([1.0, 0, 0, 0, 1, 0])
    features[..., joint_channels([JOINT_INDEX["left_knee"]])["rotations"]] = identity
    features[..., joint_channels([JOINT_INDEX["left_hip"]])["rotations"]] = torch.tensor([1.0, 0, 0, 0, 0, 1])
    return features


def hovering_feet(clean):
    features = clean.clone()
    for joint in ("left_foot", "right_foot"):
        features[..., joint_channels([JOINT_INDEX[joint]])["positions"][1]] += 0.05
    return features


def long_shank(clean):
    features = clean.clone()
    features[..., joint_channels([JOINT_INDEX["right_ankle"]])["positions"][1]] -= 0.1
    return features


def shaken(clean):
    features = clean.clone()
    sign = torch.tensor([1.0, -1.0]).repeat(clean.shape[1] // 2)
    features[..., joint_channels([JOINT_INDEX["left_knee"]])["velocities"][0]] += sign
    return features


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("reconstruction", wrong_velocities),
        ("root", still_contact_drift),
        ("velocity", shaken),
        ("foot_contact", still_contact_drift),
        ("velocity_position", wrong_velocities),
        ("rotation_position", lifted_rotations),
        ("foot_height", hovering_feet),
        ("bone_length", long_shank),
    ],
)
def test_each_loss_rises_with_the_fault_that_it_names(losses, clean, name, fault):
    half = clean + 0.5 * (fault(clean) - clean)
    clean_term, half_term, full_term = (losses(features)[name] for features in (clean, half, fault(clean)))
    assert clean_term < half_term < full_term
    assert full_term > 1e-3 + 2 * clean_term


@pytest.mark.parametrize(
    ("fault", "untouched"),
    [
        (wrong_velocities, ("root", "foot_contact", "rotation_position", "foot_height", "bone_length", "contact")),
        (still_contact_drift, ("rotation_position", "foot_height", "bone_length", "contact")),
        (lifted_rotations, ("root", "foot_contact", "velocity_position", "foot_height", "bone_length")),
        (hovering_feet, ("root", "foot_contact", "velocity_position")),
    ],
)
def test_losses_that_name_another_fault_stay(losses, clean, fault, untouched):
    before, after = losses(clean), losses(fault(clean))
    for name in untouched:
        assert after[name] == pytest.approx(before[name], abs=1e-5), name


def test_a_uniform_slide_costs_its_squared_speed(losses, clean):
    features = clean.clone()
    features[..., ROOT] = torch.tensor([0.0, 0.3, 0.4, 0.93])
    features[..., POSITIONS] = features[:, :1, POSITIONS]  # a statue on wheels
    touching = clean[:, 1:, CONTACTS] * clean[:, :-1, CONTACTS]
    assert losses(features)["foot_contact"] == pytest.approx(0.25 * touching.mean().item(), rel=1e-4)


def test_rotations_may_be_a_little_off(losses, make_frdm, clean):
    epsilon = make_frdm().config.rotation_position_epsilon
    features = clean.clone()
    channel = joint_channels([JOINT_INDEX["left_foot"]])["positions"][0]
    features[..., channel] += 0.9 * epsilon
    assert losses(features)["rotation_position"] < 1e-5
    features[..., channel] += 0.2 * epsilon
    # One of six joints is 0.1 epsilon too far away; the loss counts decimetres.
    assert losses(features)["rotation_position"] == pytest.approx(10 * 0.1 * epsilon / 6, rel=0.05)


def test_wrong_contact_labels_cost_their_logit(losses, clean):
    right = 40 * clean[..., CONTACTS] - 20
    assert losses(clean, right)["contact"] < 1e-6
    assert losses(clean, -right)["contact"] == pytest.approx(20, rel=1e-4)
    assert losses(clean, 0 * right)["contact"] == pytest.approx(0.6931, abs=1e-3)


def test_nothing_beyond_the_end_of_a_clip_counts(make_frdm, clean):
    model = make_frdm()
    logits = torch.zeros(1, 60, 4)
    mask = torch.arange(60)[None] < 40
    legs = model.normalized_legs(clean)
    expected = frdm_losses(
        model.config, model.feature_mean, model.feature_std, legs[:, :40], logits[:, :40], clean[:, :40], mask[:, :40]
    )
    labels, estimate = clean.clone(), legs.clone()
    labels[:, 40:], estimate[:, 40:] = 0.0, 7.0
    for name, term in frdm_losses(
        model.config, model.feature_mean, model.feature_std, estimate, logits, labels, mask
    ).items():
        torch.testing.assert_close(term, expected[name], atol=1e-6, rtol=1e-4, msg=name)


def test_legs_posed_by_rotations_are_where_the_positions_say(clean):
    positions = clean[..., POSITIONS].unflatten(-1, (21, 3))[..., [joint - 1 for joint in LEG_JOINT_INDICES], :]
    offsets = torch.from_numpy(neutral_skeleton().offsets).float()
    torch.testing.assert_close(posed_legs(clean, offsets), positions, atol=1e-4, rtol=1e-4)
    assert [JOINT_NAMES[joint] for joint in LEG_JOINT_INDICES[:3]] == ["left_knee", "left_ankle", "left_foot"]
    assert ROTATIONS.stop == VELOCITIES.start
