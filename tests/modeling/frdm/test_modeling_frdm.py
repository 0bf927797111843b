"""The denoiser of foot restoration and its configuration."""

import subprocess
import sys

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModel

from infinitedance.modeling.frdm.configuration_frdm import LOSS_WEIGHTS, FrdmConfig
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel, FrdmScheduler, shift_frames
from infinitedance.motion.features import CONTACTS, NUM_FEATURES, motion_to_features
from infinitedance.motion.skeleton import JOINT_NAMES


def make_batch(model: FrdmModel, dance, generator, num_frames: int = 24, timestep: int = 300) -> dict:
    """Return two noised windows of a dance, the first with its observed legs."""
    features = motion_to_features(dance)
    clean = torch.stack([features[:num_frames], features[30 : 30 + num_frames]])
    noise = torch.randn(2, num_frames, model.config.num_restored_channels, generator=generator)
    timesteps = torch.full((2,), timestep)
    scheduler = FrdmScheduler(model.config.num_train_timesteps)
    return {
        "noisy_sample": scheduler.add_noise(model.normalized_legs(clean), noise, timesteps),
        "timesteps": timesteps,
        "context_features": clean,
        "observed": torch.tensor([True, False]),
        "labels": clean,
    }


def test_root_knees_and_feet_are_restored_and_nothing_of_the_upper_body():
    channels = FrdmConfig().restored_channels
    assert len(channels) == len(set(channels)) == 4 + 6 * 3 + 6 * 6 + 7 * 3
    names = {"positions": set(), "rotations": set(), "velocities": set()}
    for channel in channels[4:]:
        if channel < 67:
            names["positions"].add(JOINT_NAMES[1 + (channel - 4) // 3])
        elif channel < 199:
            names["rotations"].add(JOINT_NAMES[(channel - 67) // 6])
        else:
            names["velocities"].add(JOINT_NAMES[(channel - 199) // 3])
    assert channels[:4] == [0, 1, 2, 3] and channels[-1] < CONTACTS.start

    def legs(*parts: str) -> set[str]:
        return {f"{side}_{part}" for side in ("left", "right") for part in parts}

    assert names["positions"] == legs("knee", "ankle", "foot")
    assert names["rotations"] == legs("hip", "knee", "ankle")
    assert names["velocities"] == {"pelvis"} | legs("knee", "ankle", "foot")


def test_what_is_merged_can_be_read_again_and_the_rest_of_the_body_stays(make_frdm, dance, generator):
    model, features = make_frdm(), motion_to_features(dance)
    sample = torch.randn(len(features), model.config.num_restored_channels, generator=generator)
    merged = model.merge(features, sample)
    torch.testing.assert_close(model.normalized_legs(merged), sample, atol=1e-4, rtol=1e-4)
    others = [channel for channel in range(NUM_FEATURES) if channel not in model.config.restored_channels]
    assert torch.equal(merged[:, others], features[:, others])


def test_a_new_model_that_sees_the_legs_hardly_changes_them(make_frdm, dance, generator):
    model = make_frdm()
    batch = make_batch(model, dance, generator)
    change = model(**batch).clean_sample - model.normalized_legs(batch["context_features"])
    assert change[0].abs().max() < 1 < change[1].abs().max()


def test_a_hidden_leg_reaches_the_model_through_noise_only(make_frdm, dance, generator):
    model = make_frdm(initializer_range=0.3)
    batch = make_batch(model, dance, generator)
    del batch["labels"]
    before = model(**batch).clean_sample
    legs = batch["context_features"].clone()
    legs[..., model.config.restored_channels] += 1
    after = model(**batch | {"context_features": legs}).clean_sample
    assert torch.equal(after[1], before[1]) and not torch.allclose(after[0], before[0], atol=0.1)


@pytest.mark.parametrize("num_frames", [1, 13])
def test_padding_does_not_change_a_window(make_frdm, dance, generator, num_frames):
    model = make_frdm(initializer_range=0.3)
    batch = make_batch(model, dance, generator, num_frames)
    alone = model(**batch)
    padded = {
        name: torch.nn.functional.pad(value, (0, 0, 0, 11), value=99.0) if value.ndim == 3 else value
        for name, value in batch.items()
    }
    frame_mask = (torch.arange(num_frames + 11) < num_frames).expand(2, -1)
    together = model(**padded, frame_mask=frame_mask)
    torch.testing.assert_close(together.clean_sample[:, :num_frames], alone.clean_sample, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.contact_logits[:, :num_frames], alone.contact_logits, atol=1e-5, rtol=1e-4)
    for name, term in alone.loss_terms.items():
        torch.testing.assert_close(together.loss_terms[name], term, atol=1e-5, rtol=1e-4, msg=name)


def test_an_eighth_of_the_channels_comes_a_frame_later_and_an_eighth_a_frame_earlier():
    states = torch.arange(1.0, 5)[None, :, None].repeat(1, 1, 8)
    shifted = shift_frames(states)[0].T
    assert shifted[0].tolist() == [0, 1, 2, 3] and shifted[1].tolist() == [2, 3, 4, 0]
    assert (shifted[2:] == torch.arange(1.0, 5)).all()


def test_every_parameter_gets_a_gradient(make_frdm, dance, generator):
    model = make_frdm(initializer_range=0.3)
    model(**make_batch(model, dance, generator)).loss.backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert silent == []


def test_the_loss_is_the_weighted_sum_of_its_terms(make_frdm, dance, generator):
    for weights in (None, {"reconstruction": 2.0, "contact": 0.0}):
        model = make_frdm(loss_weights=weights)
        output = model(**make_batch(model, dance, generator))
        expected = LOSS_WEIGHTS | (weights or {})
        assert output.loss_terms.keys() == LOSS_WEIGHTS.keys()
        total = sum(expected[name] * term.item() for name, term in output.loss_terms.items())
        assert output.loss.item() == pytest.approx(total, rel=1e-5)


def test_training_lowers_the_loss(make_frdm, dance, generator):
    model = make_frdm().train()
    batch = make_batch(model, dance, generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_saved_model_is_the_same_in_a_fresh_process(make_frdm, dance, generator, tmp_path):
    model = make_frdm(initializer_range=0.3)
    batch = make_batch(model, dance, generator)
    model.save_pretrained(tmp_path / "model")
    output = model(**batch)
    torch.save({"batch": batch, "loss": output.loss.detach()}, tmp_path / "expected.pt")
    torch.save(output.clean_sample.detach(), tmp_path / "sample.pt")
    program = f"""
import torch, infinitedance
from infinitedance.modeling.frdm.modeling_frdm import FrdmModel, FrdmScheduler
model = FrdmModel.from_pretrained(r"{tmp_path / "model"}").eval()
expected = torch.load(r"{tmp_path / "expected.pt"}", weights_only=True)
output = model(**expected["batch"])
torch.testing.assert_close(output.loss, expected["loss"])
torch.testing.assert_close(output.clean_sample, torch.load(r"{tmp_path / "sample.pt"}", weights_only=True))
print(bool((model.feature_std != 1).all()))
"""
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.strip() == "True"


def test_the_auto_class_builds_a_model():
    model = AutoModel.from_config(FrdmConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=8))
    assert isinstance(model, FrdmModel)


def test_the_sizes_of_the_paper_are_those_of_edge():
    config = FrdmConfig.paper(num_hidden_layers=1)
    assert (config.hidden_size, config.num_hidden_layers, config.window_frames) == (512, 1, 150)
    assert config.rotation_position_epsilon == 0.1
    assert FrdmModel(config).head.out_features == config.num_restored_channels + 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noisy_sample": torch.zeros(2, 24, 78)}, r"`noisy_sample` must have shape \(batch, frames, 79\)"),
        ({"noisy_sample": torch.zeros(2, 97, 79)}, "1 to 96 frames, got 97"),
        ({"noisy_sample": torch.zeros(2, 0, 79)}, "1 to 96 frames, got 0"),
        ({"context_features": torch.zeros(2, 24, 265)}, r"`context_features` must have shape \(2, 24, 269\)"),
        ({"context_features": torch.zeros(2, 23, 269)}, r"`context_features` must have shape \(2, 24, 269\)"),
        ({"timesteps": torch.zeros(3)}, r"`timesteps` \(2,\)"),
    ],
)
def test_wrong_inputs_are_refused(make_frdm, dance, generator, change, message):
    model = make_frdm()
    with pytest.raises(ValueError, match=message):
        model(**make_batch(model, dance, generator) | change)


@pytest.mark.parametrize("name", ["mean", "std", "zero"])
def test_wrong_statistics_are_refused(make_frdm, name):
    mean, std = torch.zeros(269), torch.ones(269)
    wrong = {"mean": (mean[1:], std), "std": (mean, std[1:]), "zero": (mean, std * (torch.arange(269) > 0))}
    with pytest.raises(ValueError, match=r"shape \(269,\)|positive in every channel"):
        make_frdm().set_feature_statistics(*wrong[name])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "at least 1"),
        ({"num_hidden_layers": 0}, "at least 1"),
        ({"hidden_size": 20}, "multiple of 8"),
        ({"hidden_size": 24, "num_attention_heads": 5}, "twice `num_attention_heads`"),
        ({"overlap_frames": 0}, "at least 1"),
        ({"window_frames": 63}, "at most half"),
        ({"frame_rate": 0.0}, "positive number of Hz"),
        ({"num_train_timesteps": 1}, "at least 2"),
        ({"loss_weights": {"slide": 1.0}}, r"got \['slide'\]"),
    ],
)
def test_sizes_that_build_no_model_are_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        FrdmConfig(**fields)
